// SPDX-License-Identifier: MIT
// Elementwise kernels against the C library in double precision: over all exponents, on odd sizes
// that end at a guard page, and on the numbers that break things.
#include "guard.h"

typedef double unary(double x, const float *p);

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
#define F(id, expression) \
  static double ref_##id(double x, const float *p) { return (void)p, (expression); }
F(copy, x)
F(abs, fabs(x))
F(sign, x > 0 ? 1 : x < 0 ? -1 : x)
F(ceil, ceil(x))
F(floor, floor(x))
F(round, rint(x))
F(square, x *x)
F(sqrt, sqrt(x))
F(rsqrt, 1 / sqrt(x + (double)p[0]))
F(inverse, 1 / (x + (double)p[0]))
F(exp, exp(x))
F(log, log(x + (double)p[0]))
F(tanh, tanh(x))
F(sigmoid, sigmoid(x))
F(silu, x *sigmoid(x))
F(relu, x < 0 ? 0 : x)
F(relu6, x<0 ? 0 : x> 6 ? 6 : x)
F(leaky_relu, x < 0 ? (double)p[0] * x : x)
F(elu, x < 0 ? (double)p[0] * expm1(x) : x)
F(clip, x<(double)p[0] ? (double)p[0] : x>(double) p[1] ? (double)p[1] : x)
F(softplus, x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
F(softsign, x / (1 + fabs(x)))
F(erf, erf(x))
F(gelu_exact, 0.5 * x * erfc(-x / sqrt(2.0)))
F(gelu_tanh, 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x))))
F(gelu_sigmoid, x *sigmoid(1.702 * x))
F(logical_not, x == 0)
F(exp2, exp2(x))
F(sin, sin(x))
F(cos, cos(x))
F(tan, tan(x))
F(asin, asin(x))
F(acos, acos(x))
F(atan, atan(x))
F(sinh, sinh(x))
F(cosh, cosh(x))
F(atanh, atanh(x))

// ulp: bound in units in the last place; lo, hi: where it holds (outside, the plain formula loses
// digits itself or the result is below 1e-37); absolute: added to the bound.
static const struct {
  milo_unary code;
  const char *name;
  unary *ref;
  double ulp, lo, hi, absolute;
  float params[2];
} unaries[] = {
#define U(id, ulp, lo, hi, absolute, p0, p1)                          \
  {                                                                   \
    MILO_UNARY_##id, #id, ref_##id, ulp, lo, hi, absolute, { p0, p1 } \
  }
    U(copy, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(abs, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(sign, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(ceil, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(floor, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(round, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(square, 0.5, -INFINITY, INFINITY, 0, 0, 0),
    U(sqrt, 0.5, -INFINITY, INFINITY, 0, 0, 0),
    U(rsqrt, 2, -INFINITY, INFINITY, 0, 1e-5f, 0),
    U(inverse, 1.5, 0, INFINITY, 0, 1e-4f, 0),
    U(exp, 2, -INFINITY, INFINITY, 0, 0, 0),
    U(log, 2, -INFINITY, INFINITY, 0, 0, 0),
    U(tanh, 3, -INFINITY, INFINITY, 0, 0, 0),
    U(sigmoid, 3, -INFINITY, INFINITY, 0, 0, 0),
    U(silu, 3, -INFINITY, 1e38, 4e-43, 0, 0),
    U(relu, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(relu6, 0, -INFINITY, INFINITY, 0, 0, 0),
    U(leaky_relu, 0.5, -INFINITY, INFINITY, 0, 0.25f, 0),
    U(elu, 3, -INFINITY, INFINITY, 0, 0.5f, 0),
    U(clip, 0, -INFINITY, INFINITY, 0, -0.5f, 0.75f),
    U(softplus, 4, -INFINITY, INFINITY, 0, 0, 0),
    U(softsign, 1.5, -1e38, 1e38, 0, 0, 0),
    U(erf, 3, -INFINITY, INFINITY, 0, 0, 0),
    U(gelu_exact, 90, -9, 1e38, 1e-37, 0, 0),  // the rounded argument: x^2 units
    U(gelu_exact, 6, -1, 1e38, 1e-37, 0, 0),
    U(gelu_tanh, 6, -1, 1e12, 2e-8, 0, 0),
    U(gelu_sigmoid, 22, -20, 1e37, 1e-37, 0, 0),  // likewise, 0.85 x units
    U(logical_not, 0, 0, 0, 0, 0, 0),
    U(exp2, 1, -INFINITY, INFINITY, 0, 0, 0),
    U(sin, 1, -1e4, 1e4, 0, 0, 0),
    U(cos, 1, -1e4, 1e4, 0, 0, 0),
    U(tan, 1.5, -1e4, 1e4, 0, 0, 0),
    U(asin, 1.5, -1, 1, 0, 0, 0),
    U(acos, 1.5, -1, 1, 0, 0, 0),
    U(atan, 1.5, -INFINITY, INFINITY, 0, 0, 0),
    U(sinh, 2, -80, 80, 0, 0, 0),
    U(cosh, 2, -80, 80, 0, 0, 0),
    U(atanh, 2, -1, 1, 0, 0, 0),
#undef U
};
enum { UNARIES = sizeof unaries / sizeof *unaries };

// Distance from wanted in units of wanted's last place in fp32 (denormals: of the least one).
static double ulps(double got, double wanted) {
  if ((isnan(got) && isnan(wanted)) || got == wanted) return 0;
  if (!isfinite(wanted) || fabs(wanted) > 0x1.ffffffp127)
    return isinf(got) && (got > 0) == (wanted > 0) ? 0 : INFINITY;
  if (isinf(got) && fabs(wanted) > 0x1.fffff0p127) return 1;
  int exponent;
  frexp(wanted, &exponent);
  return fabs(got - wanted) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

// Every exponent with random mantissas and both signs.
static void check_accuracy(const milo_rows *k) {
  enum { EACH = 64, COUNT = 2 * 256 * EACH };
  static float x[COUNT], y[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    const uint32_t bits = (uint32_t)(i / (2 * EACH)) << 23 | (uint32_t)(i & 1) << 31 |
                          (uint32_t)milo_rng_below(5, 0, i, 1u << 23);
    memcpy(&x[i], &bits, sizeof bits);
  }
  for (size_t u = 0; u < UNARIES; u++) {
    double worst = 0;
    float at = 0;
    if (unaries[u].code == MILO_UNARY_logical_not) continue;
    k->unary[unaries[u].code](y, x, COUNT, unaries[u].params);
    for (size_t i = 0; i < COUNT; i++) {
      if (!isnan(x[i]) && !((double)x[i] >= unaries[u].lo && (double)x[i] <= unaries[u].hi))
        continue;
      const double wanted = unaries[u].ref((double)x[i], unaries[u].params);
      if (fabs((double)y[i] - wanted) <= unaries[u].absolute) continue;
      const double off = ulps((double)y[i], wanted);
      if (!(off <= worst)) {
        worst = off;
        at = x[i];
      }
    }
    // Half an ulp is the rounding of the exact result itself.
    if (!CHECK(worst <= fmax(unaries[u].ulp, 0.5)))
      printf("# %s(%.9g), wanted %.9g, off by %.2f ulp\n", unaries[u].name, (double)at,
             unaries[u].ref((double)at, unaries[u].params), worst);
    if (unaries[u].ulp > 1) printf("# %s %s: %.2f ulp\n", k->name, unaries[u].name, worst);
  }
}

static void test_accuracy(void) { each_variant(check_accuracy); }

// A narrow range densely: where exponent sampling is thin.
static void check_dense(const milo_rows *k) {
  enum { COUNT = 1 << 15 };
  static float x[COUNT], y[COUNT];
  static const struct {
    milo_unary code;
    unary *ref;
    double lo, hi, ulp;
  } cases[] = {
      {MILO_UNARY_exp, ref_exp, -105, 90, 2},
      {MILO_UNARY_log, ref_log, 0.5, 2, 2},
      {MILO_UNARY_tanh, ref_tanh, -12, 12, 3},
      {MILO_UNARY_sigmoid, ref_sigmoid, -105, 30, 3},
      {MILO_UNARY_erf, ref_erf, -5, 5, 3},
      {MILO_UNARY_silu, ref_silu, -30, 30, 4},
      {MILO_UNARY_softplus, ref_softplus, -90, 20, 4},
      {MILO_UNARY_elu, ref_elu, -20, 1, 3},
  };
  static const float params[2] = {0.5f, 0};
  static const float none[2] = {0, 0};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    double worst = 0;
    for (size_t i = 0; i < COUNT; i++)
      x[i] = (float)(cases[c].lo + (cases[c].hi - cases[c].lo) * milo_rng_uniform(9, c, i));
    const float *p = cases[c].code == MILO_UNARY_elu ? params : none;
    k->unary[cases[c].code](y, x, COUNT, p);
    for (size_t i = 0; i < COUNT; i++) {
      const double off = ulps((double)y[i], cases[c].ref((double)x[i], p));
      if (!(off <= worst)) worst = off;
    }
    if (!CHECK(worst <= cases[c].ulp)) printf("# case %zu: %.2f ulp\n", c, worst);
  }
}

static void test_dense(void) { each_variant(check_dense); }

// Any size gives the same bits as a long array, in place too, and stays within its memory.
static void check_sizes(const milo_rows *k) {
  static float x[600], y[600], c[600], wanted[600];
  randomize(x, 600, 1);
  randomize(y, 600, 2);
  for (size_t i = 0; i < 600; i++) c[i] = (float)(i % 3 == 0);
  for (size_t s = 0; s < GUARD_SIZES; s++) {
    const size_t n = guard_sizes[s];
    const guarded in = guard(n), right = guard(n), cond = guard(n), out = guard(n);
    for (size_t u = 0; u < MILO_UNARY_COUNT; u++) {
      static const float params[2] = {0.5f, 1};
      k->unary[u](wanted, x, 600, params);
      memcpy(in.data, x, n * sizeof *x);
      k->unary[u](out.data, in.data, n, params);
      k->unary[u](in.data, in.data, n, params);
      if (!CHECK(memcmp(out.data, wanted, n * sizeof *x) == 0) ||
          !CHECK(memcmp(in.data, wanted, n * sizeof *x) == 0))
        printf("# unary %zu, size %zu\n", u, n);
    }
    for (size_t b = 0; b < MILO_BINARY_COUNT; b++) {
      k->binary[b](wanted, x, y, 600);
      memcpy(in.data, x, n * sizeof *x);
      memcpy(right.data, y, n * sizeof *y);
      k->binary[b](out.data, in.data, right.data, n);
      k->binary[b](in.data, in.data, right.data, n);
      if (!CHECK(memcmp(out.data, wanted, n * sizeof *x) == 0) ||
          !CHECK(memcmp(in.data, wanted, n * sizeof *x) == 0))
        printf("# binary %zu, size %zu\n", b, n);
    }
    memcpy(in.data, x, n * sizeof *x);
    memcpy(right.data, y, n * sizeof *y);
    memcpy(cond.data, c, n * sizeof *c);
    k->select(out.data, cond.data, in.data, right.data, n);
    for (size_t i = 0; i < n; i++) CHECK(out.data[i] == (c[i] != 0 ? x[i] : y[i]));
    k->axpy(out.data, 2.0f, right.data, n);
    for (size_t i = 0; i < n; i++)
      CHECK_NEAR((double)out.data[i], (double)(c[i] != 0 ? x[i] : y[i]) + 2 * (double)y[i], 1e-6);
    unguard(in);
    unguard(right);
    unguard(cond);
    unguard(out);
  }
}

static void test_sizes(void) { each_variant(check_sizes); }

// Two numbers: arithmetic is exact rounding, comparisons know NaN.
static void check_binary(const milo_rows *k) {
  static const float v[] = {0.0f, -0.0f, 1.0f, -2.5f, INFINITY, -INFINITY, NAN, 1e-40f, 3e38f};
  enum { N = sizeof v / sizeof *v };
  float x[N * N], y[N * N], out[N * N];
  for (size_t i = 0; i < N * N; i++) {
    x[i] = v[i / N];
    y[i] = v[i % N];
  }
  for (size_t i = 0; i < N * N; i++) {
    const double a = (double)x[i], b = (double)y[i];
    const struct {
      milo_binary code;
      double wanted;
    } rows[] = {
        {MILO_BINARY_add, (double)(x[i] + y[i])},
        {MILO_BINARY_sub, (double)(x[i] - y[i])},
        {MILO_BINARY_mul, (double)(x[i] * y[i])},
        {MILO_BINARY_real_div, (double)(x[i] / y[i])},
        {MILO_BINARY_maximum, isnan(a) || a > b ? a : b},
        {MILO_BINARY_minimum, isnan(a) || a < b ? a : b},
        {MILO_BINARY_equal, a == b},
        {MILO_BINARY_not_equal, a != b},
        {MILO_BINARY_less, a < b},
        {MILO_BINARY_less_equal, a <= b},
        {MILO_BINARY_greater, a > b},
        {MILO_BINARY_greater_equal, a >= b},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
      k->binary[rows[r].code](out, x, y, N * N);
      const double got = (double)out[i];
      if (!CHECK(got == rows[r].wanted || (isnan(got) && isnan(rows[r].wanted))))
        printf("# row %zu of %g and %g: %g, wanted %g\n", r, a, b, got, rows[r].wanted);
    }
  }
}

static void test_binary(void) { each_variant(check_binary); }

// All 65,536 halves there and back; fp32 to half on values between them.
static void check_halves(const milo_rows *k) {
  static uint16_t h[65536], back[65536];
  static float f[65536];
  for (size_t i = 0; i < 65536; i++) h[i] = (uint16_t)i;
  k->fp16_to_f32(f, h, 65536);
  for (size_t i = 0; i < 65536; i++) {
    const float wanted = milo_fp16_to_f32(h[i]);
    CHECK(isnan(wanted) ? isnan(f[i]) : memcmp(&f[i], &wanted, 4) == 0);
  }
  k->f32_to_fp16(back, f, 65536);
  for (size_t i = 0; i < 65536; i++) CHECK(isnan(f[i]) || back[i] == h[i]);
  k->bf16_to_f32(f, h, 65536);
  for (size_t i = 0; i < 65536; i++) {
    const float wanted = milo_bf16_to_f32(h[i]);
    CHECK(isnan(wanted) ? isnan(f[i]) : memcmp(&f[i], &wanted, 4) == 0);
  }
  for (size_t i = 0; i < 65536; i++) {
    const uint32_t bits = (uint32_t)milo_rng_u64(1, 2, i) & (i % 4 == 0 ? 0xffff8000u : ~0u);
    memcpy(&f[i], &bits, 4);
    if (i % 2 == 0) f[i] = (float)(milo_rng_normal(1, 3, i) * 1e-5);
  }
  k->f32_to_fp16(back, f, 65536);
  k->f32_to_bf16(h, f, 65536);
  for (size_t i = 0; i < 65536; i++) {
    const milo_fp16 w16 = milo_f32_to_fp16(f[i]);
    const milo_bf16 wb = milo_f32_to_bf16(f[i]);
    CHECK(isnan(f[i]) ? isnan(milo_fp16_to_f32(back[i])) : back[i] == w16);
    CHECK(isnan(f[i]) ? isnan(milo_bf16_to_f32(h[i])) : h[i] == wb);
  }
  for (size_t s = 0; s < GUARD_SIZES; s++) {
    const size_t n = guard_sizes[s];
    const guarded a = guard_bytes(n * 2), b = guard(n);
    memcpy(b.data, f, n * sizeof *f);
    k->f32_to_fp16((milo_fp16 *)(void *)a.data, b.data, n);
    CHECK(n == 0 || isnan(f[n - 1]) || memcmp(a.data, back, n * 2) == 0);
    k->fp16_to_f32(b.data, (milo_fp16 *)(void *)a.data, n);
    k->f32_to_bf16((milo_bf16 *)(void *)a.data, b.data, n);
    k->bf16_to_f32(b.data, (milo_bf16 *)(void *)a.data, n);
    unguard(a);
    unguard(b);
  }
}

static void test_halves(void) { each_variant(check_halves); }

int main(void) {
  RUN(test_accuracy);
  RUN(test_dense);
  RUN(test_sizes);
  RUN(test_binary);
  RUN(test_halves);
  return tap_done();
}
