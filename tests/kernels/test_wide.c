// SPDX-License-Identifier: MIT
// The set for AVX-512 with its vectors of 16 floats made by the compiler from what every machine
// has: its logic (panels of 32 columns, tiles of 12 rows, odd ends) is tested where the
// instructions are missing, against the plain set. On x86 neither contracts products, so that
// elementwise results have the same bits.
#include "guard.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
extern const milo_rows wide_rows;
extern const milo_product wide_product;
#define MILO_SIMD 2
#define MILO_ISA 0
#define MILO_ROWS wide_rows
#define MILO_ROWS_NAME "wide"
#define MILO_ROWS_CAPS 0
#include "kernels/variant_rows_table.h"
#define MILO_PRODUCT wide_product
#define MILO_PRODUCT_NAME "wide"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_product.h"

static const milo_rows *const wide = &wide_rows;
static const milo_rows *plain;

#if defined(__SSE2__)
static const float exact = 0;
#else
static const float exact = 1e-5f;
#endif

static bool close_to(const float *a, const float *b, size_t n, float bound) {
  for (size_t i = 0; i < n; i++)
    if (!(fabsf(a[i] - b[i]) <= bound) && memcmp(&a[i], &b[i], 4) != 0) return false;
  return true;
}

static void test_elementwise(void) {
  for (size_t s = 0; s < GUARD_SIZES; s++) {
    const size_t n = guard_sizes[s];
    const guarded x = guard(n), y = guard(n), a = guard(n), b = guard(n);
    static const float params[2] = {0.25f, 0.5f};
    randomize(x.data, n, 1);
    randomize(y.data, n, 2);
    for (size_t u = 0; u < MILO_UNARY_COUNT; u++) {
      wide->unary[u](a.data, x.data, n, params);
      plain->unary[u](b.data, x.data, n, params);
      CHECK(close_to(a.data, b.data, n, exact));
    }
    for (size_t u = 0; u < MILO_BINARY_COUNT; u++) {
      wide->binary[u](a.data, x.data, y.data, n);
      plain->binary[u](b.data, x.data, y.data, n);
      CHECK(close_to(a.data, b.data, n, exact));
    }
    const guarded h = guard_bytes(n * 2);
    wide->f32_to_bf16((milo_bf16 *)(void *)h.data, x.data, n);
    wide->bf16_to_f32(a.data, (milo_bf16 *)(void *)h.data, n);
    for (size_t i = 0; i < n; i++)
      CHECK(a.data[i] == milo_bf16_to_f32(milo_f32_to_bf16(x.data[i])));
    wide->f32_to_fp16((milo_fp16 *)(void *)h.data, x.data, n);
    wide->fp16_to_f32(a.data, (milo_fp16 *)(void *)h.data, n);
    for (size_t i = 0; i < n; i++)
      CHECK(a.data[i] == milo_fp16_to_f32(milo_f32_to_fp16(x.data[i])));
    unguard(h);
    unguard(x);
    unguard(y);
    unguard(a);
    unguard(b);
  }
}

static void test_rows(void) {
  for (size_t s = 1; s < GUARD_SIZES; s++) {
    const size_t n = guard_sizes[s];
    const guarded x = guard(n), y = guard(n), w = guard(n);
    const guarded a = guard(n), b = guard(n), c = guard(n), d = guard(n);
    randomize(x.data, n, 1);
    randomize(y.data, n, 2);
    randomize(w.data, n, 3);
    CHECK_NEAR(wide->sum(x.data, n), plain->sum(x.data, n), 1e-3);
    CHECK_NEAR(wide->sum_square(x.data, n), plain->sum_square(x.data, n), 1e-3);
    CHECK_NEAR(wide->dot(x.data, y.data, n), plain->dot(x.data, y.data, n), 1e-3);
    CHECK(wide->max(x.data, n) == plain->max(x.data, n));
    CHECK(wide->min(x.data, n) == plain->min(x.data, n));
    CHECK_NEAR(wide->exp_sum(a.data, x.data, n, 2), plain->exp_sum(b.data, x.data, n, 2), 1e-3);
    CHECK(close_to(a.data, b.data, n, exact));
    CHECK_NEAR(wide->sum_exp(x.data, n, 2), plain->sum_exp(x.data, n, 2), 1e-3);
    wide->rms_norm(a.data, x.data, w.data, n, 1e-5f);
    plain->rms_norm(b.data, x.data, w.data, n, 1e-5f);
    CHECK(close_to(a.data, b.data, n, 1e-5f));
    wide->layer_norm(a.data, x.data, w.data, y.data, n, 1e-2f);
    plain->layer_norm(b.data, x.data, w.data, y.data, n, 1e-2f);
    CHECK(close_to(a.data, b.data, n, 1e-4f));
    memset(c.data, 0, n * sizeof(float));
    memset(d.data, 0, n * sizeof(float));
    wide->rms_norm_grad(a.data, c.data, y.data, x.data, w.data, n, 1e-2f);
    plain->rms_norm_grad(b.data, d.data, y.data, x.data, w.data, n, 1e-2f);
    CHECK(close_to(a.data, b.data, n, 1e-3f) && close_to(c.data, d.data, n, 1e-4f));
    wide->silu_gate_grad(a.data, b.data, y.data, x.data, w.data, n);
    plain->silu_gate_grad(c.data, d.data, y.data, x.data, w.data, n);
    CHECK(close_to(a.data, c.data, n, exact) && close_to(b.data, d.data, n, exact));
    for (int mode = 0; mode < 2 && n % 2 == 0; mode++) {
      wide->rope(a.data, x.data, y.data, w.data, n, 1, mode == 1);
      plain->rope(b.data, x.data, y.data, w.data, n, 1, mode == 1);
      CHECK(close_to(a.data, b.data, n, exact));
    }
    unguard(x);
    unguard(y);
    unguard(w);
    unguard(a);
    unguard(b);
    unguard(c);
    unguard(d);
  }
}

static void test_tiles(void) {
  static const size_t ms[] = {1, 5, 11, 12, 13, 25}, ns[] = {1, 15, 16, 17, 31, 32, 33, 65};
  for (size_t i = 0; i < 6; i++)
    for (size_t j = 0; j < 8; j++)
      for (size_t depth = 0; depth < 40; depth += 13) {
        const size_t m = ms[i], n = ns[j];
        const guarded x = guard(m * depth), y = guard(n * depth), a = guard(m * n),
                      b = guard(m * n);
        const guarded left = guard((m + 11) / 12 * 12 * depth);
        const guarded right = guard((n + 31) / 32 * 32 * depth);
        randomize(x.data, m * depth, 1);
        randomize(y.data, n * depth, 2);
        for (size_t r = 0; r < m; r++)
          for (size_t q = 0; q < n; q++) {
            b.data[r * n + q] = 0;
            for (size_t p = 0; p < depth; p++)
              b.data[r * n + q] += x.data[r * depth + p] * y.data[q * depth + p];
          }
        wide_product.pack_fp32(right.data, 32 * depth, y.data, depth, n, 1, (ptrdiff_t)depth, 32);
        wide_product.pack_fp32(left.data, 12 * depth, x.data, depth, m, 1, (ptrdiff_t)depth, 12);
        wide_product.tile_strided(m, n, depth, x.data, (ptrdiff_t)depth, 1, right.data, 32 * depth,
                                  a.data, n, false);
        CHECK(close_to(a.data, b.data, m * n, 2e-5f));
        wide_product.tile(m, n, depth, left.data, 12 * depth, right.data, 32 * depth, a.data, n,
                          false);
        CHECK(close_to(a.data, b.data, m * n, 2e-5f));
        wide_product.tile_dot(m, n, depth, x.data, depth, y.data, depth, a.data, n);
        CHECK(close_to(a.data, b.data, m * n, 2e-5f));
        unguard(x);
        unguard(y);
        unguard(a);
        unguard(b);
        unguard(left);
        unguard(right);
      }
}

int main(void) {
  plain = milo_rows_select(0);
  RUN(test_elementwise);
  RUN(test_rows);
  RUN(test_tiles);
  return tap_done();
}
