// SPDX-License-Identifier: MIT
#include "device/dynamic.h"

#include "base/clock.h"
#include "device/list.h"
#include "device/ref/ref.h"
#include "ir/op.h"

static bool is_carried(const milo_type *type) {
  if (type->kind == MILO_TYPE_LIST) type = &type->elems[0];
  return type->kind == MILO_TYPE_TENSOR && type->dtype != MILO_STRING;
}

static bool block_is_supported(const milo_block *block) {
  for (const milo_op *op = block->first; op != NULL; op = op->next)
    if (op->code != MILO_OP_const && !milo_dynamic_supports(op)) return false;
  for (size_t i = 0; i < block->output_count; ++i)
    if (!is_carried(&block->outputs[i]->type)) return false;
  return true;
}

bool milo_dynamic_supports(const milo_op *op) {
  if (op->block_count == 0 && !milo_ref_has(op->code) && !milo_list_runs(op)) return false;
  for (size_t i = 0; i < op->result_count; ++i)
    if (!is_carried(&op->results[i]->type)) return false;
  for (size_t i = 0; i < op->block_count; ++i)
    if (!block_is_supported(op->blocks[i])) return false;
  return true;
}

// known: by value id, what the values of the function are so far. What it points to lives in the
// caller's arenas.
typedef struct evaluation {
  milo_literal *known;
  milo_diag *diag;
} evaluation;

static milo_literal read(const evaluation *e, const milo_value *value) {
  const milo_literal *literal = milo_value_constant(value);
  return literal != NULL ? *literal : e->known[value->id];
}

// One operation in a program of its own, so that what it took is given back after it: its operands
// are constants by now.
static milo_status evaluate(const evaluation *e, const milo_op *op, milo_arena *arena,
                            milo_literal *results) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "step", NULL);
  milo_arena *own = &program->arena;
  milo_op *copy = milo_op_create(func->body, NULL, op->name, op->loc);
  for (size_t i = 0; i < op->arg_count; ++i) {
    milo_op_add_arg(copy, op->args[i].name, op->args[i].values, op->args[i].count);
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      milo_value *constant = milo_value_literal(own, read(e, value));
      constant->name = value->name;
      copy->args[i].values[k] = constant;
    }
  }
  copy->attrs = op->attrs;
  milo_types types = {.arena = own};
  milo_status status = milo_op_infer(copy, &types, e->diag);
  for (size_t i = 0; status == MILO_OK && i < op->result_count; ++i) {
    if (milo_type_compatible(&op->results[i]->type, &types.items[i])) {
      (void)milo_op_add_result(copy, op->results[i]->name, types.items[i]);
      continue;
    }
    status = milo_fail(e->diag, op->loc, MILO_ERR_INVALID,
                       "%s: the result %s is declared %s, but is %s for these inputs", op->name,
                       op->results[i]->name, milo_type_format(own, &op->results[i]->type, true),
                       milo_type_format(own, &types.items[i], true));
  }
  if (status == MILO_OK) status = milo_ref_shapes(copy, e->diag);
  if (status == MILO_OK) status = milo_ref_fold(copy, arena, results, e->diag);
  if (status == MILO_ERR_UNSUPPORTED)
    status =
        milo_fail(e->diag, op->loc, status, "%s cannot be computed for these shapes", op->name);
  milo_program_destroy(program);
  return status;
}

static milo_status run_op(evaluation *e, const milo_op *op, milo_arena *arena);

static milo_status run_block(evaluation *e, const milo_block *block, milo_arena *arena) {
  for (const milo_op *op = block->first; op != NULL; op = op->next)
    if (op->code != MILO_OP_const) MILO_TRY(run_op(e, op, arena));
  return MILO_OK;
}

// ---- control flow ----

static bool is_true(const milo_literal *literal) { return milo_literal_int(literal, 0) != 0; }

// A condition whose shape was open until now.
static milo_status check_one(const milo_op *op, const milo_literal *condition, milo_diag *diag) {
  if (condition->count == 1) return MILO_OK;
  return milo_fail(diag, op->loc, MILO_ERR_INVALID, "the condition of %s has %zu elements, not one",
                   op->name, condition->count);
}

static milo_status run_cond(evaluation *e, const milo_op *op, milo_arena *arena) {
  const milo_literal pred = read(e, milo_op_in(op, "pred"));
  MILO_TRY(check_one(op, &pred, e->diag));
  const milo_block *block = op->blocks[is_true(&pred) ? 0 : 1];
  MILO_TRY(run_block(e, block, arena));
  for (size_t i = 0; i < op->result_count; ++i)
    e->known[op->results[i]->id] = read(e, block->outputs[i]);
  return MILO_OK;
}

static milo_literal copy_literal(const milo_literal *literal, milo_arena *arena) {
  milo_literal copy = *literal;
  if (literal->kind == MILO_LITERAL_ITEMS) {
    milo_literal *items = MILO_NEW_ARRAY(arena, milo_literal, literal->count);
    for (size_t i = 0; i < literal->count; ++i) items[i] = copy_literal(&literal->items[i], arena);
    copy.items = items;
  } else {
    copy.data = milo_arena_copy(arena, literal->data, literal->bytes);
  }
  return copy;
}

static void set_variables(evaluation *e, const milo_op *op, const milo_literal *now) {
  for (size_t k = 0; k < 2; ++k)
    for (size_t i = 0; i < op->result_count; ++i) e->known[op->blocks[k]->params[i]->id] = now[i];
}

static milo_status step(evaluation *e, const milo_op *op, milo_arena *work, bool *out_go_on) {
  const milo_block *test = op->blocks[0];
  MILO_TRY(run_block(e, test, work));
  const milo_literal condition = read(e, test->outputs[0]);
  MILO_TRY(check_one(op, &condition, e->diag));
  *out_go_on = is_true(&condition);
  return *out_go_on ? run_block(e, op->blocks[1], work) : MILO_OK;
}

// Moves the variables to an arena of their own and gives back all else that iterations computed.
static void compact(milo_literal *variables, size_t count, milo_arena *work) {
  milo_arena next = {0};
  for (size_t i = 0; i < count; ++i) variables[i] = copy_literal(&variables[i], &next);
  milo_arena_deinit(work);
  *work = next;
}

// Memory does not grow with the number of iterations: what they leave behind is given back as soon
// as it is more than what is in use (and a little more, so that small loops do not copy each time).
static milo_status run_loop(evaluation *e, const milo_op *op, milo_arena *arena) {
  enum { LITTLE = 1 << 20 };
  const milo_arg *vars = milo_op_arg(op, "loop_vars");
  milo_arena work = {0}, scratch = {0};
  milo_literal *now = MILO_NEW_ARRAY(&scratch, milo_literal, vars->count);
  for (size_t i = 0; i < vars->count; ++i) now[i] = read(e, vars->values[i]);
  milo_status status = MILO_OK;
  size_t in_use = 0;
  for (bool go_on = true; go_on && status == MILO_OK;) {
    set_variables(e, op, now);
    status = step(e, op, &work, &go_on);
    if (status != MILO_OK || !go_on) break;
    for (size_t i = 0; i < vars->count; ++i) now[i] = read(e, op->blocks[1]->outputs[i]);
    if (work.total_bytes < 2 * in_use + LITTLE) continue;
    compact(now, vars->count, &work);
    in_use = work.total_bytes;
  }
  for (size_t i = 0; i < op->result_count && status == MILO_OK; ++i)
    e->known[op->results[i]->id] = copy_literal(&now[i], arena);
  milo_arena_deinit(&work);
  milo_arena_deinit(&scratch);
  return status;
}

static milo_status run_list_op(evaluation *e, const milo_op *op, milo_arena *arena) {
  milo_arena scratch = {0};
  milo_literal *given = MILO_NEW_ARRAY(&scratch, milo_literal, op->arg_count), result;
  const milo_literal **values = MILO_NEW_ARRAY(&scratch, const milo_literal *, op->arg_count);
  for (size_t i = 0; i < op->arg_count; ++i) {
    if (op->args[i].count == 0) continue;
    given[i] = read(e, op->args[i].values[0]);
    values[i] = &given[i];
  }
  const milo_status status = milo_list_run(op, values, arena, &result, e->diag);
  if (status == MILO_OK) e->known[op->results[0]->id] = result;
  milo_arena_deinit(&scratch);
  return status;
}

static bool is_copy_of_list(const milo_op *op) {
  return op->code == MILO_OP_identity && op->results[0]->type.kind == MILO_TYPE_LIST;
}

// What was declared of a result may be more than its operation promises.
static milo_status check_results(const evaluation *e, const milo_op *op) {
  milo_status status = MILO_OK;
  milo_arena scratch = {0};
  for (size_t i = 0; i < op->result_count && status == MILO_OK; ++i) {
    const milo_value *value = op->results[i];
    const milo_type *type = &e->known[value->id].type;
    if (type->kind == MILO_TYPE_LIST || milo_type_compatible(&value->type, type)) continue;
    status = milo_fail(e->diag, op->loc, MILO_ERR_INVALID,
                       "%s: the result %s is declared %s, but is %s now", op->name, value->name,
                       milo_type_format(&scratch, &value->type, true),
                       milo_type_format(&scratch, type, true));
  }
  milo_arena_deinit(&scratch);
  return status;
}

static milo_status run_op(evaluation *e, const milo_op *op, milo_arena *arena) {
  if (op->code == MILO_OP_cond || op->code == MILO_OP_while_loop) {
    MILO_TRY(op->code == MILO_OP_cond ? run_cond(e, op, arena) : run_loop(e, op, arena));
    return check_results(e, op);
  }
  if (milo_list_runs(op)) {
    MILO_TRY(run_list_op(e, op, arena));
    return check_results(e, op);
  }
  if (is_copy_of_list(op)) {
    e->known[op->results[0]->id] = read(e, milo_op_in(op, "x"));
    return MILO_OK;
  }
  milo_arena scratch = {0};
  milo_literal *results = MILO_NEW_ARRAY(&scratch, milo_literal, op->result_count);
  const milo_status status = evaluate(e, op, arena, results);
  for (size_t i = 0; i < op->result_count && status == MILO_OK; ++i)
    e->known[op->results[i]->id] = results[i];
  milo_arena_deinit(&scratch);
  return status;
}

milo_status milo_dynamic_run(const milo_func *func, const milo_literal *inputs, milo_arena *arena,
                             milo_literal *outputs, double *seconds, milo_diag *diag) {
  milo_arena scratch = {0};
  evaluation e = {MILO_NEW_ARRAY(&scratch, milo_literal, (size_t)func->value_count + 1), diag};
  const milo_block *body = func->body;
  milo_status status = MILO_OK;
  for (size_t i = 0; i < body->param_count; ++i) e.known[body->params[i]->id] = inputs[i];
  for (const milo_op *op = body->first; op != NULL && status == MILO_OK; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    const double started = seconds != NULL ? milo_clock_s() : 0;
    status = run_op(&e, op, arena);
    if (seconds != NULL) *seconds++ += milo_clock_s() - started;
  }
  for (size_t i = 0; status == MILO_OK && i < body->output_count; ++i)
    outputs[i] = read(&e, body->outputs[i]);
  milo_arena_deinit(&scratch);
  return status;
}
