// SPDX-License-Identifier: MIT
// IR to canonical MIL text: the bytes Apple's compiler would write.
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "text/scalar.h"
#include "text/text.h"

// Larger tensors of one repeated number are written as that number.
enum { SPLAT_ELEMENTS = 4096, FUNCTION_END_INDENT = 8, NESTED_INDENT = 4 };

// What is printed as `key = ...`: an attribute, or an argument.
typedef struct entry {
  const char *key;
  const milo_literal *literal;
  const milo_arg *arg;
} entry;

typedef struct printer {
  milo_str *out;
  entry *entries;  // of the list being sorted
  size_t capacity;
  bool bare;  // scalars as `fp32`, not `tensor<fp32, []>`
} printer;

static void put(printer *p, const char *text) { milo_str_puts(p->out, text); }

static void indent(printer *p, int columns) {
  for (int i = 0; i < columns; i++) milo_str_putc(p->out, ' ');
}

static void print_type(printer *p, const milo_type *type) {
  milo_type_print(p->out, type, p->bare);
}

// ---- literals ----

static void print_string(printer *p, const char *string) {
  milo_str_putc(p->out, '"');
  for (; *string; string++) {
    const char *escape = *string == '\n'   ? "\\n"
                         : *string == '\t' ? "\\t"
                         : *string == '\r' ? "\\r"
                         : *string == '"'  ? "\\\""
                         : *string == '\\' ? "\\\\"
                                           : NULL;
    if (escape)
      put(p, escape);
    else
      milo_str_putc(p->out, *string);
  }
  milo_str_putc(p->out, '"');
}

// decimal: doubles in a dictionary are written so.
static void print_element(printer *p, const milo_literal *literal, size_t i, bool decimal) {
  if (literal->kind == MILO_LITERAL_STRINGS)
    print_string(p, literal->strings[i]);
  else if (decimal && literal->type.dtype == MILO_FP64)
    milo_scalar_print_decimal(p->out, milo_number_load(MILO_FP64, literal->data, i));
  else
    milo_scalar_print(p->out, literal->type.dtype, literal->data, i);
}

static bool all_equal(const milo_literal *literal) {
  if (literal->kind == MILO_LITERAL_STRINGS) {
    for (size_t i = 1; i < literal->count; i++)
      if (strcmp(literal->strings[i], literal->strings[0]) != 0) return false;
    return true;
  }
  const size_t bits = milo_dtype_bits(literal->type.dtype);
  if (bits % 8 == 0)
    return memcmp(literal->data, (const char *)literal->data + bits / 8,
                  (literal->count - 1) * (bits / 8)) == 0;
  const int64_t first = milo_number_load_int(literal->type.dtype, literal->data, 0);
  for (size_t i = 1; i < literal->count; i++)
    if (milo_number_load_int(literal->type.dtype, literal->data, i) != first) return false;
  return true;
}

static void print_nested(printer *p, const milo_literal *literal, const int64_t *dims, int axis,
                         size_t *next, bool decimal) {
  if (axis == literal->type.rank) {
    print_element(p, literal, (*next)++, decimal);
    return;
  }
  milo_str_putc(p->out, '[');
  for (int64_t i = 0; i < dims[axis]; i++) {
    if (i > 0) put(p, ", ");
    print_nested(p, literal, dims, axis + 1, next, decimal);
  }
  milo_str_putc(p->out, ']');
}

static milo_status print_tensor(printer *p, const milo_literal *literal, bool decimal) {
  const milo_type *type = &literal->type;
  int64_t dims[MILO_MAX_RANK];
  size_t known = 1;
  int unknown_axis = -1;
  for (int i = 0; i < type->rank; i++) {
    dims[i] = type->dims[i];
    if (dims[i] != MILO_DIM_UNKNOWN)
      known *= (size_t)dims[i];
    else if (unknown_axis < 0)
      unknown_axis = i;
    else
      known = 0;
  }
  if (unknown_axis >= 0 && known > 0) {
    dims[unknown_axis] = (int64_t)(literal->count / known);
    known *= (size_t)dims[unknown_axis];
  } else if (unknown_axis >= 0) {
    dims[unknown_axis] = 0;
  }
  if (type->rank < 0 || known != literal->count) return MILO_ERR_INVALID;
  // Lists within lists are written only if there is an element in them: [0, 4] and [4, 0] as [].
  if (literal->count == 0) {
    put(p, "[]");
    return MILO_OK;
  }
  size_t next = 0;
  if (literal->count > SPLAT_ELEMENTS && unknown_axis < 0 && all_equal(literal))
    print_element(p, literal, 0, decimal);
  else
    print_nested(p, literal, dims, 0, &next, decimal);
  return MILO_OK;
}

static milo_status print_value(printer *p, const milo_literal *literal);

static milo_status print_blob(printer *p, const milo_literal *literal) {
  const milo_type path = milo_type_scalar(MILO_STRING), offset = milo_type_scalar(MILO_UINT64);
  put(p, "BLOBFILE(path = ");
  print_type(p, &path);
  milo_str_putc(p->out, '(');
  print_string(p, literal->blob_path);
  put(p, "), offset = ");
  print_type(p, &offset);
  milo_str_printf(p->out, "(%llu))", (unsigned long long)literal->blob_offset);
  return MILO_OK;
}

static milo_status print_contents(printer *p, const milo_literal *literal, bool decimal) {
  if (literal->kind == MILO_LITERAL_BLOB) return print_blob(p, literal);
  if (literal->kind != MILO_LITERAL_ITEMS) return print_tensor(p, literal, decimal);
  const milo_type_kind kind = literal->type.kind;
  const char *brackets = kind == MILO_TYPE_LIST ? "[]" : kind == MILO_TYPE_TUPLE ? "()" : "{}";
  milo_str_putc(p->out, brackets[0]);
  for (size_t i = 0; i < literal->count; i++) {
    const bool is_key = kind == MILO_TYPE_DICT && i % 2 == 0;
    if (i > 0) put(p, ", ");
    if (is_key) milo_str_putc(p->out, '{');
    MILO_TRY(print_contents(p, &literal->items[i], kind == MILO_TYPE_DICT && !is_key));
    if (kind == MILO_TYPE_DICT && !is_key) milo_str_putc(p->out, '}');
  }
  milo_str_putc(p->out, brackets[1]);
  return MILO_OK;
}

static milo_status print_value(printer *p, const milo_literal *literal) {
  print_type(p, &literal->type);
  milo_str_putc(p->out, '(');
  MILO_TRY(print_contents(p, literal, false));
  milo_str_putc(p->out, ')');
  return MILO_OK;
}

// ---- sorted lists ----

static entry *reserve_entries(printer *p, size_t count) {
  if (count <= p->capacity) return p->entries;
  const size_t capacity = count < 16 ? 16 : 2 * count;
  entry *entries = realloc(p->entries, capacity * sizeof *entries);
  if (!entries) milo_out_of_memory(capacity * sizeof *entries);
  p->entries = entries;
  p->capacity = capacity;
  return entries;
}

static int compare_entries(const void *a, const void *b) {
  return strcmp(((const entry *)a)->key, ((const entry *)b)->key);
}

static milo_status print_argument(printer *p, const milo_arg *arg) {
  if (arg->count != 1) milo_str_putc(p->out, '(');
  for (size_t i = 0; i < arg->count; i++) {
    const milo_value *value = arg->values[i];
    if (i > 0) put(p, ", ");
    if (!value->def && value->literal)
      MILO_TRY(print_value(p, value->literal));
    else
      put(p, value->name);
  }
  if (arg->count != 1) milo_str_putc(p->out, ')');
  return MILO_OK;
}

static milo_status print_entries(printer *p, entry *entries, size_t count) {
  if (count > 1) qsort(entries, count, sizeof *entries, compare_entries);
  for (size_t i = 0; i < count; i++) {
    if (i > 0) put(p, ", ");
    put(p, entries[i].key);
    put(p, " = ");
    MILO_TRY(entries[i].arg ? print_argument(p, entries[i].arg)
                            : print_value(p, entries[i].literal));
  }
  return MILO_OK;
}

// "[...]" of attributes, and of arguments written among them (op may be NULL); nothing if empty.
static milo_status print_attrs(printer *p, const milo_attrs *attrs, const milo_op *op,
                               const char *before) {
  const size_t most = attrs->count + (op ? op->arg_count : 0);
  entry *entries = reserve_entries(p, most);
  size_t count = 0;
  for (size_t i = 0; i < attrs->count; i++)
    entries[count++] = (entry){attrs->items[i].name, &attrs->items[i].value, NULL};
  for (size_t i = 0; op && i < op->arg_count; i++)
    if (op->args[i].as_attribute) entries[count++] = (entry){op->args[i].name, NULL, &op->args[i]};
  if (count == 0) return MILO_OK;
  put(p, before);
  milo_str_putc(p->out, '[');
  MILO_TRY(print_entries(p, entries, count));
  milo_str_putc(p->out, ']');
  return MILO_OK;
}

// ---- statements, functions, programs ----

static milo_status print_block(printer *p, const milo_block *block, int columns);

static milo_status print_nested_block(printer *p, const milo_block *block, int columns) {
  milo_str_putc(p->out, ' ');
  if (block->name) put(p, block->name);
  milo_str_putc(p->out, '(');
  for (size_t i = 0; i < block->param_count; i++) {
    if (i > 0) put(p, ", ");
    print_type(p, &block->params[i]->type);
    milo_str_putc(p->out, ' ');
    put(p, block->params[i]->name);
  }
  milo_str_putc(p->out, ')');
  MILO_TRY(print_attrs(p, &block->attrs, NULL, " "));
  milo_str_putc(p->out, ' ');
  return print_block(p, block, columns);
}

static milo_status print_op(printer *p, const milo_op *op, int columns) {
  for (size_t i = 0; i < op->result_count; i++) {
    if (i > 0) put(p, ", ");
    print_type(p, &op->results[i]->type);
    milo_str_putc(p->out, ' ');
    put(p, op->results[i]->name);
  }
  if (op->result_count > 0) put(p, " = ");
  put(p, op->name);
  if (op->opset) milo_str_printf(p->out, "<%s>", op->opset);
  milo_str_putc(p->out, '(');
  entry *entries = reserve_entries(p, op->arg_count);
  size_t count = 0;
  for (size_t i = 0; i < op->arg_count; i++)
    if (!op->args[i].as_attribute) entries[count++] = (entry){op->args[i].name, NULL, &op->args[i]};
  MILO_TRY(print_entries(p, entries, count));
  milo_str_putc(p->out, ')');
  MILO_TRY(print_attrs(p, &op->attrs, op, ""));
  for (size_t i = 0; i < op->block_count; i++)
    MILO_TRY(print_nested_block(p, op->blocks[i], columns));
  put(p, ";\n");
  return MILO_OK;
}

// Statements stand NESTED_INDENT further in than the closing brace.
static milo_status print_block(printer *p, const milo_block *block, int columns) {
  put(p, "{\n");
  for (const milo_op *op = block->first; op; op = op->next) {
    indent(p, columns + NESTED_INDENT);
    MILO_TRY(print_op(p, op, columns + NESTED_INDENT));
  }
  indent(p, columns);
  put(p, "} -> (");
  for (size_t i = 0; i < block->output_count; i++) {
    if (i > 0) put(p, ", ");
    put(p, block->outputs[i]->name);
  }
  milo_str_putc(p->out, ')');
  return MILO_OK;
}

typedef struct input {
  const milo_value *value;
  const milo_attrs *attrs;
} input;

static int compare_inputs(const void *a, const void *b) {
  return strcmp(((const input *)a)->value->name, ((const input *)b)->value->name);
}

static milo_status print_func(printer *p, const milo_func *func) {
  const milo_block *body = func->body;
  put(p, "    func ");
  put(p, func->name);
  if (func->opset) milo_str_printf(p->out, "<%s>", func->opset);
  milo_str_putc(p->out, '(');
  milo_arena scratch = {0};
  input *inputs = MILO_NEW_ARRAY(&scratch, input, body->param_count);
  for (size_t i = 0; i < body->param_count; i++)
    inputs[i] = (input){body->params[i], &func->param_attrs[i]};
  if (body->param_count > 1) qsort(inputs, body->param_count, sizeof *inputs, compare_inputs);
  milo_status status = MILO_OK;
  for (size_t i = 0; i < body->param_count; i++) {
    if (i > 0) put(p, ", ");
    print_type(p, &inputs[i].value->type);
    milo_str_putc(p->out, ' ');
    put(p, inputs[i].value->name);
    if (status == MILO_OK) status = print_attrs(p, inputs[i].attrs, NULL, " ");
  }
  milo_arena_deinit(&scratch);
  MILO_TRY(status);
  put(p, ") ");
  const size_t before = p->out->bytes;
  MILO_TRY(print_attrs(p, &func->attrs, NULL, ""));
  if (p->out->bytes > before) milo_str_putc(p->out, ' ');
  MILO_TRY(print_block(p, body, FUNCTION_END_INDENT));
  put(p, ";\n");
  return MILO_OK;
}

static milo_status print_program(printer *p, const milo_program *program) {
  milo_str_printf(p->out, "program(%d.%d)", program->version_major, program->version_minor);
  if (program->has_attrs || program->attrs.count > 0) {
    milo_str_putc(p->out, '\n');
    if (program->attrs.count == 0) put(p, "[]");
    MILO_TRY(print_attrs(p, &program->attrs, NULL, ""));
    put(p, "\n{\n");
  } else {
    put(p, " {\n");
  }
  for (size_t i = 0; i < program->func_count; i++) MILO_TRY(print_func(p, program->funcs[i]));
  milo_str_putc(p->out, '}');
  if (program->final_newline) milo_str_putc(p->out, '\n');
  return MILO_OK;
}

milo_status milo_text_print(const milo_program *program, milo_str *out) {
  printer p = {.out = out};
  p.bare = program->version_major > 1 || program->version_minor > 0;
  const milo_status status = print_program(&p, program);
  free(p.entries);
  return status;
}
