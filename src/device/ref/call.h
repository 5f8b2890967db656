// SPDX-License-Identifier: MIT
// What the definitions in this folder share: reading arguments, writing results, indices.
#ifndef MILO_DEVICE_REF_CALL_H
#define MILO_DEVICE_REF_CALL_H

#include "base/number.h"
#include "device/ref/ref.h"
#include "ir/op.h"

// One evaluation.
typedef struct milo_ref_call {
  const milo_op *op;
  const void *const *inputs;  // see milo_ref_eval
  void *const *outputs;
  milo_diag *diag;
} milo_ref_call;

typedef milo_status milo_ref_fn(const milo_ref_call *call);
// Sets the unknown dims of the results' types.
typedef milo_status milo_ref_shape_fn(const milo_ref_call *call, milo_value *const *results);

// A dense tensor. data is for reading, out for writing (NULL for arguments).
typedef struct milo_ref_tensor {
  milo_dtype dtype;
  int rank;
  int64_t dims[MILO_MAX_RANK];
  size_t count;
  const void *data;
  void *out;
} milo_ref_tensor;

// The first value of an argument; false, and a tensor of count 0, if it was left out.
bool milo_ref_in(const milo_ref_call *call, const char *name, milo_ref_tensor *out);
// Value i of a variadic argument.
milo_ref_tensor milo_ref_in_at(const milo_ref_call *call, const char *name, size_t i);
milo_ref_tensor milo_ref_out(const milo_ref_call *call, size_t result);

double milo_ref_get(const milo_ref_tensor *t, size_t i);
int64_t milo_ref_get_int(const milo_ref_tensor *t, size_t i);
// Rounded to the tensor's type; integers: truncated towards zero and saturated, NaN to 0.
void milo_ref_set(const milo_ref_tensor *t, size_t i, double value);
// Wraps at the width of the tensor's integer type.
void milo_ref_set_int(const milo_ref_tensor *t, size_t i, int64_t value);
// out[i] = x[j], of the same type, bit for bit.
void milo_ref_copy(const milo_ref_tensor *out, size_t i, const milo_ref_tensor *x, size_t j);
// An integer or bool type: computed exactly in int64.
bool milo_ref_is_int(const milo_ref_tensor *t);
// Wrapping arithmetic.
int64_t milo_ref_add(int64_t a, int64_t b);
int64_t milo_ref_sub(int64_t a, int64_t b);
int64_t milo_ref_mul(int64_t a, int64_t b);

void milo_ref_coords(const milo_ref_tensor *t, size_t i, int64_t *coords);
size_t milo_ref_index(const milo_ref_tensor *t, const int64_t *coords);
// Element of x, whose shape broadcasts to out's, that belongs to element i of out.
size_t milo_ref_broadcast(const milo_ref_tensor *out, size_t i, const milo_ref_tensor *x);
// A tensor seen as [outer, dim of axis, inner].
typedef struct milo_ref_split {
  size_t outer, dim, inner;
} milo_ref_split;
milo_ref_split milo_ref_split_at(const milo_ref_tensor *t, int axis);
// Product of dims [from, to).
size_t milo_ref_product(const milo_ref_tensor *t, int from, int to);

// Integers of an argument that may be known only now: up to max values; *out_count is -1 if it was
// left out.
milo_status milo_ref_ints(const milo_ref_call *call, const char *name, int64_t *out, int max,
                          int *out_count);
// A scalar epsilon; the table's default is rounded to dtype, as if it had been written.
double milo_ref_epsilon(const milo_ref_call *call, const char *name, milo_dtype dtype);
// Which axes (counted from the end if negative) the argument names; all if it was left out.
void milo_ref_axes(const milo_ref_call *call, const char *name, int rank, bool *out_is_axis);

// The tensor's elements as doubles in new memory, for free(). *out is NULL after a failure.
MILO_MUST_USE milo_status milo_ref_doubles(const milo_ref_call *call, const milo_ref_tensor *t,
                                           double **out);
// Zeroed memory for count elements of bytes, for free().
MILO_MUST_USE milo_status milo_ref_alloc(const milo_ref_call *call, size_t count, size_t bytes,
                                         void **out);
// Reports at the operation: "<op>: ...".
milo_status milo_ref_fail(const milo_ref_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

milo_ref_fn milo_ref_identity, milo_ref_binary, milo_ref_compare, milo_ref_logical,
    milo_ref_logical_not, milo_ref_unary, milo_ref_select, milo_ref_cast, milo_ref_matmul,
    milo_ref_linear, milo_ref_conv, milo_ref_conv_transpose, milo_ref_pool, milo_ref_pool_grad,
    milo_ref_softmax, milo_ref_layer_norm, milo_ref_instance_norm, milo_ref_batch_norm,
    milo_ref_reduce, milo_ref_arg_reduce, milo_ref_cumsum, milo_ref_reshape, milo_ref_transpose,
    milo_ref_slice_by_size, milo_ref_slice_by_index, milo_ref_slice_update, milo_ref_concat,
    milo_ref_stack, milo_ref_split_op, milo_ref_tile, milo_ref_pad, milo_ref_reverse, milo_ref_fill,
    milo_ref_shape, milo_ref_range_1d, milo_ref_one_hot, milo_ref_gather,
    milo_ref_gather_along_axis, milo_ref_scatter, milo_ref_scatter_along_axis, milo_ref_quantize,
    milo_ref_dequantize, milo_ref_scale_blocks, milo_ref_rms_norm, milo_ref_rms_norm_grad,
    milo_ref_rope, milo_ref_attention, milo_ref_attention_grad, milo_ref_silu_gate_grad,
    milo_ref_cross_entropy, milo_ref_cross_entropy_grad, milo_ref_adamw, milo_ref_non_zero;
milo_ref_shape_fn milo_ref_non_zero_shape;

#endif
