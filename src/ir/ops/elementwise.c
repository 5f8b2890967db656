// SPDX-License-Identifier: MIT
// Result types: constants and elementwise operations.
#include <string.h>

#include "ir/ops/infer.h"

milo_status milo_infer_const(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_literal *value = op->result_count == 1 ? op->results[0]->literal : NULL;
  if (value == NULL) value = milo_attrs_find(&op->attrs, "val");
  if (value == NULL)
    return milo_infer_bad(op, diag, NULL, "has no value: attribute val is missing");
  return milo_infer_add(op, diag, out, value->type);
}

// The type of the first argument. Whatever else there is (alpha, beta, epsilon) is a scalar.
milo_status milo_infer_same(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_param *params = milo_op_info_get(op->code)->params;
  for (int i = 1; params[i].name != NULL; i++)
    MILO_TRY(milo_infer_rank(op, diag, params[i].name, 0));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, params[0].name));
}

static milo_status broadcast(const milo_op *op, milo_types *out, milo_diag *diag,
                             milo_dtype dtype) {
  milo_type type = milo_infer_unranked(dtype);
  MILO_TRY(milo_infer_broadcast_dims(op, diag, "x", milo_infer_arg(op, "x"), "y",
                                     milo_infer_arg(op, "y"), &type));
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_broadcast(const milo_op *op, milo_types *out, milo_diag *diag) {
  return broadcast(op, out, diag, milo_infer_arg(op, "x")->dtype);
}

milo_status milo_infer_compare(const milo_op *op, milo_types *out, milo_diag *diag) {
  return broadcast(op, out, diag, MILO_BOOL);
}

milo_status milo_infer_select(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *a = milo_infer_arg(op, "a");
  milo_type type = milo_infer_unranked(a->dtype);
  MILO_TRY(milo_infer_broadcast_dims(op, diag, "a", a, "b", milo_infer_arg(op, "b"), &type));
  const milo_type ab = type;
  MILO_TRY(milo_infer_broadcast_dims(op, diag, "a with b", &ab, "cond", milo_infer_arg(op, "cond"),
                                     &type));
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_gelu(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const modes[] = {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION", NULL};
  MILO_TRY(milo_infer_word(op, diag, "mode", modes, NULL));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "x"));
}

milo_status milo_infer_cast(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_type type = *milo_infer_arg(op, "x");
  if (type.kind != MILO_TYPE_TENSOR || type.dtype == MILO_STRING)
    return milo_infer_bad(op, diag, "x", "is %s, expected numbers or bools",
                          milo_infer_show(op, &type));
  const unsigned all =
      ((1u << MILO_DTYPE_COUNT) - 1) & ~(1u << MILO_DTYPE_NONE | 1u << MILO_STRING);
  MILO_TRY(milo_infer_dtype(op, diag, "dtype", all, &type.dtype));
  return milo_infer_add(op, diag, out, type);
}
