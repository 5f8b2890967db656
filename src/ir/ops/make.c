// SPDX-License-Identifier: MIT
// Result types: operations that make tensors out of shapes, ranges and indices.
#include <inttypes.h>
#include <math.h>

#include "ir/ops/infer.h"

milo_status milo_infer_fill(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *value = milo_infer_arg(op, "value");
  MILO_TRY(milo_infer_rank(op, diag, "value", 0));
  milo_infer_list shape;
  MILO_TRY(milo_infer_ints(op, diag, "shape", -1, &shape));
  if (shape.count > MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "shape", "has %d elements, at most rank %d is possible",
                          shape.count, MILO_MAX_RANK);
  milo_type type = milo_infer_unranked(value != NULL ? value->dtype : MILO_FP32);
  if (shape.count != MILO_DIM_UNKNOWN) type.rank = shape.count;
  for (int i = 0; i < type.rank; i++) {
    if (shape.known && shape.items[i] < 0)
      return milo_infer_bad(op, diag, "shape", "holds %" PRId64 ", expected 0 or more",
                            shape.items[i]);
    type.dims[i] = shape.known ? shape.items[i] : MILO_DIM_UNKNOWN;
  }
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_shape(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  if (x->kind != MILO_TYPE_TENSOR)
    return milo_infer_bad(op, diag, "x", "is %s, expected a tensor", milo_infer_show(op, x));
  const int64_t rank = x->rank < 0 ? MILO_DIM_UNKNOWN : x->rank;
  return milo_infer_add(op, diag, out, milo_type_tensor(MILO_INT32, 1, &rank));
}

milo_status milo_infer_range_1d(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const params[] = {"start", "end", "step"};
  double numbers[3];
  bool known = true;
  for (int i = 0; i < 3; i++) {
    MILO_TRY(milo_infer_rank(op, diag, params[i], 0));
    const milo_literal *literal = milo_value_constant(milo_op_in(op, params[i]));
    known = known && literal != NULL;
    numbers[i] = literal != NULL ? milo_literal_number(literal, 0) : 1;
  }
  if (numbers[2] == 0) return milo_infer_bad(op, diag, "step", "is 0, expected another number");
  int64_t count = MILO_DIM_UNKNOWN;
  if (known) {
    const double steps = ceil((numbers[1] - numbers[0]) / numbers[2]);
    if (!(steps < 9007199254740992.0))  // 2^53; NaN too
      return milo_infer_bad(op, diag, NULL, "from %g to %g by %g is no range", numbers[0],
                            numbers[1], numbers[2]);
    count = steps > 0 ? (int64_t)steps : 0;
  }
  return milo_infer_add(op, diag, out,
                        milo_type_tensor(milo_infer_arg(op, "start")->dtype, 1, &count));
}

milo_status milo_infer_one_hot(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *indices = milo_infer_arg(op, "indices");
  const milo_type *on = milo_infer_arg(op, "on_value"), *off = milo_infer_arg(op, "off_value");
  MILO_TRY(milo_infer_rank(op, diag, "on_value", 0));
  MILO_TRY(milo_infer_rank(op, diag, "off_value", 0));
  milo_type type = milo_infer_unranked(on != NULL    ? on->dtype
                                       : off != NULL ? off->dtype
                                                     : MILO_INT32);
  int64_t length = MILO_DIM_UNKNOWN;
  const bool known = milo_value_constant(milo_op_in(op, "one_hot_vector_size")) != NULL;
  MILO_TRY(milo_infer_rank(op, diag, "one_hot_vector_size", 0));
  if (known) MILO_TRY(milo_infer_int(op, diag, "one_hot_vector_size", &length));
  if (known && length < 0)
    return milo_infer_bad(op, diag, "one_hot_vector_size", "is %" PRId64 ", expected 0 or more",
                          length);
  if (indices->rank < 0) return milo_infer_add(op, diag, out, type);
  if (indices->rank == MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "indices", "has rank %d, the result's would be more than %d",
                          indices->rank, MILO_MAX_RANK);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", indices->rank + 1, &axis));
  type.rank = indices->rank + 1;
  for (int i = 0; i < type.rank; i++)
    type.dims[i] = i == axis ? length : indices->dims[i < axis ? i : i - 1];
  return milo_infer_add(op, diag, out, type);
}
