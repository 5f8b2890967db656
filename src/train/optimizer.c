// SPDX-License-Identifier: MIT
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "generate/forward.h"
#include "generate/views.h"
#include "ir/builder.h"
#include "ir/op.h"

enum { MAX_SUM = 4096, SCALARS = 4 };

struct milo_optimizer {
  milo_model *model;
  float *gradients;
  double beta1, beta2;
  milo_executable *update[MILO_WEIGHT_COUNT], *squares[MILO_WEIGHT_COUNT];
  milo_buffer *first, *second;
  milo_buffer *sums;              // of the weight that has most
  milo_buffer *scalars[SCALARS];  // rate, grad_scale, bias1, bias2
};

static milo_value *param(milo_func *f, const char *name, int rank, const int64_t *dims) {
  return milo_func_add_param(f, name, milo_type_tensor(MILO_FP32, rank, dims));
}

// param, grad, m, v [count], rate, grad_scale, bias1, bias2 -> param, m, v (donated)
static milo_status compile_update(milo_device *device, int64_t count, double decay,
                                  const milo_train_options *o, milo_diag *diag,
                                  milo_executable **out) {
  milo_program *program = milo_program_create();
  milo_func *f = milo_program_add_func(program, "update", "ios18");
  milo_value *p = param(f, "param", 1, &count), *g = param(f, "grad", 1, &count);
  milo_value *m = param(f, "m", 1, &count), *v = param(f, "v", 1, &count);
  milo_value *rate = param(f, "lr", 0, NULL), *scale = param(f, "grad_scale", 0, NULL);
  milo_value *bias1 = param(f, "bias1", 0, NULL), *bias2 = param(f, "bias2", 0, NULL);
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *results[3];
  const milo_named args[] = {
      {"param", p},
      {"grad", g},
      {"m", m},
      {"v", v},
      {"lr", rate},
      {"grad_scale", scale},
      {"bias1", bias1},
      {"bias2", bias2},
      {"beta1", milo_b_number(&b, MILO_FP32, o->beta1)},
      {"beta2", milo_b_number(&b, MILO_FP32, o->beta2)},
      {"epsilon", milo_b_number(&b, MILO_FP32, o->epsilon)},
      {"weight_decay", milo_b_number(&b, MILO_FP32, decay)},
      {NULL, NULL},
  };
  milo_emit_multi(&b, MILO_OP_adamw, args, results, 3);
  for (int i = 0; b.status == MILO_OK && i < 3; i++) milo_func_add_output(f, results[i]);
  static const milo_alias aliases[] = {{0, 0}, {2, 1}, {3, 2}};
  const milo_executable_options options = {.aliases = aliases, .alias_count = 3};
  return milo_forward_compile(device, program, b.status, f, &options, diag, out);
}

// Elements a row of the sums of squares: a power of two that divides count (a multiple of 16).
static int64_t row_of(int64_t count) {
  int64_t row = 1;
  while (row < MAX_SUM && count % (2 * row) == 0) row *= 2;
  return row;
}

// grad [rows, row] -> sum of squares of each row
static milo_status compile_squares(milo_device *device, int64_t count, milo_diag *diag,
                                   milo_executable **out) {
  const int64_t row = row_of(count), axis = 1;
  milo_program *program = milo_program_create();
  milo_func *f = milo_program_add_func(program, "squares", "ios18");
  milo_value *grad = param(f, "grad", 2, (const int64_t[]){count / row, row});
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *sums = milo_b_reduce(&b, MILO_OP_reduce_sum_square, grad, &axis, 1, false);
  if (b.status == MILO_OK) milo_func_add_output(f, sums);
  return milo_forward_compile(device, program, b.status, f, NULL, diag, out);
}

static milo_status fill(milo_optimizer *opt, milo_device *device, const milo_train_options *o,
                        milo_diag *diag) {
  const size_t bytes = opt->model->block_elements * sizeof(float);
  MILO_TRY(milo_buffer_alloc(bytes, diag, &opt->first));
  MILO_TRY(milo_buffer_alloc(bytes, diag, &opt->second));
  for (int i = 0; i < SCALARS; i++)
    MILO_TRY(milo_buffer_alloc(sizeof(float), diag, &opt->scalars[i]));
  size_t most = 0;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &opt->model->weights[id];
    if (!w->present) continue;
    const int64_t count = (int64_t)(w->layers * w->stride);
    MILO_TRY(compile_update(device, count, w->rank == 2 ? o->weight_decay : 0, o, diag,
                            &opt->update[id]));
    MILO_TRY(compile_squares(device, count, diag, &opt->squares[id]));
    const size_t sums = (size_t)(count / row_of(count));
    if (sums > most) most = sums;
  }
  return milo_buffer_alloc(most * sizeof(float), diag, &opt->sums);
}

milo_status milo_optimizer_create(milo_device *device, milo_model *model, float *gradients,
                                  const milo_train_options *options, milo_diag *diag,
                                  milo_optimizer **out_optimizer) {
  *out_optimizer = NULL;
  milo_optimizer *opt = calloc(1, sizeof *opt);
  if (!opt) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for an optimizer");
  *opt = (milo_optimizer){
      .model = model, .gradients = gradients, .beta1 = options->beta1, .beta2 = options->beta2};
  const milo_status status = fill(opt, device, options, diag);
  if (status == MILO_OK)
    *out_optimizer = opt;
  else
    milo_optimizer_destroy(opt);
  return status;
}

void milo_optimizer_destroy(milo_optimizer *opt) {
  if (!opt) return;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    milo_executable_destroy(opt->update[id]);
    milo_executable_destroy(opt->squares[id]);
  }
  for (int i = 0; i < SCALARS; i++) milo_buffer_release(opt->scalars[i]);
  milo_buffer_release(opt->first);
  milo_buffer_release(opt->second);
  milo_buffer_release(opt->sums);
  free(opt);
}

float *milo_optimizer_first(milo_optimizer *opt) { return opt->first->data; }
float *milo_optimizer_second(milo_optimizer *opt) { return opt->second->data; }

// All layers of a weight, gaps included, in a block of the model's layout.
static milo_buffer whole(const milo_weight *w, void *block) {
  return milo_buffer_view((float *)block + w->offset, w->layers * w->stride * sizeof(float));
}

milo_status milo_optimizer_norm(milo_optimizer *opt, milo_diag *diag, double *out_norm) {
  double total = 0;
  *out_norm = 0;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &opt->model->weights[id];
    if (!w->present) continue;
    milo_buffer gradient = whole(w, opt->gradients);
    MILO_TRY(
        milo_executable_run(opt->squares[id], (milo_buffer *const[]){&gradient}, &opt->sums, diag));
    const int64_t count = (int64_t)(w->layers * w->stride);
    const float *sums = opt->sums->data;
    for (int64_t i = 0; i < count / row_of(count); i++) total += (double)sums[i];
  }
  *out_norm = sqrt(total);
  return MILO_OK;
}

milo_status milo_optimizer_step(milo_optimizer *opt, uint64_t t, double rate, double grad_scale,
                                milo_diag *diag) {
  const double scalars[SCALARS] = {rate, grad_scale, 1 - pow(opt->beta1, (double)t),
                                   1 - pow(opt->beta2, (double)t)};
  for (int i = 0; i < SCALARS; i++) *(float *)opt->scalars[i]->data = (float)scalars[i];
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &opt->model->weights[id];
    if (!w->present) continue;
    milo_buffer p = whole(w, opt->model->block), g = whole(w, opt->gradients);
    milo_buffer m = whole(w, opt->first->data), v = whole(w, opt->second->data);
    milo_buffer *const inputs[] = {
        &p, &g, &m, &v, opt->scalars[0], opt->scalars[1], opt->scalars[2], opt->scalars[3]};
    MILO_TRY(
        milo_executable_run(opt->update[id], inputs, (milo_buffer *const[]){&p, &m, &v}, diag));
  }
  return MILO_OK;
}
