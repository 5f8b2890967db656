// SPDX-License-Identifier: MIT
// Reading an operation: its arguments, constants, and the table's defaults where they are left out.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "ir/op.h"

const milo_arg *milo_op_arg(const milo_op *op, const char *name) {
  for (size_t i = 0; i < op->arg_count; i++) {
    const char *given = op->args[i].name;
    if (given[0] == name[0] && strcmp(given, name) == 0) return &op->args[i];
  }
  return NULL;
}

milo_value *milo_op_in(const milo_op *op, const char *name) {
  const milo_arg *arg = milo_op_arg(op, name);
  return arg == NULL || arg->count == 0 ? NULL : arg->values[0];
}

const milo_literal *milo_value_constant(const milo_value *value) {
  if (value == NULL || value->literal == NULL) return NULL;
  if (value->literal->kind == MILO_LITERAL_BLOB && value->literal->data == NULL) return NULL;
  return value->literal;
}

size_t milo_literal_elements(const milo_literal *literal) {
  return milo_type_is_static(&literal->type) ? milo_type_elements(&literal->type) : literal->count;
}

double milo_literal_number(const milo_literal *literal, size_t i) {
  return milo_number_load(literal->type.dtype, literal->data, i);
}

int64_t milo_literal_int(const milo_literal *literal, size_t i) {
  return milo_number_load_int(literal->type.dtype, literal->data, i);
}

// The argument's constant; NULL if it is left out, so the row's fallback holds.
static const milo_literal *given(const milo_op *op, const char *name) {
  const milo_value *value = milo_op_in(op, name);
  if (value == NULL) return NULL;
  const milo_literal *literal = milo_value_constant(value);
  assert(literal != NULL);
  return literal;
}

static const char *fallback(const milo_op *op, const char *name) {
  const milo_param *param = milo_op_param(op->code, name);
  assert(param != NULL && param->fallback != NULL);
  return param->fallback;
}

bool milo_op_bool(const milo_op *op, const char *name) {
  const milo_literal *literal = given(op, name);
  if (literal == NULL) return strcmp(fallback(op, name), "true") == 0;
  return milo_literal_int(literal, 0) != 0;
}

int64_t milo_op_int(const milo_op *op, const char *name) {
  const milo_literal *literal = given(op, name);
  if (literal == NULL) return strtoll(fallback(op, name), NULL, 10);
  return milo_literal_int(literal, 0);
}

double milo_op_float(const milo_op *op, const char *name) {
  const milo_literal *literal = given(op, name);
  if (literal == NULL) return strtod(fallback(op, name), NULL);
  return milo_literal_number(literal, 0);
}

const char *milo_op_string(const milo_op *op, const char *name) {
  const milo_literal *literal = given(op, name);
  if (literal == NULL) return fallback(op, name);
  assert(literal->kind == MILO_LITERAL_STRINGS && literal->count == 1);
  return literal->strings[0];
}

int milo_op_ints(const milo_op *op, const char *name, int64_t *out, int max) {
  const milo_literal *literal = milo_value_constant(milo_op_in(op, name));
  if (literal == NULL) return -1;
  const size_t count = milo_literal_elements(literal);
  for (size_t i = 0; i < count && i < (size_t)max; i++) out[i] = milo_literal_int(literal, i);
  return (int)count;
}

int milo_op_axis(const milo_op *op, const char *name, int rank) {
  const int64_t axis = milo_op_int(op, name);
  return (int)(axis < 0 ? axis + rank : axis);
}
