// SPDX-License-Identifier: MIT
// The table of operations, made from the rows of ops.def, and what can be said of any operation
// from its row alone.
#include "ir/op.h"

#include <string.h>

#include "base/number.h"
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
    if (strcmp(p->name, name) == 0) return p;
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
  if ((domain & BIT(dtype)) == 0)
    return milo_fail(diag, op->loc, MILO_ERR_INVALID,
                     "%s.%s has element type %s, which it does not take", op->name, param->name,
                     milo_dtype_name(dtype));
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

milo_status milo_op_check(const milo_op *op, milo_diag *diag) {
  milo_dtype vars[MILO_TYPE_VARS] = {MILO_DTYPE_NONE};
  milo_status status = MILO_OK;
  for (const milo_param *p = table[op->code].params; p->name != NULL; p++) {
    const milo_status one = check_arg(op, p, vars, diag);
    if (one != MILO_OK) status = one;
  }
  for (size_t i = 0; i < op->arg_count; i++)
    if (op->code != MILO_OP_const && milo_op_param(op->code, op->args[i].name) == NULL)
      status = milo_fail(diag, op->loc, MILO_ERR_INVALID, "%s has no parameter %s", op->name,
                         op->args[i].name);
  return status;
}

milo_status milo_op_infer(const milo_op *op, milo_types *out, milo_diag *diag) {
  if (op->code == MILO_OP_unknown) return MILO_ERR_UNSUPPORTED;
  MILO_TRY(milo_op_check(op, diag));
  return table[op->code].infer(op, out, diag);
}
