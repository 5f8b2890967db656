// SPDX-License-Identifier: MIT
// Step plans by name, and their programs.
#include "api/ctx.h"
#include "api/program.h"
#include "base/option_struct.h"
#include "model/config.h"
#include "model/model.h"
#include "train/plan.h"
#include "train/plan_list.h"
#include "train/regression.h"

static const milo_plan_type *plan_at(size_t plan) {
  size_t i = 1;
  while (i < plan && milo_plan_types[i - 1]) i++;
  return i == plan ? milo_plan_types[i - 1] : NULL;
}

const char *milo_plan_name(size_t plan) {
  const milo_plan_type *type = plan_at(plan);
  return type ? type->name : NULL;
}

const char *milo_plan_summary(size_t plan) {
  const milo_plan_type *type = plan_at(plan);
  return type ? type->summary : NULL;
}

milo_status milo_plan_list(milo_ctx *ctx, const milo_model_config *config,
                           const milo_plan_list_options *given) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_plan_list_options options;
  milo_model_config complete;
  milo_device *device = NULL;
  MILO_TRY(milo_take_options(milo_plan_list_options, given, diag, &options));
  if (!options.each)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "a list of programs needs `each`");
  MILO_TRY(milo_model_config_complete(config, diag, &complete));
  if (options.model) {
    const char *field = milo_model_config_difference(&complete, &options.model->config);
    if (field)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "the model is not of the description given (model.%s)", field);
  }
  MILO_TRY(milo_ctx_device(ctx, NULL, &device));
  return milo_plan_list_run(device, &complete, &options, milo_program_describe, diag);
}

milo_status milo_train_regression(milo_ctx *ctx, const milo_model_config *config,
                                  const milo_train_options *given, milo_train_result *out_result) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_train_options options;
  milo_model_config complete;
  milo_device *device = NULL;
  milo_train_result result = {0};
  if (out_result) *out_result = result;
  MILO_TRY(milo_take_options(milo_train_options, given, diag, &options));
  MILO_TRY(milo_model_config_complete(config, diag, &complete));
  MILO_TRY(milo_ctx_device(ctx, options.device, &device));
  const milo_status status = milo_regression_run(device, &complete, &options, diag, &result);
  if (out_result) *out_result = result;
  return status;
}
