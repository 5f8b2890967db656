// SPDX-License-Identifier: MIT
// Writes operations into a block; each one's types are inferred as it is written. After the first
// failure the builder is dead: every call returns NULL (NULL arguments are accepted then), and
// status keeps the failure, reported once to diag. So a caller checks once, at the end.
#ifndef MILO_IR_BUILDER_H
#define MILO_IR_BUILDER_H

#include "ir/ir.h"

typedef struct milo_builder {
  milo_func *func;
  milo_block *block;
  milo_op *before;  // new operations go before this one; NULL: at the end
  milo_loc loc;     // given to new operations
  milo_diag *diag;
  milo_status status;
} milo_builder;

milo_builder milo_builder_at_end(milo_func *func, milo_diag *diag);
milo_builder milo_builder_before(milo_op *op, milo_diag *diag);

typedef struct milo_named {
  const char *name;
  milo_value *value;  // NULL: argument left out
} milo_named;

// Emits an operation that has one result; args end with {NULL, NULL}.
milo_value *milo_emit(milo_builder *b, milo_opcode code, const milo_named *args);
// Emits an operation with count results, written to out.
void milo_emit_multi(milo_builder *b, milo_opcode code, const milo_named *args, milo_value **out,
                     size_t count);
// Variadic "values" first, then args: concat, stack.
milo_value *milo_emit_values(milo_builder *b, milo_opcode code, milo_value *const *values,
                             size_t count, const milo_named *args);
// EMIT(b, matmul, {"x", x}, {"y", y}, {"transpose_y", milo_b_bool(b, true)})
#define EMIT(b, op, ...) \
  milo_emit((b), MILO_OP_##op, (const milo_named[]){__VA_ARGS__, {NULL, NULL}})

// Constants (`const` operations). Numbers are rounded to dtype.
milo_value *milo_b_number(milo_builder *b, milo_dtype dtype, double value);  // rank 0
milo_value *milo_b_bool(milo_builder *b, bool value);
milo_value *milo_b_int(milo_builder *b, int64_t value);                         // int32, rank 0
milo_value *milo_b_ints(milo_builder *b, const int64_t *values, size_t count);  // int32, rank 1
milo_value *milo_b_string(milo_builder *b, const char *value);
// data is copied.
milo_value *milo_b_tensor(milo_builder *b, milo_type type, const void *data);
// The same of data that lies in the program's arena already: it is not copied.
milo_value *milo_b_adopt(milo_builder *b, milo_type type, const void *data);
// A tensor of one repeated number (a `const` of that shape).
milo_value *milo_b_splat(milo_builder *b, milo_type type, double value);

// Common operations.
milo_value *milo_b_unary(milo_builder *b, milo_opcode code, milo_value *x);
milo_value *milo_b_binary(milo_builder *b, milo_opcode code, milo_value *x, milo_value *y);
#define milo_b_add(b, x, y) milo_b_binary((b), MILO_OP_add, (x), (y))
#define milo_b_sub(b, x, y) milo_b_binary((b), MILO_OP_sub, (x), (y))
#define milo_b_mul(b, x, y) milo_b_binary((b), MILO_OP_mul, (x), (y))
#define milo_b_div(b, x, y) milo_b_binary((b), MILO_OP_real_div, (x), (y))
// x times a number of x's own type.
milo_value *milo_b_scale(milo_builder *b, milo_value *x, double factor);
milo_value *milo_b_add_number(milo_builder *b, milo_value *x, double number);
milo_value *milo_b_matmul(milo_builder *b, milo_value *x, milo_value *y, bool transpose_x,
                          bool transpose_y);
milo_value *milo_b_reshape(milo_builder *b, milo_value *x, const int64_t *dims, int rank);
milo_value *milo_b_transpose(milo_builder *b, milo_value *x, const int *perm);  // rank of x
milo_value *milo_b_reduce(milo_builder *b, milo_opcode code, milo_value *x, const int64_t *axes,
                          int count, bool keep_dims);
milo_value *milo_b_cast(milo_builder *b, milo_value *x, milo_dtype dtype);
milo_value *milo_b_slice(milo_builder *b, milo_value *x, const int64_t *begin,
                         const int64_t *size);  // slice_by_size
milo_value *milo_b_concat(milo_builder *b, milo_value *const *values, size_t count, int axis);
milo_value *milo_b_select(milo_builder *b, milo_value *cond, milo_value *x, milo_value *y);

#endif
