// SPDX-License-Identifier: MIT
// What the composites are: definitions by public operations. Sums over many 16-bit numbers are
// computed in fp32 and rounded once at the end.
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/composite.h"
#include "ir/ops/ops.h"

static bool is_narrow(milo_dtype dtype) { return dtype == MILO_FP16 || dtype == MILO_BF16; }

// An argument, fp32 if it is narrower.
static milo_value *wide(milo_builder *b, const milo_op *op, const char *name) {
  milo_value *x = milo_op_in(op, name);
  return is_narrow(x->type.dtype) ? milo_b_cast(b, x, MILO_FP32) : x;
}

// Result i, rounded to its type.
static void finish(milo_builder *b, const milo_op *op, milo_value **out, size_t i,
                   milo_value *value) {
  const milo_dtype dtype = op->results[i]->type.dtype;
  out[i] =
      b->status == MILO_OK && value->type.dtype != dtype ? milo_b_cast(b, value, dtype) : value;
}

static milo_value *reduce_last(milo_builder *b, milo_opcode code, milo_value *x) {
  if (b->status != MILO_OK) return NULL;
  const int64_t axis = x->type.rank - 1;
  return milo_b_reduce(b, code, x, &axis, 1, true);
}

// ---- rms_norm ----

// x r, and r = (mean(x^2) + epsilon)^-1/2
static milo_value *normalise(milo_builder *b, const milo_op *op, milo_value *x,
                             milo_value **out_r) {
  if (b->status != MILO_OK) return NULL;
  milo_value *square = milo_b_unary(b, MILO_OP_square, x);
  milo_value *mean = reduce_last(b, MILO_OP_reduce_mean, square);
  milo_value *epsilon = milo_b_number(b, x->type.dtype, milo_op_float(op, "epsilon"));
  *out_r = EMIT(b, rsqrt, {"x", mean}, {"epsilon", epsilon});
  return milo_b_mul(b, x, *out_r);
}

milo_status milo_decompose_rms_norm(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *r = NULL, *n = normalise(b, op, wide(b, op, "x"), &r);
  finish(b, op, out, 0, milo_b_mul(b, n, wide(b, op, "weight")));
  return b->status;
}

// n = x r: dx = r (dn - n mean(dn n)), dn = grad weight; dweight = sum(grad n)
milo_status milo_decompose_rms_norm_grad(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *r = NULL, *n = normalise(b, op, wide(b, op, "x"), &r);
  milo_value *grad = wide(b, op, "grad"), *weight = wide(b, op, "weight");
  milo_value *dn = milo_b_mul(b, grad, weight);
  milo_value *along = reduce_last(b, MILO_OP_reduce_mean, milo_b_mul(b, dn, n));
  finish(b, op, out, 0, milo_b_mul(b, milo_b_sub(b, dn, milo_b_mul(b, n, along)), r));
  if (b->status == MILO_OK)
    finish(b, op, out, 1, milo_grad_sum_to(b, milo_b_mul(b, grad, n), &weight->type));
  return b->status;
}

// ---- rope ----

static bool is_adjacent(const milo_op *op) {
  return strcmp(milo_op_string(op, "pairing"), "adjacent") == 0;
}

void milo_rope_split(milo_builder *b, const milo_op *op, milo_value *x, milo_value **out_first,
                     milo_value **out_second) {
  *out_first = *out_second = NULL;
  if (b->status != MILO_OK) return;
  const int last = x->type.rank - 1;
  const int64_t half = x->type.dims[last] / 2;
  int64_t begin[MILO_MAX_RANK] = {0}, size[MILO_MAX_RANK], stride[MILO_MAX_RANK];
  memcpy(size, x->type.dims, sizeof size);
  if (is_adjacent(op)) {
    for (int i = 0; i <= last; i++) stride[i] = i == last ? 2 : 1;
    *out_first = milo_grad_stride(b, x, begin, size, stride);
    begin[last] = 1;
    *out_second = milo_grad_stride(b, x, begin, size, stride);
  } else {
    size[last] = half;
    *out_first = milo_b_slice(b, x, begin, size);
    begin[last] = half;
    *out_second = milo_b_slice(b, x, begin, size);
  }
}

milo_value *milo_rope_join(milo_builder *b, const milo_op *op, milo_value *first,
                           milo_value *second) {
  if (b->status != MILO_OK) return NULL;
  milo_value *const pair[] = {first, second};
  const int rank = first->type.rank;
  if (!is_adjacent(op)) return milo_b_concat(b, pair, 2, rank - 1);
  int64_t dims[MILO_MAX_RANK];
  memcpy(dims, first->type.dims, sizeof dims);
  dims[rank - 1] *= 2;
  // As rows of one matrix, so that stacking goes beyond no rank that devices have.
  milo_value *const rows[] = {milo_grad_rows(b, first), milo_grad_rows(b, second)};
  milo_value *both = milo_emit_values(
      b, MILO_OP_stack, rows, 2, (const milo_named[]){{"axis", milo_b_int(b, 2)}, {NULL, NULL}});
  return milo_grad_reshape(b, both, dims, rank);
}

// (a, c) -> (a cos - c sin, a sin + c cos)
milo_status milo_decompose_rope(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *cos = milo_op_in(op, "cos"), *sin = milo_op_in(op, "sin"), *a, *c;
  if (milo_op_bool(op, "inverse")) sin = milo_b_scale(b, sin, -1);
  milo_rope_split(b, op, milo_op_in(op, "x"), &a, &c);
  milo_value *first = milo_b_sub(b, milo_b_mul(b, a, cos), milo_b_mul(b, c, sin));
  milo_value *second = milo_b_add(b, milo_b_mul(b, a, sin), milo_b_mul(b, c, cos));
  out[0] = milo_rope_join(b, op, first, second);
  return b->status;
}

// ---- scale_blocks ----

// Each block a row.
milo_status milo_decompose_scale_blocks(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *scale = milo_op_in(op, "scale"), *data = milo_op_in(op, "data");
  const milo_type *type = &op->results[0]->type;
  const int64_t blocks = scale->type.dims[scale->type.rank - 1];
  const int64_t width = blocks > 0 ? type->dims[type->rank - 1] / blocks : 0;
  int64_t rows = 1;
  for (int i = 0; i < scale->type.rank; i++) rows *= scale->type.dims[i];
  milo_value *x = milo_grad_reshape(b, milo_b_cast(b, data, scale->type.dtype),
                                    (const int64_t[]){rows, width}, 2);
  milo_value *column = milo_grad_reshape(b, scale, (const int64_t[]){rows, 1}, 2);
  out[0] = milo_grad_reshape(b, milo_b_mul(b, x, column), type->dims, type->rank);
  return b->status;
}

// ---- silu_gate ----

milo_status milo_decompose_silu_gate(milo_builder *b, const milo_op *op, milo_value **out) {
  out[0] = milo_b_mul(b, milo_b_unary(b, MILO_OP_silu, milo_op_in(op, "x")), milo_op_in(op, "y"));
  return b->status;
}

// s = sigmoid(x): dx = grad y s (1 + x (1 - s)), dy = grad x s
milo_status milo_decompose_silu_gate_grad(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y"), *grad = milo_op_in(op, "grad");
  milo_value *s = milo_b_unary(b, MILO_OP_sigmoid, x);
  milo_value *rest = milo_b_sub(b, milo_b_number(b, x->type.dtype, 1), s);
  milo_value *slope = milo_b_mul(b, s, milo_b_add_number(b, milo_b_mul(b, x, rest), 1));
  out[0] = milo_b_mul(b, milo_b_mul(b, grad, y), slope);
  out[1] = milo_b_mul(b, grad, milo_b_mul(b, x, s));
  return b->status;
}

// ---- cross_entropy ----

static milo_value *as_column(milo_builder *b, milo_value *x) {
  if (b->status != MILO_OK) return NULL;
  return milo_grad_reshape(b, x, (const int64_t[]){x->type.dims[0], 1}, 2);
}

static milo_value *as_list(milo_builder *b, milo_value *x) {
  if (b->status != MILO_OK) return NULL;
  return milo_grad_reshape(b, x, x->type.dims, 1);
}

milo_status milo_decompose_cross_entropy(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *logits = wide(b, op, "logits");
  milo_value *max = reduce_last(b, MILO_OP_reduce_max, logits);
  milo_value *e = milo_b_unary(b, MILO_OP_exp, milo_b_sub(b, logits, max));
  milo_value *log_sum = milo_b_unary(b, MILO_OP_log, reduce_last(b, MILO_OP_reduce_sum, e));
  milo_value *chosen =
      EMIT(b, gather_along_axis, {"x", logits}, {"indices", as_column(b, milo_op_in(op, "target"))},
           {"axis", milo_b_int(b, 1)});
  milo_value *loss = milo_b_sub(b, log_sum, milo_b_sub(b, chosen, max));
  finish(b, op, out, 0, as_list(b, loss));
  finish(b, op, out, 1, as_list(b, milo_b_add(b, max, log_sum)));
  return b->status;
}

milo_status milo_decompose_cross_entropy_grad(milo_builder *b, const milo_op *op,
                                              milo_value **out) {
  milo_value *logits = wide(b, op, "logits");
  milo_value *lse = as_column(b, wide(b, op, "lse")), *grad = as_column(b, wide(b, op, "grad"));
  if (b->status != MILO_OK) return b->status;
  const milo_dtype dtype = logits->type.dtype;
  milo_value *p = milo_b_unary(b, MILO_OP_exp, milo_b_sub(b, logits, lse));
  milo_value *chosen = EMIT(b, one_hot, {"indices", milo_op_in(op, "target")},
                            {"one_hot_vector_size", milo_b_int(b, logits->type.dims[1])},
                            {"axis", milo_b_int(b, -1)}, {"on_value", milo_b_number(b, dtype, 1)},
                            {"off_value", milo_b_number(b, dtype, 0)});
  finish(b, op, out, 0, milo_b_mul(b, milo_b_sub(b, p, chosen), grad));
  return b->status;
}

// ---- adamw ----

// decay * old + (1 - decay) * new
static milo_value *blend(milo_builder *b, milo_value *old, milo_value *new, double decay) {
  return milo_b_add(b, milo_b_scale(b, old, decay), milo_b_scale(b, new, 1 - decay));
}

milo_status milo_decompose_adamw(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *param = wide(b, op, "param"), *lr = wide(b, op, "lr");
  milo_value *grad = milo_b_mul(b, wide(b, op, "grad"), wide(b, op, "grad_scale"));
  milo_value *m = blend(b, wide(b, op, "m"), grad, milo_op_float(op, "beta1"));
  milo_value *v =
      blend(b, wide(b, op, "v"), milo_b_unary(b, MILO_OP_square, grad), milo_op_float(op, "beta2"));
  milo_value *rms = milo_b_unary(b, MILO_OP_sqrt, milo_b_div(b, v, wide(b, op, "bias2")));
  milo_value *step = milo_b_div(b, milo_b_div(b, m, wide(b, op, "bias1")),
                                milo_b_add_number(b, rms, milo_op_float(op, "epsilon")));
  milo_value *decay = milo_b_scale(b, param, milo_op_float(op, "weight_decay"));
  milo_value *change = milo_b_mul(b, lr, milo_b_add(b, step, decay));
  finish(b, op, out, 0, milo_b_sub(b, param, change));
  finish(b, op, out, 1, m);
  finish(b, op, out, 2, v);
  return b->status;
}
