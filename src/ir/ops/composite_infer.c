// SPDX-License-Identifier: MIT
// Result types: composites. They come from the builder, so ranks are always known.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "ir/ops/infer.h"

// Fails unless the argument has exactly the rank.
static milo_status need_rank(const milo_op *op, milo_diag *diag, const char *param, int rank) {
  const milo_type *type = milo_infer_arg(op, param);
  if (type->rank == rank) return MILO_OK;
  return milo_infer_bad(op, diag, param, "is %s, expected rank %d", milo_infer_show(op, type),
                        rank);
}

static milo_status need_rank_from(const milo_op *op, milo_diag *diag, const char *param,
                                  int least) {
  const milo_type *type = milo_infer_arg(op, param);
  if (type->rank >= least) return MILO_OK;
  return milo_infer_bad(op, diag, param, "is %s, expected rank %d or more",
                        milo_infer_show(op, type), least);
}

// Fails unless the argument has the shape of another.
static milo_status need_like(const milo_op *op, milo_diag *diag, const char *param,
                             const char *model) {
  const milo_type *type = milo_infer_arg(op, model);
  MILO_TRY(need_rank(op, diag, param, type->rank));
  return milo_infer_expect(op, diag, param, type->rank, type->dims, model);
}

static milo_status need_scalars(const milo_op *op, milo_diag *diag, const char *const *params) {
  for (; *params != NULL; params++)
    if (milo_op_in(op, *params) != NULL) MILO_TRY(need_rank(op, diag, *params, 0));
  return MILO_OK;
}

static const char *const epsilon_only[] = {"epsilon", NULL};

// x [..., D], weight [D].
static milo_status check_rms_norm(const milo_op *op, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  MILO_TRY(need_rank_from(op, diag, "x", 1));
  MILO_TRY(need_rank(op, diag, "weight", 1));
  MILO_TRY(milo_infer_expect(op, diag, "weight", 1, &x->dims[x->rank - 1], "the last axis of x"));
  return need_scalars(op, diag, epsilon_only);
}

milo_status milo_infer_rms_norm(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(check_rms_norm(op, diag));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "x"));
}

milo_status milo_infer_rms_norm_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(check_rms_norm(op, diag));
  MILO_TRY(need_like(op, diag, "grad", "x"));
  MILO_TRY(milo_infer_add(op, diag, out, *milo_infer_arg(op, "x")));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "weight"));
}

milo_status milo_infer_rope(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const pairings[] = {"adjacent", "half", NULL};
  const milo_type *x = milo_infer_arg(op, "x");
  bool inverse = false;
  MILO_TRY(milo_infer_word(op, diag, "pairing", pairings, NULL));
  MILO_TRY(milo_infer_bool(op, diag, "inverse", &inverse));
  MILO_TRY(need_rank_from(op, diag, "x", 2));
  const int64_t width = x->dims[x->rank - 1];
  if (width != MILO_DIM_UNKNOWN && width % 2 != 0)
    return milo_infer_bad(op, diag, "x", "is %s, expected an even last axis (pairs)",
                          milo_infer_show(op, x));
  const int64_t dims[] = {x->dims[x->rank - 2],
                          width == MILO_DIM_UNKNOWN ? MILO_DIM_UNKNOWN : width / 2};
  MILO_TRY(need_rank(op, diag, "cos", 2));
  MILO_TRY(need_rank(op, diag, "sin", 2));
  MILO_TRY(milo_infer_expect(op, diag, "cos", 2, dims, "positions and pairs of x"));
  MILO_TRY(milo_infer_expect(op, diag, "sin", 2, dims, "positions and pairs of x"));
  return milo_infer_add(op, diag, out, *x);
}

// query [B, NH, S, HD], key, value [B, NKV, T, HD].
static milo_status check_attention(const milo_op *op, milo_diag *diag) {
  static const char *const scalars[] = {"scale", "causal", "position", NULL};
  MILO_TRY(need_rank(op, diag, "query", 4));
  MILO_TRY(need_rank(op, diag, "key", 4));
  const milo_type *query = milo_infer_arg(op, "query"), *key = milo_infer_arg(op, "key");
  const int64_t dims[] = {query->dims[0], key->dims[1], key->dims[2], query->dims[3]};
  MILO_TRY(milo_infer_expect(op, diag, "key", 4, dims, "batch and head width of query"));
  MILO_TRY(need_like(op, diag, "value", "key"));
  MILO_TRY(need_scalars(op, diag, scalars));
  const int64_t heads = query->dims[1], kv_heads = key->dims[1];
  if (heads != MILO_DIM_UNKNOWN && kv_heads != MILO_DIM_UNKNOWN &&
      (kv_heads == 0 || heads % kv_heads != 0))
    return milo_infer_bad(op, diag, "query",
                          "has %" PRId64 " heads, expected a multiple of key's %" PRId64, heads,
                          kv_heads);
  // 0 times infinity is a NaN or not, by the order of a device's products.
  const milo_literal *scale = milo_value_constant(milo_op_in(op, "scale"));
  if (scale != NULL && !isfinite(milo_literal_number(scale, 0)))
    return milo_infer_bad(op, diag, "scale", "is %g, expected a finite number",
                          milo_literal_number(scale, 0));
  const milo_literal *position = milo_value_constant(milo_op_in(op, "position"));
  if (position != NULL && milo_literal_int(position, 0) < 0)
    return milo_infer_bad(op, diag, "position", "is %" PRId64 ", expected 0 or more",
                          milo_literal_int(position, 0));
  return MILO_OK;
}

milo_status milo_infer_attention(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(check_attention(op, diag));
  const milo_type *query = milo_infer_arg(op, "query");
  MILO_TRY(milo_infer_add(op, diag, out, *query));
  return milo_infer_add(op, diag, out, milo_type_tensor(query->dtype, 3, query->dims));
}

milo_status milo_infer_attention_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(check_attention(op, diag));
  MILO_TRY(need_like(op, diag, "grad", "query"));
  MILO_TRY(need_like(op, diag, "out", "query"));
  MILO_TRY(need_rank(op, diag, "lse", 3));
  MILO_TRY(milo_infer_expect(op, diag, "lse", 3, milo_infer_arg(op, "query")->dims,
                             "query without its last axis"));
  MILO_TRY(milo_infer_add(op, diag, out, *milo_infer_arg(op, "query")));
  MILO_TRY(milo_infer_add(op, diag, out, *milo_infer_arg(op, "key")));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "value"));
}

// data [..., K], scale [..., K/G].
milo_status milo_infer_scale_blocks(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(need_rank_from(op, diag, "data", 1));
  const milo_type *data = milo_infer_arg(op, "data"), *scale = milo_infer_arg(op, "scale");
  MILO_TRY(need_rank(op, diag, "scale", data->rank));
  const int last = data->rank - 1;
  const int64_t width = data->dims[last], blocks = scale->dims[last];
  int64_t dims[MILO_MAX_RANK];
  memcpy(dims, data->dims, sizeof dims);
  dims[last] = blocks;
  MILO_TRY(milo_infer_expect(op, diag, "scale", data->rank, dims, "data but for the last axis"));
  if (width != MILO_DIM_UNKNOWN && blocks != MILO_DIM_UNKNOWN &&
      (blocks == 0 ? width != 0 : width % blocks != 0))
    return milo_infer_bad(op, diag, "scale",
                          "has %" PRId64 " blocks, which do not divide %" PRId64 " elements",
                          blocks, width);
  milo_type type = *data;
  type.dtype = scale->dtype;
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_silu_gate(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(need_rank_from(op, diag, "x", 0));
  MILO_TRY(need_like(op, diag, "y", "x"));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "x"));
}

milo_status milo_infer_silu_gate_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(need_like(op, diag, "grad", "x"));
  MILO_TRY(milo_infer_silu_gate(op, out, diag));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "y"));
}

// logits [N, V], target [N].
static milo_status check_cross_entropy(const milo_op *op, milo_diag *diag) {
  MILO_TRY(need_rank(op, diag, "logits", 2));
  MILO_TRY(need_rank(op, diag, "target", 1));
  const milo_type *logits = milo_infer_arg(op, "logits");
  MILO_TRY(milo_infer_expect(op, diag, "target", 1, logits->dims, "one for each row of logits"));
  const milo_literal *target = milo_value_constant(milo_op_in(op, "target"));
  if (target == NULL || logits->dims[1] == MILO_DIM_UNKNOWN) return MILO_OK;
  for (size_t i = 0; i < milo_literal_elements(target); i++) {
    const int64_t index = milo_literal_int(target, i);
    if (index < 0 || index >= logits->dims[1])
      return milo_infer_bad(op, diag, "target", "holds %" PRId64 ", expected [0, %" PRId64 ")",
                            index, logits->dims[1]);
  }
  return MILO_OK;
}

milo_status milo_infer_cross_entropy(const milo_op *op, milo_types *out, milo_diag *diag) {
  MILO_TRY(check_cross_entropy(op, diag));
  const milo_type *logits = milo_infer_arg(op, "logits");
  const milo_type rows = milo_type_tensor(logits->dtype, 1, logits->dims);
  MILO_TRY(milo_infer_add(op, diag, out, rows));
  return milo_infer_add(op, diag, out, rows);
}

milo_status milo_infer_cross_entropy_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const rows[] = {"grad", "lse"};
  MILO_TRY(check_cross_entropy(op, diag));
  const milo_type *logits = milo_infer_arg(op, "logits");
  for (int i = 0; i < 2; i++) {
    MILO_TRY(need_rank(op, diag, rows[i], 1));
    MILO_TRY(milo_infer_expect(op, diag, rows[i], 1, logits->dims, "one for each row of logits"));
  }
  return milo_infer_add(op, diag, out, *logits);
}

milo_status milo_infer_adamw(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const like[] = {"grad", "m", "v"};
  static const char *const scalars[] = {"lr",    "grad_scale", "bias1",        "bias2", "beta1",
                                        "beta2", "epsilon",    "weight_decay", NULL};
  MILO_TRY(need_rank_from(op, diag, "param", 0));
  for (int i = 0; i < 3; i++) MILO_TRY(need_like(op, diag, like[i], "param"));
  MILO_TRY(need_scalars(op, diag, scalars));
  for (int i = 0; i < 3; i++) MILO_TRY(milo_infer_add(op, diag, out, *milo_infer_arg(op, "param")));
  return MILO_OK;
}
