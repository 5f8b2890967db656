// SPDX-License-Identifier: MIT
// Gradients of reductions, softmax and cumsum.
#include "ir/grad.h"
#include "ir/ops/ops.h"

// y = op(x) over some axes. y and dy have those axes as ones, so that they broadcast against x.
typedef struct reduction {
  milo_builder *b;
  const milo_op *op;
  milo_value *x, *y, *dy;
  bool is_axis[MILO_MAX_RANK];
  int64_t axes[MILO_MAX_RANK];
  int count;
  int64_t elements;  // summed for each element of y
} reduction;

typedef milo_value *reduction_fn(const reduction *r);

static void list_axes(reduction *r) {
  r->count = 0;
  r->elements = 1;
  for (int i = 0; i < r->x->type.rank; i++)
    if (r->is_axis[i]) {
      r->axes[r->count++] = i;
      r->elements *= r->x->type.dims[i];
    }
}

static milo_status differentiate(milo_grad *g, const milo_op *op, milo_value *dy,
                                 reduction_fn *fn) {
  milo_builder *b = milo_grad_builder(g);
  reduction r = {.b = b, .op = op, .x = milo_op_in(op, "x")};
  if (!milo_grad_wants(g, r.x)) return b->status;
  const int rank = r.x->type.rank;
  milo_grad_axes(op, "axes", rank, r.is_axis);
  list_axes(&r);
  r.y = milo_grad_keep_axes(b, op->results[0], r.is_axis, rank);
  r.dy = milo_grad_keep_axes(b, dy, r.is_axis, rank);
  milo_grad_add(g, r.x, fn(&r));
  return b->status;
}

// REDUCTION(id) { return dx, or what broadcasts to it; }
#define REDUCTION(id)                                                                    \
  static reduction_fn id##_dx;                                                           \
  milo_status milo_vjp_##id(milo_grad *g, const milo_op *op, milo_value *const *seeds) { \
    return differentiate(g, op, seeds[0], id##_dx);                                      \
  }                                                                                      \
  static milo_value *id##_dx(const reduction *r)

// Reduces over the same axes, keeping them.
static milo_value *reduce(const reduction *r, milo_opcode code, milo_value *v) {
  return milo_b_reduce(r->b, code, v, r->axes, r->count, true);
}

static milo_value *times_dy(const reduction *r, milo_value *v) {
  return milo_b_mul(r->b, r->dy, v);
}

REDUCTION(reduce_sum) { return r->dy; }
REDUCTION(reduce_mean) { return milo_b_scale(r->b, r->dy, 1.0 / (double)r->elements); }

// Shared evenly among the elements that are the extremum.
static milo_value *extremum_dx(const reduction *r) {
  milo_value *hit = milo_b_binary(r->b, MILO_OP_equal, r->x, r->y);
  milo_value *mask = milo_b_cast(r->b, hit, r->x->type.dtype);
  milo_value *share = milo_b_div(r->b, r->dy, reduce(r, MILO_OP_reduce_sum, mask));
  return milo_b_mul(r->b, mask, share);
}

REDUCTION(reduce_max) { return extremum_dx(r); }
REDUCTION(reduce_min) { return extremum_dx(r); }

// The product of the others: of all elements that are not zero, over this one; zero if another
// element is.
REDUCTION(reduce_prod) {
  milo_builder *b = r->b;
  milo_value *nonzero = milo_grad_compare(b, MILO_OP_not_equal, r->x, 0);
  milo_value *safe = milo_grad_where(b, nonzero, r->x, 1);
  milo_value *others = milo_b_div(b, reduce(r, MILO_OP_reduce_prod, safe), safe);
  milo_value *is_zero =
      milo_b_cast(b, milo_b_unary(b, MILO_OP_logical_not, nonzero), r->x->type.dtype);
  milo_value *zeros = milo_b_sub(b, reduce(r, MILO_OP_reduce_sum, is_zero), is_zero);
  milo_value *alone = milo_grad_compare(b, MILO_OP_equal, zeros, 0);
  return times_dy(r, milo_grad_where(b, alone, others, 0));
}

REDUCTION(reduce_sum_square) { return times_dy(r, milo_b_scale(r->b, r->x, 2)); }
REDUCTION(reduce_l1_norm) { return times_dy(r, milo_b_unary(r->b, MILO_OP_sign, r->x)); }

REDUCTION(reduce_l2_norm) {
  // A norm of 0 has x = 0: any divisor gives 0.
  milo_value *nonzero = milo_grad_compare(r->b, MILO_OP_not_equal, r->y, 0);
  milo_value *norm = milo_grad_where(r->b, nonzero, r->y, 1);
  return milo_b_mul(r->b, r->x, milo_b_div(r->b, r->dy, norm));
}

REDUCTION(reduce_log_sum) { return milo_b_div(r->b, r->dy, reduce(r, MILO_OP_reduce_sum, r->x)); }

REDUCTION(reduce_log_sum_exp) {
  return times_dy(r, milo_b_unary(r->b, MILO_OP_exp, milo_b_sub(r->b, r->x, r->y)));
}

// dx = y (dy - sum(dy y))
milo_status milo_vjp_softmax(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = op->results[0];
  if (!milo_grad_wants(g, x)) return b->status;
  const int64_t axis = milo_op_axis(op, "axis", x->type.rank);
  milo_value *sum =
      milo_b_reduce(b, MILO_OP_reduce_sum, milo_b_mul(b, seeds[0], y), &axis, 1, true);
  milo_grad_add(g, x, milo_b_mul(b, y, milo_b_sub(b, seeds[0], sum)));
  return b->status;
}

milo_status milo_vjp_cumsum(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (milo_grad_wants(g, x))
    milo_grad_add(g, x,
                  EMIT(b, cumsum, {"x", seeds[0]}, {"axis", milo_b_int(b, milo_op_int(op, "axis"))},
                       {"exclusive", milo_b_bool(b, milo_op_bool(op, "exclusive"))},
                       {"reverse", milo_b_bool(b, !milo_op_bool(op, "reverse"))}));
  return b->status;
}
