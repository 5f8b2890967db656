// SPDX-License-Identifier: MIT
// The verifier: is a program what the rest of Milo may take it to be? It reports everything it
// finds, each fault once, at its operation.
#include <string.h>

#include "ir/op.h"

// ---- what is visible ----

// A set of keys, open addressing, grown at half full; a key that was taken out leaves its slot with
// visible false. Keys are compared as pointers, or as strings.
typedef struct slot {
  const void *key;
  bool visible;
} slot;

typedef struct key_set {
  slot *slots;
  size_t count, capacity;
  bool strings;
} key_set;

static uint64_t hash_key(const key_set *set, const void *key) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  if (!set->strings) {
    h = (h ^ (uint64_t)(uintptr_t)key) * UINT64_C(0x9e3779b97f4a7c15);
  } else {
    for (const char *c = key; *c != '\0'; c++)
      h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
  }
  return h ^ (h >> 32);
}

static bool same_key(const key_set *set, const void *a, const void *b) {
  return a == b || (set->strings && strcmp(a, b) == 0);
}

// The key's slot, or the free one where it belongs; NULL if the set is empty.
static slot *find_slot(const key_set *set, const void *key) {
  if (set->capacity == 0) return NULL;
  size_t i = (size_t)hash_key(set, key) & (set->capacity - 1);
  while (set->slots[i].key != NULL && !same_key(set, set->slots[i].key, key))
    i = (i + 1) & (set->capacity - 1);
  return &set->slots[i];
}

static bool is_visible(const key_set *set, const void *key) {
  const slot *s = find_slot(set, key);
  return s != NULL && s->visible;
}

// False if the key is visible already.
static bool show(milo_arena *arena, key_set *set, const void *key) {
  if (2 * (set->count + 1) > set->capacity) {
    const key_set old = *set;
    set->capacity = old.capacity == 0 ? 64 : 2 * old.capacity;
    set->slots = MILO_NEW_ARRAY(arena, slot, set->capacity);
    for (size_t i = 0; i < old.capacity; i++)
      if (old.slots[i].key != NULL) *find_slot(set, old.slots[i].key) = old.slots[i];
  }
  slot *s = find_slot(set, key);
  if (s->visible) return false;
  if (s->key == NULL) set->count++;
  *s = (slot){key, true};
  return true;
}

static void hide(const key_set *set, const void *key) {
  slot *s = find_slot(set, key);
  if (s != NULL) s->visible = false;
}

// ---- one function ----

typedef struct verifier {
  milo_diag *diag;
  milo_status status;
  milo_arena arena;  // scratch
  key_set values, names;
  milo_types types;
} verifier;

static void note(verifier *v, milo_status status) {
  if (status != MILO_OK && v->status == MILO_OK) v->status = status;
}

static void define(verifier *v, const milo_value *value, milo_loc loc) {
  if (value->name[0] == '\0')
    note(v, milo_fail(v->diag, loc, MILO_ERR_INVALID, "a value has no name"));
  else if (!show(&v->arena, &v->names, value->name))
    note(v, milo_fail(v->diag, loc, MILO_ERR_INVALID,
                      "%s is defined twice\nevery value needs a name of its own", value->name));
  show(&v->arena, &v->values, value);
}

static void undefine(verifier *v, const milo_value *value) {
  hide(&v->values, value);
  hide(&v->names, value->name);
}

static bool is_defined(const verifier *v, const milo_value *value) {
  const bool in_place = value->def == NULL && value->literal != NULL;
  return in_place || is_visible(&v->values, value);
}

// A constant is what its elements make it: none of its dimensions is open.
static void check_constant(verifier *v, const milo_op *op, const milo_value *value) {
  const milo_type *type = &value->type;
  if (value->literal == NULL || type->kind != MILO_TYPE_TENSOR || milo_type_is_static(type)) return;
  note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID,
                    "%s: a constant of type %s, whose shape is not known", op->name,
                    milo_type_format(&v->arena, type, true)));
}

static void check_uses(verifier *v, const milo_op *op) {
  for (size_t i = 0; i < op->result_count; i++) check_constant(v, op, op->results[i]);
  for (size_t i = 0; i < op->arg_count; i++) {
    const milo_arg *arg = &op->args[i];
    for (size_t k = 0; k < arg->count; k++) {
      if (arg->values[k]->def == NULL) check_constant(v, op, arg->values[k]);
      if (!is_defined(v, arg->values[k]))
        note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID,
                          "%s.%s is %s, which is not defined before", op->name, arg->name,
                          arg->values[k]->name));
    }
    for (size_t k = 0; k < i; k++)
      if (strcmp(op->args[k].name, arg->name) == 0)
        note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID, "%s.%s is given twice", op->name,
                          arg->name));
  }
}

// Declared result types against what follows from the arguments.
static void check_types(verifier *v, const milo_op *op) {
  v->types.count = 0;
  const milo_status status = milo_op_infer(op, &v->types, v->diag);
  note(v, status);
  if (status != MILO_OK) return;
  if (v->types.count != op->result_count) {
    note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID, "%s has %zu results, expected %zu",
                      op->name, op->result_count, v->types.count));
    return;
  }
  for (size_t i = 0; i < op->result_count; i++) {
    const milo_type *declared = &op->results[i]->type, *inferred = &v->types.items[i];
    if (milo_type_compatible(declared, inferred)) continue;
    note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID,
                      "%s: the result %s is declared %s, but is %s by its arguments", op->name,
                      op->results[i]->name, milo_type_format(&v->arena, declared, true),
                      milo_type_format(&v->arena, inferred, true)));
  }
}

static void check_block(verifier *v, const milo_block *block, milo_loc loc) {
  for (size_t i = 0; i < block->param_count; i++) define(v, block->params[i], loc);
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    check_uses(v, op);
    if (op->code != MILO_OP_unknown) check_types(v, op);
    for (size_t i = 0; i < op->block_count; i++) check_block(v, op->blocks[i], op->loc);
    for (size_t i = 0; i < op->result_count; i++) define(v, op->results[i], op->loc);
  }
  for (size_t i = 0; i < block->output_count; i++)
    if (!is_defined(v, block->outputs[i]))
      note(v, milo_fail(v->diag, loc, MILO_ERR_INVALID, "the output %s is not defined",
                        block->outputs[i]->name));
  for (const milo_op *op = block->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++) undefine(v, op->results[i]);
  for (size_t i = 0; i < block->param_count; i++) undefine(v, block->params[i]);
}

milo_status milo_ir_verify_func(const milo_func *func, milo_diag *diag) {
  verifier v = {.diag = diag, .names = {.strings = true}};
  v.types.arena = &v.arena;
  check_block(&v, func->body, func->loc);
  milo_arena_deinit(&v.arena);
  return v.status;
}

milo_status milo_ir_verify(const milo_program *program, milo_diag *diag) {
  milo_status status = MILO_OK;
  for (size_t i = 0; i < program->func_count; i++) {
    const milo_func *func = program->funcs[i];
    for (size_t k = 0; k < i; k++)
      if (strcmp(program->funcs[k]->name, func->name) == 0)
        status = milo_fail(diag, func->loc, MILO_ERR_INVALID, "function %s is defined twice",
                           func->name);
    const milo_status one = milo_ir_verify_func(func, diag);
    if (one != MILO_OK) status = one;
  }
  return status;
}
