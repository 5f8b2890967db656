// SPDX-License-Identifier: MIT
// Result types: reductions, running sums, and what normalises over axes.
#include <inttypes.h>

#include "ir/ops/infer.h"

// x's type without the axes in the set, or with 1 in their place.
static milo_type reduced(const milo_type *x, milo_dtype dtype, const bool *set, bool keep_dims) {
  milo_type type = milo_type_tensor(dtype, 0, NULL);
  for (int i = 0; i < x->rank; i++) {
    if (!set[i]) type.dims[type.rank++] = x->dims[i];
    if (set[i] && keep_dims) type.dims[type.rank++] = 1;
  }
  return type;
}

// The result's type where x's rank is not known.
static milo_status unranked(const milo_op *op, milo_types *out, milo_diag *diag, milo_dtype dtype,
                            bool all, bool keep_dims) {
  return milo_infer_add(op, diag, out,
                        all && !keep_dims ? milo_type_scalar(dtype) : milo_infer_unranked(dtype));
}

milo_status milo_infer_reduce(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  bool keep_dims = false, set[MILO_MAX_RANK];
  MILO_TRY(milo_infer_bool(op, diag, "keep_dims", &keep_dims));
  if (x->rank < 0)
    return unranked(op, out, diag, x->dtype, milo_op_in(op, "axes") == NULL, keep_dims);
  MILO_TRY(milo_infer_axes(op, diag, "axes", x->rank, set));
  return milo_infer_add(op, diag, out, reduced(x, x->dtype, set, keep_dims));
}

milo_status milo_infer_argreduce(const milo_op *op, milo_types *out, milo_diag *diag) {
  const unsigned indices = 1u << MILO_INT32 | 1u << MILO_UINT16 | 1u << MILO_INT64;
  const milo_type *x = milo_infer_arg(op, "x");
  bool keep_dims = false, set[MILO_MAX_RANK] = {false};
  MILO_TRY(milo_infer_bool(op, diag, "keep_dims", &keep_dims));
  milo_dtype dtype = MILO_INT32;
  if (milo_op_in(op, "output_dtype") != NULL)
    MILO_TRY(milo_infer_dtype(op, diag, "output_dtype", indices, &dtype));
  if (x->rank < 0) return unranked(op, out, diag, dtype, false, keep_dims);
  int axis = 0;
  MILO_TRY(milo_infer_axis(op, diag, "axis", x->rank, &axis));
  if (x->dims[axis] == 0)
    return milo_infer_bad(op, diag, "x", "is %s: axis %d is empty, there is no such element",
                          milo_infer_show(op, x), axis);
  set[axis] = true;
  return milo_infer_add(op, diag, out, reduced(x, dtype, set, keep_dims));
}

// x's type, with an axis that is checked.
static milo_status along_axis(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  int axis = 0;
  if (x->rank >= 0) MILO_TRY(milo_infer_axis(op, diag, "axis", x->rank, &axis));
  return milo_infer_add(op, diag, out, *x);
}

milo_status milo_infer_cumsum(const milo_op *op, milo_types *out, milo_diag *diag) {
  bool flag = false;
  MILO_TRY(milo_infer_bool(op, diag, "exclusive", &flag));
  MILO_TRY(milo_infer_bool(op, diag, "reverse", &flag));
  return along_axis(op, out, diag);
}

milo_status milo_infer_softmax(const milo_op *op, milo_types *out, milo_diag *diag) {
  return along_axis(op, out, diag);
}

milo_status milo_infer_layer_norm(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  MILO_TRY(milo_infer_rank(op, diag, "epsilon", 0));
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  bool set[MILO_MAX_RANK];
  MILO_TRY(milo_infer_axes(op, diag, "axes", x->rank, set));
  int64_t dims[MILO_MAX_RANK];
  int rank = 0;
  for (int i = 0; i < x->rank; i++)
    if (set[i]) dims[rank++] = x->dims[i];
  MILO_TRY(milo_infer_expect(op, diag, "gamma", rank, dims, "the normalised axes of x"));
  MILO_TRY(milo_infer_expect(op, diag, "beta", rank, dims, "the normalised axes of x"));
  return milo_infer_add(op, diag, out, *x);
}

// The arguments named have an element for each channel of x (axis 1).
static milo_status check_channels(const milo_op *op, milo_diag *diag, const char *const *params) {
  const milo_type *x = milo_infer_arg(op, "x");
  MILO_TRY(milo_infer_rank(op, diag, "epsilon", 0));
  int64_t channels = MILO_DIM_UNKNOWN;
  if (x->rank >= 0) {
    if (x->rank < 3 || x->rank > 5)
      return milo_infer_bad(op, diag, "x", "is %s, expected rank 3 to 5 (batch, channels, space)",
                            milo_infer_show(op, x));
    channels = x->dims[1];
  }
  for (; *params != NULL; params++)
    MILO_TRY(milo_infer_expect(op, diag, *params, 1, &channels, "one for each channel of x"));
  return MILO_OK;
}

milo_status milo_infer_instance_norm(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const params[] = {"gamma", "beta", NULL};
  MILO_TRY(check_channels(op, diag, params));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "x"));
}

milo_status milo_infer_batch_norm(const milo_op *op, milo_types *out, milo_diag *diag) {
  static const char *const params[] = {"mean", "variance", "gamma", "beta", NULL};
  MILO_TRY(check_channels(op, diag, params));
  return milo_infer_add(op, diag, out, *milo_infer_arg(op, "x"));
}
