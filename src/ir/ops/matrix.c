// SPDX-License-Identifier: MIT
// Result types: matrix products.
#include <inttypes.h>
#include <string.h>

#include "ir/ops/infer.h"

// The last two axes of an operand, and the axes before them. A vector is a row (x) or a column (y).
typedef struct operand {
  int64_t rows, columns;
  milo_type batch;
} operand;

static milo_status read_operand(const milo_op *op, milo_diag *diag, const char *param,
                                const char *transpose, operand *out) {
  const milo_type *type = milo_infer_arg(op, param);
  bool transposed = false;
  MILO_TRY(milo_infer_bool(op, diag, transpose, &transposed));
  *out = (operand){MILO_DIM_UNKNOWN, MILO_DIM_UNKNOWN, *type};
  if (type->rank < 0) return MILO_OK;
  if (type->rank == 0)
    return milo_infer_bad(op, diag, param, "is %s, expected rank 1 or more\nuse mul for scalars",
                          milo_infer_show(op, type));
  if (type->rank == 1) {  // transposing a vector does nothing
    const bool row = strcmp(param, "x") == 0;
    out->rows = row ? 1 : type->dims[0];
    out->columns = row ? type->dims[0] : 1;
    out->batch.rank = 0;
    return MILO_OK;
  }
  const int64_t rows = type->dims[type->rank - 2], columns = type->dims[type->rank - 1];
  out->rows = transposed ? columns : rows;
  out->columns = transposed ? rows : columns;
  out->batch.rank = type->rank - 2;
  return MILO_OK;
}

// The operands' type. Where they differ (iOS17), a constant takes the other's; of two values, or
// two constants, x's is the result's. What a pass folds becomes constant only then, so that the
// type once declared stays if it is either's.
static milo_dtype product_dtype(const milo_op *op, const milo_type *xt, const milo_type *yt) {
  if (xt->dtype == yt->dtype) return xt->dtype;
  const milo_dtype declared = op->result_count == 1 ? op->results[0]->type.dtype : MILO_DTYPE_NONE;
  if (declared == xt->dtype || declared == yt->dtype) return declared;
  const bool x_is_constant = milo_op_in(op, "x")->literal != NULL;
  const bool y_is_constant = milo_op_in(op, "y")->literal != NULL;
  return x_is_constant && !y_is_constant ? yt->dtype : xt->dtype;
}

milo_status milo_infer_matmul(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *xt = milo_infer_arg(op, "x"), *yt = milo_infer_arg(op, "y");
  operand x, y;
  MILO_TRY(read_operand(op, diag, "x", "transpose_x", &x));
  MILO_TRY(read_operand(op, diag, "y", "transpose_y", &y));
  if (!milo_infer_dims_agree(x.columns, y.rows))
    return milo_infer_bad(op, diag, NULL,
                          "x %s and y %s do not multiply: %" PRId64 " columns against %" PRId64
                          " rows (after transpose_x = %s, transpose_y = %s)",
                          milo_infer_show(op, xt), milo_infer_show(op, yt), x.columns, y.rows,
                          milo_op_bool(op, "transpose_x") ? "true" : "false",
                          milo_op_bool(op, "transpose_y") ? "true" : "false");
  milo_type type = milo_infer_unranked(product_dtype(op, xt, yt));
  MILO_TRY(milo_infer_broadcast_dims(op, diag, "the batch of x", &x.batch, "that of y", &y.batch,
                                     &type));
  if (type.rank >= 0) {
    if (xt->rank > 1) type.dims[type.rank++] = x.rows;
    if (yt->rank > 1) type.dims[type.rank++] = y.columns;
  }
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_linear(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  MILO_TRY(milo_infer_rank(op, diag, "weight", 2));
  const bool ranked = weight->rank == 2;
  const int64_t outputs = ranked ? weight->dims[0] : MILO_DIM_UNKNOWN;
  const int64_t inputs = ranked ? weight->dims[1] : MILO_DIM_UNKNOWN;
  MILO_TRY(milo_infer_expect(op, diag, "bias", 1, &outputs, "one for each row of weight"));
  milo_type type = *x;
  if (x->rank == 0)
    return milo_infer_bad(op, diag, "x", "is %s, expected rank 1 or more", milo_infer_show(op, x));
  if (x->rank > 0) {
    if (!milo_infer_dims_agree(x->dims[x->rank - 1], inputs))
      return milo_infer_bad(op, diag, NULL,
                            "x %s has %" PRId64 " columns, weight %s expects %" PRId64
                            "\nweight is [outputs, inputs]",
                            milo_infer_show(op, x), x->dims[x->rank - 1],
                            milo_infer_show(op, weight), inputs);
    type.dims[x->rank - 1] = outputs;
  }
  return milo_infer_add(op, diag, out, type);
}
