// SPDX-License-Identifier: MIT
#include "train/fit_program.h"

#include <string.h>

#include "base/number.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"

#define FAIL(...) milo_fail(diag, func->loc, MILO_ERR_INVALID, __VA_ARGS__)

// ---- what is asked ----

milo_status milo_loss_parse(const char *text, milo_arena *arena, milo_diag *diag,
                            milo_loss *out_loss) {
  static const struct {
    const char *prefix;
    milo_loss_kind kind;
  } kinds[] = {{"mse:", MILO_LOSS_MSE}, {"cross_entropy:", MILO_LOSS_CROSS_ENTROPY}};
  *out_loss = (milo_loss){MILO_LOSS_OUTPUT, text, NULL};
  for (size_t i = 0; text && i < sizeof kinds / sizeof *kinds; i++) {
    const size_t bytes = strlen(kinds[i].prefix);
    if (strncmp(text, kinds[i].prefix, bytes) != 0) continue;
    const char *equals = strchr(text, '=');
    if (equals && equals > text + bytes && equals[1] != '\0') {
      *out_loss = (milo_loss){
          kinds[i].kind, milo_arena_strndup(arena, text + bytes, (size_t)(equals - text) - bytes),
          milo_arena_strdup(arena, equals + 1)};
      return MILO_OK;
    }
  }
  if (text && *text != '\0' && !strpbrk(text, ":=")) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "%s%s%s is no loss\na loss is the name of an output, mse:OUTPUT=TARGET or "
                   "cross_entropy:OUTPUT=TARGET",
                   text ? "'" : "", text ? text : "nothing", text ? "'" : "");
}

milo_status milo_fit_batch(const milo_func *func, milo_diag *diag, size_t *out_batch) {
  const milo_value *fixed = NULL;
  *out_batch = 0;
  for (size_t i = 0; i < func->body->param_count; i++) {
    const milo_value *input = func->body->params[i];
    if (input->type.kind != MILO_TYPE_TENSOR || input->type.rank < 1)
      return FAIL("input %s has no first axis to cut batches from", input->name);
    const int64_t rows = input->type.dims[0];
    if (rows == MILO_DIM_UNKNOWN) continue;
    if (rows == 0) return FAIL("input %s has no rows", input->name);
    if (fixed && rows != fixed->type.dims[0])
      return FAIL(
          "input %s has %lld rows, input %s %lld\nthe first axis of every input is the batch",
          fixed->name, (long long)fixed->type.dims[0], input->name, (long long)rows);
    fixed = input;
    *out_batch = (size_t)rows;
  }
  return MILO_OK;
}

// ---- the loss ----

static milo_status keep_output(milo_func *func, const char *name, milo_diag *diag) {
  milo_block *body = func->body;
  milo_str names = {0};
  for (size_t i = 0; i < body->output_count; i++) {
    if (strcmp(body->outputs[i]->name, name) == 0) {
      body->outputs[0] = body->outputs[i];
      body->output_count = 1;
      milo_str_deinit(&names);
      return MILO_OK;
    }
    milo_str_printf(&names, "%s%s", i > 0 ? ", " : "", body->outputs[i]->name);
  }
  const milo_status status =
      milo_fail(diag, func->loc, MILO_ERR_NOT_FOUND, "function %s has no output %s\nit has: %s",
                func->name, name, names.data ? names.data : "none");
  milo_str_deinit(&names);
  return status;
}

static milo_value *to_fp32(milo_builder *b, milo_value *x) {
  return x->type.dtype == MILO_FP32 ? x : milo_b_cast(b, x, MILO_FP32);
}

static milo_value *mean(milo_builder *b, milo_value *x) {
  int64_t axes[MILO_MAX_RANK];
  if (x == NULL || x->type.rank == 0) return x;
  for (int i = 0; i < x->type.rank; i++) axes[i] = i;
  return milo_b_reduce(b, MILO_OP_reduce_mean, x, axes, x->type.rank, false);
}

static milo_value *cross_entropy(milo_builder *b, milo_value *logits, milo_value *target) {
  const int64_t classes = logits->type.dims[logits->type.rank - 1];
  const int64_t rows = (int64_t)milo_type_elements(&target->type);
  milo_value *results[2] = {NULL, NULL};
  const milo_named args[] = {
      {"logits", milo_b_reshape(b, to_fp32(b, logits), (const int64_t[]){rows, classes}, 2)},
      {"target", milo_b_reshape(b, target, &rows, 1)},
      {NULL, NULL}};
  milo_emit_multi(b, MILO_OP_cross_entropy, args, results, 2);
  return results[0];
}

// The function's only output becomes the loss of it.
static milo_status add_loss(milo_func *func, const milo_loss *loss, int64_t batch, milo_diag *diag,
                            int64_t *out_classes) {
  milo_value *output = func->body->outputs[0];
  const milo_type *type = &output->type;
  milo_arena *arena = &func->program->arena;
  if (type->kind != MILO_TYPE_TENSOR || !milo_type_is_static(type))
    return FAIL("the shape of output %s is not known: it cannot be trained", loss->output);
  if (!milo_dtype_is_float(type->dtype))
    return FAIL("output %s is %s, not floating-point", loss->output,
                milo_type_format(arena, type, true));
  milo_builder b = milo_builder_at_end(func, diag);
  milo_value *value = output;
  if (loss->kind == MILO_LOSS_OUTPUT) {
    if (milo_type_elements(type) != 1)
      return FAIL(
          "output %s is %s, a loss is one number\n--loss mse:%s=TARGET or cross_entropy:%s=TARGET "
          "makes one of it",
          loss->output, milo_type_format(arena, type, true), loss->output, loss->output);
    value = to_fp32(&b, output);
  } else {
    const bool classes = loss->kind == MILO_LOSS_CROSS_ENTROPY;
    milo_type target_type = *type;
    if (type->rank < (classes ? 2 : 1) || type->dims[0] != batch || milo_type_elements(type) == 0)
      return FAIL("output %s is %s, expected %s: the first axis is the batch, %lld", loss->output,
                  milo_type_format(arena, type, true),
                  classes ? "[batch, ..., classes]" : "[batch, ...]", (long long)batch);
    if (classes) {
      target_type.dtype = MILO_INT32;
      target_type.rank--;
      *out_classes = type->dims[type->rank - 1];
    }
    milo_value *target =
        milo_func_add_param(func, milo_func_fresh_name(func, loss->target), target_type);
    if (classes) {
      value = cross_entropy(&b, output, target);
    } else {
      milo_value *difference = milo_b_sub(&b, to_fp32(&b, output), to_fp32(&b, target));
      value = milo_b_unary(&b, MILO_OP_square, difference);
    }
  }
  value = mean(&b, value);
  // The seed of an output that is an input would have no operation between the two.
  if (b.status == MILO_OK && value->def == NULL) value = milo_b_add_number(&b, value, 0);
  if (b.status == MILO_OK) func->body->outputs[0] = value;
  return b.status;
}

// ---- which constants the loss depends on ----

static void mark_block(const milo_block *block, bool *needed);

static void mark_args(const milo_op *op, bool *needed) {
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) needed[op->args[i].values[k]->id] = true;
  for (size_t i = 0; i < op->block_count; i++) mark_block(op->blocks[i], needed);
}

static void mark_block(const milo_block *block, bool *needed) {
  for (const milo_op *op = block->first; op; op = op->next) mark_args(op, needed);
}

static void mark_needed(milo_func *func, bool *needed) {
  needed[func->body->outputs[0]->id] = true;
  for (const milo_op *op = func->body->last; op; op = op->prev) {
    bool any = false;
    for (size_t i = 0; i < op->result_count; i++) any = any || needed[op->results[i]->id];
    if (any && !milo_op_info_get(op->code)->zero_grad) mark_args(op, needed);
  }
}

// ---- the whole ----

// Folds what shapes come from; whoever compiles the function folds the rest.
static milo_status fold_small(const milo_op *op, milo_arena *arena, milo_literal *out_results,
                              milo_diag *diag) {
  for (size_t i = 0; i < op->result_count; i++)
    if (milo_type_bytes(&op->results[i]->type) > 1024) return MILO_ERR_UNSUPPORTED;
  return milo_ref_fold(op, arena, out_results, diag);
}

static bool keep_all(const void *user, const milo_op *op) {
  (void)user;
  (void)op;
  return true;
}

static milo_status settle_shapes(milo_func *func, const milo_type *types, milo_diag *diag) {
  const milo_pass_options passes = {.eval = fold_small, .keep = keep_all};
  MILO_TRY(milo_func_specialize(func, types, diag));
  MILO_TRY(milo_pass_run_all(func, &passes, diag));
  return milo_func_specialize(func, types, diag);
}

static void add_sums(milo_func *func, milo_diag *diag, milo_status *status) {
  milo_builder b = milo_builder_at_end(func, diag);
  for (size_t i = 1; i < func->body->output_count; i++) {
    milo_value *gradient = func->body->outputs[i];
    milo_value *sum =
        milo_func_add_param(func, milo_func_fresh_name(func, "fit_sum"), gradient->type);
    func->body->outputs[i] = milo_b_add(&b, sum, gradient);
  }
  *status = b.status;
}

static milo_status make(const milo_func *origin, const milo_loss *loss, const char *trainable,
                        const milo_type *types, bool sums, milo_arena *arena, milo_diag *diag,
                        milo_fit_program *p) {
  milo_func *func = p->joint = milo_func_clone(p->program, origin, origin->name);
  p->inputs = func->body->param_count;
  MILO_TRY(milo_lift(func, trainable, arena, diag, &p->lifted));
  if (p->lifted.count == 0)
    return FAIL(
        "function %s has nothing to train: no floating-point constants%s\n--trainable 'PATTERN' "
        "names them (milo_fit_options.trainable)",
        func->name, trainable ? " that the patterns leave" : " of more than 64 elements");
  MILO_TRY(keep_output(func, loss->output, diag));
  const size_t count = func->body->param_count;
  milo_type *all = MILO_NEW_ARRAY(arena, milo_type, count);
  for (size_t i = 0; i < count; i++)
    all[i] = i < p->inputs ? types[i] : func->body->params[i]->type;
  MILO_TRY(settle_shapes(func, all, diag));
  MILO_TRY(add_loss(func, loss, types[0].dims[0], diag, &p->classes));
  p->forward = milo_func_clone(p->program, func, "forward");

  milo_func_number(func);
  bool *needed = MILO_NEW_ARRAY(arena, bool, func->value_count);
  mark_needed(func, needed);
  milo_value **wrt = MILO_NEW_ARRAY(arena, milo_value *, p->lifted.count);
  size_t wrt_count = 0;
  p->trained = MILO_NEW_ARRAY(arena, bool, p->lifted.count);
  for (size_t i = 0; i < p->lifted.count; i++) {
    p->trained[i] = needed[p->lifted.items[i].param->id];
    if (p->trained[i]) wrt[wrt_count++] = p->lifted.items[i].param;
  }
  if (wrt_count == 0)
    return FAIL("the loss depends on none of the %zu constants that could be trained",
                p->lifted.count);
  MILO_TRY(milo_autodiff_named(func, wrt, wrt_count, "fit_grad_", "fit_seed_", diag));
  milo_status status = MILO_OK;
  if (sums) add_sums(func, diag, &status);
  return status;
}

milo_status milo_fit_program_make(const milo_func *func, const milo_loss *loss,
                                  const char *trainable, const milo_type *types, bool sums,
                                  milo_arena *arena, milo_diag *diag, milo_fit_program *out) {
  *out = (milo_fit_program){.program = milo_program_create()};
  const milo_status status = make(func, loss, trainable, types, sums, arena, diag, out);
  if (status == MILO_OK) return MILO_OK;
  milo_program_destroy(out->program);
  *out = (milo_fit_program){0};
  return status;
}
