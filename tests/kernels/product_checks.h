// SPDX-License-Identifier: MIT
// What every row of the table of products must do: packers on every source type, any strides and
// odd sizes, and tiles of what they packed, in memory that ends at a guard page.
#ifndef MILO_TESTS_KERNELS_PRODUCT_CHECKS_H
#define MILO_TESTS_KERNELS_PRODUCT_CHECKS_H

#include "guard.h"

// Element (p, j) of what a source holds, rounded as the row's packed type has it.
static inline double rounded(const milo_product *k, double x) {
  return k->packed == MILO_BF16 ? (double)milo_bf16_to_f32(milo_f32_to_bf16((float)x)) : x;
}

// The same out of a packed operand.
static inline double unpacked(const milo_product *k, const float *units, size_t panel, size_t w,
                              size_t p, size_t j) {
  const float *unit = units + j / w * panel + p / k->group * w + j % w;
  return milo_number_load(k->packed, unit, p % k->group);
}

// Sources of `depth` x n as they may lie; the strides are negative, or 0, too.
typedef struct layout {
  ptrdiff_t rs, cs, first;
  size_t elements;
} layout;

static inline layout lay(int order, size_t depth, size_t n) {
  const ptrdiff_t d = (ptrdiff_t)depth, m = (ptrdiff_t)n;
  switch (order) {
    case 0:
      return (layout){m, 1, 0, depth * n};
    case 1:
      return (layout){1, d, 0, depth * n};
    case 2:  // every other element of rows
      return (layout){2 * m, 2, 0, depth && n ? 2 * depth * n - 1 : 0};
    case 3:  // backwards
      return (layout){-m, -1, d * m - 1, depth * n};
    case 4:  // columns backwards
      return (layout){1, -d, d * (m - 1), depth * n};
    default:  // one row for all
      return (layout){0, 1, 0, depth ? n : 0};
  }
}

static const milo_dtype sources[] = {MILO_FP32, MILO_FP16, MILO_BF16};

static inline void check_packers(const milo_product *k) {
  static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 18, 31, 32, 33, 65};
  enum { SIZES = sizeof sizes / sizeof *sizes };
  for (size_t s = 0; s < 3; s++)
    for (size_t a = 0; a < SIZES * SIZES; a++)
      for (int order = 0; order < 6; order++)
        for (int side = 0; side < 2; side++) {
          const size_t depth = sizes[a / SIZES], n = sizes[a % SIZES], w = side ? k->nr : k->mr;
          const size_t units = milo_product_units(k, depth), panels = (n + w - 1) / w;
          const size_t bytes = milo_dtype_bits(sources[s]) / 8;
          const layout l = lay(order, depth, n);
          const guarded x = guard_bytes(l.elements * bytes), out = guard(panels * w * units);
          for (size_t i = 0; i < l.elements; i++)
            milo_number_store(sources[s], x.data, i, 4 * milo_rng_uniform(3, s, i) - 2);
          memset(out.data, 0xff, panels * w * units * sizeof(float));
          milo_product_packer(k, sources[s])(
              out.data, w * units, (char *)x.data + (l.elements ? l.first * (ptrdiff_t)bytes : 0),
              depth, n, l.rs, l.cs, w);
          bool good = true;
          for (size_t p = 0; p < units * k->group; p++)
            for (size_t j = 0; j < panels * w; j++) {
              double wanted = 0;
              if (p < depth && j < n)
                wanted = rounded(k, milo_number_load(sources[s], x.data,
                                                     (size_t)(l.first + (ptrdiff_t)p * l.rs +
                                                              (ptrdiff_t)j * l.cs)));
              good = good && unpacked(k, out.data, w * units, w, p, j) == wanted;
            }
          if (!CHECK(good))
            printf("# %s: %s, depth %zu, n %zu, w %zu, order %d\n", k->name,
                   milo_dtype_name(sources[s]), depth, n, w, order);
          unguard(x);
          unguard(out);
        }
  CHECK(milo_product_packer(k, MILO_INT32) == NULL);
}

// Infinities and NaN keep to their rows and columns; so do panels farther apart than need be.
static inline void check_special(const milo_product *k) {
  enum { N = 40, DEPTH = 21 };
  static float x[DEPTH * N], y[DEPTH * N], c[N * N];
  static float left[64 * 64], right[64 * 64];
  randomize(x, DEPTH * N, 1);
  randomize(y, DEPTH * N, 2);
  x[3 * DEPTH + DEPTH - 1] = INFINITY;
  y[5 * DEPTH + DEPTH - 1] = NAN;
  const size_t units = milo_product_units(k, DEPTH), ap = k->mr * units + 7, bp = k->nr * units + 9;
  k->pack_fp32(left, ap, x, DEPTH, N, 1, DEPTH, k->mr);
  k->pack_fp32(right, bp, y, DEPTH, N, 1, DEPTH, k->nr);
  k->tile(N, N, units, left, ap, right, bp, c, N, false);
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) {
      const float got = c[i * N + j];
      CHECK(j == 5 ? isnan(got) : i == 3 ? isinf(got) : isfinite(got));
    }
}

// Tiles of packed operands; bound: (depth + 2) * 2^-24 * sum of |terms|, terms of rounded operands.
static inline void check_tiles(const milo_product *k) {
  static const size_t ms[] = {1, 2, 5, 6, 7, 11, 12, 13, 25},
                      ns[] = {1, 7, 8, 9, 16, 17, 31, 33, 65};
  static const size_t ks[] = {0, 1, 2, 7, 8, 33, 300};
  for (size_t t = 0; t < 9 * 9 * 7; t++) {
    const size_t m = ms[t % 9], n = ns[t / 9 % 9], depth = ks[t / 81], ldc = n + 3;
    const size_t units = milo_product_units(k, depth);
    const guarded x = guard(m * depth), y = guard(n * depth), c = guard((m - 1) * ldc + n);
    const size_t ap = k->mr * units, bp = k->nr * units;
    const guarded left = guard((m + k->mr - 1) / k->mr * ap);
    const guarded right = guard((n + k->nr - 1) / k->nr * bp);
    randomize(x.data, m * depth, 1);
    randomize(y.data, n * depth, 2);
    k->pack_fp32(left.data, ap, x.data, depth, m, 1, (ptrdiff_t)depth, k->mr);
    k->pack_fp32(right.data, bp, y.data, depth, n, 1, (ptrdiff_t)depth, k->nr);
    for (int add = 0; add < 2; add++) {
      for (size_t i = 0; i < (m - 1) * ldc + n; i++) c.data[i] = 0.75f;
      k->tile(m, n, units, left.data, ap, right.data, bp, c.data, ldc, add);
      bool good = true;
      for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < (i + 1 < m ? ldc : n); j++) {
          double sum = add ? 0.75 : 0, terms = sum;
          for (size_t p = 0; j < n && p < depth; p++) {
            const double v = rounded(k, (double)x.data[i * depth + p]) *
                             rounded(k, (double)y.data[j * depth + p]);
            sum += v;
            terms += fabs(v);
          }
          const double off = fabs((double)c.data[i * ldc + j] - (j < n ? sum : 0.75));
          good = good && off <= (j < n ? (double)(depth + 2) * 0x1p-24 * terms : 0);
        }
      if (!CHECK(good)) printf("# %s: %zu x %zu x %zu, add %d\n", k->name, m, n, depth, add);
    }
    unguard(x);
    unguard(y);
    unguard(c);
    unguard(left);
    unguard(right);
  }
}

#endif
