// SPDX-License-Identifier: MIT
// Types: construction, comparison, sizes, spelling.
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/number.h"
#include "base/str.h"
#include "ir/ir.h"

milo_type milo_type_tensor(milo_dtype dtype, int rank, const int64_t *dims) {
  assert(rank >= -1 && rank <= MILO_MAX_RANK);
  milo_type type = {.kind = MILO_TYPE_TENSOR, .dtype = dtype, .rank = rank};
  for (int i = 0; i < rank; i++) type.dims[i] = dims[i];
  return type;
}

milo_type milo_type_scalar(milo_dtype dtype) { return milo_type_tensor(dtype, 0, NULL); }

// Compares two types; wildcard: unknown dims, ranks and lengths match anything.
static bool matches(const milo_type *a, const milo_type *b, bool wildcard) {
  if (a->kind != b->kind) return false;
  size_t elems = 0;
  switch (a->kind) {
    case MILO_TYPE_TENSOR:
      if (a->dtype != b->dtype) return false;
      if (wildcard && (a->rank < 0 || b->rank < 0)) return true;
      if (a->rank != b->rank) return false;
      for (int i = 0; i < a->rank; i++) {
        const bool unknown = a->dims[i] == MILO_DIM_UNKNOWN || b->dims[i] == MILO_DIM_UNKNOWN;
        if (a->dims[i] != b->dims[i] && !(wildcard && unknown)) return false;
      }
      return true;
    case MILO_TYPE_OTHER:
      return strcmp(a->text, b->text) == 0;
    case MILO_TYPE_LIST: {
      const bool unknown = a->length == MILO_DIM_UNKNOWN || b->length == MILO_DIM_UNKNOWN;
      if (a->length != b->length && !(wildcard && unknown)) return false;
      elems = 1;
      break;
    }
    case MILO_TYPE_STATE:
      elems = 1;
      break;
    case MILO_TYPE_DICT:
      elems = 2;
      break;
    case MILO_TYPE_TUPLE:
      if (a->count != b->count) return false;
      elems = a->count;
      break;
  }
  for (size_t i = 0; i < elems; i++)
    if (!matches(&a->elems[i], &b->elems[i], wildcard)) return false;
  return true;
}

bool milo_type_equal(const milo_type *a, const milo_type *b) { return matches(a, b, false); }

bool milo_type_compatible(const milo_type *a, const milo_type *b) { return matches(a, b, true); }

bool milo_type_join(const milo_type *a, const milo_type *b, milo_type *out) {
  *out = *a;
  if (milo_type_equal(a, b)) return true;
  if (a->kind != b->kind) return false;
  if (a->kind == MILO_TYPE_LIST) {
    out->length = MILO_DIM_UNKNOWN;
    return milo_type_equal(&a->elems[0], &b->elems[0]);
  }
  if (a->kind != MILO_TYPE_TENSOR || a->dtype != b->dtype) return false;
  if (a->rank != b->rank) out->rank = -1;
  for (int i = 0; i < out->rank; i++)
    if (a->dims[i] != b->dims[i]) out->dims[i] = MILO_DIM_UNKNOWN;
  return true;
}

bool milo_type_is_static(const milo_type *type) {
  if (type->kind != MILO_TYPE_TENSOR || type->rank < 0) return false;
  for (int i = 0; i < type->rank; i++)
    if (type->dims[i] == MILO_DIM_UNKNOWN) return false;
  return true;
}

size_t milo_type_elements(const milo_type *type) {
  assert(milo_type_is_static(type));
  size_t elements = 1;
  for (int i = 0; i < type->rank; i++) elements *= (size_t)type->dims[i];
  return elements;
}

size_t milo_type_bytes(const milo_type *type) {
  size_t bytes = 0;
  const bool fits = milo_tensor_bytes(type->dtype, type->rank, type->dims, &bytes);
  assert(fits);
  (void)fits;
  return bytes;
}

void milo_type_print(milo_str *text, const milo_type *type, bool bare) {
  switch (type->kind) {
    case MILO_TYPE_TENSOR: {
      const char *name = milo_dtype_name(type->dtype);
      if (type->rank == 0 && bare) {
        milo_str_puts(text, name);
        return;
      }
      milo_str_printf(text, "tensor<%s, ", name);
      if (type->rank < 0) {
        milo_str_puts(text, "[*?]>");
        return;
      }
      milo_str_putc(text, '[');
      for (int i = 0; i < type->rank; i++) {
        if (i > 0) milo_str_puts(text, ", ");
        if (type->dims[i] == MILO_DIM_UNKNOWN)
          milo_str_putc(text, '?');
        else
          milo_str_printf(text, "%" PRId64, type->dims[i]);
      }
      milo_str_puts(text, "]>");
      return;
    }
    case MILO_TYPE_OTHER:
      milo_str_puts(text, type->text);
      return;
    case MILO_TYPE_STATE:
      milo_str_puts(text, "state<");
      milo_type_print(text, &type->elems[0], bare);
      break;
    case MILO_TYPE_LIST:
      milo_str_puts(text, "list<");
      milo_type_print(text, &type->elems[0], bare);
      if (type->length == MILO_DIM_UNKNOWN)
        milo_str_puts(text, ", ?");
      else
        milo_str_printf(text, ", %" PRId64, type->length);
      break;
    case MILO_TYPE_TUPLE:
      milo_str_puts(text, "tuple<");
      for (size_t i = 0; i < type->count; i++) {
        if (i > 0) milo_str_puts(text, ", ");
        milo_type_print(text, &type->elems[i], bare);
      }
      break;
    case MILO_TYPE_DICT:
      milo_str_puts(text, "dict<");
      milo_type_print(text, &type->elems[0], bare);
      milo_str_puts(text, ", ");
      milo_type_print(text, &type->elems[1], bare);
      break;
  }
  milo_str_putc(text, '>');
}

const char *milo_type_format(milo_arena *arena, const milo_type *type, bool bare_scalars) {
  milo_str text = {0};
  milo_type_print(&text, type, bare_scalars);
  const char *copy = milo_arena_strndup(arena, text.data ? text.data : "", text.bytes);
  milo_str_deinit(&text);
  return copy;
}
