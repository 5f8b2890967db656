// SPDX-License-Identifier: MIT
// batch_norm and instance_norm by other operations, for devices that have nothing better. Numbers
// of 16 bits are computed in fp32 and rounded once at the end.
#include "ir/grad.h"
#include "ir/ops/ops.h"

typedef struct channel_norm {
  milo_builder *b;
  milo_value *x;
  milo_dtype dtype;             // that it is computed in
  int64_t wide[MILO_MAX_RANK];  // of a parameter, broadcast against x
} channel_norm;

static channel_norm begin(milo_builder *b, const milo_op *op) {
  channel_norm n = {.b = b, .x = milo_op_in(op, "x")};
  const milo_type *type = &n.x->type;
  const bool is_narrow = type->dtype == MILO_FP16 || type->dtype == MILO_BF16;
  n.dtype = is_narrow ? MILO_FP32 : type->dtype;
  for (int i = 0; i < type->rank; i++) n.wide[i] = i == 1 ? type->dims[1] : 1;
  if (is_narrow) n.x = milo_b_cast(b, n.x, n.dtype);
  return n;
}

// NULL if it was left out.
static milo_value *param(const channel_norm *n, const milo_op *op, const char *name) {
  milo_value *v = milo_op_in(op, name);
  if (v == NULL || n->b->status != MILO_OK) return NULL;
  if (v->type.dtype != n->dtype) v = milo_b_cast(n->b, v, n->dtype);
  return milo_grad_reshape(n->b, v, n->wide, milo_op_in(op, "x")->type.rank);
}

static milo_status finish(const channel_norm *n, const milo_op *op, milo_value *y,
                          milo_value **out) {
  const milo_dtype dtype = op->results[0]->type.dtype;
  out[0] = n->b->status == MILO_OK && dtype != n->dtype ? milo_b_cast(n->b, y, dtype) : y;
  return n->b->status;
}

milo_status milo_decompose_batch_norm(milo_builder *b, const milo_op *op, milo_value **out) {
  const channel_norm n = begin(b, op);
  milo_value *gamma = param(&n, op, "gamma"), *beta = param(&n, op, "beta");
  milo_value *epsilon = milo_b_number(b, n.dtype, milo_op_float(op, "epsilon"));
  milo_value *scale = EMIT(b, rsqrt, {"x", param(&n, op, "variance")}, {"epsilon", epsilon});
  if (gamma != NULL) scale = milo_b_mul(b, scale, gamma);
  milo_value *y = milo_b_mul(b, milo_b_sub(b, n.x, param(&n, op, "mean")), scale);
  if (beta != NULL) y = milo_b_add(b, y, beta);
  return finish(&n, op, y, out);
}

milo_status milo_decompose_instance_norm(milo_builder *b, const milo_op *op, milo_value **out) {
  const channel_norm n = begin(b, op);
  milo_value *gamma = param(&n, op, "gamma"), *beta = param(&n, op, "beta");
  const int64_t axes[] = {2, 3, 4};
  const size_t count = (size_t)milo_op_in(op, "x")->type.rank - 2;
  milo_value *y = EMIT(b, layer_norm, {"x", n.x}, {"axes", milo_b_ints(b, axes, count)},
                       {"epsilon", milo_b_number(b, n.dtype, milo_op_float(op, "epsilon"))});
  if (gamma != NULL) y = milo_b_mul(b, y, gamma);
  if (beta != NULL) y = milo_b_add(b, y, beta);
  return finish(&n, op, y, out);
}
