// SPDX-License-Identifier: MIT
// Functions over rows of one set: sums, exponentials, norms, rotation, AdamW. See kernels.h.

enum { BLOCK = 4096 };  // elements summed in lanes before they go into a double

#define SUM(id, term)                                  \
  TARGET static double id(const float *in, size_t n) { \
    double total = 0;                                  \
    while (n > 0) {                                    \
      const size_t m = n < BLOCK ? n : BLOCK;          \
      vf s0 = vset(0.0f), s1 = s0, s2 = s0, s3 = s0;   \
      size_t i = 0;                                    \
      vf x;                                            \
      for (; i + 4 * VW <= m; i += 4 * VW) {           \
        x = vload(in + i);                             \
        s0 = s0 + (term);                              \
        x = vload(in + i + VW);                        \
        s1 = s1 + (term);                              \
        x = vload(in + i + 2 * VW);                    \
        s2 = s2 + (term);                              \
        x = vload(in + i + 3 * VW);                    \
        s3 = s3 + (term);                              \
      }                                                \
      for (; i + VW <= m; i += VW) {                   \
        x = vload(in + i);                             \
        s0 = s0 + (term);                              \
      }                                                \
      if (i < m) {                                     \
        x = vload_n(in + i, m - i);                    \
        s1 = s1 + (term);                              \
      }                                                \
      total += (double)vsum((s0 + s1) + (s2 + s3));    \
      in += m;                                         \
      n -= m;                                          \
    }                                                  \
    return total;                                      \
  }
SUM(sum, x)
SUM(sum_square, x *x)
SUM(sum_abs, vabs(x))
#undef SUM

TARGET static double dot(const float *x, const float *y, size_t n) {
  double total = 0;
  while (n > 0) {
    const size_t m = n < BLOCK ? n : BLOCK;
    vf s0 = vset(0.0f), s1 = s0;
    size_t i = 0;
    for (; i + 2 * VW <= m; i += 2 * VW) {
      s0 = vfma(vload(x + i), vload(y + i), s0);
      s1 = vfma(vload(x + i + VW), vload(y + i + VW), s1);
    }
    for (; i + VW <= m; i += VW) s0 = vfma(vload(x + i), vload(y + i), s0);
    if (i < m) s1 = vfma(vload_n(x + i, m - i), vload_n(y + i, m - i), s1);
    total += (double)vsum(s0 + s1);
    x += m;
    y += m;
    n -= m;
  }
  return total;
}

TARGET static double dot_rows(const float *x, size_t ldx, const float *y, size_t ldy, size_t rows,
                              size_t n) {
  const size_t by = n > 0 ? BLOCK / n : rows;  // rows summed in lanes
  double total = 0;
  if (n > BLOCK) {
    for (size_t r = 0; r < rows; ++r) total += dot(x + r * ldx, y + r * ldy, n);
    return total;
  }
  for (size_t r = 0; r < rows;) {
    const size_t end = rows - r < by ? rows : r + by;
    vf s0 = vset(0.0f), s1 = s0;
    for (; r < end; ++r) {
      const float *a = x + r * ldx, *b = y + r * ldy;
      size_t i = 0;
      for (; i + 2 * VW <= n; i += 2 * VW) {
        s0 = vfma(vload(a + i), vload(b + i), s0);
        s1 = vfma(vload(a + i + VW), vload(b + i + VW), s1);
      }
      for (; i + VW <= n; i += VW) s0 = vfma(vload(a + i), vload(b + i), s0);
      if (i < n) s1 = vfma(vload_n(a + i, n - i), vload_n(b + i, n - i), s1);
    }
    total += (double)vsum(s0 + s1);
  }
  return total;
}

FN bool vany(vi mask) {
  int32_t t[VW], any = 0;
  memcpy(t, &mask, sizeof t);
  for (int i = 0; i < VW; ++i) any |= t[i];
  return any != 0;
}

// sign -1 gives the minimum: -max(-x).
FN float extreme(const float *x, size_t n, bool least) {
  const vi flip = vseti(least ? (int32_t)0x80000000 : 0);
  vf m0 = vset(-__builtin_inff()), m1 = m0;
  vi nan = vseti(0);
  size_t i = 0;
  for (; i + 2 * VW <= n; i += 2 * VW) {
    const vf a = (vf)((vi)vload(x + i) ^ flip), b = (vf)((vi)vload(x + i + VW) ^ flip);
    nan |= (vi)(a != a) | (vi)(b != b);
    m0 = vmax_fast(a, m0);
    m1 = vmax_fast(b, m1);
  }
  float best = vhmax(vmax_fast(m0, m1));
  for (; i < n; ++i) {
    const float a = least ? -x[i] : x[i];
    if (a > best || a != a) best = a;
    if (a != a) break;
  }
  if (vany(nan)) best = __builtin_nanf("");
  // Lanes know no order of zeros: +0 if there is one, as IEEE 754 has it.
  if (best == 0.0f) {
    best = -0.0f;
    for (i = 0; i < n; ++i)
      if (milo_f32_bits(x[i]) == (least ? 0x80000000u : 0u)) best = 0.0f;
  }
  return least ? -best : best;
}
TARGET static float row_max(const float *x, size_t n) { return extreme(x, n, false); }
TARGET static float row_min(const float *x, size_t n) { return extreme(x, n, true); }

TARGET static double exp_sum(float *out, const float *x, size_t n, float shift) {
  const vf h = vset(shift);
  double total = 0;
  for (size_t start = 0; start < n; start += BLOCK) {
    const size_t end = n - start < BLOCK ? n : start + BLOCK;
    vf s0 = vset(0.0f), s1 = s0;
    size_t i = start;
    for (; i + 2 * VW <= end; i += 2 * VW) {
      const vf a = vexp_neg(vload(x + i) - h), b = vexp_neg(vload(x + i + VW) - h);
      vstore(out + i, a);
      vstore(out + i + VW, b);
      s0 = s0 + a;
      s1 = s1 + b;
    }
    float rest = 0;
    while (i < end) {
      const size_t m = end - i < VW ? end - i : VW;
      float t[VW] = {0};
      memcpy(t, x + i, m * sizeof *t);
      vstore(t, vexp_neg(vload(t) - h));
      for (size_t j = 0; j < m; ++j) rest += t[j];
      memcpy(out + i, t, m * sizeof *t);
      i += m;
    }
    total += (double)(vsum(s0 + s1) + rest);
  }
  return total;
}

TARGET static double sum_exp(const float *x, size_t n, float shift) {
  const vf h = vset(shift);
  double total = 0;
  for (size_t start = 0; start < n; start += BLOCK) {
    const size_t end = n - start < BLOCK ? n : start + BLOCK;
    vf s0 = vset(0.0f), s1 = s0;
    size_t i = start;
    for (; i + 2 * VW <= end; i += 2 * VW) {
      s0 = s0 + vexp_neg(vload(x + i) - h);
      s1 = s1 + vexp_neg(vload(x + i + VW) - h);
    }
    float rest = 0;
    while (i < end) {
      const size_t m = end - i < VW ? end - i : VW;
      float t[VW] = {0};
      memcpy(t, x + i, m * sizeof *t);
      vstore(t, vexp_neg(vload(t) - h));
      for (size_t j = 0; j < m; ++j) rest += t[j];
      i += m;
    }
    total += (double)(vsum(s0 + s1) + rest);
  }
  return total;
}

TARGET static void exp_scale(float *out, const float *x, size_t n, float shift, float factor) {
  const vf h = vset(shift), f = vset(factor);
  size_t i = 0;
  for (; i + VW <= n; i += VW) vstore(out + i, vexp_neg(vload(x + i) - h) * f);
  if (i < n) vstore_n(out + i, vexp_neg(vload_n(x + i, n - i) - h) * f, n - i);
}

// ---- norms ----

TARGET static void rms_norm(float *out, const float *x, const float *weight, size_t n,
                            float epsilon) {
  const double mean = sum_square(x, n) / (double)n;
  const float scale = (float)(1.0 / sqrt(mean + (double)epsilon));
  const vf r = vset(scale);
  size_t i = 0;
  for (; i + VW <= n; i += VW) vstore(out + i, vload(x + i) * r * vload(weight + i));
  for (; i < n; ++i) out[i] = x[i] * scale * weight[i];
}

// d/dx of x r w: r (g w) - x r^3 / n * sum(g w x)
TARGET static void rms_norm_grad(float *dx, float *dweight, const float *grad, const float *x,
                                 const float *weight, size_t n, float epsilon) {
  const double mean = sum_square(x, n) / (double)n;
  const double scale = 1.0 / sqrt(mean + (double)epsilon);
  double inner = 0;
  for (size_t start = 0; start < n; start += BLOCK) {
    const size_t end = n - start < BLOCK ? n : start + BLOCK;
    vf s0 = vset(0.0f), s1 = s0;
    size_t i = start;
    for (; i + 2 * VW <= end; i += 2 * VW) {
      s0 = vfma(vload(grad + i) * vload(weight + i), vload(x + i), s0);
      s1 = vfma(vload(grad + i + VW) * vload(weight + i + VW), vload(x + i + VW), s1);
    }
    float rest = 0;
    for (; i < end; ++i) rest += grad[i] * weight[i] * x[i];
    inner += (double)(vsum(s0 + s1) + rest);
  }
  const float r_f = (float)scale;
  const float back_f = (float)(scale * scale * scale * inner / (double)n);
  const vf r = vset(r_f), back = vset(back_f);
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    const vf xi = vload(x + i), g = vload(grad + i);
    vstore(dweight + i, vfma(g * xi, r, vload(dweight + i)));
    vstore(dx + i, g * vload(weight + i) * r - xi * back);
  }
  for (; i < n; ++i) {
    const float xi = x[i], g = grad[i];
    dweight[i] += g * xi * r_f;
    dx[i] = g * weight[i] * r_f - xi * back_f;
  }
}

TARGET static void layer_norm(float *out, const float *x, const float *gamma, const float *beta,
                              size_t n, float epsilon) {
  // A first guess of the mean, then what it is off by: sums of differences lose no digits to a mean
  // that is far from 0.
  const float center = (float)(sum(x, n) / (double)n);
  double first = 0, square = 0;
  for (size_t start = 0; start < n; start += BLOCK) {
    const size_t end = n - start < BLOCK ? n : start + BLOCK;
    vf s = vset(0.0f), s1 = s;
    size_t i = start;
    for (; i + VW <= end; i += VW) {
      const vf d = vload(x + i) - vset(center);
      s1 = s1 + d;
      s = vfma(d, d, s);
    }
    float rest = 0, rest1 = 0;
    for (; i < end; ++i) {
      rest1 += x[i] - center;
      rest += (x[i] - center) * (x[i] - center);
    }
    first += (double)(vsum(s1) + rest1);
    square += (double)(vsum(s) + rest);
  }
  // E(x - c)^2 = var + (mean - c)^2.
  const double mean_off = first / (double)n;
  const float off = (float)mean_off;
  const float scale =
      (float)(1.0 / sqrt(square / (double)n - mean_off * mean_off + (double)epsilon));
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    vf y = (vload(x + i) - center - off) * scale;
    if (gamma) y = y * vload(gamma + i);
    if (beta) y = y + vload(beta + i);
    vstore(out + i, y);
  }
  for (; i < n; ++i) {
    float y = (x[i] - center - off) * scale;
    if (gamma) y *= gamma[i];
    if (beta) y += beta[i];
    out[i] = y;
  }
}

// ---- rotation, gate, optimizer ----

#if MILO_SIMD == 1
#define TWICE(v) __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3)
#define SWAP(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
static const float pair_signs[VW] = {-1, 1, -1, 1, -1, 1, -1, 1};
#elif MILO_SIMD == 2
#define TWICE(v) __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7)
#define SWAP(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
static const float pair_signs[VW] = {-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1};
#else
#define TWICE(v) __builtin_shufflevector(v, v, 0, 0, 1, 1)
#define SWAP(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
static const float pair_signs[VW] = {-1, 1, -1, 1};
#endif

TARGET static void rope(float *out, const float *x, const float *cosine, const float *sine,
                        size_t n, float sign, bool half) {
  const size_t pairs = n / 2;
  size_t i = 0;
  if (half) {
    for (; i + VW <= pairs; i += VW) {
      const vf a = vload(x + i), b = vload(x + pairs + i);
      const vf c = vload(cosine + i), s = vload(sine + i) * sign;
      vstore(out + i, a * c - b * s);
      vstore(out + pairs + i, a * s + b * c);
    }
    for (; i < pairs; ++i) {
      const float a = x[i], b = x[pairs + i], c = cosine[i], s = sine[i] * sign;
      out[i] = a * c - b * s;
      out[pairs + i] = a * s + b * c;
    }
    return;
  }
  const vf signs = vload(pair_signs) * sign;
  for (; i + VW / 2 <= pairs; i += VW / 2) {
    const vf v = vload(x + 2 * i);
    const vf c0 = vload_n(cosine + i, VW / 2), s0 = vload_n(sine + i, VW / 2);
    vstore(out + 2 * i, v * TWICE(c0) + SWAP(v) * (TWICE(s0) * signs));
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], c = cosine[i], s = sine[i] * sign;
    out[2 * i] = a * c - b * s;
    out[2 * i + 1] = a * s + b * c;
  }
}
#undef TWICE
#undef SWAP

TARGET static void silu_gate_grad(float *dx, float *dy, const float *grad, const float *x,
                                  const float *y, size_t n) {
  for (size_t i = 0; i < n; i += VW) {
    const bool whole = n - i >= VW;
    const size_t m = n - i;
    const vf g = whole ? vload(grad + i) : vload_n(grad + i, m);
    const vf a = whole ? vload(x + i) : vload_n(x + i, m);
    const vf b = whole ? vload(y + i) : vload_n(y + i, m);
    const vf s = vsigmoid(a);
    const vf da = g * b * s * (1.0f + a * (1.0f - s)), db = g * (a * s);
    if (whole) {
      vstore(dx + i, da);
      vstore(dy + i, db);
    } else {
      vstore_n(dx + i, da, m);
      vstore_n(dy + i, db, m);
    }
  }
}

TARGET static void attention_ds(float *p, float *ds, size_t n, float lse, float delta,
                                float scale) {
  const vf h = vset(lse), d = vset(delta), f = vset(scale);
  size_t i = 0;
  for (; i + VW <= n; i += VW) {
    const vf e = vexp_neg(vload(p + i) - h);
    vstore(p + i, e);
    vstore(ds + i, e * (vload(ds + i) - d) * f);
  }
  if (i < n) {
    const size_t m = n - i;
    const vf e = vexp_neg(vload_n(p + i, m) - h);
    vstore_n(p + i, e, m);
    vstore_n(ds + i, e * (vload_n(ds + i, m) - d) * f, m);
  }
}

TARGET static void adamw(float *param, float *m, float *v, const float *grad, size_t n,
                         const milo_adamw *step) {
  const float keep = 1.0f - step->lr * step->weight_decay;
  // lr m/bias1 / (sqrt(v/bias2) + eps)
  const vf b1 = vset(step->beta1), b2 = vset(step->beta2);
  const vf c1 = vset(1.0f - step->beta1), c2 = vset(1.0f - step->beta2);
  const vf rate = vset(step->lr / step->bias1), inverse2 = vset(1.0f / step->bias2);
  const vf scale = vset(step->grad_scale), epsilon = vset(step->epsilon), decay = vset(keep);
  for (size_t i = 0; i < n; i += VW) {
    const bool whole = n - i >= VW;
    const size_t rest = n - i;
    const vf g = (whole ? vload(grad + i) : vload_n(grad + i, rest)) * scale;
    const vf m0 = whole ? vload(m + i) : vload_n(m + i, rest);
    const vf v0 = whole ? vload(v + i) : vload_n(v + i, rest);
    const vf p0 = whole ? vload(param + i) : vload_n(param + i, rest);
    const vf m1 = vfma(b1, m0, c1 * g), v1 = vfma(b2, v0, c2 * (g * g));
    const vf p1 = p0 * decay - rate * m1 / (vsqrt(v1 * inverse2) + epsilon);
    if (whole) {
      vstore(m + i, m1);
      vstore(v + i, v1);
      vstore(param + i, p1);
    } else {
      vstore_n(m + i, m1, rest);
      vstore_n(v + i, v1, rest);
      vstore_n(param + i, p1, rest);
    }
  }
}
