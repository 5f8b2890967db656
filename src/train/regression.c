// SPDX-License-Identifier: MIT
// The task of one layer that learns a regression, on the kernels of static or dynamic.
#include "train/regression.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model/config.h"
#include "train/loop.h"
#include "train/options.h"
#include "train/plan_packed.h"

enum { RNG_STREAM = 900 };

typedef struct job {
  milo_task task;
  milo_model *model;
  milo_plan *plan;
  float *x, *target;  // [D, S]
  double scale;
} job;

// Beginning anew costs nothing: nothing is kept.
static milo_status check_resumed(const milo_task *task, const char *was, const char *path,
                                 milo_diag *diag) {
  (void)task;
  (void)was;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "cannot resume from %s: a regression",
                   path);
}

static milo_status complete(const milo_task *task, const milo_train_options *given, milo_diag *diag,
                            milo_train_options *out_options) {
  milo_train_options o = *given;
  if (o.out_dir || o.compile_budget)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a regression keeps nothing: out_dir and compile_budget are not for it");
  if (o.plan == MILO_PLAN_FUSED)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "a regression tries out the kernels of the plans static and dynamic");
  if (o.plan == MILO_PLAN_DEFAULT) o.plan = MILO_PLAN_STATIC;
  if (o.steps == 0) o.steps = 100;
  if (o.lr == 0) o.lr = 1e-3;
  if (o.weight_decay == 0) o.weight_decay = -1;
  if (o.warmup == 0) o.warmup = 1;
  o.batch = o.accumulate = 1;
  o.val_fraction = -1;
  return milo_train_options_complete(&o, &((const job *)task)->model->config, diag, out_options);
}

static milo_status prepare(milo_task *task, milo_device *device, const milo_train_options *o,
                           milo_diag *diag) {
  job *j = (job *)task;
  const size_t count = o->seq * (size_t)j->model->config.dim;
  const milo_plan_options plan = {.plan = milo_plan_types[o->plan - MILO_PLAN_FUSED]->name,
                                  .batch = 1,
                                  .seq = o->seq,
                                  .micro_batches = 1,
                                  .precision = o->precision};
  MILO_TRY(milo_plan_create(device, j->model, &plan, diag, &j->plan));
  j->x = calloc(count, 2 * sizeof *j->x);
  if (!j->x) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a batch");
  j->target = j->x + count;
  for (size_t i = 0; i < count; i++) {
    j->x[i] = (float)(0.2 * milo_rng_uniform(o->seed, RNG_STREAM, i) - 0.1);
    j->target[i] = (float)(0.1 * sin(0.03 * (double)i + 1));
  }
  j->scale = 1;
  task->params = &j->model->params;
  task->gradients = milo_plan_gradients(j->plan);
  task->loss_units = 1;
  task->samples = o->seq;
  task->unit = "tokens";
  return MILO_OK;
}

// There is one batch.
static milo_status load(milo_task *task, uint64_t step, size_t micro, milo_diag *diag) {
  (void)task;
  (void)step;
  (void)micro;
  (void)diag;
  return MILO_OK;
}

static milo_status load_validation(milo_task *task, size_t batch, milo_diag *diag) {
  return load(task, 0, batch, diag);
}

static milo_status set_scale(milo_task *task, double factor, milo_diag *diag) {
  (void)diag;
  ((job *)task)->scale = factor;
  return MILO_OK;
}

static milo_status begin(milo_task *task, milo_diag *diag) {
  return milo_plan_begin(((job *)task)->plan, diag);
}

static milo_status run(milo_task *task, milo_diag *diag, double *out_loss) {
  job *j = (job *)task;
  return milo_packed_regress(j->plan, j->x, j->target, j->scale, diag, out_loss);
}

static void set_stop(milo_task *task, milo_stop stop) {
  milo_plan_set_stop(((job *)task)->plan, stop);
}

static milo_status save(const milo_task *task, const char *dir, milo_diag *diag) {
  (void)task;
  (void)dir;
  (void)diag;
  return MILO_OK;
}

static void describe(const milo_task *task, milo_str *out) {
  milo_model_config_print(&((const job *)task)->model->config, out);
}

static const milo_task_type type = {.check_resumed = check_resumed,
                                    .complete = complete,
                                    .prepare = prepare,
                                    .load = load,
                                    .load_validation = load_validation,
                                    .set_scale = set_scale,
                                    .begin = begin,
                                    .run = run,
                                    .evaluate = run,
                                    .set_stop = set_stop,
                                    .save = save,
                                    .describe = describe};

milo_status milo_regression_run(milo_device *device, const milo_model_config *config,
                                const milo_train_options *options, milo_diag *diag,
                                milo_train_result *out_result) {
  // One layer; a vocabulary is of no use.
  milo_model_config one = *config;
  one.layers = 1;
  one.vocab = 1;
  one.untied = false;
  one.stop_count = -1;
  job j = {.task = {.type = &type}};
  memset(out_result, 0, sizeof *out_result);
  MILO_TRY(milo_model_alloc(&one, diag, &j.model));
  milo_status status =
      milo_model_randomize(j.model, MILO_INIT_NORMAL, options->seed, device->host.pool, diag);
  // What lies before and after the layer has no gradient here.
  for (size_t i = 0; i < j.model->params.count; i++) {
    const bool outer =
        i == j.model->first[MILO_TENSOR_embedding] || i == j.model->first[MILO_TENSOR_final_norm];
    j.model->params.items[i].trainable = !outer;
  }
  if (status == MILO_OK) status = milo_loop_run(device, &j.task, options, diag, out_result);
  if (j.plan) out_result->compiles = milo_plan_compiles(j.plan);
  milo_plan_destroy(j.plan);
  milo_model_destroy(j.model);
  free(j.x);
  return status;
}
