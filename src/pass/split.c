// SPDX-License-Identifier: MIT
// Cuts a differentiated function into forward and backward.
//
// Backward reads forward values. Parameters, constants and forward's outputs are there anyway; what
// is left is stored by forward (a tap) or computed again from other such values. Which is a minimum
// cut: storing costs a value's bytes, computing again is free for cheap operations and views and
// not possible for others. Among equal cuts the one with the least to compute is taken.
#include "ir/op.h"
#include "pass/mincut.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

typedef struct splitter {
  milo_arena *arena;
  milo_func *func;
  size_t seeds, grads;
  // By value id:
  bool *backward;  // depends on a seed
  bool *free;      // parameter, constant or output of forward
  bool *needed;    // forward value that backward reads
  bool *stored;    // a tap
} splitter;

// ---- walking ----

typedef void visit_fn(void *user, milo_value *value);

static void visit_block(const milo_block *block, visit_fn *visit, void *user);

static void visit_uses(const milo_op *op, visit_fn *visit, void *user) {
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) visit(user, op->args[i].values[k]);
  for (size_t i = 0; i < op->block_count; i++) visit_block(op->blocks[i], visit, user);
}

static void visit_block(const milo_block *block, visit_fn *visit, void *user) {
  for (const milo_op *op = block->first; op != NULL; op = op->next) visit_uses(op, visit, user);
  for (size_t i = 0; i < block->output_count; i++) visit(user, block->outputs[i]);
}

typedef struct marks {
  const bool *from;
  bool *to;
  bool found;
} marks;

static void find_mark(void *user, milo_value *value) {
  marks *m = user;
  m->found = m->found || m->from[value->id];
}

static void set_mark(void *user, milo_value *value) {
  marks *m = user;
  m->to[value->id] = true;
}

static bool any_result(const milo_op *op, const bool *marked) {
  for (size_t i = 0; i < op->result_count; i++)
    if (marked[op->results[i]->id]) return true;
  return false;
}

// Marks what is needed to compute the marked values, not going beyond the stops.
static void mark_sources(const milo_func *func, const bool *stops, bool *marked) {
  for (const milo_op *op = func->body->last; op != NULL; op = op->prev) {
    bool wanted = false;
    for (size_t i = 0; i < op->result_count; i++) {
      const uint32_t id = op->results[i]->id;
      wanted = wanted || (marked[id] && (stops == NULL || !stops[id]));
    }
    if (!wanted) continue;
    marks m = {.to = marked};
    visit_uses(op, set_mark, &m);
  }
}

// Removes the operations none of whose results is marked.
static void sweep(milo_func *func, const bool *marked) {
  for (milo_op *op = func->body->last, *prev; op != NULL; op = prev) {
    prev = op->prev;
    if (!any_result(op, marked)) milo_op_remove(op);
  }
}

// ---- what to store ----

static bool is_recomputable(const milo_op *op) {
  const unsigned cheap = MILO_OP_CHEAP | MILO_OP_VIEW | MILO_OP_CONSTEXPR;
  return (milo_op_info_get(op->code)->traits & cheap) != 0 && op->block_count == 0;
}

static void mark_backward(splitter *s) {
  const milo_block *body = s->func->body;
  for (size_t i = body->param_count - s->seeds; i < body->param_count; i++)
    s->backward[body->params[i]->id] = true;
  for (const milo_op *op = body->first; op != NULL; op = op->next) {
    marks m = {.from = s->backward};
    visit_uses(op, find_mark, &m);
    for (size_t i = 0; i < op->result_count && m.found; i++) s->backward[op->results[i]->id] = true;
  }
}

static void mark_free(splitter *s) {
  const milo_block *body = s->func->body;
  for (size_t i = 0; i < body->param_count - s->seeds; i++) s->free[body->params[i]->id] = true;
  for (const milo_op *op = body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count && op->code == MILO_OP_const; i++)
      s->free[op->results[i]->id] = true;
  for (size_t i = 0; i < body->output_count - s->grads; i++) s->free[body->outputs[i]->id] = true;
}

// Forward values that backward's operations read, or that are gradients themselves.
static void mark_needed(splitter *s) {
  const milo_block *body = s->func->body;
  bool *live = MILO_NEW_ARRAY(s->arena, bool, s->func->value_count);
  for (size_t i = body->output_count - s->grads; i < body->output_count; i++) {
    live[body->outputs[i]->id] = true;
    s->needed[body->outputs[i]->id] = true;
  }
  for (const milo_op *op = body->last; op != NULL; op = op->prev) {
    if (!any_result(op, live) || !any_result(op, s->backward)) continue;
    marks m = {.to = live};
    visit_uses(op, set_mark, &m);
    m.to = s->needed;
    visit_uses(op, set_mark, &m);
  }
  for (size_t i = 0; i < s->func->value_count; i++)
    if (s->backward[i]) s->needed[i] = false;
}

// The two nodes of a value: its cost lies between them.
static size_t node_in(const milo_value *value) { return 2 + 2 * (size_t)value->id; }
static size_t node_out(const milo_value *value) { return 3 + 2 * (size_t)value->id; }

typedef struct operands {
  const splitter *s;
  milo_mincut *cut;
  const milo_op *op;
} operands;

static void connect_operand(void *user, milo_value *value) {
  const operands *o = user;
  if (o->s->free[value->id] || (value->def == NULL && value->literal != NULL)) return;
  for (size_t i = 0; i < o->op->result_count; i++)
    milo_mincut_add(o->cut, node_out(value), node_in(o->op->results[i]), MILO_MINCUT_INFINITE);
}

static void connect_result(const splitter *s, milo_mincut *cut, const milo_op *op,
                           const milo_value *value) {
  if (s->free[value->id]) return;
  const unsigned traits = milo_op_info_get(op->code)->traits;
  // At equal bytes the source of a view is stored, not the view.
  const bool storable = milo_type_is_static(&value->type);
  const int64_t bytes = storable ? (int64_t)milo_type_bytes(&value->type) : INT64_C(1) << 40;
  const int64_t cost = 2 * bytes + ((traits & MILO_OP_VIEW) != 0 ? 1 : 0);
  milo_mincut_add(cut, node_in(value), node_out(value), cost);
  if (!is_recomputable(op)) milo_mincut_add(cut, 0, node_in(value), MILO_MINCUT_INFINITE);
  if (s->needed[value->id]) milo_mincut_add(cut, node_out(value), 1, MILO_MINCUT_INFINITE);
}

static void choose_stored(splitter *s) {
  milo_mincut cut = milo_mincut_create(s->arena, 2 + 2 * (size_t)s->func->value_count);
  for (const milo_op *op = s->func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const || any_result(op, s->backward)) continue;
    for (size_t i = 0; i < op->result_count; i++) connect_result(s, &cut, op, op->results[i]);
    operands o = {s, &cut, op};
    if (is_recomputable(op)) visit_uses(op, connect_operand, &o);
  }
  bool *behind = MILO_NEW_ARRAY(s->arena, bool, cut.nodes);
  // Real programs take a few walks over the graph. No program gets more than log n of them: what is
  // then kept is more than need be.
  size_t walks = 8;
  for (size_t n = cut.nodes; n > 1; n /= 2) walks += 8;
  (void)milo_mincut_solve(&cut, walks * (cut.nodes + cut.count), behind);
  for (const milo_op *op = s->func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++) {
      const milo_value *value = op->results[i];
      s->stored[value->id] =
          !s->free[value->id] && !behind[node_in(value)] && behind[node_out(value)];
    }
}

// ---- the two functions ----

static bool *mark_outputs(const splitter *s, const milo_func *func) {
  bool *marked = MILO_NEW_ARRAY(s->arena, bool, s->func->value_count);
  for (size_t i = 0; i < func->body->output_count; i++) marked[func->body->outputs[i]->id] = true;
  return marked;
}

// Impure and unknown operations of forward stay, whether their results are used or not.
static void mark_impure(const splitter *s, const milo_func *func, bool *marked) {
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) {
    const bool impure =
        op->code == MILO_OP_unknown || (milo_op_info_get(op->code)->traits & MILO_OP_IMPURE) != 0;
    for (size_t i = 0; i < op->result_count && impure; i++)
      if (!s->backward[op->results[i]->id]) marked[op->results[i]->id] = true;
  }
}

static milo_func *make_forward(splitter *s, const char *name) {
  milo_func *forward = milo_func_clone(s->func->program, s->func, name);
  milo_func_number(forward);
  milo_block *body = forward->body;
  body->param_count -= s->seeds;
  body->output_count -= s->grads;
  for (milo_op *op = body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++)
      if (s->stored[op->results[i]->id]) milo_func_add_output(forward, op->results[i]);
  bool *marked = mark_outputs(s, forward);
  mark_impure(s, forward, marked);
  mark_sources(forward, NULL, marked);
  sweep(forward, marked);
  return forward;
}

typedef struct param_list {
  milo_arena *arena;
  milo_value **items;
  milo_attrs *attrs;
  size_t count, capacity, attrs_count, attrs_capacity;
} param_list;

static void list_param(param_list *list, milo_value *value, milo_attrs attrs) {
  value->index = (uint32_t)list->count;
  MILO_PUSH(list->arena, list->items, list->count, list->capacity, value);
  MILO_PUSH(list->arena, list->attrs, list->attrs_count, list->attrs_capacity, attrs);
}

// A parameter in the place of a forward value that forward hands over: goes to params, by id. Its
// operation may stay for another result: the value itself then needs another name.
static void receive(milo_func *backward, param_list *list, milo_value *value, milo_value **params) {
  const char *name = value->name;
  milo_value_rename(value, milo_func_fresh_name(backward, name));
  params[value->id] = milo_func_add_param(backward, name, value->type);
  list_param(list, params[value->id], (milo_attrs){0});
}

// Makes the block's uses of received values uses of their parameters. Results keep their places.
static void use_params(milo_block *block, milo_value **params) {
  for (milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        milo_value **value = &op->args[i].values[k];
        if (params[(*value)->id] != NULL) *value = params[(*value)->id];
      }
    for (size_t i = 0; i < op->block_count; i++) use_params(op->blocks[i], params);
  }
  for (size_t i = 0; i < block->output_count; i++)
    if (params[block->outputs[i]->id] != NULL) block->outputs[i] = params[block->outputs[i]->id];
}

static milo_func *make_backward(splitter *s, const char *name) {
  milo_func *backward = milo_func_clone(s->func->program, s->func, name);
  milo_func_number(backward);
  milo_block *body = backward->body;
  const size_t outputs = body->output_count - s->grads, params = body->param_count;
  bool *given = MILO_NEW_ARRAY(s->arena, bool, s->func->value_count);
  for (size_t i = 0; i < s->func->value_count; i++) given[i] = s->free[i] || s->stored[i];
  // Constants come with backward's own operations, parameters are no operation's results.
  for (const milo_op *op = body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count && op->code == MILO_OP_const; i++)
      given[op->results[i]->id] = false;
  milo_value **handed = MILO_NEW_ARRAY(s->arena, milo_value *, outputs);
  for (size_t i = 0; i < outputs; i++) handed[i] = body->outputs[i];
  for (size_t i = 0; i < s->grads; i++) body->outputs[i] = body->outputs[outputs + i];
  body->output_count = s->grads;
  bool *marked = mark_outputs(s, backward);
  mark_sources(backward, given, marked);

  param_list list = {.arena = &backward->program->arena};
  milo_value **received = MILO_NEW_ARRAY(s->arena, milo_value *, s->func->value_count);
  for (size_t i = 0; i < params - s->seeds; i++)
    if (marked[body->params[i]->id]) list_param(&list, body->params[i], backward->param_attrs[i]);
  for (size_t i = 0; i < outputs; i++) {
    milo_value *value = handed[i];
    if (value->def == NULL || !given[value->id] || !marked[value->id]) continue;
    marked[value->id] = false;
    receive(backward, &list, value, received);
  }
  for (milo_op *op = body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++) {
      milo_value *value = op->results[i];
      if (!s->stored[value->id] || !marked[value->id]) continue;
      marked[value->id] = false;
      receive(backward, &list, value, received);
    }
  use_params(body, received);
  for (size_t i = params - s->seeds; i < params; i++)
    list_param(&list, body->params[i], backward->param_attrs[i]);
  sweep(backward, marked);
  body->params = list.items;
  body->param_count = list.count;
  body->param_capacity = list.capacity;
  backward->param_attrs = list.attrs;
  backward->param_attrs_capacity = list.attrs_capacity;
  return backward;
}

milo_status milo_split_grad(milo_func *func, size_t seeds, size_t grads, const char *forward_name,
                            const char *backward_name, milo_diag *diag, milo_func **out_forward,
                            milo_func **out_backward) {
  milo_arena scratch = {0};
  milo_func_number(func);
  const size_t count = func->value_count;
  splitter s = {.arena = &scratch,
                .func = func,
                .seeds = seeds,
                .grads = grads,
                .backward = MILO_NEW_ARRAY(&scratch, bool, count),
                .free = MILO_NEW_ARRAY(&scratch, bool, count),
                .needed = MILO_NEW_ARRAY(&scratch, bool, count),
                .stored = MILO_NEW_ARRAY(&scratch, bool, count)};
  mark_backward(&s);
  mark_free(&s);
  mark_needed(&s);
  choose_stored(&s);
  *out_forward = make_forward(&s, forward_name);
  *out_backward = make_backward(&s, backward_name);
  milo_arena_deinit(&scratch);
  milo_status status = milo_ir_verify_func(*out_forward, diag);
  if (status == MILO_OK) status = milo_ir_verify_func(*out_backward, diag);
  return status;
}
