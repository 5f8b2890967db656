// SPDX-License-Identifier: MIT
// Models, generation, evaluation and training through the public header.
#include <stdlib.h>

#include "api/ctx.h"
#include "api/model_file.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/option_struct.h"
#include "generate/eval.h"
#include "generate/generate.h"
#include "model/config.h"
#include "model/llama2c.h"
#include "train/folder.h"
#include "train/train.h"

milo_status milo_model_config_load(milo_ctx *ctx, const char *name_or_path,
                                   milo_model_config *out_config) {
  milo_diag *diag = milo_ctx_begin(ctx);
  return milo_model_file_config(name_or_path, diag, out_config);
}

const char *milo_model_name(size_t index) { return milo_model_config_name(index); }

milo_status milo_model_create(milo_ctx *ctx, const milo_model_config *config, uint64_t seed,
                              milo_model **out_model) {
  MILO_TRY(milo_model_alloc(config, milo_ctx_begin(ctx), out_model));
  const milo_status status =
      milo_model_randomize(*out_model, MILO_INIT_NORMAL, seed, ctx->host.pool, &ctx->diag);
  if (status == MILO_OK) return MILO_OK;
  milo_model_destroy(*out_model);
  *out_model = NULL;
  return status;
}

milo_status milo_model_init(milo_ctx *ctx, milo_model *model, milo_init init, uint64_t seed) {
  milo_diag *diag = milo_ctx_begin(ctx);
  if ((unsigned)init > MILO_INIT_UNIFORM)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "there is no init %d", (int)init);
  if (milo_stored_dtype(&model->stored[MILO_TENSOR_embedding]) != MILO_FP32)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "the model is not stored in fp32");
  return milo_model_randomize(model, init, seed, ctx->host.pool, diag);
}

milo_status milo_model_load(milo_ctx *ctx, const char *path, milo_model **out_model) {
  milo_diag *diag = milo_ctx_begin(ctx);
  return milo_model_file_read(path, diag, out_model);
}

milo_status milo_model_save(milo_ctx *ctx, const milo_model *model, const char *path,
                            bool version1) {
  return milo_llama2c_write(model, path, version1, milo_ctx_begin(ctx));
}

const char *milo_model_save_obstacle(const milo_model *model) {
  return milo_llama2c_obstacle(&model->config);
}

void milo_model_get_config(const milo_model *model, milo_model_config *out_config) {
  *out_config = model->config;
}

uint64_t milo_model_parameter_count(const milo_model *model) { return milo_model_weights(model); }
uint64_t milo_model_weight_bytes(const milo_model *model) { return milo_model_bytes(model); }

milo_status milo_model_store(milo_ctx *ctx, milo_model *model, milo_dtype dtype, size_t group) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_stored stored[MILO_TENSOR_COUNT];
  if (group > INT32_MAX || (group > 0 && dtype != MILO_INT8))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     group > INT32_MAX ? "a group of weights is larger than any row"
                                       : "only int8 weights have groups");
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) stored[i] = (milo_stored){dtype, (int64_t)group};
  return milo_model_restore(model, stored, diag);
}

milo_dtype milo_model_stored(const milo_model *model, size_t *out_group) {
  const milo_stored *stored = &model->stored[MILO_TENSOR_embedding];
  if (out_group) *out_group = (size_t)stored->group;
  return stored->dtype;
}

bool milo_model_stops(const milo_model *model, uint32_t token) {
  return milo_model_config_stops(&model->config, token);
}

milo_status milo_generate(milo_ctx *ctx, const milo_model *model, const uint32_t *prompt,
                          size_t prompt_count, const milo_generate_options *given,
                          uint32_t **out_ids, size_t *out_count, milo_generate_stats *out_stats) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_generate_options options;
  milo_generate_stats stats = {0};
  size_t steps = 0, count = 0;
  if (out_ids) *out_ids = NULL;
  if (out_count) *out_count = 0;
  if (out_stats) *out_stats = stats;
  MILO_TRY(milo_take_options(milo_generate_options, given, diag, &options));
  milo_device *device = NULL;
  MILO_TRY(milo_ctx_device(ctx, options.device, &device));
  MILO_TRY(milo_generate_steps(model, prompt, prompt_count, &options, diag, &steps));
  uint32_t *ids = calloc(steps, sizeof *ids);
  if (!ids) return milo_memory_fail("tokens", steps * sizeof *ids, diag);
  const milo_status status =
      milo_generate_run(device, model, prompt, prompt_count, &options, diag, ids, &count, &stats);
  if (status == MILO_OK && out_ids) {
    *out_ids = ids;
    ids = NULL;
  }
  free(ids);
  if (status == MILO_OK && out_count) *out_count = count;
  if (status == MILO_OK && out_stats) *out_stats = stats;
  return status;
}

milo_status milo_eval(milo_ctx *ctx, const milo_model *model, const uint32_t *ids, size_t count,
                      const milo_eval_options *given, milo_eval_result *out_result) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_eval_options options;
  *out_result = (milo_eval_result){0};
  MILO_TRY(milo_take_options(milo_eval_options, given, diag, &options));
  milo_device *device = NULL;
  MILO_TRY(milo_ctx_device(ctx, options.device, &device));
  return milo_eval_run(device, model, ids, count, &options, diag, out_result);
}

milo_status milo_train_check(milo_ctx *ctx, const milo_train_options *given) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_train_options options;
  MILO_TRY(milo_take_options(milo_train_options, given, diag, &options));
  return milo_folder_check(&options, diag);
}

milo_status milo_train(milo_ctx *ctx, milo_model *model, const uint32_t *ids, size_t count,
                       const milo_train_options *given, milo_train_result *out_result) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_train_options options;
  milo_train_result result = {0};
  if (out_result) *out_result = result;
  MILO_TRY(milo_take_options(milo_train_options, given, diag, &options));
  for (int i = 0; i < MILO_TENSOR_COUNT; i++)
    if (model->stored[i].dtype != MILO_FP32)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                       "the model's weights are stored as %s, training needs fp32",
                       milo_dtype_name(model->stored[i].dtype));
  milo_device *device = NULL;
  milo_status status = milo_ctx_device(ctx, options.device, &device);
  if (status == MILO_OK)
    status = milo_train_run(device, model, ids, count, &options, diag, &result);
  if (out_result) *out_result = result;
  return status;
}
