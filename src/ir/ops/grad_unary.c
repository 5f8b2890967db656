// SPDX-License-Identifier: MIT
// Gradients of elementwise operations of one argument.
#include <math.h>

#include "ir/grad.h"
#include "ir/ops/ops.h"

// Not in math.h by ISO C.
#define PI 3.14159265358979323846
#define LN2 0.69314718055994530942

// y = op(x); dy is the gradient of y.
typedef struct unary {
  milo_builder *b;
  const milo_op *op;
  milo_value *x, *y, *dy;
} unary;

typedef milo_value *unary_fn(const unary *u);

static milo_status differentiate(milo_grad *g, const milo_op *op, milo_value *dy, unary_fn *fn) {
  milo_builder *b = milo_grad_builder(g);
  const unary u = {b, op, milo_op_in(op, "x"), op->results[0], dy};
  if (milo_grad_wants(g, u.x)) milo_grad_add(g, u.x, fn(&u));
  return b->status;
}

// UNARY(id) { return dx; }
#define UNARY(id)                                                                        \
  static unary_fn id##_dx;                                                               \
  milo_status milo_vjp_##id(milo_grad *g, const milo_op *op, milo_value *const *seeds) { \
    return differentiate(g, op, seeds[0], id##_dx);                                      \
  }                                                                                      \
  static milo_value *id##_dx(const unary *u)

// 1 - v
static milo_value *one_minus(const unary *u, milo_value *v) {
  return milo_b_sub(u->b, milo_b_number(u->b, u->x->type.dtype, 1), v);
}

static milo_value *call(const unary *u, milo_opcode code, milo_value *v) {
  return milo_b_unary(u->b, code, v);
}

static milo_value *times_dy(const unary *u, milo_value *v) { return milo_b_mul(u->b, u->dy, v); }

// dy where x lies above zero, else 0.
static milo_value *dy_above_zero(const unary *u) {
  milo_value *positive = milo_grad_compare(u->b, MILO_OP_greater, u->x, 0);
  return milo_grad_where(u->b, positive, u->dy, 0);
}

UNARY(identity) { return u->dy; }
UNARY(cast) { return u->dy; }  // milo_grad_add casts back
UNARY(abs) { return times_dy(u, call(u, MILO_OP_sign, u->x)); }
UNARY(square) { return times_dy(u, milo_b_scale(u->b, u->x, 2)); }
UNARY(sqrt) { return milo_b_div(u->b, milo_b_scale(u->b, u->dy, 0.5), u->y); }

UNARY(rsqrt) {
  milo_value *cube = milo_b_mul(u->b, call(u, MILO_OP_square, u->y), u->y);
  return times_dy(u, milo_b_scale(u->b, cube, -0.5));
}

UNARY(inverse) { return times_dy(u, milo_b_scale(u->b, call(u, MILO_OP_square, u->y), -1)); }

UNARY(exp) { return times_dy(u, u->y); }
UNARY(exp2) { return times_dy(u, milo_b_scale(u->b, u->y, LN2)); }

UNARY(log) {
  // The default epsilon changes no normal number: leave it out.
  const double epsilon = milo_op_float(u->op, "epsilon");
  milo_value *x = epsilon < 1e-30 ? u->x : milo_b_add_number(u->b, u->x, epsilon);
  return milo_b_div(u->b, u->dy, x);
}

UNARY(sin) { return times_dy(u, call(u, MILO_OP_cos, u->x)); }

UNARY(cos) { return times_dy(u, milo_b_scale(u->b, call(u, MILO_OP_sin, u->x), -1)); }

UNARY(tan) { return times_dy(u, milo_b_add_number(u->b, call(u, MILO_OP_square, u->y), 1)); }

// (1 - x)(1 + x): keeps its precision where x nears 1.
static milo_value *one_minus_square(const unary *u) {
  return milo_b_mul(u->b, one_minus(u, u->x), milo_b_add_number(u->b, u->x, 1));
}

UNARY(asin) { return milo_b_div(u->b, u->dy, call(u, MILO_OP_sqrt, one_minus_square(u))); }

UNARY(acos) {
  return milo_b_scale(u->b, milo_b_div(u->b, u->dy, call(u, MILO_OP_sqrt, one_minus_square(u))),
                      -1);
}

UNARY(atan) {
  return milo_b_div(u->b, u->dy, milo_b_add_number(u->b, call(u, MILO_OP_square, u->x), 1));
}

UNARY(sinh) { return times_dy(u, call(u, MILO_OP_cosh, u->x)); }
UNARY(cosh) { return times_dy(u, call(u, MILO_OP_sinh, u->x)); }
UNARY(tanh) { return times_dy(u, one_minus(u, call(u, MILO_OP_square, u->y))); }
UNARY(atanh) { return milo_b_div(u->b, u->dy, one_minus_square(u)); }

// scale * exp(-factor x^2)
static milo_value *bell(const unary *u, double factor, double scale) {
  milo_value *power = milo_b_scale(u->b, call(u, MILO_OP_square, u->x), -factor);
  return milo_b_scale(u->b, call(u, MILO_OP_exp, power), scale);
}

UNARY(erf) { return times_dy(u, bell(u, 1, 2 / sqrt(PI))); }
UNARY(sigmoid) { return times_dy(u, milo_b_mul(u->b, u->y, one_minus(u, u->y))); }

// sigmoid(k x) (1 + k x (1 - sigmoid(k x))): the slope of x sigmoid(k x)
static milo_value *swish_slope(const unary *u, double k) {
  milo_value *kx = k == 1 ? u->x : milo_b_scale(u->b, u->x, k);
  milo_value *s = call(u, MILO_OP_sigmoid, kx);
  milo_value *inner = milo_b_mul(u->b, kx, one_minus(u, s));
  return milo_b_mul(u->b, s, milo_b_add_number(u->b, inner, 1));
}

UNARY(silu) { return times_dy(u, swish_slope(u, 1)); }
UNARY(relu) { return dy_above_zero(u); }

UNARY(relu6) {
  milo_value *below = milo_grad_compare(u->b, MILO_OP_less, u->x, 6);
  return milo_grad_where(u->b, below, dy_above_zero(u), 0);
}

UNARY(softplus) { return times_dy(u, call(u, MILO_OP_sigmoid, u->x)); }

UNARY(softsign) {
  milo_value *d = milo_b_add_number(u->b, call(u, MILO_OP_abs, u->x), 1);
  return milo_b_div(u->b, u->dy, call(u, MILO_OP_square, d));
}

// Phi(x) + x phi(x), the normal distribution and its density
static milo_value *gelu_exact_slope(const unary *u) {
  milo_value *e = call(u, MILO_OP_erf, milo_b_scale(u->b, u->x, 1 / sqrt(2.0)));
  milo_value *cdf = milo_b_scale(u->b, milo_b_add_number(u->b, e, 1), 0.5);
  milo_value *pdf = bell(u, 0.5, 1 / sqrt(2 * PI));
  return milo_b_add(u->b, cdf, milo_b_mul(u->b, u->x, pdf));
}

// y = x/2 (1 + t), t = tanh(v), v = sqrt(2/pi) (x + c x^3)
static milo_value *gelu_tanh_slope(const unary *u) {
  const double root = sqrt(2 / PI), c = 0.044715;
  milo_builder *b = u->b;
  milo_value *xx = call(u, MILO_OP_square, u->x);
  // root * (1 + c x^2), so that v = x * this; v' = root * (1 + 3 c x^2)
  milo_value *factor = milo_b_add_number(b, milo_b_scale(b, xx, root * c), root);
  milo_value *slope = milo_b_add_number(b, milo_b_scale(b, xx, root * 3 * c), root);
  milo_value *t = call(u, MILO_OP_tanh, milo_b_mul(b, u->x, factor));
  milo_value *half = milo_b_scale(b, milo_b_add_number(b, t, 1), 0.5);
  milo_value *bend = milo_b_mul(b, one_minus(u, call(u, MILO_OP_square, t)), slope);
  return milo_b_add(b, half, milo_b_mul(b, milo_b_scale(b, u->x, 0.5), bend));
}

UNARY(gelu) {
  const char *mode = milo_op_string(u->op, "mode");
  switch (mode[0]) {
    case 'T':
      return times_dy(u, gelu_tanh_slope(u));
    case 'S':
      return times_dy(u, swish_slope(u, 1.702));
    default:
      return times_dy(u, gelu_exact_slope(u));
  }
}

UNARY(leaky_relu) {
  milo_value *positive = milo_grad_compare(u->b, MILO_OP_greater, u->x, 0);
  milo_value *scaled = milo_b_scale(u->b, u->dy, milo_op_float(u->op, "alpha"));
  return milo_b_select(u->b, positive, u->dy, scaled);
}

UNARY(elu) {
  milo_value *positive = milo_grad_compare(u->b, MILO_OP_greater, u->x, 0);
  milo_value *slope = milo_b_scale(u->b, call(u, MILO_OP_exp, u->x), milo_op_float(u->op, "alpha"));
  return milo_b_select(u->b, positive, u->dy, times_dy(u, slope));
}

UNARY(clip) {
  const double low = milo_op_float(u->op, "alpha"), high = milo_op_float(u->op, "beta");
  milo_value *above = milo_grad_compare(u->b, MILO_OP_greater, u->x, low);
  milo_value *below = milo_grad_compare(u->b, MILO_OP_less, u->x, high);
  milo_value *inside = milo_b_binary(u->b, MILO_OP_logical_and, above, below);
  return milo_grad_where(u->b, inside, u->dy, 0);
}
