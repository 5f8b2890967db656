// SPDX-License-Identifier: MIT
// Operations that compute each element of the result from one (broadcast) element of each argument.
#include <float.h>
#include <math.h>
#include <string.h>

#include "device/elementwise.h"
#include "device/ref/call.h"

// ---- what definitions are made of ----

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

// NaN if either is NaN; -0 is less than +0.
static double max2(double x, double y) {
  return isnan(x) || x > y || (x == y && !signbit(x)) ? x : y;
}
static double min2(double x, double y) {
  return isnan(x) || x < y || (x == y && signbit(x)) ? x : y;
}
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

// ---- the definitions, from the list ----

typedef double unary_fn(double x, double p0, double p1);
typedef double binary_fn(double x, double y);

#define UNARY(id, fp32, definition)                           \
  static double unary_##id(double x, double p0, double p1) {  \
    return (void)x, (void)p0, (void)p1, (double)(definition); \
  }
#define LOGIC1(id, fp32, definition) \
  static bool logic1_##id(bool x) { return (definition); }
#define BINARY(id, fp32, definition) \
  static double binary_##id(double x, double y) { return (definition); }
#define COMPARE(...)
#define LOGIC(id, fp32, definition) \
  static bool logic_##id(bool x, bool y) { return (definition); }
#define INTEGER(id, definition) \
  static int64_t integer_##id(int64_t x) { return (definition); }
#define INTEGER2(id, definition) \
  static int64_t integer2_##id(int64_t x, int64_t y) { return (definition); }
#include "kernels/elementwise.def"

static unary_fn *const unaries[MILO_OP_COUNT] = {
#define UNARY(id, ...) [MILO_OP_##id] = unary_##id,
#define FORM(...)
#define LOGIC1(...)
#include "kernels/elementwise.def"
};

static unary_fn *const forms[MILO_UNARY_COUNT] = {
#define FORM(id, ...) [MILO_UNARY_##id] = unary_##id,
#include "kernels/elementwise.def"
};

static binary_fn *const binaries[MILO_OP_COUNT] = {
#define BINARY(id, ...) [MILO_OP_##id] = binary_##id,
#define COMPARE(...)
#define LOGIC(...)
#include "kernels/elementwise.def"
};

static int64_t (*const integers[MILO_OP_COUNT])(int64_t) = {
#define INTEGER(id, ...) [MILO_OP_##id] = integer_##id,
#include "kernels/elementwise.def"
};

static int64_t (*const integers2[MILO_OP_COUNT])(int64_t, int64_t) = {
#define INTEGER2(id, ...) [MILO_OP_##id] = integer2_##id,
#include "kernels/elementwise.def"
};

static bool (*const logics[MILO_OP_COUNT])(bool, bool) = {
#define BINARY(...)
#define LOGIC(id, ...) [MILO_OP_##id] = logic_##id,
#include "kernels/elementwise.def"
};

typedef enum order { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 } order;

// For which orders of x and y the comparison holds.
static const unsigned comparisons[MILO_OP_COUNT] = {
#define COMPARE(id, fp32, orders) [MILO_OP_##id] = orders,
#include "kernels/elementwise.def"
};

// ---- two arguments ----

milo_status milo_ref_binary(const milo_ref_call *call) {
  const milo_opcode code = call->op->code;
  milo_ref_tensor x, y, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  for (size_t i = 0; i < out.count; ++i) {
    const size_t j = milo_ref_broadcast(&out, i, &x), k = milo_ref_broadcast(&out, i, &y);
    if (milo_ref_is_int(&out))
      milo_ref_set_int(&out, i, integers2[code](milo_ref_get_int(&x, j), milo_ref_get_int(&y, k)));
    else
      milo_ref_set(&out, i, binaries[code](milo_ref_get(&x, j), milo_ref_get(&y, k)));
  }
  return MILO_OK;
}

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
    milo_ref_set(&out, i, logics[call->op->code](a, b));
  }
  return MILO_OK;
}

milo_status milo_ref_logical_not(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i)
    milo_ref_set(&out, i, logic1_logical_not(milo_ref_get_int(&x, i) != 0));
  return MILO_OK;
}

// ---- one argument ----

milo_status milo_ref_unary(const milo_ref_call *call) {
  const milo_op *op = call->op;
  unary_fn *number = op->code == MILO_OP_gelu ? forms[milo_gelu_form(op)] : unaries[op->code];
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  double p0 = 0, p1 = 0;
  if (milo_op_param(op->code, "alpha") != NULL) p0 = milo_op_float(op, "alpha");
  if (milo_op_param(op->code, "beta") != NULL) p1 = milo_op_float(op, "beta");
  if (milo_op_param(op->code, "epsilon") != NULL) p0 = milo_ref_epsilon(call, "epsilon", x.dtype);
  for (size_t i = 0; i < out.count; ++i) {
    if (integers[op->code] != NULL && milo_ref_is_int(&x))
      milo_ref_set_int(&out, i, integers[op->code](milo_ref_get_int(&x, i)));
    else
      milo_ref_set(&out, i, number(milo_ref_get(&x, i), p0, p1));
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
