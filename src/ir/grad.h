// SPDX-License-Identifier: MIT
// Gradients under construction, and what several gradients are written with. pass/autodiff.c drives
// this; the gradients themselves are the vjp functions of the operation table (ir/ops/grad_*.c).
//
// Everything here accepts NULL values when the builder is dead, as the builder does.
#ifndef MILO_IR_GRAD_H
#define MILO_IR_GRAD_H

#include "ir/op.h"

// The state of one differentiation. Values of the original function are found by their id
// (milo_func_number); those that the builder adds are never asked for.
struct milo_grad {
  milo_builder builder;
  const bool *wants;  // by id: depends on what is differentiated, and is floating-point
  // By id: the gradient gathered so far, NULL if there is none. It has the value's rank, and ones
  // in place of axes along which it does not change (autodiff widens it for those who need it
  // whole).
  milo_value **total;
};

// ---- emitting ----

// Zeros (a repeated number) of a static tensor type: written as `fill`, so that large ones take no
// room in the program; scalars and small ones as `const`.
milo_value *milo_grad_fill(milo_builder *b, milo_type type, double value);
// x with the dims given; x itself if it has them already.
milo_value *milo_grad_reshape(milo_builder *b, milo_value *x, const int64_t *dims, int rank);
milo_value *milo_grad_reshape_like(milo_builder *b, milo_value *x, const milo_value *like);
// x, whose shape broadcasts to like's (dims aligned at the last), repeated to that shape.
milo_value *milo_grad_widen(milo_builder *b, milo_value *x, const milo_value *like);
// Sums x down to type's shape, which broadcasts to x's, and casts to its element type. Axes that
// are one in an x of type's rank stay so.
milo_value *milo_grad_sum_to(milo_builder *b, milo_value *x, const milo_type *type);
// x with the dims at axes (of a tensor of rank `rank`, sorted) put back as ones.
milo_value *milo_grad_keep_axes(milo_builder *b, milo_value *x, const bool *is_axis, int rank);
// The transpose of a strided slice: y of dims, zero but y[begin + i * step] = x[i] for each axis.
// step may be negative; every place lies inside dims.
milo_value *milo_grad_place(milo_builder *b, milo_value *x, const int64_t *begin,
                            const int64_t *step, const int64_t *dims);
// slice_by_index with constant begin, end and stride (all > 0).
milo_value *milo_grad_stride(milo_builder *b, milo_value *x, const int64_t *begin,
                             const int64_t *end, const int64_t *stride);
// Pads (amount > 0) or crops (amount < 0) each axis: low[axis] before, high[axis] after.
milo_value *milo_grad_resize(milo_builder *b, milo_value *x, const int64_t *low,
                             const int64_t *high);
milo_value *milo_grad_reverse(milo_builder *b, milo_value *x, const int64_t *axes, int count);
// x[..., m, k] as a matrix [..*m, k].
milo_value *milo_grad_rows(milo_builder *b, milo_value *x);
// Swaps in one number where cond is false: select(cond, x, number).
milo_value *milo_grad_where(milo_builder *b, milo_value *cond, milo_value *x, double otherwise);
// x compared with a number of its own type.
milo_value *milo_grad_compare(milo_builder *b, milo_opcode code, milo_value *x, double number);

// Which axes of an x of that rank an argument names ("axes"; all if it was left out).
void milo_grad_axes(const milo_op *op, const char *name, int rank, bool *out_is_axis);

// The gradient of op is not defined: MILO_ERR_UNSUPPORTED at op's place, with the reason.
milo_status milo_grad_refuse(milo_grad *g, const milo_op *op, const char *why);

#endif
