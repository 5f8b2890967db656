// SPDX-License-Identifier: MIT
// What attention and its gradient are: definitions by public operations.
#include <math.h>

#include "ir/grad.h"
#include "ir/ops/composite.h"
#include "ir/ops/ops.h"

milo_value *milo_attention_group(const milo_attention_graph *a, milo_value *x) {
  if (a->b->status != MILO_OK) return NULL;
  const int64_t heads = a->q->dims[1], kv_heads = a->k->dims[1], *d = x->type.dims;
  return milo_grad_reshape(a->b, x,
                           (const int64_t[]){d[0], kv_heads, heads / kv_heads * d[2], d[3]}, 4);
}

milo_value *milo_attention_ungroup(const milo_attention_graph *a, milo_value *x) {
  if (a->b->status != MILO_OK) return NULL;
  const int64_t *q = a->q->dims;
  return milo_grad_reshape(a->b, x, (const int64_t[]){q[0], q[1], q[2], x->type.dims[3]}, 4);
}

static milo_value *count_up(milo_builder *b, int64_t n, int64_t rows, int64_t columns) {
  milo_value *list = EMIT(b, range_1d, {"end", milo_b_int(b, n)}, {"start", milo_b_int(b, 0)},
                          {"step", milo_b_int(b, 1)});
  return milo_grad_reshape(b, list, (const int64_t[]){rows, columns}, 2);
}

// position within [-s, t], where sums with indices fit int32; beyond, it makes no difference. Other
// types go through fp32, which keeps the order and all that lies within.
static milo_value *clamp_position(milo_builder *b, milo_value *position, int64_t s, int64_t t) {
  if (b->status != MILO_OK) return NULL;
  const milo_dtype dtype = position->type.dtype == MILO_INT32 ? MILO_INT32 : MILO_FP32;
  if (position->type.dtype != dtype) position = milo_b_cast(b, position, dtype);
  milo_value *low = milo_b_number(b, dtype, (double)-s), *high = milo_b_number(b, dtype, (double)t);
  position =
      milo_b_binary(b, MILO_OP_maximum, milo_b_binary(b, MILO_OP_minimum, position, high), low);
  return dtype == MILO_INT32 ? position : milo_b_cast(b, position, MILO_INT32);
}

// scores where key j <= query i + position, else -inf.
static void mask_causal(milo_attention_graph *a, milo_value *position) {
  milo_builder *b = a->b;
  const int64_t s = a->q->dims[2], t = a->k->dims[2];
  milo_value *limit = count_up(b, s, s, 1), *keys = count_up(b, t, 1, t);
  if (position != NULL) {
    limit = milo_b_add(b, limit, clamp_position(b, position, s, t));
    a->sees = milo_b_binary(b, MILO_OP_greater_equal, limit, milo_b_int(b, 0));
  }
  milo_value *mask = milo_b_binary(b, MILO_OP_less_equal, keys, limit);
  a->scores = milo_grad_where(b, mask, a->scores, -(double)INFINITY);
}

milo_value *milo_attention_seen(const milo_attention_graph *a, milo_value *x, double otherwise) {
  return a->sees != NULL ? milo_grad_where(a->b, a->sees, x, otherwise) : x;
}

milo_value *milo_attention_softmax(const milo_attention_graph *a) {
  milo_builder *b = a->b;
  milo_value *p = EMIT(b, softmax, {"x", a->scores}, {"axis", milo_b_int(b, -1)});
  return milo_attention_seen(a, p, 0);
}

milo_attention_graph milo_attention_scores(milo_builder *b, const milo_op *op) {
  milo_value *query = milo_op_in(op, "query"), *key = milo_op_in(op, "key");
  milo_attention_graph a = {.b = b, .q = &query->type, .k = &key->type, .key = key};
  a.value = milo_op_in(op, "value");
  // Scaled first: products of large fp16 numbers then stay in range.
  a.query = milo_attention_group(&a, milo_b_scale(b, query, milo_op_float(op, "scale")));
  a.scores = milo_attention_ungroup(&a, milo_b_matmul(b, a.query, key, false, true));
  if (b->status == MILO_OK && milo_op_bool(op, "causal"))
    mask_causal(&a, milo_op_in(op, "position"));
  return a;
}

milo_status milo_decompose_attention(milo_builder *b, const milo_op *op, milo_value **out) {
  const milo_attention_graph a = milo_attention_scores(b, op);
  const int64_t last = 3;
  milo_value *max = milo_b_reduce(b, MILO_OP_reduce_max, a.scores, &last, 1, true);
  // A query that sees no key: -inf - 0 gives e = 0, and 0 / 1 weights.
  milo_value *shift = milo_attention_seen(&a, max, 0);
  milo_value *e = milo_b_unary(b, MILO_OP_exp, milo_b_sub(b, a.scores, shift));
  milo_value *sum = milo_b_reduce(b, MILO_OP_reduce_sum, e, &last, 1, true);
  sum = milo_attention_seen(&a, sum, 1);
  milo_value *weights = milo_attention_group(&a, milo_b_div(b, e, sum));
  out[0] = milo_attention_ungroup(&a, milo_b_matmul(b, weights, a.value, false, false));
  milo_value *lse = milo_b_add(b, max, milo_b_unary(b, MILO_OP_log, sum));
  out[1] = milo_grad_reshape(b, lse, a.q->dims, 3);
  return b->status;
}

// With weights p = softmax(scores): dv = p^T g, dp = g v^T, ds = p (dp - sum(g out)),
// dq = scale ds k, dk = scale ds^T q.
milo_status milo_decompose_attention_grad(milo_builder *b, const milo_op *op, milo_value **out) {
  const milo_attention_graph a = milo_attention_scores(b, op);
  const int64_t last = 3;
  milo_value *grad = milo_op_in(op, "grad");
  milo_value *p = milo_attention_softmax(&a);
  milo_value *g = milo_attention_group(&a, grad);
  milo_value *dp = milo_attention_ungroup(&a, milo_b_matmul(b, g, a.value, false, true));
  milo_value *along = milo_b_reduce(b, MILO_OP_reduce_sum,
                                    milo_b_mul(b, grad, milo_op_in(op, "out")), &last, 1, true);
  milo_value *ds = milo_attention_group(&a, milo_b_mul(b, p, milo_b_sub(b, dp, along)));
  milo_value *dq = milo_attention_ungroup(&a, milo_b_matmul(b, ds, a.key, false, false));
  out[0] = milo_b_scale(b, dq, milo_op_float(op, "scale"));
  out[1] = milo_b_matmul(b, ds, a.query, true, false);
  out[2] = milo_b_matmul(b, milo_attention_group(&a, p), g, true, false);
  return b->status;
}
