// SPDX-License-Identifier: MIT
// Attention, its gradient, and rotary positions. Heads are read where they are; results are laid
// out position by position, [B, S, NH, HD] in memory, so that the transpose and reshape that
// usually follow cost nothing.
#include "kernels/attention.h"

#include <math.h>

#include "device/cpu/code.h"

typedef struct heads_op {
  milo_attention a;
  milo_view grad, q, k, v, position, out, lse, dq, dk, dv;
  bool has_position;
} heads_op;

// The operand with contiguous heads, as it is stored.
static milo_view heads_in(milo_code *c, const milo_op *op, const char *name) {
  const milo_view v = milo_code_stored(c, milo_op_in(op, name));
  return v.dims[3] == 1 || v.strides[3] == 1 ? v : milo_code_dense(c, &v);
}

static milo_heads steps_of(const milo_view *v) {
  return (milo_heads){v->strides[0], v->strides[1], v->strides[2], v->dtype};
}

// New memory for a result [B, NH, S, HD].
static milo_view heads_out(milo_code *c, const milo_op *op, size_t i) {
  const milo_value *value = op->results[i];
  const int64_t *d = value->type.dims;
  if (milo_code_hands_out(c, op, i)) return milo_code_result(c, op, i);
  const int64_t order[4] = {0, 2, 1, 3}, dims[4] = {d[0], d[2], d[1], d[3]};
  const milo_view v = milo_code_new(c, milo_code_store_dtype(c, op, i), 4, dims);
  return milo_view_transpose(&v, order);
}

static int64_t position_of(const milo_cpu_run *run, const heads_op *a) {
  if (!a->has_position) return 0;
  const double position = milo_number_load(a->position.dtype, milo_view_data(run, &a->position), 0);
  // Beyond these bounds it makes no difference, and sums with it would overflow.
  return (int64_t)fmin(fmax(position, -(double)a->a.queries), (double)a->a.keys);
}

// With narrow heads packing scores in pairs costs more than their products save: with heads of 8
// the gradient took 1.7 times as long, with 64 0.7 times.
static milo_numeric mode_of(const milo_code *c, size_t head) {
  enum { LEAST_HEAD = 32 };
  const bool bf16 = c->options->numeric == MILO_NUMERIC_BF16 && head >= LEAST_HEAD;
  return bf16 ? MILO_NUMERIC_BF16 : MILO_NUMERIC_EXACT;
}

static heads_op *start(milo_code *c, const milo_op *op) {
  const milo_value *q = milo_op_in(op, "query"), *k = milo_op_in(op, "key");
  if (!milo_cpu_float(q->type.dtype)) return NULL;
  heads_op *a = MILO_NEW(&c->arena, heads_op);
  a->a = (milo_attention){.batch = (size_t)q->type.dims[0],
                          .heads = (size_t)q->type.dims[1],
                          .kv_heads = (size_t)k->type.dims[1],
                          .queries = (size_t)q->type.dims[2],
                          .keys = (size_t)k->type.dims[2],
                          .head = (size_t)q->type.dims[3],
                          .scale = (float)milo_op_float(op, "scale"),
                          .causal = milo_op_bool(op, "causal"),
                          .mode = mode_of(c, (size_t)q->type.dims[3])};
  if (a->a.kv_heads == 0 || a->a.head == 0) return NULL;
  a->q = heads_in(c, op, "query");
  a->k = heads_in(c, op, "key");
  a->v = heads_in(c, op, "value");
  a->a.q = steps_of(&a->q);
  a->a.k = steps_of(&a->k);
  a->a.v = steps_of(&a->v);
  if (milo_op_in(op, "position")) {
    a->position = milo_code_in(c, op, "position");
    a->has_position = true;
  }
  return a;
}

static void reads(milo_code *c, const heads_op *a) {
  milo_code_reads(c, &a->q);
  milo_code_reads(c, &a->k);
  milo_code_reads(c, &a->v);
  if (a->has_position) milo_code_reads(c, &a->position);
}

static milo_status run_attention(const milo_cpu_run *run, const void *args) {
  const heads_op *a = args;
  milo_attention_run(run->exec, &a->a, position_of(run, a), milo_view_data(run, &a->q),
                     milo_view_data(run, &a->k), milo_view_data(run, &a->v),
                     milo_view_data(run, &a->out), milo_view_data(run, &a->lse), run->workspace);
  return MILO_OK;
}

bool milo_emit_attention(milo_code *c, const milo_op *op) {
  heads_op *a = start(c, op);
  if (!a) return false;
  a->out = heads_out(c, op, 0);
  a->lse = milo_code_result_f32(c, op, 1);
  a->a.out = steps_of(&a->out);
  reads(c, a);
  milo_code_writes(c, &a->out);
  milo_code_writes(c, &a->lse);
  milo_code_add_step(c, op, run_attention, a,
                     milo_attention_workspace_bytes(&c->device->exec, &a->a));
  milo_code_set(c, op->results[0], &a->out);
  milo_code_finish(c, op, 1, &a->lse);
  return true;
}

static milo_status run_attention_grad(const milo_cpu_run *run, const void *args) {
  const heads_op *a = args;
  milo_attention_grad_run(run->exec, &a->a, position_of(run, a), milo_view_data(run, &a->grad),
                          milo_view_data(run, &a->q), milo_view_data(run, &a->k),
                          milo_view_data(run, &a->v), milo_view_data(run, &a->out),
                          milo_view_data(run, &a->lse), milo_view_data(run, &a->dq),
                          milo_view_data(run, &a->dk), milo_view_data(run, &a->dv), run->workspace);
  return MILO_OK;
}

bool milo_emit_attention_grad(milo_code *c, const milo_op *op) {
  heads_op *a = start(c, op);
  if (!a) return false;
  a->grad = heads_in(c, op, "grad");
  a->out = heads_in(c, op, "out");
  const milo_view lse = milo_code_in(c, op, "lse");
  a->lse = milo_code_dense_f32(c, &lse);
  a->dq = heads_out(c, op, 0);
  a->dk = heads_out(c, op, 1);
  a->dv = heads_out(c, op, 2);
  a->a.grad = steps_of(&a->grad);
  a->a.out = steps_of(&a->out);
  a->a.dq = steps_of(&a->dq);
  a->a.dk = steps_of(&a->dk);
  a->a.dv = steps_of(&a->dv);
  reads(c, a);
  milo_code_reads(c, &a->grad);
  milo_code_reads(c, &a->out);
  milo_code_reads(c, &a->lse);
  milo_code_writes(c, &a->dq);
  milo_code_writes(c, &a->dk);
  milo_code_writes(c, &a->dv);
  milo_code_add_step(c, op, run_attention_grad, a,
                     milo_attention_grad_workspace_bytes(&c->device->exec, &a->a));
  milo_code_set(c, op->results[0], &a->dq);
  milo_code_set(c, op->results[1], &a->dk);
  milo_code_set(c, op->results[2], &a->dv);
  return true;
}

// ---- rotary positions ----

typedef struct rope_op {
  milo_view x, out, cosine, sine;  // x, out: the axes before the last, outermost first in memory
  milo_view line_x, line_out;      // all axes but the last
  int64_t row_axis;                // which of them counts positions
  size_t lines, per_task;
  float sign;
  bool half;
} rope_op;

typedef struct rope_job {
  const rope_op *a;
  const milo_rows *kernels;
  const void *x;
  const float *cosine, *sine;
  void *out;
  float *rooms;
} rope_job;

static void rope_task(void *user, size_t t, int worker) {
  const rope_job *w = user;
  const rope_op *a = w->a;
  const milo_view *x = &a->line_x, *out = &a->line_out;
  const size_t n = (size_t)a->x.dims[a->x.rank - 1], pairs = n / 2;
  float *room = w->rooms + (size_t)worker * n;
  size_t line = t * a->per_task;
  const size_t end = line + a->per_task < a->lines ? line + a->per_task : a->lines;
  for (; line < end; ++line) {
    size_t rest = line, row = 0;
    ptrdiff_t from = 0, to = 0;
    for (int i = x->rank - 1; i >= 0; --i) {
      const size_t at = rest % (size_t)x->dims[i];
      rest /= (size_t)x->dims[i];
      from += (ptrdiff_t)at * x->strides[i];
      to += (ptrdiff_t)at * out->strides[i];
      if (i == a->row_axis) row = at;
    }
    const float *in = milo_row_load(w->kernels, w->x, a->x.dtype, from, n, room);
    float *turned = milo_row_target(w->out, a->out.dtype, to, room);
    w->kernels->rope(turned, in, w->cosine + row * pairs, w->sine + row * pairs, n, a->sign,
                     a->half);
    milo_row_store(w->kernels, w->out, a->out.dtype, to, n, turned);
  }
}

static milo_status run_rope(const milo_cpu_run *run, const void *args) {
  const rope_op *a = args;
  rope_job w = {.a = a,
                .kernels = run->exec->rows,
                .x = milo_view_data(run, &a->x),
                .cosine = milo_view_data(run, &a->cosine),
                .sine = milo_view_data(run, &a->sine),
                .out = milo_view_data(run, &a->out),
                .rooms = run->workspace};
  milo_pool_run(run->exec->pool, (a->lines + a->per_task - 1) / a->per_task, rope_task, &w);
  return MILO_OK;
}

bool milo_emit_rope(milo_code *c, const milo_op *op) {
  const milo_value *result = op->results[0];
  if (!milo_cpu_float(result->type.dtype) || result->type.rank < 2) return false;
  const int rank = result->type.rank;
  rope_op *a = MILO_NEW(&c->arena, rope_op);
  milo_view x = milo_code_stored(c, milo_op_in(op, "x")), cosine = milo_code_in(c, op, "cos");
  milo_view sine = milo_code_in(c, op, "sin");
  if (x.dims[rank - 1] != 1 && x.strides[rank - 1] != 1) x = milo_code_dense(c, &x);
  a->cosine = milo_code_dense_f32(c, &cosine);
  a->sine = milo_code_dense_f32(c, &sine);
  a->x = x;
  // Axes in the order of the operand's memory.
  int64_t order[MILO_MAX_RANK], back[MILO_MAX_RANK], dims[MILO_MAX_RANK];
  for (int i = 0; i < rank; ++i) order[i] = i;
  if (!milo_code_hands_out(c, op, 0))
    for (int i = 1; i < rank - 1; ++i) {
      const int64_t axis = order[i];
      int j = i;
      for (; j > 0 && x.strides[order[j - 1]] < x.strides[axis]; --j) order[j] = order[j - 1];
      order[j] = axis;
    }
  for (int i = 0; i < rank; ++i) {
    back[order[i]] = i;
    dims[i] = x.dims[order[i]];
    if (order[i] == rank - 2) a->row_axis = i;
  }
  a->line_out = milo_code_new(c, milo_code_store_dtype(c, op, 0), rank, dims);
  a->out = milo_view_transpose(&a->line_out, back);
  a->line_x = milo_view_transpose(&x, order);
  a->line_x.rank = a->line_out.rank = rank - 1;
  a->lines = 1;
  for (int i = 0; i < rank - 1; ++i) a->lines *= (size_t)dims[i];
  const size_t n = (size_t)dims[rank - 1];
  a->per_task = n >= 8192 || n == 0 ? 1 : 8192 / n;
  a->half = strcmp(milo_op_string(op, "pairing"), "half") == 0;
  a->sign = milo_op_bool(op, "inverse") ? -1.0f : 1.0f;
  milo_code_reads(c, &a->x);
  milo_code_reads(c, &a->cosine);
  milo_code_reads(c, &a->sine);
  milo_code_writes(c, &a->out);
  milo_code_in_place(c, &a->out, &a->x);
  milo_code_add_step(c, op, run_rope, a, milo_row_rooms(c, n));
  milo_code_set(c, op->results[0], &a->out);
  return true;
}
