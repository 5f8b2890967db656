// SPDX-License-Identifier: MIT
#include "device/dynamic.h"

#include "base/clock.h"
#include "device/ref/ref.h"
#include "ir/op.h"

bool milo_dynamic_supports(const milo_op *op) {
  if (!milo_ref_has(op->code)) return false;
  for (size_t i = 0; i < op->result_count; ++i) {
    const milo_type *type = &op->results[i]->type;
    if (type->kind != MILO_TYPE_TENSOR || type->dtype == MILO_STRING) return false;
  }
  return true;
}

// One operation in a program of its own, so that what it took is given back after it: its operands
// are constants by now.
static milo_status evaluate(const milo_op *op, const milo_literal *known, milo_arena *arena,
                            milo_literal *results, milo_diag *diag) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "step", NULL);
  milo_arena *own = &program->arena;
  milo_op *copy = milo_op_create(func->body, NULL, op->name, op->loc);
  for (size_t i = 0; i < op->arg_count; ++i) {
    milo_op_add_arg(copy, op->args[i].name, op->args[i].values, op->args[i].count);
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      const milo_literal *literal = milo_value_constant(value);
      milo_value *constant = milo_value_literal(own, literal != NULL ? *literal : known[value->id]);
      constant->name = value->name;
      copy->args[i].values[k] = constant;
    }
  }
  copy->attrs = op->attrs;
  milo_types types = {.arena = own};
  milo_status status = milo_op_infer(copy, &types, diag);
  for (size_t i = 0; status == MILO_OK && i < op->result_count; ++i) {
    if (milo_type_compatible(&op->results[i]->type, &types.items[i])) {
      (void)milo_op_add_result(copy, op->results[i]->name, types.items[i]);
      continue;
    }
    status = milo_fail(diag, op->loc, MILO_ERR_INVALID,
                       "%s: the result %s is declared %s, but is %s for these inputs", op->name,
                       op->results[i]->name, milo_type_format(own, &op->results[i]->type, true),
                       milo_type_format(own, &types.items[i], true));
  }
  if (status == MILO_OK) status = milo_ref_shapes(copy, diag);
  if (status == MILO_OK) status = milo_ref_fold(copy, arena, results, diag);
  if (status == MILO_ERR_UNSUPPORTED)
    status = milo_fail(diag, op->loc, status, "%s cannot be computed for these shapes", op->name);
  milo_program_destroy(program);
  return status;
}

milo_status milo_dynamic_run(const milo_func *func, const milo_literal *inputs, milo_arena *arena,
                             milo_literal *outputs, double *seconds, milo_diag *diag) {
  milo_arena scratch = {0};
  milo_literal *known = MILO_NEW_ARRAY(&scratch, milo_literal, (size_t)func->value_count + 1);
  const milo_block *body = func->body;
  milo_status status = MILO_OK;
  for (size_t i = 0; i < body->param_count; ++i) known[body->params[i]->id] = inputs[i];
  for (const milo_op *op = body->first; op != NULL && status == MILO_OK; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    milo_literal *results = MILO_NEW_ARRAY(&scratch, milo_literal, op->result_count);
    const double started = seconds != NULL ? milo_clock_s() : 0;
    status = evaluate(op, known, arena, results, diag);
    if (seconds != NULL) *seconds++ += milo_clock_s() - started;
    for (size_t i = 0; i < op->result_count; ++i) known[op->results[i]->id] = results[i];
  }
  for (size_t i = 0; status == MILO_OK && i < body->output_count; ++i) {
    const milo_literal *literal = milo_value_constant(body->outputs[i]);
    outputs[i] = literal != NULL ? *literal : known[body->outputs[i]->id];
  }
  milo_arena_deinit(&scratch);
  return status;
}
