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

static milo_status specialize_block(milo_block *block, milo_types *types, milo_diag *diag) {
  for (milo_op *op = block->first; op != NULL; op = op->next) {
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
