// SPDX-License-Identifier: MIT
// The builder: emits operations with inferred types.
#include "ir/builder.h"

#include <string.h>

#include "base/number.h"
#include "ir/op.h"

milo_builder milo_builder_at_end(milo_func *func, milo_diag *diag) {
  return (milo_builder){.func = func, .block = func->body, .loc = func->loc, .diag = diag};
}

milo_builder milo_builder_before(milo_op *op, milo_diag *diag) {
  return (milo_builder){
      .func = op->parent->func, .block = op->parent, .before = op, .loc = op->loc, .diag = diag};
}

static milo_arena *arena_of(milo_builder *b) { return &b->func->program->arena; }

static void fail(milo_builder *b, milo_status status) {
  if (b->status == MILO_OK) b->status = status;
}

static milo_literal string_literal(milo_arena *arena, const char *value) {
  const char **strings = MILO_NEW(arena, const char *);
  strings[0] = milo_arena_strdup(arena, value);
  return (milo_literal){.kind = MILO_LITERAL_STRINGS,
                        .type = milo_type_scalar(MILO_STRING),
                        .strings = strings,
                        .count = 1};
}

// Infers op's types and adds its results; removes op and kills the builder if that fails.
static void finish(milo_builder *b, milo_op *op, milo_value **out, size_t count) {
  milo_arena scratch = {0};
  milo_types types = {.arena = &scratch};
  const milo_status status = milo_op_infer(op, &types, b->diag);
  if (status != MILO_OK || types.count != count) {
    fail(b, status != MILO_OK
                ? status
                : milo_fail(b->diag, op->loc, MILO_ERR_INVALID, "%s has %zu results, expected %zu",
                            op->name, types.count, count));
    milo_op_remove(op);
  } else {
    for (size_t i = 0; i < count; i++)
      out[i] = milo_op_add_result(op, milo_func_fresh_name(b->func, op->name), types.items[i]);
    milo_attrs_add(arena_of(b), &op->attrs, "name", string_literal(arena_of(b), out[0]->name));
  }
  milo_arena_deinit(&scratch);
}

static bool add_args(milo_builder *b, milo_op *op, const milo_named *args) {
  for (; args->name != NULL; args++)
    if (args->value != NULL) milo_op_add_arg(op, args->name, &args->value, 1);
  return b->status == MILO_OK;
}

void milo_emit_multi(milo_builder *b, milo_opcode code, const milo_named *args, milo_value **out,
                     size_t count) {
  for (size_t i = 0; i < count; i++) out[i] = NULL;
  if (b->status != MILO_OK) return;
  milo_op *op = milo_op_create_coded(b->block, b->before, code, NULL, b->loc);
  if (add_args(b, op, args)) finish(b, op, out, count);
}

milo_value *milo_emit(milo_builder *b, milo_opcode code, const milo_named *args) {
  milo_value *out;
  milo_emit_multi(b, code, args, &out, 1);
  return out;
}

milo_value *milo_emit_values(milo_builder *b, milo_opcode code, milo_value *const *values,
                             size_t count, const milo_named *args) {
  milo_value *out = NULL;
  if (b->status != MILO_OK) return NULL;
  milo_op *op = milo_op_create_coded(b->block, b->before, code, NULL, b->loc);
  milo_op_add_arg(op, "values", values, count);
  if (add_args(b, op, args)) finish(b, op, &out, 1);
  return out;
}

// ---- constants ----

static milo_value *emit_const(milo_builder *b, milo_literal literal) {
  if (b->status != MILO_OK) return NULL;
  milo_op *op = milo_op_create_coded(b->block, b->before, MILO_OP_const, NULL, b->loc);
  milo_value *value = milo_op_add_result(op, milo_func_fresh_name(b->func, "c"), literal.type);
  milo_attrs_add(arena_of(b), &op->attrs, "name", string_literal(arena_of(b), value->name));
  milo_attrs_add(arena_of(b), &op->attrs, "val", literal);
  value->literal = milo_attrs_find(&op->attrs, "val");
  return value;
}

milo_value *milo_b_adopt(milo_builder *b, milo_type type, const void *data) {
  if (b->status != MILO_OK) return NULL;
  return emit_const(b, (milo_literal){.kind = MILO_LITERAL_DATA,
                                      .type = type,
                                      .data = data,
                                      .bytes = milo_type_bytes(&type),
                                      .count = milo_type_elements(&type)});
}

milo_value *milo_b_tensor(milo_builder *b, milo_type type, const void *data) {
  if (b->status != MILO_OK) return NULL;
  return milo_b_adopt(b, type, milo_arena_copy(arena_of(b), data, milo_type_bytes(&type)));
}

milo_value *milo_b_splat(milo_builder *b, milo_type type, double value) {
  if (b->status != MILO_OK) return NULL;
  const size_t bytes = milo_type_bytes(&type), count = milo_type_elements(&type);
  void *data = milo_arena_alloc(arena_of(b), bytes);
  for (size_t i = 0; i < count; i++) milo_number_store(type.dtype, data, i, value);
  return emit_const(
      b,
      (milo_literal){
          .kind = MILO_LITERAL_DATA, .type = type, .data = data, .bytes = bytes, .count = count});
}

milo_value *milo_b_number(milo_builder *b, milo_dtype dtype, double value) {
  return milo_b_splat(b, milo_type_scalar(dtype), value);
}

milo_value *milo_b_bool(milo_builder *b, bool value) { return milo_b_number(b, MILO_BOOL, value); }

milo_value *milo_b_int(milo_builder *b, int64_t value) {
  return milo_b_number(b, MILO_INT32, (double)value);
}

milo_value *milo_b_ints(milo_builder *b, const int64_t *values, size_t count) {
  if (b->status != MILO_OK) return NULL;
  const int64_t dim = (int64_t)count;
  int32_t *data = MILO_NEW_ARRAY(arena_of(b), int32_t, count);
  for (size_t i = 0; i < count; i++) milo_number_store_int(MILO_INT32, data, i, values[i]);
  return milo_b_tensor(b, milo_type_tensor(MILO_INT32, 1, &dim), data);
}

milo_value *milo_b_string(milo_builder *b, const char *value) {
  if (b->status != MILO_OK) return NULL;
  return emit_const(b, string_literal(arena_of(b), value));
}

// ---- common operations ----

milo_value *milo_b_unary(milo_builder *b, milo_opcode code, milo_value *x) {
  return milo_emit(b, code, (const milo_named[]){{"x", x}, {NULL, NULL}});
}

milo_value *milo_b_binary(milo_builder *b, milo_opcode code, milo_value *x, milo_value *y) {
  return milo_emit(b, code, (const milo_named[]){{"x", x}, {"y", y}, {NULL, NULL}});
}

milo_value *milo_b_scale(milo_builder *b, milo_value *x, double factor) {
  if (b->status != MILO_OK) return NULL;
  return milo_b_mul(b, x, milo_b_number(b, x->type.dtype, factor));
}

milo_value *milo_b_add_number(milo_builder *b, milo_value *x, double number) {
  if (b->status != MILO_OK) return NULL;
  return milo_b_add(b, x, milo_b_number(b, x->type.dtype, number));
}

milo_value *milo_b_matmul(milo_builder *b, milo_value *x, milo_value *y, bool transpose_x,
                          bool transpose_y) {
  return EMIT(b, matmul, {"x", x}, {"y", y}, {"transpose_x", milo_b_bool(b, transpose_x)},
              {"transpose_y", milo_b_bool(b, transpose_y)});
}

milo_value *milo_b_reshape(milo_builder *b, milo_value *x, const int64_t *dims, int rank) {
  return EMIT(b, reshape, {"x", x}, {"shape", milo_b_ints(b, dims, (size_t)rank)});
}

milo_value *milo_b_transpose(milo_builder *b, milo_value *x, const int *perm) {
  if (b->status != MILO_OK) return NULL;
  int64_t wide[MILO_MAX_RANK];
  for (int i = 0; i < x->type.rank; i++) wide[i] = perm[i];
  return EMIT(b, transpose, {"x", x}, {"perm", milo_b_ints(b, wide, (size_t)x->type.rank)});
}

milo_value *milo_b_reduce(milo_builder *b, milo_opcode code, milo_value *x, const int64_t *axes,
                          int count, bool keep_dims) {
  return milo_emit(b, code,
                   (const milo_named[]){{"x", x},
                                        {"axes", milo_b_ints(b, axes, (size_t)count)},
                                        {"keep_dims", milo_b_bool(b, keep_dims)},
                                        {NULL, NULL}});
}

milo_value *milo_b_cast(milo_builder *b, milo_value *x, milo_dtype dtype) {
  return EMIT(b, cast, {"x", x}, {"dtype", milo_b_string(b, milo_dtype_name(dtype))});
}

milo_value *milo_b_slice(milo_builder *b, milo_value *x, const int64_t *begin,
                         const int64_t *size) {
  if (b->status != MILO_OK) return NULL;
  const size_t rank = (size_t)x->type.rank;
  return EMIT(b, slice_by_size, {"x", x}, {"begin", milo_b_ints(b, begin, rank)},
              {"size", milo_b_ints(b, size, rank)});
}

milo_value *milo_b_concat(milo_builder *b, milo_value *const *values, size_t count, int axis) {
  return milo_emit_values(
      b, MILO_OP_concat, values, count,
      (const milo_named[]){
          {"axis", milo_b_int(b, axis)}, {"interleave", milo_b_bool(b, false)}, {NULL, NULL}});
}

milo_value *milo_b_select(milo_builder *b, milo_value *cond, milo_value *x, milo_value *y) {
  return EMIT(b, select, {"cond", cond}, {"a", x}, {"b", y});
}
