// SPDX-License-Identifier: MIT
#include "train/loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "train/checkpoint.h"
#include "train/folder.h"
#include "train/metrics.h"
#include "train/schedule.h"

typedef struct run {
  milo_task *task;
  bool prepared;
  milo_train_options options;  // completed
  milo_optimizer *optimizer;
  milo_metrics *metrics;
  milo_lock *lock;  // of out_dir
  milo_train_state state;
  uint64_t first_step;     // done when this run began
  uint64_t reported_step;  // lines that the metrics had then
  uint64_t saved_step;
  uint64_t lost_metrics;
  bool saved, save_due;
  bool spent;           // the process may not compile more
  bool changed;         // since it was saved
  double scale;         // what the task was told
  double part;          // loss of the batch under way, NaN until it is known
  double weights_loss;  // a loss with the present weights, NaN: none yet
  double step_seconds;  // of this run's steps together
  double compile_s, device_s, io_s;
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

// Weights that an update has ruined show only in the next loss, so that a checkpoint takes the
// place of the last one when that loss is known: here by a forward run, for the checkpoints that
// are written on the way (save_due) by the next step itself.
static milo_status check_weights(run *r) {
  if (weights_are_known(r)) return MILO_OK;
  MILO_TRY(r->task->type->load(r->task, r->state.step, 0, r->diag));
  MILO_TRY(r->task->type->evaluate(r->task, r->diag, &r->part));
  return isfinite(r->part) ? MILO_OK : not_finite(r, "the loss", r->state.step + 1);
}

static milo_status checkpoint_of(const run *r, const char *model, milo_checkpoint *out) {
  *out = (milo_checkpoint){
      .params = r->task->params,
      .moments = {milo_optimizer_moments(r->optimizer, 1), milo_optimizer_moments(r->optimizer, 2)},
      .moment_prefix = {milo_optimizer_moment_prefix(&r->task->rule, 1),
                        milo_optimizer_moment_prefix(&r->task->rule, 2)},
      .model = model};
  if (!r->task->type->widen) return MILO_OK;
  milo_buffer *const *const moments[2] = {out->moments[0], out->moments[1]};
  return r->task->type->widen(r->task, moments, &out->params, out->moments, r->diag);
}

// Adds what has passed since `start` to one of the run's times.
static milo_status spent(double *seconds, double start, milo_status status) {
  *seconds += milo_clock_s() - start;
  return status;
}

static milo_status write_files(run *r) {
  const double start = milo_clock_s();
  r->save_due = false;
  char *checkpoint = milo_folder_path(r->options.out_dir, MILO_TRAIN_CHECKPOINT);
  milo_str text = {0};
  r->task->type->describe(r->task, &text);
  milo_checkpoint what;
  milo_status status = checkpoint_of(r, text.data, &what);
  if (status == MILO_OK)
    status = milo_checkpoint_write(checkpoint, &what, &r->options, &r->state, r->diag);
  milo_str_deinit(&text);
  free(checkpoint);
  if (status == MILO_OK) status = r->task->type->save(r->task, r->options.out_dir, r->diag);
  r->saved |= status == MILO_OK;
  if (status == MILO_OK) r->saved_step = r->state.step;
  r->changed &= status != MILO_OK;
  return spent(&r->io_s, start, status);
}

static milo_status save(run *r) {
  if (!r->options.out_dir || !r->changed) return MILO_OK;
  MILO_TRY(check_weights(r));
  return write_files(r);
}

// One optimizer step, or one that is skipped; fills in loss and norm.
static milo_status take_step(run *r, milo_train_report *report) {
  const milo_train_options *o = &r->options;
  milo_task *task = r->task;
  const uint64_t step = r->state.step;
  milo_loss_scale *scale = &r->state.scale;
  double sum = 0;
  if (scale->factor != r->scale) {
    MILO_TRY(task->type->set_scale(task, scale->factor, r->diag));
    r->scale = scale->factor;
  }
  double start = milo_clock_s();
  MILO_TRY(task->type->begin(task, r->diag));
  r->device_s += milo_clock_s() - start;
  for (size_t micro = 0; micro < o->accumulate; micro++) {
    r->part = (double)NAN;
    MILO_TRY(task->type->load(task, step, micro, r->diag));
    start = milo_clock_s();
    MILO_TRY(spent(&r->device_s, start, task->type->run(task, r->diag, &r->part)));
    sum += r->part;
    if (micro == 0) r->weights_loss = r->part;
  }
  report->loss = sum / task->loss_units;
  if (!isfinite(report->loss)) return not_finite(r, "the loss", step + 1);
  double norm = 0;
  start = milo_clock_s();
  MILO_TRY(spent(&r->device_s, start, milo_optimizer_norm(r->optimizer, r->diag, &norm)));
  const bool overflow = !isfinite(norm);
  if (overflow && !milo_loss_scale_may_skip(scale)) return not_finite(r, "the gradient", step + 1);
  if (r->save_due) MILO_TRY(write_files(r));
  report->grad_norm = overflow ? (double)NAN : norm / scale->factor;
  if (overflow) {
    milo_loss_scale_skip(scale);
  } else {
    const double rate = milo_schedule_rate(o, step);
    // The small number keeps the quotient finite for a gradient of zero.
    const double clip = o->clip / (report->grad_norm + 1e-6);
    // Moments have seen only the steps that were taken.
    start = milo_clock_s();
    MILO_TRY(spent(&r->device_s, start,
                   milo_optimizer_step(r->optimizer, step + 1 - scale->skipped, rate,
                                       (clip < 1 ? clip : 1) / scale->factor, r->diag)));
    milo_loss_scale_step(scale);
    r->part = r->weights_loss = (double)NAN;
  }
  r->changed = r->state.unreported = true;
  r->state.loss = report->loss;
  r->state.grad_norm = report->grad_norm;
  r->state.step++;
  return MILO_OK;
}

static milo_status evaluate(run *r, double *out_loss) {
  milo_task *task = r->task;
  double sum = 0;
  for (size_t batch = 0; batch < task->val_batches; batch++) {
    r->part = (double)NAN;
    MILO_TRY(task->type->load_validation(task, batch, r->diag));
    const double start = milo_clock_s();
    MILO_TRY(spent(&r->device_s, start, task->type->evaluate(task, r->diag, &r->part)));
    r->weights_loss = r->part;
    sum += r->part;
  }
  *out_loss = sum / task->val_units;
  if (!isfinite(*out_loss)) return not_finite(r, "the validation loss", r->state.step);
  if (*out_loss < r->state.best_val_loss) r->state.best_val_loss = *out_loss;
  return MILO_OK;
}

// At the first step: until then the folder holds what an earlier run left.
static milo_status open_metrics(run *r) {
  const char *dir = r->options.out_dir;
  if (!dir) return MILO_OK;
  char *path = milo_folder_path(dir, MILO_TRAIN_METRICS);
  const milo_status status = milo_metrics_open(path, r->reported_step, r->task->unit, r->diag,
                                               &r->metrics, &r->lost_metrics);
  if (r->reported_step > 0) r->lost_metrics -= r->state.begun;  // those were never ours
  free(path);
  return status;
}

// Evaluates if it is time, writes the line of metrics, and tells on_step: *out_go_on is its answer.
// Stopped before that line, the run begins by it when it is resumed.
static milo_status report_step(run *r, double seconds, milo_train_report *report, bool *out_go_on) {
  const milo_train_options *o = &r->options;
  report->step = r->state.step;
  report->steps = o->steps;
  report->loss = r->state.loss;
  report->grad_norm = r->state.grad_norm;
  report->learning_rate = milo_schedule_rate(o, r->state.step - 1);
  report->step_s = seconds;
  r->step_seconds += seconds;
  const double done = (double)(r->state.step - r->first_step);
  const double samples = (double)r->task->samples;
  report->tokens_per_second = done > 0 ? done * samples / r->step_seconds : (double)NAN;
  report->eta_s =
      done > 0 ? (double)(o->steps - r->state.step) * r->step_seconds / done : (double)NAN;
  report->tokens = r->state.step * r->task->samples;
  report->loss_scale = r->state.scale.factor;
  report->skipped = r->state.scale.skipped;
  report->val_loss = (double)NAN;
  if (!r->metrics) MILO_TRY(open_metrics(r));
  const bool last = r->state.step == o->steps;
  if (r->task->val_batches && (last || r->state.step % o->eval_every == 0))
    MILO_TRY(evaluate(r, &report->val_loss));
  const double start = milo_clock_s();
  if (r->metrics) MILO_TRY(spent(&r->io_s, start, milo_metrics_add(r->metrics, report, r->diag)));
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
    const milo_task_type *type = r->task->type;
    r->spent = go_on && r->state.step < o->steps && type->is_spent && type->is_spent(r->task);
    go_on = go_on && !r->spent;
  }
  return r->state.step < o->steps ? MILO_ERR_INTERRUPTED : save(r);
}

// Saves the state after the last complete step, and says so.
static milo_status end_stopped(run *r) {
  const milo_train_options *o = &r->options;
  r->task->type->set_stop(r->task, (milo_stop){0});
  MILO_TRY(save(r));
  return milo_fail(r->diag, MILO_NO_LOC, MILO_ERR_INTERRUPTED,
                   "training was stopped after step %llu of %llu%s%s",
                   (unsigned long long)r->state.step, (unsigned long long)o->steps,
                   r->saved ? ", the state is saved" : "",
                   r->spent ? ": the compile budget is used up, a new process can go on" : "");
}

static milo_status resume(run *r, const milo_safetensors *store) {
  milo_checkpoint what;
  milo_buffer *const *const moments[2] = {milo_optimizer_moments(r->optimizer, 1),
                                          milo_optimizer_moments(r->optimizer, 2)};
  MILO_TRY(checkpoint_of(r, NULL, &what));
  MILO_TRY(milo_checkpoint_read(store, &what, &r->state, r->diag));
  if (r->task->type->narrow) MILO_TRY(r->task->type->narrow(r->task, moments, r->diag));
  if (r->state.data_checksum != r->task->data_checksum)
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

static milo_status prepare(run *r, milo_device *device, const milo_train_options *options,
                           const milo_safetensors *store) {
  milo_train_options given = *options;
  milo_task *task = r->task;
  if (store)
    MILO_TRY(task->type->check_resumed(task, milo_checkpoint_model(store),
                                       milo_safetensors_path(store), r->diag));
  if (store) MILO_TRY(milo_checkpoint_options(store, &given, r->diag));
  MILO_TRY(task->type->complete(task, &given, r->diag, &r->options));
  const milo_train_options *o = &r->options;
  const double start = milo_clock_s();
  MILO_TRY(task->type->prepare(task, device, o, r->diag));
  r->prepared = true;
  r->state.data_checksum = task->data_checksum;
  r->state.best_val_loss = (double)INFINITY;
  r->state.scale = milo_loss_scale_begin(o->loss_scale);
  r->scale = 1;
  MILO_TRY(milo_optimizer_create(device, task->params, task->gradients, &task->rule, o, r->diag,
                                 &r->optimizer));
  r->compile_s += milo_clock_s() - start;
  if (!store && task->type->take_over) {
    milo_buffer *const *const moments[2] = {milo_optimizer_moments(r->optimizer, 1),
                                            milo_optimizer_moments(r->optimizer, 2)};
    MILO_TRY(task->type->take_over(task, moments, &r->state.step, r->diag));
    r->first_step = r->state.begun = r->state.step;
  }
  if (!store) return claim_dir(r, o);
  const double read = milo_clock_s();
  MILO_TRY(spent(&r->io_s, read, resume(r, store)));
  // The end of a run may have come between its last checkpoint and the result's files.
  return r->state.step == o->steps ? task->type->save(task, o->out_dir, r->diag) : MILO_OK;
}

milo_status milo_loop_run(milo_device *device, milo_task *task, const milo_train_options *options,
                          milo_diag *diag, milo_train_result *out_result) {
  const double none = (double)NAN;
  milo_train_report report = {.loss = none,
                              .grad_norm = none,
                              .learning_rate = none,
                              .val_loss = none,
                              .tokens_per_second = none,
                              .step_s = none,
                              .eta_s = none,
                              .loss_scale = 1};
  memset(out_result, 0, sizeof *out_result);
  run r = {.task = task, .diag = diag, .part = none, .weights_loss = none};
  const double began = milo_clock_s();
  const uint64_t compiled = device->compiled;
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
  if (status == MILO_OK) status = prepare(&r, device, options, store);
  milo_safetensors_close(store);
  if (status == MILO_OK) task->type->set_stop(task, (milo_stop){stop_here, &r});
  if (status == MILO_OK) status = loop(&r, &report);
  if (status == MILO_ERR_INTERRUPTED) status = end_stopped(&r);
  milo_metrics_close(r.metrics);
  milo_optimizer_destroy(r.optimizer);
  milo_lock_release(r.lock);
  if (r.prepared) {
    report.step = r.state.step;
    report.steps = r.options.steps;
    report.loss_scale = r.state.scale.factor;
    report.skipped = r.state.scale.skipped;
  }
  *out_result = (milo_train_result){.last = report,
                                    .best_val_loss = r.state.best_val_loss,
                                    .peak_memory_bytes = milo_peak_memory_bytes(),
                                    .lost_metrics = r.lost_metrics,
                                    .budget_spent = r.spent,
                                    .wall_s = milo_clock_s() - began,
                                    .compile_s = r.compile_s,
                                    .device_s = r.device_s,
                                    .io_s = r.io_s,
                                    .kernels = device->compiled - compiled,
                                    .flops_per_token = task->flops};
  return status;
}
