// SPDX-License-Identifier: MIT
// Operations that move elements: joining, gathering, scattering, updating a slice.
#include "device/cpu/code.h"
#include "ir/ops/geometry.h"

static size_t bytes_of(milo_dtype dtype) { return milo_dtype_bits(dtype) / 8; }

// ---- concat, stack ----

bool milo_emit_join(milo_code *c, const milo_op *op) {
  const milo_value *result = op->results[0];
  const milo_arg *values = milo_op_arg(op, "values");
  if (milo_dtype_bits(result->type.dtype) < 8) return false;
  const bool stack = op->code == MILO_OP_stack;
  const int axis = milo_op_axis(op, "axis", result->type.rank);
  const bool interleave = !stack && milo_op_bool(op, "interleave");
  const milo_view out = milo_code_new_like(c, result);
  int64_t begin = 0;
  for (size_t i = 0; i < values->count; ++i) {
    milo_view from = milo_code_view(c, values->values[i]);
    if (stack || from.rank == 0) {  // concat makes a vector of numbers
      // Only an axis of one element is new: strides stay.
      for (int k = result->type.rank - 1; k > axis; --k) {
        from.dims[k] = from.dims[k - 1];
        from.strides[k] = from.strides[k - 1];
      }
      from.dims[axis] = 1;
      from.strides[axis] = 1;
      from.rank = result->type.rank;
    }
    const int64_t size = from.dims[axis];
    const milo_view to = interleave
                             ? milo_view_slice(&out, axis, (int64_t)i, size, (int64_t)values->count)
                             : milo_view_slice(&out, axis, begin, size, 1);
    begin += size;
    milo_code_copy(c, &from, &to);
  }
  milo_code_set(c, result, &out);
  return true;
}

// ---- tile, and views that could not be views ----

bool milo_emit_copy_view(milo_code *c, const milo_op *op) {
  const milo_value *result = op->results[0];
  if (milo_dtype_bits(result->type.dtype) < 8) return false;
  const milo_view x = milo_code_in(c, op, "x");
  if (op->code == MILO_OP_tile) {
    // [reps, dim] pairs of axes: the source has stride 0 along reps.
    const int rank = x.rank;
    if (2 * rank > MILO_MAX_RANK) return false;
    const milo_view out = milo_code_new_like(c, result);
    milo_view from = x, to = out;
    int64_t stride = 1;
    from.rank = to.rank = 2 * rank;
    for (int i = rank - 1; i >= 0; --i) {
      from.dims[2 * i + 1] = to.dims[2 * i + 1] = x.dims[i];
      from.dims[2 * i] = to.dims[2 * i] = x.dims[i] ? result->type.dims[i] / x.dims[i] : 0;
      from.strides[2 * i + 1] = x.strides[i];
      from.strides[2 * i] = 0;
      to.strides[2 * i + 1] = stride;
      to.strides[2 * i] = stride * x.dims[i];
      stride *= result->type.dims[i];
    }
    milo_code_copy(c, &from, &to);
    milo_code_set(c, result, &out);
    return true;
  }
  // A reshape of something that is not one stretch of memory.
  const milo_view dense = milo_code_dense(c, &x);
  milo_view out;
  if (!milo_view_reshape(&dense, result->type.rank, result->type.dims, &out)) return false;
  milo_code_set(c, result, &out);
  return true;
}

// ---- gather ----

typedef struct gather {
  milo_view x, indices, out;  // dense
  const milo_op *op;
  size_t outer, dim, count, inner_bytes;
} gather;

typedef struct gather_job {
  const gather *a;
  const char *x;
  const void *indices;
  char *out;
  size_t per_task;
} gather_job;

// An index that was checked, counted from the start.
static size_t index_at(const milo_view *indices, const void *data, size_t i, size_t dim) {
  const int64_t at = milo_number_load_int(indices->dtype, data, i);
  return (size_t)(at < 0 ? at + (int64_t)dim : at);
}

static milo_status check_indices(const milo_cpu_run *run, const milo_op *op,
                                 const milo_view *indices, size_t count, size_t dim) {
  const void *data = milo_view_data(run, indices);
  for (size_t i = 0; i < count; ++i) {
    const int64_t at = milo_number_load_int(indices->dtype, data, i);
    if (at < -(int64_t)dim || at >= (int64_t)dim)
      return milo_fail(run->diag, op->loc, MILO_ERR_INVALID,
                       "%s: indices[%zu] = %lld is outside the axis, whose size is %zu", op->name,
                       i, (long long)at, dim);
  }
  return MILO_OK;
}

static void gather_task(void *user, size_t t, int worker) {
  (void)worker;
  const gather_job *w = user;
  const gather *a = w->a;
  size_t row = t * w->per_task;
  const size_t rows = a->outer * a->count;
  const size_t end = row + w->per_task < rows ? row + w->per_task : rows;
  for (; row < end; ++row) {
    const size_t at = index_at(&a->indices, w->indices, row % a->count, a->dim);
    memcpy(w->out + row * a->inner_bytes, w->x + (row / a->count * a->dim + at) * a->inner_bytes,
           a->inner_bytes);
  }
}

static milo_status run_gather(const milo_cpu_run *run, const void *args) {
  const gather *a = args;
  if (a->outer * a->count == 0 || a->inner_bytes == 0) return MILO_OK;
  MILO_TRY(check_indices(run, a->op, &a->indices, a->count, a->dim));
  gather_job w = {.a = a,
                  .x = milo_view_data(run, &a->x),
                  .indices = milo_view_data(run, &a->indices),
                  .out = milo_view_data(run, &a->out),
                  .per_task = a->inner_bytes >= 65536 ? 1 : 65536 / a->inner_bytes};
  const size_t rows = a->outer * a->count;
  milo_pool_run(run->exec->pool, (rows + w.per_task - 1) / w.per_task, gather_task, &w);
  return MILO_OK;
}

static size_t product(const milo_type *type, int from, int to) {
  size_t n = 1;
  for (int i = from; i < to; ++i) n *= (size_t)type->dims[i];
  return n;
}

bool milo_emit_gather(milo_code *c, const milo_op *op) {
  const milo_value *x = milo_op_in(op, "x"), *indices = milo_op_in(op, "indices");
  if (milo_dtype_bits(x->type.dtype) < 8 || milo_dtype_bits(indices->type.dtype) < 8) return false;
  if (milo_op_int(op, "batch_dims") != 0) return false;
  const int axis = milo_op_axis(op, "axis", x->type.rank);
  gather *a = MILO_NEW(&c->arena, gather);
  const milo_view vx = milo_code_view(c, x), vi = milo_code_view(c, indices);
  a->op = op;
  a->x = milo_code_dense(c, &vx);
  a->indices = milo_code_dense(c, &vi);
  a->outer = product(&x->type, 0, axis);
  a->dim = (size_t)x->type.dims[axis];
  a->inner_bytes = product(&x->type, axis + 1, x->type.rank) * bytes_of(x->type.dtype);
  a->count = milo_view_elements(&vi);
  a->out = milo_code_new_like(c, op->results[0]);
  milo_code_reads(c, &a->x);
  milo_code_reads(c, &a->indices);
  milo_code_writes(c, &a->out);
  milo_code_add_step(c, op, run_gather, a, 0);
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

// ---- scatter: update moves elements of any size, add takes fp32 ----

typedef struct scatter {
  milo_view data, indices, updates, out;  // dense
  const milo_op *op;
  size_t outer, dim, count, inner, columns;  // columns of a task
  size_t bytes;                              // of an element
  bool replace;                              // mode update
} scatter;

typedef struct scatter_job {
  const scatter *a;
  const milo_rows *kernels;
  const void *indices;
  const char *data, *updates;
  char *out;
} scatter_job;

// A range of columns of all rows: updates go in one after another, in order.
static void scatter_task(void *user, size_t t, int worker) {
  (void)worker;
  const scatter_job *w = user;
  const scatter *a = w->a;
  const size_t across = (a->inner + a->columns - 1) / a->columns;
  const size_t outer = t / across, j = t % across * a->columns;
  const size_t n = a->inner - j < a->columns ? a->inner - j : a->columns;
  const size_t pitch = a->inner * a->bytes, wide = n * a->bytes;
  const size_t begin = outer * a->dim * pitch + j * a->bytes;
  const char *from = w->updates + outer * a->count * pitch + j * a->bytes;
  char *out = w->out + begin;
  if (w->data != w->out)
    for (size_t i = 0; i < a->dim; ++i) memcpy(out + i * pitch, w->data + begin + i * pitch, wide);
  for (size_t i = 0; i < a->count; ++i, from += pitch) {
    char *to = out + index_at(&a->indices, w->indices, i, a->dim) * pitch;
    if (a->replace) {
      memcpy(to, from, wide);
    } else {
      float *sum = (float *)(void *)to;
      w->kernels->binary[MILO_BINARY_add](sum, sum, (const float *)(const void *)from, n);
    }
  }
}

static milo_status run_scatter(const milo_cpu_run *run, const void *args) {
  const scatter *a = args;
  if (a->outer * a->inner == 0) return MILO_OK;
  MILO_TRY(check_indices(run, a->op, &a->indices, a->count, a->dim));
  scatter_job w = {.a = a,
                   .kernels = run->exec->rows,
                   .indices = milo_view_data(run, &a->indices),
                   .data = milo_view_data(run, &a->data),
                   .updates = milo_view_data(run, &a->updates),
                   .out = milo_view_data(run, &a->out)};
  const size_t across = (a->inner + a->columns - 1) / a->columns;
  milo_pool_run(run->exec->pool, a->outer * across, scatter_task, &w);
  return MILO_OK;
}

bool milo_emit_scatter(milo_code *c, const milo_op *op) {
  const milo_value *data = milo_op_in(op, "data"), *indices = milo_op_in(op, "indices");
  if (milo_dtype_bits(data->type.dtype) < 8 || milo_dtype_bits(indices->type.dtype) < 8)
    return false;
  const char *mode = milo_op_string(op, "mode");
  const bool replace = strcmp(mode, "update") == 0;
  if (!replace && (strcmp(mode, "add") != 0 || data->type.dtype != MILO_FP32)) return false;
  const int axis = milo_op_axis(op, "axis", data->type.rank);
  scatter *a = MILO_NEW(&c->arena, scatter);
  a->replace = replace;
  a->bytes = bytes_of(data->type.dtype);
  const milo_view vd = milo_code_view(c, data), vi = milo_code_view(c, indices);
  const milo_view vu = milo_code_in(c, op, "updates");
  a->op = op;
  a->data = milo_code_dense(c, &vd);
  a->indices = milo_code_dense(c, &vi);
  a->updates = milo_code_dense(c, &vu);
  a->outer = product(&data->type, 0, axis);
  a->dim = (size_t)data->type.dims[axis];
  a->inner = product(&data->type, axis + 1, data->type.rank);
  a->count = milo_view_elements(&vi);
  a->columns = a->inner >= 512 ? 128 : a->inner >= 64 ? (a->inner + 3) / 4 : a->inner;
  a->columns = a->columns ? a->columns : 1;
  a->out = milo_code_new_like(c, op->results[0]);
  milo_code_reads(c, &a->data);
  milo_code_reads(c, &a->indices);
  milo_code_reads(c, &a->updates);
  milo_code_writes(c, &a->out);
  milo_code_in_place(c, &a->out, &a->data);
  milo_code_add_step(c, op, run_scatter, a, 0);
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

// ---- slice_update ----

typedef struct update {
  milo_view x, update, begin, end, out;
  bool squeeze[MILO_MAX_RANK], begin_mask[MILO_MAX_RANK], end_mask[MILO_MAX_RANK];
  int64_t stride[MILO_MAX_RANK];
  const milo_op *op;
} update;

static milo_status run_update(const milo_cpu_run *run, const void *args) {
  const update *a = args;
  const char *x = milo_view_data(run, &a->x);
  char *out = milo_view_data(run, &a->out);
  const size_t bytes = bytes_of(a->x.dtype);
  if (x != out) memcpy(out, x, milo_view_elements(&a->x) * bytes);
  const void *begin = milo_view_data(run, &a->begin), *end = milo_view_data(run, &a->end);
  // Where the update goes in out, and what part of it each axis is.
  ptrdiff_t offset = 0;
  int64_t dims[MILO_MAX_RANK];
  ptrdiff_t steps[MILO_MAX_RANK];
  int kept = 0;
  for (int i = 0; i < a->x.rank; ++i) {
    const milo_slice_spec spec = {
        .begin = milo_number_load_int(a->begin.dtype, begin, (size_t)i),
        .end = milo_number_load_int(a->end.dtype, end, (size_t)i),
        .stride = a->stride[i],
        .begin_mask = a->begin_mask[i],
        .end_mask = a->end_mask[i],
        .squeeze = a->squeeze[i],
    };
    milo_slice_axis axis;
    if (!milo_slice_resolve(a->x.dims[i], spec, &axis))
      return milo_fail(run->diag, a->op->loc, MILO_ERR_INVALID,
                       "%s: begin of axis %d is %lld, its size %lld", a->op->name, i,
                       (long long)spec.begin, (long long)a->x.dims[i]);
    if (axis.size > 0) offset += axis.begin * a->out.strides[i];
    if (spec.squeeze) continue;
    if (kept >= a->update.rank || axis.size != a->update.dims[kept])
      return milo_fail(run->diag, a->op->loc, MILO_ERR_INVALID,
                       "%s: the slice of axis %d has %lld elements, the update does not",
                       a->op->name, i, (long long)axis.size);
    dims[kept] = axis.size;
    steps[kept++] = axis.stride * a->out.strides[i];
  }
  size_t rows = 1;
  const int last = kept - 1;
  for (int i = 0; i < last; ++i) rows *= (size_t)dims[i];
  const size_t n = kept > 0 ? (size_t)dims[last] : 1;
  const ptrdiff_t step = kept > 0 ? steps[last] : 1;
  const char *from = milo_view_data(run, &a->update);
  for (size_t row = 0; row < rows; ++row) {
    size_t rest = row;
    ptrdiff_t to = offset;
    for (int i = last - 1; i >= 0; --i) {
      to += (ptrdiff_t)(rest % (size_t)dims[i]) * steps[i];
      rest /= (size_t)dims[i];
    }
    char *row_out = out + to * (ptrdiff_t)bytes;
    if (step == 1)
      memcpy(row_out, from + row * n * bytes, n * bytes);
    else
      for (size_t i = 0; i < n; ++i)
        memcpy(row_out + (ptrdiff_t)i * step * (ptrdiff_t)bytes, from + (row * n + i) * bytes,
               bytes);
  }
  return MILO_OK;
}

static void read_mask(const milo_op *op, const char *name, bool *out) {
  int64_t mask[MILO_MAX_RANK];
  const int count = milo_op_ints(op, name, mask, MILO_MAX_RANK);
  for (int i = 0; i < count; ++i) out[i] = mask[i] != 0;
}

bool milo_emit_slice_update(milo_code *c, const milo_op *op) {
  const milo_value *result = op->results[0];
  const milo_value *begin = milo_op_in(op, "begin"), *end = milo_op_in(op, "end");
  if (milo_dtype_bits(result->type.dtype) < 8) return false;
  if (begin->type.rank != 1 || begin->type.dims[0] != result->type.rank) return false;
  if (end->type.rank != 1 || end->type.dims[0] != result->type.rank) return false;
  update *a = MILO_NEW(&c->arena, update);
  const milo_view x = milo_code_in(c, op, "x"), update_view = milo_code_in(c, op, "update");
  const milo_view b = milo_code_view(c, begin), e = milo_code_view(c, end);
  a->op = op;
  a->x = milo_code_dense(c, &x);
  a->update = milo_code_dense(c, &update_view);
  a->begin = milo_code_dense(c, &b);
  a->end = milo_code_dense(c, &e);
  if (milo_op_ints(op, "stride", a->stride, MILO_MAX_RANK) < 0)
    for (int i = 0; i < x.rank; ++i) a->stride[i] = 1;
  read_mask(op, "begin_mask", a->begin_mask);
  read_mask(op, "end_mask", a->end_mask);
  read_mask(op, "squeeze_mask", a->squeeze);
  a->out = milo_code_new_like(c, result);
  milo_code_reads(c, &a->x);
  milo_code_reads(c, &a->update);
  milo_code_reads(c, &a->begin);
  milo_code_reads(c, &a->end);
  milo_code_writes(c, &a->out);
  milo_code_in_place(c, &a->out, &a->x);
  milo_code_add_step(c, op, run_update, a, 0);
  milo_code_set(c, result, &a->out);
  return true;
}
