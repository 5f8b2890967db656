// SPDX-License-Identifier: MIT
// One row of the table of products: defines MILO_PRODUCT, a milo_product (product.h), from
// MILO_SIMD, MILO_PRODUCT_NAME, MILO_PRODUCT_CAPS and MILO_MODE (0 exact, 1 bf16). Included by each
// file of variants, last. Packing and tiles work on units of 4 bytes, whatever is in them; what a
// unit is, and how two of them are multiplied, stands first.
#include "base/cpu.h"
#include "kernels/product.h"
#include "kernels/simd.h"

#ifndef MILO_MODE
#define MILO_MODE 0
#endif
enum { GROUP = MILO_MODE + 1 };

// ---- units ----

typedef enum source { FP32, FP16, BF16 } source;

FN size_t source_bytes(const source from) { return from == FP32 ? 4 : 2; }

FN float element(const void *x, ptrdiff_t at, const source from) {
  if (from == FP32) return ((const float *)x)[at];
  const uint16_t half = ((const uint16_t *)x)[at];
  return from == FP16 ? milo_fp16_to_f32(half) : milo_bf16_to_f32(half);
}

// n <= VW consecutive elements from the at-th on; the rest 0.
FN vf elements(const void *x, ptrdiff_t at, size_t n, const source from) {
  if (from == FP32) {
    const float *p = (const float *)x + at;
    return n == VW ? vload(p) : vload_n(p, n);
  }
  vhalf h = {0};
  memcpy(&h, (const uint16_t *)x + at, n * 2);
  if (from == BF16) return (vf)(__builtin_convertvector(h, vu) << 16);
#if MILO_ISA == 1
  return (vf)_mm256_cvtph_ps((__m128i)h);
#elif MILO_ISA == 2
  return (vf)_mm512_cvtph_ps((__m256i)h);
#else
  vf v;
  for (int i = 0; i < VW; ++i) v[i] = milo_fp16_to_f32(h[i]);
  return v;
#endif
}

#if MILO_MODE == 0
FN vf vdot(vf a, vf b, vf c) { return vfma(a, b, c); }

FN float unit(const void *x, size_t p, size_t k, ptrdiff_t rs, const source from) {
  (void)k;
  return element(x, (ptrdiff_t)p * rs, from);
}
// Unit row p of n <= VW columns side by side.
FN vf unit_row(const void *x, size_t p, ptrdiff_t rs, ptrdiff_t at, size_t n, const source from) {
  return elements(x, (ptrdiff_t)p * rs + at, n, from);
}
#if MILO_ISA > 0
// 8 units of one column whose elements are side by side.
FN __m256 unit_column(const void *x, ptrdiff_t at, const source from) {
  if (from == FP32) return _mm256_loadu_ps((const float *)x + at);
  const __m128i h = _mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)x + at));
  if (from == FP16) return _mm256_cvtph_ps(h);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
#endif
#else
// Bits of bf16 in the upper half of each lane, rounded to nearest even; NaN made quiet.
FN vu upper_bf16(vf v) {
  const vu bits = (vu)v, nan = (vu)(vi)(v != v);
  const vu rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return ((nan & (bits | 0x400000)) | (~nan & rounded)) & 0xffff0000u;
}

// c + the two products of pairs of bf16.
FN vf vdot(vf a, vf b, vf c) {
#ifdef MILO_DPBF16
  return MILO_DPBF16(c, a, b);
#else
  const vf a1 = (vf)((vu)a & 0xffff0000u), b1 = (vf)((vu)b & 0xffff0000u);
  return vfma((vf)((vu)a << 16), (vf)((vu)b << 16), vfma(a1, b1, c));
#endif
}

FN float unit(const void *x, size_t p, size_t k, ptrdiff_t rs, const source from) {
  uint32_t bits = milo_f32_to_bf16(element(x, (ptrdiff_t)(2 * p) * rs, from));
  if (2 * p + 1 < k)
    bits |= (uint32_t)milo_f32_to_bf16(element(x, (ptrdiff_t)(2 * p + 1) * rs, from)) << 16;
  float pair;
  memcpy(&pair, &bits, sizeof pair);
  return pair;
}
FN vf unit_row(const void *x, size_t p, ptrdiff_t rs, ptrdiff_t at, size_t n, const source from) {
  const ptrdiff_t even = (ptrdiff_t)(2 * p) * rs + at;
  const vf low = elements(x, even, n, from), high = elements(x, even + rs, n, from);
  if (from == BF16) return (vf)(((vu)low >> 16) | (vu)high);
  return (vf)((upper_bf16(low) >> 16) | upper_bf16(high));
}
#if MILO_ISA > 0
FN __m256 unit_column(const void *x, ptrdiff_t at, const source from) {
  if (from == BF16) return _mm256_loadu_ps((const float *)(const void *)((const uint16_t *)x + at));
  milo_bf16 pairs[16];
  for (int i = 0; i < 16; i += VW) {
    const vu upper = upper_bf16(elements(x, at + i, VW, from)) >> 16;
    const vhalf h = __builtin_convertvector(upper, vhalf);
    memcpy(pairs + i, &h, sizeof h);
  }
  return _mm256_loadu_ps((const float *)(const void *)pairs);
}
#endif
#endif

// ---- packing ----

#if MILO_ISA > 0
// 8 x 8: row i of out is column i of in.
FN void transpose8(__m256 v[8]) {
  const __m256 a0 = _mm256_unpacklo_ps(v[0], v[1]), a1 = _mm256_unpackhi_ps(v[0], v[1]);
  const __m256 a2 = _mm256_unpacklo_ps(v[2], v[3]), a3 = _mm256_unpackhi_ps(v[2], v[3]);
  const __m256 a4 = _mm256_unpacklo_ps(v[4], v[5]), a5 = _mm256_unpackhi_ps(v[4], v[5]);
  const __m256 a6 = _mm256_unpacklo_ps(v[6], v[7]), a7 = _mm256_unpackhi_ps(v[6], v[7]);
  const __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xee);
  const __m256 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xee);
  const __m256 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xee);
  const __m256 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xee);
  v[0] = _mm256_permute2f128_ps(b0, b4, 0x20);
  v[1] = _mm256_permute2f128_ps(b1, b5, 0x20);
  v[2] = _mm256_permute2f128_ps(b2, b6, 0x20);
  v[3] = _mm256_permute2f128_ps(b3, b7, 0x20);
  v[4] = _mm256_permute2f128_ps(b0, b4, 0x31);
  v[5] = _mm256_permute2f128_ps(b1, b5, 0x31);
  v[6] = _mm256_permute2f128_ps(b2, b6, 0x31);
  v[7] = _mm256_permute2f128_ps(b3, b7, 0x31);
}

// m of w columns, each contiguous, cs elements apart; returns how many units of depth that was: all
// but a rest below 8. Goes by 16 units, so that a cache line is used up while it is there even if
// all columns fall into one set. A group of less than 8 columns is written as 4 and 2.
FN size_t pack_columns(float *out, const void *x, size_t k, size_t m, ptrdiff_t cs, size_t w,
                       const source from) {
  const size_t whole = k / GROUP / 8 * 8;
  for (size_t block = 0; block < whole; block += 16) {
    const size_t end = whole - block < 16 ? whole : block + 16;
    for (size_t j = 0; j < w; j += 8) {
      const size_t g = w - j < 8 ? w - j : 8;
      for (size_t p = block; p < end; p += 8) {
        __m256 v[8];
        for (size_t i = 0; i < 8; ++i)
          v[i] = j + i < m ? unit_column(x, (ptrdiff_t)(p * GROUP) + (ptrdiff_t)(j + i) * cs, from)
                           : _mm256_setzero_ps();
        transpose8(v);
        for (size_t i = 0; i < 8; ++i) {
          float *to = out + (p + i) * w + j;
          if (g == 8) {
            _mm256_storeu_ps(to, v[i]);
          } else {
            _mm_storeu_ps(to, _mm256_castps256_ps128(v[i]));
            if (g == 6) _mm_storel_pi((__m64 *)(to + 4), _mm256_extractf128_ps(v[i], 1));
          }
        }
      }
    }
  }
  return whole;
}
#endif

// Unit row p of w columns side by side.
FN void copy_units(float *to, const void *x, size_t p, ptrdiff_t rs, ptrdiff_t at, const size_t w,
                   const source from) {
  if (GROUP == 1 && from == FP32) {
    memcpy(to, (const float *)x + (ptrdiff_t)p * rs + at, w * sizeof *to);
    return;
  }
  for (size_t v = 0; v < w; v += VW) {
    const size_t lanes = w - v < VW ? w - v : VW;
    const vf row = unit_row(x, p, rs, at + (ptrdiff_t)v, lanes, from);
    memcpy(to + v, &row, lanes * sizeof *to);
  }
}

FN void pack_panels(float *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs,
                    ptrdiff_t cs, const size_t w, const source from) {
  const size_t units = (k + GROUP - 1) / GROUP, full = k / GROUP;
  if (cs == 1) {
    // By blocks of rows small enough that their lines and those of one panel share L1's sets.
    for (size_t block = 0; block < full; block += 8) {
      const size_t end = full - block < 8 ? full : block + 8;
      size_t j = 0;
      for (float *to = out; j + w <= n; j += w, to += panel)
        for (size_t p = block; p < end; ++p)
          copy_units(to + p * w, x, p, rs, (ptrdiff_t)j, w, from);
    }
  }
  size_t j0 = 0;
  for (float *to = out; j0 < n; j0 += w, to += panel) {
    const size_t m = n - j0 < w ? n - j0 : w;
    const char *column = (const char *)x + (ptrdiff_t)j0 * cs * (ptrdiff_t)source_bytes(from);
    size_t p = cs == 1 && m == w ? full : 0;
#if MILO_ISA > 0
    if (rs == 1 && p == 0)
      p = m == w ? pack_columns(to, column, k, w, cs, w, from)
                 : pack_columns(to, column, k, m, cs, w, from);
#endif
    for (; p < units; ++p) {
      for (size_t j = 0; j < m; ++j)
        to[p * w + j] =
            unit(column + (ptrdiff_t)j * cs * (ptrdiff_t)source_bytes(from), p, k, rs, from);
      for (size_t j = m; j < w; ++j) to[p * w + j] = 0.0f;
    }
  }
}

// Constant widths, so that copies are unrolled.
#define PACK(id, from)                                                                            \
  TARGET static void id(void *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs, \
                        ptrdiff_t cs, size_t w) {                                                 \
    if (w == NR)                                                                                  \
      pack_panels(out, panel, x, k, n, rs, cs, NR, from);                                         \
    else if (w == MR)                                                                             \
      pack_panels(out, panel, x, k, n, rs, cs, MR, from);                                         \
  }
PACK(pack_fp32, FP32)
PACK(pack_fp16, FP16)
PACK(pack_bf16, BF16)
#undef PACK

// ---- register tiles ----

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
  for (size_t p = 0; p < k; ++p) {
    const vf b0 = vload(b), b1 = vectors > 1 ? vload(b + VW) : b0;
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
  if (lanes == VW) {
#define STORE(i)                                                            \
  if (rows > i) {                                                           \
    float *to = c + i * ldc;                                                \
    vstore(to, add ? vload(to) + s0[i] : s0[i]);                            \
    if (vectors > 1) vstore(to + VW, add ? vload(to + VW) + s1[i] : s1[i]); \
  }
    ROWS(STORE)
#undef STORE
  } else {
#define STORE(i)                                                               \
  if (rows > i) {                                                              \
    float *to = c + i * ldc;                                                   \
    if (vectors > 1) {                                                         \
      vstore(to, add ? vload(to) + s0[i] : s0[i]);                             \
      vstore_n(to + VW, add ? vload_n(to + VW, lanes) + s1[i] : s1[i], lanes); \
    } else {                                                                   \
      vstore_n(to, add ? vload_n(to, lanes) + s0[i] : s0[i], lanes);           \
    }                                                                          \
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
    .mode = MILO_MODE == 0 ? MILO_NUMERIC_EXACT : MILO_NUMERIC_BF16,
    .packed = MILO_MODE == 0 ? MILO_FP32 : MILO_BF16,
    .sum = MILO_FP32,
    .mr = MR,
    .nr = NR,
    .group = GROUP,
    .pack_fp32 = pack_fp32,
    .pack_fp16 = pack_fp16,
    .pack_bf16 = pack_bf16,
    .tile = tile,
#if MILO_MODE == 0
    .tile_strided = tile_strided,
    .tile_dot = tile_dot,
#endif
};
