// SPDX-License-Identifier: MIT
// Operations on rows: softmax and the norms.
#include <math.h>

#include "device/cpu/code.h"

enum { TASK_ELEMENTS = 16384, GRAD_CHUNKS = 64 };

typedef enum row_kind { SOFTMAX, LAYER_NORM, RMS_NORM } row_kind;

typedef struct row_op {
  row_kind kind;
  milo_view x, out, gamma, beta;  // dense; gamma, beta fp32
  bool has_gamma, has_beta;
  size_t rows, n;
  float epsilon;
} row_op;

typedef struct row_job {
  const row_op *a;
  const milo_rows *kernels;
  const void *x;
  const float *gamma, *beta;
  void *out;
  float *rooms;  // a row for each worker
  size_t rows_per_task;
} row_job;

static void softmax_row(const milo_rows *k, float *out, const float *x, size_t n) {
  const float max = k->max(x, n);
  // All -inf: as the formula says, 0/0.
  const double total = k->exp_sum(out, x, n, max);
  const float scale = (float)(1.0 / total);
  for (size_t i = 0; i < n; ++i) out[i] *= scale;
}

static void row_task(void *user, size_t t, int worker) {
  const row_job *w = user;
  const row_op *a = w->a;
  const milo_rows *k = w->kernels;
  float *room = w->rooms + (size_t)worker * a->n;
  size_t row = t * w->rows_per_task;
  const size_t end = row + w->rows_per_task < a->rows ? row + w->rows_per_task : a->rows;
  for (; row < end; ++row) {
    const ptrdiff_t at = (ptrdiff_t)(row * a->n);
    const float *x = milo_row_load(k, w->x, a->x.dtype, at, a->n, room);
    float *out = milo_row_target(w->out, a->out.dtype, at, room);
    switch (a->kind) {
      case SOFTMAX:
        softmax_row(k, out, x, a->n);
        break;
      case LAYER_NORM:
        k->layer_norm(out, x, w->gamma, w->beta, a->n, a->epsilon);
        break;
      case RMS_NORM:
        k->rms_norm(out, x, w->gamma, a->n, a->epsilon);
        break;
    }
    milo_row_store(k, w->out, a->out.dtype, at, a->n, out);
  }
}

static size_t per_task(size_t n) { return n >= TASK_ELEMENTS ? 1 : n ? TASK_ELEMENTS / n : 1; }

static milo_status run_rows(const milo_cpu_run *run, const void *args) {
  const row_op *a = args;
  row_job w = {.a = a,
               .kernels = run->exec->rows,
               .x = milo_view_data(run, &a->x),
               .out = milo_view_data(run, &a->out),
               .gamma = a->has_gamma ? milo_view_data(run, &a->gamma) : NULL,
               .beta = a->has_beta ? milo_view_data(run, &a->beta) : NULL,
               .rooms = run->workspace,
               .rows_per_task = per_task(a->n)};
  milo_pool_run(run->exec->pool, (a->rows + w.rows_per_task - 1) / w.rows_per_task, row_task, &w);
  return MILO_OK;
}

static void add_rows(milo_code *c, const milo_op *op, row_op *a) {
  milo_code_reads(c, &a->x);
  if (a->has_gamma) milo_code_reads(c, &a->gamma);
  if (a->has_beta) milo_code_reads(c, &a->beta);
  milo_code_writes(c, &a->out);
  milo_code_in_place(c, &a->out, &a->x);
  const size_t count = milo_view_elements(&a->x);
  a->rows = a->n ? count / a->n : 0;
  milo_code_add_step(c, op, run_rows, a, milo_row_rooms(c, a->n));
}

bool milo_emit_softmax(milo_code *c, const milo_op *op) {
  const milo_type *type = &op->results[0]->type;
  if (!milo_cpu_float(type->dtype) || type->rank < 1) return false;
  const int axis = milo_op_axis(op, "axis", type->rank);
  // The axis goes last and back again.
  int64_t order[MILO_MAX_RANK], back[MILO_MAX_RANK];
  int count = 0;
  for (int i = 0; i < type->rank; ++i)
    if (i != axis) order[count++] = i;
  order[count] = axis;
  for (int i = 0; i < type->rank; ++i) back[order[i]] = i;
  const milo_view x = milo_code_stored(c, milo_op_in(op, "x")),
                  last = milo_view_transpose(&x, order);
  row_op *a = MILO_NEW(&c->arena, row_op);
  a->kind = SOFTMAX;
  a->x = milo_code_dense(c, &last);
  a->n = (size_t)type->dims[axis];
  a->out = milo_code_new(c, milo_code_store_dtype(c, op, 0), a->x.rank, a->x.dims);
  add_rows(c, op, a);
  const milo_view out = milo_view_transpose(&a->out, back);
  milo_code_set(c, op->results[0], &out);
  return true;
}

bool milo_emit_layer_norm(milo_code *c, const milo_op *op) {
  const milo_type *type = &op->results[0]->type;
  if (!milo_cpu_float(type->dtype)) return false;
  int64_t axes[MILO_MAX_RANK];
  int count = milo_op_ints(op, "axes", axes, MILO_MAX_RANK);
  if (count < 0)
    for (count = 0; count < type->rank; ++count) axes[count] = count;
  // The last axes, all of them.
  bool chosen[MILO_MAX_RANK] = {false};
  for (int i = 0; i < count; ++i) chosen[axes[i] < 0 ? axes[i] + type->rank : axes[i]] = true;
  size_t n = 1;
  for (int i = type->rank - 1; i >= 0; --i) {
    if (chosen[i] != (i >= type->rank - count)) return false;
    if (chosen[i]) n *= (size_t)type->dims[i];
  }
  const milo_value *gamma = milo_op_in(op, "gamma"), *beta = milo_op_in(op, "beta");
  if ((gamma && !milo_cpu_float(gamma->type.dtype)) || (beta && !milo_cpu_float(beta->type.dtype)))
    return false;
  row_op *a = MILO_NEW(&c->arena, row_op);
  a->kind = LAYER_NORM;
  a->x = milo_code_dense_in(c, op, "x");
  a->has_gamma = gamma != NULL;
  a->has_beta = beta != NULL;
  if (gamma) {
    const milo_view v = milo_code_view(c, gamma);
    a->gamma = milo_code_dense_f32(c, &v);
  }
  if (beta) {
    const milo_view v = milo_code_view(c, beta);
    a->beta = milo_code_dense_f32(c, &v);
  }
  a->n = n;
  a->epsilon = (float)milo_op_float(op, "epsilon");
  a->out = milo_code_result(c, op, 0);
  add_rows(c, op, a);
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

bool milo_emit_rms_norm(milo_code *c, const milo_op *op) {
  if (!milo_cpu_float(op->results[0]->type.dtype)) return false;
  row_op *a = MILO_NEW(&c->arena, row_op);
  a->kind = RMS_NORM;
  const milo_view weight = milo_code_in(c, op, "weight");
  a->x = milo_code_dense_in(c, op, "x");
  a->gamma = milo_code_dense_f32(c, &weight);
  a->has_gamma = true;
  a->n = milo_view_elements(&weight);
  a->epsilon = (float)milo_op_float(op, "epsilon");
  a->out = milo_code_result(c, op, 0);
  add_rows(c, op, a);
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

// ---- gradient of rms_norm ----

typedef struct rms_grad {
  milo_view grad, x, weight, dx, dweight;  // dense; weight and its gradient fp32
  size_t rows, n, chunk;                   // rows of a chunk
  float epsilon;
} rms_grad;

typedef struct rms_job {
  const rms_grad *a;
  const milo_rows *kernels;
  const void *grad, *x;
  const float *weight;
  void *dx;
  float *parts, *rooms;  // rooms: two rows for each worker
} rms_job;

// Each chunk of rows sums its own share of dweight; chunks depend on the shape only.
static void rms_grad_task(void *user, size_t t, int worker) {
  const rms_job *w = user;
  const rms_grad *a = w->a;
  float *part = w->parts + t * a->n, *room = w->rooms + (size_t)worker * 2 * a->n;
  memset(part, 0, a->n * sizeof *part);
  size_t row = t * a->chunk;
  const size_t end = row + a->chunk < a->rows ? row + a->chunk : a->rows;
  for (; row < end; ++row) {
    const ptrdiff_t at = (ptrdiff_t)(row * a->n);
    const float *grad = milo_row_load(w->kernels, w->grad, a->grad.dtype, at, a->n, room);
    const float *x = milo_row_load(w->kernels, w->x, a->x.dtype, at, a->n, room + a->n);
    float *dx = milo_row_target(w->dx, a->dx.dtype, at, room);
    w->kernels->rms_norm_grad(dx, part, grad, x, w->weight, a->n, a->epsilon);
    milo_row_store(w->kernels, w->dx, a->dx.dtype, at, a->n, dx);
  }
}

static milo_status run_rms_grad(const milo_cpu_run *run, const void *args) {
  const rms_grad *a = args;
  rms_job w = {.a = a,
               .kernels = run->exec->rows,
               .grad = milo_view_data(run, &a->grad),
               .x = milo_view_data(run, &a->x),
               .weight = milo_view_data(run, &a->weight),
               .dx = milo_view_data(run, &a->dx),
               .parts = run->workspace,
               .rooms = (float *)run->workspace + GRAD_CHUNKS * a->n};
  float *dweight = milo_view_data(run, &a->dweight);
  const size_t chunks = a->rows ? (a->rows + a->chunk - 1) / a->chunk : 0;
  milo_pool_run(run->exec->pool, chunks, rms_grad_task, &w);
  memset(dweight, 0, a->n * sizeof *dweight);
  for (size_t i = 0; i < chunks; ++i)
    w.kernels->binary[MILO_BINARY_add](dweight, dweight, w.parts + i * a->n, a->n);
  return MILO_OK;
}

bool milo_emit_rms_norm_grad(milo_code *c, const milo_op *op) {
  if (!milo_cpu_float(op->results[0]->type.dtype)) return false;
  rms_grad *a = MILO_NEW(&c->arena, rms_grad);
  const milo_view weight = milo_code_in(c, op, "weight");
  a->grad = milo_code_dense_in(c, op, "grad");
  a->x = milo_code_dense_in(c, op, "x");
  a->weight = milo_code_dense_f32(c, &weight);
  a->n = milo_view_elements(&weight);
  a->rows = a->n ? milo_view_elements(&a->x) / a->n : 0;
  a->chunk = (a->rows + GRAD_CHUNKS - 1) / GRAD_CHUNKS;
  a->chunk = a->chunk < 8 ? 8 : a->chunk;
  a->epsilon = (float)milo_op_float(op, "epsilon");
  a->dx = milo_code_result(c, op, 0);
  a->dweight = milo_code_result_f32(c, op, 1);
  milo_code_reads(c, &a->grad);
  milo_code_reads(c, &a->x);
  milo_code_reads(c, &a->weight);
  milo_code_writes(c, &a->dx);
  milo_code_writes(c, &a->dweight);
  milo_code_in_place(c, &a->dx, &a->grad);
  milo_code_add_step(c, op, run_rms_grad, a,
                     GRAD_CHUNKS * a->n * sizeof(float) + milo_row_rooms(c, 2 * a->n));
  milo_code_set(c, op->results[0], &a->dx);
  milo_code_finish(c, op, 1, &a->dweight);
  return true;
}
