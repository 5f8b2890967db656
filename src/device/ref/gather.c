// SPDX-License-Identifier: MIT
// Reading and writing at computed indices. An index counts from the end if negative; one that is
// outside the axis is an error whatever validate_indices says: nothing is read out of bounds.
#include <stdlib.h>
#include <string.h>

#include "device/ref/call.h"

static milo_status read_index(const milo_ref_call *call, const milo_ref_tensor *indices, size_t i,
                              size_t dim, size_t *out) {
  const int64_t index = milo_ref_get_int(indices, i);
  const int64_t at = index < 0 ? index + (int64_t)dim : index;
  if (at < 0 || at >= (int64_t)dim)
    return milo_ref_fail(call, "indices[%zu] = %lld is outside the axis, whose size is %zu", i,
                         (long long)index, dim);
  *out = (size_t)at;
  return MILO_OK;
}

// x [B, M, dim, R], indices [B, I] -> [B, M, I, R]; B: the first batch_dims axes
milo_status milo_ref_gather(const milo_ref_call *call) {
  milo_ref_tensor x, indices, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "indices", &indices);
  const int axis = milo_op_axis(call->op, "axis", x.rank);
  const int64_t given = milo_op_int(call->op, "batch_dims");
  const int batch_dims = (int)(given < 0 ? given + indices.rank : given);
  const milo_ref_split s = milo_ref_split_at(&x, axis);
  const size_t middle = milo_ref_product(&x, batch_dims, axis);
  const size_t each = milo_ref_product(&indices, batch_dims, indices.rank);
  for (size_t i = 0; i < out.count; ++i) {
    const size_t inner = i % s.inner, k = i / s.inner % each, outer = i / (s.inner * each);
    size_t index = 0;
    MILO_TRY(read_index(call, &indices, outer / middle * each + k, s.dim, &index));
    milo_ref_copy(&out, i, &x, (outer * s.dim + index) * s.inner + inner);
  }
  return MILO_OK;
}

// out[i0, ..., ia, ...] = x[i0, ..., indices[i0, ..., ia, ...], ...]
milo_status milo_ref_gather_along_axis(const milo_ref_call *call) {
  milo_ref_tensor x, indices, out = milo_ref_out(call, 0);
  int64_t coords[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "indices", &indices);
  const int axis = milo_op_axis(call->op, "axis", x.rank);
  for (size_t i = 0; i < out.count; ++i) {
    size_t index = 0;
    MILO_TRY(read_index(call, &indices, i, (size_t)x.dims[axis], &index));
    milo_ref_coords(&out, i, coords);
    coords[axis] = (int64_t)index;
    milo_ref_copy(&out, i, &x, milo_ref_index(&x, coords));
  }
  return MILO_OK;
}

// ---- scatter ----

// The result while updates go into it: doubles or int64, rounded at the end.
typedef struct target {
  double *numbers;
  int64_t *integers;
} target;

static int64_t int_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  return b == -1 ? milo_ref_sub(0, a) : a / b;
}

static void combine(target t, size_t at, const milo_ref_tensor *updates, size_t i,
                    const char *mode) {
  if (t.integers != NULL) {
    int64_t *a = &t.integers[at];
    const int64_t b = milo_ref_get_int(updates, i);
    if (strcmp(mode, "update") == 0) *a = b;
    if (strcmp(mode, "add") == 0) *a = milo_ref_add(*a, b);
    if (strcmp(mode, "sub") == 0) *a = milo_ref_sub(*a, b);
    if (strcmp(mode, "mul") == 0) *a = milo_ref_mul(*a, b);
    if (strcmp(mode, "div") == 0) *a = int_div(*a, b);
    if (strcmp(mode, "max") == 0) *a = *a > b ? *a : b;
    if (strcmp(mode, "min") == 0) *a = *a < b ? *a : b;
    return;
  }
  double *a = &t.numbers[at];
  const double b = milo_ref_get(updates, i);
  if (strcmp(mode, "update") == 0) *a = b;
  if (strcmp(mode, "add") == 0) *a += b;
  if (strcmp(mode, "sub") == 0) *a -= b;
  if (strcmp(mode, "mul") == 0) *a *= b;
  if (strcmp(mode, "div") == 0) *a /= b;
  if (strcmp(mode, "max") == 0) *a = *a != *a || *a > b ? *a : b;
  if (strcmp(mode, "min") == 0) *a = *a != *a || *a < b ? *a : b;
}

// Where update i goes in data.
typedef milo_status locate_fn(const milo_ref_call *call, const milo_ref_tensor *data,
                              const milo_ref_tensor *indices, const milo_ref_tensor *updates,
                              int axis, size_t i, size_t *out);

static milo_status scatter(const milo_ref_call *call, locate_fn *locate) {
  milo_ref_tensor data, indices, updates, out = milo_ref_out(call, 0);
  milo_ref_in(call, "data", &data);
  milo_ref_in(call, "indices", &indices);
  milo_ref_in(call, "updates", &updates);
  const int axis = milo_op_axis(call->op, "axis", data.rank);
  const char *mode = milo_op_string(call->op, "mode");
  void *memory;
  MILO_TRY(milo_ref_alloc(call, data.count, sizeof(double), &memory));
  const bool integers = milo_ref_is_int(&data);
  const target t = {integers ? NULL : memory, integers ? memory : NULL};
  for (size_t i = 0; i < data.count; ++i) {
    if (integers)
      t.integers[i] = milo_ref_get_int(&data, i);
    else
      t.numbers[i] = milo_ref_get(&data, i);
  }
  milo_status status = MILO_OK;
  for (size_t i = 0; status == MILO_OK && i < updates.count; ++i) {
    size_t at;
    status = locate(call, &data, &indices, &updates, axis, i, &at);
    if (status == MILO_OK) combine(t, at, &updates, i, mode);
  }
  for (size_t i = 0; status == MILO_OK && i < out.count; ++i) {
    if (integers)
      milo_ref_set_int(&out, i, t.integers[i]);
    else
      milo_ref_set(&out, i, t.numbers[i]);
  }
  free(memory);
  return status;
}

// updates [outer, I, inner], I: all axes of indices
static milo_status locate(const milo_ref_call *call, const milo_ref_tensor *data,
                          const milo_ref_tensor *indices, const milo_ref_tensor *updates, int axis,
                          size_t i, size_t *out) {
  const milo_ref_split s = milo_ref_split_at(data, axis);
  const size_t outer = i / (indices->count * s.inner);
  size_t index = 0;
  (void)updates;
  MILO_TRY(read_index(call, indices, i / s.inner % indices->count, s.dim, &index));
  *out = (outer * s.dim + index) * s.inner + i % s.inner;
  return MILO_OK;
}

static milo_status locate_along(const milo_ref_call *call, const milo_ref_tensor *data,
                                const milo_ref_tensor *indices, const milo_ref_tensor *updates,
                                int axis, size_t i, size_t *out) {
  int64_t coords[MILO_MAX_RANK];
  size_t index = 0;
  MILO_TRY(read_index(call, indices, i, (size_t)data->dims[axis], &index));
  milo_ref_coords(updates, i, coords);
  coords[axis] = (int64_t)index;
  *out = milo_ref_index(data, coords);
  return MILO_OK;
}

milo_status milo_ref_scatter(const milo_ref_call *call) { return scatter(call, locate); }

milo_status milo_ref_scatter_along_axis(const milo_ref_call *call) {
  return scatter(call, locate_along);
}

static size_t count_non_zero(const milo_ref_tensor *x) {
  size_t count = 0;
  for (size_t i = 0; i < x->count; ++i) count += milo_ref_get(x, i) != 0;
  return count;
}

milo_status milo_ref_non_zero_shape(const milo_ref_call *call, milo_value *const *results) {
  milo_ref_tensor x;
  milo_ref_in(call, "x", &x);
  results[0]->type.dims[0] = (int64_t)count_non_zero(&x);
  return MILO_OK;
}

milo_status milo_ref_non_zero(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  int64_t coords[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  if (out.dims[0] != (int64_t)count_non_zero(&x))
    return milo_ref_fail(call, "%zu elements are not zero, the result is declared for %lld",
                         count_non_zero(&x), (long long)out.dims[0]);
  size_t row = 0;
  for (size_t i = 0; i < x.count; ++i) {
    if (milo_ref_get(&x, i) == 0) continue;
    milo_ref_coords(&x, i, coords);
    for (int k = 0; k < x.rank; ++k)
      milo_ref_set_int(&out, row * (size_t)x.rank + (size_t)k, coords[k]);
    ++row;
  }
  return MILO_OK;
}
