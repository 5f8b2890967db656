// SPDX-License-Identifier: MIT
// Result types: joining tensors and cutting them apart.
#include <inttypes.h>

#include "ir/ops/infer.h"

// Merges the shapes of all values into *out: same rank, dims equal where both are known, but for
// the axis `but` (counted from the end if negative; INT64_MAX: none). Rank -1 if none is known.
static milo_status merge_values(const milo_op *op, milo_diag *diag, int64_t but, milo_type *out) {
  const milo_arg *values = milo_op_arg(op, "values");
  *out = milo_infer_unranked(values->values[0]->type.dtype);
  for (size_t k = 0; k < values->count; k++) {
    const milo_type *type = &values->values[k]->type;
    if (type->rank < 0) continue;
    if (out->rank < 0) {
      *out = *type;
      continue;
    }
    if (type->rank != out->rank)
      return milo_infer_bad(op, diag, "values", "has %s as number %zu, expected rank %d",
                            milo_infer_show(op, type), k, out->rank);
    for (int i = 0; i < type->rank; i++) {
      if (i == but || (but < 0 && i == but + type->rank)) continue;
      if (!milo_infer_dims_agree(type->dims[i], out->dims[i]))
        return milo_infer_bad(op, diag, "values",
                              "has %s as number %zu, expected length %" PRId64 " in axis %d",
                              milo_infer_show(op, type), k, out->dims[i], i);
      out->dims[i] = milo_infer_dims_merge(type->dims[i], out->dims[i]);
    }
  }
  return MILO_OK;
}

milo_status milo_infer_concat(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_arg *values = milo_op_arg(op, "values");
  bool interleave = false;
  int64_t written = 0;
  MILO_TRY(milo_infer_bool(op, diag, "interleave", &interleave));
  MILO_TRY(milo_infer_int(op, diag, "axis", &written));
  milo_type type;
  MILO_TRY(merge_values(op, diag, interleave ? INT64_MAX : written, &type));
  if (type.rank < 0) return milo_infer_add(op, diag, out, type);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", type.rank == 0 ? 1 : type.rank, &axis));
  int64_t length = 0;
  for (size_t k = 0; k < values->count; k++) {
    const milo_type *part = &values->values[k]->type;
    const int64_t part_length = part->rank < 0    ? MILO_DIM_UNKNOWN
                                : part->rank == 0 ? 1  // scalars make a vector
                                                  : part->dims[axis];
    if (!milo_infer_dims_add(length, part_length, &length))
      return milo_infer_bad(op, diag, NULL, "the result is too long");
  }
  if (type.rank == 0) type.rank = 1;
  type.dims[axis] = length;
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_stack(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_type type;
  MILO_TRY(merge_values(op, diag, INT64_MAX, &type));
  if (type.rank < 0) return milo_infer_add(op, diag, out, type);
  if (type.rank == MILO_MAX_RANK)
    return milo_infer_bad(op, diag, "values", "have rank %d, the result's would be more than %d",
                          type.rank, MILO_MAX_RANK);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", type.rank + 1, &axis));
  for (int i = type.rank; i > axis; i--) type.dims[i] = type.dims[i - 1];
  type.dims[axis] = (int64_t)milo_op_arg(op, "values")->count;
  type.rank++;
  return milo_infer_add(op, diag, out, type);
}

// ---- split ----

// Results one for each element of sizes.
static milo_status split_sizes(const milo_op *op, milo_types *out, milo_diag *diag,
                               const milo_literal *sizes, int axis) {
  const milo_type *x = milo_infer_arg(op, "x");
  int64_t sum = 0;
  for (size_t k = 0; k < milo_literal_elements(sizes); k++) {
    const int64_t size = milo_literal_int(sizes, k);
    if (size < 0)
      return milo_infer_bad(op, diag, "split_sizes", "holds %" PRId64 ", expected 0 or more", size);
    if (!milo_infer_dims_add(sum, size, &sum))
      return milo_infer_bad(op, diag, "split_sizes", "holds %" PRId64 ", which is too large", size);
    milo_type type = *x;
    if (x->rank >= 0) type.dims[axis] = size;
    MILO_TRY(milo_infer_add(op, diag, out, type));
  }
  if (x->rank >= 0 && !milo_infer_dims_agree(sum, x->dims[axis]))
    return milo_infer_bad(op, diag, "split_sizes",
                          "sum up to %" PRId64 ", axis %d of x has %" PRId64, sum, axis,
                          x->dims[axis]);
  return MILO_OK;
}

enum { MAX_SPLITS = 1 << 20 };  // results are objects: more than any program can name

milo_status milo_infer_split(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  const milo_value *sizes_value = milo_op_in(op, "split_sizes");
  int axis = 0;
  int64_t count = MILO_DIM_UNKNOWN;
  if (x->rank >= 0) MILO_TRY(milo_infer_axis(op, diag, "axis", x->rank, &axis));
  if (milo_op_in(op, "num_splits") != NULL) {
    MILO_TRY(milo_infer_int(op, diag, "num_splits", &count));
    if (count < 1 || count > MAX_SPLITS)
      return milo_infer_bad(op, diag, "num_splits", "is %" PRId64 ", expected 1 or more (to %d)",
                            count, MAX_SPLITS);
  }
  if (sizes_value != NULL) {
    MILO_TRY(milo_infer_rank(op, diag, "split_sizes", 1));
    const milo_literal *sizes = milo_value_constant(sizes_value);
    if (sizes == NULL) return milo_infer_bad(op, diag, "split_sizes", "must be a constant");
    if (milo_literal_elements(sizes) == 0 ||
        !milo_infer_dims_agree(count, (int64_t)milo_literal_elements(sizes)))
      return milo_infer_bad(op, diag, "split_sizes", "has %zu elements, expected num_splits",
                            milo_literal_elements(sizes));
    return split_sizes(op, out, diag, sizes, axis);
  }
  if (count == MILO_DIM_UNKNOWN)
    return milo_infer_bad(op, diag, NULL, "needs num_splits or split_sizes");
  milo_type type = *x;
  if (x->rank >= 0 && x->dims[axis] != MILO_DIM_UNKNOWN) {
    if (x->dims[axis] % count != 0)
      return milo_infer_bad(op, diag, "num_splits",
                            "is %" PRId64
                            ", which does not divide axis %d of x %s\nuse split_sizes",
                            count, axis, milo_infer_show(op, x));
    type.dims[axis] = x->dims[axis] / count;
  }
  for (int64_t k = 0; k < count; k++) MILO_TRY(milo_infer_add(op, diag, out, type));
  return MILO_OK;
}
