// SPDX-License-Identifier: MIT
#include "device/list.h"

#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "ir/op.h"

typedef struct call {
  const milo_op *op;
  const milo_literal *const *values;
  milo_arena *arena;
  milo_literal *result;
  milo_diag *diag;
} call;

static const milo_literal *arg(const call *c, const char *name) {
  for (size_t i = 0; i < c->op->arg_count; ++i)
    if (strcmp(c->op->args[i].name, name) == 0) return c->values[i];
  return NULL;
}

#define FAIL(c, ...) milo_fail((c)->diag, (c)->op->loc, MILO_ERR_INVALID, __VA_ARGS__)

// ---- elements ----

static milo_literal tensor(const milo_type *type, const void *data) {
  return (milo_literal){.kind = MILO_LITERAL_DATA,
                        .type = *type,
                        .data = data,
                        .bytes = milo_type_bytes(type),
                        .count = milo_type_elements(type)};
}

// What has not been written yet: zeros, if it is known how many.
static milo_status unwritten(const call *c, const milo_type *elem, milo_literal *out) {
  *out = (milo_literal){.kind = MILO_LITERAL_DATA, .type = *elem};
  if (!milo_type_is_static(elem)) return MILO_OK;
  MILO_TRY(milo_memory_ask("an element of a list", milo_type_bytes(elem), c->diag));
  *out = tensor(elem, milo_arena_alloc(c->arena, milo_type_bytes(elem) + 1));
  return MILO_OK;
}

// A copy of the list (NULL: an empty one) with at least `length` elements.
static milo_status grown(const call *c, const milo_literal *list, const milo_type *elem,
                         size_t length, milo_literal **out_items) {
  const size_t old = list != NULL ? list->count : 0;
  const size_t count = length > old ? length : old;
  milo_literal none;
  MILO_TRY(milo_memory_ask("a list", (uint64_t)count * sizeof none, c->diag));
  *out_items = MILO_NEW_ARRAY(c->arena, milo_literal, count);
  if (old > 0) memcpy(*out_items, list->items, old * sizeof **out_items);
  if (count > old) MILO_TRY(unwritten(c, elem, &none));
  for (size_t i = old; i < count; ++i) (*out_items)[i] = none;
  c->result->kind = MILO_LITERAL_ITEMS;
  c->result->items = *out_items;
  c->result->count = count;
  return MILO_OK;
}

static milo_status check_index(const call *c, const milo_literal *list, int64_t index, bool grows) {
  if (index >= 0 && (grows || (uint64_t)index < list->count)) return MILO_OK;
  return FAIL(c, "%s: index %lld of a list of %zu", c->op->name, (long long)index, list->count);
}

static milo_status element(const call *c, const milo_literal *list, int64_t index,
                           const milo_literal **out) {
  MILO_TRY(check_index(c, list, index, false));
  *out = &list->items[index];
  if (milo_type_is_static(&(*out)->type)) return MILO_OK;
  return FAIL(c, "%s: element %lld of the list was not written, and has no shape of its own",
              c->op->name, (long long)index);
}

static bool may_grow(const milo_literal *list) { return list->type.length == MILO_DIM_UNKNOWN; }

// ---- operations ----

static milo_status make(const call *c) {
  const milo_type *type = &c->op->results[0]->type;
  const milo_literal *length = arg(c, "init_length"), *grows = arg(c, "dynamic_length");
  milo_literal *items;
  const int64_t count = length != NULL ? milo_literal_int(length, 0) : 1;
  if (count < 0) return FAIL(c, "make_list: init_length is %lld", (long long)count);
  MILO_TRY(grown(c, NULL, &type->elems[0], (size_t)count, &items));
  c->result->type = *type;
  c->result->type.length =
      grows == NULL || milo_literal_int(grows, 0) != 0 ? MILO_DIM_UNKNOWN : count;
  return MILO_OK;
}

static milo_status length(const call *c) {
  int32_t *data = milo_arena_alloc(c->arena, sizeof *data);
  const size_t count = arg(c, "ls")->count;
  if (count > INT32_MAX) return FAIL(c, "list_length: %zu is no int32", count);
  *data = (int32_t)count;
  const milo_type type = milo_type_scalar(MILO_INT32);
  *c->result = tensor(&type, data);
  return MILO_OK;
}

static milo_status read(const call *c) {
  const milo_literal *item;
  MILO_TRY(element(c, arg(c, "ls"), milo_literal_int(arg(c, "index"), 0), &item));
  *c->result = *item;
  return MILO_OK;
}

static milo_status write(const call *c) {
  const milo_literal *list = arg(c, "ls"), *value = arg(c, "value");
  const int64_t index = milo_literal_int(arg(c, "index"), 0);
  milo_literal *items;
  MILO_TRY(check_index(c, list, index, may_grow(list)));
  MILO_TRY(grown(c, list, &list->type.elems[0], (size_t)index + 1, &items));
  if (!milo_type_compatible(&value->type, &list->type.elems[0]))
    return FAIL(c, "list_write: the value is of another shape than the list's elements");
  items[index] = *value;
  c->result->type = list->type;
  return MILO_OK;
}

static milo_status gather(const call *c) {
  const milo_literal *list = arg(c, "ls"), *indices = arg(c, "indices");
  const milo_literal *first = NULL, *item;
  milo_type type = list->type.elems[0];
  for (size_t i = 0; i < indices->count; ++i) {
    MILO_TRY(element(c, list, milo_literal_int(indices, i), &item));
    if (first == NULL) first = item;
    if (!milo_type_equal(&first->type, &item->type))
      return FAIL(c, "list_gather: the elements differ in shape");
  }
  if (first != NULL) type = first->type;
  if (!milo_type_is_static(&type) || type.rank == MILO_MAX_RANK)
    return FAIL(c, "list_gather: no element, so no shape");
  for (int i = type.rank++; i > 0; --i) type.dims[i] = type.dims[i - 1];
  type.dims[0] = (int64_t)indices->count;
  const size_t each = first != NULL ? first->bytes : 0;
  MILO_TRY(milo_memory_ask("list_gather's result", (uint64_t)each * indices->count, c->diag));
  char *data = milo_arena_alloc(c->arena, each * indices->count + 1);
  for (size_t i = 0; i < indices->count && each > 0; ++i)
    memcpy(data + i * each, list->items[milo_literal_int(indices, i)].data, each);
  *c->result = tensor(&type, data);
  return MILO_OK;
}

static milo_status scatter(const call *c) {
  const milo_literal *list = arg(c, "ls"), *indices = arg(c, "indices"), *value = arg(c, "value");
  if (value->type.rank < 1 || (uint64_t)value->type.dims[0] != indices->count)
    return FAIL(c, "list_scatter: %zu indices, but the value has another number of rows",
                indices->count);
  milo_type type = value->type;
  for (int i = 1; i < type.rank; ++i) type.dims[i - 1] = type.dims[i];
  --type.rank;
  if (!milo_type_compatible(&type, &list->type.elems[0]))
    return FAIL(c, "list_scatter: the value is of another shape than the list's elements");
  size_t most = 0;
  for (size_t i = 0; i < indices->count; ++i) {
    const int64_t index = milo_literal_int(indices, i);
    MILO_TRY(check_index(c, list, index, may_grow(list)));
    if ((size_t)index + 1 > most) most = (size_t)index + 1;
  }
  milo_literal *items;
  MILO_TRY(grown(c, list, &list->type.elems[0], most, &items));
  const size_t each = milo_type_bytes(&type);
  for (size_t i = 0; i < indices->count; ++i)
    items[milo_literal_int(indices, i)] = tensor(&type, (const char *)value->data + i * each);
  c->result->type = list->type;
  return MILO_OK;
}

typedef milo_status list_fn(const call *c);
static list_fn *const functions[MILO_OP_COUNT] = {
    [MILO_OP_make_list] = make,   [MILO_OP_list_length] = length, [MILO_OP_list_read] = read,
    [MILO_OP_list_write] = write, [MILO_OP_list_gather] = gather, [MILO_OP_list_scatter] = scatter,
};

bool milo_list_runs(const milo_op *op) { return functions[op->code] != NULL; }

milo_status milo_list_run(const milo_op *op, const milo_literal *const *values, milo_arena *arena,
                          milo_literal *out_result, milo_diag *diag) {
  const call c = {op, values, arena, out_result, diag};
  *out_result = (milo_literal){.kind = MILO_LITERAL_DATA};
  return functions[op->code](&c);
}
