// SPDX-License-Identifier: MIT
#include "pass/rewrite.h"

#include <assert.h>
#include <string.h>

static void add_value(milo_rewriter *r, milo_value *value) {
  size_t to_count = r->count, output_count = r->count;
  MILO_PUSH(&r->arena, r->to, to_count, r->to_capacity, NULL);
  MILO_PUSH(&r->arena, r->output, output_count, r->output_capacity, false);
  value->id = (uint32_t)r->count;
  MILO_PUSH(&r->arena, r->known, r->count, r->known_capacity, value);
}

static void add_block(milo_rewriter *r, milo_block *block) {
  for (size_t i = 0; i < block->param_count; ++i) add_value(r, block->params[i]);
  for (milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->block_count; ++i) add_block(r, op->blocks[i]);
    for (size_t i = 0; i < op->result_count; ++i) add_value(r, op->results[i]);
  }
}

static bool is_known(const milo_rewriter *r, const milo_value *value) {
  return value->id < r->count && r->known[value->id] == value;
}

static void mark_output(milo_rewriter *r, milo_value *value) {
  if (!is_known(r, value)) add_value(r, value);
  r->output[value->id] = true;
}

bool milo_rewriter_is_output(const milo_rewriter *r, const milo_value *value) {
  return is_known(r, value) && r->output[value->id];
}

static milo_rewriter init(milo_func *func) {
  milo_rewriter r = {.func = func};
  add_block(&r, func->body);
  for (size_t i = 0; i < func->body->output_count; ++i) mark_output(&r, func->body->outputs[i]);
  return r;
}

// Replacements may be replaced themselves later: follows them to the end, and shortens the way for
// the next who asks.
static milo_value *find(milo_rewriter *r, milo_value *value) {
  milo_value *end = value;
  while (is_known(r, end) && r->to[end->id] != NULL) end = r->to[end->id];
  while (value != end) {
    milo_value *next = r->to[value->id];
    r->to[value->id] = end;
    value = next;
  }
  return end;
}

static milo_status walk(milo_rewriter *r, milo_block *block, milo_visit_fn *visit, void *user) {
  MILO_PUSH(&r->arena, r->open, r->depth, r->open_capacity, block);
  for (milo_op *op = block->first, *next; op != NULL; op = next) {
    milo_op *before = op->prev;
    next = op->next;
    for (size_t i = 0; i < op->arg_count; ++i)
      for (size_t k = 0; k < op->args[i].count; ++k)
        op->args[i].values[k] = find(r, op->args[i].values[k]);
    for (size_t i = 0; i < op->block_count; ++i) MILO_TRY(walk(r, op->blocks[i], visit, user));
    r->removed = false;
    MILO_TRY(visit(r, op, user));
    if (r->removed) next = before != NULL ? before->next : block->first;
  }
  if (block != r->func->body)
    for (size_t i = 0; i < block->output_count; ++i) block->outputs[i] = find(r, block->outputs[i]);
  --r->depth;
  return MILO_OK;
}

void milo_rewriter_remove(milo_rewriter *r, milo_op *op) {
  milo_op_remove(op);
  r->removed = true;
}

bool milo_rewriter_sees(const milo_rewriter *r, const milo_block *b) {
  for (size_t i = r->depth; i-- > 0;)
    if (r->open[i] == b) return true;
  return false;
}

void milo_rewriter_replace(milo_rewriter *r, milo_value *from, milo_value *to) {
  assert(milo_type_equal(&from->type, &to->type));
  to = find(r, to);
  assert(from != to);
  if (!is_known(r, from)) add_value(r, from);
  r->to[from->id] = to;
}

static milo_literal name_literal(milo_arena *arena, const char *name) {
  const char **strings = MILO_NEW(arena, const char *);
  strings[0] = name;
  return (milo_literal){.kind = MILO_LITERAL_STRINGS,
                        .type = milo_type_scalar(MILO_STRING),
                        .strings = strings,
                        .count = 1};
}

void milo_value_rename(milo_value *value, const char *name) {
  value->name = name;
  if (value->def == NULL || value->index != 0) return;
  milo_attrs *attrs = &value->def->attrs;
  for (size_t i = 0; i < attrs->count; ++i)
    if (strcmp(attrs->items[i].name, "name") == 0)
      attrs->items[i].value = name_literal(milo_op_arena(value->def), name);
}

// A value of the old one's name that equals `to`.
static milo_value *take_name(milo_rewriter *r, milo_value *old, milo_value *to) {
  milo_func *func = r->func;
  const char *name = old->name;
  milo_value_rename(old, milo_func_fresh_name(func, name));
  if (to->def != NULL && to->def->parent == func->body && !milo_rewriter_is_output(r, to)) {
    milo_value_rename(to, name);
    return to;
  }
  const milo_loc loc = old->def != NULL ? old->def->loc : func->loc;
  milo_op *op = milo_op_create(func->body, NULL, "identity", loc);
  milo_op_add_arg(op, "x", &to, 1);
  milo_attrs_add(milo_op_arena(op), &op->attrs, "name", name_literal(milo_op_arena(op), name));
  return milo_op_add_result(op, name, to->type);
}

static void finish(milo_rewriter *r) {
  milo_block *body = r->func->body;
  milo_value **now = MILO_NEW_ARRAY(&r->arena, milo_value *, r->count);  // by id of an old output
  for (size_t i = 0; i < body->output_count; ++i) {
    milo_value *old = body->outputs[i], *to = find(r, old);
    if (to == old) continue;
    const uint32_t id = old->id;
    if (now[id] == NULL) {
      now[id] = take_name(r, old, to);
      mark_output(r, now[id]);
    }
    body->outputs[i] = now[id];
  }
}

milo_status milo_rewrite(milo_func *func, milo_visit_fn *visit, void *user) {
  milo_rewriter r = init(func);
  const milo_status status = walk(&r, func->body, visit, user);
  if (status == MILO_OK) finish(&r);
  milo_arena_deinit(&r.arena);
  return status;
}

void milo_op_make_const(milo_op *op, const milo_literal *literals) {
  milo_arena *arena = milo_op_arena(op);
  for (size_t i = 0; i < op->result_count; ++i) {
    milo_value *value = op->results[i];
    milo_op *made = milo_op_create(op->parent, op, "const", op->loc);
    milo_attrs_add(arena, &made->attrs, "name", name_literal(arena, value->name));
    milo_attrs_add(arena, &made->attrs, "val", literals[i]);
    MILO_PUSH(arena, made->results, made->result_count, made->result_capacity, value);
    value->def = made;
    value->index = 0;
    value->literal = milo_attrs_find(&made->attrs, "val");
  }
  op->result_count = 0;
  milo_op_remove(op);
}
