// SPDX-License-Identifier: MIT
#include "train/plan_list.h"

#include <string.h>

#include "base/number.h"
#include "model/blocks.h"
#include "model/head.h"
#include "pass/pass.h"
#include "plan/kernel.h"
#include "train/plan_fused.h"

typedef struct lister {
  milo_device *device;
  const milo_model_config *config;
  const milo_plan_list_options *options;  // seq, batch and precision filled in
  void (*describe)(milo_program *program);
  milo_diag *diag;
} lister;

static uint64_t bytes_of(milo_value *const *values, size_t count) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += milo_type_bytes(&values[i]->type);
  return bytes;
}

static milo_status give(const lister *l, milo_program *program, const milo_func *func,
                        milo_plan_program *info) {
  info->input_bytes = bytes_of(func->body->params, func->body->param_count);
  info->output_bytes = bytes_of(func->body->outputs, func->body->output_count);
  info->flops = milo_plan_flops(func);
  info->program = program;
  program->final_newline = true;
  l->describe(program);
  return l->options->each(l->options->user, info);
}

// ---- packed kernels ----

static size_t list_parts(const milo_layout *layout, bool output, milo_part_info *out) {
  for (size_t i = 0; i < layout->count; i++) {
    const milo_region *r = &layout->regions[i];
    out[i] = (milo_part_info){layout->parts[i]->name,      output,
                              layout->parts[i]->is_weight, (int64_t)r->channel,
                              (int64_t)r->column,          (int64_t)r->channels,
                              (int64_t)r->columns};
  }
  return layout->count;
}

static milo_status count_weights(const lister *l, const milo_plan_shape *shape,
                                 const milo_plan_kernel *kernel, milo_plan_program *info) {
  for (const milo_baked *baked = kernel->baked; baked->present; baked++) {
    const bool classifier = baked->tensor == MILO_TENSOR_classifier;
    milo_tensor t;
    MILO_TRY(milo_model_tensor(l->config, classifier ? MILO_TENSOR_embedding : baked->tensor,
                               l->diag, &t));
    if (!t.present) continue;
    const uint64_t elements =
        classifier ? (uint64_t)(shape->rows * l->config->dim) : milo_type_elements(&t.type);
    info->weights++;
    info->weight_bytes += elements * milo_dtype_bits(shape->dtype) / 8;
  }
  return MILO_OK;
}

static milo_status list_part(const lister *l, const milo_plan_shape *whole, milo_kernel_id id,
                             milo_plan_program *info) {
  const milo_plan_kernel *kernel = milo_plan_kernel_get(id);
  milo_part_info parts[2 * MILO_KERNEL_MAX_PARTS];
  milo_plan_shape shape = *whole;
  // The last part of a classifier may have fewer rows.
  const int64_t left = l->config->vocab - (int64_t)info->part * whole->rows;
  if (info->part_count > 1 && left < shape.rows) shape.rows = left;
  const milo_layout in = milo_plan_layout(&shape, kernel, false);
  const milo_layout out = milo_plan_layout(&shape, kernel, true);
  size_t count = kernel->apart ? 0 : list_parts(&in, false, parts);
  if (!kernel->apart) count += list_parts(&out, true, parts + count);
  info->parts = parts;
  info->count_of_parts = count;
  info->weights = 0;
  info->weight_bytes = 0;
  MILO_TRY(count_weights(l, &shape, kernel, info));
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  shape.first_row = (int64_t)info->part * whole->rows;
  milo_status status = milo_plan_kernel_build(program, id, &shape, l->options->model,
                                              l->options->layer, l->diag, &func);
  if (status == MILO_OK) status = give(l, program, func, info);
  milo_program_destroy(program);
  return status;
}

static milo_status list_kernels(const lister *l, unsigned plan) {
  const milo_plan_shape shape = {
      .config = l->config,
      .seq = (int64_t)l->options->seq,
      .dtype = l->options->precision == MILO_PRECISION_FP32 ? MILO_FP32 : MILO_FP16,
      .rows = milo_plan_classifier_rows(l->config->vocab),
      .host = &l->device->host};
  const size_t pieces = (size_t)((l->config->vocab + shape.rows - 1) / shape.rows);
  for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
    const milo_plan_kernel *kernel = milo_plan_kernel_get((milo_kernel_id)id);
    if (!(kernel->plan & plan)) continue;
    const bool of_step = !(kernel->plan & MILO_KERNEL_BLOCK);
    const bool cut =
        kernel->in[0].extent == MILO_EXTENT_R || kernel->out[0].extent == MILO_EXTENT_R;
    milo_plan_program info = {.name = kernel->name, .what = kernel->what};
    if (of_step) info.compiles = kernel->per_layer ? (size_t)l->config->layers : 1;
    info.part_count = cut ? pieces : 1;
    for (info.part = 0; info.part < info.part_count; info.part++)
      MILO_TRY(list_part(l, &shape, (milo_kernel_id)id, &info));
  }
  return MILO_OK;
}

// ---- fused ----

// A program of its own, in public operations.
static milo_status give_public(const lister *l, const milo_func *func, const char *name,
                               const char *what, size_t compiles) {
  milo_program *program = milo_program_create();
  milo_func *copy = milo_func_clone(program, func, name);
  milo_plan_program info = {.name = name, .what = what, .compiles = compiles, .part_count = 1};
  milo_status status = milo_pass_run_all(copy, &(milo_pass_options){0}, l->diag);
  if (status == MILO_OK) status = give(l, program, copy, &info);
  milo_program_destroy(program);
  return status;
}

static milo_status list_layer(const lister *l, milo_program *program) {
  const milo_plan_list_options *o = l->options;
  milo_fused_layer layer;
  MILO_TRY(milo_fused_build_layer(l->device, program, l->config, o->batch, o->seq, false,
                                  o->precision, l->diag, &layer));
  MILO_TRY(give_public(l, layer.forward, "layer_forward", "a layer, and what backward needs", 1));
  return give_public(l, layer.backward, "layer_backward", "gradients of a layer", 1);
}

static milo_status list_head(const lister *l, milo_program *program, size_t rows) {
  const milo_row_parts cut = milo_row_parts_make(rows, (size_t)l->config->vocab);
  milo_func *func = NULL;
  MILO_TRY(milo_block_loss(program, l->config, NULL, (int64_t)cut.part, l->diag, &func));
  MILO_TRY(milo_autodiff(func, func->body->params, 3, l->diag));
  MILO_TRY(milo_device_narrow(l->device, func, l->options->precision, l->diag));
  return give_public(l, func, "head",
                     "final norm, classifier, cross-entropy, and their gradients, of some rows",
                     cut.last < cut.part ? 2 : 1);
}

static milo_status list_fused(const lister *l, milo_program *program) {
  const int64_t rows = (int64_t)(l->options->batch * l->options->seq);
  milo_func *func = NULL;
  MILO_TRY(milo_block_embed(program, l->config, NULL, rows, l->diag, &func));
  MILO_TRY(give_public(l, func, "embed", "embeddings of tokens", 1));
  MILO_TRY(list_layer(l, program));
  MILO_TRY(list_head(l, program, (size_t)rows));
  MILO_TRY(milo_fused_build_embed_backward(program, l->config, rows, l->diag, &func));
  return give_public(l, func, "embed_backward", "gradient of the embedding", 1);
}

// ---- both ----

static milo_status fail(milo_diag *diag, const char *what, long long value, long long most) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s is %lld, expected 1 to %lld", what,
                   value, most);
}

milo_status milo_plan_list_run(milo_device *device, const milo_model_config *config,
                               const milo_plan_list_options *given,
                               void (*describe)(milo_program *program), milo_diag *diag) {
  enum { MAX_BATCH = 1 << 20 };
  milo_plan_list_options o = *given;
  const lister l = {device, config, &o, describe, diag};
  const bool fused = !o.blocks && o.plan <= MILO_PLAN_FUSED;
  if ((unsigned)o.plan > MILO_PLAN_STATIC || (unsigned)o.precision > MILO_PRECISION_FP16)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "there is no such plan or precision");
  if (o.seq == 0) o.seq = (size_t)config->seq;
  if (o.batch == 0) o.batch = 1;
  if (o.precision == MILO_PRECISION_DEFAULT)
    o.precision = fused ? MILO_PRECISION_FP32 : MILO_PRECISION_FP16;
  if (o.seq > (size_t)config->seq) return fail(diag, "seq", (long long)o.seq, config->seq);
  if (o.batch > MAX_BATCH) return fail(diag, "batch", (long long)o.batch, MAX_BATCH);
  if (o.layer >= (size_t)config->layers)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "layer %zu is not there: layers are numbered from 0 to %lld", o.layer,
                     (long long)config->layers - 1);
  if (!fused && o.precision == MILO_PRECISION_BF16)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "the plans dynamic and static compute in fp32 or fp16, not in bf16");
  if (!fused)
    return list_kernels(&l, o.blocks                      ? MILO_KERNEL_BLOCK
                            : o.plan == MILO_PLAN_DYNAMIC ? MILO_KERNEL_DYNAMIC
                                                          : MILO_KERNEL_STATIC);
  milo_program *program = milo_program_create();
  const milo_status status = list_fused(&l, program);
  milo_program_destroy(program);
  return status;
}
