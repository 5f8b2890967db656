// SPDX-License-Identifier: MIT
// Operations that compute each element of the result from one (broadcast) element of each argument.
#include <float.h>
#include <math.h>
#include <string.h>

#include "device/ref/call.h"

// ---- two numbers ----

// NaN if either is NaN; -0 is less than +0.
static double max2(double x, double y) {
  return isnan(x) || x > y || (x == y && !signbit(x)) ? x : y;
}
static double min2(double x, double y) {
  return isnan(x) || x < y || (x == y && signbit(x)) ? x : y;
}
static double add2(double x, double y) { return x + y; }
static double sub2(double x, double y) { return x - y; }
static double mul2(double x, double y) { return x * y; }
static double div2(double x, double y) { return x / y; }
static double floor_div2(double x, double y) { return floor(x / y); }

// The result has the divisor's sign, as in Python.
static double mod2(double x, double y) {
  const double r = fmod(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static int64_t int_div(int64_t x, int64_t y) {
  if (y == 0) return 0;
  return y == -1 ? milo_ref_sub(0, x) : x / y;
}

static int64_t int_mod(int64_t x, int64_t y) {
  if (y == 0 || y == -1) return 0;
  const int64_t r = x % y;
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static int64_t int_floor_div(int64_t x, int64_t y) {
  const int64_t q = int_div(x, y);
  return y != 0 && int_mod(x, y) != 0 && (x < 0) != (y < 0) ? q - 1 : q;
}

static int64_t int_max(int64_t x, int64_t y) { return x > y ? x : y; }
static int64_t int_min(int64_t x, int64_t y) { return x < y ? x : y; }

// A negative power of an integer is its reciprocal's, truncated: 0 but for 1 and -1.
static int64_t int_pow(int64_t x, int64_t y) {
  if (y < 0) {
    if (x == 1) return 1;
    return x == -1 ? (y % 2 == 0 ? 1 : -1) : 0;
  }
  int64_t power = 1;
  for (int64_t base = x; y > 0; y /= 2) {
    if (y % 2 != 0) power = milo_ref_mul(power, base);
    base = milo_ref_mul(base, base);
  }
  return power;
}

typedef struct binary {
  double (*number)(double, double);
  int64_t (*integer)(int64_t, int64_t);
} binary;

static const binary binaries[MILO_OP_COUNT] = {
    [MILO_OP_add] = {add2, milo_ref_add},
    [MILO_OP_sub] = {sub2, milo_ref_sub},
    [MILO_OP_mul] = {mul2, milo_ref_mul},
    [MILO_OP_real_div] = {div2, int_div},  // integers: towards zero
    [MILO_OP_floor_div] = {floor_div2, int_floor_div},
    [MILO_OP_mod] = {mod2, int_mod},
    [MILO_OP_pow] = {pow, int_pow},
    [MILO_OP_maximum] = {max2, int_max},
    [MILO_OP_minimum] = {min2, int_min},
};

milo_status milo_ref_binary(const milo_ref_call *call) {
  const binary *f = &binaries[call->op->code];
  milo_ref_tensor x, y, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  for (size_t i = 0; i < out.count; ++i) {
    const size_t j = milo_ref_broadcast(&out, i, &x), k = milo_ref_broadcast(&out, i, &y);
    if (milo_ref_is_int(&out))
      milo_ref_set_int(&out, i, f->integer(milo_ref_get_int(&x, j), milo_ref_get_int(&y, k)));
    else
      milo_ref_set(&out, i, f->number(milo_ref_get(&x, j), milo_ref_get(&y, k)));
  }
  return MILO_OK;
}

// ---- comparisons and logic ----

typedef enum order { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 } order;

// For which orders of x and y the comparison holds.
static const unsigned comparisons[MILO_OP_COUNT] = {
    [MILO_OP_equal] = EQUAL,     [MILO_OP_not_equal] = LESS | GREATER | UNORDERED,
    [MILO_OP_less] = LESS,       [MILO_OP_less_equal] = LESS | EQUAL,
    [MILO_OP_greater] = GREATER, [MILO_OP_greater_equal] = GREATER | EQUAL,
};

static order compare(const milo_ref_tensor *x, size_t j, const milo_ref_tensor *y, size_t k) {
  if (milo_ref_is_int(x)) {
    const int64_t a = milo_ref_get_int(x, j), b = milo_ref_get_int(y, k);
    return a < b ? LESS : a > b ? GREATER : EQUAL;
  }
  const double a = milo_ref_get(x, j), b = milo_ref_get(y, k);
  return a < b ? LESS : a > b ? GREATER : a == b ? EQUAL : UNORDERED;
}

milo_status milo_ref_compare(const milo_ref_call *call) {
  milo_ref_tensor x, y, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  for (size_t i = 0; i < out.count; ++i) {
    const size_t j = milo_ref_broadcast(&out, i, &x), k = milo_ref_broadcast(&out, i, &y);
    milo_ref_set(&out, i, (comparisons[call->op->code] & compare(&x, j, &y, k)) != 0);
  }
  return MILO_OK;
}

milo_status milo_ref_logical(const milo_ref_call *call) {
  milo_ref_tensor x, y, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  for (size_t i = 0; i < out.count; ++i) {
    const bool a = milo_ref_get_int(&x, milo_ref_broadcast(&out, i, &x)) != 0;
    const bool b = milo_ref_get_int(&y, milo_ref_broadcast(&out, i, &y)) != 0;
    const bool result = call->op->code == MILO_OP_logical_and  ? a && b
                        : call->op->code == MILO_OP_logical_or ? a || b
                                                               : a != b;
    milo_ref_set(&out, i, result);
  }
  return MILO_OK;
}

milo_status milo_ref_logical_not(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i) milo_ref_set(&out, i, milo_ref_get_int(&x, i) == 0);
  return MILO_OK;
}

// ---- one number ----

// Constant arguments of the operation, as far as it has them.
typedef struct scalars {
  double alpha, beta, epsilon;
  double (*gelu)(double);
} scalars;

// Where 1 + erf(..) and 1 + tanh(..) come near 0, these equal forms keep their digits.
static double gelu_exact(double x) { return 0.5 * x * erfc(-x / sqrt(2.0)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double gelu_tanh(double x) {
  static const double root = 0.79788456080286535588;  // sqrt(2 / pi)
  return x * sigmoid(2 * root * (x + 0.044715 * x * x * x));
}
static double gelu_sigmoid(double x) { return x * sigmoid(1.702 * x); }

#define PLAIN(name) \
  static double unary_##name(double x, const scalars *s) { return (void)s, name(x); }
PLAIN(fabs)
PLAIN(ceil)
PLAIN(floor)
PLAIN(sqrt)
PLAIN(exp)
PLAIN(exp2)
PLAIN(sin)
PLAIN(cos)
PLAIN(tan)
PLAIN(asin)
PLAIN(acos)
PLAIN(atan)
PLAIN(sinh)
PLAIN(cosh)
PLAIN(tanh)
PLAIN(atanh)
PLAIN(erf)
PLAIN(sigmoid)
#undef PLAIN
#define FORMULA(name, expression) \
  static double unary_##name(double x, const scalars *s) { return (void)s, (expression); }
FORMULA(sign, x > 0 ? 1 : x < 0 ? -1 : x)
FORMULA(round, rint(x))  // half to even
FORMULA(square, (x * x))
FORMULA(rsqrt, 1 / sqrt(x + s->epsilon))
FORMULA(inverse, 1 / (x + s->epsilon))
FORMULA(log, log(x + s->epsilon))
FORMULA(silu, (x * sigmoid(x)))
FORMULA(relu, x < 0 ? 0 : x)
FORMULA(relu6, (x < 0) ? 0 : (x > 6) ? 6 : x)
FORMULA(softplus, x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
FORMULA(softsign, x / (1 + fabs(x)))
FORMULA(gelu, s->gelu(x))
FORMULA(leaky_relu, x < 0 ? s->alpha * x : x)
FORMULA(elu, x < 0 ? s->alpha * expm1(x) : x)
FORMULA(clip, (x < s->alpha) ? s->alpha : (x > s->beta) ? s->beta : x)
#undef FORMULA

static int64_t int_abs(int64_t x) { return x < 0 ? milo_ref_sub(0, x) : x; }
static int64_t int_sign(int64_t x) { return (x > 0) - (x < 0); }
static int64_t int_square(int64_t x) { return milo_ref_mul(x, x); }
static int64_t int_exp2(int64_t x) { return int_pow(2, x); }
static int64_t int_relu(int64_t x) { return x < 0 ? 0 : x; }

typedef struct unary {
  double (*number)(double, const scalars *);
  int64_t (*integer)(int64_t);
} unary;

static const unary unaries[MILO_OP_COUNT] = {
    [MILO_OP_abs] = {unary_fabs, int_abs},
    [MILO_OP_sign] = {unary_sign, int_sign},
    [MILO_OP_ceil] = {unary_ceil, NULL},
    [MILO_OP_floor] = {unary_floor, NULL},
    [MILO_OP_round] = {unary_round, NULL},
    [MILO_OP_square] = {unary_square, int_square},
    [MILO_OP_sqrt] = {unary_sqrt, NULL},
    [MILO_OP_rsqrt] = {unary_rsqrt, NULL},
    [MILO_OP_inverse] = {unary_inverse, NULL},
    [MILO_OP_exp] = {unary_exp, NULL},
    [MILO_OP_exp2] = {unary_exp2, int_exp2},
    [MILO_OP_log] = {unary_log, NULL},
    [MILO_OP_sin] = {unary_sin, NULL},
    [MILO_OP_cos] = {unary_cos, NULL},
    [MILO_OP_tan] = {unary_tan, NULL},
    [MILO_OP_asin] = {unary_asin, NULL},
    [MILO_OP_acos] = {unary_acos, NULL},
    [MILO_OP_atan] = {unary_atan, NULL},
    [MILO_OP_sinh] = {unary_sinh, NULL},
    [MILO_OP_cosh] = {unary_cosh, NULL},
    [MILO_OP_tanh] = {unary_tanh, NULL},
    [MILO_OP_atanh] = {unary_atanh, NULL},
    [MILO_OP_erf] = {unary_erf, NULL},
    [MILO_OP_sigmoid] = {unary_sigmoid, NULL},
    [MILO_OP_silu] = {unary_silu, NULL},
    [MILO_OP_relu] = {unary_relu, int_relu},
    [MILO_OP_relu6] = {unary_relu6, NULL},
    [MILO_OP_softplus] = {unary_softplus, NULL},
    [MILO_OP_softsign] = {unary_softsign, NULL},
    [MILO_OP_gelu] = {unary_gelu, NULL},
    [MILO_OP_leaky_relu] = {unary_leaky_relu, NULL},
    [MILO_OP_elu] = {unary_elu, NULL},
    [MILO_OP_clip] = {unary_clip, NULL},
};

static scalars read_scalars(const milo_ref_call *call, milo_dtype dtype) {
  const milo_op *op = call->op;
  scalars s = {.gelu = gelu_exact};
  if (milo_op_param(op->code, "alpha") != NULL) s.alpha = milo_op_float(op, "alpha");
  if (milo_op_param(op->code, "beta") != NULL) s.beta = milo_op_float(op, "beta");
  if (milo_op_param(op->code, "epsilon") != NULL)
    s.epsilon = milo_ref_epsilon(call, "epsilon", dtype);
  if (op->code == MILO_OP_gelu) {
    const char *mode = milo_op_string(op, "mode");
    if (strcmp(mode, "TANH_APPROXIMATION") == 0) s.gelu = gelu_tanh;
    if (strcmp(mode, "SIGMOID_APPROXIMATION") == 0) s.gelu = gelu_sigmoid;
  }
  return s;
}

milo_status milo_ref_unary(const milo_ref_call *call) {
  const unary *f = &unaries[call->op->code];
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  const scalars s = read_scalars(call, x.dtype);
  for (size_t i = 0; i < out.count; ++i) {
    if (f->integer != NULL && milo_ref_is_int(&x))
      milo_ref_set_int(&out, i, f->integer(milo_ref_get_int(&x, i)));
    else
      milo_ref_set(&out, i, f->number(milo_ref_get(&x, i), &s));
  }
  return MILO_OK;
}

// ---- others ----

milo_status milo_ref_identity(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i) milo_ref_copy(&out, i, &x, i);
  return MILO_OK;
}

milo_status milo_ref_select(const milo_ref_call *call) {
  milo_ref_tensor cond, a, b, out = milo_ref_out(call, 0);
  milo_ref_in(call, "cond", &cond);
  milo_ref_in(call, "a", &a);
  milo_ref_in(call, "b", &b);
  for (size_t i = 0; i < out.count; ++i) {
    const bool c = milo_ref_get_int(&cond, milo_ref_broadcast(&out, i, &cond)) != 0;
    const milo_ref_tensor *from = c ? &a : &b;
    milo_ref_copy(&out, i, from, milo_ref_broadcast(&out, i, from));
  }
  return MILO_OK;
}

// Numbers to bool: is it not 0? Floats to integers: towards zero, saturated. Integers to narrower
// ones: wrapped.
milo_status milo_ref_cast(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i) {
    if (out.dtype == x.dtype)
      milo_ref_copy(&out, i, &x, i);
    else if (milo_ref_is_int(&x) && out.dtype == MILO_BOOL)
      milo_ref_set(&out, i, milo_ref_get_int(&x, i) != 0);
    else if (milo_ref_is_int(&x) && milo_ref_is_int(&out))
      milo_ref_set_int(&out, i, milo_ref_get_int(&x, i));
    else
      milo_ref_set(&out, i, milo_ref_get(&x, i));
  }
  return MILO_OK;
}
