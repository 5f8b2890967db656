// SPDX-License-Identifier: MIT
// Kernels over rows against sums in double: sizes around vectors and blocks, at guard pages. Bound
// of a sum: lanes of at most 4,096 / vector elements, 2^-24 each, of the sum of |terms|.
#include "guard.h"

static const size_t sizes[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64, 255, 768, 4095, 4097, 9000};
enum { SIZES = sizeof sizes / sizeof *sizes };

static double bound(size_t n, double terms) {
  return ((n < 4096 ? (double)n : 4096.0) / 4 + 8) * 0x1p-24 * terms + 1e-37;
}

// Sums of shifted rows, and dot products of matrices, whose rows end at the guard.
static void check_shifted(const milo_rows *k) {
  static const size_t counts[] = {0, 1, 2, 5, 9};
  for (size_t s = 0; s < SIZES; s++)
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
      const size_t n = sizes[s], terms = counts[c], ld = n + 3;
      const size_t span = terms > 0 ? (terms - 1) * ld + n : 0;
      const guarded x = guard(span), y = guard(terms * n), out = guard(n), weights = guard(terms);
      ptrdiff_t offsets[16];
      randomize(x.data, span, 1);
      randomize(y.data, terms * n, 2);
      randomize(weights.data, terms, 3);
      // Backwards, so that the first offset is the greatest.
      for (size_t t = 0; t < terms; t++) offsets[t] = (ptrdiff_t)((terms - 1 - t) * ld);
      k->weigh(out.data, x.data, offsets, weights.data, terms, n, 0.5f);
      double dot = 0, dots = 0;
      for (size_t i = 0; i < n; i++) {
        double sum = 0.5, all = 0.5;
        for (size_t t = 0; t < terms; t++) {
          const double term = (double)weights.data[t] * (double)x.data[(size_t)offsets[t] + i];
          const double product = (double)x.data[t * ld + i] * (double)y.data[t * n + i];
          sum += term;
          all += fabs(term);
          dot += product;
          dots += fabs(product);
        }
        CHECK_NEAR((double)out.data[i], sum, bound(terms, all));
      }
      CHECK_NEAR(k->dot_rows(x.data, ld, y.data, n, terms, n), dot, bound(terms * n, dots));
      unguard(x);
      unguard(y);
      unguard(out);
      unguard(weights);
    }
}

static void check_sums(const milo_rows *k) {
  for (size_t s = 0; s < SIZES; s++) {
    const size_t n = sizes[s];
    const guarded x = guard(n), y = guard(n);
    randomize(x.data, n, 1);
    randomize(y.data, n, 2);
    double sum = 0, square = 0, absolute = 0, dot = 0, dots = 0, max = -INFINITY, min = INFINITY;
    for (size_t i = 0; i < n; i++) {
      const double a = (double)x.data[i], b = (double)y.data[i];
      sum += a;
      square += a * a;
      absolute += fabs(a);
      dot += a * b;
      dots += fabs(a * b);
      max = fmax(max, a);
      min = fmin(min, a);
    }
    CHECK_NEAR(k->sum(x.data, n), sum, bound(n, absolute));
    CHECK_NEAR(k->sum_square(x.data, n), square, bound(n, square));
    CHECK_NEAR(k->sum_abs(x.data, n), absolute, bound(n, absolute));
    CHECK_NEAR(k->dot(x.data, y.data, n), dot, bound(n, dots));
    CHECK((double)k->max(x.data, n) == max);
    CHECK((double)k->min(x.data, n) == min);
    double total = 0;
    for (size_t i = 0; i < n; i++) total += exp((double)x.data[i] - 2);
    CHECK_NEAR(k->sum_exp(x.data, n, 2), total, bound(n, total) + 4 * 0x1p-24 * total);
    CHECK_NEAR(k->exp_sum(y.data, x.data, n, 2), total, bound(n, total) + 4 * 0x1p-24 * total);
    for (size_t i = 0; i < n; i++)
      CHECK_NEAR((double)y.data[i], exp((double)(x.data[i] - 2)), 2e-7);
    k->exp_scale(y.data, x.data, n, 2, 3);
    for (size_t i = 0; i < n; i++)
      CHECK_NEAR((double)y.data[i], 3 * exp((double)(x.data[i] - 2)), 6e-7);
    // NaN anywhere is seen; what is far below counts as 0.
    for (size_t i = 0; i < n; i += n / 5 + 1) {
      const float kept = x.data[i];
      x.data[i] = NAN;
      CHECK(isnan(k->max(x.data, n)) && isnan(k->min(x.data, n)) && isnan(k->sum(x.data, n)));
      CHECK(isnan(k->sum_exp(x.data, n, 2)));
      x.data[i] = -INFINITY;
      CHECK_NEAR(k->sum_exp(x.data, n, 2), total - exp((double)kept - 2),
                 bound(n, total) + 4 * 0x1p-24 * total);
      x.data[i] = kept;
    }
    unguard(x);
    unguard(y);
  }
}

static void test_sums(void) { each_variant(check_sums); }
static void test_shifted(void) { each_variant(check_shifted); }

static void check_norms(const milo_rows *k) {
  for (size_t s = 1; s < SIZES; s++) {
    const size_t n = sizes[s];
    const guarded x = guard(n), w = guard(n), g = guard(n), out = guard(n), dw = guard(n);
    randomize(x.data, n, 1);
    randomize(w.data, n, 2);
    randomize(g.data, n, 3);
    double square = 0, inner = 0, mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) {
      const double a = (double)x.data[i];
      square += a * a;
      mean += a / (double)n;
      inner += a * (double)w.data[i] * (double)g.data[i];
    }
    for (size_t i = 0; i < n; i++) variance += pow((double)x.data[i] - mean, 2) / (double)n;
    const double r = 1 / sqrt(square / (double)n + 1e-5);
    k->rms_norm(out.data, x.data, w.data, n, 1e-5f);
    for (size_t i = 0; i < n; i++)
      CHECK_NEAR((double)out.data[i], (double)x.data[i] * r * (double)w.data[i], 3e-6);
    for (size_t i = 0; i < n; i++) dw.data[i] = 1;
    k->rms_norm_grad(out.data, dw.data, g.data, x.data, w.data, n, 1e-5f);
    for (size_t i = 0; i < n; i++) {
      const double a = (double)x.data[i], gi = (double)g.data[i];
      CHECK_NEAR((double)dw.data[i], 1 + gi * a * r, 3e-6);
      CHECK_NEAR((double)out.data[i],
                 r * gi * (double)w.data[i] - a * r * r * r * inner / (double)n, 2e-5 * (1 + r));
    }
    k->layer_norm(out.data, x.data, w.data, g.data, n, 1e-5f);
    for (size_t i = 0; i < n; i++)
      CHECK_NEAR((double)out.data[i],
                 ((double)x.data[i] - mean) / sqrt(variance + 1e-5) * (double)w.data[i] +
                     (double)g.data[i],
                 1e-5);
    unguard(x);
    unguard(w);
    unguard(g);
    unguard(out);
    unguard(dw);
  }
}

static void test_norms(void) { each_variant(check_norms); }

static void check_rope(const milo_rows *k) {
  for (size_t pairs = 0; pairs < 40; pairs++)
    for (int mode = 0; mode < 4; mode++) {
      const bool half = mode & 1;
      const float sign = mode & 2 ? -1 : 1;
      const guarded x = guard(2 * pairs), c = guard(pairs), s = guard(pairs);
      const guarded out = guard(2 * pairs);
      randomize(x.data, 2 * pairs, 1);
      randomize(c.data, pairs, 2);
      randomize(s.data, pairs, 3);
      k->rope(out.data, x.data, c.data, s.data, 2 * pairs, sign, half);
      for (size_t p = 0; p < pairs; p++) {
        const size_t i = half ? p : 2 * p, j = half ? p + pairs : 2 * p + 1;
        const double a = (double)x.data[i], b = (double)x.data[j];
        const double cp = (double)c.data[p], sp = (double)(s.data[p] * sign);
        CHECK_NEAR((double)out.data[i], a * cp - b * sp, 1e-6);
        CHECK_NEAR((double)out.data[j], a * sp + b * cp, 1e-6);
      }
      k->rope(x.data, x.data, c.data, s.data, 2 * pairs, sign, half);
      CHECK(memcmp(x.data, out.data, 2 * pairs * sizeof(float)) == 0);
      unguard(x);
      unguard(c);
      unguard(s);
      unguard(out);
    }
}

static void test_rope(void) { each_variant(check_rope); }

static void check_training(const milo_rows *k) {
  for (size_t n = 0; n < 40; n++) {
    const guarded p = guard(n), m = guard(n), v = guard(n), g = guard(n), a = guard(n),
                  b = guard(n);
    randomize(p.data, n, 1);
    randomize(m.data, n, 2);
    randomize(v.data, n, 3);
    randomize(g.data, n, 4);
    for (size_t i = 0; i < n; i++) v.data[i] = fabsf(v.data[i]);
    const milo_adamw step = {0.01f, 0.5f, 0.3f, 0.2f, 0.9f, 0.95f, 1e-8f, 0.1f};
    k->silu_gate_grad(a.data, b.data, g.data, p.data, m.data, n);
    for (size_t i = 0; i < n; i++) {
      const double x = (double)p.data[i], y = (double)m.data[i], gi = (double)g.data[i];
      const double s = 1 / (1 + exp(-x));
      CHECK_NEAR((double)a.data[i], gi * y * s * (1 + x * (1 - s)), 3e-6);
      CHECK_NEAR((double)b.data[i], gi * x * s, 2e-6);
    }
    memcpy(a.data, p.data, n * sizeof(float));
    memcpy(b.data, g.data, n * sizeof(float));
    k->attention_ds(a.data, b.data, n, 2, 0.25f, 0.5f);
    for (size_t i = 0; i < n; i++) {
      const double e = exp((double)p.data[i] - 2);
      CHECK_NEAR((double)a.data[i], e, 3e-7);
      CHECK_NEAR((double)b.data[i], e * ((double)g.data[i] - 0.25) * 0.5, 1e-6);
    }
    memcpy(a.data, p.data, n * sizeof(float));
    memcpy(b.data, m.data, n * sizeof(float));
    float old[40];
    memcpy(old, v.data, n * sizeof(float));
    k->adamw(p.data, m.data, v.data, g.data, n, &step);
    for (size_t i = 0; i < n; i++) {
      const double gi = (double)g.data[i] * 0.5;
      const double m1 = (double)0.9f * (double)b.data[i] + (1 - (double)0.9f) * gi;
      const double v1 = (double)0.95f * (double)old[i] + (1 - (double)0.95f) * gi * gi;
      const double update = m1 / (double)0.3f / (sqrt(v1 / (double)0.2f) + 1e-8);
      CHECK_NEAR((double)m.data[i], m1, 1e-6);
      CHECK_NEAR((double)v.data[i], v1, 1e-6);
      CHECK_NEAR((double)p.data[i],
                 (double)a.data[i] - (double)0.01f * (update + (double)0.1f * (double)a.data[i]),
                 1e-6);
    }
    unguard(p);
    unguard(m);
    unguard(v);
    unguard(g);
    unguard(a);
    unguard(b);
  }
}

static void test_training(void) { each_variant(check_training); }

int main(void) {
  RUN(test_sums);
  RUN(test_shifted);
  RUN(test_norms);
  RUN(test_rope);
  RUN(test_training);
  return tap_done();
}
