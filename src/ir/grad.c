// SPDX-License-Identifier: MIT
// Gradients under construction, see grad.h.
#include "ir/grad.h"

#include <string.h>

#include "base/number.h"

milo_builder *milo_grad_builder(milo_grad *g) { return &g->builder; }

bool milo_grad_wants(const milo_grad *g, const milo_value *value) {
  return value != NULL && g->wants[value->id];
}

void milo_grad_add(milo_grad *g, milo_value *value, milo_value *grad) {
  milo_builder *b = &g->builder;
  if (!milo_grad_wants(g, value) || b->status != MILO_OK) return;
  grad = milo_grad_sum_to(b, grad, &value->type);
  milo_value **total = &g->total[value->id];
  *total = *total == NULL ? grad : milo_b_add(b, *total, grad);
}

milo_status milo_grad_refuse(milo_grad *g, const milo_op *op, const char *why) {
  milo_builder *b = &g->builder;
  b->status = milo_fail(b->diag, op->loc, MILO_ERR_UNSUPPORTED, "%s has no gradient here: %s",
                        op->name, why);
  return b->status;
}

// ---- emitting ----

milo_value *milo_grad_fill(milo_builder *b, milo_type type, double value) {
  enum { MAX_CONST_ELEMENTS = 16 };
  if (b->status != MILO_OK) return NULL;
  if (milo_type_elements(&type) <= MAX_CONST_ELEMENTS) return milo_b_splat(b, type, value);
  return EMIT(b, fill, {"shape", milo_b_ints(b, type.dims, (size_t)type.rank)},
              {"value", milo_b_number(b, type.dtype, value)});
}

milo_value *milo_grad_reshape(milo_builder *b, milo_value *x, const int64_t *dims, int rank) {
  if (b->status != MILO_OK) return NULL;
  if (x->type.rank == rank && memcmp(x->type.dims, dims, (size_t)rank * sizeof *dims) == 0)
    return x;
  if (rank > 0) return milo_b_reshape(b, x, dims, rank);
  int64_t axes[MILO_MAX_RANK];
  for (int i = 0; i < x->type.rank; i++) axes[i] = i;
  return EMIT(b, squeeze, {"x", x}, {"axes", milo_b_ints(b, axes, (size_t)x->type.rank)});
}

milo_value *milo_grad_reshape_like(milo_builder *b, milo_value *x, const milo_value *like) {
  return milo_grad_reshape(b, x, like->type.dims, like->type.rank);
}

milo_value *milo_grad_widen(milo_builder *b, milo_value *x, const milo_value *like) {
  if (b->status != MILO_OK) return NULL;
  if (milo_type_elements(&like->type) == 0) {  // tile does not repeat zero times
    milo_type type = like->type;
    type.dtype = x->type.dtype;
    return milo_grad_fill(b, type, 0);
  }
  const int rank = like->type.rank, missing = rank - x->type.rank;
  int64_t dims[MILO_MAX_RANK] = {0}, reps[MILO_MAX_RANK] = {0};
  bool repeats = false;
  for (int i = 0; i < rank; i++) {
    dims[i] = i < missing ? 1 : x->type.dims[i - missing];
    reps[i] = like->type.dims[i] / dims[i];
    repeats = repeats || reps[i] != 1;
  }
  x = milo_grad_reshape(b, x, dims, rank);
  if (!repeats) return x;
  return EMIT(b, tile, {"x", x}, {"reps", milo_b_ints(b, reps, (size_t)rank)});
}

// Removes the first count axes by summing; a view where there is nothing to sum.
static milo_value *sum_leading(milo_builder *b, milo_value *x, int count) {
  int64_t axes[MILO_MAX_RANK], elements = 1;
  for (int i = 0; i < count; i++) {
    axes[i] = i;
    elements *= x->type.dims[i];
  }
  if (elements == 1) return milo_grad_reshape(b, x, x->type.dims + count, x->type.rank - count);
  return milo_b_reduce(b, MILO_OP_reduce_sum, x, axes, count, false);
}

milo_value *milo_grad_sum_to(milo_builder *b, milo_value *x, const milo_type *type) {
  if (b->status != MILO_OK) return NULL;
  if (x->type.rank > type->rank) x = sum_leading(b, x, x->type.rank - type->rank);
  if (b->status != MILO_OK) return NULL;
  int64_t axes[MILO_MAX_RANK];
  int count = 0;
  const int missing = type->rank - x->type.rank;
  for (int i = 0; i < x->type.rank; i++)
    if (type->dims[i + missing] == 1 && x->type.dims[i] != 1) axes[count++] = i;
  if (count > 0) x = milo_b_reduce(b, MILO_OP_reduce_sum, x, axes, count, true);
  if (missing > 0) x = milo_grad_reshape(b, x, type->dims, type->rank);
  if (b->status == MILO_OK && x->type.dtype != type->dtype) x = milo_b_cast(b, x, type->dtype);
  return x;
}

milo_value *milo_grad_keep_axes(milo_builder *b, milo_value *x, const bool *is_axis, int rank) {
  if (b->status != MILO_OK || x->type.rank == rank) return x;
  int64_t dims[MILO_MAX_RANK];
  for (int i = 0, k = 0; i < rank; i++) dims[i] = is_axis[i] ? 1 : x->type.dims[k++];
  return milo_grad_reshape(b, x, dims, rank);
}

static milo_value *crop(milo_builder *b, milo_value *x, const int64_t *low, const int64_t *high) {
  if (b->status != MILO_OK) return NULL;
  int64_t begin[MILO_MAX_RANK], size[MILO_MAX_RANK];
  bool crops = false;
  for (int i = 0; i < x->type.rank; i++) {
    begin[i] = low[i] < 0 ? -low[i] : 0;
    size[i] = x->type.dims[i] - begin[i] + (high[i] < 0 ? high[i] : 0);
    crops = crops || size[i] != x->type.dims[i];
  }
  return crops ? milo_b_slice(b, x, begin, size) : x;
}

static milo_value *pad(milo_builder *b, milo_value *x, const int64_t *low, const int64_t *high) {
  if (b->status != MILO_OK) return NULL;
  int64_t amounts[2 * MILO_MAX_RANK];
  bool pads = false;
  for (int i = 0; i < x->type.rank; i++) {
    amounts[2 * i] = low[i] > 0 ? low[i] : 0;
    amounts[2 * i + 1] = high[i] > 0 ? high[i] : 0;
    pads = pads || low[i] > 0 || high[i] > 0;
  }
  if (!pads) return x;
  return EMIT(b, pad, {"x", x}, {"pad", milo_b_ints(b, amounts, 2 * (size_t)x->type.rank)},
              {"mode", milo_b_string(b, "constant")},
              {"constant_val", milo_b_number(b, x->type.dtype, 0)});
}

milo_value *milo_grad_resize(milo_builder *b, milo_value *x, const int64_t *low,
                             const int64_t *high) {
  if (b->status != MILO_OK) return NULL;
  // Less to copy if cropped first, but nothing may be left then.
  bool empties = false;
  for (int i = 0; i < x->type.rank; i++)
    empties = empties || -low[i] >= x->type.dims[i] || -high[i] >= x->type.dims[i];
  if (empties) return crop(b, pad(b, x, low, high), low, high);
  return pad(b, crop(b, x, low, high), low, high);
}

milo_value *milo_grad_reverse(milo_builder *b, milo_value *x, const int64_t *axes, int count) {
  if (count == 0) return x;
  return EMIT(b, reverse, {"x", x}, {"axes", milo_b_ints(b, axes, (size_t)count)});
}

// Puts step - 1 zeros after each element along axis: n becomes n * step.
static milo_value *dilate(milo_builder *b, milo_value *x, int axis, int64_t step) {
  if (b->status != MILO_OK) return NULL;
  int64_t dims[MILO_MAX_RANK], outer = 1, inner = 1;
  const int rank = x->type.rank;
  memcpy(dims, x->type.dims, sizeof dims);
  for (int i = 0; i < rank; i++) *(i <= axis ? &outer : &inner) *= dims[i];
  // A rank of three whatever x has: [.., n] x 1 x [..]; the ones are padded to step.
  const int64_t low[3] = {0, 0, 0}, high[3] = {0, step - 1, 0};
  x = milo_grad_reshape(b, x, (const int64_t[]){outer, 1, inner}, 3);
  x = milo_grad_resize(b, x, low, high);
  dims[axis] *= step;
  return milo_grad_reshape(b, x, dims, rank);
}

milo_value *milo_grad_place(milo_builder *b, milo_value *x, const int64_t *begin,
                            const int64_t *step, const int64_t *dims) {
  if (b->status != MILO_OK) return NULL;
  const int rank = x->type.rank;
  int64_t low[MILO_MAX_RANK] = {0}, high[MILO_MAX_RANK] = {0}, reversed[MILO_MAX_RANK] = {0};
  int reversals = 0;
  for (int i = 0; i < rank; i++)
    if (step[i] < 0 && x->type.dims[i] > 1) reversed[reversals++] = i;
  x = milo_grad_reverse(b, x, reversed, reversals);
  for (int i = 0; i < rank && b->status == MILO_OK; i++) {
    const int64_t n = x->type.dims[i], magnitude = step[i] < 0 ? -step[i] : step[i];
    low[i] = step[i] < 0 ? begin[i] + (n - 1) * step[i] : begin[i];
    if (n > 1 && magnitude > 1) x = dilate(b, x, i, magnitude);
    // Negative where the zeros after the last element reach past the end.
    if (b->status == MILO_OK) high[i] = dims[i] - low[i] - x->type.dims[i];
  }
  return milo_grad_resize(b, x, low, high);
}

milo_value *milo_grad_stride(milo_builder *b, milo_value *x, const int64_t *begin,
                             const int64_t *end, const int64_t *stride) {
  if (b->status != MILO_OK) return NULL;
  const size_t rank = (size_t)x->type.rank;
  return EMIT(b, slice_by_index, {"x", x}, {"begin", milo_b_ints(b, begin, rank)},
              {"end", milo_b_ints(b, end, rank)}, {"stride", milo_b_ints(b, stride, rank)});
}

milo_value *milo_grad_rows(milo_builder *b, milo_value *x) {
  if (b->status != MILO_OK) return NULL;
  const int rank = x->type.rank;
  int64_t dims[2] = {1, rank == 0 ? 1 : x->type.dims[rank - 1]};
  for (int i = 0; i + 1 < rank; i++) dims[0] *= x->type.dims[i];
  return milo_grad_reshape(b, x, dims, 2);
}

milo_value *milo_grad_where(milo_builder *b, milo_value *cond, milo_value *x, double otherwise) {
  if (b->status != MILO_OK) return NULL;
  return milo_b_select(b, cond, x, milo_b_number(b, x->type.dtype, otherwise));
}

milo_value *milo_grad_compare(milo_builder *b, milo_opcode code, milo_value *x, double number) {
  if (b->status != MILO_OK) return NULL;
  return milo_b_binary(b, code, x, milo_b_number(b, x->type.dtype, number));
}

void milo_grad_axes(const milo_op *op, const char *name, int rank, bool *out_is_axis) {
  int64_t axes[MILO_MAX_RANK];
  const int count = milo_op_ints(op, name, axes, MILO_MAX_RANK);
  for (int i = 0; i < rank; i++) out_is_axis[i] = count <= 0;
  for (int i = 0; i < count; i++) out_is_axis[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;
}
