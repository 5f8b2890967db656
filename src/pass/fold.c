// SPDX-License-Identifier: MIT
// Constant folding: evaluates operations whose arguments are all constant, and shapes that are
// known. What that tells about unknown types (a reshape to a computed shape) is inferred anew.
//
//   before:  definitions come before uses
//   after:   those operations are `const`; large results that would only take more memory than what
//            they are made from stay computed
//   cost:    one walk, and the arithmetic
#include "base/number.h"
#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

enum { SMALL_BYTES = 1 << 20 };

static bool is_foldable(const milo_op *op, bool keep_constexpr) {
  const unsigned traits = milo_op_info_get(op->code)->traits;
  if (op->code == MILO_OP_unknown || op->code == MILO_OP_const || (traits & MILO_OP_IMPURE) != 0)
    return false;
  if (keep_constexpr && (traits & MILO_OP_CONSTEXPR) != 0) return false;
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

// Fills in what of the results' types can be inferred now.
static milo_status infer_again(milo_op *op, milo_diag *diag) {
  bool known = true;
  for (size_t i = 0; i < op->result_count; ++i)
    known = known && (op->results[i]->type.kind != MILO_TYPE_TENSOR ||
                      milo_type_is_static(&op->results[i]->type));
  if (known || op->code == MILO_OP_unknown) return MILO_OK;
  milo_types types = {.arena = milo_op_arena(op)};
  MILO_TRY(milo_op_infer(op, &types, diag));
  for (size_t i = 0; i < op->result_count && i < types.count; ++i) {
    milo_type *declared = &op->results[i]->type;
    if (!milo_type_compatible(declared, &types.items[i]))
      return milo_fail(diag, op->loc, MILO_ERR_INVALID,
                       "%s: the result %s is declared %s, but is %s for these inputs", op->name,
                       op->results[i]->name, milo_type_format(types.arena, declared, true),
                       milo_type_format(types.arena, &types.items[i], true));
    if (declared->kind != MILO_TYPE_TENSOR) continue;
    if (declared->rank < 0) *declared = types.items[i];
    for (int k = 0; k < declared->rank && types.items[i].rank >= 0; ++k)
      if (declared->dims[k] == MILO_DIM_UNKNOWN) declared->dims[k] = types.items[i].dims[k];
  }
  return MILO_OK;
}

// The result of `shape` of a static x.
static milo_literal shape_literal(milo_arena *arena, const milo_type *type, milo_type result) {
  const size_t count = (size_t)type->rank;
  milo_literal literal = {.kind = MILO_LITERAL_DATA, .type = result, .count = count};
  literal.bytes = milo_type_bytes(&result);
  void *data = milo_arena_alloc(arena, literal.bytes);
  for (size_t i = 0; i < count; ++i) milo_number_store_int(result.dtype, data, i, type->dims[i]);
  literal.data = data;
  return literal;
}

typedef struct job {
  const milo_pass_options *options;
  milo_diag *diag;
} job;

static milo_status fold(milo_rewriter *r, milo_op *op, void *user) {
  const job *j = user;
  milo_arena *arena = milo_op_arena(op);
  (void)r;
  MILO_TRY(infer_again(op, j->diag));
  if (op->code == MILO_OP_shape && milo_type_is_static(&milo_op_in(op, "x")->type) &&
      milo_type_is_static(&op->results[0]->type)) {
    const milo_literal literal =
        shape_literal(arena, &milo_op_in(op, "x")->type, op->results[0]->type);
    milo_op_make_const(op, &literal);
    return MILO_OK;
  }
  if (!is_foldable(op, j->options->keep_constexpr)) return MILO_OK;
  milo_literal *literals = MILO_NEW_ARRAY(arena, milo_literal, op->result_count);
  const milo_status status = j->options->eval(op, arena, literals, j->diag);
  if (status == MILO_ERR_UNSUPPORTED) return MILO_OK;
  MILO_TRY(status);
  milo_op_make_const(op, literals);
  return MILO_OK;
}

milo_status milo_pass_fold(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  job j = {options, diag};
  return options->eval != NULL ? milo_rewrite(func, fold, &j) : MILO_OK;
}
