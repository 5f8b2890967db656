// SPDX-License-Identifier: MIT
#include "model/head.h"

#include <stdlib.h>

#include "model/blocks.h"
#include "pass/pass.h"

enum { MAX_LOGITS = 1 << 24, ARGS = 8, RESULTS = 4 };

// Some rows: the program for so many, and its buffers, NULL where it takes fewer.
typedef struct part {
  milo_run *run;  // the head's
  milo_buffer *inputs[ARGS], *outputs[RESULTS];
  milo_buffer *slices[4];
} part;

struct milo_head {
  milo_run *runs[2];  // of a part, and of the last if that is smaller
  milo_buffer *seeds[2];
  size_t seed_rows[2];
  double seed;
  milo_precision precision;
  milo_head_buffers buffers;
  part *parts;
  size_t count;
  bool adds;
};

milo_row_parts milo_row_parts_make(size_t rows, size_t vocab) {
  const size_t most = vocab < MAX_LOGITS ? MAX_LOGITS / vocab : 1;
  const size_t count = rows / most + (rows % most > 0);
  const size_t each = rows / count + (rows % count > 0);
  return (milo_row_parts){rows, each, rows - (rows - 1) / each * each};
}

// x, final_norm, classifier, target [, classifier's scales] -> loss
// with gradients: x, final_norm, classifier, target, gradient of loss [, sums] -> loss, dx,
// gradients of norm and classifier
static milo_status compile(const milo_head *h, const milo_model *model, milo_device *device,
                           size_t rows, milo_diag *diag, milo_run **out) {
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status =
      milo_block_loss(program, &model->config, model->stored, (int64_t)rows, diag, &func);
  if (status == MILO_OK && h->buffers.dx != NULL)
    status = milo_autodiff(func, func->body->params, 3, diag);
  for (size_t i = 2; h->buffers.dx != NULL && h->adds && status == MILO_OK && i < 4; i++)
    status = milo_block_add_sum(func, i, func->body->params[i - 1]->name, diag);
  if (status == MILO_OK) status = milo_device_narrow(device, func, h->precision, diag);
  static const milo_alias aliases[] = {{5, 2}, {6, 3}};
  static const milo_role roles[ARGS] = {
      [1] = MILO_ROLE_PARAMETER,
      [2] = MILO_ROLE_PARAMETER,
      [5] = MILO_ROLE_STATE,
      [6] = MILO_ROLE_STATE,
  };
  const milo_executable_options options = {.aliases = aliases,
                                           .alias_count = h->buffers.dx != NULL && h->adds ? 2 : 0,
                                           .roles = roles,
                                           .numeric = milo_precision_numeric(h->precision)};
  return milo_run_build(device, program, status, func, &options, diag, out);
}

static milo_status set_seed(milo_buffer *buffer, size_t rows, double seed, milo_diag *diag) {
  float *values = milo_buffer_map(buffer, MILO_WRITE);
  for (size_t i = 0; values != NULL && i < rows; i++) values[i] = (float)seed;
  if (values != NULL && milo_buffer_unmap(buffer, values, MILO_WRITE) == MILO_OK) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a buffer of the head cannot be reached");
}

static milo_status make_part(milo_head *h, const milo_model *model, part *p, size_t first,
                             size_t rows, bool is_last, milo_diag *diag) {
  const milo_head_buffers *b = &h->buffers;
  const size_t row = (size_t)model->config.dim * sizeof(float);
  p->run = h->runs[is_last];
  MILO_TRY(milo_buffer_slice(b->x, first * row, rows * row, diag, &p->slices[0]));
  MILO_TRY(milo_buffer_slice(b->target, first * sizeof(int32_t), rows * sizeof(int32_t), diag,
                             &p->slices[1]));
  MILO_TRY(milo_buffer_slice(b->losses, first * sizeof(float), rows * sizeof(float), diag,
                             &p->slices[2]));
  if (b->dx != NULL)
    MILO_TRY(milo_buffer_slice(b->dx, first * row, rows * row, diag, &p->slices[3]));
  milo_buffer *classifier[2] = {NULL, NULL};
  milo_model_tensor_buffers(model, milo_model_classifier(&model->config), 0, classifier);
  // int8 has no gradients, and no seed.
  milo_buffer *const fifth = classifier[1] != NULL ? classifier[1] : h->seeds[is_last];
  milo_buffer *const inputs[ARGS] = {p->slices[0],
                                     milo_model_param(model, MILO_TENSOR_final_norm, 0)->buffer,
                                     classifier[0],
                                     p->slices[1],
                                     fifth,
                                     b->norm_sum,
                                     b->classifier_sum};
  milo_buffer *const outputs[RESULTS] = {p->slices[2], p->slices[3], b->norm_sum,
                                         b->classifier_sum};
  for (int i = 0; i < ARGS; i++) p->inputs[i] = inputs[i];
  for (int i = 0; i < RESULTS; i++) p->outputs[i] = outputs[i];
  return MILO_OK;
}

static milo_status fill(milo_head *h, milo_device *device, const milo_model *model, size_t rows,
                        bool add, double seed, milo_diag *diag) {
  const milo_row_parts cut = milo_row_parts_make(rows, (size_t)model->config.vocab);
  h->adds = add || cut.part < rows;
  h->count = (rows + cut.part - 1) / cut.part;
  h->parts = calloc(h->count, sizeof *h->parts);
  if (!h->parts) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a head");
  const size_t sizes[2] = {cut.part, cut.last};
  for (int i = 0; i < (cut.last < cut.part ? 2 : 1); i++) {
    MILO_TRY(compile(h, model, device, sizes[i], diag, &h->runs[i]));
    if (h->buffers.dx == NULL) continue;
    h->seed_rows[i] = sizes[i];
    MILO_TRY(milo_buffer_alloc(sizes[i] * sizeof(float), diag, &h->seeds[i]));
    MILO_TRY(set_seed(h->seeds[i], sizes[i], seed, diag));
  }
  for (size_t i = 0; i < h->count; i++) {
    const bool is_last = i + 1 == h->count && cut.last < cut.part;
    MILO_TRY(make_part(h, model, &h->parts[i], i * cut.part, sizes[is_last], is_last, diag));
  }
  return MILO_OK;
}

milo_status milo_head_create(milo_device *device, const milo_model *model, size_t rows,
                             const milo_head_buffers *buffers, bool add, double seed,
                             milo_precision precision, milo_diag *diag, milo_head **out_head) {
  *out_head = NULL;
  milo_head *h = calloc(1, sizeof *h);
  if (!h) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a head");
  h->buffers = *buffers;
  h->seed = seed;
  h->precision = precision;
  const milo_status status = fill(h, device, model, rows, add, seed, diag);
  if (status == MILO_OK)
    *out_head = h;
  else
    milo_head_destroy(h);
  return status;
}

void milo_head_destroy(milo_head *h) {
  if (!h) return;
  for (size_t i = 0; h->parts && i < h->count; i++)
    for (int k = 0; k < 4; k++) milo_buffer_release(h->parts[i].slices[k]);
  free(h->parts);
  for (int i = 0; i < 2; i++) {
    milo_run_destroy(h->runs[i]);
    milo_buffer_release(h->seeds[i]);
  }
  free(h);
}

milo_status milo_head_set_scale(milo_head *h, double factor, milo_diag *diag) {
  for (int i = 0; i < 2; i++)
    if (h->seeds[i] != NULL)
      MILO_TRY(set_seed(h->seeds[i], h->seed_rows[i], h->seed * factor, diag));
  return MILO_OK;
}

bool milo_head_adds(const milo_head *h) { return h->adds; }

milo_status milo_head_run(milo_head *h, milo_stop stop, milo_diag *diag) {
  for (size_t i = 0; i < h->count; i++) {
    if (milo_stop_asked(stop)) return MILO_ERR_INTERRUPTED;
    MILO_TRY(milo_run_execute(h->parts[i].run, h->parts[i].inputs, h->parts[i].outputs, diag));
  }
  return MILO_OK;
}
