// SPDX-License-Identifier: MIT
// Making steps: buffers, views of values, copies.
#include <assert.h>

#include "device/cpu/code.h"
#include "kernels/convert.h"

uint32_t milo_code_add_buffer(milo_code *c, size_t bytes) {
  const milo_cpu_buffer buffer = {.place = MILO_PLACE_SCRATCH,
                                  .bytes = bytes,
                                  .first = MILO_NO_STEP,
                                  .merged = (uint32_t)c->buffer_count};
  MILO_PUSH(&c->arena, c->buffers, c->buffer_count, c->buffer_capacity, buffer);
  return (uint32_t)c->buffer_count - 1;
}

milo_view milo_code_new(milo_code *c, milo_dtype dtype, int rank, const int64_t *dims) {
  const milo_type type = milo_type_tensor(dtype, rank, dims);
  return milo_view_dense(milo_code_add_buffer(c, milo_type_bytes(&type)), &type);
}

milo_view milo_code_new_like(milo_code *c, const milo_value *value) {
  return milo_code_new(c, value->type.dtype, value->type.rank, value->type.dims);
}

void milo_code_add_step(milo_code *c, const milo_op *op, milo_step_fn *run, const void *args,
                        size_t workspace_bytes) {
  const milo_step step = {run, args, op};
  MILO_PUSH(&c->arena, c->steps, c->step_count, c->step_capacity, step);
  if (workspace_bytes > c->workspace_bytes) c->workspace_bytes = workspace_bytes;
}

static void touch(milo_code *c, const milo_view *v) {
  milo_cpu_buffer *b = &c->buffers[v->buffer];
  if (b->first == MILO_NO_STEP || b->first > c->step_count) b->first = c->step_count;
  if (b->last < c->step_count) b->last = c->step_count;
}

void milo_code_reads(milo_code *c, const milo_view *v) {
  milo_cpu_buffer *b = &c->buffers[v->buffer];
  b->readers = b->reader_step == c->step_count ? b->readers + 1 : 1;
  b->reader_step = c->step_count;
  touch(c, v);
}
void milo_code_writes(milo_code *c, const milo_view *v) { touch(c, v); }

static bool same_place(const milo_view *a, const milo_view *b) {
  if (a->rank != b->rank || a->offset != 0 || b->offset != 0 || a->dtype != b->dtype) return false;
  for (int i = 0; i < a->rank; ++i)
    if (a->dims[i] != b->dims[i] || (a->dims[i] != 1 && a->strides[i] != b->strides[i]))
      return false;
  return true;
}

void milo_code_in_place(milo_code *c, const milo_view *result, const milo_view *operand) {
  const milo_cpu_buffer *b = &c->buffers[operand->buffer];
  if (!same_place(result, operand)) return;
  if (b->reader_step == c->step_count && b->readers > 1) return;
  if (c->pair_count == c->pair_capacity)
    c->pairs =
        milo_arena_grow(&c->arena, c->pairs, c->pair_count, &c->pair_capacity, sizeof *c->pairs);
  c->pairs[c->pair_count].result = result->buffer;
  c->pairs[c->pair_count].operand = operand->buffer;
  c->pairs[c->pair_count++].step = c->step_count;
}

milo_view milo_code_stored(milo_code *c, const milo_value *value) {
  if (!c->ready[value->id]) {
    // Only constants come without a step of their own.
    const milo_literal *literal = milo_value_constant(value);
    assert(literal != NULL);
    const uint32_t buffer = milo_code_add_buffer(c, literal->bytes);
    c->buffers[buffer].place = MILO_PLACE_CONST;
    c->buffers[buffer].data = literal->data;
    const milo_view v = milo_view_dense(buffer, &value->type);
    milo_code_set(c, value, &v);
  }
  return c->views[value->id];
}

milo_view milo_code_view(milo_code *c, const milo_value *value) {
  const milo_view v = milo_code_stored(c, value);
  if (v.dtype == value->type.dtype) return v;
  const milo_view own = milo_code_f32(c, &v);
  milo_code_set(c, value, &own);  // for all who ask after this
  return own;
}

milo_view milo_code_in(milo_code *c, const milo_op *op, const char *name) {
  return milo_code_view(c, milo_op_in(op, name));
}

void milo_code_set(milo_code *c, const milo_value *value, const milo_view *view) {
  c->views[value->id] = *view;
  c->ready[value->id] = true;
}

// ---- copies ----

typedef struct copy {
  milo_view from, to;  // collapsed, same dims
} copy;

enum { COPY_CHUNK = 1 << 16, TILE = 512 };

typedef struct copy_job {
  const milo_rows *kernels;
  const copy *args;
  const char *from;
  char *to;
  size_t rows, rows_per_task;
} copy_job;

// A row is the innermost axis. Its elements from one type and stride to another.
static void copy_row(const milo_rows *kernels, const copy *a, const char *from, char *to) {
  const int last = a->from.rank - 1;
  const size_t n = (size_t)a->from.dims[last];
  const ptrdiff_t fs = a->from.strides[last], ts = a->to.strides[last];
  const size_t fb = milo_dtype_bits(a->from.dtype) / 8, tb = milo_dtype_bits(a->to.dtype) / 8;
  if (a->from.dtype == a->to.dtype) {
    if (fs == 1 && ts == 1) {
      memcpy(to, from, n * fb);
    } else {
      for (size_t i = 0; i < n; ++i) switch (fb) {
          case 1:
            to[(ptrdiff_t)i * ts] = from[(ptrdiff_t)i * fs];
            break;
          case 2:
            ((uint16_t *)(void *)to)[(ptrdiff_t)i * ts] =
                ((const uint16_t *)(const void *)from)[(ptrdiff_t)i * fs];
            break;
          case 4:
            ((uint32_t *)(void *)to)[(ptrdiff_t)i * ts] =
                ((const uint32_t *)(const void *)from)[(ptrdiff_t)i * fs];
            break;
          default:
            ((uint64_t *)(void *)to)[(ptrdiff_t)i * ts] =
                ((const uint64_t *)(const void *)from)[(ptrdiff_t)i * fs];
            break;
        }
    }
    return;
  }
  float tile[TILE];
  for (size_t i = 0; i < n; i += TILE) {
    const size_t m = n - i < TILE ? n - i : TILE;
    milo_load_f32(kernels, tile, from + (ptrdiff_t)i * fs * (ptrdiff_t)fb, a->from.dtype, fs, m);
    milo_store_f32(kernels, to + (ptrdiff_t)i * ts * (ptrdiff_t)tb, a->to.dtype, ts, tile, m);
  }
}

static void copy_task(void *user, size_t t, int worker) {
  (void)worker;
  const copy_job *w = user;
  const copy *a = w->args;
  const int outer = a->from.rank - 1;
  const ptrdiff_t fb = (ptrdiff_t)(milo_dtype_bits(a->from.dtype) / 8);
  const ptrdiff_t tb = (ptrdiff_t)(milo_dtype_bits(a->to.dtype) / 8);
  size_t row = t * w->rows_per_task;
  const size_t end = row + w->rows_per_task < w->rows ? row + w->rows_per_task : w->rows;
  for (; row < end; ++row) {
    size_t rest = row;
    ptrdiff_t f = 0, to = 0;
    for (int i = outer - 1; i >= 0; --i) {
      const size_t at = rest % (size_t)a->from.dims[i];
      rest /= (size_t)a->from.dims[i];
      f += (ptrdiff_t)at * a->from.strides[i];
      to += (ptrdiff_t)at * a->to.strides[i];
    }
    copy_row(w->kernels, a, w->from + f * fb, w->to + to * tb);
  }
}

static milo_status run_copy(const milo_cpu_run *run, const void *args) {
  const copy *a = args;
  const int last = a->from.rank - 1;
  const size_t n = milo_view_elements(&a->from), row = (size_t)a->from.dims[last];
  if (n == 0) return MILO_OK;
  copy_job w = {.kernels = run->exec->rows,
                .args = a,
                .from = milo_view_data(run, &a->from),
                .to = milo_view_data(run, &a->to),
                .rows = n / row};
  w.rows_per_task = row >= COPY_CHUNK ? 1 : (COPY_CHUNK + row - 1) / row;
  milo_pool_run(run->exec->pool, (w.rows + w.rows_per_task - 1) / w.rows_per_task, copy_task, &w);
  return MILO_OK;
}

// A long single row would be one task: cut it in two axes where it divides.
static void cut_row(copy *a) {
  const int last = a->from.rank - 1;
  if (a->from.rank == MILO_MAX_RANK || a->from.dims[last] < 2 * COPY_CHUNK) return;
  for (int64_t part = COPY_CHUNK; part > COPY_CHUNK / 4; --part) {
    if (a->from.dims[last] % part != 0) continue;
    milo_view *views[2] = {&a->from, &a->to};
    for (int k = 0; k < 2; ++k) {
      milo_view *v = views[k];
      v->dims[last + 1] = part;
      v->dims[last] /= part;
      v->strides[last + 1] = v->strides[last];
      v->strides[last] *= part;
      v->rank = last + 2;
    }
    return;
  }
}

void milo_code_copy(milo_code *c, const milo_view *from, const milo_view *to) {
  milo_view views[2] = {*from, *to};
  // Innermost, the axis that is contiguous in the output.
  milo_views_collapse(views, 2);
  copy *a = MILO_NEW(&c->arena, copy);
  a->from = views[0];
  a->to = views[1];
  cut_row(a);
  milo_code_reads(c, from);
  milo_code_writes(c, to);
  milo_code_add_step(c, NULL, run_copy, a, 0);
}

milo_view milo_code_dense(milo_code *c, const milo_view *v) {
  if (milo_view_is_dense(v)) return *v;
  const milo_view r = milo_code_new(c, v->dtype, v->rank, v->dims);
  milo_code_copy(c, v, &r);
  return r;
}

milo_view milo_code_f32(milo_code *c, const milo_view *v) {
  if (v->dtype == MILO_FP32) return *v;
  const milo_view r = milo_code_new(c, MILO_FP32, v->rank, v->dims);
  milo_code_copy(c, v, &r);
  return r;
}

milo_view milo_code_dense_f32(milo_code *c, const milo_view *v) {
  const milo_view f = milo_code_f32(c, v);
  return milo_code_dense(c, &f);
}

milo_dtype milo_code_store_dtype(const milo_code *c, const milo_op *op, size_t i) {
  const milo_value *value = op->results[i];
  const milo_op *user = c->user[value->id];
  if (value->type.dtype != MILO_FP32 || c->uses[value->id] != 1 || c->is_output[value->id] ||
      user == NULL || user->code != MILO_OP_cast)
    return value->type.dtype;
  const milo_dtype to = user->results[0]->type.dtype;
  return to == MILO_FP16 || to == MILO_BF16 ? to : value->type.dtype;
}

bool milo_code_hands_out(const milo_code *c, const milo_op *op, size_t i) {
  const milo_value *value = op->results[i];
  if (c->is_output[value->id]) return true;
  return milo_code_store_dtype(c, op, i) != value->type.dtype &&
         c->is_output[c->user[value->id]->results[0]->id];
}

milo_view milo_code_result(milo_code *c, const milo_op *op, size_t i) {
  const milo_type *type = &op->results[i]->type;
  return milo_code_new(c, milo_code_store_dtype(c, op, i), type->rank, type->dims);
}

milo_view milo_code_dense_in(milo_code *c, const milo_op *op, const char *name) {
  const milo_view v = milo_code_stored(c, milo_op_in(op, name));
  return milo_code_dense(c, &v);
}

milo_view milo_code_result_f32(milo_code *c, const milo_op *op, size_t i) {
  const milo_type *type = &op->results[i]->type;
  return milo_code_new(c, MILO_FP32, type->rank, type->dims);
}

void milo_code_finish(milo_code *c, const milo_op *op, size_t i, const milo_view *f32) {
  const milo_value *value = op->results[i];
  if (value->type.dtype == MILO_FP32) {
    milo_code_set(c, value, f32);
    return;
  }
  const milo_view r = milo_code_new_like(c, value);
  milo_code_copy(c, f32, &r);
  milo_code_set(c, value, &r);
}
