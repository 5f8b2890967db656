// SPDX-License-Identifier: MIT
// Operations that move elements, or make new ones from sizes.
#include <string.h>

#include "device/ref/call.h"
#include "ir/ops/geometry.h"

// reshape, expand_dims, squeeze: the elements stay in order.
milo_status milo_ref_reshape(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  if (x.count != out.count)
    return milo_ref_fail(call, "%zu elements do not fit in %zu", x.count, out.count);
  return milo_ref_identity(call);
}

milo_status milo_ref_transpose(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  int64_t perm[MILO_MAX_RANK], from[MILO_MAX_RANK], to[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  milo_op_ints(call->op, "perm", perm, MILO_MAX_RANK);
  for (size_t i = 0; i < out.count; ++i) {
    milo_ref_coords(&out, i, to);
    for (int axis = 0; axis < x.rank; ++axis)
      from[perm[axis] < 0 ? perm[axis] + x.rank : perm[axis]] = to[axis];
    milo_ref_copy(&out, i, &x, milo_ref_index(&x, from));
  }
  return MILO_OK;
}

// ---- slices ----

// Element (i0, i1, ...) of the slice is element (begin + i * stride) of x. dims: of the slice,
// before squeezing.
typedef struct slice {
  int64_t begin[MILO_MAX_RANK], stride[MILO_MAX_RANK], dims[MILO_MAX_RANK];
  bool squeezed[MILO_MAX_RANK];
} slice;

static size_t slice_index(const milo_ref_tensor *x, const slice *s, size_t i) {
  int64_t coords[MILO_MAX_RANK];
  for (int axis = x->rank - 1; axis >= 0; --axis) {
    coords[axis] = s->begin[axis] + (int64_t)(i % (size_t)s->dims[axis]) * s->stride[axis];
    i /= (size_t)s->dims[axis];
  }
  return milo_ref_index(x, coords);
}

// Has the slice the shape of part (its result or what goes there), and does it lie in x?
static milo_status check_slice(const milo_ref_call *call, const milo_ref_tensor *x, const slice *s,
                               const milo_ref_tensor *part) {
  int kept = 0;
  for (int axis = 0; axis < x->rank; ++axis) {
    if (s->squeezed[axis]) continue;
    if (kept >= part->rank || s->dims[axis] != part->dims[kept])
      return milo_ref_fail(call, "the slice of axis %d has %lld elements, its declared shape not",
                           axis, (long long)s->dims[axis]);
    ++kept;
  }
  for (int axis = 0; axis < x->rank && part->count > 0; ++axis) {
    // Strides are resolved: no more than an axis for each step.
    const bool starts = s->begin[axis] >= 0 && s->begin[axis] < x->dims[axis];
    const int64_t last = starts ? s->begin[axis] + (s->dims[axis] - 1) * s->stride[axis] : -1;
    if (last < 0 || last >= x->dims[axis])
      return milo_ref_fail(call, "the slice of %lld from %lld of axis %d leaves its size, %lld",
                           (long long)s->dims[axis], (long long)s->begin[axis], axis,
                           (long long)x->dims[axis]);
  }
  return MILO_OK;
}

milo_status milo_ref_slice_by_size(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  slice s = {0};
  int count;
  milo_ref_in(call, "x", &x);
  MILO_TRY(milo_ref_ints(call, "begin", s.begin, MILO_MAX_RANK, &count));
  if (count != x.rank)
    return milo_ref_fail(call, "begin has %d elements, x has rank %d", count, x.rank);
  for (int axis = 0; axis < x.rank; ++axis) {
    if (s.begin[axis] < 0) s.begin[axis] += x.dims[axis];
    s.stride[axis] = 1;
    s.dims[axis] = out.dims[axis];
  }
  MILO_TRY(check_slice(call, &x, &s, &out));
  for (size_t i = 0; i < out.count; ++i) milo_ref_copy(&out, i, &x, slice_index(&x, &s, i));
  return MILO_OK;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

// As NumPy reads x[begin:end:stride].
static milo_status read_slice(const milo_ref_call *call, const milo_ref_tensor *x, slice *s) {
  int64_t end[MILO_MAX_RANK], begin_mask[MILO_MAX_RANK], end_mask[MILO_MAX_RANK];
  int64_t squeeze_mask[MILO_MAX_RANK];
  int counts[2];
  MILO_TRY(milo_ref_ints(call, "begin", s->begin, MILO_MAX_RANK, &counts[0]));
  MILO_TRY(milo_ref_ints(call, "end", end, MILO_MAX_RANK, &counts[1]));
  if (counts[0] != x->rank || counts[1] != x->rank)
    return milo_ref_fail(call, "begin and end have %d and %d elements, x has rank %d", counts[0],
                         counts[1], x->rank);
  const bool strided = milo_op_ints(call->op, "stride", s->stride, MILO_MAX_RANK) >= 0;
  const bool begins = milo_op_ints(call->op, "begin_mask", begin_mask, MILO_MAX_RANK) >= 0;
  const bool ends = milo_op_ints(call->op, "end_mask", end_mask, MILO_MAX_RANK) >= 0;
  const bool squeezes = milo_op_ints(call->op, "squeeze_mask", squeeze_mask, MILO_MAX_RANK) >= 0;
  for (int axis = 0; axis < x->rank; ++axis) {
    const milo_slice_spec spec = {
        .begin = s->begin[axis],
        .end = end[axis],
        .stride = strided ? s->stride[axis] : 1,
        .begin_mask = begins && begin_mask[axis],
        .end_mask = ends && end_mask[axis],
        .squeeze = squeezes && squeeze_mask[axis],
    };
    milo_slice_axis resolved;
    if (!milo_slice_resolve(x->dims[axis], spec, &resolved))
      return milo_ref_fail(call, "begin of axis %d is %lld, its size %lld", axis,
                           (long long)spec.begin, (long long)x->dims[axis]);
    s->begin[axis] = resolved.begin;
    s->stride[axis] = resolved.stride;
    s->dims[axis] = resolved.size;
    s->squeezed[axis] = spec.squeeze;
  }
  return MILO_OK;
}

milo_status milo_ref_slice_by_index(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  slice s;
  milo_ref_in(call, "x", &x);
  MILO_TRY(read_slice(call, &x, &s));
  MILO_TRY(check_slice(call, &x, &s, &out));
  for (size_t i = 0; i < out.count; ++i) milo_ref_copy(&out, i, &x, slice_index(&x, &s, i));
  return MILO_OK;
}

milo_status milo_ref_slice_update(const milo_ref_call *call) {
  milo_ref_tensor x, update, out = milo_ref_out(call, 0);
  slice s;
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "update", &update);
  MILO_TRY(read_slice(call, &x, &s));
  MILO_TRY(check_slice(call, &x, &s, &update));
  for (size_t i = 0; i < out.count; ++i) milo_ref_copy(&out, i, &x, i);
  for (size_t i = 0; i < update.count; ++i) milo_ref_copy(&out, slice_index(&x, &s, i), &update, i);
  return MILO_OK;
}

// ---- joining and cutting ----

// Copies t, seen as [outer, dim, inner], into out at index first + k * step of the axis.
static void place(const milo_ref_tensor *out, milo_ref_split o, const milo_ref_tensor *t,
                  size_t dim, size_t first, size_t step) {
  for (size_t i = 0; i < t->count; ++i) {
    const size_t outer = i / (dim * o.inner), k = i / o.inner % dim, inner = i % o.inner;
    milo_ref_copy(out, (outer * o.dim + first + k * step) * o.inner + inner, t, i);
  }
}

milo_status milo_ref_concat(const milo_ref_call *call) {
  const milo_ref_tensor out = milo_ref_out(call, 0);
  const int axis = milo_op_axis(call->op, "axis", out.rank);
  const milo_ref_split o = milo_ref_split_at(&out, axis);
  const size_t count = milo_op_arg(call->op, "values")->count;
  const bool interleave = milo_op_bool(call->op, "interleave");
  size_t first = 0;
  for (size_t i = 0; i < count; ++i) {
    const milo_ref_tensor t = milo_ref_in_at(call, "values", i);
    const size_t dim = t.rank == 0 ? 1 : (size_t)t.dims[axis];  // numbers make a vector
    place(&out, o, &t, dim, interleave ? i : first, interleave ? count : 1);
    first += dim;
  }
  return MILO_OK;
}

milo_status milo_ref_stack(const milo_ref_call *call) {
  const milo_ref_tensor out = milo_ref_out(call, 0);
  const milo_ref_split o = milo_ref_split_at(&out, milo_op_axis(call->op, "axis", out.rank));
  for (size_t i = 0; i < o.dim; ++i) {
    const milo_ref_tensor t = milo_ref_in_at(call, "values", i);
    place(&out, o, &t, 1, i, 1);
  }
  return MILO_OK;
}

milo_status milo_ref_split_op(const milo_ref_call *call) {
  milo_ref_tensor x;
  milo_ref_in(call, "x", &x);
  const int axis = milo_op_axis(call->op, "axis", x.rank);
  const milo_ref_split s = milo_ref_split_at(&x, axis);
  size_t first = 0;
  for (size_t r = 0; r < call->op->result_count; ++r) {
    const milo_ref_tensor out = milo_ref_out(call, r);
    const size_t dim = (size_t)out.dims[axis];
    for (size_t i = 0; i < out.count; ++i) {
      const size_t outer = i / (dim * s.inner), k = i / s.inner % dim, inner = i % s.inner;
      milo_ref_copy(&out, i, &x, (outer * s.dim + first + k) * s.inner + inner);
    }
    first += dim;
  }
  return MILO_OK;
}

milo_status milo_ref_tile(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  int64_t coords[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i) {
    milo_ref_coords(&out, i, coords);
    for (int axis = 0; axis < x.rank; ++axis) coords[axis] %= x.dims[axis];
    milo_ref_copy(&out, i, &x, milo_ref_index(&x, coords));
  }
  return MILO_OK;
}

// Where coordinate c of a padded axis comes from; -1: from nowhere (constant padding).
static int64_t padded_from(int64_t c, int64_t before, int64_t dim, const char *mode) {
  const int64_t at = c - before;
  if (at >= 0 && at < dim) return at;
  if (strcmp(mode, "replicate") == 0) return clamp(at, 0, dim - 1);
  if (strcmp(mode, "reflect") == 0) {
    const int64_t mirrored = at < 0 ? -at : 2 * (dim - 1) - at;
    return mirrored >= 0 && mirrored < dim ? mirrored : -2;
  }
  return -1;
}

milo_status milo_ref_pad(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0), constant;
  int64_t pad[2 * MILO_MAX_RANK], coords[MILO_MAX_RANK];
  int count;
  milo_ref_in(call, "x", &x);
  MILO_TRY(milo_ref_ints(call, "pad", pad, 2 * MILO_MAX_RANK, &count));
  if (count < 0 || count % 2 != 0 || count / 2 > x.rank)
    return milo_ref_fail(call, "pad has %d elements, expected two for each of the last axes",
                         count);
  const int first = x.rank - count / 2;  // pad speaks of the last axes
  for (int axis = first; axis < x.rank; ++axis)
    if (pad[2 * (axis - first)] < 0 || pad[2 * (axis - first) + 1] < 0 ||
        pad[2 * (axis - first)] > out.dims[axis] - x.dims[axis] ||
        out.dims[axis] - x.dims[axis] - pad[2 * (axis - first)] != pad[2 * (axis - first) + 1])
      return milo_ref_fail(call, "the padded size of axis %d is not the declared one, %lld", axis,
                           (long long)out.dims[axis]);
  const char *mode = milo_op_string(call->op, "mode");
  const bool has_constant = milo_ref_in(call, "constant_val", &constant);
  for (size_t i = 0; i < out.count; ++i) {
    milo_ref_coords(&out, i, coords);
    bool inside = true;
    for (int axis = first; axis < x.rank; ++axis) {
      coords[axis] = padded_from(coords[axis], pad[2 * (axis - first)], x.dims[axis], mode);
      if (coords[axis] == -2 || (coords[axis] >= 0 && x.dims[axis] == 0))
        return milo_ref_fail(call, "axis %d of size %lld cannot be padded that far by reflection",
                             axis, (long long)x.dims[axis]);
      inside = inside && coords[axis] >= 0;
    }
    if (inside)
      milo_ref_copy(&out, i, &x, milo_ref_index(&x, coords));
    else if (has_constant)
      milo_ref_copy(&out, i, &constant, 0);
    else
      milo_ref_set(&out, i, milo_op_float(call->op, "constant_val"));
  }
  return MILO_OK;
}

milo_status milo_ref_reverse(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  bool reversed[MILO_MAX_RANK];
  int64_t coords[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  milo_ref_axes(call, "axes", x.rank, reversed);
  for (size_t i = 0; i < out.count; ++i) {
    milo_ref_coords(&out, i, coords);
    for (int axis = 0; axis < x.rank; ++axis)
      if (reversed[axis]) coords[axis] = x.dims[axis] - 1 - coords[axis];
    milo_ref_copy(&out, i, &x, milo_ref_index(&x, coords));
  }
  return MILO_OK;
}

// ---- new tensors ----

milo_status milo_ref_fill(const milo_ref_call *call) {
  milo_ref_tensor value, out = milo_ref_out(call, 0);
  const bool given = milo_ref_in(call, "value", &value);
  for (size_t i = 0; i < out.count; ++i) {
    if (given)
      milo_ref_copy(&out, i, &value, 0);
    else
      milo_ref_set(&out, i, milo_op_float(call->op, "value"));
  }
  return MILO_OK;
}

milo_status milo_ref_shape(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  for (size_t i = 0; i < out.count; ++i) milo_ref_set_int(&out, i, x.dims[i]);
  return MILO_OK;
}

milo_status milo_ref_range_1d(const milo_ref_call *call) {
  milo_ref_tensor start, step, out = milo_ref_out(call, 0);
  milo_ref_in(call, "start", &start);
  milo_ref_in(call, "step", &step);
  for (size_t i = 0; i < out.count; ++i) {
    if (milo_ref_is_int(&out))
      milo_ref_set_int(&out, i,
                       milo_ref_add(milo_ref_get_int(&start, 0),
                                    milo_ref_mul((int64_t)i, milo_ref_get_int(&step, 0))));
    else
      milo_ref_set(&out, i, milo_ref_get(&start, 0) + (double)i * milo_ref_get(&step, 0));
  }
  return MILO_OK;
}

// An index outside [0, size) selects nothing: all its elements are off.
milo_status milo_ref_one_hot(const milo_ref_call *call) {
  milo_ref_tensor indices, on, off, out = milo_ref_out(call, 0);
  milo_ref_in(call, "indices", &indices);
  const bool has_on = milo_ref_in(call, "on_value", &on);
  const bool has_off = milo_ref_in(call, "off_value", &off);
  const milo_ref_split s = milo_ref_split_at(&out, milo_op_axis(call->op, "axis", out.rank));
  for (size_t i = 0; i < out.count; ++i) {
    const size_t outer = i / (s.dim * s.inner), k = i / s.inner % s.dim, inner = i % s.inner;
    const bool hot = milo_ref_get_int(&indices, outer * s.inner + inner) == (int64_t)k;
    if (hot ? has_on : has_off)
      milo_ref_copy(&out, i, hot ? &on : &off, 0);
    else
      milo_ref_set(&out, i, hot ? 1 : 0);
  }
  return MILO_OK;
}
