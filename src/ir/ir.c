// SPDX-License-Identifier: MIT
// The representation's data structure: making, linking, copying, numbering.
#include "ir/ir.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"

// ---- programs ----

typedef struct milo_cleanup {
  struct milo_cleanup *next;
  void (*fn)(void *user);
  void *user;
} milo_cleanup;

milo_program *milo_program_create(void) {
  milo_arena arena = {0};
  milo_program *program = MILO_NEW(&arena, milo_program);
  program->arena = arena;
  atomic_init(&program->refs, 1);
  program->version_major = 1;
  program->version_minor = 3;
  return program;
}

void milo_program_retain(milo_program *program) {
  atomic_fetch_add_explicit(&program->refs, 1, memory_order_relaxed);
}

void milo_program_destroy(milo_program *program) {
  if (program == NULL || atomic_fetch_sub_explicit(&program->refs, 1, memory_order_acq_rel) > 1)
    return;
  for (milo_cleanup *c = program->cleanups; c != NULL; c = c->next) c->fn(c->user);
  milo_arena arena = program->arena;  // holds program itself
  milo_arena_deinit(&arena);
}

void milo_program_on_free(milo_program *program, void (*fn)(void *user), void *user) {
  milo_cleanup *cleanup = MILO_NEW(&program->arena, milo_cleanup);
  *cleanup = (milo_cleanup){program->cleanups, fn, user};
  program->cleanups = cleanup;
}

milo_func *milo_program_add_func(milo_program *program, const char *name, const char *opset) {
  milo_arena *arena = &program->arena;
  milo_func *func = MILO_NEW(arena, milo_func);
  func->program = program;
  func->name = milo_arena_strdup(arena, name);
  func->opset = opset == NULL ? NULL : milo_arena_strdup(arena, opset);
  func->body = milo_block_create(func);
  MILO_PUSH(arena, program->funcs, program->func_count, program->func_capacity, func);
  return func;
}

milo_func *milo_program_find_func(const milo_program *program, const char *name) {
  for (size_t i = 0; i < program->func_count; i++)
    if (name == NULL || strcmp(program->funcs[i]->name, name) == 0) return program->funcs[i];
  return NULL;
}

void milo_program_remove_func(milo_program *program, milo_func *func) {
  size_t kept = 0;
  for (size_t i = 0; i < program->func_count; i++)
    if (program->funcs[i] != func) program->funcs[kept++] = program->funcs[i];
  program->func_count = kept;
}

// ---- names ----

// A set of names in use, open addressing, grown at half full.
typedef struct milo_names {
  const char **slots;
  size_t count, capacity;
  uint32_t next;  // suffix to try
} milo_names;

static size_t hash_name(const char *name) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
  return (size_t)(h ^ (h >> 32));
}

// True if the name was not there.
static bool names_add(milo_arena *arena, milo_names *names, const char *name) {
  if (2 * (names->count + 1) > names->capacity) {
    const milo_names old = *names;
    names->capacity = old.capacity == 0 ? 64 : 2 * old.capacity;
    names->slots = MILO_NEW_ARRAY(arena, const char *, names->capacity);
    names->count = 0;
    for (size_t i = 0; i < old.capacity; i++)
      if (old.slots[i] != NULL) names_add(arena, names, old.slots[i]);
  }
  size_t i = hash_name(name) & (names->capacity - 1);
  for (; names->slots[i] != NULL; i = (i + 1) & (names->capacity - 1))
    if (strcmp(names->slots[i], name) == 0) return false;
  names->slots[i] = name;
  names->count++;
  return true;
}

static void names_add_block(milo_arena *arena, milo_names *names, const milo_block *block) {
  for (size_t i = 0; i < block->param_count; i++) names_add(arena, names, block->params[i]->name);
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->result_count; i++) names_add(arena, names, op->results[i]->name);
    for (size_t i = 0; i < op->block_count; i++) names_add_block(arena, names, op->blocks[i]);
  }
}

const char *milo_func_fresh_name(milo_func *func, const char *stem) {
  milo_arena *arena = &func->program->arena;
  if (func->names == NULL) {
    func->names = MILO_NEW(arena, milo_names);
    names_add_block(arena, func->names, func->body);
  }
  char *name = milo_arena_strdup(arena, stem);
  while (!names_add(arena, func->names, name))
    name = milo_arena_printf(arena, "%s_%u", stem, ++func->names->next);
  return name;
}

// ---- values, blocks, operations ----

static milo_value *new_value(milo_func *func, const char *name, milo_type type, milo_op *def,
                             size_t index) {
  milo_arena *arena = &func->program->arena;
  milo_value *value = MILO_NEW(arena, milo_value);
  value->name = milo_arena_strdup(arena, name);
  value->type = type;
  value->def = def;
  value->index = (uint32_t)index;
  if (func->names != NULL) names_add(arena, func->names, value->name);
  return value;
}

milo_block *milo_block_create(milo_func *func) {
  milo_block *block = MILO_NEW(&func->program->arena, milo_block);
  block->func = func;
  return block;
}

milo_value *milo_block_add_param(milo_block *block, const char *name, milo_type type) {
  milo_value *value = new_value(block->func, name, type, NULL, block->param_count);
  MILO_PUSH(&block->func->program->arena, block->params, block->param_count, block->param_capacity,
            value);
  return value;
}

milo_value *milo_func_add_param(milo_func *func, const char *name, milo_type type) {
  size_t count = func->body->param_count;
  MILO_PUSH(&func->program->arena, func->param_attrs, count, func->param_attrs_capacity,
            (milo_attrs){0});
  return milo_block_add_param(func->body, name, type);
}

void milo_func_add_output(milo_func *func, milo_value *value) {
  milo_block *body = func->body;
  MILO_PUSH(&func->program->arena, body->outputs, body->output_count, body->output_capacity, value);
}

milo_value *milo_func_find_param(const milo_func *func, const char *name) {
  for (size_t i = 0; i < func->body->param_count; i++)
    if (strcmp(func->body->params[i]->name, name) == 0) return func->body->params[i];
  return NULL;
}

milo_arena *milo_op_arena(const milo_op *op) { return &op->parent->func->program->arena; }

static void link_before(milo_op *op, milo_block *block, milo_op *before) {
  op->parent = block;
  op->next = before;
  op->prev = before != NULL ? before->prev : block->last;
  *(op->prev != NULL ? &op->prev->next : &block->first) = op;
  *(before != NULL ? &before->prev : &block->last) = op;
}

static void unlink(milo_op *op) {
  *(op->prev != NULL ? &op->prev->next : &op->parent->first) = op->next;
  *(op->next != NULL ? &op->next->prev : &op->parent->last) = op->prev;
  op->prev = op->next = NULL;
}

milo_op *milo_op_create_coded(milo_block *block, milo_op *before, milo_opcode code,
                              const char *name, milo_loc loc) {
  milo_op *op = MILO_NEW(&block->func->program->arena, milo_op);
  op->code = code;
  op->name = code == MILO_OP_unknown ? name : milo_op_info_get(code)->name;
  op->loc = loc;
  link_before(op, block, before);
  return op;
}

milo_op *milo_op_create(milo_block *block, milo_op *before, const char *name, milo_loc loc) {
  const milo_opcode code = milo_opcode_find(name);
  if (code == MILO_OP_unknown) name = milo_arena_strdup(&block->func->program->arena, name);
  return milo_op_create_coded(block, before, code, name, loc);
}

void milo_op_remove(milo_op *op) { unlink(op); }

void milo_op_move_before(milo_op *op, milo_op *before) {
  assert(op != before);
  unlink(op);
  link_before(op, before->parent, before);
}

void milo_op_add_arg(milo_op *op, const char *name, milo_value *const *values, size_t count) {
  milo_arena *arena = milo_op_arena(op);
  milo_arg arg = {.name = milo_arena_strdup(arena, name), .count = count};
  arg.values = milo_arena_copy(arena, values, count * sizeof(milo_value *));
  MILO_PUSH(arena, op->args, op->arg_count, op->arg_capacity, arg);
}

milo_value *milo_op_add_result(milo_op *op, const char *name, milo_type type) {
  milo_value *value = new_value(op->parent->func, name, type, op, op->result_count);
  MILO_PUSH(milo_op_arena(op), op->results, op->result_count, op->result_capacity, value);
  return value;
}

milo_block *milo_op_add_block(milo_op *op) {
  milo_block *block = milo_block_create(op->parent->func);
  MILO_PUSH(milo_op_arena(op), op->blocks, op->block_count, op->block_capacity, block);
  return block;
}

void milo_attrs_add(milo_arena *arena, milo_attrs *attrs, const char *name, milo_literal value) {
  const milo_attr attr = {milo_arena_strdup(arena, name), value};
  MILO_PUSH(arena, attrs->items, attrs->count, attrs->capacity, attr);
}

const milo_literal *milo_attrs_find(const milo_attrs *attrs, const char *name) {
  for (size_t i = 0; i < attrs->count; i++)
    if (strcmp(attrs->items[i].name, name) == 0) return &attrs->items[i].value;
  return NULL;
}

milo_value *milo_value_literal(milo_arena *arena, milo_literal literal) {
  milo_value *value = MILO_NEW(arena, milo_value);
  value->literal = milo_arena_copy(arena, &literal, sizeof literal);
  value->type = literal.type;
  value->name = "";
  return value;
}

// ---- numbering, cloning ----

static void number_block(milo_block *block, uint32_t *next) {
  for (size_t i = 0; i < block->param_count; i++) block->params[i]->id = (*next)++;
  for (milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        milo_value *value = op->args[i].values[k];
        if (value->def == NULL && value->literal != NULL) value->id = (*next)++;
      }
    for (size_t i = 0; i < op->block_count; i++) number_block(op->blocks[i], next);
    for (size_t i = 0; i < op->result_count; i++) op->results[i]->id = (*next)++;
  }
}

void milo_func_number(milo_func *func) {
  uint32_t next = 0;
  number_block(func->body, &next);
  func->value_count = next;
}

// What a block defines has greater ids than all that it can take from outside.
static uint32_t first_id(const milo_block *block, uint32_t least) {
  for (size_t i = 0; i < block->param_count; i++)
    if (block->params[i]->id < least) least = block->params[i]->id;
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->result_count; i++)
      if (op->results[i]->id < least) least = op->results[i]->id;
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        const milo_value *value = op->args[i].values[k];
        if (value->def == NULL && value->literal != NULL && value->id < least) least = value->id;
      }
    for (size_t i = 0; i < op->block_count; i++) least = first_id(op->blocks[i], least);
  }
  return least;
}

static void each_outer_use(const milo_block *block, uint32_t first,
                           void (*fn)(void *user, milo_value *value), void *user) {
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++)
        if (op->args[i].values[k]->id < first) fn(user, op->args[i].values[k]);
    for (size_t i = 0; i < op->block_count; i++) each_outer_use(op->blocks[i], first, fn, user);
  }
  for (size_t i = 0; i < block->output_count; i++)
    if (block->outputs[i]->id < first) fn(user, block->outputs[i]);
}

void milo_op_each_use(const milo_op *op, void (*fn)(void *user, milo_value *value), void *user) {
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) fn(user, op->args[i].values[k]);
  uint32_t first = UINT32_MAX;
  for (size_t i = 0; i < op->block_count; i++) first = first_id(op->blocks[i], first);
  for (size_t i = 0; i < op->block_count; i++) each_outer_use(op->blocks[i], first, fn, user);
}

static milo_value *mapped(milo_arena *arena, milo_value **map, milo_value *value) {
  if (map[value->id] == NULL) {
    assert(value->literal != NULL && value->def == NULL);
    map[value->id] = milo_value_literal(arena, *value->literal);
  }
  return map[value->id];
}

static milo_attrs clone_attrs(milo_arena *arena, const milo_attrs *attrs) {
  milo_attrs copy = {NULL, attrs->count, attrs->count};
  copy.items = milo_arena_copy(arena, attrs->items, attrs->count * sizeof(milo_attr));
  return copy;
}

static void clone_block(const milo_block *from, milo_block *to, milo_value **map) {
  milo_arena *arena = &to->func->program->arena;
  to->name = from->name;
  to->attrs = clone_attrs(arena, &from->attrs);
  for (size_t i = 0; i < from->param_count; i++) {
    const milo_value *p = from->params[i];
    // The function's own parameters carry attributes and were added before.
    map[p->id] = to == to->func->body ? to->params[i] : milo_block_add_param(to, p->name, p->type);
  }
  for (const milo_op *op = from->first; op != NULL; op = op->next) milo_op_clone(to, op, map);
  for (size_t i = 0; i < from->output_count; i++)
    MILO_PUSH(arena, to->outputs, to->output_count, to->output_capacity,
              mapped(arena, map, from->outputs[i]));
}

milo_op *milo_op_clone(milo_block *to, const milo_op *op, milo_value **map) {
  milo_arena *arena = &to->func->program->arena;
  // Names live in the origin, which the copy keeps alive.
  milo_op *copy = milo_op_create_coded(to, NULL, op->code, op->name, op->loc);
  copy->opset = op->opset;
  copy->attrs = clone_attrs(arena, &op->attrs);
  copy->args = milo_arena_copy(arena, op->args, op->arg_count * sizeof *op->args);
  copy->arg_count = copy->arg_capacity = op->arg_count;
  for (size_t i = 0; i < op->arg_count; i++) {
    const milo_arg *arg = &op->args[i];
    copy->args[i].values = milo_arena_copy(arena, arg->values, arg->count * sizeof *arg->values);
    for (size_t k = 0; k < arg->count; k++)
      copy->args[i].values[k] = mapped(arena, map, arg->values[k]);
  }
  for (size_t i = 0; i < op->block_count; i++)
    clone_block(op->blocks[i], milo_op_add_block(copy), map);
  for (size_t i = 0; i < op->result_count; i++) {
    const milo_value *result = op->results[i];
    milo_value *value = milo_op_add_result(copy, result->name, result->type);
    value->literal =
        op->code == MILO_OP_const ? milo_attrs_find(&copy->attrs, "val") : result->literal;
    map[result->id] = value;
  }
  return copy;
}

static void release_origin(void *user) { milo_program_destroy(user); }

milo_func *milo_func_clone(milo_program *program, const milo_func *func, const char *name) {
  if (program != func->program) {
    milo_program_retain(func->program);
    milo_program_on_free(program, release_origin, func->program);
    if (program->func_count == 0) {
      program->version_major = func->program->version_major;
      program->version_minor = func->program->version_minor;
    }
  }
  milo_func *copy = milo_program_add_func(program, name, func->opset);
  copy->loc = func->loc;
  copy->attrs = clone_attrs(&program->arena, &func->attrs);
  for (size_t i = 0; i < func->body->param_count; i++) {
    milo_func_add_param(copy, func->body->params[i]->name, func->body->params[i]->type);
    copy->param_attrs[i] = clone_attrs(&program->arena, &func->param_attrs[i]);
  }
  uint32_t value_count = 0;
  number_block(func->body, &value_count);
  milo_arena scratch = {0};
  clone_block(func->body, copy->body, MILO_NEW_ARRAY(&scratch, milo_value *, value_count));
  milo_arena_deinit(&scratch);
  return copy;
}
