// SPDX-License-Identifier: MIT
// Training of programs through the public header.
#include "api/ctx.h"
#include "api/program.h"
#include "base/option_struct.h"
#include "ir/op.h"
#include "train/fit.h"

static milo_status fit(milo_ctx *ctx, const milo_program *program, const milo_fit_data *data,
                       size_t data_count, const milo_fit_options *options, milo_program *copy,
                       milo_train_result *out_result) {
  milo_diag *diag = &ctx->diag;
  const milo_func *origin;
  milo_device *device = NULL;
  MILO_TRY(milo_program_need_func(program, options->function, diag, &origin));
  MILO_TRY(milo_ir_verify_func(origin, diag));
  MILO_TRY(milo_ctx_device(ctx, options->device, &device));
  return milo_fit_run(device, milo_program_find_func(copy, origin->name), data, data_count, options,
                      milo_program_write, diag, out_result);
}

milo_status milo_fit(milo_ctx *ctx, const milo_program *program, const milo_fit_data *data,
                     size_t data_count, const milo_fit_options *given, milo_program **out_program,
                     milo_train_result *out_result) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_fit_options options;
  milo_train_result result = {0};
  if (out_program) *out_program = NULL;
  if (out_result) *out_result = result;
  MILO_TRY(milo_take_options(milo_fit_options, given, diag, &options));
  milo_program *copy = milo_program_copy(program);
  const milo_status status = fit(ctx, program, data, data_count, &options, copy, &result);
  if (out_result) *out_result = result;
  if (out_program && (status == MILO_OK || status == MILO_ERR_INTERRUPTED)) {
    milo_program_describe(copy);
    *out_program = copy;
  } else {
    milo_program_destroy(copy);
  }
  return status;
}
