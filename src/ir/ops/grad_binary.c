// SPDX-License-Identifier: MIT
// Gradients of elementwise operations of two arguments (which milo_grad_add sums down to the
// argument's shape), and of select.
#include "ir/grad.h"
#include "ir/ops/ops.h"

milo_status milo_vjp_add(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_grad_add(g, milo_op_in(op, "x"), seeds[0]);
  milo_grad_add(g, milo_op_in(op, "y"), seeds[0]);
  return milo_grad_builder(g)->status;
}

milo_status milo_vjp_sub(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *y = milo_op_in(op, "y");
  milo_grad_add(g, milo_op_in(op, "x"), seeds[0]);
  // Summed down first: the negation then costs less.
  if (milo_grad_wants(g, y))
    milo_grad_add(g, y, milo_b_scale(b, milo_grad_sum_to(b, seeds[0], &y->type), -1));
  return b->status;
}

milo_status milo_vjp_mul(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (milo_grad_wants(g, x)) milo_grad_add(g, x, milo_b_mul(b, seeds[0], y));
  if (milo_grad_wants(g, y)) milo_grad_add(g, y, milo_b_mul(b, seeds[0], x));
  return b->status;
}

milo_status milo_vjp_real_div(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  milo_value *dx = milo_b_div(b, seeds[0], y);
  milo_grad_add(g, x, dx);
  if (milo_grad_wants(g, y))
    milo_grad_add(g, y, milo_b_scale(b, milo_b_mul(b, dx, op->results[0]), -1));
  return b->status;
}

// x mod y = x - floor(x/y) y
milo_status milo_vjp_mod(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  milo_grad_add(g, x, seeds[0]);
  if (milo_grad_wants(g, y)) {
    milo_value *times = milo_b_binary(b, MILO_OP_floor_div, x, y);
    milo_grad_add(g, y, milo_b_scale(b, milo_b_mul(b, seeds[0], times), -1));
  }
  return b->status;
}

// True, with the number, if value is a constant whose elements are all the same.
static bool is_number(const milo_value *value, double *out) {
  const milo_literal *literal = milo_value_constant(value);
  if (literal == NULL || literal->count == 0) return false;
  *out = milo_literal_number(literal, 0);
  for (size_t i = 1; i < literal->count; i++)
    if (milo_literal_number(literal, i) != *out) return false;
  return true;
}

// y x^(y-1); 0 where y is 0, also at x = 0
static milo_value *power_slope(milo_builder *b, milo_value *x, milo_value *y) {
  double n;
  if (is_number(y, &n)) {
    if (n == 0) return milo_grad_fill(b, x->type, 0);
    if (n == 1) return milo_grad_fill(b, x->type, 1);
    if (n == 2) return milo_b_scale(b, x, 2);
    milo_value *less = milo_b_number(b, x->type.dtype, n - 1);
    return milo_b_scale(b, milo_b_binary(b, MILO_OP_pow, x, less), n);
  }
  milo_value *less = milo_b_add_number(b, y, -1);
  milo_value *slope = milo_b_mul(b, y, milo_b_binary(b, MILO_OP_pow, x, less));
  return milo_grad_where(b, milo_grad_compare(b, MILO_OP_not_equal, y, 0), slope, 0);
}

milo_status milo_vjp_pow(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (milo_grad_wants(g, x)) milo_grad_add(g, x, milo_b_mul(b, seeds[0], power_slope(b, x, y)));
  if (milo_grad_wants(g, y)) {
    // x^y log x; 0^y is 0 or 1 for all y >= 0: no slope there
    milo_value *slope = milo_b_mul(b, op->results[0], milo_b_unary(b, MILO_OP_log, x));
    milo_value *flat =
        milo_b_binary(b, MILO_OP_logical_and, milo_grad_compare(b, MILO_OP_equal, x, 0),
                      milo_grad_compare(b, MILO_OP_greater_equal, y, 0));
    slope = milo_grad_where(b, milo_b_unary(b, MILO_OP_logical_not, flat), slope, 0);
    milo_grad_add(g, y, milo_b_mul(b, seeds[0], slope));
  }
  return b->status;
}

// The argument that wins has the gradient; at a tie each has half.
static milo_status extremum(milo_grad *g, const milo_op *op, milo_value *dy, milo_opcode x_wins) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  milo_value *tied =
      milo_grad_where(b, milo_b_binary(b, MILO_OP_equal, x, y), milo_b_scale(b, dy, 0.5), 0);
  if (milo_grad_wants(g, x))
    milo_grad_add(g, x, milo_b_select(b, milo_b_binary(b, x_wins, x, y), dy, tied));
  if (milo_grad_wants(g, y))
    milo_grad_add(g, y, milo_b_select(b, milo_b_binary(b, x_wins, y, x), dy, tied));
  return b->status;
}

milo_status milo_vjp_maximum(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  return extremum(g, op, seeds[0], MILO_OP_greater);
}

milo_status milo_vjp_minimum(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  return extremum(g, op, seeds[0], MILO_OP_less);
}

milo_status milo_vjp_select(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *cond = milo_op_in(op, "cond"), *x = milo_op_in(op, "a"), *y = milo_op_in(op, "b");
  if (milo_grad_wants(g, x)) milo_grad_add(g, x, milo_grad_where(b, cond, seeds[0], 0));
  if (milo_grad_wants(g, y)) {
    milo_value *not = milo_b_unary(b, MILO_OP_logical_not, cond);
    milo_grad_add(g, y, milo_grad_where(b, not, seeds[0], 0));
  }
  return b->status;
}
