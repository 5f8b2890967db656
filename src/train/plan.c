// SPDX-License-Identifier: MIT
#include "train/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "generate/forward.h"
#include "generate/views.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "model/blocks.h"
#include "pass/pass.h"

// What an input of the backward program is.
typedef enum source_kind {
  SOURCE_X,         // the layer's input
  SOURCE_WEIGHT,    // weight index
  SOURCE_OUTPUT,    // forward's output index: 0 is y, the rest are taps
  SOURCE_SEED,      // the gradient of y
  SOURCE_GRADIENT,  // what weight index's gradient is added to
} source_kind;

typedef struct source {
  source_kind kind;
  size_t index;
} source;

struct milo_plan {
  milo_stop stop;
  const milo_model *model;
  size_t rows, layers;
  milo_row_parts parts;              // of the head
  bool accumulate, head_accumulate;  // programs add to the gradients instead of writing them
  milo_executable *embed, *forward, *backward, *embed_backward;
  milo_part_executables head, loss;
  source *sources;  // of backward's inputs
  size_t layer_weights, taps;
  milo_buffer *gradients;
  milo_views weights, gradient_views;
  milo_buffer **x;    // layers + 1: the input of each layer, and the last one's output
  milo_buffer **tap;  // layers * taps
  milo_buffer *dx[2];
  milo_buffer *tokens, *targets, *losses, *seed;
  milo_buffer **inputs;  // scratch for a call
  milo_buffer **outputs;
};

// ---- programs ----

// Makes output `output` of a differentiated func `new parameter + output`; the parameter is its
// last. The name is free: no weight begins like that.
static void add_to_parameter(milo_func *func, size_t output, const char *name, milo_diag *diag,
                             milo_status *status) {
  milo_value *gradient = func->body->outputs[output];
  milo_arena *arena = &func->program->arena;
  milo_value *sum =
      milo_func_add_param(func, milo_arena_printf(arena, "sum_%s", name), gradient->type);
  milo_builder b = milo_builder_at_end(func, diag);
  func->body->outputs[output] = milo_b_add(&b, sum, gradient);
  if (b.status != MILO_OK) *status = b.status;
}

static milo_status source_of(const milo_executable *forward, const char *name, source *out,
                             milo_diag *diag) {
  const size_t inputs = milo_executable_input_count(forward);
  const size_t outputs = milo_executable_output_count(forward);
  for (size_t i = 0; i < inputs; i++)
    if (strcmp(milo_executable_input(forward, i)->name, name) == 0) {
      *out = i == 0 ? (source){SOURCE_X, 0} : (source){SOURCE_WEIGHT, i - 1};
      return MILO_OK;
    }
  for (size_t i = 0; i < outputs; i++)
    if (strcmp(milo_executable_output(forward, i)->name, name) == 0) {
      *out = (source){SOURCE_OUTPUT, i};
      return MILO_OK;
    }
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                   "training: the backward program reads '%s', which forward does not give", name);
}

// The layer's forward and backward functions, compiled; fills plan->sources.
static milo_status compile_layer_in(milo_plan *p, milo_device *device, milo_program *program,
                                    size_t batch, size_t seq, milo_diag *diag) {
  milo_func *func = NULL;
  MILO_TRY(milo_block_layer(program, &p->model->config, (int64_t)batch, (int64_t)seq, diag, &func));
  milo_value *wrt[1 + MILO_WEIGHT_COUNT];
  const size_t count = func->body->param_count;
  for (size_t i = 0; i < count; i++) wrt[i] = func->body->params[i];
  p->layer_weights = count - 1;
  MILO_TRY(milo_autodiff(func, wrt, count, diag));
  assert(func->body->param_count == count + 1 && func->body->output_count == count + 1);
  const char *seed_name = func->body->params[count]->name;
  size_t seeds = 1;
  milo_status status = MILO_OK;
  for (size_t i = 1; p->accumulate && i < count; i++, seeds++)
    add_to_parameter(func, i + 1, wrt[i]->name, diag, &status);
  MILO_TRY(status);
  milo_func *forward = NULL, *backward = NULL;
  MILO_TRY(milo_split_grad(func, seeds, count, "layer_forward", "layer_backward", diag, &forward,
                           &backward));
  MILO_TRY(milo_device_compile(device, forward, NULL, NULL, diag, &p->forward));
  p->taps = milo_executable_output_count(p->forward) - 1;

  // Whatever backward reads beside forward's values: the seed, then the sums to add to.
  const size_t inputs = backward->body->param_count;
  p->sources = calloc(inputs, sizeof *p->sources);
  if (!p->sources) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
  milo_alias aliases[MILO_WEIGHT_COUNT];
  size_t alias_count = 0;
  for (size_t i = 0; i < inputs; i++) {
    const char *name = backward->body->params[i]->name;
    if (strcmp(name, seed_name) == 0) {
      p->sources[i] = (source){SOURCE_SEED, 0};
      continue;
    }
    size_t sum = 1;
    while (sum < count && !(strncmp(name, "sum_", 4) == 0 && strcmp(name + 4, wrt[sum]->name) == 0))
      sum++;
    if (sum < count) {
      p->sources[i] = (source){SOURCE_GRADIENT, sum - 1};
      aliases[alias_count++] = (milo_alias){i, sum};
      continue;
    }
    MILO_TRY(source_of(p->forward, name, &p->sources[i], diag));
  }
  const milo_executable_options options = {.aliases = aliases, .alias_count = alias_count};
  return milo_device_compile(device, backward, NULL, &options, diag, &p->backward);
}

static milo_status compile_layer(milo_plan *p, milo_device *device, size_t batch, size_t seq,
                                 milo_diag *diag) {
  milo_program *program = milo_program_create();
  const milo_status status = compile_layer_in(p, device, program, batch, seq, diag);
  milo_program_destroy(program);
  return status;
}

// x, final_norm, classifier, target, gradient of loss [, sums] -> loss, dx, gradients of both.
static milo_status compile_head(const milo_plan *p, milo_device *device, size_t rows,
                                milo_diag *diag, milo_executable **out) {
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  milo_status status = milo_block_loss(program, &p->model->config, (int64_t)rows, diag, &func);
  if (status == MILO_OK) status = milo_autodiff(func, func->body->params, 3, diag);
  for (size_t i = 2; p->head_accumulate && status == MILO_OK && i < 4; i++)
    add_to_parameter(func, i, func->body->params[i - 1]->name, diag, &status);
  static const milo_alias aliases[] = {{5, 2}, {6, 3}};
  const milo_executable_options options = {.aliases = aliases,
                                           .alias_count = p->head_accumulate ? 2 : 0};
  return milo_forward_compile(device, program, status, func, &options, diag, out);
}

static milo_status compile_loss(const milo_plan *p, milo_device *device, size_t rows,
                                milo_diag *diag, milo_executable **out) {
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  const milo_status status =
      milo_block_loss(program, &p->model->config, (int64_t)rows, diag, &func);
  return milo_forward_compile(device, program, status, func, NULL, diag, out);
}

// sum [V, D] (donated), tokens [N], dx [N, D] -> sum with the rows added.
static milo_status compile_embed_backward(milo_plan *p, milo_device *device, milo_diag *diag) {
  const milo_model_config *c = &p->model->config;
  const int64_t rows = (int64_t)p->rows;
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "embed_backward", "ios18");
  milo_value *sum = milo_func_add_param(
      func, "sum", milo_type_tensor(MILO_FP32, 2, (const int64_t[]){c->vocab, c->dim}));
  milo_value *tokens = milo_func_add_param(func, "tokens", milo_type_tensor(MILO_INT32, 1, &rows));
  milo_value *dx = milo_func_add_param(
      func, "dx", milo_type_tensor(MILO_FP32, 2, (const int64_t[]){rows, c->dim}));
  milo_builder b = milo_builder_at_end(func, diag);
  milo_value *out = EMIT(&b, scatter, {"data", sum}, {"indices", tokens}, {"updates", dx},
                         {"axis", milo_b_int(&b, 0)}, {"mode", milo_b_string(&b, "add")});
  if (b.status == MILO_OK) milo_func_add_output(func, out);
  static const milo_alias alias = {0, 0};
  const milo_executable_options options = {.aliases = &alias, .alias_count = 1};
  return milo_forward_compile(device, program, b.status, func, &options, diag, &p->embed_backward);
}

static milo_status compile_all(milo_plan *p, milo_device *device, size_t batch, size_t seq,
                               milo_diag *diag) {
  const milo_model_config *c = &p->model->config;
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  const milo_status status = milo_block_embed(program, c, (int64_t)p->rows, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, NULL, diag, &p->embed));
  MILO_TRY(compile_layer(p, device, batch, seq, diag));
  MILO_TRY(compile_loss(p, device, p->parts.part, diag, &p->loss.part));
  MILO_TRY(compile_head(p, device, p->parts.part, diag, &p->head.part));
  if (p->parts.last < p->parts.part) {
    MILO_TRY(compile_loss(p, device, p->parts.last, diag, &p->loss.last));
    MILO_TRY(compile_head(p, device, p->parts.last, diag, &p->head.last));
  }
  return compile_embed_backward(p, device, diag);
}

// ---- buffers ----

static milo_status alloc_array(size_t count, milo_diag *diag, milo_buffer ***out) {
  *out = calloc(count, sizeof **out);
  return *out ? MILO_OK : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
}

static milo_status alloc_buffers(milo_plan *p, size_t micro_batches, milo_diag *diag) {
  const size_t x_bytes = p->rows * (size_t)p->model->config.dim * sizeof(float);
  MILO_TRY(milo_buffer_alloc(p->model->block_elements * sizeof(float), diag, &p->gradients));
  MILO_TRY(milo_views_init(&p->weights, p->model->weights, p->model->block, diag));
  MILO_TRY(milo_views_init(&p->gradient_views, p->model->weights, p->gradients->data, diag));
  MILO_TRY(alloc_array(p->layers + 1, diag, &p->x));
  MILO_TRY(alloc_array(p->layers * p->taps + 1, diag, &p->tap));
  const size_t most = milo_executable_input_count(p->backward) + p->taps + MILO_WEIGHT_COUNT + 2;
  MILO_TRY(alloc_array(most, diag, &p->inputs));
  MILO_TRY(alloc_array(most, diag, &p->outputs));
  for (size_t i = 0; i <= p->layers; i++) MILO_TRY(milo_buffer_alloc(x_bytes, diag, &p->x[i]));
  for (size_t layer = 0; layer < p->layers; layer++)
    for (size_t i = 0; i < p->taps; i++) {
      const milo_value *value = milo_executable_output(p->forward, 1 + i);
      MILO_TRY(
          milo_buffer_alloc(milo_type_bytes(&value->type), diag, &p->tap[layer * p->taps + i]));
    }
  for (int i = 0; i < 2; i++) MILO_TRY(milo_buffer_alloc(x_bytes, diag, &p->dx[i]));
  MILO_TRY(milo_buffer_alloc(p->rows * sizeof(int32_t), diag, &p->tokens));
  MILO_TRY(milo_buffer_alloc(p->rows * sizeof(int32_t), diag, &p->targets));
  MILO_TRY(milo_buffer_alloc(p->rows * sizeof(float), diag, &p->losses));
  MILO_TRY(milo_buffer_alloc(p->parts.part * sizeof(float), diag, &p->seed));
  float *seed = p->seed->data;
  for (size_t i = 0; i < p->parts.part; i++)
    seed[i] = (float)(1.0 / ((double)p->rows * (double)micro_batches));
  return MILO_OK;
}

static milo_status fill(milo_plan *p, milo_device *device, size_t batch, size_t seq,
                        size_t micro_batches, milo_diag *diag) {
  size_t bytes = 0;
  if (!milo_size_mul(batch, seq, &p->rows) || p->rows > INT32_MAX ||
      !milo_size_mul(p->rows, (size_t)p->model->config.dim * sizeof(float), &bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "training: a batch of %zu sequences of %zu tokens is too large", batch, seq);
  p->layers = (size_t)p->model->config.layers;
  p->parts = milo_row_parts_make(p->rows, (size_t)p->model->config.vocab);
  p->accumulate = micro_batches > 1;
  p->head_accumulate = p->accumulate || p->parts.part < p->rows;
  MILO_TRY(compile_all(p, device, batch, seq, diag));
  return alloc_buffers(p, micro_batches, diag);
}

milo_status milo_plan_create(milo_device *device, const milo_model *model, size_t batch, size_t seq,
                             size_t micro_batches, milo_diag *diag, milo_plan **out_plan) {
  *out_plan = NULL;
  milo_plan *p = calloc(1, sizeof *p);
  if (!p) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
  p->model = model;
  const milo_status status = fill(p, device, batch, seq, micro_batches, diag);
  if (status == MILO_OK)
    *out_plan = p;
  else
    milo_plan_destroy(p);
  return status;
}

static void release_array(milo_buffer **buffers, size_t count) {
  for (size_t i = 0; buffers && i < count; i++) milo_buffer_release(buffers[i]);
  free(buffers);
}

void milo_plan_destroy(milo_plan *p) {
  if (!p) return;
  milo_executable *const executables[] = {p->embed,     p->forward,       p->backward,
                                          p->head.part, p->head.last,     p->loss.part,
                                          p->loss.last, p->embed_backward};
  for (size_t i = 0; i < sizeof executables / sizeof *executables; i++)
    milo_executable_destroy(executables[i]);
  milo_buffer *const buffers[] = {p->gradients, p->dx[0],  p->dx[1], p->tokens,
                                  p->targets,   p->losses, p->seed};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) milo_buffer_release(buffers[i]);
  release_array(p->x, p->layers + 1);
  release_array(p->tap, p->layers * p->taps);
  milo_views_deinit(&p->weights);
  milo_views_deinit(&p->gradient_views);
  free(p->inputs);
  free(p->outputs);
  free(p->sources);
  free(p);
}

void milo_plan_set_stop(milo_plan *p, milo_stop stop) { p->stop = stop; }
int32_t *milo_plan_tokens(milo_plan *p) { return p->tokens->data; }
int32_t *milo_plan_targets(milo_plan *p) { return p->targets->data; }
float *milo_plan_gradients(milo_plan *p) { return p->gradients->data; }

// ---- running ----

static milo_status run_forward(milo_plan *p, milo_diag *diag) {
  milo_buffer *const embed[] = {p->tokens, milo_views_get(&p->weights, MILO_WEIGHT_embedding, 0)};
  MILO_TRY(milo_executable_run(p->embed, embed, &p->x[0], diag));
  for (size_t layer = 0; layer < p->layers; layer++) {
    if (milo_stop_asked(p->stop)) return MILO_ERR_INTERRUPTED;
    p->inputs[0] = p->x[layer];
    milo_views_layer(&p->weights, layer, p->inputs + 1);
    p->outputs[0] = p->x[layer + 1];
    for (size_t i = 0; i < p->taps; i++) p->outputs[1 + i] = p->tap[layer * p->taps + i];
    MILO_TRY(milo_executable_run(p->forward, p->inputs, p->outputs, diag));
  }
  return MILO_OK;
}

// The head, some rows at a time: losses only, or with everything backward (dx into p->dx[0]).
static milo_status run_head(milo_plan *p, bool backward, milo_diag *diag, double *out_loss_sum) {
  const size_t dim = (size_t)p->model->config.dim;
  const milo_weight_id classifier = milo_classifier_id(&p->model->config);
  milo_buffer *norm_sum = milo_views_get(&p->gradient_views, MILO_WEIGHT_final_norm, 0);
  milo_buffer *classifier_sum = milo_views_get(&p->gradient_views, classifier, 0);
  float *x = p->x[p->layers]->data, *dx = p->dx[0]->data, *losses = p->losses->data;
  int32_t *targets = p->targets->data;
  const milo_part_executables *run = backward ? &p->head : &p->loss;
  for (size_t row = 0; row < p->rows; row += p->parts.part) {
    if (milo_stop_asked(p->stop)) return MILO_ERR_INTERRUPTED;
    const bool whole = p->rows - row >= p->parts.part;
    const size_t count = whole ? p->parts.part : p->parts.last;
    milo_buffer x_part = milo_buffer_view(x + row * dim, count * dim * sizeof *x);
    milo_buffer dx_part = milo_buffer_view(dx + row * dim, count * dim * sizeof *x);
    milo_buffer target = milo_buffer_view(targets + row, count * sizeof *targets);
    milo_buffer loss = milo_buffer_view(losses + row, count * sizeof *losses);
    milo_buffer *const inputs[] = {&x_part,
                                   milo_views_get(&p->weights, MILO_WEIGHT_final_norm, 0),
                                   milo_views_get(&p->weights, classifier, 0),
                                   &target,
                                   p->seed,
                                   norm_sum,
                                   classifier_sum};
    milo_buffer *const outputs[] = {&loss, &dx_part, norm_sum, classifier_sum};
    MILO_TRY(milo_executable_run(whole ? run->part : run->last, inputs, outputs, diag));
  }
  double sum = 0;
  for (size_t i = 0; i < p->rows; i++) sum += (double)losses[i];
  *out_loss_sum = sum;
  return MILO_OK;
}

static milo_status run_backward(milo_plan *p, milo_diag *diag) {
  milo_buffer *weights[MILO_WEIGHT_COUNT];
  const size_t inputs = milo_executable_input_count(p->backward);
  size_t from = 0;  // dx[from] holds the gradient of the layer's output
  for (size_t layer = p->layers; layer-- > 0; from = 1 - from) {
    if (milo_stop_asked(p->stop)) return MILO_ERR_INTERRUPTED;
    milo_views_layer(&p->weights, layer, weights);
    p->outputs[0] = p->dx[1 - from];
    milo_views_layer(&p->gradient_views, layer, p->outputs + 1);
    for (size_t i = 0; i < inputs; i++) {
      const source s = p->sources[i];
      switch (s.kind) {
        case SOURCE_X:
          p->inputs[i] = p->x[layer];
          break;
        case SOURCE_WEIGHT:
          p->inputs[i] = weights[s.index];
          break;
        case SOURCE_OUTPUT:
          p->inputs[i] = s.index == 0 ? p->x[layer + 1] : p->tap[layer * p->taps + s.index - 1];
          break;
        case SOURCE_SEED:
          p->inputs[i] = p->dx[from];
          break;
        case SOURCE_GRADIENT:
          p->inputs[i] = p->outputs[1 + s.index];
          break;
      }
    }
    MILO_TRY(milo_executable_run(p->backward, p->inputs, p->outputs, diag));
  }
  milo_buffer *sum = milo_views_get(&p->gradient_views, MILO_WEIGHT_embedding, 0);
  milo_buffer *const embed[] = {sum, p->tokens, p->dx[from]};
  return milo_executable_run(p->embed_backward, embed, &sum, diag);
}

static void zero(const milo_plan *p, milo_weight_id id) {
  milo_buffer *buffer = milo_views_get(&p->gradient_views, id, 0);
  memset(buffer->data, 0, buffer->bytes);
}

void milo_plan_begin(milo_plan *p) {
  if (p->accumulate) {
    memset(p->gradients->data, 0, p->gradients->bytes);
    return;
  }
  if (p->head_accumulate) {
    zero(p, MILO_WEIGHT_final_norm);
    zero(p, milo_classifier_id(&p->model->config));
  }
  // A tied embedding's gradient begins as the classifier's.
  if (p->model->config.untied) zero(p, MILO_WEIGHT_embedding);
}

milo_status milo_plan_run(milo_plan *p, milo_diag *diag, double *out_loss_sum) {
  MILO_TRY(run_forward(p, diag));
  MILO_TRY(run_head(p, true, diag, out_loss_sum));
  return run_backward(p, diag);
}

milo_status milo_plan_evaluate(milo_plan *p, milo_diag *diag, double *out_loss_sum) {
  MILO_TRY(run_forward(p, diag));
  return run_head(p, false, diag, out_loss_sum);
}
