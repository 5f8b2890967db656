// SPDX-License-Identifier: MIT
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "ir/builder.h"
#include "ir/op.h"

enum { SCALARS = 4, MAX_ROW = 4096 };

// The programs for tensors of one size: many parameters share them.
typedef struct kind {
  int64_t count, row;  // elements; of a row of the sums of squares
  double decay;
  milo_run *update, *squares;
} kind;

struct milo_optimizer {
  milo_params *params;
  milo_buffer *const *gradients;
  milo_optimizer_rule rule;
  double beta1, beta2;
  kind *kinds;
  size_t kind_count;
  size_t *kind_of;           // one a parameter
  milo_buffer **moments[2];  // one a parameter
  milo_buffer *sums;         // of the tensor that has most rows
  float *host_sums;
  milo_buffer *scalars[SCALARS];  // rate, grad_scale, bias1, bias2
};

static milo_value *param(milo_func *f, const char *name, int rank, const int64_t *dims) {
  return milo_func_add_param(f, name, milo_type_tensor(MILO_FP32, rank, dims));
}

// param, grad, m, v [count], rate, grad_scale, bias1, bias2 -> param, m, v (donated)
static milo_status compile_update(milo_device *device, kind *k, const milo_train_options *o,
                                  milo_diag *diag) {
  milo_program *program = milo_program_create();
  milo_func *f = milo_program_add_func(program, "update", "ios18");
  milo_value *p = param(f, "param", 1, &k->count), *g = param(f, "grad", 1, &k->count);
  milo_value *m = param(f, "m", 1, &k->count), *v = param(f, "v", 1, &k->count);
  milo_value *rate = param(f, "lr", 0, NULL), *scale = param(f, "grad_scale", 0, NULL);
  milo_value *bias1 = param(f, "bias1", 0, NULL), *bias2 = param(f, "bias2", 0, NULL);
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *results[3];
  const bool in_gradient = o->optimizer == MILO_OPTIMIZER_ADAM && k->decay != 0;
  if (in_gradient) {
    g = milo_b_add(&b, milo_b_mul(&b, g, scale), milo_b_scale(&b, p, k->decay));
    scale = milo_b_number(&b, MILO_FP32, 1);
  }
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
      {"weight_decay", milo_b_number(&b, MILO_FP32, in_gradient ? 0 : k->decay)},
      {NULL, NULL},
  };
  milo_emit_multi(&b, MILO_OP_adamw, args, results, 3);
  for (int i = 0; b.status == MILO_OK && i < 3; i++) milo_func_add_output(f, results[i]);
  static const milo_alias aliases[] = {{0, 0}, {2, 1}, {3, 2}};
  static const milo_role roles[8] = {
      [0] = MILO_ROLE_STATE, [2] = MILO_ROLE_STATE, [3] = MILO_ROLE_STATE};
  const milo_executable_options options = {.aliases = aliases, .alias_count = 3, .roles = roles};
  return milo_run_build(device, program, b.status, f, &options, diag, &k->update);
}

// param, grad, m [count], rate, grad_scale -> param, m (donated)
static milo_status compile_sgd(milo_device *device, kind *k, double momentum, milo_diag *diag) {
  milo_program *program = milo_program_create();
  milo_func *f = milo_program_add_func(program, "update", "ios18");
  milo_value *p = param(f, "param", 1, &k->count), *g = param(f, "grad", 1, &k->count);
  milo_value *m = param(f, "m", 1, &k->count);
  milo_value *rate = param(f, "lr", 0, NULL), *scale = param(f, "grad_scale", 0, NULL);
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *step = milo_b_mul(&b, g, scale);
  if (k->decay != 0) step = milo_b_add(&b, step, milo_b_scale(&b, p, k->decay));
  milo_value *sum = milo_b_add(&b, milo_b_scale(&b, m, momentum), step);
  milo_value *next = milo_b_sub(&b, p, milo_b_mul(&b, sum, rate));
  if (b.status == MILO_OK) {
    milo_func_add_output(f, next);
    milo_func_add_output(f, sum);
  }
  static const milo_alias aliases[] = {{0, 0}, {2, 1}};
  static const milo_role roles[5] = {[0] = MILO_ROLE_STATE, [2] = MILO_ROLE_STATE};
  const milo_executable_options options = {.aliases = aliases, .alias_count = 2, .roles = roles};
  return milo_run_build(device, program, b.status, f, &options, diag, &k->update);
}

// grad [rows, row] -> sum of squares of each row
static milo_status compile_squares(milo_device *device, kind *k, milo_diag *diag) {
  const int64_t axis = 1;
  milo_program *program = milo_program_create();
  milo_func *f = milo_program_add_func(program, "squares", "ios18");
  milo_value *grad = param(f, "grad", 2, (const int64_t[]){k->count / k->row, k->row});
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *sums = milo_b_reduce(&b, MILO_OP_reduce_sum_square, grad, &axis, 1, false);
  if (b.status == MILO_OK) milo_func_add_output(f, sums);
  return milo_run_build(device, program, b.status, f, NULL, diag, &k->squares);
}

// Long rows are cut to at most MAX_ROW elements where that divides; a row that cannot be cut is
// summed in blocks of as many by the device.
static int64_t row_of(const milo_type *type) {
  const int64_t count = (int64_t)milo_type_elements(type);
  int64_t row = type->rank > 0 && type->dims[0] > 0 ? count / type->dims[0] : count;
  if (type->rank == 1) row = count;
  while (row > MAX_ROW && row % 2 == 0) row /= 2;
  return row > 0 ? row : 1;
}

// The programs for a parameter, made if no other has needed them yet.
static milo_status find_kind(milo_optimizer *opt, milo_device *device, const milo_parameter *p,
                             const milo_train_options *o, milo_diag *diag, size_t *out) {
  const kind wanted = {.count = (int64_t)milo_type_elements(&p->type),
                       .row = row_of(&p->type),
                       .decay = p->decays ? o->weight_decay : 0};
  for (*out = 0; *out < opt->kind_count; ++*out) {
    const kind *k = &opt->kinds[*out];
    if (k->count == wanted.count && k->row == wanted.row && k->decay == wanted.decay)
      return MILO_OK;
  }
  kind *k = &opt->kinds[opt->kind_count++];
  *k = wanted;
  MILO_TRY(opt->rule.sgd ? compile_sgd(device, k, opt->rule.momentum, diag)
                         : compile_update(device, k, o, diag));
  return compile_squares(device, k, diag);
}

static milo_status fill(milo_optimizer *opt, milo_device *device, const milo_train_options *o,
                        milo_diag *diag) {
  const size_t count = opt->params->count;
  opt->kinds = calloc(count + 1, sizeof *opt->kinds);
  opt->kind_of = calloc(count + 1, sizeof *opt->kind_of);
  for (int i = 0; i < 2; i++) opt->moments[i] = calloc(count + 1, sizeof *opt->moments[i]);
  if (!opt->kinds || !opt->kind_of || !opt->moments[0] || !opt->moments[1])
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for an optimizer");
  size_t most = 1;
  for (size_t i = 0; i < count; i++) {
    const milo_parameter *p = &opt->params->items[i];
    if (!p->trainable) continue;
    if (p->type.dtype != MILO_FP32)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                       "training: parameter %s is stored in %s, training needs fp32", p->name,
                       milo_dtype_name(p->type.dtype));
    MILO_TRY(find_kind(opt, device, p, o, diag, &opt->kind_of[i]));
    const kind *k = &opt->kinds[opt->kind_of[i]];
    const size_t rows = (size_t)(k->count / k->row);
    if (rows > most) most = rows;
    for (int m = 0; m < (opt->rule.sgd ? 1 : 2); m++)
      MILO_TRY(milo_device_alloc(device, milo_type_bytes(&p->type), diag, &opt->moments[m][i]));
  }
  for (int i = 0; i < SCALARS; i++)
    MILO_TRY(milo_device_alloc(device, sizeof(float), diag, &opt->scalars[i]));
  opt->host_sums = calloc(most, sizeof *opt->host_sums);
  if (!opt->host_sums)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for an optimizer");
  return milo_device_alloc(device, most * sizeof(float), diag, &opt->sums);
}

milo_status milo_optimizer_create(milo_device *device, milo_params *params,
                                  milo_buffer *const *gradients, const milo_optimizer_rule *rule,
                                  const milo_train_options *options, milo_diag *diag,
                                  milo_optimizer **out_optimizer) {
  *out_optimizer = NULL;
  milo_optimizer *opt = calloc(1, sizeof *opt);
  if (!opt) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for an optimizer");
  opt->params = params;
  opt->gradients = gradients;
  opt->rule = *rule;
  opt->beta1 = options->beta1;
  opt->beta2 = options->beta2;
  const milo_status status = fill(opt, device, options, diag);
  if (status == MILO_OK)
    *out_optimizer = opt;
  else
    milo_optimizer_destroy(opt);
  return status;
}

void milo_optimizer_destroy(milo_optimizer *opt) {
  if (!opt) return;
  for (size_t i = 0; i < opt->kind_count; i++) {
    milo_run_destroy(opt->kinds[i].update);
    milo_run_destroy(opt->kinds[i].squares);
  }
  for (int m = 0; m < 2; m++) {
    for (size_t i = 0; opt->moments[m] && i < opt->params->count; i++)
      milo_buffer_release(opt->moments[m][i]);
    free(opt->moments[m]);
  }
  for (int i = 0; i < SCALARS; i++) milo_buffer_release(opt->scalars[i]);
  milo_buffer_release(opt->sums);
  free(opt->kinds);
  free(opt->kind_of);
  free(opt->host_sums);
  free(opt);
}

milo_buffer *const *milo_optimizer_moments(const milo_optimizer *opt, int order) {
  return opt->moments[order - 1];
}

static milo_status unreachable(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY,
                   "a buffer of the optimizer cannot be reached");
}

milo_status milo_optimizer_norm(milo_optimizer *opt, milo_diag *diag, double *out_norm) {
  double total = 0;
  *out_norm = 0;
  for (size_t i = 0; i < opt->params->count; i++) {
    if (!opt->params->items[i].trainable) continue;
    const kind *k = &opt->kinds[opt->kind_of[i]];
    const size_t rows = (size_t)(k->count / k->row);
    MILO_TRY(milo_run_execute(k->squares, &opt->gradients[i], &opt->sums, diag));
    if (milo_buffer_read(opt->sums, 0, opt->host_sums, rows * sizeof *opt->host_sums) != MILO_OK)
      return unreachable(diag);
    for (size_t r = 0; r < rows; r++) total += (double)opt->host_sums[r];
  }
  *out_norm = sqrt(total);
  return MILO_OK;
}

milo_status milo_optimizer_step(milo_optimizer *opt, uint64_t t, double rate, double grad_scale,
                                milo_diag *diag) {
  const double scalars[SCALARS] = {rate, grad_scale, 1 - pow(opt->beta1, (double)t),
                                   1 - pow(opt->beta2, (double)t)};
  milo_buffer *const *s = opt->scalars;
  for (int i = 0; i < SCALARS; i++) {
    const float value = (float)scalars[i];
    if (milo_buffer_write(s[i], 0, &value, sizeof value) != MILO_OK) return unreachable(diag);
  }
  for (size_t i = 0; i < opt->params->count; i++) {
    const milo_parameter *p = &opt->params->items[i];
    if (!p->trainable) continue;
    milo_buffer *m = opt->moments[0][i], *v = opt->moments[1][i];
    milo_buffer *const inputs[] = {p->buffer, opt->gradients[i], m, v, s[0], s[1], s[2], s[3]};
    milo_buffer *const sgd[] = {p->buffer, opt->gradients[i], m, s[0], s[1]};
    milo_buffer *const outputs[] = {p->buffer, m, v};
    MILO_TRY(milo_run_execute(opt->kinds[opt->kind_of[i]].update, opt->rule.sgd ? sgd : inputs,
                              outputs, diag));
  }
  return MILO_OK;
}

const char *milo_optimizer_moment_prefix(const milo_optimizer_rule *rule, int order) {
  if (rule->sgd) return order == 1 ? "sgd.momentum." : NULL;
  return order == 1 ? "adamw.m." : "adamw.v.";
}
