// SPDX-License-Identifier: MIT
// One row of the table of products of few rows: defines MILO_FEW, a milo_few (few.h), from
// MILO_SIMD, MILO_FEW_NAME and MILO_FEW_CAPS. Included by each file of variants, last.
//
// The matrix is read as four streams, one a quarter of its rows: streams that go on for long are
// what the processor fetches ahead (four rows side by side, so that a stream ends with each, were
// read at a third of the speed). A row of each goes through the rows of the left side while it is
// in L1. Two sums each hide the latency of the multiply-add.
#include "base/cpu.h"
#include "kernels/few.h"
#include "kernels/simd.h"

typedef enum source { FP32, FP16, BF16, INT8 } source;

FN size_t source_bytes(const source from) { return from == FP32 ? 4 : from == INT8 ? 1 : 2; }

// VW consecutive elements.
FN vf widen(const void *x, const source from) {
  if (from == FP32) return vload(x);
  if (from == INT8) {
#if MILO_ISA == 1
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(x)));
#elif MILO_ISA == 2
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(x)));
#elif MILO_SSE
    int32_t four;
    memcpy(&four, x, sizeof four);
    const __m128i zero = _mm_setzero_si128(), b = _mm_unpacklo_epi8(zero, _mm_cvtsi32_si128(four));
    return (vf)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(zero, b), 24));
#elif MILO_NEON
    int32_t four;
    memcpy(&four, x, sizeof four);
    const int16x8_t b = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(b)));
#else
    typedef int8_t vbyte __attribute__((vector_size(VW)));
    vbyte b;
    memcpy(&b, x, sizeof b);
    return __builtin_convertvector(b, vf);
#endif
  }
  vhalf h;
  memcpy(&h, x, sizeof h);
  if (from == BF16) return (vf)(__builtin_convertvector(h, vu) << 16);
#if MILO_ISA == 1
  return (vf)_mm256_cvtph_ps((__m128i)h);
#elif MILO_ISA == 2
  return (vf)_mm512_cvtph_ps((__m256i)h);
#elif MILO_NEON
  return (vf)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)h));
#else
  vf v;
  for (int i = 0; i < VW; ++i) v[i] = milo_fp16_to_f32(h[i]);
  return v;
#endif
}

// The first n < VW, the rest 0.
FN vf widen_n(const void *x, size_t n, const source from) {
  if (from == FP32) return vload_n(x, n);
  unsigned char room[2 * VW] = {0};
  memcpy(room, x, n * source_bytes(from));
  return widen(room, from);
}

enum { STREAMS = 4 };

// Row j of each stream of n rows in all; the last row where a stream is shorter.
FN void rows_at(const char *out[STREAMS], size_t j, size_t n, const void *w, size_t ldw,
                const source from) {
  const size_t stream = (n + STREAMS - 1) / STREAMS;
  for (size_t r = 0; r < STREAMS; ++r) {
    const size_t at = j + r * stream < n ? j + r * stream : n - 1;
    out[r] = (const char *)w + at * ldw * source_bytes(from);
  }
}

FN void store_sums(float *c, size_t j, size_t n, const vf s[STREAMS]) {
  const size_t stream = (n + STREAMS - 1) / STREAMS;
  for (size_t r = 0; r < STREAMS; ++r)
    if (j + r * stream < n) c[j + r * stream] = vsum(s[r]);
}

// s[r] += dot(a, w[r]) over k elements. Inlined, so that s stays in registers.
FN void dot4(vf s[4], size_t k, const float *a, const char *const w[4], const source from) {
  const size_t bytes = source_bytes(from);
  vf s0 = s[0], s1 = s[1], s2 = s[2], s3 = s[3];
  vf t0 = vset(0.0f), t1 = t0, t2 = t0, t3 = t0;
  size_t p = 0;
  for (; p + 2 * VW <= k; p += 2 * VW) {
    const vf u = vload(a + p), v = vload(a + p + VW);
    const size_t at = p * bytes, next = (p + VW) * bytes;
    s0 = vfma(u, widen(w[0] + at, from), s0);
    s1 = vfma(u, widen(w[1] + at, from), s1);
    s2 = vfma(u, widen(w[2] + at, from), s2);
    s3 = vfma(u, widen(w[3] + at, from), s3);
    t0 = vfma(v, widen(w[0] + next, from), t0);
    t1 = vfma(v, widen(w[1] + next, from), t1);
    t2 = vfma(v, widen(w[2] + next, from), t2);
    t3 = vfma(v, widen(w[3] + next, from), t3);
  }
  if (p + VW <= k) {
    const vf u = vload(a + p);
    s0 = vfma(u, widen(w[0] + p * bytes, from), s0);
    s1 = vfma(u, widen(w[1] + p * bytes, from), s1);
    s2 = vfma(u, widen(w[2] + p * bytes, from), s2);
    s3 = vfma(u, widen(w[3] + p * bytes, from), s3);
    p += VW;
  }
  if (p < k) {
    const vf u = vload_n(a + p, k - p);
    s0 = vfma(u, widen_n(w[0] + p * bytes, k - p, from), s0);
    s1 = vfma(u, widen_n(w[1] + p * bytes, k - p, from), s1);
    s2 = vfma(u, widen_n(w[2] + p * bytes, k - p, from), s2);
    s3 = vfma(u, widen_n(w[3] + p * bytes, k - p, from), s3);
  }
  s[0] = s0 + t0;
  s[1] = s1 + t1;
  s[2] = s2 + t2;
  s[3] = s3 + t3;
}

FN void dot(size_t m, size_t n, size_t k, const float *a, size_t lda, const void *w, size_t ldw,
            float *c, size_t ldc, const source from) {
  for (size_t j = 0; j < (n + STREAMS - 1) / STREAMS; ++j) {
    const char *rows[STREAMS];
    rows_at(rows, j, n, w, ldw, from);
    for (size_t i = 0; i < m; ++i) {
      vf s[STREAMS] = {vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f)};
      dot4(s, k, a + i * lda, rows, from);
      store_sums(c + i * ldc, j, n, s);
    }
  }
}

// Four vectors of columns at a time go down all rows.
FN void mix(size_t m, size_t n, size_t k, const float *a, size_t lda, const void *w, size_t ldw,
            float *c, size_t ldc, const source from) {
  const size_t bytes = source_bytes(from);
  for (size_t i = 0; i < m; ++i) {
    const float *x = a + i * lda;
    size_t j = 0;
    for (; j + 4 * VW <= n; j += 4 * VW) {
      vf s0 = vset(0.0f), s1 = s0, s2 = s0, s3 = s0;
      for (size_t p = 0; p < k; ++p) {
        const char *from_row = (const char *)w + (p * ldw + j) * bytes;
        const vf u = vset(x[p]);
        s0 = vfma(u, widen(from_row, from), s0);
        s1 = vfma(u, widen(from_row + VW * bytes, from), s1);
        s2 = vfma(u, widen(from_row + 2 * VW * bytes, from), s2);
        s3 = vfma(u, widen(from_row + 3 * VW * bytes, from), s3);
      }
      float *to = c + i * ldc + j;
      vstore(to, s0);
      vstore(to + VW, s1);
      vstore(to + 2 * VW, s2);
      vstore(to + 3 * VW, s3);
    }
    for (; j < n; j += VW) {
      const size_t l = n - j < VW ? n - j : VW;
      vf s = vset(0.0f);
      for (size_t p = 0; p < k; ++p) {
        const char *at = (const char *)w + (p * ldw + j) * bytes;
        s = vfma(vset(x[p]), l == VW ? widen(at, from) : widen_n(at, l, from), s);
      }
      if (l == VW)
        vstore(c + i * ldc + j, s);
      else
        vstore_n(c + i * ldc + j, s, l);
    }
  }
}

#define FEW(id, from)                                                                   \
  TARGET static void dot_##id(size_t m, size_t n, size_t k, const float *a, size_t lda, \
                              const void *w, size_t ldw, float *c, size_t ldc) {        \
    dot(m, n, k, a, lda, w, ldw, c, ldc, from);                                         \
  }                                                                                     \
  TARGET static void mix_##id(size_t m, size_t n, size_t k, const float *a, size_t lda, \
                              const void *w, size_t ldw, float *c, size_t ldc) {        \
    mix(m, n, k, a, lda, w, ldw, c, ldc, from);                                         \
  }
FEW(fp32, FP32)
FEW(fp16, FP16)
FEW(bf16, BF16)
#undef FEW

// A group's sum is multiplied by its scale once.
TARGET static void dot_int8(size_t m, size_t n, size_t k, const float *a, size_t lda,
                            const int8_t *w, size_t ldw, const float *scales, size_t lds,
                            size_t group, float *c, size_t ldc) {
  const size_t stream = (n + STREAMS - 1) / STREAMS;
  for (size_t j = 0; j < stream; ++j) {
    const char *rows[STREAMS];
    rows_at(rows, j, n, w, ldw, INT8);
    for (size_t i = 0; i < m; ++i) {
      const vf zero = vset(0.0f);
      vf s[4] = {zero, zero, zero, zero};
      for (size_t p = 0, g = 0; p < k; p += group, ++g) {
        const char *const at[4] = {rows[0] + p, rows[1] + p, rows[2] + p, rows[3] + p};
        vf own[4] = {zero, zero, zero, zero};
        dot4(own, k - p < group ? k - p : group, a + i * lda + p, at, INT8);
        for (size_t r = 0; r < 4; ++r) {
          const size_t row = j + r * stream < n ? j + r * stream : n - 1;
          const float scale = scales[row * lds + g];
          s[r] = vfma(own[r], vset(scale), s[r]);
        }
      }
      store_sums(c + i * ldc, j, n, s);
    }
  }
}

TARGET static void scale_int8(float *out, const int8_t *w, const float *scales, size_t group,
                              size_t n) {
  for (size_t first = 0, g = 0; first < n; first += group, ++g) {
    const size_t end = n - first < group ? n : first + group;
    const vf scale = vset(scales[g]);
    size_t p = first;
    for (; p + VW <= end; p += VW) vstore(out + p, widen(w + p, INT8) * scale);
    if (p < end) vstore_n(out + p, widen_n(w + p, end - p, INT8) * scale, end - p);
  }
}

const milo_few MILO_FEW = {
    .name = MILO_FEW_NAME,
    .caps = MILO_FEW_CAPS,
    .dot_fp32 = dot_fp32,
    .dot_fp16 = dot_fp16,
    .dot_bf16 = dot_bf16,
    .mix_fp32 = mix_fp32,
    .mix_fp16 = mix_fp16,
    .mix_bf16 = mix_bf16,
    .dot_int8 = dot_int8,
    .scale_int8 = scale_int8,
};
