// SPDX-License-Identifier: MIT
#include "pass/rewrite.h"

#include <assert.h>
#include <string.h>

static void add_value(milo_rewriter *r, milo_value *value) {
  size_t to_count = r->count;
  MILO_PUSH(&r->arena, r->to, to_count, r->to_capacity, NULL);
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

milo_rewriter milo_rewriter_init(milo_func *func) {
  milo_rewriter r = {.func = func};
  add_block(&r, func->body);
  return r;
}

void milo_rewriter_deinit(milo_rewriter *r) { milo_arena_deinit(&r->arena); }

// Replacements may be replaced themselves later: follows them to the end.
static milo_value *find(const milo_rewriter *r, milo_value *value) {
  while (value->id < r->count && r->known[value->id] == value && r->to[value->id] != NULL)
    value = r->to[value->id];
  return value;
}

static void apply_block(milo_rewriter *r, milo_block *block) {
  for (milo_op *op = block->first; op != NULL; op = op->next) milo_rewriter_apply(r, op);
  for (size_t i = 0; i < block->output_count; ++i) block->outputs[i] = find(r, block->outputs[i]);
}

void milo_rewriter_apply(milo_rewriter *r, milo_op *op) {
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      op->args[i].values[k] = find(r, op->args[i].values[k]);
  for (size_t i = 0; i < op->block_count; ++i) apply_block(r, op->blocks[i]);
}

void milo_rewriter_replace(milo_rewriter *r, milo_value *from, milo_value *to) {
  assert(milo_type_equal(&from->type, &to->type));
  to = find(r, to);
  assert(from != to);
  if (from->id >= r->count || r->known[from->id] != from) add_value(r, from);
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

static bool is_output(const milo_block *body, const milo_value *value) {
  for (size_t i = 0; i < body->output_count; ++i)
    if (body->outputs[i] == value) return true;
  return false;
}

// A value of the old one's name that equals `to`.
static milo_value *take_name(milo_func *func, milo_value *old, milo_value *to) {
  const char *name = old->name;
  milo_value_rename(old, milo_func_fresh_name(func, name));
  if (to->def != NULL && to->def->parent == func->body && !is_output(func->body, to)) {
    milo_value_rename(to, name);
    return to;
  }
  const milo_loc loc = old->def != NULL ? old->def->loc : func->loc;
  milo_op *op = milo_op_create(func->body, NULL, "identity", loc);
  milo_op_add_arg(op, "x", &to, 1);
  milo_attrs_add(milo_op_arena(op), &op->attrs, "name", name_literal(milo_op_arena(op), name));
  return milo_op_add_result(op, name, to->type);
}

void milo_rewriter_finish(milo_rewriter *r) {
  milo_block *body = r->func->body;
  for (size_t i = 0; i < body->output_count; ++i) {
    milo_value *old = body->outputs[i], *to = find(r, old);
    if (to == old) continue;
    milo_value *now = take_name(r->func, old, to);
    for (size_t k = i; k < body->output_count; ++k)
      if (body->outputs[k] == old) body->outputs[k] = now;
  }
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
