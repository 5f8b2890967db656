// SPDX-License-Identifier: MIT
#include "train/plan_packed.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

static milo_status no_memory(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a plan");
}

static milo_status unreachable(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a buffer of the plan cannot be reached");
}

// ---- making ----

static bool has_weights(const milo_plan_kernel *kernel) {
  for (const milo_part *part = kernel->in; part->name; part++)
    if (part->is_weight) return true;
  return false;
}

// Kernels of the plan but those of the head, which is the host's.
static bool takes_part(const milo_packed_plan *p, milo_kernel_id id) {
  const unsigned plan = milo_plan_kernel_get(id)->plan;
  return (plan & p->type->kernels) && !(plan & MILO_KERNEL_BLOCK);
}

static bool is_forward(milo_kernel_id id) {
  return id == MILO_KERNEL_fwd_attn || id == MILO_KERNEL_fwd_ffn || id == MILO_KERNEL_sdpa_fwd ||
         id == MILO_KERNEL_wo_fwd || id == MILO_KERNEL_ffn_fused;
}

static milo_status make_surfaces(milo_packed_plan *p, const milo_layout *layout, size_t count,
                                 milo_diag *diag, milo_surface **out) {
  *out = calloc(count, sizeof **out);
  if (!*out) return no_memory(diag);
  for (size_t i = 0; i < count; i++)
    MILO_TRY(milo_surface_create(p->device, p->shape.dtype, layout->channels, layout->columns, diag,
                                 &(*out)[i]));
  return MILO_OK;
}

static milo_status make_kernel(milo_packed_plan *p, milo_kernel_id id, milo_diag *diag) {
  const milo_plan_kernel *kernel = milo_plan_kernel_get(id);
  milo_packed_kernel *k = &p->kernels[id];
  k->in = milo_plan_layout(&p->shape, kernel, false);
  k->out = milo_plan_layout(&p->shape, kernel, true);
  k->run_count = kernel->per_layer ? p->layers : 1;
  k->input_count = has_weights(kernel) ? p->layers : 1;
  k->output_count = is_forward(id) ? p->layers : 1;  // backward reads them
  k->runs = calloc(k->run_count, sizeof *k->runs);
  if (!k->runs) return no_memory(diag);
  MILO_TRY(make_surfaces(p, &k->in, k->input_count, diag, &k->inputs));
  return make_surfaces(p, &k->out, k->output_count, diag, &k->outputs);
}

milo_status milo_packed_compile(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                milo_diag *diag) {
  milo_packed_kernel *k = &p->kernels[id];
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  milo_run_destroy(k->runs[layer]);
  k->runs[layer] = NULL;
  milo_status status = milo_plan_kernel_build(program, id, &p->shape, p->model, layer, diag, &func);
  if (status == MILO_OK) status = milo_run_compile(p->device, func, NULL, diag, &k->runs[layer]);
  p->base.compiles += status == MILO_OK;
  milo_program_destroy(program);
  return status;
}

static milo_status make_host(milo_packed_plan *p, milo_diag *diag) {
  for (int op = 0; op < MILO_HOST_COUNT; op++) {
    if (op == MILO_HOST_V_GRAD && !p->type->tiled) continue;
    MILO_TRY(
        milo_host_compile(p->host, &p->shape, (milo_host_op)op, p->type->tiled, diag, &p->ops[op]));
  }
  for (int id = 0; id < MILO_TENSOR_COUNT; id++) {
    milo_tensor t;
    MILO_TRY(milo_model_tensor(p->shape.config, (milo_tensor_id)id, diag, &t));
    if (!t.present || !t.per_layer || t.type.rank != 2) continue;
    MILO_TRY(milo_host_compile_weight_grad(p->beside_device, t.type.dims[0], t.type.dims[1],
                                           p->shape.seq, diag, &p->weight_grads[id]));
  }
  return MILO_OK;
}

// The thread beside has a device of its own, which has threads of its own where the plan's device
// does not need the processor.
static milo_status open_hosts(milo_packed_plan *p, bool alone, milo_diag *diag) {
  const char *name = p->device->type->name;
  const bool busy = strcmp(name, "cpu") == 0 || strcmp(name, "ref") == 0;
  const int threads = p->device->host.pool ? milo_pool_threads(p->device->host.pool) : 1;
  milo_host host = p->device->host;
  MILO_TRY(milo_device_open("cpu", &host, diag, &p->host));
  if (!busy && threads > 1) MILO_TRY(milo_pool_create(threads - 1, diag, &p->beside_pool));
  if (!alone) host.pool = p->beside_pool;
  MILO_TRY(milo_device_open("cpu", &host, diag, &p->beside_device));
  return milo_beside_queue_create(p->beside_device, alone, diag, &p->queue);
}

static milo_status floats(size_t count, milo_diag *diag, milo_buffer **out) {
  return milo_buffer_alloc(count * sizeof(float), diag, out);
}

static milo_status make_buffers(milo_packed_plan *p, milo_diag *diag) {
  static const milo_extent extents[MILO_OPERAND_COUNT] = {
      [MILO_OPERAND_dffn] = MILO_EXTENT_D,     [MILO_OPERAND_gate] = MILO_EXTENT_H,
      [MILO_OPERAND_dh1] = MILO_EXTENT_H,      [MILO_OPERAND_dh3] = MILO_EXTENT_H,
      [MILO_OPERAND_x2norm] = MILO_EXTENT_D,   [MILO_OPERAND_dattn] = MILO_EXTENT_D,
      [MILO_OPERAND_attn_out] = MILO_EXTENT_Q, [MILO_OPERAND_dq] = MILO_EXTENT_Q,
      [MILO_OPERAND_dk] = MILO_EXTENT_KV,      [MILO_OPERAND_dv] = MILO_EXTENT_KV,
      [MILO_OPERAND_xnorm] = MILO_EXTENT_D,
  };
  const milo_params *params = &p->model->params;
  const size_t dim = (size_t)p->shape.config->dim, x = dim * p->seq;
  p->base.gradients = calloc(params->count + 1, sizeof *p->base.gradients);
  p->x = calloc(p->layers + 1, sizeof *p->x);
  p->x2 = calloc(p->layers + 1, sizeof *p->x2);
  p->ids = calloc(2 * p->batch * p->seq, sizeof *p->ids);
  p->host_losses = calloc(p->seq, sizeof *p->host_losses);
  if (!p->base.gradients || !p->x || !p->x2 || !p->ids || !p->host_losses) return no_memory(diag);
  for (size_t i = 0; i < params->count; i++)
    MILO_TRY(floats(milo_type_elements(&params->items[i].type), diag, &p->base.gradients[i]));
  for (size_t i = 0; i <= p->layers; i++) {
    MILO_TRY(floats(x, diag, &p->x[i]));
    if (i < p->layers) MILO_TRY(floats(x, diag, &p->x2[i]));
  }
  size_t widest = dim;
  for (int i = 0; i < MILO_OPERAND_COUNT; i++) {
    const size_t channels = (size_t)milo_plan_extent(&p->shape, extents[i]);
    if (channels > widest) widest = channels;
    for (int set = 0; set < MILO_PACKED_SETS; set++)
      MILO_TRY(floats(channels * p->seq, diag, &p->operands[set][i]));
  }
  for (size_t i = 0; i < sizeof p->wide / sizeof *p->wide; i++)
    MILO_TRY(floats(widest * p->seq, diag, &p->wide[i]));
  milo_buffer **const rows[] = {&p->dx, &p->rows, &p->drows};
  for (int i = 0; i < 3; i++) MILO_TRY(floats(x, diag, rows[i]));
  milo_buffer **const lists[] = {&p->tokens, &p->targets, &p->losses};
  for (int i = 0; i < 3; i++) MILO_TRY(floats(p->seq, diag, lists[i]));
  return MILO_OK;
}

static milo_status make_heads(milo_packed_plan *p, size_t micro_batches, milo_diag *diag) {
  const milo_tensor_id classifier = milo_model_classifier(p->shape.config);
  milo_head_buffers buffers = {.x = p->rows, .target = p->targets, .losses = p->losses};
  MILO_TRY(milo_head_create(p->host, p->model, p->seq, &buffers, false, 0, MILO_PRECISION_FP32,
                            diag, &p->loss));
  buffers.dx = p->drows;
  buffers.norm_sum = milo_packed_gradient(p, MILO_TENSOR_final_norm, 0);
  buffers.classifier_sum = milo_packed_gradient(p, classifier, 0);
  // The gradient is that of the mean over the step's tokens.
  const double seed = 1.0 / ((double)(p->batch * p->seq) * (double)micro_batches);
  return milo_head_create(p->host, p->model, p->seq, &buffers, true, seed, MILO_PRECISION_FP32,
                          diag, &p->head);
}

static milo_status fill(milo_packed_plan *p, const milo_plan_options *o, milo_diag *diag) {
  const milo_model_config *c = &p->model->config;
  size_t tokens = 0;
  if (o->precision == MILO_PRECISION_BF16)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "the plan %s computes in fp32 or fp16, not in bf16", o->plan);
  if (!milo_size_mul(o->batch, o->seq, &tokens) || tokens > INT32_MAX ||
      o->seq > INT32_MAX / (size_t)c->heads)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "training: a batch of %zu sequences of %zu tokens is too large", o->batch,
                     o->seq);
  p->batch = o->batch;
  p->seq = o->seq;
  p->layers = (size_t)c->layers;
  p->compile_budget = o->compile_budget;
  p->shape = (milo_plan_shape){
      .config = c,
      .seq = (int64_t)o->seq,
      .dtype = o->precision == MILO_PRECISION_FP16 ? MILO_FP16 : MILO_FP32,
      .rows = milo_plan_classifier_rows(c->vocab),
      .host = &p->device->host,
  };
  MILO_TRY(p->type->check(p, diag));
  MILO_TRY(open_hosts(p, o->alone, diag));
  for (int id = 0; id < MILO_KERNEL_COUNT; id++)
    if (takes_part(p, (milo_kernel_id)id)) MILO_TRY(make_kernel(p, (milo_kernel_id)id, diag));
  // Those without weights of their own are compiled once.
  for (int id = 0; id < MILO_KERNEL_COUNT; id++)
    if (takes_part(p, (milo_kernel_id)id) && p->kernels[id].run_count == 1 &&
        !milo_plan_kernel_get((milo_kernel_id)id)->per_layer)
      MILO_TRY(milo_packed_compile(p, (milo_kernel_id)id, 0, diag));
  MILO_TRY(make_host(p, diag));
  MILO_TRY(make_buffers(p, diag));
  return make_heads(p, o->micro_batches, diag);
}

milo_status milo_packed_create(milo_device *device, const milo_model *model,
                               const milo_plan_options *options, const milo_packed_plan_type *type,
                               milo_diag *diag, milo_plan **out_plan) {
  milo_packed_plan *p = calloc(1, sizeof *p);
  if (!p) return no_memory(diag);
  *out_plan = &p->base;
  p->type = type;
  p->model = model;
  p->device = device;
  return fill(p, options, diag);
}

void milo_packed_destroy(milo_plan *plan) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  milo_beside_queue_destroy(p->queue);
  for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
    milo_packed_kernel *k = &p->kernels[id];
    for (size_t i = 0; k->runs && i < k->run_count; i++) milo_run_destroy(k->runs[i]);
    for (size_t i = 0; k->inputs && i < k->input_count; i++) milo_surface_destroy(&k->inputs[i]);
    for (size_t i = 0; k->outputs && i < k->output_count; i++) milo_surface_destroy(&k->outputs[i]);
    free(k->runs);
    free(k->inputs);
    free(k->outputs);
  }
  for (int i = 0; i < MILO_HOST_COUNT; i++) milo_run_destroy(p->ops[i]);
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) milo_run_destroy(p->weight_grads[i]);
  milo_head_destroy(p->head);
  milo_head_destroy(p->loss);
  for (size_t i = 0; p->base.gradients && i < p->model->params.count; i++)
    milo_buffer_release(p->base.gradients[i]);
  for (size_t i = 0; p->x && i <= p->layers; i++) milo_buffer_release(p->x[i]);
  for (size_t i = 0; p->x2 && i < p->layers; i++) milo_buffer_release(p->x2[i]);
  for (int set = 0; set < MILO_PACKED_SETS; set++)
    for (int i = 0; i < MILO_OPERAND_COUNT; i++) milo_buffer_release(p->operands[set][i]);
  for (size_t i = 0; i < sizeof p->wide / sizeof *p->wide; i++) milo_buffer_release(p->wide[i]);
  milo_buffer *const buffers[] = {p->dx, p->rows, p->drows, p->tokens, p->targets, p->losses};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) milo_buffer_release(buffers[i]);
  milo_device_close(p->beside_device);
  milo_device_close(p->host);
  milo_pool_destroy(p->beside_pool);
  free(p->base.gradients);
  free(p->x);
  free(p->x2);
  free(p->ids);
  free(p->host_losses);
  free(p);
}

// ---- for the two plans ----

uint64_t milo_packed_version(const milo_packed_plan *p) {
  uint64_t sum = 1;
  for (int id = MILO_TENSOR_att_norm; id <= MILO_TENSOR_w3; id++)
    for (size_t layer = 0; layer < p->layers; layer++)
      if (milo_model_param(p->model, (milo_tensor_id)id, layer))
        sum += milo_buffer_version(milo_packed_weight(p, (milo_tensor_id)id, layer));
  return sum;
}

milo_buffer *milo_packed_weight(const milo_packed_plan *p, milo_tensor_id id, size_t layer) {
  const milo_parameter *param = milo_model_param(p->model, id, layer);
  return param ? param->buffer : NULL;
}

milo_buffer *milo_packed_gradient(const milo_packed_plan *p, milo_tensor_id id, size_t layer) {
  return p->base.gradients[p->model->first[id] + layer];
}

static const milo_surface *surface_of(const milo_packed_plan *p, milo_kernel_id id, bool output,
                                      size_t layer) {
  const milo_packed_kernel *k = &p->kernels[id];
  const size_t count = output ? k->output_count : k->input_count;
  return &(output ? k->outputs : k->inputs)[count > 1 ? layer : 0];
}

milo_status milo_packed_put(milo_packed_plan *p, milo_kernel_id id, size_t layer, const char *part,
                            milo_buffer *from, milo_diag *diag) {
  float *data = milo_buffer_map(from, MILO_READ);
  if (!data) return unreachable(diag);
  const milo_region region = milo_layout_region(&p->kernels[id].in, part);
  const milo_status status = milo_surface_write(surface_of(p, id, false, layer), region, data,
                                                region.columns, false, diag);
  const milo_status unmapped = milo_buffer_unmap(from, data, MILO_READ);
  return status == MILO_OK ? unmapped : status;
}

static milo_status take(milo_packed_plan *p, milo_kernel_id id, bool output, size_t layer,
                        const char *part, milo_buffer *to, milo_diag *diag) {
  float *data = milo_buffer_map(to, MILO_WRITE);
  if (!data) return unreachable(diag);
  const milo_packed_kernel *k = &p->kernels[id];
  const milo_region region = milo_layout_region(output ? &k->out : &k->in, part);
  assert(region.channels * region.columns * sizeof *data <= milo_buffer_bytes(to));
  const milo_status status =
      milo_surface_read(surface_of(p, id, output, layer), region, data, region.columns, diag);
  const milo_status unmapped = milo_buffer_unmap(to, data, MILO_WRITE);
  return status == MILO_OK ? unmapped : status;
}

milo_status milo_packed_take(milo_packed_plan *p, milo_kernel_id id, size_t layer, const char *part,
                             milo_buffer *to, milo_diag *diag) {
  return take(p, id, true, layer, part, to, diag);
}

milo_status milo_packed_take_input(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                   const char *part, milo_buffer *to, milo_diag *diag) {
  return take(p, id, false, layer, part, to, diag);
}

milo_status milo_packed_pass(milo_packed_plan *p, milo_kernel_id from, const char *from_part,
                             milo_kernel_id to, const char *to_part, size_t layer, bool repeat,
                             milo_diag *diag) {
  const milo_model_config *c = p->shape.config;
  const milo_surface *source = surface_of(p, from, true, layer);
  const milo_surface *target = surface_of(p, to, false, layer);
  milo_region a = milo_layout_region(&p->kernels[from].out, from_part);
  milo_region b = milo_layout_region(&p->kernels[to].in, to_part);
  if (!repeat) return milo_surface_copy(target, b, source, a, diag);
  const size_t width = (size_t)c->head_dim, times = (size_t)(c->heads / c->kv_heads);
  a.channels = b.channels = width;
  const size_t first_a = a.channel, first_b = b.channel;
  for (size_t head = 0; head < (size_t)c->heads; head++) {
    a.channel = first_a + head / times * width;
    b.channel = first_b + head * width;
    MILO_TRY(milo_surface_copy(target, b, source, a, diag));
  }
  return MILO_OK;
}

milo_status milo_packed_execute(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                milo_diag *diag) {
  const milo_packed_kernel *k = &p->kernels[id];
  milo_buffer *const in = surface_of(p, id, false, layer)->buffer;
  milo_buffer *const out = surface_of(p, id, true, layer)->buffer;
  return milo_run_execute(k->runs[k->run_count > 1 ? layer : 0], &in, &out, diag);
}

milo_status milo_packed_host(milo_packed_plan *p, milo_host_op op, milo_buffer *const *inputs,
                             milo_buffer *const *outputs, milo_diag *diag) {
  return milo_run_execute(p->ops[op], inputs, outputs, diag);
}

milo_status milo_packed_operands(milo_packed_plan *p, size_t layer, milo_diag *diag,
                                 milo_buffer ***out_set) {
  const size_t set = layer % MILO_PACKED_SETS;
  *out_set = p->operands[set];
  return milo_beside_queue_wait(p->queue, p->in_use[set], diag);
}

void milo_packed_weight_grad(milo_packed_plan *p, milo_tensor_id id, size_t layer,
                             milo_packed_operand dy, milo_packed_operand x) {
  const size_t set = layer % MILO_PACKED_SETS;
  milo_buffer *sum = milo_packed_gradient(p, id, layer);
  milo_buffer *const inputs[] = {sum, p->operands[set][dy], p->operands[set][x]};
  p->in_use[set] = milo_beside_queue_run(p->queue, p->weight_grads[id], inputs, 3, sum);
}

milo_status milo_packed_heads_grad(milo_packed_plan *p, size_t layer, milo_kernel_id forward,
                                   bool keys, milo_buffer *dy, milo_buffer *to, milo_diag *diag) {
  const milo_host_op op = keys ? MILO_HOST_K_GRAD : MILO_HOST_Q_GRAD;
  if (!p->shape.config->qk_norm)
    return milo_packed_host(p, op, MILO_BUFFERS(dy), MILO_BUFFERS(to), diag);
  const milo_tensor_id norm = keys ? MILO_TENSOR_k_norm : MILO_TENSOR_q_norm;
  milo_buffer *raw = p->wide[3], *sum = milo_packed_gradient(p, norm, layer);
  MILO_TRY(milo_packed_take(p, forward, layer, keys ? "k_raw" : "q_raw", raw, diag));
  return milo_packed_host(p, op, MILO_BUFFERS(dy, raw, milo_packed_weight(p, norm, layer), sum),
                          MILO_BUFFERS(to, sum), diag);
}

// ---- running ----

milo_status milo_packed_load(milo_plan *plan, const int32_t *tokens, const int32_t *targets,
                             milo_diag *diag) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  (void)diag;
  const size_t count = p->batch * p->seq;
  memcpy(p->ids, tokens, count * sizeof *tokens);
  memcpy(p->ids + count, targets, count * sizeof *targets);
  return MILO_OK;
}

milo_status milo_packed_set_scale(milo_plan *plan, double factor, milo_diag *diag) {
  return milo_head_set_scale(((milo_packed_plan *)plan)->head, factor, diag);
}

milo_status milo_packed_begin(milo_plan *plan, milo_diag *diag) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  for (size_t i = 0; i < p->model->params.count; i++)
    if (milo_buffer_clear(p->base.gradients[i]) != MILO_OK) return unreachable(diag);
  return MILO_OK;
}

static milo_status forward(milo_packed_plan *p, size_t sequence, milo_diag *diag) {
  const size_t bytes = p->seq * sizeof *p->ids;
  const int32_t *tokens = p->ids + sequence * p->seq, *targets = tokens + p->batch * p->seq;
  if (milo_buffer_write(p->tokens, 0, tokens, bytes) != MILO_OK ||
      milo_buffer_write(p->targets, 0, targets, bytes) != MILO_OK)
    return unreachable(diag);
  milo_buffer *embedding = milo_packed_weight(p, MILO_TENSOR_embedding, 0);
  MILO_TRY(milo_packed_host(p, MILO_HOST_EMBED, MILO_BUFFERS(p->tokens, embedding),
                            MILO_BUFFERS(p->x[0]), diag));
  for (size_t layer = 0; layer < p->layers; layer++) {
    if (milo_stop_asked(p->base.stop)) return MILO_ERR_INTERRUPTED;
    MILO_TRY(p->type->forward(p, layer, diag));
  }
  return milo_packed_host(p, MILO_HOST_ROWS, MILO_BUFFERS(p->x[p->layers]), MILO_BUFFERS(p->rows),
                          diag);
}

static milo_status run_head(milo_packed_plan *p, milo_head *head, milo_diag *diag, double *sum) {
  MILO_TRY(milo_head_run(head, p->base.stop, diag));
  if (milo_buffer_read(p->losses, 0, p->host_losses, p->seq * sizeof *p->host_losses) != MILO_OK)
    return unreachable(diag);
  for (size_t i = 0; i < p->seq; i++) *sum += (double)p->host_losses[i];
  return MILO_OK;
}

static milo_status backward(milo_packed_plan *p, milo_diag *diag) {
  MILO_TRY(
      milo_packed_host(p, MILO_HOST_COLUMNS, MILO_BUFFERS(p->drows), MILO_BUFFERS(p->dx), diag));
  for (size_t layer = p->layers; layer-- > 0;) {
    if (milo_stop_asked(p->base.stop)) return MILO_ERR_INTERRUPTED;
    MILO_TRY(p->type->backward(p, layer, diag));
  }
  milo_buffer *sum = milo_packed_gradient(p, MILO_TENSOR_embedding, 0);
  return milo_packed_host(p, MILO_HOST_EMBED_GRAD, MILO_BUFFERS(sum, p->tokens, p->dx),
                          MILO_BUFFERS(sum), diag);
}

// The sum of the losses so far is given away after each sequence's forward part: a loss that is
// not finite shows as soon as it is known.
static milo_status run_sequences(milo_packed_plan *p, milo_diag *diag, double *out_loss_sum) {
  double sum = 0;
  for (size_t sequence = 0; sequence < p->batch; sequence++) {
    MILO_TRY(forward(p, sequence, diag));
    MILO_TRY(run_head(p, p->head, diag, &sum));
    *out_loss_sum = sum;
    MILO_TRY(backward(p, diag));
  }
  return MILO_OK;
}

milo_status milo_packed_run(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  MILO_TRY(p->type->refresh(p, true, diag));
  const milo_status status = run_sequences(p, diag, out_loss_sum);
  // Whatever happened: nobody may write gradients any more once this returns.
  const milo_status joined = milo_beside_queue_join(p->queue, status == MILO_OK ? diag : NULL);
  return status == MILO_OK ? joined : status;
}

// dx = 2 (y - target) scale / count.
static milo_status seed_regression(milo_packed_plan *p, const float *target, double scale,
                                   milo_diag *diag, double *out_loss) {
  const size_t count = p->seq * (size_t)p->shape.config->dim;
  float *y = milo_buffer_map(p->x[p->layers], MILO_READ);
  float *dx = y ? milo_buffer_map(p->dx, MILO_WRITE) : NULL;
  double sum = 0;
  for (size_t i = 0; dx && i < count; i++) {
    const double apart = (double)y[i] - (double)target[i];
    sum += apart * apart;
    dx[i] = (float)(2 * apart * scale / (double)count);
  }
  *out_loss = sum / (double)count;
  milo_status status = dx ? milo_buffer_unmap(p->dx, dx, MILO_WRITE) : unreachable(diag);
  const milo_status unmapped =
      y ? milo_buffer_unmap(p->x[p->layers], y, MILO_READ) : MILO_ERR_NO_MEMORY;
  return status == MILO_OK ? unmapped : status;
}

static milo_status regress(milo_packed_plan *p, const float *x, const float *target, double scale,
                           milo_diag *diag, double *out_loss) {
  const size_t bytes = p->seq * (size_t)p->shape.config->dim * sizeof *x;
  if (milo_buffer_write(p->x[0], 0, x, bytes) != MILO_OK) return unreachable(diag);
  for (size_t layer = 0; layer < p->layers; layer++) MILO_TRY(p->type->forward(p, layer, diag));
  MILO_TRY(seed_regression(p, target, scale, diag, out_loss));
  for (size_t layer = p->layers; layer-- > 0;) MILO_TRY(p->type->backward(p, layer, diag));
  return MILO_OK;
}

milo_status milo_packed_regress(milo_plan *plan, const float *x, const float *target, double scale,
                                milo_diag *diag, double *out_loss) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  MILO_TRY(p->type->refresh(p, true, diag));
  const milo_status status = regress(p, x, target, scale, diag, out_loss);
  const milo_status joined = milo_beside_queue_join(p->queue, status == MILO_OK ? diag : NULL);
  return status == MILO_OK ? joined : status;
}

milo_status milo_packed_evaluate(milo_plan *plan, milo_diag *diag, double *out_loss_sum) {
  milo_packed_plan *p = (milo_packed_plan *)plan;
  double sum = 0;
  MILO_TRY(p->type->refresh(p, false, diag));
  for (size_t sequence = 0; sequence < p->batch; sequence++) {
    MILO_TRY(forward(p, sequence, diag));
    MILO_TRY(run_head(p, p->loss, diag, &sum));
  }
  *out_loss_sum = sum;
  return MILO_OK;
}
