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

// The same out of a packed operand; w: mr, the left side, or nr.
static inline double unpacked(const milo_product *k, const float *units, size_t panel, size_t w,
                              size_t p, size_t j) {
  const size_t q = p / k->group, d = w == k->mr ? k->left_units : 1;
  const float *unit = units + j / w * panel + q / d * d * w + j % w * d + q % d;
  if (w == k->mr && k->left_bias != 0)
    return (double)((const uint8_t *)unit)[p % k->group] - (double)k->left_bias;
  return milo_number_load(k->packed, unit, p % k->group);
}

// An element that a source may hold.
static inline void draw_into(milo_dtype dtype, void *x, size_t n, uint64_t stream) {
  for (size_t i = 0; i < n; i++) {
    const double u = milo_rng_uniform(20, stream, i);
    milo_number_store(dtype, x, i, dtype == MILO_INT8 ? floor(256 * u) - 128 : 4 * u - 2);
  }
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

static const milo_dtype sources[] = {MILO_FP32, MILO_FP16, MILO_BF16, MILO_INT8};

static inline void check_packers(const milo_product *k) {
  static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 18, 31, 32, 33, 65};
  enum { SIZES = sizeof sizes / sizeof *sizes };
  for (size_t s = 0; s < 4; s++)
    for (size_t a = 0; a < SIZES * SIZES; a++)
      for (int order = 0; order < 6; order++)
        for (int side = 0; side < 2; side++) {
          if (milo_product_packer(k, sources[s]) == NULL) continue;
          const size_t depth = sizes[a / SIZES], n = sizes[a % SIZES], w = side ? k->nr : k->mr;
          const size_t units = milo_product_units(k, depth), panels = (n + w - 1) / w;
          const size_t bytes = milo_dtype_bits(sources[s]) / 8;
          const layout l = lay(order, depth, n);
          const guarded x = guard_bytes(l.elements * bytes), out = guard(panels * w * units);
          draw_into(sources[s], x.data, l.elements, s);
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
  CHECK((milo_product_packer(k, MILO_INT8) != NULL) == (k->mode == MILO_NUMERIC_INT8));
  // Where the sides differ in layout, a panel's width says whose it is.
  CHECK(k->left_units == 1 || k->mr != k->nr);
  CHECK(k->depth % (k->group * k->left_units) == 0);
}

// Infinities and NaN keep to their rows and columns; so do panels farther apart than need be.
static inline void check_special(const milo_product *k) {
  enum { N = 40, DEPTH = 21 };
  static float x[DEPTH * N], y[DEPTH * N], c[N * N];
  static float left[64 * 64], right[64 * 64];
  if (k->pack_fp32 == NULL) return;  // integers are neither
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

// Tiles of packed operands. Bound: (depth + 2) * 2^-24 * sum of |terms|, terms of rounded operands;
// integers are exact.
static inline void check_tiles(const milo_product *k) {
  static const size_t ms[] = {1, 2, 5, 6, 7, 11, 12, 13, 25, 33, 64},
                      ns[] = {1, 7, 8, 9, 16, 17, 31, 33, 65, 96, 130};
  static const size_t ks[] = {0, 1, 2, 7, 8, 33, 300};
  const bool bytes = k->mode == MILO_NUMERIC_INT8;
  const milo_dtype from = bytes ? MILO_INT8 : MILO_FP32;
  const size_t size = milo_dtype_bits(from) / 8;
  for (size_t t = 0; t < 11 * 11 * 7; t++) {
    const size_t m = ms[t % 11], n = ns[t / 11 % 11], depth = ks[t / 121], ldc = n + 3;
    const size_t units = milo_product_units(k, depth);
    const guarded x = guard_bytes(m * depth * size), y = guard_bytes(n * depth * size);
    const guarded c = guard((m - 1) * ldc + n);
    const size_t ap = k->mr * units, bp = k->nr * units;
    const guarded left = guard((m + k->mr - 1) / k->mr * ap);
    const guarded right = guard((n + k->nr - 1) / k->nr * bp);
    draw_into(from, x.data, m * depth, 1);
    draw_into(from, y.data, n * depth, 2);
    milo_pack_fn *pack = milo_product_packer(k, from);
    pack(left.data, ap, x.data, depth, m, 1, (ptrdiff_t)depth, k->mr);
    pack(right.data, bp, y.data, depth, n, 1, (ptrdiff_t)depth, k->nr);
    for (int add = 0; add < 2; add++) {
      const double before = bytes ? -7 : 0.75;
      for (size_t i = 0; i < (m - 1) * ldc + n; i++) milo_number_store(k->sum, c.data, i, before);
      k->tile(m, n, units, left.data, ap, right.data, bp, c.data, ldc, add);
      bool good = true;
      for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < (i + 1 < m ? ldc : n); j++) {
          double sum = add ? before : 0, terms = fabs(sum);
          for (size_t p = 0; j < n && p < depth; p++) {
            const double v = rounded(k, milo_number_load(from, x.data, i * depth + p)) *
                             rounded(k, milo_number_load(from, y.data, j * depth + p));
            sum += v;
            terms += fabs(v);
          }
          const double got = milo_number_load(k->sum, c.data, i * ldc + j);
          const double off = fabs(got - (j < n ? sum : before));
          good = good && off <= (j < n && !bytes ? (double)(depth + 2) * 0x1p-24 * terms : 0);
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

// Sums of integers to fp32.
static inline void check_scales(const milo_product *k) {
  CHECK((k->scale_sums != NULL) == (k->sum != MILO_FP32));
  if (k->scale_sums == NULL) return;
  enum { N = 37 };
  const guarded sums = guard(N), columns = guard(N), out = guard(N);
  int32_t *x = (int32_t *)(void *)sums.data;
  randomize(columns.data, N, 3);
  for (int with = 0; with < 2; with++) {
    for (int i = 0; i < N; i++) x[i] = (i - 18) * 9973;
    k->scale_sums(with ? sums.data : out.data, x, N, 0.25f, with ? columns.data : NULL);
    for (int i = 0; i < N; i++) {
      const float v = (float)((i - 18) * 9973) * 0.25f;
      CHECK((with ? sums.data[i] : out.data[i]) == (with ? v * columns.data[i] : v));
    }
  }
  unguard(sums);
  unguard(columns);
  unguard(out);
}

#endif
