// SPDX-License-Identifier: MIT
// Common subexpressions: computes equal things once. Equal are operations of the same kind with the
// same arguments (the same values, or constants of the same bits) and attributes, names aside.
//
//   before:  definitions come before uses
//   after:   no two pure operations of the function's body are equal
//   cost:    one walk with a hash table
#include <string.h>

#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

// Eight bytes at a time: all bytes of a constant count, for constants that differ in their last one
// must not meet in the table.
static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
  const unsigned char *p = data;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
  }
  for (size_t i = 0; i < bytes; ++i) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
  return hash ^ hash >> 32;
}

static uint64_t mix_literal(uint64_t hash, const milo_literal *l) {
  hash = mix(hash, &l->kind, sizeof l->kind);
  hash = mix(hash, &l->type.dtype, sizeof l->type.dtype);
  hash = mix(hash, &l->bytes, sizeof l->bytes);
  if (l->data != NULL) hash = mix(hash, l->data, l->bytes);
  for (size_t i = 0; l->kind == MILO_LITERAL_STRINGS && i < l->count; ++i)
    hash = mix(hash, l->strings[i], strlen(l->strings[i]));
  return hash;
}

static bool literals_equal(const milo_literal *a, const milo_literal *b) {
  if (a == b) return true;
  if (a->kind != b->kind || !milo_type_equal(&a->type, &b->type) || a->count != b->count ||
      a->bytes != b->bytes)
    return false;
  switch (a->kind) {
    case MILO_LITERAL_STRINGS:
      for (size_t i = 0; i < a->count; ++i)
        if (strcmp(a->strings[i], b->strings[i]) != 0) return false;
      return true;
    case MILO_LITERAL_ITEMS:
      for (size_t i = 0; i < a->count; ++i)
        if (!literals_equal(&a->items[i], &b->items[i])) return false;
      return true;
    case MILO_LITERAL_BLOB:
      if (a->blob_offset == b->blob_offset && strcmp(a->blob_path, b->blob_path) == 0) return true;
      break;
    case MILO_LITERAL_DATA:
      break;
  }
  return a->data != NULL && b->data != NULL &&
         (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

static bool values_equal(const milo_value *a, const milo_value *b) {
  if (a == b) return true;
  return a->literal != NULL && b->literal != NULL && literals_equal(a->literal, b->literal);
}

// Hashes of literals by their address, made once each: many operations may name one large constant.
typedef struct memo {
  struct {
    const milo_literal *literal;
    uint64_t hash;
  } * slots;
  size_t count, capacity;
} memo;

static uint64_t hash_literal(milo_arena *arena, memo *m, const milo_literal *literal) {
  enum { SMALL = 64 };  // hashed faster than found
  if (literal->bytes <= SMALL && literal->kind == MILO_LITERAL_DATA) return mix_literal(0, literal);
  if (2 * (m->count + 1) > m->capacity) {
    const memo old = *m;
    m->capacity = old.capacity == 0 ? 64 : 2 * old.capacity;
    m->slots = milo_arena_alloc_array(arena, m->capacity, sizeof *m->slots);
    for (size_t i = 0; i < old.capacity; ++i) {
      if (old.slots[i].literal == NULL) continue;
      size_t k = (size_t)mix(0, &old.slots[i].literal, sizeof literal) & (m->capacity - 1);
      while (m->slots[k].literal != NULL) k = (k + 1) & (m->capacity - 1);
      m->slots[k] = old.slots[i];
    }
  }
  size_t i = (size_t)mix(0, &literal, sizeof literal) & (m->capacity - 1);
  while (m->slots[i].literal != NULL && m->slots[i].literal != literal)
    i = (i + 1) & (m->capacity - 1);
  if (m->slots[i].literal == NULL) {
    m->slots[i].literal = literal;
    m->slots[i].hash = mix_literal(0, literal);
    ++m->count;
  }
  return m->slots[i].hash;
}

static uint64_t hash_op(milo_arena *arena, memo *m, const milo_op *op) {
  uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), &op->code, sizeof op->code);
  if (op->code == MILO_OP_const) return hash ^ hash_literal(arena, m, op->results[0]->literal);
  for (size_t i = 0; i < op->arg_count; ++i) {
    uint64_t arg = mix(0, op->args[i].name, strlen(op->args[i].name));
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      const uint64_t one = value->literal != NULL ? hash_literal(arena, m, value->literal)
                                                  : (uint64_t)(uintptr_t)value;
      arg = mix(arg, &one, sizeof one);
    }
    hash += arg;  // the order of arguments does not matter
  }
  return hash;
}

// Every attribute of a but its name is in b.
static bool attrs_within(const milo_op *a, const milo_op *b) {
  for (size_t i = 0; i < a->attrs.count; ++i) {
    const milo_attr *attr = &a->attrs.items[i];
    if (strcmp(attr->name, "name") == 0) continue;
    const milo_literal *other = milo_attrs_find(&b->attrs, attr->name);
    if (other == NULL || !literals_equal(&attr->value, other)) return false;
  }
  return true;
}

static bool ops_equal(const milo_op *a, const milo_op *b) {
  if (a->code != b->code || a->result_count != b->result_count || a->arg_count != b->arg_count)
    return false;
  for (size_t i = 0; i < a->result_count; ++i)
    if (!milo_type_equal(&a->results[i]->type, &b->results[i]->type)) return false;
  if (a->code == MILO_OP_const)
    return literals_equal(a->results[0]->literal, b->results[0]->literal);
  for (size_t i = 0; i < a->arg_count; ++i) {
    const milo_arg *arg = &a->args[i], *other = milo_op_arg(b, arg->name);
    if (other == NULL || other->count != arg->count) return false;
    for (size_t k = 0; k < arg->count; ++k)
      if (!values_equal(arg->values[k], other->values[k])) return false;
  }
  return attrs_within(a, b) && attrs_within(b, a);
}

static bool is_candidate(const milo_op *op) {
  if (op->code == MILO_OP_unknown || op->block_count > 0 || op->result_count == 0) return false;
  if (op->code == MILO_OP_const && op->results[0]->literal == NULL) return false;
  return (milo_op_info_get(op->code)->traits & MILO_OP_IMPURE) == 0;
}

typedef struct entry {
  milo_op *op;
  uint64_t hash;
} entry;

typedef struct finder {
  entry *table;
  size_t slots;
  memo literals;
} finder;

static size_t count_ops(const milo_block *block) {
  size_t ops = 0;
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    ++ops;
    for (size_t i = 0; i < op->block_count; ++i) ops += count_ops(op->blocks[i]);
  }
  return ops;
}

// What another block computes is of no use here unless this one lies in it.
static milo_status find_equal(milo_rewriter *r, milo_op *op, void *user) {
  finder *f = user;
  if (!is_candidate(op)) return MILO_OK;
  const uint64_t hash = hash_op(&r->arena, &f->literals, op);
  entry *e = &f->table[(size_t)hash & (f->slots - 1)];
  while (e->op != NULL &&
         (e->hash != hash || !milo_rewriter_sees(r, e->op->parent) || !ops_equal(e->op, op)))
    if (++e == f->table + f->slots) e = f->table;
  if (e->op == NULL) {
    *e = (entry){op, hash};
    return MILO_OK;
  }
  for (size_t i = 0; i < op->result_count; ++i)
    milo_rewriter_replace(r, op->results[i], e->op->results[i]);
  return MILO_OK;
}

milo_status milo_pass_cse(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  (void)options;
  (void)diag;
  milo_arena scratch = {0};
  finder f = {.slots = 16};
  const size_t ops = count_ops(func->body);
  while (f.slots < 2 * ops) f.slots *= 2;
  f.table = MILO_NEW_ARRAY(&scratch, entry, f.slots);
  const milo_status status = milo_rewrite(func, find_equal, &f);
  milo_arena_deinit(&scratch);
  return status;
}
