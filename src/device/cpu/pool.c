// SPDX-License-Identifier: MIT
// Pooling and its gradients, plane by plane.
#include "device/cpu/code.h"
#include "ir/ops/geometry.h"
#include "kernels/pooling.h"

typedef struct pool_step {
  milo_pooling pooling;
  milo_view in, x, out;  // dense; x: of the gradient of max_pool
  bool is_grad, has_x;
} pool_step;

static milo_status run_pool(const milo_cpu_run *run, const void *args) {
  const pool_step *a = args;
  const void *in = milo_view_data(run, &a->in);
  void *out = milo_view_data(run, &a->out);
  if (a->is_grad)
    milo_pooling_grad_run(run->exec, &a->pooling, in, a->has_x ? milo_view_data(run, &a->x) : NULL,
                          out, run->workspace);
  else
    milo_pooling_run(run->exec, &a->pooling, in, out, run->workspace);
  return MILO_OK;
}

// x: the type that is pooled.
static bool emit(milo_code *c, const milo_op *op, milo_pooling_kind kind, const milo_type *x,
                 bool is_grad) {
  milo_window w;
  if (!milo_cpu_float(x->dtype) || milo_pool_window(op, x, c->diag, &w) != MILO_OK) return false;
  pool_step *a = MILO_NEW(&c->arena, pool_step);
  milo_pooling *v = &a->pooling;
  v->kind = kind;
  v->dtype = x->dtype;
  v->planes = (size_t)(x->dims[0] * x->dims[1]);
  if (kind == MILO_POOLING_AVERAGE)
    v->exclude_padding = milo_op_bool(op, "exclude_padding_from_average");
  for (int i = 0; i < MILO_POOLING_AXES; ++i) {
    const int from = i - (MILO_POOLING_AXES - w.axes);
    v->size[i] = from < 0 ? 1 : (size_t)x->dims[2 + from];
    v->kernel[i] = from < 0 ? 1 : (size_t)w.kernel[from];
    v->positions[i] = from < 0 ? 1 : (size_t)w.out[from];
    v->stride[i] = from < 0 ? 1 : (size_t)w.stride[from];
    v->before[i] = from < 0 ? 0 : (size_t)w.pad_begin[from];
    v->behind[i] = from < 0 ? 0 : (size_t)w.pad_end[from];
  }
  if (!milo_pooling_takes(v)) return false;
  const milo_view in = milo_code_in(c, op, is_grad ? "grad" : "x");
  a->in = milo_code_dense(c, &in);
  a->is_grad = is_grad;
  a->has_x = is_grad && kind == MILO_POOLING_MAX;
  if (a->has_x) {
    const milo_view from = milo_code_in(c, op, "x");
    a->x = milo_code_dense(c, &from);
  }
  a->out = milo_code_new_like(c, op->results[0]);
  milo_code_reads(c, &a->in);
  if (a->has_x) milo_code_reads(c, &a->x);
  milo_code_writes(c, &a->out);
  milo_code_add_step(c, op, run_pool, a, milo_pooling_workspace_bytes(&c->device->exec, v));
  milo_code_set(c, op->results[0], &a->out);
  return true;
}

bool milo_emit_pool(milo_code *c, const milo_op *op) {
  const milo_pooling_kind kind = op->code == MILO_OP_max_pool   ? MILO_POOLING_MAX
                                 : op->code == MILO_OP_avg_pool ? MILO_POOLING_AVERAGE
                                                                : MILO_POOLING_L2;
  return emit(c, op, kind, &milo_op_in(op, "x")->type, false);
}

bool milo_emit_pool_grad(milo_code *c, const milo_op *op) {
  const bool is_max = op->code == MILO_OP_max_pool_grad;
  return emit(c, op, is_max ? MILO_POOLING_MAX : MILO_POOLING_AVERAGE, &op->results[0]->type, true);
}
