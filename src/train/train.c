// SPDX-License-Identifier: MIT
#include "train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/str.h"
#include "model/config.h"
#include "model/llama2c.h"
#include "train/checkpoint.h"
#include "train/folder.h"
#include "train/loader.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/plan.h"
#include "train/schedule.h"

typedef struct run {
  milo_model *model;
  milo_train_options options;  // completed
  milo_loader loader;
  int32_t *tokens, *targets;  // of a micro-batch
  milo_plan *plan;
  milo_optimizer *optimizer;
  milo_metrics *metrics;
  milo_lock *lock;  // of out_dir
  milo_train_state state;
  uint64_t first_step;     // done when this run began
  uint64_t reported_step;  // lines that the metrics had then
  uint64_t saved_step;
  bool saved, save_due;
  bool changed;         // since it was saved
  double part;          // loss of the batch under way, NaN until it is known
  double weights_loss;  // a loss with the present weights, NaN: none yet
  double step_seconds;  // of this run's steps together
  milo_diag *diag;
} run;

static milo_status not_finite(const run *r, const char *what, uint64_t step) {
  if (r->saved)
    return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                     "%s is not finite at step %llu: training stops, the checkpoint of step %llu "
                     "is kept",
                     what, (unsigned long long)step, (unsigned long long)r->saved_step);
  return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                   "%s is not finite at step %llu: training stops", what, (unsigned long long)step);
}

static bool weights_are_known(const run *r) {
  return isfinite(r->weights_loss) || isfinite(r->part);
}

// Whether to stop here, in the middle of a step or an evaluation. While there is something to save,
// a loss with the weights is awaited, without which they cannot be.
static bool stop_here(void *user) {
  const run *r = user;
  const milo_train_options *o = &r->options;
  if (!o->stop || !o->stop(o->user)) return false;
  return !o->out_dir || !r->changed || weights_are_known(r);
}

static milo_status load_batch(run *r, uint64_t step, size_t row) {
  milo_loader_batch(&r->loader, step, row, r->options.batch, r->tokens, r->targets);
  return milo_plan_load(r->plan, r->tokens, r->targets, r->diag);
}

// Weights that an update has ruined show only in the next loss, so that a checkpoint takes the
// place of the last one when that loss is known: here by a forward run, for the checkpoints that
// are written on the way (save_due) by the next step itself.
static milo_status check_weights(run *r) {
  if (weights_are_known(r)) return MILO_OK;
  MILO_TRY(load_batch(r, r->state.step, 0));
  MILO_TRY(milo_plan_evaluate(r->plan, r->diag, &r->part));
  return isfinite(r->part) ? MILO_OK : not_finite(r, "the loss", r->state.step + 1);
}

static milo_checkpoint checkpoint_of(const run *r, const char *model) {
  return (milo_checkpoint){
      .params = &r->model->params,
      .moments = {milo_optimizer_moments(r->optimizer, 1), milo_optimizer_moments(r->optimizer, 2)},
      .model = model};
}

// What others read: the model without what training needs.
static milo_status write_model(const run *r) {
  char *bin = milo_folder_path(r->options.out_dir, MILO_TRAIN_MODEL);
  char *json = milo_folder_path(r->options.out_dir, MILO_TRAIN_CONFIG);
  milo_str text = {0};
  milo_model_config_print(&r->model->config, &text);
  milo_status status = MILO_OK;
  if (!milo_llama2c_obstacle(&r->model->config))
    status = milo_llama2c_write(r->model, bin, false, r->diag);
  else
    unlink(bin);  // of a run that this one replaces
  if (status == MILO_OK) status = milo_file_write(json, text.data, text.bytes, r->diag);
  milo_str_deinit(&text);
  free(bin);
  free(json);
  return status;
}

static milo_status write_files(run *r) {
  r->save_due = false;
  char *checkpoint = milo_folder_path(r->options.out_dir, MILO_TRAIN_CHECKPOINT);
  milo_str text = {0};
  milo_model_config_print(&r->model->config, &text);
  const milo_checkpoint what = checkpoint_of(r, text.data);
  milo_status status = milo_checkpoint_write(checkpoint, &what, &r->options, &r->state, r->diag);
  milo_str_deinit(&text);
  free(checkpoint);
  if (status == MILO_OK) status = write_model(r);
  r->saved |= status == MILO_OK;
  if (status == MILO_OK) r->saved_step = r->state.step;
  r->changed &= status != MILO_OK;
  return status;
}

static milo_status save(run *r) {
  if (!r->options.out_dir || !r->changed) return MILO_OK;
  MILO_TRY(check_weights(r));
  return write_files(r);
}

// One optimizer step; fills in loss, norm and rate.
static milo_status take_step(run *r, milo_train_report *report) {
  const milo_train_options *o = &r->options;
  const uint64_t step = r->state.step;
  double sum = 0;
  MILO_TRY(milo_plan_begin(r->plan, r->diag));
  for (size_t micro = 0; micro < o->accumulate; micro++) {
    r->part = (double)NAN;
    MILO_TRY(load_batch(r, step, micro * o->batch));
    MILO_TRY(milo_plan_run(r->plan, r->diag, &r->part));
    sum += r->part;
    if (micro == 0) r->weights_loss = r->part;
  }
  report->loss = sum / ((double)r->loader.rows * (double)o->seq);
  if (!isfinite(report->loss)) return not_finite(r, "the loss", step + 1);
  MILO_TRY(milo_optimizer_norm(r->optimizer, r->diag, &report->grad_norm));
  if (!isfinite(report->grad_norm)) return not_finite(r, "the gradient", step + 1);
  if (r->save_due) MILO_TRY(write_files(r));
  const double rate = milo_schedule_rate(o, step);
  // The small number keeps the quotient finite for a gradient of zero.
  const double scale = o->clip / (report->grad_norm + 1e-6);
  MILO_TRY(milo_optimizer_step(r->optimizer, step + 1, rate, scale < 1 ? scale : 1, r->diag));
  r->part = r->weights_loss = (double)NAN;
  r->changed = r->state.unreported = true;
  r->state.loss = report->loss;
  r->state.grad_norm = report->grad_norm;
  r->state.step++;
  return MILO_OK;
}

static milo_status evaluate(run *r, double *out_loss) {
  const milo_train_options *o = &r->options;
  double sum = 0;
  for (size_t batch = 0; batch < o->eval_batches; batch++) {
    r->part = (double)NAN;
    milo_loader_validation(&r->loader, batch * o->batch, o->batch, r->tokens, r->targets);
    MILO_TRY(milo_plan_load(r->plan, r->tokens, r->targets, r->diag));
    MILO_TRY(milo_plan_evaluate(r->plan, r->diag, &r->part));
    r->weights_loss = r->part;
    sum += r->part;
  }
  *out_loss = sum / ((double)r->loader.val_rows * (double)o->seq);
  if (!isfinite(*out_loss)) return not_finite(r, "the validation loss", r->state.step);
  if (*out_loss < r->state.best_val_loss) r->state.best_val_loss = *out_loss;
  return MILO_OK;
}

// At the first step: until then the folder holds what an earlier run left.
static milo_status open_metrics(run *r) {
  const char *dir = r->options.out_dir;
  if (!dir) return MILO_OK;
  char *path = milo_folder_path(dir, MILO_TRAIN_METRICS);
  const milo_status status = milo_metrics_open(path, r->reported_step, r->diag, &r->metrics);
  free(path);
  return status;
}

// Evaluates if it is time, writes the line of metrics, and tells on_step: *out_go_on is its answer.
// Stopped before that line, the run begins by it when it is resumed.
static milo_status report_step(run *r, double seconds, milo_train_report *report, bool *out_go_on) {
  const milo_train_options *o = &r->options;
  const double tokens_a_step = (double)r->loader.rows * (double)o->seq;
  report->step = r->state.step;
  report->steps = o->steps;
  report->loss = r->state.loss;
  report->grad_norm = r->state.grad_norm;
  report->learning_rate = milo_schedule_rate(o, r->state.step - 1);
  report->step_s = seconds;
  r->step_seconds += seconds;
  const double done = (double)(r->state.step - r->first_step);
  report->tokens_per_second = done > 0 ? done * tokens_a_step / r->step_seconds : (double)NAN;
  report->eta_s =
      done > 0 ? (double)(o->steps - r->state.step) * r->step_seconds / done : (double)NAN;
  report->tokens = r->state.step * r->loader.rows * o->seq;
  report->val_loss = (double)NAN;
  if (!r->metrics) MILO_TRY(open_metrics(r));
  const bool last = r->state.step == o->steps;
  if (r->loader.val_rows && (last || r->state.step % o->eval_every == 0))
    MILO_TRY(evaluate(r, &report->val_loss));
  if (r->metrics) MILO_TRY(milo_metrics_add(r->metrics, report, r->diag));
  r->state.unreported = false;
  r->changed = true;
  *out_go_on = !o->on_step || o->on_step(o->user, report);
  return MILO_OK;
}

// MILO_ERR_INTERRUPTED: told to stop; nothing is reported or saved yet.
static milo_status loop(run *r, milo_train_report *report) {
  const milo_train_options *o = &r->options;
  bool go_on = true;
  if (r->state.unreported) MILO_TRY(report_step(r, 0, report, &go_on));
  while (go_on && r->state.step < o->steps) {
    const double started = milo_clock_s();
    MILO_TRY(take_step(r, report));
    MILO_TRY(report_step(r, milo_clock_s() - started, report, &go_on));
    r->save_due = o->out_dir && r->state.step % o->save_every == 0;
    if (o->stop_after && r->state.step >= o->stop_after) return save(r);
  }
  return r->state.step < o->steps ? MILO_ERR_INTERRUPTED : save(r);
}

// Saves the state after the last complete step, and says so.
static milo_status end_stopped(run *r) {
  const milo_train_options *o = &r->options;
  milo_plan_set_stop(r->plan, (milo_stop){0});
  MILO_TRY(save(r));
  return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_INTERRUPTED,
                   "training was stopped after step %llu of %llu%s",
                   (unsigned long long)r->state.step, (unsigned long long)o->steps,
                   r->saved ? ", the state is saved" : "");
}

static milo_status resume(run *r, const milo_safetensors *store) {
  const milo_checkpoint what = checkpoint_of(r, NULL);
  MILO_TRY(milo_checkpoint_read(store, &what, &r->state, r->diag));
  if (r->state.data_checksum != r->loader.checksum)
    return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "cannot resume from %s: that run had other training data",
                     milo_safetensors_path(store));
  if (r->state.step > r->options.steps)
    return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "cannot resume from %s: it stands at step %llu of %llu",
                     milo_safetensors_path(store), (unsigned long long)r->state.step,
                     (unsigned long long)r->options.steps);
  r->first_step = r->saved_step = r->state.step;
  r->reported_step = r->state.step - r->state.unreported;
  r->saved = true;
  return MILO_OK;
}

// The folder is claimed before any work is done. A new run's first checkpoint, of step 0, takes the
// place of what an earlier run left once a loss is known: resuming can then never continue the
// wrong one.
static milo_status claim_dir(run *r, const milo_train_options *options) {
  if (!options->out_dir) return MILO_OK;
  r->save_due = !options->resume;
  return milo_folder_claim(options, r->diag, &r->lock);
}

static milo_status config_of(const milo_safetensors *store, milo_diag *diag,
                             milo_model_config *out_config) {
  return milo_model_config_parse(milo_checkpoint_model(store), milo_safetensors_path(store), diag,
                                 out_config);
}

static milo_status same_model(const run *r, const milo_safetensors *store) {
  milo_model_config was;
  MILO_TRY(config_of(store, r->diag, &was));
  const char *field = milo_model_config_difference(&was, &r->model->config);
  if (!field) return MILO_OK;
  return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "cannot resume from %s: that run had another model (model.%s)",
                   milo_safetensors_path(store), field);
}

static milo_status prepare(run *r, milo_device *device, const uint32_t *ids, size_t count,
                           const milo_train_options *options, const milo_safetensors *store) {
  milo_train_options given = *options;
  if (store) MILO_TRY(same_model(r, store));
  if (store) MILO_TRY(milo_checkpoint_options(store, &given, r->diag));
  MILO_TRY(milo_train_options_complete(&given, &r->model->config, r->diag, &r->options));
  const milo_train_options *o = &r->options;
  MILO_TRY(milo_loader_init(&r->loader, ids, count, (size_t)r->model->config.vocab, o, r->diag));
  r->state.data_checksum = r->loader.checksum;
  r->state.best_val_loss = (double)INFINITY;
  r->tokens = calloc(o->batch * o->seq, 2 * sizeof *r->tokens);
  if (!r->tokens)
    return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a batch");
  r->targets = r->tokens + o->batch * o->seq;
  MILO_TRY(milo_plan_create(device, r->model, o->batch, o->seq, o->accumulate, r->diag, &r->plan));
  MILO_TRY(milo_optimizer_create(device, &r->model->params, milo_plan_gradients(r->plan), o,
                                 r->diag, &r->optimizer));
  if (!store) return claim_dir(r, o);
  MILO_TRY(resume(r, store));
  // The end of a run may have come between its last checkpoint and the model's files.
  return r->state.step == o->steps ? write_model(r) : MILO_OK;
}

milo_status milo_train_run(milo_device *device, milo_model *model, const uint32_t *ids,
                           size_t count, const milo_train_options *options, milo_diag *diag,
                           milo_train_result *out_result) {
  const double none = (double)NAN;
  milo_train_report report = {.loss = none,
                              .grad_norm = none,
                              .learning_rate = none,
                              .val_loss = none,
                              .tokens_per_second = none,
                              .step_s = none,
                              .eta_s = none};
  memset(out_result, 0, sizeof *out_result);
  run r = {.model = model, .diag = diag, .part = none, .weights_loss = none};
  milo_safetensors *store = NULL;
  milo_status status = MILO_OK;
  if (options->resume && !options->out_dir)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "a run is resumed from a folder: out_dir is not given");
  if (status == MILO_OK && options->resume) status = claim_dir(&r, options);
  if (status == MILO_OK && options->resume) {
    char *path = milo_folder_path(options->out_dir, MILO_TRAIN_CHECKPOINT);
    status = milo_checkpoint_open(path, diag, &store);
    free(path);
  }
  if (status == MILO_OK) status = prepare(&r, device, ids, count, options, store);
  milo_safetensors_close(store);
  if (status == MILO_OK) milo_plan_set_stop(r.plan, (milo_stop){stop_here, &r});
  if (status == MILO_OK) status = loop(&r, &report);
  if (status == MILO_ERR_INTERRUPTED) status = end_stopped(&r);
  milo_metrics_close(r.metrics);
  milo_optimizer_destroy(r.optimizer);
  milo_plan_destroy(r.plan);
  free(r.tokens);
  milo_lock_release(r.lock);
  if (r.plan) {
    report.step = r.state.step;
    report.steps = r.options.steps;
  }
  *out_result = (milo_train_result){report, r.state.best_val_loss, milo_peak_memory_bytes()};
  return status;
}

milo_status milo_train_load_config(const char *dir, milo_diag *diag,
                                   milo_model_config *out_config) {
  milo_safetensors *store = NULL;
  memset(out_config, 0, sizeof *out_config);
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  milo_status status = milo_checkpoint_open(path, diag, &store);
  if (status == MILO_OK) status = config_of(store, diag, out_config);
  milo_safetensors_close(store);
  free(path);
  return status;
}

milo_status milo_train_load_model(const char *dir, milo_diag *diag, milo_model **out_model) {
  *out_model = NULL;
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  milo_model_config config;
  milo_safetensors *store = NULL;
  milo_model *model = NULL;
  milo_status status = milo_checkpoint_open(path, diag, &store);
  if (status == MILO_OK) status = config_of(store, diag, &config);
  if (status == MILO_OK) status = milo_model_alloc(&config, diag, &model);
  if (status == MILO_OK) status = milo_checkpoint_params(store, &model->params, diag);
  milo_safetensors_close(store);
  free(path);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
}
