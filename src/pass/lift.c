// SPDX-License-Identifier: MIT
#include "pass/lift.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "pass/rewrite.h"

enum { FEW = 64 };  // a constant of so many elements is no weight unless a pattern says so

// ---- how constants are used ----

typedef struct use {
  bool any, fixed;  // fixed: something needs it when it is compiled
  bool statistic;   // of batch_norm
} use;

static bool is_statistic(const milo_op *op, const char *arg) {
  return op->code == MILO_OP_batch_norm &&
         (strcmp(arg, "mean") == 0 || strcmp(arg, "variance") == 0);
}

static void note_uses(const milo_block *block, use *uses) {
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    const bool frozen = op->code == MILO_OP_unknown || op->block_count > 0 ||
                        (milo_op_info_get(op->code)->traits & MILO_OP_CONSTEXPR) != 0;
    for (size_t i = 0; i < op->arg_count; i++) {
      const milo_arg *arg = &op->args[i];
      const milo_param *param = milo_op_param(op->code, arg->name);
      const bool fixed =
          frozen || arg->as_attribute || param == NULL || (param->flags & MILO_PARAM_CONST) != 0;
      for (size_t k = 0; k < arg->count; k++) {
        use *u = &uses[arg->values[k]->id];
        u->any = true;
        u->fixed = u->fixed || fixed;
        u->statistic = u->statistic || is_statistic(op, arg->name);
      }
    }
    for (size_t i = 0; i < op->block_count; i++) note_uses(op->blocks[i], uses);
  }
  for (size_t i = 0; i < block->output_count; i++) uses[block->outputs[i]->id].fixed = true;
}

// ---- which are weights ----

typedef enum content { CONTENT_NUMBERS, CONTENT_MASK, CONTENT_NOT_FINITE } content;

static content content_of(const milo_literal *literal) {
  const size_t count = milo_literal_elements(literal);
  bool mask = true, masked = false;
  for (size_t i = 0; i < count; i++) {
    const double x = milo_literal_number(literal, i);
    if (!isfinite(x)) return CONTENT_NOT_FINITE;
    masked = masked || x <= -1000;
    mask = mask && (x == 0 || x <= -1000);
  }
  return mask && masked ? CONTENT_MASK : CONTENT_NUMBERS;
}

typedef enum verdict { VERDICT_NONE, VERDICT_YES, VERDICT_YES_IF_TENSOR, VERDICT_NO } verdict;

static verdict match(const char *patterns, const char *name, milo_arena *arena) {
  verdict last = VERDICT_NONE;
  while (patterns != NULL && *patterns != '\0') {
    const size_t bytes = strcspn(patterns, ",");
    const bool no = *patterns == '!';
    const char *pattern = milo_arena_strndup(arena, patterns + no, bytes - no);
    if (bytes > no && fnmatch(pattern, name, 0) == 0)
      last = no                                         ? VERDICT_NO
             : strspn(pattern, "*?") == strlen(pattern) ? VERDICT_YES_IF_TENSOR
                                                        : VERDICT_YES;
    patterns += bytes + (patterns[bytes] == ',');
  }
  return last;
}

static bool is_weight(const milo_value *value, const use *u, const char *name, const char *patterns,
                      milo_arena *arena) {
  const milo_type *type = &value->type;
  if (type->kind != MILO_TYPE_TENSOR || !milo_type_is_static(type)) return false;
  if (type->dtype != MILO_FP32 && type->dtype != MILO_FP16 && type->dtype != MILO_BF16)
    return false;
  const milo_literal *literal = value->literal;
  const size_t elements = milo_type_elements(type);
  if (!u->any || u->fixed || literal->data == NULL || elements == 0 ||
      !milo_type_equal(&literal->type, type))
    return false;
  const verdict said = match(patterns, name, arena);
  if (said == VERDICT_NO || (said == VERDICT_NONE && elements <= FEW)) return false;
  const content holds = content_of(literal);
  if (holds == CONTENT_NOT_FINITE) return false;
  if (said == VERDICT_YES) return true;
  return type->rank > 0 && !u->statistic && holds != CONTENT_MASK;
}

// ---- finding them ----

typedef struct finder {
  milo_func *func;
  const char *patterns;
  milo_arena *arena;
  const use *uses;
  milo_lifting *found;
  size_t *slots, slot_count;  // 1 + index of those in blob files, by offset: open addressing
} finder;

static bool same_blob(const milo_literal *a, const milo_literal *b) {
  return a->kind == MILO_LITERAL_BLOB && b->kind == MILO_LITERAL_BLOB &&
         a->blob_offset == b->blob_offset && milo_type_equal(&a->type, &b->type) &&
         strcmp(a->blob_path, b->blob_path) == 0;
}

static size_t *find_slot(const finder *f, const milo_literal *literal) {
  const uint64_t hash = literal->blob_offset * UINT64_C(0x9e3779b97f4a7c15);
  for (size_t i = (size_t)(hash >> 20) & (f->slot_count - 1);; i = (i + 1) & (f->slot_count - 1)) {
    if (f->slots[i] == 0) return &f->slots[i];
    if (same_blob(f->found->items[f->slots[i] - 1].sites[0]->literal, literal)) return &f->slots[i];
  }
}

static void grow_slots(finder *f) {
  f->slot_count = f->slot_count > 0 ? 2 * f->slot_count : 64;
  f->slots = MILO_NEW_ARRAY(f->arena, size_t, f->slot_count);
  for (size_t i = 0; i < f->found->count; i++) {
    const milo_literal *literal = f->found->items[i].sites[0]->literal;
    if (literal->kind == MILO_LITERAL_BLOB) *find_slot(f, literal) = i + 1;
  }
}

static void consider(finder *f, milo_value *value, const char *name) {
  if (!is_weight(value, &f->uses[value->id], name, f->patterns, f->arena)) return;
  milo_lifting *found = f->found;
  size_t index = found->count;
  if (value->literal->kind == MILO_LITERAL_BLOB) {
    if (2 * (found->count + 1) > f->slot_count) grow_slots(f);
    size_t *slot = find_slot(f, value->literal);
    if (*slot != 0)
      index = *slot - 1;
    else
      *slot = index + 1;
  }
  if (index == found->count) {
    const milo_lifted item = {.name = name, .type = value->type, .data = value->literal->data};
    MILO_PUSH(f->arena, found->items, found->count, found->capacity, item);
  }
  milo_lifted *item = &found->items[index];
  MILO_PUSH(f->arena, item->sites, item->site_count, item->site_capacity, value);
}

void milo_lift_find(milo_func *func, const char *patterns, milo_arena *arena, milo_lifting *out) {
  *out = (milo_lifting){0};
  milo_func_number(func);
  use *uses = MILO_NEW_ARRAY(arena, use, func->value_count);
  note_uses(func->body, uses);
  finder f = {func, patterns, arena, uses, out, NULL, 0};
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) {
      milo_value *value = op->results[0];
      if (value->literal != NULL) consider(&f, value, value->name);
      continue;
    }
    for (size_t i = 0; i < op->arg_count && op->result_count > 0; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        milo_value *value = op->args[i].values[k];
        // Only what can be a weight gets a name of its own.
        if (value->def != NULL || value->literal == NULL || uses[value->id].fixed ||
            value->type.kind != MILO_TYPE_TENSOR || !milo_dtype_is_float(value->type.dtype))
          continue;
        const char *stem =
            milo_arena_printf(arena, "%s_%s", op->results[0]->name, op->args[i].name);
        consider(&f, value, milo_func_fresh_name(func, stem));
      }
  }
}

// ---- lifting them ----

static milo_value *add_param(milo_func *func, const milo_lifted *item) {
  // The constant's name passes to the parameter.
  for (size_t i = 0; i < item->site_count; i++)
    if (item->sites[i]->def != NULL)
      milo_value_rename(item->sites[i], milo_func_fresh_name(func, item->sites[i]->name));
  milo_type type = item->type;
  type.dtype = MILO_FP32;
  return milo_func_add_param(func, milo_arena_strdup(&func->program->arena, item->name), type);
}

// Makes the block use to[id] for the values that have one.
static void replace(milo_block *block, milo_value *const *to) {
  for (milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        milo_value **value = &op->args[i].values[k];
        if (to[(*value)->id] != NULL) *value = to[(*value)->id];
      }
    for (size_t i = 0; i < op->block_count; i++) replace(op->blocks[i], to);
  }
}

milo_status milo_lift(milo_func *func, const char *patterns, milo_arena *arena, milo_diag *diag,
                      milo_lifting *out) {
  milo_lift_find(func, patterns, arena, out);
  milo_builder b = milo_builder_at_end(func, diag);
  b.before = func->body->first;
  milo_value **values = MILO_NEW_ARRAY(arena, milo_value *, out->count);
  for (size_t i = 0; i < out->count; i++) {
    milo_lifted *item = &out->items[i];
    values[i] = item->param = add_param(func, item);
    if (item->type.dtype != MILO_FP32) values[i] = milo_b_cast(&b, values[i], item->type.dtype);
    if (b.status != MILO_OK) return b.status;
  }
  milo_func_number(func);
  milo_value **to = MILO_NEW_ARRAY(arena, milo_value *, func->value_count);
  for (size_t i = 0; i < out->count; i++)
    for (size_t k = 0; k < out->items[i].site_count; k++)
      to[out->items[i].sites[k]->id] = values[i];
  replace(func->body, to);
  for (size_t i = 0; i < out->count; i++)
    for (size_t k = 0; k < out->items[i].site_count; k++)
      if (out->items[i].sites[k]->def != NULL) milo_op_remove(out->items[i].sites[k]->def);
  return MILO_OK;
}

void milo_lift_store(milo_func *func, milo_value *site, const void *data) {
  milo_literal literal = *site->literal;
  literal.data = data;
  // It is no longer what any file holds.
  if (literal.kind == MILO_LITERAL_BLOB) literal.blob_file = "";
  if (site->def == NULL) {
    milo_literal *own = MILO_NEW(&func->program->arena, milo_literal);
    *own = literal;
    site->literal = own;
    return;
  }
  milo_attrs *attrs = &site->def->attrs;
  for (size_t i = 0; i < attrs->count; i++)
    if (&attrs->items[i].value == site->literal) attrs->items[i].value = literal;
}
