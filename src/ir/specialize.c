// SPDX-License-Identifier: MIT
// Concrete types for a function's parameters, and all types that follow from them.
#include "ir/op.h"

// What is known of either type; a and b are compatible.
static milo_type merge(const milo_type *a, const milo_type *b) {
  if (a->kind != MILO_TYPE_TENSOR || b->rank < 0) return *a;
  if (a->rank < 0) return *b;
  milo_type type = *a;
  for (int i = 0; i < type.rank; i++)
    if (type.dims[i] == MILO_DIM_UNKNOWN) type.dims[i] = b->dims[i];
  return type;
}

static milo_status specialize_op(milo_op *op, milo_types *types, milo_diag *diag) {
  types->count = 0;
  MILO_TRY(milo_op_infer(op, types, diag));
  if (types->count != op->result_count)
    return milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s has %zu results, expected %zu", op->name,
                     op->result_count, types->count);
  for (size_t i = 0; i < op->result_count; i++) {
    milo_type *declared = &op->results[i]->type;
    const milo_type *inferred = &types->items[i];
    if (!milo_type_compatible(declared, inferred))
      return milo_fail(diag, op->loc, MILO_ERR_INVALID,
                       "%s: the result %s is declared %s, but is %s for these inputs", op->name,
                       op->results[i]->name, milo_type_format(types->arena, declared, true),
                       milo_type_format(types->arena, inferred, true));
    *declared = merge(inferred, declared);
  }
  return MILO_OK;
}

static milo_status specialize_block(milo_block *block, milo_types *types, milo_diag *diag);

// ---- loops ----

// Values of a loop's blocks, with the types they were declared with.
typedef struct declared {
  milo_arena *arena;
  milo_value **values;
  milo_type *types;
  size_t count, value_capacity, type_capacity;
} declared;

static void note_type(declared *d, milo_value *value) {
  size_t same = d->count;
  MILO_PUSH(d->arena, d->types, same, d->type_capacity, value->type);
  MILO_PUSH(d->arena, d->values, d->count, d->value_capacity, value);
}

static void note_block(declared *d, const milo_block *block) {
  for (size_t i = 0; i < block->param_count; i++) note_type(d, block->params[i]);
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->block_count; i++) note_block(d, op->blocks[i]);
    for (size_t i = 0; i < op->result_count; i++) note_type(d, op->results[i]);
  }
}

static bool has_loop_form(const milo_op *op) {
  const milo_arg *vars = milo_op_arg(op, "loop_vars");
  if (vars == NULL || op->block_count != 2) return false;
  return op->blocks[0]->param_count == vars->count && op->blocks[1]->param_count == vars->count &&
         op->blocks[1]->output_count == vars->count;
}

static void set_params(const milo_block *block, const milo_type *types, const milo_arg *vars) {
  for (size_t i = 0; i < vars->count; i++) {
    milo_type *type = &block->params[i]->type;
    if (milo_type_compatible(type, &types[i])) *type = merge(&types[i], type);
  }
}

// The variables have the shapes that they begin with, but for the dimensions that the body changes:
// those are unknown. Found in rounds, each of which makes a dimension unknown or is the last.
static milo_status specialize_loop(const milo_op *op, milo_types *types, milo_diag *diag) {
  const milo_arg *vars = milo_op_arg(op, "loop_vars");
  const milo_block *body = op->blocks[1];
  milo_type *now = MILO_NEW_ARRAY(types->arena, milo_type, vars->count);
  declared d = {.arena = types->arena};
  for (size_t i = 0; i < vars->count; i++) now[i] = vars->values[i]->type;
  for (int k = 0; k < 2; k++) note_block(&d, op->blocks[k]);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < d.count; i++) d.values[i]->type = d.types[i];
    for (int k = 0; k < 2; k++) {
      set_params(op->blocks[k], now, vars);
      MILO_TRY(specialize_block(op->blocks[k], types, diag));
    }
    for (size_t i = 0; i < vars->count; i++) {
      const milo_type was = now[i];
      // Of another kind: inference says so.
      if (milo_type_join(&was, &body->outputs[i]->type, &now[i]))
        changed = changed || !milo_type_equal(&was, &now[i]);
    }
  }
  return MILO_OK;
}

static milo_status specialize_block(milo_block *block, milo_types *types, milo_diag *diag) {
  for (milo_op *op = block->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_while_loop && has_loop_form(op))
      MILO_TRY(specialize_loop(op, types, diag));
    else
      for (size_t i = 0; i < op->block_count; i++)
        MILO_TRY(specialize_block(op->blocks[i], types, diag));
    if (op->code != MILO_OP_unknown) MILO_TRY(specialize_op(op, types, diag));
  }
  return MILO_OK;
}

milo_status milo_func_specialize(milo_func *func, const milo_type *types, milo_diag *diag) {
  milo_arena scratch = {0};
  milo_types inferred = {.arena = &scratch};
  milo_status status = MILO_OK;
  for (size_t i = 0; i < func->body->param_count; i++) {
    milo_value *param = func->body->params[i];
    if (milo_type_compatible(&param->type, &types[i]))
      param->type = merge(&types[i], &param->type);
    else
      status = milo_fail(diag, func->loc, MILO_ERR_INVALID,
                         "input %s of function %s is %s, which %s does not fit", param->name,
                         func->name, milo_type_format(&scratch, &param->type, true),
                         milo_type_format(&scratch, &types[i], true));
  }
  if (status == MILO_OK) status = specialize_block(func->body, &inferred, diag);
  milo_arena_deinit(&scratch);
  return status;
}
