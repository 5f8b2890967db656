// SPDX-License-Identifier: MIT
// The task of training a Llama on tokens.
#include "train/train.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/blzt.h"
#include "model/config.h"
#include "model/llama2c.h"
#include "train/checkpoint.h"
#include "train/compact.h"
#include "train/folder.h"
#include "train/loader.h"
#include "train/loop.h"
#include "train/options.h"
#include "train/plan.h"

typedef struct job {
  milo_task task;
  milo_model *model;
  const uint32_t *ids;
  size_t count, batch;
  milo_loader loader;
  int32_t *tokens, *targets;  // of a micro-batch
  milo_plan *plan;
  const char *resume_from;  // NULL: none
  uint64_t steps;
  milo_compact *compact;  // NULL: the model itself is trained
} job;

static milo_status widen(milo_task *task, milo_buffer *const *const moments[2],
                         milo_params **out_params, milo_buffer *const *out_moments[2],
                         milo_diag *diag) {
  milo_compact *c = ((job *)task)->compact;
  if (!c) return MILO_OK;
  MILO_TRY(milo_compact_widen(c, moments, diag));
  *out_params = &c->whole->params;
  for (int order = 0; order < 2; order++) out_moments[order] = c->moments[order];
  return MILO_OK;
}

static milo_status narrow(milo_task *task, milo_buffer *const *const moments[2], milo_diag *diag) {
  milo_compact *c = ((job *)task)->compact;
  return c ? milo_compact_narrow(c, moments, diag) : MILO_OK;
}

static milo_status check_resumed(const milo_task *task, const char *was, const char *path,
                                 milo_diag *diag) {
  const job *j = (const job *)task;
  milo_model_config config;
  MILO_TRY(milo_model_config_parse(was, path, diag, &config));
  const char *field = milo_model_config_difference(&config, &j->model->config);
  if (!field) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "cannot resume from %s: that run had another model (model.%s)", path, field);
}

static milo_status complete(const milo_task *task, const milo_train_options *given, milo_diag *diag,
                            milo_train_options *out_options) {
  return milo_train_options_complete(given, &((const job *)task)->model->config, diag, out_options);
}

// See flops_per_token in milo.h.
static double flops_per_token(const milo_model *model, size_t seq) {
  const milo_model_config *c = &model->config;
  double weights = 0;
  for (size_t i = 0; i < model->params.count; i++) {
    const bool is_lookup = c->untied && i == model->first[MILO_TENSOR_embedding];
    if (model->params.items[i].type.rank == 2 && !is_lookup)
      weights += (double)milo_type_elements(&model->params.items[i].type);
  }
  return 6 * weights + 12.0 * (double)(c->layers * c->heads * c->head_dim) * (double)seq;
}

static milo_status prepare(milo_task *task, milo_device *device, const milo_train_options *o,
                           milo_diag *diag) {
  job *j = (job *)task;
  MILO_TRY(milo_loader_init(&j->loader, j->ids, j->count, (size_t)j->model->config.vocab, o, diag));
  if (o->compact_vocab) {
    MILO_TRY(milo_compact_create(j->model, j->ids, j->count, diag, &j->compact));
    j->loader.ids = j->compact->ids;
  }
  milo_model *trained = j->compact ? j->compact->model : j->model;
  j->batch = o->batch;
  j->steps = o->steps;
  j->tokens = calloc(o->batch * o->seq, 2 * sizeof *j->tokens);
  if (!j->tokens) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a batch");
  j->targets = j->tokens + o->batch * o->seq;
  if (o->compile_budget && !o->out_dir)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a compile budget needs out_dir (--out): the run goes on from its checkpoint");
  const milo_plan_options plan = {.plan = milo_plan_types[o->plan - MILO_PLAN_FUSED]->name,
                                  .batch = o->batch,
                                  .seq = o->seq,
                                  .micro_batches = o->accumulate,
                                  .precision = o->precision,
                                  .compile_budget = (size_t)o->compile_budget};
  MILO_TRY(milo_plan_create(device, trained, &plan, diag, &j->plan));
  task->params = &trained->params;
  task->gradients = milo_plan_gradients(j->plan);
  task->data_checksum = j->loader.checksum;
  task->loss_units = (double)j->loader.rows * (double)o->seq;
  task->val_units = (double)j->loader.val_rows * (double)o->seq;
  task->val_batches = j->loader.val_rows ? o->eval_batches : 0;
  task->samples = j->loader.rows * o->seq;
  task->unit = "tokens";
  task->flops = flops_per_token(trained, o->seq);
  return MILO_OK;
}

static milo_status copy(milo_buffer *from, milo_buffer *to, milo_diag *diag) {
  void *data = milo_buffer_map(from, MILO_READ);
  milo_status status =
      data ? milo_buffer_write(to, 0, data, milo_buffer_bytes(from)) : MILO_ERR_NO_MEMORY;
  if (data && milo_buffer_unmap(from, data, MILO_READ) != MILO_OK) status = MILO_ERR_NO_MEMORY;
  if (status == MILO_OK) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to go on from a checkpoint");
}

static milo_status take_over(milo_task *task, milo_buffer *const *const moments[2],
                             uint64_t *out_step, milo_diag *diag) {
  job *j = (job *)task;
  const char *path = j->resume_from;
  if (!path) return MILO_OK;
  milo_model *model = NULL;
  milo_moments stored = {0};
  milo_blzt_run run;
  milo_status status = milo_blzt_read(path, diag, &model, &stored, &run);
  const char *field =
      status == MILO_OK ? milo_model_config_difference(&model->config, &j->model->config) : NULL;
  if (field)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "cannot go on from %s: its model is another one (model.%s)", path, field);
  if (status == MILO_OK && run.updates > j->steps)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "cannot go on from %s: it stands after %u steps of the optimizer, and steps "
                       "is %llu\nsteps (--steps) counts those too",
                       path, run.updates, (unsigned long long)j->steps);
  milo_params *params = NULL;
  milo_buffer *const *wide[2] = {moments[0], moments[1]};
  if (status == MILO_OK) status = widen(task, moments, &params, wide, diag);
  for (size_t i = 0; status == MILO_OK && i < model->params.count; i++)
    for (int order = -1; status == MILO_OK && order < 2; order++)
      status = copy(order < 0 ? model->params.items[i].buffer : stored.of[order][i],
                    order < 0 ? j->model->params.items[i].buffer : wide[order][i], diag);
  if (status == MILO_OK) status = narrow(task, moments, diag);
  if (status == MILO_OK) *out_step = run.updates;
  milo_moments_deinit(&stored);
  milo_model_destroy(model);
  return status;
}

static milo_status load(milo_task *task, uint64_t step, size_t micro, milo_diag *diag) {
  job *j = (job *)task;
  milo_loader_batch(&j->loader, step, micro * j->batch, j->batch, j->tokens, j->targets);
  return milo_plan_load(j->plan, j->tokens, j->targets, diag);
}

static milo_status load_validation(milo_task *task, size_t batch, milo_diag *diag) {
  job *j = (job *)task;
  milo_loader_validation(&j->loader, batch * j->batch, j->batch, j->tokens, j->targets);
  return milo_plan_load(j->plan, j->tokens, j->targets, diag);
}

static milo_status set_scale(milo_task *task, double factor, milo_diag *diag) {
  return milo_plan_set_scale(((job *)task)->plan, factor, diag);
}

static milo_status begin(milo_task *task, milo_diag *diag) {
  return milo_plan_begin(((job *)task)->plan, diag);
}

static milo_status run(milo_task *task, milo_diag *diag, double *out_loss) {
  return milo_plan_run(((job *)task)->plan, diag, out_loss);
}

static milo_status evaluate(milo_task *task, milo_diag *diag, double *out_loss) {
  return milo_plan_evaluate(((job *)task)->plan, diag, out_loss);
}

static void set_stop(milo_task *task, milo_stop stop) {
  milo_plan_set_stop(((job *)task)->plan, stop);
}

static bool is_spent(const milo_task *task) {
  return milo_plan_is_spent(((const job *)task)->plan);
}

static void describe(const milo_task *task, milo_str *out) {
  milo_model_config_print(&((const job *)task)->model->config, out);
}

static milo_status remove_old(const char *path, milo_diag *diag) {
  char reason[128];
  if (unlink(path) == 0 || errno == ENOENT) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "cannot remove '%s', of an earlier run: %s",
                   path, strerror_r(errno, reason, sizeof reason));
}

// What others read: the description, and a llama2.c file where that can hold the model.
static milo_status save_model(const milo_model *model, const char *dir, milo_diag *diag) {
  char *bin = milo_folder_path(dir, MILO_TRAIN_MODEL);
  char *json = milo_folder_path(dir, MILO_TRAIN_CONFIG);
  milo_str text = {0};
  milo_model_config_print(&model->config, &text);
  milo_status status = MILO_OK;
  if (!milo_llama2c_obstacle(&model->config))
    status = milo_llama2c_write(model, bin, false, diag);
  else  // that of a run which this one replaces
    status = remove_old(bin, diag);
  if (status == MILO_OK) status = milo_file_write(json, text.data, text.bytes, diag);
  milo_str_deinit(&text);
  free(bin);
  free(json);
  return status;
}

static milo_status save(const milo_task *task, const char *dir, milo_diag *diag) {
  return save_model(((const job *)task)->model, dir, diag);
}

static const milo_task_type type = {.check_resumed = check_resumed,
                                    .complete = complete,
                                    .prepare = prepare,
                                    .take_over = take_over,
                                    .widen = widen,
                                    .narrow = narrow,
                                    .load = load,
                                    .load_validation = load_validation,
                                    .set_scale = set_scale,
                                    .begin = begin,
                                    .run = run,
                                    .evaluate = evaluate,
                                    .set_stop = set_stop,
                                    .is_spent = is_spent,
                                    .save = save,
                                    .describe = describe};

milo_status milo_train_run(milo_device *device, milo_model *model, const uint32_t *ids,
                           size_t count, const milo_train_options *options, milo_diag *diag,
                           milo_train_result *out_result) {
  job j = {.task = {.type = &type},
           .model = model,
           .ids = ids,
           .count = count,
           .resume_from = options->resume_from};
  if (options->resume_from && options->resume)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "resume and resume_from exclude each other");
  const milo_status status = milo_loop_run(device, &j.task, options, diag, out_result);
  if (j.plan) out_result->compiles = milo_plan_compiles(j.plan);
  // Whatever it came to, the model holds what was trained.
  milo_diag unsaid = {0};
  const milo_status back = j.compact ? milo_compact_widen(j.compact, NULL, &unsaid) : MILO_OK;
  milo_diag_deinit(&unsaid);
  milo_plan_destroy(j.plan);
  milo_compact_destroy(j.compact);
  free(j.tokens);
  if (status == MILO_OK && back != MILO_OK)
    return milo_fail(diag, MILO_NO_LOC, back, "no memory for the rows of a compact vocabulary");
  return status;
}

static milo_status config_of(const milo_safetensors *store, milo_diag *diag,
                             milo_model_config *out_config) {
  return milo_model_config_parse(milo_checkpoint_model(store), milo_safetensors_path(store), diag,
                                 out_config);
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

static milo_status read_position(const milo_safetensors *store, const milo_checkpoint *what,
                                 milo_diag *diag, milo_train_position *out) {
  milo_train_options options = {.struct_bytes = sizeof options};
  milo_train_state state = {0};
  MILO_TRY(milo_checkpoint_options(store, &options, diag));
  MILO_TRY(milo_checkpoint_read(store, what, &state, diag));
  *out = (milo_train_position){.step = state.step,
                               .steps = options.steps,
                               .updates = state.step - state.scale.skipped,
                               .accumulate = options.accumulate,
                               .lr = options.lr,
                               .loss = state.loss};
  return MILO_OK;
}

milo_status milo_train_load_run(const char *dir, milo_diag *diag, milo_model **out_model,
                                milo_moments *out_moments, milo_train_position *out_position) {
  *out_model = NULL;
  if (out_moments) *out_moments = (milo_moments){0};
  if (out_position) *out_position = (milo_train_position){0};
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  milo_model_config config;
  milo_safetensors *store = NULL;
  milo_model *model = NULL;
  milo_status status = milo_checkpoint_open(path, diag, &store);
  if (status == MILO_OK) status = config_of(store, diag, &config);
  if (status == MILO_OK) status = milo_model_alloc(&config, diag, &model);
  if (status == MILO_OK && out_moments && milo_checkpoint_has_run(store)) {
    status = milo_moments_alloc(&model->params, diag, out_moments);
    static const milo_optimizer_rule adamw;
    const milo_checkpoint what = {.params = &model->params,
                                  .moments = {out_moments->of[0], out_moments->of[1]},
                                  .moment_prefix = {milo_optimizer_moment_prefix(&adamw, 1),
                                                    milo_optimizer_moment_prefix(&adamw, 2)}};
    if (status == MILO_OK) status = read_position(store, &what, diag, out_position);
  } else if (status == MILO_OK) {
    status = milo_checkpoint_params(store, &model->params, diag);
  }
  milo_safetensors_close(store);
  free(path);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
}

milo_status milo_train_load_model(const char *dir, milo_diag *diag, milo_model **out_model) {
  return milo_train_load_run(dir, diag, out_model, NULL, NULL);
}

milo_status milo_train_save_model(const milo_model *model, const char *dir, bool force,
                                  milo_diag *diag) {
  const milo_train_options options = {
      .struct_bytes = sizeof options, .out_dir = dir, .force = force};
  milo_lock *lock = NULL;
  milo_str text = {0};
  MILO_TRY(milo_folder_claim(&options, diag, &lock));
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  char *metrics = milo_folder_path(dir, MILO_TRAIN_METRICS);
  milo_model_config_print(&model->config, &text);
  milo_status status = milo_checkpoint_write_model(path, &model->params, text.data, diag);
  if (status == MILO_OK) status = remove_old(metrics, diag);
  if (status == MILO_OK) status = save_model(model, dir, diag);
  milo_lock_release(lock);
  milo_str_deinit(&text);
  free(path);
  free(metrics);
  return status;
}
