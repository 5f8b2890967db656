// SPDX-License-Identifier: MIT
// One row of the table of products: defines MILO_PRODUCT, a milo_product (product.h), from
// MILO_SIMD, MILO_PRODUCT_NAME, MILO_PRODUCT_CAPS and MILO_MODE (0 exact, 1 bf16, 2 int8). Included
// by each file of variants, last. Packing and tiles work on units of 4 bytes, whatever is in them;
// what a unit is stands in variant_pack.h, how two of them are multiplied here first.
#include "kernels/variant_pack.h"

enum { PANEL_UNITS = 6144 };  // of a right panel: depth x nr units, 24 KB, stay in L1

// ---- register tiles ----

#if MILO_MODE == 0
FN vf vdot(vf a, vf b, vf c) { return vfma(a, b, c); }
#elif MILO_MODE == 1
// c + the two products of pairs of bf16.
FN vf vdot(vf a, vf b, vf c) {
#ifdef MILO_DPBF16
  return MILO_DPBF16(c, a, b);
#else
  const vf a1 = (vf)((vu)a & 0xffff0000u), b1 = (vf)((vu)b & 0xffff0000u);
  return vfma((vf)((vu)a << 16), (vf)((vu)b << 16), vfma(a1, b1, c));
#endif
}
#else
// c + the four products of bytes of a (unsigned where LEFT_BIAS) and b, in int32.
FN vf vdot(vf a, vf b, vf c) {
#ifdef MILO_DPINT8
  return MILO_DPINT8(c, a, b);
#else
  vi sum = (vi)c;
  for (int i = 0; i < 4; ++i) {
    const vi x = LEFT_BIAS ? (vi)((vu)a >> (8 * i) & 0xff) : (vi)((vu)a << (24 - 8 * i)) >> 24;
    sum += x * ((vi)((vu)b << (24 - 8 * i)) >> 24);
  }
  return (vf)sum;
#endif
}
#endif
FN vf vplus(vf a, vf b) { return MILO_MODE == 2 ? (vf)((vu)a + (vu)b) : a + b; }

enum { MAX_ROWS = 12 };

#define ROWS(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)

// rows x (vectors * VW) sums. rows and vectors are constants where this is inlined. The last vector
// holds `lanes` columns.
FN void micro(const int rows, const int vectors, size_t k, const float *a, ptrdiff_t rsa,
              ptrdiff_t csa, const float *b, float *c, size_t ldc, bool add, size_t lanes) {
  vf s0[MAX_ROWS], s1[MAX_ROWS];
#define ZERO(i) s0[i] = s1[i] = vset(0.0f);
  ROWS(ZERO)
#undef ZERO
  // What is added to, or written, comes while the products run.
#define FETCH(i)                                              \
  if (rows > i) {                                             \
    __builtin_prefetch(c + i * ldc, 1);                       \
    if (vectors > 1) __builtin_prefetch(c + i * ldc + VW, 1); \
  }
  ROWS(FETCH)
#undef FETCH
#if MILO_LEFT_BIAS
  // 128 times the sums of the right side's columns, which are too much.
  const vf bias = (vf)(vseti(0) | (int32_t)0x80808080);
  vf much0 = vset(0.0f), much1 = much0;
#endif
  for (size_t p = 0; p < k; ++p) {
    const vf b0 = vload(b), b1 = vectors > 1 ? vload(b + VW) : b0;
#if MILO_LEFT_BIAS
    much0 = vdot(bias, b0, much0);
    if (vectors > 1) much1 = vdot(bias, b1, much1);
#endif
#define STEP(i)                                  \
  if (rows > i) {                                \
    const vf t = vset(a[i * rsa]);               \
    s0[i] = vdot(t, b0, s0[i]);                  \
    if (vectors > 1) s1[i] = vdot(t, b1, s1[i]); \
  }
    ROWS(STEP)
#undef STEP
    a += csa;
    b += NR;
  }
#if MILO_LEFT_BIAS
#define LESS(i)                        \
  s0[i] = (vf)((vu)s0[i] - (vu)much0); \
  if (vectors > 1) s1[i] = (vf)((vu)s1[i] - (vu)much1);
  ROWS(LESS)
#undef LESS
#endif
  if (lanes == VW) {
#define STORE(i)                                                                  \
  if (rows > i) {                                                                 \
    float *to = c + i * ldc;                                                      \
    vstore(to, add ? vplus(vload(to), s0[i]) : s0[i]);                            \
    if (vectors > 1) vstore(to + VW, add ? vplus(vload(to + VW), s1[i]) : s1[i]); \
  }
    ROWS(STORE)
#undef STORE
  } else {
#define STORE(i)                                                                     \
  if (rows > i) {                                                                    \
    float *to = c + i * ldc;                                                         \
    if (vectors > 1) {                                                               \
      vstore(to, add ? vplus(vload(to), s0[i]) : s0[i]);                             \
      vstore_n(to + VW, add ? vplus(vload_n(to + VW, lanes), s1[i]) : s1[i], lanes); \
    } else {                                                                         \
      vstore_n(to, add ? vplus(vload_n(to, lanes), s0[i]) : s0[i], lanes);           \
    }                                                                                \
  }
    ROWS(STORE)
#undef STORE
  }
}

// One row count of MR or less out of a switch, so that each is compiled with its own constant.
FN void micro_rows(size_t rows, const int vectors, size_t k, const float *a, ptrdiff_t rsa,
                   ptrdiff_t csa, const float *b, float *c, size_t ldc, bool add, size_t lanes) {
#define CASE(r)                                                            \
  case r:                                                                  \
    if (r <= MR) micro(r, vectors, k, a, rsa, csa, b, c, ldc, add, lanes); \
    break;
  switch (rows) {
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
    CASE(7)
    CASE(8)
    CASE(9)
    CASE(10)
    CASE(11)
    CASE(12)
    default:
      break;
  }
#undef CASE
}

FN void tile_loops(size_t m, size_t n, size_t k, const float *a, ptrdiff_t rsa, ptrdiff_t csa,
                   size_t a_panel, const float *b, size_t b_panel, float *c, size_t ldc, bool add) {
  for (size_t j = 0; j < n; j += NR, b += b_panel) {
    const size_t columns = n - j < NR ? n - j : NR;
    const float *from = a;
    size_t i = 0;
    if (columns > VW) {
      for (; i + MR <= m; i += MR, from += a_panel)
        micro(MR, 2, k, from, rsa, csa, b, c + i * ldc + j, ldc, add, columns - VW);
      if (i < m)
        micro_rows(m - i, 2, k, from, rsa, csa, b, c + i * ldc + j, ldc, add, columns - VW);
    } else {
      for (; i + MR <= m; i += MR, from += a_panel)
        micro(MR, 1, k, from, rsa, csa, b, c + i * ldc + j, ldc, add, columns);
      if (i < m) micro_rows(m - i, 1, k, from, rsa, csa, b, c + i * ldc + j, ldc, add, columns);
    }
  }
}

TARGET static void tile(size_t m, size_t n, size_t depth, const void *a, size_t a_panel,
                        const void *b, size_t b_panel, void *c, size_t ldc, bool add) {
  tile_loops(m, n, depth, a, 1, MR, a_panel, b, b_panel, c, ldc, add);
}

#if MILO_MODE == 0
TARGET static void tile_strided(size_t m, size_t n, size_t k, const float *a, ptrdiff_t rsa,
                                ptrdiff_t csa, const float *b, size_t b_panel, float *c, size_t ldc,
                                bool add) {
  if (csa == 1)
    tile_loops(m, n, k, a, rsa, 1, (size_t)(MR * rsa), b, b_panel, c, ldc, add);
  else if (rsa == 1)
    tile_loops(m, n, k, a, 1, csa, MR, b, b_panel, c, ldc, add);
  else
    tile_loops(m, n, k, a, rsa, csa, (size_t)(MR * rsa), b, b_panel, c, ldc, add);
}

// 4 rows of the right side at a time against each row of the left.
TARGET static void tile_dot(size_t m, size_t n, size_t k, const float *a, size_t lda,
                            const float *b, size_t ldb, float *c, size_t ldc) {
  for (size_t j = 0; j < n; j += 4) {
    const size_t w = n - j < 4 ? n - j : 4;
    const float *b0 = b + j * ldb, *b1 = w > 1 ? b0 + ldb : b0, *b2 = w > 2 ? b1 + ldb : b0;
    const float *b3 = w > 3 ? b2 + ldb : b0;
    for (size_t i = 0; i < m; ++i) {
      const float *x = a + i * lda;
      vf s0 = vset(0.0f), s1 = s0, s2 = s0, s3 = s0;
      vf t0 = s0, t1 = s0, t2 = s0, t3 = s0;
      size_t p = 0;
      for (; p + 2 * VW <= k; p += 2 * VW) {
        const vf u = vload(x + p), v = vload(x + p + VW);
        s0 = vfma(u, vload(b0 + p), s0);
        s1 = vfma(u, vload(b1 + p), s1);
        s2 = vfma(u, vload(b2 + p), s2);
        s3 = vfma(u, vload(b3 + p), s3);
        t0 = vfma(v, vload(b0 + p + VW), t0);
        t1 = vfma(v, vload(b1 + p + VW), t1);
        t2 = vfma(v, vload(b2 + p + VW), t2);
        t3 = vfma(v, vload(b3 + p + VW), t3);
      }
      while (p < k) {
        const size_t l = k - p < VW ? k - p : VW;
        const bool whole = l == VW;
        const vf u = whole ? vload(x + p) : vload_n(x + p, l);
        s0 = vfma(u, whole ? vload(b0 + p) : vload_n(b0 + p, l), s0);
        s1 = vfma(u, whole ? vload(b1 + p) : vload_n(b1 + p, l), s1);
        s2 = vfma(u, whole ? vload(b2 + p) : vload_n(b2 + p, l), s2);
        s3 = vfma(u, whole ? vload(b3 + p) : vload_n(b3 + p, l), s3);
        p += l;
      }
      const float sums[4] = {vsum(s0 + t0), vsum(s1 + t1), vsum(s2 + t2), vsum(s3 + t3)};
      memcpy(c + i * ldc + j, sums, w * sizeof *sums);
    }
  }
}
#endif
#undef ROWS

const milo_product MILO_PRODUCT = {
    .name = MILO_PRODUCT_NAME,
    .caps = MILO_PRODUCT_CAPS,
    .mode = MILO_PRODUCT_MODE,
    .packed = MILO_PRODUCT_ELEMENT,
    .sum = MILO_PRODUCT_SUM,
    .mr = MR,
    .nr = NR,
    .group = GROUP,
    .left_units = 1,
    .left_bias = LEFT_BIAS,
    .depth = PANEL_UNITS / NR * GROUP,
    MILO_PRODUCT_PACKERS,
    .tile = tile,
#if MILO_MODE == 0
    .tile_strided = tile_strided,
    .tile_dot = tile_dot,
#endif
};
