// SPDX-License-Identifier: MIT
// The verifier: is a program what the rest of Milo may take it to be? It reports everything it
// finds, each fault once, at its operation.
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"

// ---- what is visible ----

// Names and what they stand for here: open addressing, grown at half full; a name that went out of
// sight keeps its slot, with value NULL.
typedef struct slot {
  const char *name;
  const void *value;
} slot;

typedef struct name_map {
  slot *slots;
  size_t count, capacity;
} name_map;

// The name's slot, or the free one where it belongs. Not of an empty map.
static slot *probe(const name_map *map, const char *name) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (const char *c = name; *c != '\0'; c++) h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
  size_t i = (size_t)(h ^ (h >> 32)) & (map->capacity - 1);
  while (map->slots[i].name != NULL && strcmp(map->slots[i].name, name) != 0)
    i = (i + 1) & (map->capacity - 1);
  return &map->slots[i];
}

static const void *find(const name_map *map, const char *name) {
  return map->capacity == 0 ? NULL : probe(map, name)->value;
}

static void grow(name_map *map) {
  const name_map old = *map;
  map->capacity = old.capacity == 0 ? 64 : 2 * old.capacity;
  map->slots = calloc(map->capacity, sizeof *map->slots);
  if (map->slots == NULL) milo_out_of_memory(map->capacity * sizeof *map->slots);
  for (size_t i = 0; i < old.capacity; i++)
    if (old.slots[i].name != NULL) *probe(map, old.slots[i].name) = old.slots[i];
  free(old.slots);
}

// False if the name stands for something already; that stays.
static bool show(name_map *map, const char *name, const void *value) {
  if (2 * (map->count + 1) > map->capacity) grow(map);
  slot *s = probe(map, name);
  if (s->value != NULL) return false;
  if (s->name == NULL) map->count++;
  *s = (slot){name, value};
  return true;
}

static void hide(const name_map *map, const char *name, const void *value) {
  if (map->capacity == 0) return;
  slot *s = probe(map, name);
  if (s->value == value) s->value = NULL;
}

// ---- one function ----

typedef struct verifier {
  milo_diag *diag;
  milo_status status;
  milo_arena arena;  // scratch
  name_map names;
  bool names_clash;  // reported; a value may then be out of sight though it is defined
  milo_types types;
} verifier;

static void note(verifier *v, milo_status status) {
  if (status != MILO_OK && v->status == MILO_OK) v->status = status;
}

static void define(verifier *v, const milo_value *value, milo_loc loc) {
  if (value->name[0] == '\0')
    note(v, milo_fail(v->diag, loc, MILO_ERR_INVALID, "a value has no name"));
  else if (show(&v->names, value->name, value))
    return;
  else
    note(v, milo_fail(v->diag, loc, MILO_ERR_INVALID,
                      "%s is defined twice\nevery value needs a name of its own", value->name));
  v->names_clash = true;
}

static bool is_defined(const verifier *v, const milo_value *value) {
  const bool in_place = value->def == NULL && value->literal != NULL;
  if (in_place) return true;
  const void *seen = find(&v->names, value->name);
  return seen == value || (v->names_clash && (seen != NULL || value->name[0] == '\0'));
}

// A constant is what its elements make it: none of its dimensions is open.
static void check_constant(verifier *v, const milo_op *op, const milo_value *value) {
  const milo_type *type = &value->type;
  if (value->literal == NULL || type->kind != MILO_TYPE_TENSOR || milo_type_is_static(type)) return;
  note(v, milo_fail(v->diag, op->loc, MILO_ERR_INVALID,
                    "%s: a constant of type %s, whose shape is not known", op->name,
                    milo_type_format(&v->arena, type, true)));
}

static void given_twice(verifier *v, const milo_op *op, const milo_arg *arg) {
  note(v,
       milo_fail(v->diag, op->loc, MILO_ERR_INVALID, "%s.%s is given twice", op->name, arg->name));
}

// Known operations have few arguments, others as many as a text holds.
static void check_argument_names(verifier *v, const milo_op *op) {
  if (op->arg_count <= MILO_MAX_PARAMS) {
    for (size_t i = 1; i < op->arg_count; i++)
      for (size_t k = 0; k < i; k++)
        if (strcmp(op->args[k].name, op->args[i].name) == 0) given_twice(v, op, &op->args[i]);
    return;
  }
  name_map seen = {0};
  for (size_t i = 0; i < op->arg_count; i++)
    if (!show(&seen, op->args[i].name, &op->args[i])) given_twice(v, op, &op->args[i]);
  free(seen.slots);
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
  }
  check_argument_names(v, op);
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
    for (size_t i = 0; i < op->result_count; i++)
      hide(&v->names, op->results[i]->name, op->results[i]);
  for (size_t i = 0; i < block->param_count; i++)
    hide(&v->names, block->params[i]->name, block->params[i]);
}

milo_status milo_ir_verify_func(const milo_func *func, milo_diag *diag) {
  verifier v = {.diag = diag};
  v.types.arena = &v.arena;
  check_block(&v, func->body, func->loc);
  milo_arena_deinit(&v.arena);
  free(v.names.slots);
  return v.status;
}

milo_status milo_ir_verify(const milo_program *program, milo_diag *diag) {
  milo_status status = MILO_OK;
  name_map names = {0};
  for (size_t i = 0; i < program->func_count; i++) {
    const milo_func *func = program->funcs[i];
    if (!show(&names, func->name, func))
      status =
          milo_fail(diag, func->loc, MILO_ERR_INVALID, "function %s is defined twice", func->name);
    const milo_status one = milo_ir_verify_func(func, diag);
    if (one != MILO_OK) status = one;
  }
  free(names.slots);
  return status;
}
