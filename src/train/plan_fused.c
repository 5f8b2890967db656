// SPDX-License-Identifier: MIT
// The `fused` step plan: few, large programs.
//
//   embed            tokens -> x0
//   layer forward    x, weights -> y, taps            one program, run for each layer
//   head             x, targets -> loss, and backward at once, some rows at a time
//   layer backward   taps, weights, dy -> dx, gradients of the layer's weights
//   embed backward   adds rows of dx0 into the embedding's gradient
//
// The layer's programs come from automatic differentiation of the model's block. All buffers are
// allocated when the plan is made; a step allocates nothing.
#include "train/plan_fused.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arrange.h"
#include "base/number.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "model/blocks.h"
#include "model/head.h"
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

typedef struct fused {
  milo_plan base;
  const milo_model *model;
  size_t rows, layers;
  milo_precision precision;
  bool accumulate;  // programs add to the gradients instead of writing them
  milo_run *embed, *forward, *backward, *embed_backward;
  milo_head *head, *loss;
  source *sources;  // of backward's inputs
  size_t taps;
  milo_buffer **x;    // layers + 1: the input of each layer, and the last one's output
  milo_buffer **tap;  // layers * taps
  milo_buffer *dx[2];
  milo_buffer *block;  // x, tap, dx and the layers' gradients are parts of it
  milo_buffer *tokens, *targets, *losses;
  float *host_losses;
  milo_buffer **inputs;  // scratch for a call
  milo_buffer **outputs;
} fused;

// ---- programs ----

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

milo_status milo_fused_build_layer(milo_device *device, milo_program *program,
                                   const milo_model_config *config, size_t batch, size_t seq,
                                   bool accumulate, milo_precision precision, milo_diag *diag,
                                   milo_fused_layer *out) {
  milo_func *func = NULL;
  MILO_TRY(milo_block_layer(program, config, NULL, (int64_t)batch, (int64_t)seq, diag, &func));
  milo_value **wrt = out->wrt;
  const size_t count = out->count = func->body->param_count;
  for (size_t i = 0; i < count; i++) wrt[i] = func->body->params[i];
  MILO_TRY(milo_autodiff(func, wrt, count, diag));
  assert(func->body->param_count == count + 1 && func->body->output_count == count + 1);
  out->seed = func->body->params[count]->name;
  size_t seeds = 1;
  for (size_t i = 1; accumulate && i < count; i++, seeds++)
    MILO_TRY(milo_block_add_sum(func, i + 1, wrt[i]->name, diag));
  MILO_TRY(milo_device_narrow(device, func, precision, diag));
  return milo_split_grad(func, seeds, count, "layer_forward", "layer_backward", diag, &out->forward,
                         &out->backward);
}

// The layer's forward and backward functions, compiled; fills plan->sources.
static milo_status compile_layer_in(fused *p, milo_device *device, milo_program *program,
                                    size_t batch, size_t seq, milo_diag *diag) {
  milo_fused_layer layer;
  MILO_TRY(milo_fused_build_layer(device, program, &p->model->config, batch, seq, p->accumulate,
                                  p->precision, diag, &layer));
  milo_func *const forward = layer.forward, *const backward = layer.backward;
  milo_value *const *wrt = layer.wrt;
  const size_t count = layer.count;
  const char *seed_name = layer.seed;
  const milo_executable_options forward_options = {.roles = milo_block_layer_roles,
                                                   .numeric = milo_precision_numeric(p->precision)};
  MILO_TRY(milo_run_compile(device, forward, &forward_options, diag, &p->forward));
  const milo_executable *code = milo_run_executable(p->forward);
  p->taps = milo_executable_output_count(code) - 1;

  // Whatever backward reads beside forward's values: the seed, then the sums to add to.
  const size_t inputs = backward->body->param_count;
  p->sources = calloc(inputs, sizeof *p->sources);
  if (!p->sources) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
  milo_role *roles = MILO_NEW_ARRAY(&program->arena, milo_role, inputs);
  milo_alias aliases[MILO_TENSOR_COUNT];
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
      roles[i] = MILO_ROLE_STATE;
      continue;
    }
    MILO_TRY(source_of(code, name, &p->sources[i], diag));
    if (p->sources[i].kind == SOURCE_WEIGHT) roles[i] = MILO_ROLE_PARAMETER;
  }
  const milo_executable_options options = {.aliases = aliases,
                                           .alias_count = alias_count,
                                           .roles = roles,
                                           .numeric = milo_precision_numeric(p->precision)};
  return milo_run_compile(device, backward, &options, diag, &p->backward);
}

static milo_status compile_layer(fused *p, milo_device *device, size_t batch, size_t seq,
                                 milo_diag *diag) {
  milo_program *program = milo_program_create();
  const milo_status status = compile_layer_in(p, device, program, batch, seq, diag);
  milo_program_destroy(program);
  return status;
}

milo_status milo_fused_build_embed_backward(milo_program *program, const milo_model_config *c,
                                            int64_t rows, milo_diag *diag, milo_func **out_func) {
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
  *out_func = func;
  return b.status;
}

static milo_status compile_embed_backward(fused *p, milo_device *device, milo_diag *diag) {
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  const milo_status status =
      milo_fused_build_embed_backward(program, &p->model->config, (int64_t)p->rows, diag, &func);
  static const milo_alias alias = {0, 0};
  const milo_executable_options options = {.aliases = &alias, .alias_count = 1};
  return milo_run_build(device, program, status, func, &options, diag, &p->embed_backward);
}

static milo_status compile_heads(fused *p, milo_device *device, size_t micro_batches,
                                 milo_diag *diag) {
  const milo_tensor_id classifier = milo_model_classifier(&p->model->config);
  milo_head_buffers buffers = {.x = p->x[p->layers], .target = p->targets, .losses = p->losses};
  MILO_TRY(milo_head_create(device, p->model, p->rows, &buffers, false, 0, p->precision, diag,
                            &p->loss));
  buffers.dx = p->dx[0];
  buffers.norm_sum = p->base.gradients[p->model->first[MILO_TENSOR_final_norm]];
  buffers.classifier_sum = p->base.gradients[p->model->first[classifier]];
  // The gradient is that of the mean over the step's tokens.
  const double seed = 1.0 / ((double)p->rows * (double)micro_batches);
  return milo_head_create(device, p->model, p->rows, &buffers, p->accumulate, seed, p->precision,
                          diag, &p->head);
}

static milo_status compile_all(fused *p, milo_device *device, size_t batch, size_t seq,
                               milo_diag *diag) {
  const milo_model_config *c = &p->model->config;
  static const milo_role roles[] = {MILO_ROLE_VALUE, MILO_ROLE_PARAMETER};
  const milo_executable_options options = {.roles = roles};
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  const milo_status status = milo_block_embed(program, c, NULL, (int64_t)p->rows, diag, &func);
  MILO_TRY(milo_run_build(device, program, status, func, &options, diag, &p->embed));
  MILO_TRY(compile_layer(p, device, batch, seq, diag));
  return compile_embed_backward(p, device, diag);
}

// ---- buffers ----

static milo_status alloc_array(size_t count, milo_diag *diag, milo_buffer ***out) {
  *out = calloc(count, sizeof **out);
  return *out ? MILO_OK : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
}

// What lives for a part of the step only.
typedef struct piece {
  milo_buffer **buffer;
  size_t bytes;
} piece;

typedef struct pieces {
  milo_arena arena;
  piece *items;
  milo_slot *slots;  // theirs
  size_t count, capacity, slot_capacity;
} pieces;

static void add_piece(pieces *list, milo_buffer **buffer, size_t bytes, size_t first, size_t last) {
  const milo_slot slot = {.bytes = (bytes + 63) / 64 * 64, .first = first, .last = last};
  size_t slots = list->count;
  MILO_PUSH(&list->arena, list->slots, slots, list->slot_capacity, slot);
  MILO_PUSH(&list->arena, list->items, list->count, list->capacity, ((piece){buffer, bytes}));
}

// Times: 0 embed, 1 + l forward of layer l, L + 1 head, 2 L + 1 - l backward of layer l, 2 L + 2
// embed backward, 2 L + 3 the optimizer. A layer's gradients come when the taps of all layers above
// it have been read, so that they take those taps' memory; the next step's forward writes taps
// again when they are no longer needed. With several micro-batches gradients live all the time.
static void list_pieces(fused *p, pieces *list) {
  const size_t layers = p->layers, end = 2 * layers + 3;
  const size_t x_bytes = p->rows * (size_t)p->model->config.dim * sizeof(float);
  const milo_executable *forward = milo_run_executable(p->forward);
  for (size_t l = 0; l <= layers; l++) add_piece(list, &p->x[l], x_bytes, l, 2 * layers + 2 - l);
  for (size_t i = 0; i < 2; i++) add_piece(list, &p->dx[i], x_bytes, layers + 1, end - 1);
  for (size_t l = 0; l < layers; l++) {
    const size_t back = 2 * layers + 1 - l;
    for (size_t i = 0; i < p->taps; i++)
      add_piece(list, &p->tap[l * p->taps + i],
                milo_type_bytes(&milo_executable_output(forward, 1 + i)->type), 1 + l, back);
    for (int id = MILO_TENSOR_att_norm; id <= MILO_TENSOR_w3; id++) {
      const milo_parameter *param = milo_model_param(p->model, (milo_tensor_id)id, l);
      if (param)
        add_piece(list, &p->base.gradients[p->model->first[id] + l],
                  milo_type_elements(&param->type) * sizeof(float), p->accumulate ? 0 : back, end);
    }
  }
}

static milo_status place_step(fused *p, milo_device *device, milo_diag *diag) {
  pieces list = {0};
  list_pieces(p, &list);
  size_t all = 0;
  bool fits = true;
  for (size_t i = 0; i < list.count; i++)
    fits = fits && milo_size_add(all, list.slots[i].bytes, &all);
  milo_status status = fits ? MILO_OK
                            : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY,
                                        "training: a step takes more bytes than can be counted");
  if (status == MILO_OK)
    status = milo_device_alloc(device, milo_arrange(list.slots, list.count, &list.arena).bytes,
                               diag, &p->block);
  for (size_t i = 0; i < list.count && status == MILO_OK; i++)
    status = milo_buffer_slice(p->block, list.slots[i].offset, list.items[i].bytes, diag,
                               list.items[i].buffer);
  milo_arena_deinit(&list.arena);
  return status;
}

static milo_status alloc_buffers(fused *p, milo_device *device, milo_diag *diag) {
  const milo_params *params = &p->model->params;
  const size_t backward_inputs = milo_executable_input_count(milo_run_executable(p->backward));
  MILO_TRY(alloc_array(params->count, diag, &p->base.gradients));
  MILO_TRY(alloc_array(p->layers + 1, diag, &p->x));
  MILO_TRY(alloc_array(p->layers * p->taps + 1, diag, &p->tap));
  const size_t most = backward_inputs + p->taps + MILO_TENSOR_COUNT + 2;
  MILO_TRY(alloc_array(most, diag, &p->inputs));
  MILO_TRY(alloc_array(most, diag, &p->outputs));
  p->host_losses = calloc(p->rows, sizeof *p->host_losses);
  if (!p->host_losses)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
  MILO_TRY(place_step(p, device, diag));
  for (size_t i = 0; i < params->count; i++)
    if (!p->base.gradients[i])
      MILO_TRY(milo_device_alloc(device, milo_type_elements(&params->items[i].type) * sizeof(float),
                                 diag, &p->base.gradients[i]));
  MILO_TRY(milo_device_alloc(device, p->rows * sizeof(int32_t), diag, &p->tokens));
  MILO_TRY(milo_device_alloc(device, p->rows * sizeof(int32_t), diag, &p->targets));
  return milo_device_alloc(device, p->rows * sizeof(float), diag, &p->losses);
}

static milo_status fill(fused *p, milo_device *device, size_t batch, size_t seq,
                        size_t micro_batches, milo_diag *diag) {
  size_t bytes = 0;
  if (!milo_size_mul(batch, seq, &p->rows) || p->rows > INT32_MAX ||
      !milo_size_mul(p->rows, (size_t)p->model->config.dim * sizeof(float), &bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "training: a batch of %zu sequences of %zu tokens is too large", batch, seq);
  p->layers = (size_t)p->model->config.layers;
  p->accumulate = micro_batches > 1;
  MILO_TRY(compile_all(p, device, batch, seq, diag));
  MILO_TRY(alloc_buffers(p, device, diag));
  return compile_heads(p, device, micro_batches, diag);
}

static milo_status create(milo_device *device, const milo_model *model, const milo_plan_options *o,
                          milo_diag *diag, milo_plan **out_plan) {
  fused *p = calloc(1, sizeof *p);
  if (!p) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
  *out_plan = &p->base;
  p->model = model;
  p->precision = o->precision;
  return fill(p, device, o->batch, o->seq, o->micro_batches, diag);
}

static void release_array(milo_buffer **buffers, size_t count) {
  for (size_t i = 0; buffers && i < count; i++) milo_buffer_release(buffers[i]);
  free(buffers);
}

static void destroy(milo_plan *plan) {
  fused *p = (fused *)plan;
  milo_run *const runs[] = {p->embed, p->forward, p->backward, p->embed_backward};
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) milo_run_destroy(runs[i]);
  milo_head_destroy(p->head);
  milo_head_destroy(p->loss);
  milo_buffer *const buffers[] = {p->block, p->dx[0], p->dx[1], p->tokens, p->targets, p->losses};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) milo_buffer_release(buffers[i]);
  release_array(p->base.gradients, p->model->params.count);
  release_array(p->x, p->layers + 1);
  release_array(p->tap, p->layers * p->taps);
  free(p->host_losses);
  free(p->inputs);
  free(p->outputs);
  free(p->sources);
  free(p);
}

static milo_status unreachable(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a buffer of the plan cannot be reached");
}

static milo_status load(milo_plan *plan, const int32_t *tokens, const int32_t *targets,
                        milo_diag *diag) {
  fused *p = (fused *)plan;
  const size_t bytes = p->rows * sizeof(int32_t);
  if (milo_buffer_write(p->tokens, 0, tokens, bytes) != MILO_OK ||
      milo_buffer_write(p->targets, 0, targets, bytes) != MILO_OK)
    return unreachable(diag);
  return MILO_OK;
}

// ---- running ----

static milo_status run_forward(fused *p, milo_diag *diag) {
  milo_buffer *const embed[] = {p->tokens,
                                milo_model_param(p->model, MILO_TENSOR_embedding, 0)->buffer};
  MILO_TRY(milo_run_execute(p->embed, embed, &p->x[0], diag));
  for (size_t layer = 0; layer < p->layers; layer++) {
    if (milo_stop_asked(p->base.stop)) return MILO_ERR_INTERRUPTED;
    p->inputs[0] = p->x[layer];
    milo_model_layer(p->model, layer, p->inputs + 1);
    p->outputs[0] = p->x[layer + 1];
    for (size_t i = 0; i < p->taps; i++) p->outputs[1 + i] = p->tap[layer * p->taps + i];
    MILO_TRY(milo_run_execute(p->forward, p->inputs, p->outputs, diag));
  }
  return MILO_OK;
}

static milo_status run_head(fused *p, milo_head *head, milo_diag *diag, double *out_loss_sum) {
  MILO_TRY(milo_head_run(head, p->base.stop, diag));
  if (milo_buffer_read(p->losses, 0, p->host_losses, p->rows * sizeof *p->host_losses) != MILO_OK)
    return unreachable(diag);
  double sum = 0;
  for (size_t i = 0; i < p->rows; i++) sum += (double)p->host_losses[i];
  *out_loss_sum = sum;
  return MILO_OK;
}

// The gradients of a layer's weights, in the order of its inputs.
static void layer_gradients(const fused *p, size_t layer, milo_buffer **out) {
  size_t count = 0;
  for (int id = MILO_TENSOR_att_norm; id <= MILO_TENSOR_w3; id++)
    if (milo_model_param(p->model, (milo_tensor_id)id, layer))
      out[count++] = p->base.gradients[p->model->first[id] + layer];
}

static milo_status run_backward(fused *p, milo_diag *diag) {
  milo_buffer *weights[MILO_TENSOR_COUNT];
  const size_t inputs = milo_executable_input_count(milo_run_executable(p->backward));
  size_t from = 0;  // dx[from] holds the gradient of the layer's output
  for (size_t layer = p->layers; layer-- > 0; from = 1 - from) {
    if (milo_stop_asked(p->base.stop)) return MILO_ERR_INTERRUPTED;
    milo_model_layer(p->model, layer, weights);
    p->outputs[0] = p->dx[1 - from];
    layer_gradients(p, layer, p->outputs + 1);
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
    MILO_TRY(milo_run_execute(p->backward, p->inputs, p->outputs, diag));
  }
  milo_buffer *sum = p->base.gradients[p->model->first[MILO_TENSOR_embedding]];
  milo_buffer *const embed[] = {sum, p->tokens, p->dx[from]};
  return milo_run_execute(p->embed_backward, embed, &sum, diag);
}

static milo_status set_scale(milo_plan *plan, double factor, milo_diag *diag) {
  return milo_head_set_scale(((fused *)plan)->head, factor, diag);
}

static milo_status begin(milo_plan *plan, milo_diag *diag) {
  fused *p = (fused *)plan;
  const milo_model *m = p->model;
  const size_t classifier = m->first[milo_model_classifier(&m->config)];
  for (size_t i = 0; i < m->params.count; i++) {
    // Those that programs add to; a tied embedding's gradient begins as the classifier's.
    const bool added =
        p->accumulate ||
        (milo_head_adds(p->head) && (i == classifier || i == m->first[MILO_TENSOR_final_norm])) ||
        (m->config.untied && i == m->first[MILO_TENSOR_embedding]);
    if (added && milo_buffer_clear(p->base.gradients[i]) != MILO_OK) return unreachable(diag);
  }
  return MILO_OK;
}

static milo_status run(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  fused *p = (fused *)plan;
  MILO_TRY(run_forward(p, diag));
  MILO_TRY(run_head(p, p->head, diag, out_loss_sum));
  return run_backward(p, diag);
}

static milo_status evaluate(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  fused *p = (fused *)plan;
  MILO_TRY(run_forward(p, diag));
  return run_head(p, p->loss, diag, out_loss_sum);
}

const milo_plan_type milo_plan_fused = {
    .name = "fused",
    .summary = "few, large programs, weights as inputs, weight gradients inside",
    .create = create,
    .destroy = destroy,
    .load = load,
    .set_scale = set_scale,
    .begin = begin,
    .run = run,
    .evaluate = evaluate,
};
