// SPDX-License-Identifier: MIT
// Elementwise functions and conversions of one set, see kernels.h.
#include <math.h>

#include "kernels/vmath.h"

FN vf vflag(vi mask) { return (vf)(mask & 0x3f800000); }

// |x| >= 2^23 is an integer already; below, adding 2^23 leaves no room for a fraction. The sign of
// zero is kept.
FN vf vround(vf x) {
  const vf a = vabs(x);
  const vf t = (a + 8388608.0f) - 8388608.0f;
  return vsel((vi)(a < 8388608.0f), (vf)((vi)t | ((vi)x & (int32_t)0x80000000)), x);
}
FN vf vfloor(vf x) {
  const vf r = vround(x);
  const vf y = r - vsel((vi)(r > x), vset(1.0f), vset(0.0f));
  return (vf)((vi)y | ((vi)x & (int32_t)0x80000000));
}
FN vf vceil(vf x) { return vneg(vfloor(vneg(x))); }

// As IEEE 754 has it: NaN if either is NaN, -0 below +0. Equal numbers that are no zeros have equal
// bits.
FN vf vmaximum(vf a, vf b) { return vmax(a, vsel((vi)(a == b), (vf)((vi)a & (vi)b), b)); }
FN vf vminimum(vf a, vf b) { return vmin(a, vsel((vi)(a == b), (vf)((vi)a | (vi)b), b)); }
// What is below low becomes low, what is above high high, all else (-0, NaN) stays.
FN vf vclip(vf x, vf low, vf high) {
  return vsel((vi)(x < low), low, vsel((vi)(x > high), high, x));
}

FN vf vsilu(vf x) {
  const vf e = vexp(vneg(vabs(x)));
  return vsel((vi)(x < 0.0f), x * e, x) / (1.0f + e);
}
FN vf vexpm1(vf x) {
  const vf e = vexp(x) - 1.0f;
  vf q = vset(1.991937757e-04f);
  q = vfma(q, x, vset(1.394722497e-03f));
  q = vfma(q, x, vset(8.333262643e-03f));
  q = vfma(q, x, vset(4.166625375e-02f));
  q = vfma(q, x, vset(1.666666687e-01f));
  q = vfma(q, x, vset(5.000000083e-01f));
  return vsel((vi)(vabs(x) < 0.34f), vfma(q * x, x, x), e);
}
// log(1 + e), 0 <= e <= 1: what rounding 1 + e lost goes back in as a factor.
FN vf vlog1p_unit(vf e) {
  const vf u = 1.0f + e;
  const vf d = u - 1.0f;
  const vi same = (vi)(d == 0.0f);
  return vsel(same, e, vlog(u) * (e / vsel(same, vset(1.0f), d)));
}

// The remainder with the divisor's sign.
static inline float python_mod(float x, float y) {
  const float r = fmodf(x, y);
  return r != 0.0f && (r < 0.0f) != (y < 0.0f) ? r + y : r;
}

#define UNARY(id, expression, definition)                                                \
  TARGET static void unary_##id(float *out, const float *in, size_t n, const float *p) { \
    const vf p0 = vset(p ? p[0] : 0.0f), p1 = vset(p ? p[1] : 0.0f);                     \
    (void)p0;                                                                            \
    (void)p1;                                                                            \
    size_t i = 0;                                                                        \
    for (; i + VW <= n; i += VW) {                                                       \
      const vf x = vload(in + i);                                                        \
      vstore(out + i, expression);                                                       \
    }                                                                                    \
    if (i < n) {                                                                         \
      const vf x = vload_n(in + i, n - i);                                               \
      vstore_n(out + i, expression, n - i);                                              \
    }                                                                                    \
  }
#define SCALAR(id, expression, definition)                                        \
  static void unary_##id(float *out, const float *in, size_t n, const float *p) { \
    (void)p;                                                                      \
    for (size_t i = 0; i < n; ++i) {                                              \
      const float x = in[i];                                                      \
      out[i] = expression;                                                        \
    }                                                                             \
  }
#define BINARY(id, expression, definition)                                                      \
  TARGET static void binary_##id(float *out, const float *left, const float *right, size_t n) { \
    size_t i = 0;                                                                               \
    for (; i + VW <= n; i += VW) {                                                              \
      const vf x = vload(left + i), y = vload(right + i);                                       \
      vstore(out + i, expression);                                                              \
    }                                                                                           \
    if (i < n) {                                                                                \
      const vf x = vload_n(left + i, n - i), y = vload_n(right + i, n - i);                     \
      vstore_n(out + i, expression, n - i);                                                     \
    }                                                                                           \
  }
#define SCALAR2(id, expression, definition)                                              \
  static void binary_##id(float *out, const float *left, const float *right, size_t n) { \
    for (size_t i = 0; i < n; ++i) {                                                     \
      const float x = left[i], y = right[i];                                             \
      out[i] = expression;                                                               \
    }                                                                                    \
  }
#include "kernels/elementwise.def"

TARGET static void select_f32(float *out, const float *cond, const float *x, const float *y,
                              size_t n) {
  size_t i = 0;
  for (; i + VW <= n; i += VW)
    vstore(out + i, vsel((vi)(vload(cond + i) != 0.0f), vload(x + i), vload(y + i)));
  if (i < n) {
    const vi mask = (vi)(vload_n(cond + i, n - i) != 0.0f);
    vstore_n(out + i, vsel(mask, vload_n(x + i, n - i), vload_n(y + i, n - i)), n - i);
  }
}

TARGET static void scale_f32(float *out, const float *x, size_t n, float factor, float offset) {
  const vf f = vset(factor), o = vset(offset);
  size_t i = 0;
  for (; i + VW <= n; i += VW) vstore(out + i, vload(x + i) * f + o);
  if (i < n) vstore_n(out + i, vload_n(x + i, n - i) * f + o, n - i);
}

TARGET static void axpy(float *out, float factor, const float *x, size_t n) {
  const vf f = vset(factor);
  size_t i = 0;
  for (; i + VW <= n; i += VW) vstore(out + i, vfma(f, vload(x + i), vload(out + i)));
  if (i < n) vstore_n(out + i, vfma(f, vload_n(x + i, n - i), vload_n(out + i, n - i)), n - i);
}

TARGET static void weigh(float *out, const float *x, const ptrdiff_t *offsets, const float *weights,
                         size_t terms, size_t n, float start) {
  size_t i = 0;
  for (; i + 4 * VW <= n; i += 4 * VW) {
    vf s0 = vset(start), s1 = s0, s2 = s0, s3 = s0;
    for (size_t t = 0; t < terms; ++t) {
      const float *from = x + offsets[t] + i;
      const vf f = vset(weights[t]);
      s0 = vfma(f, vload(from), s0);
      s1 = vfma(f, vload(from + VW), s1);
      s2 = vfma(f, vload(from + 2 * VW), s2);
      s3 = vfma(f, vload(from + 3 * VW), s3);
    }
    vstore(out + i, s0);
    vstore(out + i + VW, s1);
    vstore(out + i + 2 * VW, s2);
    vstore(out + i + 3 * VW, s3);
  }
  for (; i + VW <= n; i += VW) {
    vf s = vset(start);
    for (size_t t = 0; t < terms; ++t) s = vfma(vset(weights[t]), vload(x + offsets[t] + i), s);
    vstore(out + i, s);
  }
  if (i == n) return;
  vf s = vset(start);
  for (size_t t = 0; t < terms; ++t)
    s = vfma(vset(weights[t]), vload_n(x + offsets[t] + i, n - i), s);
  vstore_n(out + i, s, n - i);
}

// ---- half precision ----

TARGET static void fp16_to_f32(float *out, const milo_fp16 *x, size_t n) {
  size_t i = 0;
#if MILO_ISA == 1
  for (; i + VW <= n; i += VW)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
#elif MILO_ISA == 2
  for (; i + VW <= n; i += VW)
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(x + i))));
#endif
  for (; i < n; ++i) out[i] = milo_fp16_to_f32(x[i]);
}

TARGET static void f32_to_fp16(milo_fp16 *out, const float *x, size_t n) {
  size_t i = 0;
#if MILO_ISA == 1
  for (; i + VW <= n; i += VW)
    _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
#elif MILO_ISA == 2
  for (; i + VW <= n; i += VW)
    _mm256_storeu_si256((__m256i *)(out + i), _mm512_cvtps_ph(_mm512_loadu_ps(x + i), 0));
#endif
  for (; i < n; ++i) out[i] = milo_f32_to_fp16(x[i]);
}

TARGET static void bf16_to_f32(float *out, const milo_bf16 *x, size_t n) {
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    vhalf h;
    memcpy(&h, x + i, sizeof h);
    vstore(out + i, (vf)(__builtin_convertvector(h, vu) << 16));
  }
  for (; i < n; ++i) out[i] = milo_bf16_to_f32(x[i]);
}

TARGET static void f32_to_bf16(milo_bf16 *out, const float *x, size_t n) {
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    const vf v = vload(x + i);
    const vu bits = (vu)v;
    // To nearest, ties to even; a NaN keeps its upper bits and is made quiet.
    const vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const vu nan = (bits >> 16) | 0x40;
    const vu mask = (vu)(vi)(v != v);
    const vhalf h = __builtin_convertvector((mask & nan) | (~mask & rounded), vhalf);
    memcpy(out + i, &h, sizeof h);
  }
  for (; i < n; ++i) out[i] = milo_f32_to_bf16(x[i]);
}
