// SPDX-License-Identifier: MIT
// Steps of training: gated activation's gradient, cross-entropy and its gradient, AdamW.
#include <math.h>

#include "device/cpu/code.h"

enum { TASK_ELEMENTS = 16384, TILE = 1024 };

static milo_view dense_in(milo_code *c, const milo_op *op, const char *name) {
  const milo_view v = milo_code_in(c, op, name);
  return milo_code_dense_f32(c, &v);
}

// ---- silu_gate_grad ----

typedef struct gate_grad {
  milo_view grad, x, y, dx, dy;
  size_t count;
} gate_grad;

typedef struct gate_job {
  const milo_rows *kernels;
  const gate_grad *a;
  const void *grad, *x, *y;
  void *dx, *dy;
} gate_job;

static void gate_task(void *user, size_t t, int worker) {
  (void)worker;
  const gate_job *w = user;
  const gate_grad *a = w->a;
  const milo_rows *k = w->kernels;
  float grad_room[TILE], x_room[TILE], y_room[TILE];
  const size_t end = (t + 1) * TASK_ELEMENTS < a->count ? (t + 1) * TASK_ELEMENTS : a->count;
  for (size_t i = t * TASK_ELEMENTS; i < end; i += TILE) {
    const ptrdiff_t at = (ptrdiff_t)i;
    const size_t n = end - i < TILE ? end - i : TILE;
    const float *grad = milo_row_load(k, w->grad, a->grad.dtype, at, n, grad_room);
    const float *x = milo_row_load(k, w->x, a->x.dtype, at, n, x_room);
    const float *y = milo_row_load(k, w->y, a->y.dtype, at, n, y_room);
    float *dx = milo_row_target(w->dx, a->dx.dtype, at, x_room);
    float *dy = milo_row_target(w->dy, a->dy.dtype, at, y_room);
    k->silu_gate_grad(dx, dy, grad, x, y, n);
    milo_row_store(k, w->dx, a->dx.dtype, at, n, dx);
    milo_row_store(k, w->dy, a->dy.dtype, at, n, dy);
  }
}

static milo_status run_gate_grad(const milo_cpu_run *run, const void *args) {
  const gate_grad *a = args;
  gate_job w = {.kernels = run->exec->rows,
                .a = a,
                .grad = milo_view_data(run, &a->grad),
                .x = milo_view_data(run, &a->x),
                .y = milo_view_data(run, &a->y),
                .dx = milo_view_data(run, &a->dx),
                .dy = milo_view_data(run, &a->dy)};
  milo_pool_run(run->exec->pool, (a->count + TASK_ELEMENTS - 1) / TASK_ELEMENTS, gate_task, &w);
  return MILO_OK;
}

bool milo_emit_silu_gate_grad(milo_code *c, const milo_op *op) {
  if (!milo_cpu_float(op->results[0]->type.dtype)) return false;
  gate_grad *a = MILO_NEW(&c->arena, gate_grad);
  a->grad = milo_code_dense_in(c, op, "grad");
  a->x = milo_code_dense_in(c, op, "x");
  a->y = milo_code_dense_in(c, op, "y");
  a->dx = milo_code_result(c, op, 0);
  a->dy = milo_code_result(c, op, 1);
  a->count = milo_view_elements(&a->grad);
  milo_code_reads(c, &a->grad);
  milo_code_reads(c, &a->x);
  milo_code_reads(c, &a->y);
  milo_code_writes(c, &a->dx);
  milo_code_writes(c, &a->dy);
  // Dense operands of the result's size: each element is read before it is written. One buffer may
  // give way to one result only; the planner sees to that.
  milo_code_in_place(c, &a->dx, &a->grad);
  milo_code_in_place(c, &a->dx, &a->x);
  milo_code_in_place(c, &a->dy, &a->y);
  milo_code_in_place(c, &a->dy, &a->x);
  milo_code_add_step(c, op, run_gate_grad, a, 0);
  milo_code_set(c, op->results[0], &a->dx);
  milo_code_set(c, op->results[1], &a->dy);
  return true;
}

// ---- cross_entropy ----

typedef struct entropy {
  milo_view logits, target, loss, lse, grad, out;  // dense; target any integer type; loss, lse and
                                                   // grad fp32
  const milo_op *op;
  size_t rows, n;
} entropy;

typedef struct entropy_job {
  const entropy *a;
  const milo_rows *kernels;
  const void *logits, *target;
  const float *grad;
  float *loss, *lse, *rooms;
  void *out;
} entropy_job;

static milo_status check_targets(const milo_cpu_run *run, const entropy *a) {
  const void *target = milo_view_data(run, &a->target);
  for (size_t row = 0; row < a->rows; ++row) {
    const int64_t t = milo_number_load_int(a->target.dtype, target, row);
    if (t < 0 || (uint64_t)t >= a->n)
      return milo_fail(run->diag, a->op->loc, MILO_ERR_INVALID,
                       "%s: target[%zu] = %lld is not in [0, %zu)", a->op->name, row, (long long)t,
                       a->n);
  }
  return MILO_OK;
}

static void entropy_task(void *user, size_t row, int worker) {
  const entropy_job *w = user;
  const entropy *a = w->a;
  const float *x = milo_row_load(w->kernels, w->logits, a->logits.dtype, (ptrdiff_t)(row * a->n),
                                 a->n, w->rooms + (size_t)worker * a->n);
  const size_t t = (size_t)milo_number_load_int(a->target.dtype, w->target, row);
  const float max = w->kernels->max(x, a->n);
  const double lse =
      isinf(max) ? (double)max : (double)max + log(w->kernels->sum_exp(x, a->n, max));
  w->lse[row] = (float)lse;
  w->loss[row] = (float)(lse - (double)x[t]);
}

static void entropy_grad_task(void *user, size_t row, int worker) {
  (void)worker;
  const entropy_job *w = user;
  const entropy *a = w->a;
  const size_t t = (size_t)milo_number_load_int(a->target.dtype, w->target, row);
  float room[TILE];
  for (size_t i = 0; i < a->n; i += TILE) {
    const size_t n = a->n - i < TILE ? a->n - i : TILE;
    const ptrdiff_t at = (ptrdiff_t)(row * a->n + i);
    const float *x = milo_row_load(w->kernels, w->logits, a->logits.dtype, at, n, room);
    float *out = milo_row_target(w->out, a->out.dtype, at, room);
    w->kernels->exp_scale(out, x, n, w->lse[row], w->grad[row]);
    if (t >= i && t - i < n) out[t - i] -= w->grad[row];
    milo_row_store(w->kernels, w->out, a->out.dtype, at, n, out);
  }
}

static milo_status run_entropy(const milo_cpu_run *run, const void *args) {
  const entropy *a = args;
  MILO_TRY(check_targets(run, a));
  entropy_job w = {.a = a,
                   .kernels = run->exec->rows,
                   .logits = milo_view_data(run, &a->logits),
                   .target = milo_view_data(run, &a->target),
                   .loss = milo_view_data(run, &a->loss),
                   .lse = milo_view_data(run, &a->lse),
                   .rooms = run->workspace};
  milo_pool_run(run->exec->pool, a->rows, entropy_task, &w);
  return MILO_OK;
}

static milo_status run_entropy_grad(const milo_cpu_run *run, const void *args) {
  const entropy *a = args;
  MILO_TRY(check_targets(run, a));
  entropy_job w = {.a = a,
                   .kernels = run->exec->rows,
                   .logits = milo_view_data(run, &a->logits),
                   .target = milo_view_data(run, &a->target),
                   .lse = milo_view_data(run, &a->lse),
                   .grad = milo_view_data(run, &a->grad),
                   .out = milo_view_data(run, &a->out)};
  milo_pool_run(run->exec->pool, a->rows, entropy_grad_task, &w);
  return MILO_OK;
}

static entropy *entropy_start(milo_code *c, const milo_op *op) {
  const milo_type *type = &milo_op_in(op, "logits")->type;
  if (!milo_cpu_float(type->dtype)) return NULL;
  entropy *a = MILO_NEW(&c->arena, entropy);
  a->op = op;
  a->logits = milo_code_dense_in(c, op, "logits");
  const milo_view target = milo_code_in(c, op, "target");
  a->target = milo_code_dense(c, &target);
  a->rows = (size_t)type->dims[0];
  a->n = (size_t)type->dims[1];
  return a;
}

bool milo_emit_cross_entropy(milo_code *c, const milo_op *op) {
  entropy *a = entropy_start(c, op);
  if (!a) return false;
  a->loss = milo_code_result_f32(c, op, 0);
  a->lse = milo_code_result_f32(c, op, 1);
  milo_code_reads(c, &a->logits);
  milo_code_reads(c, &a->target);
  milo_code_writes(c, &a->loss);
  milo_code_writes(c, &a->lse);
  milo_code_add_step(c, op, run_entropy, a,
                     a->logits.dtype == MILO_FP32 ? 0 : milo_row_rooms(c, a->n));
  milo_code_finish(c, op, 0, &a->loss);
  milo_code_finish(c, op, 1, &a->lse);
  return true;
}

bool milo_emit_cross_entropy_grad(milo_code *c, const milo_op *op) {
  entropy *a = entropy_start(c, op);
  if (!a) return false;
  a->grad = dense_in(c, op, "grad");
  a->lse = dense_in(c, op, "lse");
  a->out = milo_code_result(c, op, 0);
  milo_code_reads(c, &a->logits);
  milo_code_reads(c, &a->target);
  milo_code_reads(c, &a->grad);
  milo_code_reads(c, &a->lse);
  milo_code_writes(c, &a->out);
  milo_code_in_place(c, &a->out, &a->logits);
  milo_code_add_step(c, op, run_entropy_grad, a, 0);
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

// ---- adamw ----

typedef struct adamw {
  milo_view param, grad, m, v, out[3];  // dense fp32
  milo_view lr, grad_scale, bias1, bias2;
  float beta1, beta2, epsilon, weight_decay;
  size_t count;
} adamw;

typedef struct adamw_job {
  const milo_rows *kernels;
  milo_adamw step;
  const float *grad, *in[3];
  float *out[3];
  size_t count;
} adamw_job;

static void adamw_task(void *user, size_t t, int worker) {
  (void)worker;
  const adamw_job *w = user;
  const size_t at = t * TASK_ELEMENTS;
  const size_t n = w->count - at < TASK_ELEMENTS ? w->count - at : TASK_ELEMENTS;
  for (int i = 0; i < 3; ++i)
    if (w->out[i] != w->in[i]) memcpy(w->out[i] + at, w->in[i] + at, n * sizeof(float));
  w->kernels->adamw(w->out[0] + at, w->out[1] + at, w->out[2] + at, w->grad + at, n, &w->step);
}

static float scalar(const milo_cpu_run *run, const milo_view *v) {
  return (float)milo_number_load(v->dtype, milo_view_data(run, v), 0);
}

static milo_status run_adamw(const milo_cpu_run *run, const void *args) {
  const adamw *a = args;
  adamw_job w = {.kernels = run->exec->rows,
                 .step = {.lr = scalar(run, &a->lr),
                          .grad_scale = scalar(run, &a->grad_scale),
                          .bias1 = scalar(run, &a->bias1),
                          .bias2 = scalar(run, &a->bias2),
                          .beta1 = a->beta1,
                          .beta2 = a->beta2,
                          .epsilon = a->epsilon,
                          .weight_decay = a->weight_decay},
                 .grad = milo_view_data(run, &a->grad),
                 .in = {milo_view_data(run, &a->param), milo_view_data(run, &a->m),
                        milo_view_data(run, &a->v)},
                 .count = a->count};
  for (int i = 0; i < 3; ++i) w.out[i] = milo_view_data(run, &a->out[i]);
  milo_pool_run(run->exec->pool, (a->count + TASK_ELEMENTS - 1) / TASK_ELEMENTS, adamw_task, &w);
  return MILO_OK;
}

bool milo_emit_adamw(milo_code *c, const milo_op *op) {
  if (!milo_cpu_float(op->results[0]->type.dtype)) return false;
  adamw *a = MILO_NEW(&c->arena, adamw);
  a->param = dense_in(c, op, "param");
  a->grad = dense_in(c, op, "grad");
  a->m = dense_in(c, op, "m");
  a->v = dense_in(c, op, "v");
  a->lr = milo_code_in(c, op, "lr");
  a->grad_scale = milo_code_in(c, op, "grad_scale");
  a->bias1 = milo_code_in(c, op, "bias1");
  a->bias2 = milo_code_in(c, op, "bias2");
  a->beta1 = (float)milo_op_float(op, "beta1");
  a->beta2 = (float)milo_op_float(op, "beta2");
  a->epsilon = (float)milo_op_float(op, "epsilon");
  a->weight_decay = (float)milo_op_float(op, "weight_decay");
  a->count = milo_view_elements(&a->param);
  const milo_view *const in[] = {&a->param, &a->m,          &a->v,     &a->grad,
                                 &a->lr,    &a->grad_scale, &a->bias1, &a->bias2};
  for (size_t i = 0; i < sizeof in / sizeof *in; ++i) milo_code_reads(c, in[i]);
  for (size_t i = 0; i < 3; ++i) {
    a->out[i] = milo_code_result_f32(c, op, i);
    milo_code_writes(c, &a->out[i]);
    milo_code_in_place(c, &a->out[i], in[i]);
  }
  milo_code_add_step(c, op, run_adamw, a, 0);
  for (size_t i = 0; i < 3; ++i) milo_code_finish(c, op, i, &a->out[i]);
  return true;
}
