// SPDX-License-Identifier: MIT
// Constant folding: evaluates operations whose arguments are all constant.
//
//   before:  static types where folding is to happen
//   after:   those operations are `const`; large results that would only take more memory than what
//            they are made from stay computed
//   cost:    one walk, and the arithmetic
#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

enum { SMALL_BYTES = 1 << 20 };

static bool is_foldable(const milo_op *op) {
  const unsigned traits = milo_op_info_get(op->code)->traits;
  if (op->code == MILO_OP_unknown || op->code == MILO_OP_const || (traits & MILO_OP_IMPURE) != 0)
    return false;
  size_t given = 0, made = 0;
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_literal *literal = milo_value_constant(op->args[i].values[k]);
      if (literal == NULL) return false;
      given += literal->bytes;
    }
  for (size_t i = 0; i < op->result_count; ++i) {
    if (!milo_type_is_static(&op->results[i]->type)) return false;
    made += milo_type_bytes(&op->results[i]->type);
  }
  return made <= SMALL_BYTES || made < given || (traits & MILO_OP_CONSTEXPR) != 0;
}

milo_status milo_pass_fold(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  if (options->eval == NULL) return MILO_OK;
  milo_arena *arena = &func->program->arena;
  for (milo_op *op = func->body->first, *next; op != NULL; op = next) {
    next = op->next;
    if (!is_foldable(op)) continue;
    milo_literal *literals = MILO_NEW_ARRAY(arena, milo_literal, op->result_count);
    const milo_status status = options->eval(op, arena, literals, diag);
    if (status == MILO_ERR_UNSUPPORTED) continue;
    MILO_TRY(status);
    milo_op_make_const(op, literals);
  }
  return MILO_OK;
}
