// SPDX-License-Identifier: MIT
// Result types: gather and scatter.
#include <inttypes.h>
#include <string.h>

#include "ir/ops/infer.h"

// Constant indices lie in [-dim, dim), in [0, dim) if validate_indices says so.
static milo_status check_indices(const milo_op *op, milo_diag *diag, int64_t dim) {
  bool validate = false;
  MILO_TRY(milo_infer_bool(op, diag, "validate_indices", &validate));
  const milo_literal *indices = milo_value_constant(milo_op_in(op, "indices"));
  if (indices == NULL || dim == MILO_DIM_UNKNOWN) return MILO_OK;
  const int64_t low = validate ? 0 : -dim;
  for (size_t i = 0; i < milo_literal_elements(indices); i++) {
    const int64_t index = milo_literal_int(indices, i);
    if (index < low || index >= dim)
      return milo_infer_bad(op, diag, "indices",
                            "holds %" PRId64 ", expected [%" PRId64 ", %" PRId64 ")", index, low,
                            dim);
  }
  return MILO_OK;
}

// Adds dims [from, to) of a shape; false if the rank becomes too large.
static bool append(milo_type *type, const milo_type *from, int begin, int end) {
  if (end - begin > MILO_MAX_RANK - type->rank) return false;
  for (int i = begin; i < end; i++) type->dims[type->rank++] = from->dims[i];
  return true;
}

// x's shape with indices' (from batch_dims on) in the place of the axis.
static milo_status gathered(const milo_op *op, milo_diag *diag, const milo_type *x, int axis,
                            int batch_dims, milo_type *out) {
  const milo_type *indices = milo_infer_arg(op, "indices");
  *out = milo_type_tensor(x->dtype, 0, NULL);
  if (append(out, x, 0, axis) && append(out, indices, batch_dims, indices->rank) &&
      append(out, x, axis + 1, x->rank))
    return MILO_OK;
  return milo_infer_bad(op, diag, "indices", "is %s, the result's rank would be more than %d",
                        milo_infer_show(op, indices), MILO_MAX_RANK);
}

milo_status milo_infer_gather(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *indices = milo_infer_arg(op, "indices");
  int64_t batch_dims = 0;
  MILO_TRY(milo_infer_int(op, diag, "batch_dims", &batch_dims));
  if (x->rank < 0) return milo_infer_add(op, diag, out, milo_infer_unranked(x->dtype));
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", x->rank, &axis));
  MILO_TRY(check_indices(op, diag, x->dims[axis]));
  if (indices->rank < 0) return milo_infer_add(op, diag, out, milo_infer_unranked(x->dtype));
  if (batch_dims < 0 || batch_dims > axis || batch_dims > indices->rank)
    return milo_infer_bad(
        op, diag, "batch_dims", "is %" PRId64 ", expected 0 to %d (axis %d, indices of rank %d)",
        batch_dims, axis < indices->rank ? axis : indices->rank, axis, indices->rank);
  milo_type type;
  MILO_TRY(gathered(op, diag, x, axis, (int)batch_dims, &type));
  for (int i = 0; i < batch_dims; i++) {
    if (!milo_infer_dims_agree(x->dims[i], indices->dims[i]))
      return milo_infer_bad(op, diag, "indices",
                            "is %s, expected the batch dims of x %s (%" PRId64 " in axis %d)",
                            milo_infer_show(op, indices), milo_infer_show(op, x), x->dims[i], i);
    type.dims[i] = milo_infer_dims_merge(x->dims[i], indices->dims[i]);
  }
  return milo_infer_add(op, diag, out, type);
}

// Dims of indices against those of x or data: same rank, equal but for the axis.
static milo_status check_along(const milo_op *op, milo_diag *diag, const milo_type *x, int axis) {
  int64_t dims[MILO_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = MILO_DIM_UNKNOWN;
  MILO_TRY(milo_infer_expect(op, diag, "indices", x->rank, dims, "any length along the axis"));
  return check_indices(op, diag, x->dims[axis]);
}

milo_status milo_infer_gather_along_axis(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *indices = milo_infer_arg(op, "indices");
  milo_type type = milo_type_tensor(x->dtype, indices->rank, indices->dims);
  if (x->rank < 0) return milo_infer_add(op, diag, out, type);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", x->rank, &axis));
  MILO_TRY(check_along(op, diag, x, axis));
  if (indices->rank < 0) {
    type = *x;
    type.dims[axis] = MILO_DIM_UNKNOWN;
  }
  for (int i = 0; i < type.rank; i++)
    if (i != axis) type.dims[i] = milo_infer_dims_merge(type.dims[i], x->dims[i]);
  return milo_infer_add(op, diag, out, type);
}

static const char *const modes[] = {"update", "add", "sub", "mul", "div", "max", "min", NULL};

milo_status milo_infer_scatter(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *data = milo_infer_arg(op, "data"), *indices = milo_infer_arg(op, "indices");
  MILO_TRY(milo_infer_word(op, diag, "mode", modes, NULL));
  if (data->rank < 0) return milo_infer_add(op, diag, out, *data);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", data->rank, &axis));
  MILO_TRY(check_indices(op, diag, data->dims[axis]));
  if (indices->rank >= 0) {
    milo_type updates;
    MILO_TRY(gathered(op, diag, data, axis, 0, &updates));
    MILO_TRY(milo_infer_expect(op, diag, "updates", updates.rank, updates.dims,
                               "data with indices in the place of the axis"));
  }
  return milo_infer_add(op, diag, out, *data);
}

milo_status milo_infer_scatter_along_axis(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *data = milo_infer_arg(op, "data"), *indices = milo_infer_arg(op, "indices");
  MILO_TRY(milo_infer_word(op, diag, "mode", modes, NULL));
  if (data->rank < 0) return milo_infer_add(op, diag, out, *data);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", data->rank, &axis));
  MILO_TRY(check_along(op, diag, data, axis));
  if (indices->rank >= 0)
    MILO_TRY(milo_infer_expect(op, diag, "updates", indices->rank, indices->dims, "like indices"));
  return milo_infer_add(op, diag, out, *data);
}

milo_status milo_infer_non_zero(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  const int64_t dims[] = {MILO_DIM_UNKNOWN, x->rank < 0 ? MILO_DIM_UNKNOWN : x->rank};
  return milo_infer_add(op, diag, out, milo_type_tensor(MILO_INT32, 2, dims));
}
