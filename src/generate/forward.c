// SPDX-License-Identifier: MIT
#include "generate/forward.h"

#include <stdlib.h>

#include "base/number.h"
#include "generate/views.h"
#include "model/blocks.h"

struct milo_forward {
  milo_stop stop;
  const milo_model *model;
  milo_executable *embed, *layer;
  milo_part_executables loss;
  milo_views weights;
  milo_buffer *tokens, *targets, *x[2], *losses;
  milo_row_parts parts;
};

milo_status milo_forward_compile(milo_device *device, milo_program *program, milo_status status,
                                 const milo_func *func, const milo_executable_options *options,
                                 milo_diag *diag, milo_executable **out_executable) {
  *out_executable = NULL;
  if (status == MILO_OK)
    status = milo_device_compile(device, func, NULL, options, diag, out_executable);
  milo_program_destroy(program);
  return status;
}

milo_row_parts milo_row_parts_make(size_t rows, size_t vocab) {
  enum { MAX_LOGITS = 1 << 24 };
  const size_t most = vocab < MAX_LOGITS ? MAX_LOGITS / vocab : 1;
  const size_t count = rows / most + (rows % most > 0);
  const size_t part = rows / count + (rows % count > 0);
  return (milo_row_parts){rows, part, rows - (rows - 1) / part * part};
}

// The loss of count rows.
static milo_status compile_loss(const milo_forward *f, milo_device *device, size_t count,
                                milo_diag *diag, milo_executable **out) {
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  const milo_status status =
      milo_block_loss(program, &f->model->config, (int64_t)count, diag, &func);
  return milo_forward_compile(device, program, status, func, NULL, diag, out);
}

static milo_status compile_all(milo_forward *f, milo_device *device, size_t batch, size_t seq,
                               milo_diag *diag) {
  const milo_model_config *c = &f->model->config;
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status = milo_block_embed(program, c, (int64_t)f->parts.rows, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, NULL, diag, &f->embed));
  program = milo_program_create();
  status = milo_block_layer(program, c, (int64_t)batch, (int64_t)seq, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, NULL, diag, &f->layer));
  MILO_TRY(compile_loss(f, device, f->parts.part, diag, &f->loss.part));
  if (f->parts.last == f->parts.part) return MILO_OK;
  return compile_loss(f, device, f->parts.last, diag, &f->loss.last);
}

static milo_status fill(milo_forward *f, milo_device *device, size_t batch, size_t seq,
                        milo_diag *diag) {
  size_t rows = 0, x_bytes = 0;
  if (!milo_size_mul(batch, seq, &rows) ||
      !milo_size_mul(rows, (size_t)f->model->config.dim * sizeof(float), &x_bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a batch of %zu sequences of %zu tokens is too large", batch, seq);
  f->parts = milo_row_parts_make(rows, (size_t)f->model->config.vocab);
  MILO_TRY(compile_all(f, device, batch, seq, diag));
  MILO_TRY(milo_views_init(&f->weights, f->model->weights, f->model->block, diag));
  MILO_TRY(milo_buffer_alloc(rows * sizeof(int32_t), diag, &f->tokens));
  MILO_TRY(milo_buffer_alloc(rows * sizeof(int32_t), diag, &f->targets));
  MILO_TRY(milo_buffer_alloc(rows * sizeof(float), diag, &f->losses));
  MILO_TRY(milo_buffer_alloc(x_bytes, diag, &f->x[0]));
  return milo_buffer_alloc(x_bytes, diag, &f->x[1]);
}

milo_status milo_forward_create(milo_device *device, const milo_model *model, size_t batch,
                                size_t seq, milo_diag *diag, milo_forward **out_forward) {
  *out_forward = NULL;
  milo_forward *f = calloc(1, sizeof *f);
  if (!f) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a batch");
  f->model = model;
  const milo_status status = fill(f, device, batch, seq, diag);
  if (status == MILO_OK)
    *out_forward = f;
  else
    milo_forward_destroy(f);
  return status;
}

void milo_forward_destroy(milo_forward *f) {
  if (!f) return;
  milo_executable_destroy(f->embed);
  milo_executable_destroy(f->layer);
  milo_executable_destroy(f->loss.part);
  milo_executable_destroy(f->loss.last);
  milo_views_deinit(&f->weights);
  milo_buffer_release(f->tokens);
  milo_buffer_release(f->targets);
  milo_buffer_release(f->losses);
  milo_buffer_release(f->x[0]);
  milo_buffer_release(f->x[1]);
  free(f);
}

void milo_forward_set_stop(milo_forward *f, milo_stop stop) { f->stop = stop; }
int32_t *milo_forward_tokens(milo_forward *f) { return f->tokens->data; }
int32_t *milo_forward_targets(milo_forward *f) { return f->targets->data; }

milo_status milo_forward_run(milo_forward *f, milo_diag *diag, const float **out_losses) {
  *out_losses = NULL;
  milo_buffer *inputs[1 + MILO_WEIGHT_COUNT] = {
      f->tokens, milo_views_get(&f->weights, MILO_WEIGHT_embedding, 0)};
  MILO_TRY(milo_executable_run(f->embed, inputs, &f->x[0], diag));
  const size_t layers = (size_t)f->model->config.layers;
  for (size_t layer = 0; layer < layers; layer++) {
    if (milo_stop_asked(f->stop)) return MILO_ERR_INTERRUPTED;
    inputs[0] = f->x[layer % 2];
    milo_views_layer(&f->weights, layer, inputs + 1);
    MILO_TRY(milo_executable_run(f->layer, inputs, &f->x[(layer + 1) % 2], diag));
  }
  const size_t dim = (size_t)f->model->config.dim;
  float *x = f->x[layers % 2]->data, *losses = f->losses->data;
  int32_t *targets = f->targets->data;
  for (size_t row = 0; row < f->parts.rows; row += f->parts.part) {
    if (milo_stop_asked(f->stop)) return MILO_ERR_INTERRUPTED;
    const bool whole = f->parts.rows - row >= f->parts.part;
    const size_t count = whole ? f->parts.part : f->parts.last;
    milo_buffer part = milo_buffer_view(x + row * dim, count * dim * sizeof *x);
    milo_buffer target = milo_buffer_view(targets + row, count * sizeof *targets);
    milo_buffer loss = milo_buffer_view(losses + row, count * sizeof *losses);
    milo_buffer *const head[] = {
        &part, milo_views_get(&f->weights, MILO_WEIGHT_final_norm, 0),
        milo_views_get(&f->weights, milo_classifier_id(&f->model->config), 0), &target};
    MILO_TRY(milo_executable_run(whole ? f->loss.part : f->loss.last, head,
                                 (milo_buffer *const[]){&loss}, diag));
  }
  *out_losses = losses;
  return MILO_OK;
}
