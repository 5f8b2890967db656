// SPDX-License-Identifier: MIT
// Views: shapes and strides over memory that is already there.
#include "device/cpu/code.h"
#include "ir/ops/geometry.h"

milo_view milo_view_dense(uint32_t buffer, const milo_type *type) {
  milo_view v = {.buffer = buffer, .dtype = type->dtype, .rank = type->rank};
  int64_t stride = 1;
  for (int i = type->rank - 1; i >= 0; --i) {
    v.dims[i] = type->dims[i];
    v.strides[i] = stride;
    stride *= type->dims[i];
  }
  return v;
}

size_t milo_view_elements(const milo_view *v) {
  size_t n = 1;
  for (int i = 0; i < v->rank; ++i) n *= (size_t)v->dims[i];
  return n;
}

bool milo_view_is_dense(const milo_view *v) {
  int64_t stride = 1;
  for (int i = v->rank - 1; i >= 0; --i) {
    if (v->dims[i] == 0) return true;
    if (v->dims[i] != 1 && v->strides[i] != stride) return false;
    stride *= v->dims[i];
  }
  return true;
}

bool milo_view_reshape(const milo_view *v, int rank, const int64_t *dims, milo_view *out) {
  milo_view r = {.buffer = v->buffer, .dtype = v->dtype, .rank = rank, .offset = v->offset};
  // Old axes that carry elements; neighbours that are one stretch of memory become one.
  int64_t from[MILO_MAX_RANK], strides[MILO_MAX_RANK];
  int count = 0;
  for (int i = 0; i < v->rank; ++i) {
    if (v->dims[i] == 1) continue;
    if (count > 0 && strides[count - 1] == v->dims[i] * v->strides[i]) {
      from[count - 1] *= v->dims[i];
      strides[count - 1] = v->strides[i];
    } else {
      from[count] = v->dims[i];
      strides[count++] = v->strides[i];
    }
  }
  if (milo_view_elements(v) == 0) {
    for (int i = 0; i < rank; ++i) r.dims[i] = dims[i];
    *out = r;
    return true;
  }
  // From the innermost axis on, each stretch is cut into new axes; none may span two of them.
  int o = count - 1;
  int64_t left = 1, stride = 1;
  for (int n = rank - 1; n >= 0; --n) {
    r.dims[n] = dims[n];
    r.strides[n] = 1;
    if (dims[n] == 1) continue;
    if (left == 1) {
      left = from[o];
      stride = strides[o--];
    }
    if (left % dims[n] != 0) return false;
    r.strides[n] = stride;
    stride *= dims[n];
    left /= dims[n];
  }
  *out = r;
  return true;
}

milo_view milo_view_broadcast(const milo_view *v, int rank, const int64_t *dims) {
  milo_view r = {.buffer = v->buffer, .dtype = v->dtype, .rank = rank, .offset = v->offset};
  for (int i = 0; i < rank; ++i) {
    const int from = i - (rank - v->rank);
    r.dims[i] = dims[i];
    r.strides[i] = from < 0 || (v->dims[from] == 1 && dims[i] != 1) ? 0 : v->strides[from];
  }
  return r;
}

milo_view milo_view_transpose(const milo_view *v, const int64_t *perm) {
  milo_view r = *v;
  for (int i = 0; i < v->rank; ++i) {
    const int64_t from = perm[i] < 0 ? perm[i] + v->rank : perm[i];
    r.dims[i] = v->dims[from];
    r.strides[i] = v->strides[from];
  }
  return r;
}

milo_view milo_view_slice(const milo_view *v, int axis, int64_t begin, int64_t size, int64_t step) {
  milo_view r = *v;
  if (size > 0) r.offset += begin * v->strides[axis];
  r.dims[axis] = size;
  r.strides[axis] *= step;
  return r;
}

void milo_views_collapse(milo_view *views, size_t count) {
  const int rank = views[0].rank;
  int kept = 0;
  for (int i = 0; i < rank; ++i) {
    const int64_t dim = views[0].dims[i];
    if (dim == 1) continue;
    bool merge = kept > 0;
    for (size_t k = 0; k < count && merge; ++k)
      merge = views[k].strides[kept - 1] == dim * views[k].strides[i];
    for (size_t k = 0; k < count; ++k) {
      milo_view *v = &views[k];
      if (merge) {
        v->dims[kept - 1] *= dim;
        v->strides[kept - 1] = v->strides[i];
      } else {
        v->dims[kept] = dim;
        v->strides[kept] = v->strides[i];
      }
    }
    if (!merge) ++kept;
  }
  for (size_t k = 0; k < count; ++k) {
    if (kept == 0) {
      views[k].dims[0] = 1;
      views[k].strides[0] = 1;
    }
    views[k].rank = kept > 0 ? kept : 1;
  }
}

// ---- view operations ----

static bool slice_by_index(const milo_op *op, const milo_view *v, milo_view *out) {
  int64_t begin[MILO_MAX_RANK], end[MILO_MAX_RANK], step[MILO_MAX_RANK];
  int64_t begin_mask[MILO_MAX_RANK] = {0}, end_mask[MILO_MAX_RANK] = {0};
  int64_t squeeze[MILO_MAX_RANK] = {0};
  if (milo_op_ints(op, "begin", begin, MILO_MAX_RANK) != v->rank) return false;
  if (milo_op_ints(op, "end", end, MILO_MAX_RANK) != v->rank) return false;
  if (milo_op_ints(op, "stride", step, MILO_MAX_RANK) < 0)
    for (int i = 0; i < v->rank; ++i) step[i] = 1;
  milo_op_ints(op, "begin_mask", begin_mask, MILO_MAX_RANK);
  milo_op_ints(op, "end_mask", end_mask, MILO_MAX_RANK);
  milo_op_ints(op, "squeeze_mask", squeeze, MILO_MAX_RANK);
  int kept = 0;
  milo_view r = *v;
  for (int i = 0; i < v->rank; ++i) {
    const milo_slice_spec spec = {.begin = begin[i],
                                  .end = end[i],
                                  .stride = step[i],
                                  .begin_mask = begin_mask[i] != 0,
                                  .end_mask = end_mask[i] != 0,
                                  .squeeze = squeeze[i] != 0};
    milo_slice_axis axis;
    if (!milo_slice_resolve(v->dims[i], spec, &axis)) return false;
    if (axis.size > 0) r.offset += axis.begin * v->strides[i];
    if (spec.squeeze) continue;
    r.dims[kept] = axis.size;
    r.strides[kept++] = v->strides[i] * axis.stride;
  }
  r.rank = kept;
  *out = r;
  return kept == op->results[0]->type.rank;
}

static bool split(const milo_op *op, const milo_view *v, milo_view *out) {
  const int axis = milo_op_axis(op, "axis", v->rank);
  int64_t begin = 0;
  for (size_t i = 0; i < op->result_count; ++i) {
    const int64_t size = op->results[i]->type.dims[axis];
    out[i] = milo_view_slice(v, axis, begin, size, 1);
    begin += size;
  }
  return true;
}

static bool is_half(milo_dtype dtype) { return dtype == MILO_FP16 || dtype == MILO_BF16; }

bool milo_view_of_op(const milo_code *c, const milo_op *op, milo_view *out) {
  const milo_value *x = milo_op_in(op, "x");
  if (!x || !c->ready[x->id] || milo_dtype_bits(x->type.dtype) < 8) return false;
  const milo_view v = c->views[x->id];
  const milo_type *type = &op->results[0]->type;
  int64_t numbers[MILO_MAX_RANK], sizes[MILO_MAX_RANK];
  switch (op->code) {
    case MILO_OP_identity:
      *out = v;
      return true;
    case MILO_OP_cast:
      *out = v;
      return v.dtype == type->dtype || (type->dtype == MILO_FP32 && is_half(v.dtype));
    case MILO_OP_reshape:
    case MILO_OP_expand_dims:
    case MILO_OP_squeeze:
      return milo_view_reshape(&v, type->rank, type->dims, out);
    case MILO_OP_transpose:
      if (milo_op_ints(op, "perm", numbers, MILO_MAX_RANK) < 0) return false;
      *out = milo_view_transpose(&v, numbers);
      return true;
    case MILO_OP_slice_by_size: {
      if (milo_op_ints(op, "begin", numbers, MILO_MAX_RANK) < 0) return false;
      if (milo_op_ints(op, "size", sizes, MILO_MAX_RANK) < 0) return false;
      milo_view r = v;
      for (int i = 0; i < v.rank; ++i) {
        const int64_t begin = numbers[i] < 0 ? numbers[i] + v.dims[i] : numbers[i];
        if (begin < 0 || begin > v.dims[i] - type->dims[i]) return false;
        r = milo_view_slice(&r, i, begin, type->dims[i], 1);
      }
      *out = r;
      return true;
    }
    case MILO_OP_slice_by_index:
      return slice_by_index(op, &v, out);
    case MILO_OP_split:
      return split(op, &v, out);
    case MILO_OP_reverse: {
      int64_t axes[MILO_MAX_RANK];
      int count = milo_op_ints(op, "axes", axes, MILO_MAX_RANK);
      if (count < 0 && milo_op_arg(op, "axes")) return false;
      if (count < 0)
        for (count = 0; count < v.rank; ++count) axes[count] = count;
      milo_view r = v;
      for (int i = 0; i < count; ++i) {
        const int64_t axis = axes[i] < 0 ? axes[i] + v.rank : axes[i];
        if (v.dims[axis] > 0) r.offset += (v.dims[axis] - 1) * v.strides[axis];
        r.strides[axis] = -v.strides[axis];
      }
      *out = r;
      return true;
    }
    default:
      return false;
  }
}
