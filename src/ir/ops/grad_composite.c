// SPDX-License-Identifier: MIT
// Gradients of composites: composites again, and public operations for what those leave out.
#include "ir/grad.h"
#include "ir/ops/composite.h"
#include "ir/ops/ops.h"

#define EMIT_MULTI(b, op, out, count, ...)                                                   \
  milo_emit_multi((b), MILO_OP_##op, (const milo_named[]){__VA_ARGS__, {NULL, NULL}}, (out), \
                  (count))

milo_status milo_vjp_rms_norm(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight"), *d[2];
  EMIT_MULTI(b, rms_norm_grad, d, 2, {"grad", seeds[0]}, {"x", x}, {"weight", weight},
             {"epsilon", milo_op_in(op, "epsilon")});
  milo_grad_add(g, x, d[0]);
  milo_grad_add(g, weight, d[1]);
  return b->status;
}

// A rotation's transpose is the rotation back. cos and sin multiply the pairs (a, c):
// dcos = da a + dc c, dsin = dc a - da c (da c - dc a for the inverse).
milo_status milo_vjp_rope(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *cos = milo_op_in(op, "cos"), *sin = milo_op_in(op, "sin");
  const bool inverse = milo_op_bool(op, "inverse");
  if (milo_grad_wants(g, x))
    milo_grad_add(
        g, x,
        EMIT(b, rope, {"x", seeds[0]}, {"cos", cos}, {"sin", sin},
             {"pairing", milo_op_in(op, "pairing")}, {"inverse", milo_b_bool(b, !inverse)}));
  if (!milo_grad_wants(g, cos) && !milo_grad_wants(g, sin)) return b->status;
  milo_value *a, *c, *da, *dc;
  milo_rope_split(b, op, x, &a, &c);
  milo_rope_split(b, op, seeds[0], &da, &dc);
  if (milo_grad_wants(g, cos))
    milo_grad_add(g, cos, milo_b_add(b, milo_b_mul(b, da, a), milo_b_mul(b, dc, c)));
  if (milo_grad_wants(g, sin)) {
    milo_value *plus = milo_b_mul(b, dc, a), *minus = milo_b_mul(b, da, c);
    milo_grad_add(g, sin, inverse ? milo_b_sub(b, minus, plus) : milo_b_sub(b, plus, minus));
  }
  return b->status;
}

// The gradient of lse alone: ds = softmax(scores) dlse.
static void add_lse_gradient(milo_grad *g, const milo_op *op, milo_value *dlse) {
  milo_builder *b = milo_grad_builder(g);
  const milo_attention_graph a = milo_attention_scores(b, op);
  const int64_t *q = a.q->dims;
  milo_value *p = milo_attention_softmax(&a);
  dlse = milo_grad_reshape(b, dlse, (const int64_t[]){q[0], q[1], q[2], 1}, 4);
  milo_value *ds = milo_attention_group(&a, milo_b_mul(b, p, dlse));
  milo_value *dq = milo_attention_ungroup(&a, milo_b_matmul(b, ds, a.key, false, false));
  milo_grad_add(g, milo_op_in(op, "query"), milo_b_scale(b, dq, milo_op_float(op, "scale")));
  milo_grad_add(g, milo_op_in(op, "key"), milo_b_matmul(b, ds, a.query, true, false));
}

milo_status milo_vjp_attention(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  static const char *const names[] = {"query", "key", "value"};
  if (seeds[0] != NULL) {
    milo_value *d[3];
    EMIT_MULTI(b, attention_grad, d, 3, {"grad", seeds[0]}, {"query", milo_op_in(op, "query")},
               {"key", milo_op_in(op, "key")}, {"value", milo_op_in(op, "value")},
               {"out", op->results[0]}, {"lse", op->results[1]}, {"scale", milo_op_in(op, "scale")},
               {"causal", milo_op_in(op, "causal")}, {"position", milo_op_in(op, "position")});
    for (int i = 0; i < 3; i++) milo_grad_add(g, milo_op_in(op, names[i]), d[i]);
  }
  if (seeds[1] != NULL) add_lse_gradient(g, op, seeds[1]);
  return b->status;
}

// A block's scale takes the sum of its data * gradient; data are whole numbers.
milo_status milo_vjp_scale_blocks(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *data = milo_op_in(op, "data"), *scale = milo_op_in(op, "scale");
  if (!milo_grad_wants(g, scale)) return b->status;
  const milo_type *type = &scale->type;
  const int64_t blocks = type->dims[type->rank - 1];
  const int64_t width = blocks > 0 ? data->type.dims[data->type.rank - 1] / blocks : 0;
  int64_t rows = 1, axis = 1;
  for (int i = 0; i < type->rank; i++) rows *= type->dims[i];
  milo_value *terms = milo_b_mul(b, milo_grad_widen(b, seeds[0], op->results[0]),
                                 milo_b_cast(b, data, type->dtype));
  terms = milo_grad_reshape(b, terms, (const int64_t[]){rows, width}, 2);
  milo_value *sums = milo_b_reduce(b, MILO_OP_reduce_sum, terms, &axis, 1, false);
  milo_grad_add(g, scale, milo_grad_reshape(b, sums, type->dims, type->rank));
  return b->status;
}

milo_status milo_vjp_silu_gate(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  milo_value *wide_x = milo_grad_widen(b, x, op->results[0]);
  milo_value *wide_y = milo_grad_widen(b, y, op->results[0]), *d[2];
  EMIT_MULTI(b, silu_gate_grad, d, 2, {"grad", seeds[0]}, {"x", wide_x}, {"y", wide_y});
  milo_grad_add(g, x, d[0]);
  milo_grad_add(g, y, d[1]);
  return b->status;
}

milo_status milo_vjp_cross_entropy(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *logits = milo_op_in(op, "logits"), *lse = op->results[1];
  if (!milo_grad_wants(g, logits)) return b->status;
  if (seeds[0] != NULL)
    milo_grad_add(g, logits,
                  EMIT(b, cross_entropy_grad, {"grad", seeds[0]}, {"logits", logits},
                       {"target", milo_op_in(op, "target")}, {"lse", lse}));
  if (seeds[1] != NULL) {
    const int64_t column[] = {lse->type.dims[0], 1};
    milo_value *shifted = milo_b_sub(b, logits, milo_grad_reshape(b, lse, column, 2));
    milo_grad_add(g, logits,
                  milo_b_mul(b, milo_b_unary(b, MILO_OP_exp, shifted),
                             milo_grad_reshape(b, seeds[1], column, 2)));
  }
  return b->status;
}
