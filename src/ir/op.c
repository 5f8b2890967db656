// SPDX-License-Identifier: MIT
// The table of operations, made from the rows of ops.def, and what can be said of any operation
// from its row alone.
#include "ir/op.h"

#include <string.h>

#include "base/number.h"
#include "base/str.h"
#include "ir/ops/ops.h"

// Shorthands of the rows.
#define BIT(dtype) (1u << (dtype))
#define FLOATS (BIT(MILO_FP16) | BIT(MILO_FP32) | BIT(MILO_FP64) | BIT(MILO_BF16))
#define BYTES (BIT(MILO_INT8) | BIT(MILO_UINT8))
#define INTS                                                                         \
  (BYTES | BIT(MILO_INT16) | BIT(MILO_UINT16) | BIT(MILO_INT32) | BIT(MILO_UINT32) | \
   BIT(MILO_INT64) | BIT(MILO_UINT64))
#define BOOLS BIT(MILO_BOOL)
#define NUMBERS (FLOATS | BIT(MILO_INT32))
#define ALL (FLOATS | INTS | BOOLS)
#define P0 \
  { NULL, MILO_PARAM_ANY, 0, NULL }
#define T MILO_PARAM_T
#define U MILO_PARAM_U
#define V MILO_PARAM_V
#define BOOL MILO_PARAM_BOOL
#define INT MILO_PARAM_INT
#define FP32 MILO_PARAM_FP32
#define STRING MILO_PARAM_STRING
#define ANY MILO_PARAM_ANY
#define CONST MILO_PARAM_CONST
#define OPTIONAL MILO_PARAM_OPTIONAL
#define VARIADIC MILO_PARAM_VARIADIC
#define ELEMENTWISE MILO_OP_ELEMENTWISE
#define VIEW MILO_OP_VIEW
#define CHEAP MILO_OP_CHEAP
#define COMPOSITE MILO_OP_COMPOSITE
#define CONSTEXPR MILO_OP_CONSTEXPR
#define IMPURE MILO_OP_IMPURE
#define BINARY(d)                                                                                 \
  .params = {{"x", T, 0, NULL}, {"y", T, 0, NULL}}, .domain = {d}, .traits = ELEMENTWISE | CHEAP, \
  .infer = milo_infer_broadcast
#define COMPARE(d)                                                                                \
  .params = {{"x", T, 0, NULL}, {"y", T, 0, NULL}}, .domain = {d}, .traits = ELEMENTWISE | CHEAP, \
  .infer = milo_infer_compare
#define UNARY(d)                                                               \
  .params = {{"x", T, 0, NULL}}, .domain = {d}, .traits = ELEMENTWISE | CHEAP, \
  .infer = milo_infer_same
#define UNARY_EPSILON(d, value)                                                             \
  .params = {{"x", T, 0, NULL}, {"epsilon", U, CONST | OPTIONAL, value}}, .domain = {d, d}, \
  .traits = ELEMENTWISE | CHEAP, .infer = milo_infer_same
#define REDUCE(d)                                             \
  .params = {{"x", T, 0, NULL},                               \
             {"axes", INT, CONST | OPTIONAL, NULL},           \
             {"keep_dims", BOOL, CONST | OPTIONAL, "false"}}, \
  .domain = {d}, .infer = milo_infer_reduce
#define POOL_PARAMS                                                              \
  {"kernel_sizes", INT, CONST, NULL}, {"strides", INT, CONST | OPTIONAL, NULL},  \
      {"pad_type", STRING, CONST, NULL}, {"pad", INT, CONST | OPTIONAL, NULL}, { \
    "ceil_mode", BOOL, CONST | OPTIONAL, "false"                                 \
  }
#define ARGREDUCE                                                  \
  .params = {{"x", T, 0, NULL},                                    \
             {"axis", INT, CONST | OPTIONAL, "-1"},                \
             {"keep_dims", BOOL, CONST | OPTIONAL, "false"},       \
             {"output_dtype", STRING, CONST | OPTIONAL, "int32"}}, \
  .domain = {NUMBERS}, .infer = milo_infer_argreduce

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"  // rows name only what they have
static const milo_op_info table[MILO_OP_COUNT] = {
#define OP(id, ...) [MILO_OP_##id] = {.name = #id, __VA_ARGS__},
#include "ir/ops.def"
#undef OP
};
#pragma GCC diagnostic pop

const milo_op_info *milo_op_info_get(milo_opcode code) { return &table[code]; }

milo_opcode milo_opcode_find(const char *name) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++)
    if (strcmp(table[code].name, name) == 0) return (milo_opcode)code;
  return MILO_OP_unknown;
}

const milo_param *milo_op_param(milo_opcode code, const char *name) {
  for (const milo_param *p = table[code].params; p->name != NULL; p++)
    if (p->name[0] == name[0] && strcmp(p->name, name) == 0) return p;
  return NULL;
}

void milo_types_add(milo_types *types, milo_type type) {
  MILO_PUSH(types->arena, types->items, types->count, types->capacity, type);
}

// Element types a parameter may have; 0: any type at all.
static unsigned allowed(const milo_op_info *info, const milo_param *param) {
  switch (param->type) {
    case MILO_PARAM_BOOL:
      return BOOLS;
    case MILO_PARAM_INT:
      return INTS;
    case MILO_PARAM_FP32:
      return FLOATS;  // a constant: its value counts, not its width
    case MILO_PARAM_STRING:
      return BIT(MILO_STRING);
    case MILO_PARAM_ANY:
      return 0;
    default:
      return info->domain[param->type];
  }
}

static milo_status bad_dtype(const milo_op *op, const milo_param *param, milo_dtype dtype,
                             unsigned domain, milo_diag *diag) {
  milo_str all = {0};
  for (unsigned d = 1; d < MILO_DTYPE_COUNT; d++)
    if (domain & BIT(d))
      milo_str_printf(&all, "%s%s", all.bytes > 0 ? ", " : "", milo_dtype_name((milo_dtype)d));
  const milo_status status = milo_fail(
      diag, op->loc, MILO_ERR_INVALID, "%s.%s has element type %s, expected %s%s", op->name,
      param->name, milo_dtype_name(dtype), (domain & (domain - 1)) != 0 ? "one of " : "", all.data);
  milo_str_deinit(&all);
  return status;
}

// One value given for a parameter. vars: the element type each type variable has so far.
static milo_status check_value(const milo_op *op, const milo_param *param, const milo_value *value,
                               milo_dtype *vars, milo_diag *diag) {
  const milo_op_info *info = &table[op->code];
  const unsigned domain = allowed(info, param);
  if (domain == 0) return MILO_OK;
  if (value->type.kind != MILO_TYPE_TENSOR)
    return milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s.%s must be a tensor", op->name,
                     param->name);
  const milo_dtype dtype = value->type.dtype;
  if ((domain & BIT(dtype)) == 0) return bad_dtype(op, param, dtype, domain, diag);
  if ((param->flags & MILO_PARAM_CONST) && value->literal == NULL)
    return milo_fail(diag, op->loc, MILO_ERR_INVALID,
                     "%s.%s must be a constant, but %s is computed", op->name, param->name,
                     value->name);
  if (param->type > MILO_PARAM_I) return MILO_OK;
  milo_dtype *var = &vars[param->type];
  if (*var != MILO_DTYPE_NONE && *var != dtype)
    return milo_fail(diag, op->loc, MILO_ERR_INVALID,
                     "%s.%s has element type %s, but its other arguments have %s", op->name,
                     param->name, milo_dtype_name(dtype), milo_dtype_name(*var));
  *var = dtype;
  return MILO_OK;
}

static milo_status check_arg(const milo_op *op, const milo_param *param, milo_dtype *vars,
                             milo_diag *diag) {
  const milo_arg *arg = milo_op_arg(op, param->name);
  if (arg == NULL || arg->count == 0) {
    if (param->flags & MILO_PARAM_OPTIONAL) return MILO_OK;
    return milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s lacks its argument %s", op->name,
                     param->name);
  }
  if (arg->count > 1 && !(param->flags & MILO_PARAM_VARIADIC))
    return milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s.%s takes one value, not %zu", op->name,
                     param->name, arg->count);
  for (size_t i = 0; i < arg->count; i++)
    MILO_TRY(check_value(op, param, arg->values[i], vars, diag));
  return MILO_OK;
}

enum { MAX_WORD = 32 };

// Insertions, deletions and replacements that make b of a; MAX_WORD for long words.
static size_t edits(const char *a, const char *b) {
  const size_t m = strlen(a), n = strlen(b);
  if (m >= MAX_WORD || n >= MAX_WORD) return MAX_WORD;
  size_t row[MAX_WORD];
  for (size_t j = 0; j <= n; j++) row[j] = j;
  for (size_t i = 1; i <= m; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= n; j++) {
      const size_t replace = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      const size_t shorter = row[j - 1] < row[j] ? row[j - 1] : row[j];
      row[j] = replace < shorter + 1 ? replace : shorter + 1;
    }
  }
  return row[n];
}

// Beyond that many edits words have little in common.
static size_t too_far(const char *name) {
  const size_t length = strlen(name);
  return length > 4 ? 3 : length > 2 ? 2 : 1;
}

const char *milo_op_nearest(const char *name) {
  const char *best = NULL;
  size_t least = too_far(name);
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const size_t distance = edits(name, table[code].name);
    if (distance >= least) continue;
    least = distance;
    best = table[code].name;
  }
  return best;
}

// An argument that is no parameter: names the parameter that was probably meant, or all of them.
static milo_status unknown_arg(const milo_op *op, const char *name, milo_diag *diag) {
  const milo_param *best = NULL;
  size_t least = too_far(name);
  milo_str all = {0};
  for (const milo_param *p = table[op->code].params; p->name != NULL; p++) {
    milo_str_printf(&all, "%s%s", all.bytes > 0 ? ", " : "", p->name);
    const size_t distance = edits(name, p->name);
    if (distance >= least) continue;
    least = distance;
    best = p;
  }
  const milo_status status =
      best != NULL
          ? milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s has no parameter %s\ndid you mean %s?",
                      op->name, name, best->name)
          : milo_fail(diag, op->loc, MILO_ERR_INVALID,
                      "%s has no parameter %s\nits parameters are %s", op->name, name, all.data);
  milo_str_deinit(&all);
  return status;
}

milo_status milo_op_check(const milo_op *op, milo_diag *diag) {
  milo_dtype vars[MILO_TYPE_VARS] = {MILO_DTYPE_NONE};
  milo_status status = MILO_OK;
  if (op->block_count != table[op->code].blocks)
    status = milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s holds %zu blocks, expected %zu",
                       op->name, op->block_count, table[op->code].blocks);
  for (const milo_param *p = table[op->code].params; p->name != NULL; p++) {
    const milo_status one = check_arg(op, p, vars, diag);
    if (one != MILO_OK) status = one;
  }
  for (size_t i = 0; i < op->arg_count; i++)
    if (op->code != MILO_OP_const && milo_op_param(op->code, op->args[i].name) == NULL)
      status = unknown_arg(op, op->args[i].name, diag);
  return status;
}

milo_status milo_op_infer(const milo_op *op, milo_types *out, milo_diag *diag) {
  if (op->code == MILO_OP_unknown) return MILO_ERR_UNSUPPORTED;
  MILO_TRY(milo_op_check(op, diag));
  return table[op->code].infer(op, out, diag);
}
