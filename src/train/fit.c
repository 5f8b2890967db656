// SPDX-License-Identifier: MIT
// The task of training a program's constants on arrays.
#include "train/fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/memory.h"
#include "base/number.h"
#include "ir/op.h"
#include "train/fit_data.h"
#include "train/fit_program.h"
#include "train/folder.h"
#include "train/loop.h"
#include "train/options.h"

#define FAIL(...) milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, __VA_ARGS__)

typedef struct job {
  milo_task task;
  milo_func *func;
  const milo_fit_data *data;
  size_t data_count;
  const milo_fit_options *options;
  milo_fit_save_fn *save;
  milo_arena arena;
  milo_loss loss;
  milo_lifting sites;  // in func, in the order of params
  void **weights;      // their new data, owned by func's program
  uint64_t structure;  // of func without the weights
  size_t fixed_batch;  // 0: open
  milo_feeds feeds;
  milo_params params;
  milo_buffer **gradients;
  bool sums;
  milo_precision precision;
  milo_run *joint, *forward;
  milo_buffer **inputs, **outputs;  // of joint; forward's are the first of them
  milo_buffer *loss_buffer, *seed;
  milo_stop stop;
} job;

// ---- the program, told from others ----

typedef struct hasher {
  milo_checksum sum;
  const bool *weight;  // by id
} hasher;

static void hash_text(hasher *h, const char *text) {
  milo_checksum_add(&h->sum, text, strlen(text) + 1);
}

static void hash_literal(hasher *h, const milo_literal *literal) {
  if (literal->kind == MILO_LITERAL_STRINGS)
    for (size_t i = 0; i < literal->count; i++) hash_text(h, literal->strings[i]);
  else if (literal->kind != MILO_LITERAL_ITEMS && literal->data)
    milo_checksum_add(&h->sum, literal->data, literal->bytes);
}

static void hash_type(hasher *h, const milo_type *type) {
  milo_arena arena = {0};
  hash_text(h, milo_type_format(&arena, type, true));
  milo_arena_deinit(&arena);
}

static void hash_value(hasher *h, const milo_value *value) {
  milo_checksum_add(&h->sum, &value->id, sizeof value->id);
  hash_type(h, &value->type);
  if (value->literal && !h->weight[value->id]) hash_literal(h, value->literal);
}

static void hash_block(hasher *h, const milo_block *block) {
  for (size_t i = 0; i < block->param_count; i++) hash_value(h, block->params[i]);
  for (const milo_op *op = block->first; op; op = op->next) {
    hash_text(h, op->name);
    for (size_t i = 0; i < op->arg_count; i++) {
      hash_text(h, op->args[i].name);
      for (size_t k = 0; k < op->args[i].count; k++) hash_value(h, op->args[i].values[k]);
    }
    for (size_t i = 0; i < op->result_count; i++) hash_value(h, op->results[i]);
    for (size_t i = 0; i < op->block_count; i++) hash_block(h, op->blocks[i]);
  }
  for (size_t i = 0; i < block->output_count; i++) hash_value(h, block->outputs[i]);
}

static uint64_t hash_structure(job *j) {
  milo_func_number(j->func);
  bool *weight = MILO_NEW_ARRAY(&j->arena, bool, j->func->value_count);
  for (size_t i = 0; i < j->sites.count; i++)
    for (size_t k = 0; k < j->sites.items[i].site_count; k++)
      weight[j->sites.items[i].sites[k]->id] = true;
  hasher h = {.weight = weight};
  milo_checksum_begin(&h.sum);
  hash_block(&h, j->func->body);
  return milo_checksum_value(&h.sum);
}

// One line a thing that a resumed run must have as it was.
static void describe(const milo_task *task, milo_str *out) {
  const job *j = (const job *)task;
  const milo_fit_options *o = j->options;
  milo_str_printf(out, "milo fit\nfunction: %s\nloss: %s\ntrainable: %s\n", j->func->name, o->loss,
                  o->trainable ? o->trainable : "");
  milo_str_printf(out, "optimizer: %s\nmomentum: %.17g\nschedule: %s\nshuffle: %s\n",
                  o->optimizer == MILO_FIT_SGD ? "sgd" : "adamw", o->momentum,
                  o->cosine ? "cosine" : "constant", o->shuffle ? "yes" : "no");
  milo_str_printf(out, "program: %016llx\n", (unsigned long long)j->structure);
}

static milo_status check_resumed(const milo_task *task, const char *was, const char *path,
                                 milo_diag *diag) {
  milo_str text = {0};
  describe(task, &text);
  milo_status status = MILO_OK;
  for (const char *now = text.data; status == MILO_OK && *now != '\0';) {
    const size_t now_bytes = strcspn(now, "\n"), was_bytes = strcspn(was, "\n");
    if (now_bytes != was_bytes || memcmp(now, was, now_bytes) != 0)
      status =
          now == text.data
              ? FAIL("cannot resume from %s: it is no run of milo fit", path)
              : FAIL(
                    "cannot resume from %s: that run had another %.*s\nit had %.*s\nit is "
                    "now %.*s",
                    path, (int)strcspn(now, ":"), now, (int)was_bytes, was, (int)now_bytes, now);
    now += now_bytes + (now[now_bytes] == '\n');
    was += was_bytes + (was[was_bytes] == '\n');
  }
  milo_str_deinit(&text);
  return status;
}

// ---- options ----

static double default_to(double value, double fallback) {
  return value == 0 ? fallback : value < 0 ? 0 : value;
}

static milo_status complete(const milo_task *task, const milo_train_options *given, milo_diag *diag,
                            milo_train_options *out_options) {
  const job *j = (const job *)task;
  milo_train_options o = *given;
  const bool sgd = j->options->optimizer == MILO_FIT_SGD;
  if (!o.device) o.device = "cpu";
  if (!o.steps) o.steps = 1000;
  if (j->fixed_batch && o.batch && o.batch != j->fixed_batch)
    return FAIL("the program's inputs fix the batch at %zu, not %zu", j->fixed_batch, o.batch);
  if (!o.batch) o.batch = j->fixed_batch ? j->fixed_batch : 8;
  if (!o.accumulate) o.accumulate = 1;
  if (o.lr == 0) o.lr = 1e-3;
  o.min_lr_ratio = j->options->cosine ? default_to(o.min_lr_ratio, 0.1) : 1;
  if (o.beta1 == 0) o.beta1 = 0.9;
  if (o.beta2 == 0) o.beta2 = 0.999;
  if (o.epsilon == 0) o.epsilon = 1e-8;
  o.weight_decay = default_to(o.weight_decay, sgd ? 0 : 0.01);
  if (o.clip <= 0) o.clip = (double)INFINITY;
  o.val_fraction = default_to(o.val_fraction, 0);
  if (!o.eval_every) o.eval_every = 250;
  if (!o.save_every) o.save_every = o.eval_every;
  milo_train_options_kinds(&o);
  MILO_TRY(milo_train_options_check(&o, diag));
  *out_options = o;
  return MILO_OK;
}

// ---- data ----

static const milo_fit_data *find_data(const job *j, const char *name) {
  for (size_t i = 0; i < j->data_count; i++)
    if (strcmp(j->data[i].name, name) == 0) return &j->data[i];
  return NULL;
}

static milo_status check_names(const job *j, milo_diag *diag) {
  const milo_block *body = j->func->body;
  milo_str names = {0};
  milo_status status = MILO_OK;
  for (size_t i = 0; i < body->param_count; i++)
    milo_str_printf(&names, "%s%s", i > 0 ? ", " : "", body->params[i]->name);
  if (j->loss.target) milo_str_printf(&names, ", %s (of the loss)", j->loss.target);
  if (j->loss.target && milo_func_find_param(j->func, j->loss.target))
    status = FAIL(
        "the loss's target cannot be called %s: an input of the program is\nanother name "
        "in --loss and --data will do",
        j->loss.target);
  for (size_t i = 0; i < j->data_count && status == MILO_OK; i++) {
    const char *name = j->data[i].name;
    const bool known = milo_func_find_param(j->func, name) ||
                       (j->loss.target && strcmp(name, j->loss.target) == 0);
    if (!known)
      status = FAIL("there is no input %s for the data of that name\nneeded: %s", name, names.data);
    else if (find_data(j, name) != &j->data[i])
      status = FAIL("data %s is given twice", name);
  }
  for (size_t i = 0; i < body->param_count && status == MILO_OK; i++)
    if (!find_data(j, body->params[i]->name))
      status = FAIL("input %s has no data\nneeded: %s", body->params[i]->name, names.data);
  if (status == MILO_OK && j->loss.target && !find_data(j, j->loss.target))
    status = FAIL("the loss's target %s has no data\nneeded: %s", j->loss.target, names.data);
  milo_str_deinit(&names);
  return status;
}

static milo_status check_classes(const milo_array *labels, const char *name, int64_t classes,
                                 milo_diag *diag) {
  const int32_t *values = labels->data;
  for (size_t i = 0; i < labels->bytes / sizeof *values; i++)
    if (values[i] < 0 || values[i] >= classes)
      return FAIL("data %s holds %d, expected class numbers from 0 to %lld", name, values[i],
                  (long long)classes - 1);
  return MILO_OK;
}

// ---- parameters ----

static milo_status set_weights(milo_params *params, const milo_lifting *from, milo_diag *diag) {
  for (size_t i = 0; i < from->count; i++) {
    const milo_lifted *item = &from->items[i];
    const size_t count = milo_type_elements(&item->type);
    const float *values = item->data;
    float *converted = NULL;
    if (item->type.dtype != MILO_FP32) {
      converted = malloc(count * sizeof *converted);
      if (!converted) return milo_memory_fail("parameters", count * sizeof *converted, diag);
      for (size_t k = 0; k < count; k++)
        converted[k] = (float)milo_number_load(item->type.dtype, item->data, k);
      values = converted;
    }
    const milo_status status = milo_parameter_set(&params->items[i], 0, count, values, diag);
    free(converted);
    MILO_TRY(status);
  }
  return MILO_OK;
}

// The parameters as they are, into the constants of func.
static milo_status get_weights(const job *j, milo_diag *diag) {
  enum { CHUNK = 4096 };
  float values[CHUNK];
  for (size_t i = 0; i < j->sites.count; i++) {
    const milo_lifted *item = &j->sites.items[i];
    const size_t count = milo_type_elements(&item->type);
    if (!j->params.items[i].trainable) continue;
    for (size_t at = 0; at < count; at += CHUNK) {
      const size_t n = count - at < CHUNK ? count - at : CHUNK;
      MILO_TRY(milo_parameter_get(&j->params.items[i], at, n, values, diag));
      for (size_t k = 0; k < n; k++) {
        milo_number_store(item->type.dtype, j->weights[i], at + k, (double)values[k]);
        if (isfinite(values[k]) &&
            !isfinite(milo_number_load(item->type.dtype, j->weights[i], at + k)))
          return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                           "constant %s is %s, which has no room for its weight %g", item->name,
                           milo_dtype_name(item->type.dtype), (double)values[k]);
      }
    }
    for (size_t k = 0; k < item->site_count; k++)
      milo_lift_store(j->func, item->sites[k], j->weights[i]);
  }
  return MILO_OK;
}

static milo_status make_params(job *j, milo_device *device, const milo_fit_program *p,
                               milo_diag *diag) {
  const size_t count = p->lifted.count;
  j->weights = MILO_NEW_ARRAY(&j->arena, void *, count);
  j->gradients = MILO_NEW_ARRAY(&j->arena, milo_buffer *, count);
  for (size_t i = 0; i < count; i++) {
    const milo_lifted *item = &p->lifted.items[i];
    MILO_TRY(milo_params_add(&j->params, item->name, &item->param->type, p->trained[i],
                             item->type.rank >= 2, diag));
    if (!p->trained[i]) continue;
    MILO_TRY(
        milo_device_alloc(device, milo_type_bytes(&item->param->type), diag, &j->gradients[i]));
    const size_t bytes = milo_type_bytes(&item->type);
    j->weights[i] = malloc(bytes);
    if (!j->weights[i]) return milo_memory_fail("the trained constants", bytes, diag);
    milo_program_on_free(j->func->program, free, j->weights[i]);
  }
  MILO_TRY(milo_params_alloc(&j->params, device, diag));
  return set_weights(&j->params, &p->lifted, diag);
}

// ---- programs ----

static milo_status compile(job *j, milo_device *device, const milo_fit_program *p,
                           milo_diag *diag) {
  milo_arena *arena = &j->arena;
  const size_t first = p->inputs, count = p->lifted.count;
  const size_t inputs = p->joint->body->param_count, outputs = p->joint->body->output_count;
  const size_t seed = p->forward->body->param_count;
  milo_role *roles = MILO_NEW_ARRAY(arena, milo_role, inputs);
  milo_alias *aliases = MILO_NEW_ARRAY(arena, milo_alias, outputs);
  size_t alias_count = 0;
  for (size_t i = 0; i < count; i++) roles[first + i] = MILO_ROLE_PARAMETER;
  const milo_numeric numeric = milo_precision_numeric(j->precision);
  milo_executable_options options = {.roles = roles, .numeric = numeric};
  MILO_TRY(milo_device_narrow(device, p->forward, j->precision, diag));
  MILO_TRY(milo_device_narrow(device, p->joint, j->precision, diag));
  MILO_TRY(milo_run_compile(device, p->forward, &options, diag, &j->forward));
  for (size_t i = seed + 1; i < inputs; i++) {
    roles[i] = MILO_ROLE_STATE;
    aliases[alias_count++] = (milo_alias){i, i - seed};
  }
  options = (milo_executable_options){
      .roles = roles, .aliases = aliases, .alias_count = alias_count, .numeric = numeric};
  MILO_TRY(milo_run_compile(device, p->joint, &options, diag, &j->joint));

  MILO_TRY(milo_device_alloc(device, sizeof(float), diag, &j->loss_buffer));
  MILO_TRY(milo_device_alloc(device, sizeof(float), diag, &j->seed));
  j->inputs = MILO_NEW_ARRAY(arena, milo_buffer *, inputs);
  j->outputs = MILO_NEW_ARRAY(arena, milo_buffer *, outputs);
  for (size_t i = 0; i < first; i++) j->inputs[i] = j->feeds.items[i].buffer;
  for (size_t i = 0; i < count; i++) j->inputs[first + i] = j->params.items[i].buffer;
  if (j->loss.target) j->inputs[first + count] = j->feeds.items[first].buffer;
  j->inputs[seed] = j->seed;
  j->outputs[0] = j->loss_buffer;
  size_t used = 1;
  for (size_t i = 0; i < count; i++) {
    if (!p->trained[i]) continue;
    if (alias_count > 0) j->inputs[seed + used] = j->gradients[i];
    j->outputs[used++] = j->gradients[i];
  }
  return MILO_OK;
}

static milo_status prepare_with(job *j, milo_device *device, const milo_train_options *o,
                                milo_fit_program *p, milo_diag *diag) {
  const milo_block *body = j->func->body;
  const size_t inputs = body->param_count, count = inputs + (j->loss.target != NULL);
  const char **names = MILO_NEW_ARRAY(&j->arena, const char *, count);
  milo_type *types = MILO_NEW_ARRAY(&j->arena, milo_type, count);
  milo_feeds *feeds = &j->feeds;
  feeds->items = MILO_NEW_ARRAY(&j->arena, milo_feed, count);
  feeds->batch = o->batch;
  feeds->shuffle = j->options->shuffle;
  feeds->seed = o->seed;
  for (size_t i = 0; i < inputs; i++) {
    names[i] = body->params[i]->name;
    types[i] = body->params[i]->type;
    feeds->count = i + 1;
    MILO_TRY(milo_feed_take(&feeds->items[i], names[i], find_data(j, names[i])->array, o->batch,
                            j->options->cast, &types[i], diag));
  }
  j->sums = o->accumulate > 1;
  j->precision = o->precision;
  MILO_TRY(milo_fit_program_make(j->func, &j->loss, j->options->trainable, types, j->sums,
                                 &j->arena, diag, p));
  if (j->loss.target) {
    names[inputs] = j->loss.target;
    types[inputs] = p->forward->body->params[inputs + p->lifted.count]->type;
    feeds->count = count;
    MILO_TRY(milo_feed_take(&feeds->items[inputs], j->loss.target,
                            find_data(j, j->loss.target)->array, o->batch, j->options->cast,
                            &types[inputs], diag));
    if (p->classes)
      MILO_TRY(check_classes(&feeds->items[inputs].array, j->loss.target, p->classes, diag));
  }
  MILO_TRY(milo_feeds_begin(feeds, device, o->val_fraction, names, diag));
  MILO_TRY(make_params(j, device, p, diag));
  MILO_TRY(compile(j, device, p, diag));
  return MILO_OK;
}

static milo_status set_scale(milo_task *task, double factor, milo_diag *diag) {
  const job *j = (const job *)task;
  const double batches = task->loss_units;
  const float seed = (float)(factor / batches);
  if (milo_buffer_write(j->seed, 0, &seed, sizeof seed) == MILO_OK) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a buffer cannot be reached");
}

static milo_status prepare(milo_task *task, milo_device *device, const milo_train_options *o,
                           milo_diag *diag) {
  job *j = (job *)task;
  milo_fit_program p = {0};
  const milo_status status = prepare_with(j, device, o, &p, diag);
  milo_program_destroy(p.program);
  MILO_TRY(status);
  const size_t whole = j->feeds.val_rows / o->batch;
  task->params = &j->params;
  task->gradients = j->gradients;
  task->rule = (milo_optimizer_rule){j->options->optimizer == MILO_FIT_SGD, j->options->momentum};
  task->data_checksum = milo_feeds_checksum(&j->feeds);
  task->loss_units = (double)o->accumulate;
  task->val_batches = o->eval_batches && o->eval_batches < whole ? o->eval_batches : whole;
  task->val_units = (double)task->val_batches;
  task->samples = o->batch * o->accumulate;
  task->unit = "rows";
  return set_scale(task, 1, diag);
}

// ---- running ----

static milo_status load(milo_task *task, uint64_t step, size_t micro, milo_diag *diag) {
  job *j = (job *)task;
  const uint64_t accumulate = task->samples / j->feeds.batch;
  return milo_feeds_load(&j->feeds, step * accumulate + micro, diag);
}

static milo_status load_validation(milo_task *task, size_t batch, milo_diag *diag) {
  return milo_feeds_load_validation(&((job *)task)->feeds, batch, diag);
}

static milo_status begin(milo_task *task, milo_diag *diag) {
  job *j = (job *)task;
  for (size_t i = 0; j->sums && i < j->params.count; i++)
    if (j->gradients[i] && milo_buffer_clear(j->gradients[i]) != MILO_OK)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a gradient cannot be reached");
  return MILO_OK;
}

static milo_status execute(job *j, milo_run *program, milo_diag *diag, double *out_loss) {
  float loss = 0;
  if (milo_stop_asked(j->stop)) return MILO_ERR_INTERRUPTED;
  MILO_TRY(milo_run_execute(program, j->inputs, j->outputs, diag));
  if (milo_buffer_read(j->loss_buffer, 0, &loss, sizeof loss) != MILO_OK)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "the loss cannot be read");
  *out_loss = (double)loss;
  return MILO_OK;
}

static milo_status run(milo_task *task, milo_diag *diag, double *out_loss) {
  return execute((job *)task, ((job *)task)->joint, diag, out_loss);
}

static milo_status evaluate(milo_task *task, milo_diag *diag, double *out_loss) {
  return execute((job *)task, ((job *)task)->forward, diag, out_loss);
}

static void set_stop(milo_task *task, milo_stop stop) { ((job *)task)->stop = stop; }

static milo_status save(const milo_task *task, const char *dir, milo_diag *diag) {
  const job *j = (const job *)task;
  MILO_TRY(get_weights(j, diag));
  char *path = milo_folder_path(dir, MILO_TRAIN_PROGRAM);
  const milo_status status = j->save(j->func->program, path, diag);
  free(path);
  return status;
}

static const milo_task_type type = {.check_resumed = check_resumed,
                                    .complete = complete,
                                    .prepare = prepare,
                                    .load = load,
                                    .load_validation = load_validation,
                                    .set_scale = set_scale,
                                    .begin = begin,
                                    .run = run,
                                    .evaluate = evaluate,
                                    .set_stop = set_stop,
                                    .save = save,
                                    .describe = describe};

static milo_train_options loop_options(const milo_fit_options *o) {
  return (milo_train_options){.struct_bytes = sizeof(milo_train_options),
                              .device = o->device,
                              .out_dir = o->out_dir,
                              .resume = o->resume,
                              .force = o->force,
                              .steps = o->steps,
                              .stop_after = o->stop_after,
                              .batch = o->batch,
                              .accumulate = o->accumulate,
                              .lr = o->lr,
                              .min_lr_ratio = o->min_lr_ratio,
                              .warmup = o->warmup,
                              .beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .epsilon = o->epsilon,
                              .weight_decay = o->weight_decay,
                              .clip = o->clip,
                              .seed = o->seed,
                              .val_fraction = o->val_fraction,
                              .eval_every = o->eval_every,
                              .eval_batches = o->eval_batches,
                              .save_every = o->save_every,
                              .precision = o->precision,
                              .loss_scale = o->loss_scale,
                              .on_step = o->on_step,
                              .stop = o->stop,
                              .user = o->user};
}

static milo_status check(job *j, milo_diag *diag) {
  const milo_fit_options *o = j->options;
  MILO_TRY(milo_loss_parse(o->loss, &j->arena, diag, &j->loss));
  if (j->func->body->param_count == 0)
    return FAIL("function %s has no inputs: there is nothing to train on", j->func->name);
  if (o->optimizer != MILO_FIT_ADAMW && o->optimizer != MILO_FIT_SGD)
    return FAIL("there is no optimizer %d", (int)o->optimizer);
  if (!(o->momentum >= 0 && o->momentum < 1))
    return FAIL("momentum is %g, expected 0 to less than 1", o->momentum);
  if (o->momentum > 0 && o->optimizer != MILO_FIT_SGD)
    return FAIL("momentum is SGD's, AdamW has beta1");
  if (o->min_lr_ratio != 0 && !o->cosine)
    return FAIL("min_lr_ratio is the end of a cosine, the schedule is constant");
  MILO_TRY(check_names(j, diag));
  return milo_fit_batch(j->func, diag, &j->fixed_batch);
}

milo_status milo_fit_run(milo_device *device, milo_func *func, const milo_fit_data *data,
                         size_t data_count, const milo_fit_options *options,
                         milo_fit_save_fn *save_program, milo_diag *diag,
                         milo_train_result *out_result) {
  job j = {.task = {.type = &type},
           .func = func,
           .data = data,
           .data_count = data_count,
           .options = options,
           .save = save_program};
  const milo_train_options loop = loop_options(options);
  memset(out_result, 0, sizeof *out_result);
  milo_status status = check(&j, diag);
  if (status == MILO_OK) {
    milo_lift_find(func, options->trainable, &j.arena, &j.sites);
    j.structure = hash_structure(&j);
    status = milo_loop_run(device, &j.task, &loop, diag, out_result);
  }
  if (j.joint && (status == MILO_OK || status == MILO_ERR_INTERRUPTED)) {
    const milo_status stored = get_weights(&j, diag);
    if (stored != MILO_OK) status = stored;
  }
  milo_run_destroy(j.joint);
  milo_run_destroy(j.forward);
  milo_buffer_release(j.loss_buffer);
  milo_buffer_release(j.seed);
  for (size_t i = 0; j.gradients && i < j.params.count; i++) milo_buffer_release(j.gradients[i]);
  milo_params_deinit(&j.params);
  milo_feeds_deinit(&j.feeds);
  milo_arena_deinit(&j.arena);
  return status;
}
