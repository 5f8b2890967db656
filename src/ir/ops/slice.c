// SPDX-License-Identifier: MIT
// Result types: slices.
#include <inttypes.h>

#include "ir/ops/geometry.h"
#include "ir/ops/infer.h"

// ---- slice_by_size ----

static milo_status slice_size(const milo_op *op, milo_diag *diag, int axis, int64_t dim,
                              const int64_t *begin, int64_t size, int64_t *out_size) {
  int64_t from = 0;
  if (begin != NULL) {
    from = *begin < 0 && dim != MILO_DIM_UNKNOWN ? *begin + dim : *begin;
    if (dim != MILO_DIM_UNKNOWN && (from < 0 || from > dim))
      return milo_infer_bad(op, diag, "begin",
                            "is %" PRId64 " for axis %d, which has %" PRId64 " elements", *begin,
                            axis, dim);
  }
  if (size < -1)
    return milo_infer_bad(op, diag, "size", "holds %" PRId64 ", expected -1 (the rest) or more",
                          size);
  const bool known = begin != NULL && dim != MILO_DIM_UNKNOWN;
  if (size == -1) size = known ? dim - from : MILO_DIM_UNKNOWN;
  if (dim != MILO_DIM_UNKNOWN && size > dim - from)
    return milo_infer_bad(op, diag, "size",
                          "is %" PRId64 " for axis %d, which has %" PRId64
                          " elements from %" PRId64,
                          size, axis, dim, from);
  *out_size = size;
  return MILO_OK;
}

milo_status milo_infer_slice_by_size(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_infer_list begin, size;
  MILO_TRY(milo_infer_ints(op, diag, "begin", x->rank, &begin));
  MILO_TRY(milo_infer_ints(op, diag, "size", x->rank, &size));
  milo_type type = *x;
  for (int i = 0; i < x->rank; i++) {
    type.dims[i] = MILO_DIM_UNKNOWN;
    if (size.known)
      MILO_TRY(slice_size(op, diag, i, x->dims[i], begin.known ? &begin.items[i] : NULL,
                          size.items[i], &type.dims[i]));
  }
  return milo_infer_add(op, diag, out, type);
}

// ---- slice_by_index, slice_update ----

bool milo_slice_resolve(int64_t dim, milo_slice_spec spec, milo_slice_axis *out_axis) {
  int64_t begin = spec.begin < 0 ? spec.begin + dim : spec.begin;
  if (spec.squeeze) {
    if (spec.begin_mask) begin = 0;
    *out_axis = (milo_slice_axis){begin, 1, 1};
    return begin >= 0 && begin < dim;
  }
  const bool forward = spec.stride > 0;
  const int64_t low = forward ? 0 : -1, high = forward ? dim : dim - 1;
  int64_t end = spec.end < 0 ? spec.end + dim : spec.end;
  begin = begin < low ? low : begin > high ? high : begin;
  end = end < low ? low : end > high ? high : end;
  if (spec.begin_mask) begin = forward ? low : high;
  if (spec.end_mask) end = forward ? high : low;
  const int64_t span = forward ? end - begin : begin - end;
  // The least stride has no positive counterpart; -(stride + 1) + 1 in unsigned has.
  const uint64_t step = forward ? (uint64_t)spec.stride : (uint64_t)(-(spec.stride + 1)) + 1;
  const int64_t size = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / step) + 1;
  *out_axis = (milo_slice_axis){begin, size > 1 ? spec.stride : 1, size};
  return true;
}

typedef struct slice_args {
  milo_infer_list begin, end, stride, begin_mask, end_mask, squeeze_mask;
} slice_args;

static milo_status read_slice_args(const milo_op *op, milo_diag *diag, int rank, slice_args *a) {
  MILO_TRY(milo_infer_ints(op, diag, "begin", rank, &a->begin));
  MILO_TRY(milo_infer_ints(op, diag, "end", rank, &a->end));
  MILO_TRY(milo_infer_ints(op, diag, "stride", rank, &a->stride));
  MILO_TRY(milo_infer_ints(op, diag, "begin_mask", rank, &a->begin_mask));
  MILO_TRY(milo_infer_ints(op, diag, "end_mask", rank, &a->end_mask));
  MILO_TRY(milo_infer_ints(op, diag, "squeeze_mask", rank, &a->squeeze_mask));
  static const char *const names[] = {"stride", "begin_mask", "end_mask", "squeeze_mask"};
  const milo_infer_list *lists[] = {&a->stride, &a->begin_mask, &a->end_mask, &a->squeeze_mask};
  for (int i = 0; i < 4; i++)
    if (lists[i]->given && !lists[i]->known)
      return milo_infer_bad(op, diag, names[i], "must be a constant");
  for (int i = 0; i < a->stride.count; i++)
    if (a->stride.items[i] == 0)
      return milo_infer_bad(op, diag, "stride", "is 0 for axis %d, expected another number", i);
  return MILO_OK;
}

// The length of a slice of axis i, or MILO_DIM_UNKNOWN.
static milo_status slice_length(const milo_op *op, milo_diag *diag, const slice_args *a, int i,
                                int64_t dim, int64_t *out_length) {
  const milo_slice_spec spec = {
      .begin = a->begin.known ? a->begin.items[i] : 0,
      .end = a->end.known ? a->end.items[i] : 0,
      .stride = a->stride.given ? a->stride.items[i] : 1,
      .begin_mask = a->begin_mask.given && a->begin_mask.items[i] != 0,
      .end_mask = a->end_mask.given && a->end_mask.items[i] != 0,
      .squeeze = a->squeeze_mask.given && a->squeeze_mask.items[i] != 0,
  };
  const bool from = spec.begin_mask || a->begin.known, to = spec.end_mask || a->end.known;
  *out_length = MILO_DIM_UNKNOWN;
  if (dim == MILO_DIM_UNKNOWN) {
    // Length 1 whatever the axis' length is, if there is anything: x[0:1], x[-1:].
    const bool first = spec.begin_mask || (a->begin.known && spec.begin == 0);
    const bool one = a->end.known && !spec.end_mask && spec.end == 1;
    const bool last = a->begin.known && !spec.begin_mask && spec.begin == -1 && spec.end_mask;
    if (spec.stride > 0 && ((first && one) || last)) *out_length = 1;
    return MILO_OK;
  }
  if (!from || (!to && !spec.squeeze)) return MILO_OK;
  milo_slice_axis axis;
  if (!milo_slice_resolve(dim, spec, &axis))
    return milo_infer_bad(op, diag, "begin",
                          "takes element %" PRId64 " of axis %d, which has %" PRId64, spec.begin, i,
                          dim);
  *out_length = axis.size;
  return MILO_OK;
}

// The type of x's slice.
static milo_status sliced(const milo_op *op, milo_diag *diag, const milo_type *x, milo_type *out) {
  slice_args args;
  *out = milo_infer_unranked(x->dtype);
  if (x->rank < 0) return MILO_OK;
  MILO_TRY(read_slice_args(op, diag, x->rank, &args));
  out->rank = 0;
  for (int i = 0; i < x->rank; i++) {
    int64_t length;
    MILO_TRY(slice_length(op, diag, &args, i, x->dims[i], &length));
    const bool squeeze = args.squeeze_mask.given && args.squeeze_mask.items[i] != 0;
    if (!squeeze) out->dims[out->rank++] = length;
  }
  return MILO_OK;
}

milo_status milo_infer_slice_by_index(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_type type;
  MILO_TRY(sliced(op, diag, milo_infer_arg(op, "x"), &type));
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_slice_update(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_type type;
  MILO_TRY(sliced(op, diag, x, &type));
  if (type.rank >= 0)
    MILO_TRY(milo_infer_expect(op, diag, "update", type.rank, type.dims, "the slice of x"));
  return milo_infer_add(op, diag, out, *x);
}
