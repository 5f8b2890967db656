// SPDX-License-Identifier: MIT
// Gradients of layer_norm, instance_norm and batch_norm.
#include "ir/grad.h"
#include "ir/ops/ops.h"

// y = n gamma + beta, n = (x - mean) / deviation over some axes. gamma and beta broadcast to x's
// shape once they are reshaped to `wide`. Narrow floats are computed with in fp32 and rounded once:
// in fp16 the square of a difference of 256 is infinite already.
typedef struct norm {
  milo_grad *g;
  milo_builder *b;
  const milo_op *op;
  milo_value *x, *gamma, *beta;
  milo_dtype dtype;             // computed with
  milo_value *computed_x, *dy;  // of that type
  int64_t wide[MILO_MAX_RANK];
} norm;

static milo_value *as_dtype(milo_builder *b, milo_value *v, milo_dtype dtype) {
  return b->status != MILO_OK || v->type.dtype == dtype ? v : milo_b_cast(b, v, dtype);
}

static norm norm_of(milo_grad *g, const milo_op *op, milo_value *dy) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  const bool narrow = x->type.dtype == MILO_FP16 || x->type.dtype == MILO_BF16;
  const milo_dtype dtype = narrow ? MILO_FP32 : x->type.dtype;
  return (norm){.g = g,
                .b = b,
                .op = op,
                .x = x,
                .gamma = milo_op_in(op, "gamma"),
                .beta = milo_op_in(op, "beta"),
                .dtype = dtype,
                .computed_x = as_dtype(b, x, dtype),
                .dy = as_dtype(b, dy, dtype)};
}

// A parameter, broadcast against x, of the type computed with.
static milo_value *spread(const norm *n, milo_value *param) {
  return as_dtype(n->b, milo_grad_reshape(n->b, param, n->wide, n->x->type.rank), n->dtype);
}

// Adds to a parameter's gradient what sums down to its shape.
static void add_param(const norm *n, milo_value *param, milo_value *grad) {
  const milo_type like = milo_type_tensor(n->dtype, n->x->type.rank, n->wide);
  milo_value *sum = milo_grad_sum_to(n->b, grad, &like);
  milo_grad_add(n->g, param, milo_grad_reshape_like(n->b, sum, param));
}

// dx = (dn - mean(dn) - n mean(dn n)) / deviation, dn = dy gamma; means over the axes of is_axis.
static milo_status differentiate(const norm *n, const bool *is_axis) {
  milo_builder *b = n->b;
  int64_t axes[MILO_MAX_RANK];
  int count = 0;
  for (int i = 0; i < n->x->type.rank; i++)
    if (is_axis[i]) axes[count++] = i;
#define MEAN(v) milo_b_reduce(b, MILO_OP_reduce_mean, v, axes, count, true)
  if (milo_grad_wants(n->g, n->beta)) add_param(n, n->beta, n->dy);
  if (!milo_grad_wants(n->g, n->x) && !milo_grad_wants(n->g, n->gamma)) return b->status;
  milo_value *centred = milo_b_sub(b, n->computed_x, MEAN(n->computed_x));
  milo_value *variance = MEAN(milo_b_unary(b, MILO_OP_square, centred));
  milo_value *deviation = milo_b_unary(
      b, MILO_OP_sqrt, milo_b_add_number(b, variance, milo_op_float(n->op, "epsilon")));
  milo_value *unit = milo_b_div(b, centred, deviation);
  if (milo_grad_wants(n->g, n->gamma)) add_param(n, n->gamma, milo_b_mul(b, n->dy, unit));
  if (milo_grad_wants(n->g, n->x)) {
    milo_value *dn = n->gamma != NULL ? milo_b_mul(b, n->dy, spread(n, n->gamma)) : n->dy;
    milo_value *along = MEAN(milo_b_mul(b, dn, unit));
    milo_value *inner = milo_b_sub(b, dn, MEAN(dn));
    inner = milo_b_sub(b, inner, milo_b_mul(b, unit, along));
    milo_grad_add(n->g, n->x, milo_b_div(b, inner, deviation));
  }
#undef MEAN
  return b->status;
}

milo_status milo_vjp_layer_norm(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  norm n = norm_of(g, op, seeds[0]);
  bool is_axis[MILO_MAX_RANK];
  milo_grad_axes(op, "axes", n.x->type.rank, is_axis);
  for (int i = 0; i < n.x->type.rank; i++) n.wide[i] = is_axis[i] ? n.x->type.dims[i] : 1;
  return differentiate(&n, is_axis);
}

// Parameters lie along the channels.
static void wide_channels(norm *n) {
  for (int i = 0; i < n->x->type.rank; i++) n->wide[i] = i == 1 ? n->x->type.dims[1] : 1;
}

milo_status milo_vjp_instance_norm(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  norm n = norm_of(g, op, seeds[0]);
  const bool is_axis[MILO_MAX_RANK] = {false, false, true, true, true};
  wide_channels(&n);
  return differentiate(&n, is_axis);
}

// y = (x - mean) r gamma + beta, r = (variance + epsilon)^-1/2
milo_status milo_vjp_batch_norm(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  norm n = norm_of(g, op, seeds[0]);
  milo_builder *b = n.b;
  milo_value *mean = milo_op_in(op, "mean"), *variance = milo_op_in(op, "variance");
  wide_channels(&n);
  if (milo_grad_wants(g, n.beta)) add_param(&n, n.beta, n.dy);
  milo_value *epsilon = milo_b_number(b, n.dtype, milo_op_float(op, "epsilon"));
  milo_value *r = EMIT(b, rsqrt, {"x", spread(&n, variance)}, {"epsilon", epsilon});
  milo_value *scale = n.gamma != NULL ? milo_b_mul(b, r, spread(&n, n.gamma)) : r;
  if (milo_grad_wants(g, n.x)) milo_grad_add(g, n.x, milo_b_mul(b, n.dy, scale));
  if (milo_grad_wants(g, mean))
    add_param(&n, mean, milo_b_scale(b, milo_b_mul(b, n.dy, scale), -1));
  if (!milo_grad_wants(g, n.gamma) && !milo_grad_wants(g, variance)) return b->status;
  milo_value *unit = milo_b_mul(b, milo_b_sub(b, n.computed_x, spread(&n, mean)), r);
  if (milo_grad_wants(g, n.gamma)) add_param(&n, n.gamma, milo_b_mul(b, n.dy, unit));
  if (milo_grad_wants(g, variance)) {
    // d r / d variance = -r^3 / 2
    milo_value *half = milo_b_scale(b, milo_b_mul(b, scale, r), -0.5);
    add_param(&n, variance, milo_b_mul(b, n.dy, milo_b_mul(b, unit, half)));
  }
  return b->status;
}
