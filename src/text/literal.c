// SPDX-License-Identifier: MIT
// Types and literals of MIL text.
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "text/parser.h"
#include "text/scalar.h"
#include "text/text.h"

// ---- types ----

static const struct {
  const char *name;
  milo_type_kind kind;
} type_words[] = {
    {"tensor", MILO_TYPE_TENSOR},      {"state", MILO_TYPE_STATE},
    {"list", MILO_TYPE_LIST},          {"tuple", MILO_TYPE_TUPLE},
    {"dict", MILO_TYPE_DICT},          {"tensor_buffer", MILO_TYPE_OTHER},
    {"pixel_buffer", MILO_TYPE_OTHER}, {"circular_buffer", MILO_TYPE_OTHER},
};
enum { TYPE_WORDS = sizeof type_words / sizeof type_words[0] };

static milo_dtype find_dtype(const milo_parser *p, const milo_token *token) {
  char name[16];
  if (token->kind != MILO_TOKEN_NAME || token->bytes >= sizeof name) return MILO_DTYPE_NONE;
  memcpy(name, milo_parser_text(p, token), token->bytes);
  name[token->bytes] = '\0';
  return milo_dtype_find(name);
}

static int find_type_word(const milo_parser *p) {
  const char first = *milo_parser_text(p, &p->token);
  for (int i = 0; i < TYPE_WORDS; i++)
    if (first == type_words[i].name[0] && milo_parser_at_name(p, type_words[i].name)) return i;
  return -1;
}

static bool ahead_is(const milo_parser *p, char punct) {
  return p->ahead.kind == MILO_TOKEN_PUNCT && p->ahead.punct == punct;
}

bool milo_parser_at_type(const milo_parser *p) {
  if (p->token.kind != MILO_TOKEN_NAME) return false;
  if (find_dtype(p, &p->token) != MILO_DTYPE_NONE) return true;
  return find_type_word(p) >= 0 && ahead_is(p, '<');
}

bool milo_parser_at_value(const milo_parser *p) {
  return milo_parser_at_type(p) && (ahead_is(p, '(') || ahead_is(p, '<'));
}

static bool parse_count(milo_parser *p, const char *what, int64_t *out) {
  const char *why;
  if (p->token.kind != MILO_TOKEN_NUMBER) return milo_parser_expected(p, what);
  const char *text = milo_parser_text(p, &p->token);
  if (!milo_scalar_parse(text, p->token.bytes, MILO_INT64, out, 0, &why) || *out < 0)
    return milo_parser_fail(p, p->token.offset, "%s must be a whole number from 0 to 2^63 - 1",
                            what);
  milo_parser_advance(p);
  return true;
}

// dim = digits | "?" | "*" [ "?" | name ] | name
static bool parse_dim(milo_parser *p, milo_type *type, bool *unranked) {
  if (milo_parser_take(p, '*')) {
    if (milo_parser_at(p, '?') || p->token.kind == MILO_TOKEN_NAME) milo_parser_advance(p);
    *unranked = true;
    return true;
  }
  if (type->rank == MILO_MAX_RANK)
    return milo_parser_fail(p, p->token.offset, "tensors have at most %d dimensions",
                            MILO_MAX_RANK);
  int64_t dim = MILO_DIM_UNKNOWN;
  if (milo_parser_at(p, '?') || p->token.kind == MILO_TOKEN_NAME)
    milo_parser_advance(p);
  else if (!parse_count(p, "a dimension", &dim))
    return false;
  type->dims[type->rank++] = dim;
  return true;
}

static bool parse_tensor_type(milo_parser *p, milo_type *out) {
  const size_t start = p->token.offset;
  const milo_dtype dtype = find_dtype(p, &p->token);
  if (dtype == MILO_DTYPE_NONE)
    return milo_parser_expected(p, "an element type (fp16, int32, ...)");
  milo_parser_advance(p);
  *out = milo_type_scalar(dtype);
  if (!milo_parser_expect(p, ',') || !milo_parser_expect(p, '[')) return false;
  bool unranked = false;
  while (!milo_parser_at(p, ']')) {
    if (out->rank > 0 || unranked)
      if (!milo_parser_expect(p, ',')) return false;
    if (!parse_dim(p, out, &unranked)) return false;
  }
  milo_parser_advance(p);
  if (unranked) {
    if (out->rank > 0)
      return milo_parser_fail(p, start, "an unknown rank cannot stand beside dimensions");
    out->rank = -1;
  }
  size_t bytes;
  if (milo_type_is_static(out) &&
      (!milo_tensor_bytes(dtype, out->rank, out->dims, &bytes) || bytes > PTRDIFF_MAX))
    return milo_parser_fail(p, start, "this tensor is larger than memory can be");
  return true;
}

// tensor_buffer<...> and the like: kept as written.
static bool parse_other_type(milo_parser *p, size_t start, milo_type *out) {
  size_t open = 1;
  while (open > 0) {
    if (p->token.kind == MILO_TOKEN_END || p->token.kind == MILO_TOKEN_BAD ||
        milo_parser_at(p, ';') || milo_parser_at(p, '{'))
      return milo_parser_expected(p, "'>'");
    if (milo_parser_at(p, '<')) open++;
    if (milo_parser_at(p, '>') && --open == 0) break;
    milo_parser_advance(p);
  }
  const milo_token whole = {.offset = start, .bytes = p->token.offset + 1 - start};
  *out = (milo_type){.kind = MILO_TYPE_OTHER, .text = milo_parser_copy(p, &whole)};
  return true;
}

static bool parse_elem_types(milo_parser *p, milo_type *out) {
  milo_type *elems = NULL;
  size_t count = 0, capacity = 0;
  do {
    milo_type elem;
    if (!milo_parser_type(p, &elem)) return false;
    MILO_PUSH(p->arena, elems, count, capacity, elem);
  } while (milo_parser_take(p, ','));
  out->elems = elems;
  out->count = count;
  return true;
}

static bool parse_elem_type(milo_parser *p, milo_type *out) {
  milo_type *elem = MILO_NEW(p->arena, milo_type);
  out->elems = elem;
  return milo_parser_type(p, elem);
}

static bool parse_type_body(milo_parser *p, milo_type_kind kind, size_t start, milo_type *out) {
  *out = (milo_type){.kind = kind};
  switch (kind) {
    case MILO_TYPE_TENSOR:
      return parse_tensor_type(p, out);
    case MILO_TYPE_STATE:
      return parse_elem_type(p, out);
    case MILO_TYPE_LIST:
      if (!parse_elem_type(p, out) || !milo_parser_expect(p, ',')) return false;
      out->length = MILO_DIM_UNKNOWN;
      return milo_parser_take(p, '?') || parse_count(p, "a list's length", &out->length);
    case MILO_TYPE_TUPLE:
      return parse_elem_types(p, out);
    case MILO_TYPE_DICT:
      if (!parse_elem_types(p, out)) return false;
      if (out->count != 2)
        return milo_parser_fail(p, start, "dict takes two types, of its keys and of its values");
      out->count = 0;
      return true;
    case MILO_TYPE_OTHER:
      return parse_other_type(p, start, out);
  }
  return false;
}

bool milo_parser_type(milo_parser *p, milo_type *out) {
  const milo_dtype dtype = find_dtype(p, &p->token);
  if (dtype != MILO_DTYPE_NONE) {
    *out = milo_type_scalar(dtype);
    milo_parser_advance(p);
    return true;
  }
  const int word = find_type_word(p);
  if (word < 0) {
    if (p->token.kind != MILO_TOKEN_NAME) return milo_parser_expected(p, "a type");
    const char *text = milo_parser_text(p, &p->token);
    for (int d = MILO_BOOL; d < MILO_DTYPE_COUNT; d++) {
      const char *name = milo_dtype_name((milo_dtype)d);
      if (milo_names_alike(text, p->token.bytes, name, strlen(name)))
        return milo_parser_fail(p, p->token.offset, "unknown type '%.*s'\ndid you mean '%s'?",
                                (int)p->token.bytes, text, name);
    }
    return milo_parser_expected(p, "a type");
  }
  const size_t start = p->token.offset;
  milo_parser_advance(p);
  if (!milo_parser_expect(p, '<') || !milo_parser_enter(p)) return false;
  const bool parsed =
      parse_type_body(p, type_words[word].kind, start, out) && milo_parser_expect(p, '>');
  milo_parser_leave(p);
  return parsed;
}

// ---- tensor literals ----

// Contents without quotes and escapes.
static const char *unescape(milo_parser *p, const milo_token *token) {
  static const char letters[] = "ntr", controls[] = "\n\t\r";
  const char *text = milo_parser_text(p, token) + 1;
  const size_t bytes = token->bytes - 2;
  if (memchr(text, '\\', bytes) == NULL) {
    // Most strings are the names of what stands before them.
    const milo_name *name = milo_names_find(p, text, bytes);
    return name ? name->text : milo_arena_strndup(p->arena, text, bytes);
  }
  char *copy = milo_arena_alloc(p->arena, bytes + 1);
  size_t used = 0;
  for (size_t i = 0; i < bytes; i++) {
    char c = text[i];
    if (c == '\\' && i + 1 < bytes) {
      c = text[++i];
      const char *letter = c ? strchr(letters, c) : NULL;
      if (letter) c = controls[letter - letters];
    }
    copy[used++] = c;
  }
  return copy;
}

// The type a literal is being read for, and how far it is.
typedef struct tensor_reader {
  milo_dtype dtype;
  size_t count, limit;  // elements read; at most so many
} tensor_reader;

static void note_overflow(milo_parser *p, size_t offset, milo_dtype dtype) {
  milo_program *program = p->program;
  const milo_overflow overflow = {{p->lexer.source, offset}, dtype};
  if (program->overflow_count < MILO_DIAG_MAX_ERRORS)
    MILO_PUSH(p->arena, program->overflows, program->overflow_count, program->overflow_capacity,
              overflow);
}

static bool store_number(milo_parser *p, const tensor_reader *r) {
  const milo_token *token = &p->token;
  const char *text = milo_parser_text(p, token);
  const int shown = token->bytes > 40 ? 40 : (int)token->bytes;
  const char *dtype = milo_dtype_name(r->dtype), *why;
  const bool is_word = token->kind == MILO_TOKEN_NAME;
  if (r->dtype == MILO_BOOL) {
    if (!milo_parser_at_name(p, "true") && !milo_parser_at_name(p, "false"))
      return milo_parser_expected(p, "true or false");
    milo_number_store_int(MILO_BOOL, p->numbers.data, r->count, milo_parser_at_name(p, "true"));
    return true;
  }
  if (token->kind != MILO_TOKEN_NUMBER && !is_word) return milo_parser_expected(p, "a number");
  if (milo_scalar_parse(text, token->bytes, r->dtype, p->numbers.data, r->count, &why)) {
    if (why) note_overflow(p, token->offset, r->dtype);
    return true;
  }
  if (!why)
    return is_word ? milo_parser_expected(p, "a number")
                   : milo_parser_fail(p, token->offset, "'%.*s' is not a number", shown, text);
  if (why[0] == 'd')
    return milo_parser_fail(p, token->offset, "%.*s does not fit %s (%lld to %llu)", shown, text,
                            dtype, (long long)milo_dtype_min(r->dtype),
                            (unsigned long long)milo_dtype_max(r->dtype));
  return milo_parser_fail(p, token->offset, "'%.*s' %s, but the type is %s", shown, text, why,
                          dtype);
}

// One element, plain or with its type.
static bool read_element(milo_parser *p, tensor_reader *r) {
  if (r->count == r->limit)
    return milo_parser_fail(p, p->token.offset,
                            "more than the %zu element%s that the type has room for", r->limit,
                            r->limit == 1 ? "" : "s");
  const bool typed = milo_parser_at_value(p);
  if (typed) {
    const size_t start = p->token.offset;
    milo_type type;
    if (!milo_parser_type(p, &type)) return false;
    if (type.kind != MILO_TYPE_TENSOR || type.rank != 0 || type.dtype != r->dtype)
      return milo_parser_fail(p, start, "expected an element of type %s",
                              milo_dtype_name(r->dtype));
    if (!milo_parser_expect(p, '(')) return false;
  }
  if (r->dtype == MILO_STRING) {
    if (p->token.kind != MILO_TOKEN_STRING) return milo_parser_expected(p, "a string");
    milo_scratch_reserve(&p->strings, (r->count + 1) * sizeof(char *));
    ((const char **)p->strings.data)[r->count] = unescape(p, &p->token);
  } else {
    milo_scratch_reserve(&p->numbers, (r->count + 1) * sizeof(uint64_t));
    if (!store_number(p, r)) return false;
  }
  r->count++;
  milo_parser_advance(p);
  return !typed || milo_parser_expect(p, ')');
}

static bool wrong_count(milo_parser *p, size_t offset, size_t got, int64_t wanted) {
  return milo_parser_fail(p, offset, "%zu element%s where the type has %lld", got,
                          got == 1 ? "" : "s", (long long)wanted);
}

// "[" ... "]" of dimension axis. flat: all elements in one list, whatever the rank. lengths[axis]
// is -1 until the first list of that dimension was read.
static bool read_list(milo_parser *p, tensor_reader *r, int axis, int rank, bool flat,
                      int64_t *lengths) {
  const size_t start = p->token.offset;
  if (!milo_parser_expect(p, '[')) return false;
  int64_t length = 0;
  while (!milo_parser_at(p, ']')) {
    if (length > 0 && !milo_parser_expect(p, ',')) return false;
    const bool innermost = flat || axis == rank - 1;
    if (!(innermost ? read_element(p, r) : read_list(p, r, axis + 1, rank, flat, lengths)))
      return false;
    length++;
  }
  milo_parser_advance(p);
  if (flat) return true;
  if (lengths[axis] < 0) lengths[axis] = length;
  return lengths[axis] == length || wrong_count(p, start, (size_t)length, lengths[axis]);
}

static bool finish_tensor(milo_parser *p, const tensor_reader *r, milo_literal *out) {
  out->count = r->count;
  if (r->dtype == MILO_STRING) {
    out->kind = MILO_LITERAL_STRINGS;
    out->strings = milo_arena_copy(p->arena, p->strings.data, r->count * sizeof(char *));
    return true;
  }
  out->kind = MILO_LITERAL_DATA;
  const int64_t count = (int64_t)r->count;
  if (!milo_tensor_bytes(r->dtype, 1, &count, &out->bytes)) return false;
  unsigned char *data = milo_arena_copy(p->arena, p->numbers.data, out->bytes);
  // What an earlier literal left behind the last sub-byte element.
  const size_t used_bits = r->count * milo_dtype_bits(r->dtype) % 8;
  if (used_bits) data[out->bytes - 1] &= (unsigned char)((1U << used_bits) - 1);
  out->data = data;
  return true;
}

// A bare element: the tensor's only one, or all of them (a splat).
static bool read_splat(milo_parser *p, size_t elements, milo_literal *out) {
  const size_t start = p->token.offset;
  tensor_reader r = {.dtype = out->type.dtype, .limit = 1};
  memset(p->numbers.data, 0, sizeof(uint64_t));
  if (!read_element(p, &r)) return false;
  if (elements == 1) return finish_tensor(p, &r, out);
  const bool is_string = r.dtype == MILO_STRING;
  size_t bytes;
  const size_t room = MILO_TEXT_MAX_SPLAT_BYTES - p->splat_bytes;
  const int64_t count = (int64_t)elements;
  if (is_string ? !milo_size_mul(elements, sizeof(char *), &bytes)
                : !milo_tensor_bytes(r.dtype, 1, &count, &bytes))
    return false;
  if (bytes > room)
    return milo_parser_fail(p, start,
                            "numbers repeated to fill their tensors would take more than %d MiB\n"
                            "put large constants into a blob file",
                            MILO_TEXT_MAX_SPLAT_BYTES >> 20);
  p->splat_bytes += bytes;
  out->count = elements;
  if (is_string) {
    const char **strings = MILO_NEW_ARRAY(p->arena, const char *, elements);
    for (size_t i = 0; i < elements; i++) strings[i] = ((const char **)p->strings.data)[0];
    out->kind = MILO_LITERAL_STRINGS;
    out->strings = strings;
    return true;
  }
  unsigned char *data = milo_arena_alloc(p->arena, bytes);
  const size_t bits = milo_dtype_bits(r.dtype);
  if (bits >= 8) {
    for (size_t i = 0; i < elements; i++) memcpy(data + i * (bits / 8), p->numbers.data, bits / 8);
  } else {
    const int64_t value = milo_number_load_int(r.dtype, p->numbers.data, 0);
    for (size_t i = 0; i < elements; i++) milo_number_store_int(r.dtype, data, i, value);
  }
  out->kind = MILO_LITERAL_DATA;
  out->data = data;
  out->bytes = bytes;
  return true;
}

// BLOBFILE "(" path = value "," offset = value ")"
static bool read_blob(milo_parser *p, milo_literal *out) {
  bool has_path = false, has_offset = false;
  const size_t start = p->token.offset;
  milo_parser_advance(p);
  if (!milo_parser_expect(p, '(')) return false;
  do {
    const milo_token key = p->token;
    const bool is_path = milo_parser_at_name(p, "path");
    if (!is_path && !milo_parser_at_name(p, "offset"))
      return milo_parser_expected(p, "path or offset");
    milo_parser_advance(p);
    milo_literal value;
    const size_t at = p->ahead.offset;
    if (!milo_parser_expect(p, '=') || !milo_parser_value(p, &value)) return false;
    if (is_path ? has_path : has_offset)
      return milo_parser_fail(p, key.offset, "%s is given twice", is_path ? "path" : "offset");
    if (is_path) {
      if (value.kind != MILO_LITERAL_STRINGS || value.count != 1)
        return milo_parser_fail(p, at, "path must be a string");
      if (!p->blob_path || strcmp(p->blob_path, value.strings[0]) != 0)
        p->blob_path = value.strings[0];
      out->blob_path = p->blob_path;
      has_path = true;
    } else {
      if (value.kind != MILO_LITERAL_DATA || value.count != 1 ||
          !milo_dtype_is_int(value.type.dtype))
        return milo_parser_fail(p, at, "offset must be an integer");
      const int64_t offset = milo_literal_int(&value, 0);
      if (offset < 0) return milo_parser_fail(p, at, "offset must be from 0 to 2^63 - 1");
      out->blob_offset = (uint64_t)offset;
      has_offset = true;
    }
  } while (milo_parser_take(p, ','));
  if (!has_path || !has_offset)
    return milo_parser_fail(p, start, "BLOBFILE without %s", has_path ? "offset" : "path");
  if (out->type.dtype == MILO_STRING)
    return milo_parser_fail(p, start, "strings cannot stand in a blob file");
  out->kind = MILO_LITERAL_BLOB;
  return milo_parser_expect(p, ')');
}

static bool read_tensor(milo_parser *p, milo_literal *out) {
  milo_type *type = &out->type;
  const size_t start = p->token.offset;
  if (milo_parser_at_name(p, "BLOBFILE") && !milo_parser_at_value(p)) {
    if (!milo_type_is_static(type))
      return milo_parser_fail(p, start, "a tensor in a blob file needs a known shape");
    return read_blob(p, out);
  }
  int unknown = type->rank < 0 ? 2 : 0;
  for (int i = 0; i < type->rank; i++) unknown += type->dims[i] == MILO_DIM_UNKNOWN;
  if (unknown > 1)
    return milo_parser_fail(p, start, "a constant's shape can leave one dimension open at most");
  const size_t elements = unknown ? 0 : milo_type_elements(type);
  milo_scratch_reserve(&p->numbers, sizeof(uint64_t));
  if (!milo_parser_at(p, '[')) {
    if (unknown) return milo_parser_expected(p, "'['");
    // tensor<fp32, [0]>() has nothing to say either.
    if (elements == 0 && milo_parser_at(p, ')'))
      return finish_tensor(p, &(tensor_reader){.dtype = type->dtype}, out);
    return read_splat(p, elements, out);
  }
  int64_t lengths[MILO_MAX_RANK];
  for (int i = 0; i < MILO_MAX_RANK; i++) lengths[i] = i < type->rank ? type->dims[i] : -1;
  // One list of all elements is accepted for any rank; so is [] for no elements.
  const bool flat = type->rank <= 1 || !ahead_is(p, '[');
  tensor_reader r = {.dtype = type->dtype, .limit = unknown ? SIZE_MAX / 16 : elements};
  if (!read_list(p, &r, 0, type->rank, flat, lengths)) return false;
  size_t others = 1;
  for (int i = 0; i < type->rank; i++)
    if (type->dims[i] != MILO_DIM_UNKNOWN) others *= (size_t)type->dims[i];
  if (unknown ? r.count > 0 && (others == 0 || r.count % others != 0) : r.count != elements) {
    if (unknown)
      return milo_parser_fail(p, start, "%zu elements are no multiple of the known dimensions",
                              r.count);
    return wrong_count(p, start, r.count, (int64_t)elements);
  }
  return finish_tensor(p, &r, out);
}

// ---- aggregates ----

static bool read_contents(milo_parser *p, milo_literal *out);

// One item of an aggregate: contents alone, or a whole value.
static bool read_item(milo_parser *p, const milo_type *type, milo_literal *out) {
  *out = (milo_literal){.type = *type};
  if (!milo_parser_at_value(p)) return read_contents(p, out);
  const size_t start = p->token.offset;
  milo_literal value;
  if (!milo_parser_value(p, &value)) return false;
  if (!milo_type_compatible(&value.type, type))
    return milo_parser_fail(p, start, "this element's type is %s, expected %s",
                            milo_type_format(p->arena, &value.type, true),
                            milo_type_format(p->arena, type, true));
  *out = value;
  return true;
}

static bool read_pair(milo_parser *p, const milo_type *type, milo_literal *key,
                      milo_literal *value) {
  return milo_parser_expect(p, '{') && read_item(p, &type->elems[0], key) &&
         milo_parser_expect(p, ',') && read_item(p, &type->elems[1], value) &&
         milo_parser_expect(p, '}');
}

static bool read_items(milo_parser *p, char open, char close, milo_literal *out) {
  const milo_type type = out->type;
  const size_t start = p->token.offset;
  milo_literal *items = NULL;
  size_t count = 0, capacity = 0;
  if (!milo_parser_expect(p, open)) return false;
  while (!milo_parser_at(p, close)) {
    if (count > 0 && !milo_parser_expect(p, ',')) return false;
    milo_literal item, second;
    if (type.kind == MILO_TYPE_DICT) {
      if (!read_pair(p, &type, &item, &second)) return false;
      MILO_PUSH(p->arena, items, count, capacity, item);
      item = second;
    } else if (type.kind == MILO_TYPE_TUPLE && count == type.count) {
      return wrong_count(p, start, count + 1, (int64_t)type.count);
    } else if (!read_item(p, &type.elems[type.kind == MILO_TYPE_TUPLE ? count : 0], &item)) {
      return false;
    }
    MILO_PUSH(p->arena, items, count, capacity, item);
  }
  milo_parser_advance(p);
  out->kind = MILO_LITERAL_ITEMS;
  out->items = items;
  out->count = count;
  if (type.kind == MILO_TYPE_TUPLE && count != type.count)
    return wrong_count(p, start, count, (int64_t)type.count);
  if (type.kind == MILO_TYPE_LIST && type.length != MILO_DIM_UNKNOWN &&
      count != (uint64_t)type.length)
    return wrong_count(p, start, count, type.length);
  return true;
}

// The contents of a value of out->type.
static bool read_contents(milo_parser *p, milo_literal *out) {
  if (!milo_parser_enter(p)) return false;
  bool read = false;
  switch (out->type.kind) {
    case MILO_TYPE_TENSOR:
      read = read_tensor(p, out);
      break;
    case MILO_TYPE_LIST:
      read = read_items(p, '[', ']', out);
      break;
    case MILO_TYPE_TUPLE:
      read = read_items(p, '(', ')', out);
      break;
    case MILO_TYPE_DICT:
      read = read_items(p, '{', '}', out);
      break;
    case MILO_TYPE_STATE:
    case MILO_TYPE_OTHER:
      read = milo_parser_fail(p, p->token.offset, "a value of this type cannot be written");
      break;
  }
  milo_parser_leave(p);
  return read;
}

bool milo_parser_value(milo_parser *p, milo_literal *out) {
  *out = (milo_literal){0};
  if (!milo_parser_at_type(p)) return milo_parser_expected(p, "a typed value like int32(1)");
  if (!milo_parser_type(p, &out->type) || !milo_parser_expect(p, '(')) return false;
  const milo_type_kind kind = out->type.kind;
  const bool may_be_empty =
      kind == MILO_TYPE_DICT || (kind == MILO_TYPE_LIST && out->type.length <= 0);
  if (may_be_empty && milo_parser_at(p, ')')) {
    out->kind = MILO_LITERAL_ITEMS;
    milo_parser_advance(p);
    return true;
  }
  return read_contents(p, out) && milo_parser_expect(p, ')');
}
