// SPDX-License-Identifier: MIT
// Vectors of floats for one instruction set, chosen by MILO_SIMD before this file is included:
// 0 what every machine of the architecture has, 1 AVX2 + FMA + F16C, 2 AVX-512. Included once by
// each file of variants; everything here is private to that file and inlined.
#ifndef MILO_KERNELS_SIMD_H
#define MILO_KERNELS_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/number.h"

// Which instructions to use; a test sets it to 0 to run wide vectors on a machine without them.
#ifndef MILO_ISA
#define MILO_ISA MILO_SIMD
#endif
#if MILO_SIMD == 0 && defined(__SSE2__)
#define MILO_SSE 1
#else
#define MILO_SSE 0
#endif
#if MILO_SIMD == 0 && defined(__ARM_NEON)
#define MILO_NEON 1
#else
#define MILO_NEON 0
#endif

#if MILO_ISA > 0 || MILO_SSE
#include <immintrin.h>
#elif MILO_NEON
#include <arm_neon.h>
#endif

#ifdef MILO_TARGET
#define TARGET __attribute__((target(MILO_TARGET)))
#elif MILO_ISA == 1
#define TARGET __attribute__((target("avx2,fma,f16c")))
#elif MILO_ISA == 2
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#else
#define TARGET
#endif
#define FN static inline __attribute__((always_inline)) TARGET

// VW: lanes. MR, NR: rows and columns of a matrix tile that stays in registers.
#if MILO_SIMD == 1
enum { VW = 8, ROOM = 6 };
#elif MILO_SIMD == 2
enum { VW = 16, ROOM = 12 };
#elif MILO_NEON
enum { VW = 4, ROOM = 8 };
#else
enum { VW = 4, ROOM = 4 };
#endif
#ifdef MILO_MR
enum { MR = MILO_MR };
#else
enum { MR = ROOM };
#endif
#ifdef MILO_NR
enum { NR = MILO_NR };
#else
enum { NR = 2 * VW };
#endif

typedef float vf __attribute__((vector_size(4 * VW)));
typedef int32_t vi __attribute__((vector_size(4 * VW)));
typedef uint32_t vu __attribute__((vector_size(4 * VW)));  // for sums of bits that may wrap around
typedef uint16_t vhalf __attribute__((vector_size(2 * VW)));

FN vf vload(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
FN void vstore(float *p, vf v) { memcpy(p, &v, sizeof v); }

FN vf vset(float x) {
#if MILO_ISA == 1
  return (vf)_mm256_set1_ps(x);
#elif MILO_ISA == 2
  return (vf)_mm512_set1_ps(x);
#elif MILO_SSE
  return (vf)_mm_set1_ps(x);
#else
  vf v;
  for (int i = 0; i < VW; ++i) v[i] = x;
  return v;
#endif
}
FN vi vseti(int32_t x) {
  vi v = {0};
  return v + x;
}

// First n < VW lanes, the rest 0; and the way back.
FN vf vload_n(const float *p, size_t n) {
#if MILO_ISA == 1
  static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return (vf)_mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)(mask + 8 - n)));
#elif MILO_ISA == 2
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  float t[VW] = {0};
  for (size_t i = 0; i < n; ++i) t[i] = p[i];
  return vload(t);
#endif
}
FN void vstore_n(float *p, vf v, size_t n) {
#if MILO_ISA == 1
  // By halves: masked stores are slow on some processors.
  __m128 part = _mm256_castps256_ps128((__m256)v);
  if (n & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps((__m256)v, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi((__m64 *)p, part);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
#elif MILO_ISA == 2
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  float t[VW];
  vstore(t, v);
  for (size_t i = 0; i < n; ++i) p[i] = t[i];
#endif
}

// a * b + c, rounded once where the machine can.
FN vf vfma(vf a, vf b, vf c) {
#if MILO_ISA == 1
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif MILO_ISA == 2
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif MILO_NEON
  return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

FN vf vsqrt(vf x) {
#if MILO_ISA == 1
  return (vf)_mm256_sqrt_ps((__m256)x);
#elif MILO_ISA == 2
  return (vf)_mm512_sqrt_ps((__m512)x);
#elif MILO_SSE
  return (vf)_mm_sqrt_ps((__m128)x);
#elif MILO_NEON
  return (vf)vsqrtq_f32((float32x4_t)x);
#else
  for (int i = 0; i < VW; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

FN vf vsel(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
FN vi viabs(vi x) { return x & 0x7fffffff; }
FN vf vabs(vf x) { return (vf)((vi)x & 0x7fffffff); }
FN vf vneg(vf x) { return (vf)((vi)x ^ (int32_t)0x80000000); }
// NaN if either is NaN.
FN vf vmax(vf a, vf b) { return vsel((vi)(a > b) | (vi)(a != a), a, b); }
FN vf vmin(vf a, vf b) { return vsel((vi)(a < b) | (vi)(a != a), a, b); }
// The greater one; b if either is NaN.
FN vf vmax_fast(vf a, vf b) {
#if MILO_ISA == 1
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif MILO_ISA == 2
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif MILO_SSE
  return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
  return vsel((vi)(a > b), a, b);
#endif
}

FN float vsum(vf v) {
  float t[VW];
  vstore(t, v);
  for (int w = VW / 2; w > 0; w /= 2)
    for (int i = 0; i < w; ++i) t[i] += t[i + w];
  return t[0];
}
FN float vhmax(vf v) {
  float t[VW];
  vstore(t, v);
  for (int i = 1; i < VW; ++i) t[0] = t[i] > t[0] || t[i] != t[i] ? t[i] : t[0];
  return t[0];
}

// Nearest integer (ties to even) of |x| < 2^22, as a float and in *out.
FN vf vround_int(vf x, vi *out) {
  const vf magic = vset(12582912.0f);  // 1.5 * 2^23
  const vf t = x + magic;
  *out = (vi)((vu)t - (vu)magic);
  return t - magic;
}
FN vf vpow2(vi n) { return (vf)(((vu)n + 127) << 23); }  // -126 <= n <= 127

#endif
