// SPDX-License-Identifier: MIT
// Differentiation.
#include <string.h>

#include "api/ctx.h"
#include "api/program.h"
#include "base/number.h"
#include "base/option_struct.h"
#include "base/str.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"

// Folds what stays small: a gradient is to be read, and whoever compiles it folds the rest.
static milo_status fold_small(const milo_op *op, milo_arena *arena, milo_literal *out_results,
                              milo_diag *diag) {
  enum { MAX_BYTES = 1024 };
  for (size_t i = 0; i < op->result_count; i++)
    if (milo_type_bytes(&op->results[i]->type) > MAX_BYTES) return MILO_ERR_UNSUPPORTED;
  return milo_ref_fold(op, arena, out_results, diag);
}

static bool keep_all(const void *user, const milo_op *op) {
  (void)user;
  (void)op;
  return true;
}

static milo_status need_input(const milo_func *func, const milo_value *const *sorted,
                              const char *name, milo_diag *diag, milo_value **out_param) {
  *out_param = milo_params_find(func, sorted, name);
  if (*out_param != NULL) return MILO_OK;
  milo_str names = {0};
  for (size_t i = 0; i < func->body->param_count; i++)
    milo_str_printf(&names, "%s%s", i > 0 ? ", " : "", func->body->params[i]->name);
  const milo_status status =
      milo_fail(diag, func->loc, MILO_ERR_NOT_FOUND, "function %s has no input %s\nit has: %s",
                func->name, name, names.data != NULL ? names.data : "none");
  milo_str_deinit(&names);
  return status;
}

// The inputs to differentiate, in the caller's order; all floating-point ones if it named none.
static milo_status list_wrt(milo_func *func, const milo_grad_options *options, milo_diag *diag,
                            milo_value **out_wrt, size_t *out_count) {
  *out_count = 0;
  for (size_t i = 0; options->wrt == NULL && i < func->body->param_count; i++) {
    milo_value *param = func->body->params[i];
    const bool is_float = param->type.kind == MILO_TYPE_TENSOR &&
                          milo_dtype_is_float(param->type.dtype) &&
                          milo_dtype_bits(param->type.dtype) >= 16;
    if (is_float) out_wrt[(*out_count)++] = param;
  }
  const milo_value **sorted = milo_params_sort(func, &func->program->arena);
  bool *named = MILO_NEW_ARRAY(&func->program->arena, bool, func->body->param_count);
  for (size_t i = 0; options->wrt != NULL && i < options->wrt_count; i++) {
    MILO_TRY(need_input(func, sorted, options->wrt[i], diag, &out_wrt[i]));
    if (named[out_wrt[i]->index])
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "input %s is named twice",
                       options->wrt[i]);
    named[out_wrt[i]->index] = true;
    *out_count = i + 1;
  }
  if (*out_count == 0)
    return milo_fail(diag, func->loc, MILO_ERR_INVALID,
                     "function %s has no floating-point input to differentiate", func->name);
  return MILO_OK;
}

static milo_status simplify(milo_func *func, bool keep_composites, milo_dtype store,
                            milo_dump *dump, milo_diag *diag) {
  const milo_pass_options passes = {.eval = fold_small,
                                    .store = store,
                                    .keep = keep_composites ? keep_all : NULL,
                                    .after = milo_dump_after,
                                    .after_user = dump};
  return milo_pass_run_all(func, &passes, diag);
}

// Shapes that the caller gave, and those that the function computes from them, become known, so
// that gradients can rely on them.
static milo_status settle_shapes(milo_func *func, const milo_grad_options *options, milo_dump *dump,
                                 milo_diag *diag) {
  const size_t count = func->body->param_count;
  milo_type *types = MILO_NEW_ARRAY(&func->program->arena, milo_type, count);
  MILO_TRY(milo_program_input_types(func, options->inputs, options->input_count, diag, types));
  if (options->input_count > 0) MILO_TRY(milo_func_specialize(func, types, diag));
  MILO_TRY(simplify(func, true, MILO_DTYPE_NONE, dump, diag));
  return milo_func_specialize(func, types, diag);
}

static milo_status split(milo_program *program, milo_func *func, size_t seeds, size_t grads,
                         milo_diag *diag) {
  milo_func *forward, *backward;
  const char *forward_name = milo_arena_printf(&program->arena, "%s_forward", func->name);
  const char *backward_name = milo_arena_printf(&program->arena, "%s_backward", func->name);
  MILO_TRY(
      milo_split_grad(func, seeds, grads, forward_name, backward_name, diag, &forward, &backward));
  milo_program_remove_func(program, func);
  return MILO_OK;
}

// What is put before a name must leave it a name.
static milo_status check_prefix(const char *prefix, milo_diag *diag) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  const size_t bytes = strlen(prefix);
  if (bytes > 0 && strspn(prefix, letters) > 0) {
    size_t named = 0;
    while (named < bytes && (strchr(letters, prefix[named]) != NULL ||
                             (prefix[named] >= '0' && prefix[named] <= '9')))
      named++;
    if (named == bytes) return MILO_OK;
  }
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "'%s' cannot stand before a name\na prefix is letters, digits and _, no digit "
                   "first",
                   prefix);
}

static milo_status differentiate(milo_program *program, const milo_func *origin,
                                 const milo_grad_options *options, milo_dump *dump,
                                 milo_diag *diag) {
  milo_func *func = milo_func_clone(program, origin, origin->name);
  const size_t inputs = func->body->param_count;
  const size_t room = options->wrt != NULL ? options->wrt_count : inputs;
  milo_value **wrt = MILO_NEW_ARRAY(&program->arena, milo_value *, room);
  size_t count;
  MILO_TRY(list_wrt(func, options, diag, wrt, &count));
  MILO_TRY(settle_shapes(func, options, dump, diag));
  const char *prefix = options->prefix != NULL ? options->prefix : "grad_";
  const char *seed_prefix = options->seed_prefix != NULL ? options->seed_prefix : prefix;
  MILO_TRY(milo_autodiff_named(func, wrt, count, prefix, seed_prefix, diag));
  MILO_TRY(milo_dump_after(dump, "autodiff", func, diag));
  const milo_dtype store = milo_pass_store(options->precision);
  // Twice: what the first round simplifies can leave equal operations behind.
  for (int round = 0; round < 2; round++)
    MILO_TRY(
        simplify(func, options->keep_composites, round == 0 ? store : MILO_DTYPE_NONE, dump, diag));
  if (!options->split) return MILO_OK;
  return split(program, func, func->body->param_count - inputs, count, diag);
}

milo_status milo_program_grad(milo_ctx *ctx, const milo_program *program,
                              const milo_grad_options *given, milo_program **out_program) {
  *out_program = NULL;
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_grad_options options;
  MILO_TRY(milo_take_options(milo_grad_options, given, diag, &options));
  if (options.prefix != NULL) MILO_TRY(check_prefix(options.prefix, diag));
  if (options.seed_prefix != NULL) MILO_TRY(check_prefix(options.seed_prefix, diag));
  const milo_func *func;
  MILO_TRY(milo_program_need_func(program, options.function, diag, &func));
  MILO_TRY(milo_ir_verify_func(func, diag));
  milo_program *made = milo_program_create();
  made->has_attrs = program->has_attrs;
  made->attrs = program->attrs;  // lives in the origin, which the clone keeps alive
  made->attrs.capacity = made->attrs.count;
  made->final_newline = true;
  const milo_status status = differentiate(made, func, &options, &ctx->dump, diag);
  if (status == MILO_OK) {
    milo_program_describe(made);
    *out_program = made;
  } else {
    milo_program_destroy(made);
  }
  return status;
}
