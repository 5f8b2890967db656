// SPDX-License-Identifier: MIT
// Result types of operations that hold blocks. The types of the blocks' own parameters are settled
// before, see specialize.c.
#include "ir/ops/infer.h"

// One bool, of rank 0 or not: Core ML's own loops compare tensors of one element.
static milo_status check_bool(const milo_op *op, milo_diag *diag, const char *what,
                              const milo_type *type) {
  bool one = type->kind == MILO_TYPE_TENSOR && type->dtype == MILO_BOOL;
  for (int i = 0; one && i < type->rank; i++)
    one = type->dims[i] == 1 || type->dims[i] == MILO_DIM_UNKNOWN;
  if (one) return MILO_OK;
  return milo_infer_bad(op, diag, NULL, "%s is %s, expected one bool", what,
                        milo_infer_show(op, type));
}

static milo_status check_counts(const milo_op *op, milo_diag *diag, const milo_block *block,
                                const char *what, size_t params, size_t outputs) {
  if (block->param_count != params)
    return milo_infer_bad(op, diag, NULL, "%s has %zu parameters, expected %zu", what,
                          block->param_count, params);
  if (block->output_count != outputs)
    return milo_infer_bad(op, diag, NULL, "%s gives %zu values, expected %zu", what,
                          block->output_count, outputs);
  return MILO_OK;
}

milo_status milo_infer_cond(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_block *then = op->blocks[0], *otherwise = op->blocks[1];
  MILO_TRY(check_bool(op, diag, "pred", milo_infer_arg(op, "pred")));
  MILO_TRY(check_counts(op, diag, then, "the first block", 0, then->output_count));
  MILO_TRY(check_counts(op, diag, otherwise, "the second block", 0, then->output_count));
  for (size_t i = 0; i < then->output_count; i++) {
    const milo_type *a = &then->outputs[i]->type, *b = &otherwise->outputs[i]->type;
    milo_type type;
    if (!milo_type_join(a, b, &type))
      return milo_infer_bad(op, diag, NULL, "its blocks give %s, which is %s, and %s, which is %s",
                            then->outputs[i]->name, milo_infer_show(op, a),
                            otherwise->outputs[i]->name, milo_infer_show(op, b));
    milo_types_add(out, type);
  }
  return MILO_OK;
}

// A loop variable is what it begins as, and what the body makes of it.
static milo_status check_variable(const milo_op *op, milo_diag *diag, const milo_value *start,
                                  size_t i) {
  const milo_value *result = op->blocks[1]->outputs[i];
  for (int k = 0; k < 2; k++) {
    const milo_value *param = op->blocks[k]->params[i];
    if (!milo_type_compatible(&param->type, &start->type))
      return milo_infer_bad(op, diag, "loop_vars", "%s is %s, but the blocks take %s as %s",
                            start->name, milo_infer_show(op, &start->type), param->name,
                            milo_infer_show(op, &param->type));
    if (!milo_type_compatible(&param->type, &result->type))
      return milo_infer_bad(op, diag, NULL,
                            "the variable %s is %s, but the body makes it %s, which is %s",
                            param->name, milo_infer_show(op, &param->type), result->name,
                            milo_infer_show(op, &result->type));
  }
  return MILO_OK;
}

milo_status milo_infer_while_loop(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_arg *vars = milo_op_arg(op, "loop_vars");
  const milo_block *test = op->blocks[0], *body = op->blocks[1];
  MILO_TRY(check_counts(op, diag, test, "the first block", vars->count, 1));
  MILO_TRY(check_counts(op, diag, body, "the second block", vars->count, vars->count));
  MILO_TRY(check_bool(op, diag, test->outputs[0]->name, &test->outputs[0]->type));
  for (size_t i = 0; i < vars->count; i++) {
    milo_type type;
    MILO_TRY(check_variable(op, diag, vars->values[i], i));
    if (!milo_type_join(&vars->values[i]->type, &body->outputs[i]->type, &type))
      return milo_infer_bad(op, diag, "loop_vars", "%s does not stay of one type",
                            vars->values[i]->name);
    milo_types_add(out, type);
  }
  return MILO_OK;
}
