// SPDX-License-Identifier: MIT
// Packers of one row of the table of products, for MILO_MODE (0 exact, 1 bf16, 2 int8): what a unit
// of 4 bytes is made of, and how units are put side by side. Included by variant_product.h and
// variant_tiles.h.
//
// MILO_LEFT_UNITS: so many units of a row of the left side lie side by side (product.h,
// left_units); depths are filled up to a multiple of it. MILO_LEFT_BIAS: 128 is added to bytes of
// the left side.
#ifndef MILO_KERNELS_VARIANT_PACK_H
#define MILO_KERNELS_VARIANT_PACK_H

#include "base/cpu.h"
#include "kernels/product.h"
#include "kernels/simd.h"

#ifndef MILO_MODE
#define MILO_MODE 0
#endif
#ifndef MILO_LEFT_UNITS
#define MILO_LEFT_UNITS 1
#endif
#ifndef MILO_LEFT_BIAS
#define MILO_LEFT_BIAS 0
#endif
enum { GROUP = 1 << MILO_MODE, LEFT_UNITS = MILO_LEFT_UNITS, LEFT_BIAS = MILO_LEFT_BIAS };

// ---- units ----

typedef enum source { FP32, FP16, BF16, INT8 } source;

FN size_t source_bytes(const source from) { return from == FP32 ? 4 : from == INT8 ? 1 : 2; }

#if MILO_MODE < 2
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

#endif

#if MILO_MODE == 0
FN float unit(const void *x, size_t p, size_t k, ptrdiff_t rs, const source from) {
  if (p >= k) return 0;
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
#elif MILO_MODE == 1
// Bits of bf16 in the upper half of each lane, rounded to nearest even; NaN made quiet.
FN vu upper_bf16(vf v) {
  const vu bits = (vu)v, nan = (vu)(vi)(v != v);
  const vu rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return ((nan & (bits | 0x400000)) | (~nan & rounded)) & 0xffff0000u;
}

FN float unit(const void *x, size_t p, size_t k, ptrdiff_t rs, const source from) {
  if (2 * p >= k) return 0;
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
#else
typedef uint8_t vbyte __attribute__((vector_size(VW)));

FN float unit(const void *x, size_t p, size_t k, ptrdiff_t rs, const source from) {
  (void)from;
  const uint8_t *bytes = x;
  uint32_t bits = 0;
  for (size_t i = 0; i < 4 && 4 * p + i < k; ++i)
    bits |= (uint32_t)bytes[(ptrdiff_t)(4 * p + i) * rs] << (8 * i);
  float four;
  memcpy(&four, &bits, sizeof four);
  return four;
}
FN vf unit_row(const void *x, size_t p, ptrdiff_t rs, ptrdiff_t at, size_t n, const source from) {
  (void)from;
  vu bits = {0};
  for (int i = 0; i < 4; ++i) {
    vbyte b = {0};
    memcpy(&b, (const uint8_t *)x + (ptrdiff_t)(4 * p + (size_t)i) * rs + at, n);
    bits |= __builtin_convertvector(b, vu) << (8 * i);
  }
  return (vf)bits;
}
#if MILO_ISA > 0
FN __m256 unit_column(const void *x, ptrdiff_t at, const source from) {
  (void)from;
  return _mm256_loadu_ps((const float *)(const void *)((const uint8_t *)x + at));
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
  const size_t units = ((k + GROUP - 1) / GROUP + LEFT_UNITS - 1) / LEFT_UNITS * LEFT_UNITS;
  const size_t full = k / GROUP;
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

#if MILO_LEFT_UNITS > 1
enum { CELL = 16 };  // units and rows of one tile

// cell[q][j] to out[j][q], rows of CELL.
FN void turn_cell(float *out, const float *cell) {
#if MILO_ISA > 0
  for (size_t q = 0; q < CELL; q += 8)
    for (size_t j = 0; j < CELL; j += 8) {
      __m256 v[8];
      for (size_t i = 0; i < 8; ++i) v[i] = _mm256_loadu_ps(cell + (q + i) * CELL + j);
      transpose8(v);
      for (size_t i = 0; i < 8; ++i) _mm256_storeu_ps(out + (j + i) * CELL + q, v[i]);
    }
#else
  for (size_t q = 0; q < CELL; ++q)
    for (size_t j = 0; j < CELL; ++j) memcpy(out + j * CELL + q, cell + q * CELL + j, 4);
#endif
}

// The left side: cells of CELL rows by CELL units, row by row.
FN void pack_cells(float *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs,
                   ptrdiff_t cs, const size_t w, const source from) {
  const size_t full = k / GROUP / CELL * CELL,
               units = (k + GROUP * CELL - 1) / (GROUP * CELL) * CELL;
  const ptrdiff_t bytes = (ptrdiff_t)source_bytes(from);
  for (size_t j0 = 0; j0 < n; j0 += w, out += panel)
    for (size_t j = 0; j < w; j += CELL)
      for (size_t q = 0; q < units; q += CELL) {
        float *to = out + q * w + j * CELL;
        const size_t rows = j0 + j >= n ? 0 : n - j0 - j < CELL ? n - j0 - j : CELL;
        const char *row = (const char *)x + (ptrdiff_t)(j0 + j) * cs * bytes;
        if (cs == 1 && rows == CELL && q < full) {
          float cell[CELL * CELL];
          for (size_t i = 0; i < CELL; ++i)
            for (size_t v = 0; v < CELL; v += VW) {
              const vf part = unit_row(x, q + i, rs, (ptrdiff_t)(j0 + j + v), VW, from);
              vstore(cell + i * CELL + v, part);
            }
          turn_cell(to, cell);
          continue;
        }
        for (size_t i = 0; i < rows; ++i, row += cs * bytes) {
#if MILO_ISA > 0
          if (rs == 1 && q < full) {
            for (size_t u = 0; u < CELL; u += 8)
              _mm256_storeu_ps(to + i * CELL + u,
                               unit_column(row, (ptrdiff_t)((q + u) * GROUP), from));
            continue;
          }
#endif
          for (size_t u = 0; u < CELL; ++u) to[i * CELL + u] = unit(row, q + u, k, rs, from);
        }
        memset(to + rows * CELL, 0, (CELL - rows) * CELL * sizeof *to);
      }
}
#endif

#if MILO_LEFT_BIAS
FN void add_bias(float *out, size_t panel, size_t units, size_t n, size_t w) {
  for (size_t j = 0; j < n; j += w, out += panel)
    for (size_t i = 0; i < units * w; ++i) {
      uint32_t bits;
      memcpy(&bits, out + i, sizeof bits);
      bits ^= 0x80808080u;
      memcpy(out + i, &bits, sizeof bits);
    }
}
#endif

FN void pack_left(float *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs,
                  ptrdiff_t cs, const source from) {
#if MILO_LEFT_UNITS > 1
  pack_cells(out, panel, x, k, n, rs, cs, MR, from);
#else
  pack_panels(out, panel, x, k, n, rs, cs, MR, from);
#endif
#if MILO_LEFT_BIAS
  add_bias(out, panel, (k + GROUP - 1) / GROUP, n, MR);
#endif
}

// Constant widths, so that copies are unrolled.
#define PACK(id, from)                                                                            \
  TARGET static void id(void *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs, \
                        ptrdiff_t cs, size_t w) {                                                 \
    if (w == NR)                                                                                  \
      pack_panels(out, panel, x, k, n, rs, cs, NR, from);                                         \
    else if (w == MR)                                                                             \
      pack_left(out, panel, x, k, n, rs, cs, from);                                               \
  }
#if MILO_MODE < 2
PACK(pack_fp32, FP32)
PACK(pack_fp16, FP16)
PACK(pack_bf16, BF16)
#else
PACK(pack_int8, INT8)
#endif
#undef PACK

#if MILO_MODE == 2
TARGET static void scale_sums(float *out, const void *sums, size_t n, float row,
                              const float *columns) {
  const int32_t *from = sums;
  for (size_t j = 0; j < n; ++j) {
    const float v = (float)from[j] * row;
    out[j] = columns != NULL ? v * columns[j] : v;
  }
}
#endif

// What all rows made of these packers say of themselves.
#if MILO_MODE < 2
#define MILO_PRODUCT_PACKERS .pack_fp32 = pack_fp32, .pack_fp16 = pack_fp16, .pack_bf16 = pack_bf16
#define MILO_PRODUCT_SUM MILO_FP32
#else
#define MILO_PRODUCT_PACKERS .pack_int8 = pack_int8, .scale_sums = scale_sums
#define MILO_PRODUCT_SUM MILO_INT32
#endif
#define MILO_PRODUCT_MODE \
  (MILO_MODE == 0 ? MILO_NUMERIC_EXACT : MILO_MODE == 1 ? MILO_NUMERIC_BF16 : MILO_NUMERIC_INT8)
#define MILO_PRODUCT_ELEMENT (MILO_MODE == 0 ? MILO_FP32 : MILO_MODE == 1 ? MILO_BF16 : MILO_INT8)

#endif
