// SPDX-License-Identifier: MIT
#include "generate/forward.h"

#include <stdlib.h>

#include "base/number.h"
#include "model/blocks.h"
#include "model/head.h"

struct milo_forward {
  milo_stop stop;
  const milo_model *model;
  milo_run *embed, *layer;
  milo_head *head;
  milo_buffer *tokens, *targets, *x[2], *losses;
  size_t rows;
};

static milo_status compile_all(milo_forward *f, milo_device *device, size_t batch, size_t seq,
                               milo_diag *diag) {
  const milo_model_config *c = &f->model->config;
  static const milo_role embed_roles[] = {MILO_ROLE_VALUE, MILO_ROLE_PARAMETER,
                                          MILO_ROLE_PARAMETER};
  const milo_executable_options embed_options = {.roles = embed_roles};
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status =
      milo_block_embed(program, c, f->model->stored, (int64_t)f->rows, diag, &func);
  MILO_TRY(milo_run_build(device, program, status, func, &embed_options, diag, &f->embed));
  const milo_executable_options layer_options = {.roles = milo_block_layer_roles};
  program = milo_program_create();
  status =
      milo_block_layer(program, c, f->model->stored, (int64_t)batch, (int64_t)seq, diag, &func);
  MILO_TRY(milo_run_build(device, program, status, func, &layer_options, diag, &f->layer));
  const milo_head_buffers buffers = {
      .x = f->x[c->layers % 2], .target = f->targets, .losses = f->losses};
  return milo_head_create(device, f->model, f->rows, &buffers, false, 0, MILO_PRECISION_FP32, diag,
                          &f->head);
}

static milo_status fill(milo_forward *f, milo_device *device, size_t batch, size_t seq,
                        milo_diag *diag) {
  size_t x_bytes = 0;
  if (!milo_size_mul(batch, seq, &f->rows) ||
      !milo_size_mul(f->rows, (size_t)f->model->config.dim * sizeof(float), &x_bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a batch of %zu sequences of %zu tokens is too large", batch, seq);
  MILO_TRY(milo_device_alloc(device, f->rows * sizeof(int32_t), diag, &f->tokens));
  MILO_TRY(milo_device_alloc(device, f->rows * sizeof(int32_t), diag, &f->targets));
  MILO_TRY(milo_device_alloc(device, f->rows * sizeof(float), diag, &f->losses));
  for (int i = 0; i < 2; i++) MILO_TRY(milo_device_alloc(device, x_bytes, diag, &f->x[i]));
  return compile_all(f, device, batch, seq, diag);
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
  milo_run_destroy(f->embed);
  milo_run_destroy(f->layer);
  milo_head_destroy(f->head);
  milo_buffer_release(f->tokens);
  milo_buffer_release(f->targets);
  milo_buffer_release(f->losses);
  milo_buffer_release(f->x[0]);
  milo_buffer_release(f->x[1]);
  free(f);
}

void milo_forward_set_stop(milo_forward *f, milo_stop stop) { f->stop = stop; }

milo_status milo_forward_run(milo_forward *f, const int32_t *tokens, const int32_t *targets,
                             float *losses, milo_diag *diag) {
  MILO_TRY(milo_buffer_write(f->tokens, 0, tokens, f->rows * sizeof *tokens));
  MILO_TRY(milo_buffer_write(f->targets, 0, targets, f->rows * sizeof *targets));
  milo_buffer *inputs[1 + MILO_LAYER_BUFFERS] = {f->tokens};
  milo_model_tensor_buffers(f->model, MILO_TENSOR_embedding, 0, inputs + 1);
  MILO_TRY(milo_run_execute(f->embed, inputs, &f->x[0], diag));
  for (size_t layer = 0; layer < (size_t)f->model->config.layers; layer++) {
    if (milo_stop_asked(f->stop)) return MILO_ERR_INTERRUPTED;
    inputs[0] = f->x[layer % 2];
    milo_model_layer(f->model, layer, inputs + 1);
    MILO_TRY(milo_run_execute(f->layer, inputs, &f->x[(layer + 1) % 2], diag));
  }
  MILO_TRY(milo_head_run(f->head, f->stop, diag));
  return milo_buffer_read(f->losses, 0, losses, f->rows * sizeof *losses);
}
