// SPDX-License-Identifier: MIT
// Result types: quantisation. Scale and zero point are each a scalar or a vector along the axis.
#include <inttypes.h>

#include "ir/ops/infer.h"

// A scalar, or as many elements as the input's axis has (axis -1: none was given).
static milo_status check_param(const milo_op *op, milo_diag *diag, const char *param,
                               const milo_type *input, int axis) {
  const milo_type *type = milo_infer_arg(op, param);
  if (type == NULL || type->rank <= 0) return MILO_OK;
  if (type->rank > 1)
    return milo_infer_bad(op, diag, param, "is %s, expected a scalar or a vector",
                          milo_infer_show(op, type));
  if (input->rank < 0) return MILO_OK;
  if (axis < 0)
    return milo_infer_bad(op, diag, param, "is %s, but there is no axis it could run along",
                          milo_infer_show(op, type));
  return milo_infer_expect(op, diag, param, 1, &input->dims[axis], "the length of the axis");
}

static milo_status check_params(const milo_op *op, milo_diag *diag, const milo_type *input) {
  int axis = -1;
  if (input->rank > 0 && milo_op_in(op, "axis") != NULL)
    MILO_TRY(milo_infer_axis(op, diag, "axis", input->rank, &axis));
  MILO_TRY(check_param(op, diag, "scale", input, axis));
  return check_param(op, diag, "zero_point", input, axis);
}

milo_status milo_infer_quantize(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_type type = *milo_infer_arg(op, "input");
  MILO_TRY(check_params(op, diag, &type));
  const milo_literal *scale = milo_value_constant(milo_op_in(op, "scale"));
  for (size_t i = 0; scale != NULL && i < milo_literal_elements(scale); i++)
    if (milo_literal_number(scale, i) == 0)
      return milo_infer_bad(op, diag, "scale", "is 0, expected another number");
  MILO_TRY(
      milo_infer_dtype(op, diag, "output_dtype", 1u << MILO_INT8 | 1u << MILO_UINT8, &type.dtype));
  const milo_type *zero_point = milo_infer_arg(op, "zero_point");
  if (zero_point != NULL && zero_point->dtype != type.dtype)
    return milo_infer_bad(op, diag, "zero_point", "has element type %s, expected output_dtype %s",
                          milo_dtype_name(zero_point->dtype), milo_dtype_name(type.dtype));
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_dequantize(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_type type = *milo_infer_arg(op, "input");
  MILO_TRY(check_params(op, diag, &type));
  type.dtype = milo_infer_arg(op, "scale")->dtype;
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_constexpr_affine_dequantize(const milo_op *op, milo_types *out,
                                                   milo_diag *diag) {
  milo_type type = *milo_infer_arg(op, "quantized_data");
  if (type.rank == 0)
    return milo_infer_bad(op, diag, "quantized_data", "is %s, expected rank 1 or more",
                          milo_infer_show(op, &type));
  MILO_TRY(check_params(op, diag, &type));
  type.dtype = milo_infer_arg(op, "scale")->dtype;
  return milo_infer_add(op, diag, out, type);
}
