// SPDX-License-Identifier: MIT
// Passes by name.
#include "api/ctx.h"
#include "api/program.h"
#include "base/option_struct.h"
#include "base/str.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"

static const milo_pass *pass_at(size_t index) {
  for (size_t i = 0; milo_passes[i].name != NULL; i++)
    if (i == index) return &milo_passes[i];
  return NULL;
}

const char *milo_pass_name(size_t index) {
  const milo_pass *pass = pass_at(index);
  return pass != NULL ? pass->name : NULL;
}

const char *milo_pass_summary(size_t index) {
  const milo_pass *pass = pass_at(index);
  return pass != NULL ? pass->what : NULL;
}

static bool keep_all(const void *user, const milo_op *op) {
  (void)user;
  (void)op;
  return true;
}

// Who hears of passes.
typedef struct listener {
  milo_dump *dump;
  const milo_optimize_options *options;
} listener;

static milo_status after(void *user, const char *pass, const milo_func *func, milo_diag *diag) {
  const listener *l = user;
  MILO_TRY(milo_dump_after(l->dump, pass, func, diag));
  if (l->options->after_pass == NULL) return MILO_OK;
  return l->options->after_pass(l->options->user, func->name, pass, func->program);
}

static milo_status need_pass(const char *name, milo_diag *diag, const milo_pass **out_pass) {
  *out_pass = milo_pass_find(name);
  if (*out_pass != NULL) return MILO_OK;
  milo_str names = {0};
  for (size_t i = 0; milo_passes[i].name != NULL; i++)
    milo_str_printf(&names, "%s%s", i > 0 ? ", " : "", milo_passes[i].name);
  const milo_status status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND,
                                       "there is no pass '%s'\nthere are: %s", name, names.data);
  milo_str_deinit(&names);
  return status;
}

static milo_status optimize(milo_func *func, const milo_optimize_options *options,
                            const milo_pass_options *passes, milo_diag *diag) {
  if (options->passes == NULL) return milo_pass_run_all(func, passes, diag);
  for (size_t i = 0; i < options->pass_count; i++) {
    const milo_pass *pass;
    MILO_TRY(need_pass(options->passes[i], diag, &pass));
    MILO_TRY(milo_pass_run(pass, func, passes, diag));
  }
  return milo_ir_verify_func(func, diag);
}

static milo_status optimize_all(milo_program *program, const milo_optimize_options *options,
                                milo_dump *dump, milo_diag *diag) {
  listener l = {dump, options};
  const milo_pass_options passes = {.eval = milo_ref_fold,
                                    .keep = options->keep_composites ? keep_all : NULL,
                                    .store = milo_pass_store(options->precision),
                                    .after = after,
                                    .after_user = &l};
  if (options->function != NULL)
    return optimize(milo_program_find_func(program, options->function), options, &passes, diag);
  for (size_t i = 0; i < program->func_count; i++)
    MILO_TRY(optimize(program->funcs[i], options, &passes, diag));
  return MILO_OK;
}

milo_status milo_program_optimize(milo_ctx *ctx, const milo_program *program,
                                  const milo_optimize_options *given, milo_program **out_program) {
  *out_program = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_optimize_options options;
  MILO_TRY(milo_take_options(milo_optimize_options, given, diag, &options));
  const milo_func *func;
  MILO_TRY(milo_program_need_func(program, options.function, diag, &func));
  for (size_t i = 0; options.passes != NULL && i < options.pass_count; i++) {
    const milo_pass *pass;
    MILO_TRY(need_pass(options.passes[i], diag, &pass));
  }
  MILO_TRY(milo_ir_verify(program, diag));
  milo_program *made = milo_program_copy(program);
  const milo_status status = optimize_all(made, &options, &ctx->dump, diag);
  if (status == MILO_OK) {
    milo_program_describe(made);
    *out_program = made;
  } else {
    milo_program_destroy(made);
  }
  return status;
}
