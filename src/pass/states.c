// SPDX-License-Identifier: MIT
// States as plain values.
//
//   before:  inputs of type state<...>, read_state and write_state in the order they act
//   after:   neither; see states.h
//   cost:    one walk
#include "pass/states.h"

#include "ir/op.h"
#include "pass/rewrite.h"

typedef struct job {
  milo_value **now;  // by input: the value that the state has here; NULL: no state
  milo_diag *diag;
} job;

static milo_status find_state(const milo_rewriter *r, const job *j, const milo_op *op,
                              size_t *out_input) {
  const milo_value *state = milo_op_in(op, "input");
  const milo_block *body = r->func->body;
  *out_input = state->index;
  if (state->def == NULL && state->literal == NULL && state->index < body->param_count &&
      body->params[state->index] == state && j->now[state->index] != NULL)
    return MILO_OK;
  return milo_fail(j->diag, op->loc, MILO_ERR_INVALID,
                   "%s.input is %s, which is no state among the function's inputs", op->name,
                   state->name);
}

static milo_status lower(milo_rewriter *r, milo_op *op, void *user) {
  job *j = user;
  size_t input;
  if (op->code != MILO_OP_read_state && op->code != MILO_OP_write_state) return MILO_OK;
  MILO_TRY(find_state(r, j, op, &input));
  if (op->code == MILO_OP_read_state) {
    op->results[0]->type = j->now[input]->type;
    milo_rewriter_replace(r, op->results[0], j->now[input]);
  } else if (op->parent != r->func->body) {
    return milo_fail(j->diag, op->loc, MILO_ERR_UNSUPPORTED,
                     "write_state in a block of another operation\nlet the block give the value "
                     "and write it behind");
  } else {
    j->now[input] = milo_op_in(op, "data");
  }
  milo_rewriter_remove(r, op);
  return MILO_OK;
}

static bool has_states(const milo_block *body) {
  for (size_t i = 0; i < body->param_count; ++i)
    if (body->params[i]->type.kind == MILO_TYPE_STATE) return true;
  return false;
}

// The last value of a state, under a name of its own: it may be an input or a constant.
static milo_value *name_value(milo_func *func, const milo_value *state, milo_value *value) {
  milo_arena *arena = &func->program->arena;
  milo_op *op = milo_op_create(func->body, NULL, "identity", func->loc);
  milo_op_add_arg(op, "x", &value, 1);
  return milo_op_add_result(
      op, milo_func_fresh_name(func, milo_arena_printf(arena, "%s_after", state->name)),
      value->type);
}

milo_status milo_states_lower(milo_func *func, milo_diag *diag, milo_state_link **out_links,
                              size_t *out_count) {
  const milo_block *body = func->body;
  milo_arena *arena = &func->program->arena;
  *out_links = NULL;
  *out_count = 0;
  if (!has_states(body)) return MILO_OK;
  job j = {MILO_NEW_ARRAY(arena, milo_value *, body->param_count), diag};
  for (size_t i = 0; i < body->param_count; ++i) {
    milo_value *param = body->params[i];
    if (param->type.kind != MILO_TYPE_STATE) continue;
    param->type = param->type.elems[0];
    j.now[i] = param;
  }
  MILO_TRY(milo_rewrite(func, lower, &j));
  size_t capacity = 0;
  for (size_t i = 0; i < body->param_count; ++i) {
    milo_value *param = body->params[i];
    if (j.now[i] == NULL || j.now[i] == param) continue;
    const milo_state_link link = {i, body->output_count};
    milo_func_add_output(func, name_value(func, param, j.now[i]));
    MILO_PUSH(arena, *out_links, *out_count, capacity, link);
  }
  return MILO_OK;
}
