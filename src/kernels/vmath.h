// SPDX-License-Identifier: MIT
// exp, log, tanh, sigmoid, erf on vectors. Included after simd.h; private to each file of variants.
//
// Bounds (u = 2^-24, one unit: half an ulp). Each is (polynomial's error, found by fitting against
// double) + (roundings of the last steps); what came before them is scaled down by |r| < 0.35 or
// smaller. tests/kernels/test_elementwise.c measures all of them over every exponent.
//   exp      2 ulp, denormal results included; overflow to inf above 88.7228, NaN stays NaN
//   log      2 ulp; log(0) = -inf, log(negative) = NaN, log(inf) = inf
//   tanh     3 ulp    sigmoid 3 ulp    erf 3 ulp
#ifndef MILO_KERNELS_VMATH_H
#define MILO_KERNELS_VMATH_H

#include "kernels/simd.h"

// exp(r) for |r| <= ln(2)/2: 1 + r + r^2 q(r), q of degree 5, error 5.2e-11 = 0.001 u.
FN vf vexp_poly(vf r) {
  vf q = vset(1.991937757e-04f);
  q = vfma(q, r, vset(1.394722497e-03f));
  q = vfma(q, r, vset(8.333262643e-03f));
  q = vfma(q, r, vset(4.166625375e-02f));
  q = vfma(q, r, vset(1.666666687e-01f));
  q = vfma(q, r, vset(5.000000083e-01f));
  return vfma(q * r, r, r) + 1.0f;
}

// x = n ln 2 + r; ln 2 in two parts, the first with 9 bits so that n times it is exact.
FN vf vexp_reduce(vf x, vi *n) {
  const vf k = vround_int(x * 1.44269504088896341f, n);
  const vf r = vfma(k, vset(-0.693359375f), x);
  return vfma(k, vset(2.12194440e-4f), r);
}

FN vf vexp(vf x) {
  const vf c = vsel((vi)(x > 89.0f), vset(89.0f), vsel((vi)(x < -104.0f), vset(-104.0f), x));
  vi n;
  const vf r = vexp_reduce(c, &n);
  // 2^n in two factors: the second multiplication rounds denormals and overflows.
  const vi half = n >> 1;
  return vexp_poly(r) * vpow2(half) * vpow2(n - half);
}

// exp(x) for x <= 0: results below 2^-126 are 0. NaN stays NaN.
FN vf vexp_neg(vf x) {
  const vi live = ~(vi)(x < -87.0f);
  vi n;
  const vf r = vexp_reduce((vf)((vi)x & live), &n);
  const vf y = (vf)((vu)vexp_poly(r) + ((vu)n << 23));
  return vsel((vi)(x != x), x, (vf)((vi)y & live));
}

// x = 2^e m, m in [sqrt(1/2), sqrt(2)), f = m - 1: log x = e ln 2 + f - f^2/2 + f^3 q(f), q of
// degree 8, relative error 7.3e-10 of f^2 q's share.
FN vf vlog(vf x) {
  const vi tiny = (vi)(x < 1.17549435e-38f);
  const vf s = vsel(tiny, x * 8388608.0f, x);
  const vi bits = (vi)((vu)s - 0x3f3504f3u);
  const vi exponent = (bits >> 23);
  const vf m = (vf)((bits & 0x007fffff) + 0x3f3504f3);
  const vf e = __builtin_convertvector(exponent - (tiny & 23), vf);
  const vf f = m - 1.0f;
  vf q = vset(6.915367983e-02f);
  q = vfma(q, f, vset(-1.178980765e-01f));
  q = vfma(q, f, vset(1.187297631e-01f));
  q = vfma(q, f, vset(-1.238434848e-01f));
  q = vfma(q, f, vset(1.421865809e-01f));
  q = vfma(q, f, vset(-1.666925082e-01f));
  q = vfma(q, f, vset(2.000222661e-01f));
  q = vfma(q, f, vset(-2.499998660e-01f));
  q = vfma(q, f, vset(3.333331044e-01f));
  const vf f2 = f * f;
  vf t = q * f * f2;
  t = vfma(e, vset(-2.12194440e-4f), t);
  t = vfma(f2, vset(-0.5f), t);
  vf y = vfma(e, vset(0.693359375f), f + t);
  y = vsel((vi)(x == 0.0f), vset(-__builtin_inff()), y);
  y = vsel((vi)(x < 0.0f) | (vi)(x != x), vset(__builtin_nanf("")), y);
  return vsel((vi)(x == __builtin_inff()), x, y);
}

// |x| < 0.7: x + x^3 q(x^2), error 6.4e-10 of x^3's share; else 1 - 2 / (exp(2|x|) + 1).
FN vf vtanh(vf x) {
  const vf a = vabs(x);
  const vf s = x * x;
  vf q = vset(1.901799396e-03f);
  q = vfma(q, s, vset(-7.892182943e-03f));
  q = vfma(q, s, vset(2.157583853e-02f));
  q = vfma(q, s, vset(-5.392212315e-02f));
  q = vfma(q, s, vset(1.333299592e-01f));
  q = vfma(q, s, vset(-3.333332507e-01f));
  const vf small = vfma(q * s, a, a);
  const vf e = vexp(vsel((vi)(a > 20.0f), vset(20.0f), a) * 2.0f);
  const vf big = 1.0f - 2.0f / (e + 1.0f);
  const vf y = vsel((vi)(a < 0.7f), small, big);
  return vsel((vi)(x != x), x, (vf)((vi)y | ((vi)x & (int32_t)0x80000000)));
}

// With e = exp(-|x|): 1 / (1 + e) or e / (1 + e), so that neither end loses digits.
FN vf vsigmoid(vf x) {
  const vf e = vexp(vneg(vabs(x)));
  return vsel((vi)(x < 0.0f), e, vset(1.0f)) / (1.0f + e);
}

// erfc(a) for a >= 1: exp(-a^2) t p(t), t = 1 / (1 + a), p of degree 9, relative error 5e-11. The
// part of a^2 that rounding loses goes back in as a factor.
FN vf verfc_tail(vf a) {
  const vf t = 1.0f / (1.0f + a);
  vf p = vset(-2.995602681e+00f);
  p = vfma(p, t, vset(1.000518637e+01f));
  p = vfma(p, t, vset(-1.379132298e+01f));
  p = vfma(p, t, vset(9.332082154e+00f));
  p = vfma(p, t, vset(-2.378732513e+00f));
  p = vfma(p, t, vset(-2.848900729e-01f));
  p = vfma(p, t, vset(-3.337315514e-01f));
  p = vfma(p, t, vset(2.860978623e-01f));
  p = vfma(p, t, vset(5.640122167e-01f));
  p = vfma(p, t, vset(5.641929977e-01f));
  const vf c = vsel((vi)(a > 11.0f), vset(11.0f), a);
  const vf square = c * c;
  const vf lost = vfma(c, c, vneg(square));
  return vexp(vneg(square)) * (1.0f - lost) * (p * t);
}

// |x| < 1: x + x q(x^2), error 3.2e-11.
FN vf verf_small(vf x) {
  const vf s = x * x;
  vf q = vset(-9.680130663e-06f);
  q = vfma(q, s, vset(1.127054235e-04f));
  q = vfma(q, s, vset(-8.484711128e-04f));
  q = vfma(q, s, vset(5.221074854e-03f));
  q = vfma(q, s, vset(-2.686544581e-02f));
  q = vfma(q, s, vset(1.128378275e-01f));
  q = vfma(q, s, vset(-3.761263848e-01f));
  q = vfma(q, s, vset(1.283791671e-01f));
  return vfma(q, x, x);
}

FN vf verf(vf x) {
  const vf a = vabs(x);
  const vf big = 1.0f - verfc_tail(a);
  const vf y = vsel((vi)(a < 1.0f), verf_small(x), (vf)((vi)big | ((vi)x & (int32_t)0x80000000)));
  return vsel((vi)(x != x), x, y);
}

// erfc with small relative error on the whole line down to 1e-38.
FN vf verfc(vf x) {
  const vf tail = verfc_tail(vabs(x));
  const vf y = vsel((vi)(x < 0.0f), 2.0f - tail, tail);
  return vsel((vi)(vabs(x) < 1.0f) | (vi)(x != x), 1.0f - verf_small(x), y);
}

#endif
