// SPDX-License-Identifier: MIT
// Gradients of operations that move elements: views, concat, stack, split, tile, pad, reverse.
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/ops.h"

// reshape, expand_dims, squeeze
milo_status milo_vjp_reshape(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (milo_grad_wants(g, x)) milo_grad_add(g, x, milo_grad_reshape_like(b, seeds[0], x));
  return b->status;
}

milo_status milo_vjp_transpose(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (!milo_grad_wants(g, x)) return b->status;
  int64_t perm[MILO_MAX_RANK];
  int inverse[MILO_MAX_RANK] = {0};
  const int rank = x->type.rank;
  milo_op_ints(op, "perm", perm, MILO_MAX_RANK);
  for (int i = 0; i < rank; i++) inverse[perm[i] < 0 ? perm[i] + rank : perm[i]] = i;
  milo_grad_add(g, x, milo_b_transpose(b, seeds[0], inverse));
  return b->status;
}

// Elements begin to begin + size of x along axis.
static milo_value *part(milo_builder *b, milo_value *x, int axis, int64_t begin, int64_t size) {
  if (b->status != MILO_OK) return NULL;
  int64_t begins[MILO_MAX_RANK] = {0}, sizes[MILO_MAX_RANK];
  memcpy(sizes, x->type.dims, sizeof sizes);
  if (sizes[axis] == size) return x;
  begins[axis] = begin;
  sizes[axis] = size;
  return milo_b_slice(b, x, begins, sizes);
}

milo_status milo_vjp_concat(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  const milo_arg *values = milo_op_arg(op, "values");
  const int rank = op->results[0]->type.rank, axis = milo_op_axis(op, "axis", rank);
  const bool interleave = milo_op_bool(op, "interleave");
  int64_t at = 0;
  for (size_t i = 0; i < values->count; i++) {
    milo_value *x = values->values[i];
    const int64_t size = x->type.dims[axis];
    if (milo_grad_wants(g, x) && !interleave) {
      milo_grad_add(g, x, part(b, seeds[0], axis, at, size));
    } else if (milo_grad_wants(g, x)) {
      int64_t begin[MILO_MAX_RANK] = {0}, stride[MILO_MAX_RANK];
      for (int k = 0; k < rank; k++) stride[k] = k == axis ? (int64_t)values->count : 1;
      begin[axis] = (int64_t)i;
      milo_grad_add(g, x, milo_grad_stride(b, seeds[0], begin, op->results[0]->type.dims, stride));
    }
    at += size;
  }
  return b->status;
}

milo_status milo_vjp_stack(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  const milo_arg *values = milo_op_arg(op, "values");
  const int axis = milo_op_axis(op, "axis", op->results[0]->type.rank);
  for (size_t i = 0; i < values->count; i++) {
    milo_value *x = values->values[i];
    if (milo_grad_wants(g, x))
      milo_grad_add(g, x, milo_grad_reshape_like(b, part(b, seeds[0], axis, (int64_t)i, 1), x));
  }
  return b->status;
}

milo_status milo_vjp_split(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (!milo_grad_wants(g, x)) return b->status;
  milo_value **parts = MILO_NEW_ARRAY(milo_op_arena(op), milo_value *, op->result_count);
  for (size_t i = 0; i < op->result_count; i++)
    parts[i] = seeds[i] != NULL ? seeds[i] : milo_grad_fill(b, op->results[i]->type, 0);
  if (b->status != MILO_OK) return b->status;
  const int axis = milo_op_axis(op, "axis", x->type.rank);
  milo_grad_add(g, x, milo_b_concat(b, parts, op->result_count, axis));
  return b->status;
}

// Each axis is taken apart into repetitions, which are summed: one axis at a time, so that the rank
// stays within four.
milo_status milo_vjp_tile(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *d = seeds[0];
  if (!milo_grad_wants(g, x)) return b->status;
  const int rank = x->type.rank;
  int64_t dims[MILO_MAX_RANK];
  memcpy(dims, op->results[0]->type.dims, sizeof dims);
  for (int axis = 0; axis < rank; axis++) {
    const int64_t n = x->type.dims[axis];
    if (dims[axis] == n) continue;
    int64_t wide[4] = {1, dims[axis] / n, n, 1};
    for (int i = 0; i < rank; i++)
      if (i != axis) wide[i < axis ? 0 : 3] *= dims[i];
    const int64_t repetitions = 1;
    dims[axis] = n;
    d = milo_grad_reshape(b, d, wide, 4);
    d = milo_b_reduce(b, MILO_OP_reduce_sum, d, &repetitions, 1, false);
    d = milo_grad_reshape(b, d, dims, rank);
  }
  milo_grad_add(g, x, d);
  return b->status;
}

// One axis of a reflecting or replicating pad: what lies in the padding goes back to the elements
// it was copied from. d has low + n + high elements along axis.
static milo_value *fold_padding(milo_builder *b, milo_value *d, int axis, int64_t low, int64_t n,
                                int64_t high, bool reflect) {
  const int64_t axis64 = axis;
  milo_value *sum = part(b, d, axis, low, n);
  const int64_t sizes[2] = {low, high}, begins[2] = {0, low + n};
  for (int side = 0; side < 2; side++) {
    const int64_t size = sizes[side];
    if (size == 0) continue;
    milo_value *piece = part(b, d, axis, begins[side], size);
    int64_t covered = 1, skipped = 0;
    if (reflect) {
      // Element low - 1 - i mirrors element 1 + i.
      piece = milo_grad_reverse(b, piece, &axis64, 1);
      covered = size;
      skipped = 1;
    } else {
      piece = milo_b_reduce(b, MILO_OP_reduce_sum, piece, &axis64, 1, true);
    }
    int64_t before[MILO_MAX_RANK] = {0}, after[MILO_MAX_RANK] = {0};
    before[axis] = side == 0 ? skipped : n - covered - skipped;
    after[axis] = n - covered - before[axis];
    sum = milo_b_add(b, sum, milo_grad_resize(b, piece, before, after));
  }
  return sum;
}

milo_status milo_vjp_pad(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *d = seeds[0];
  if (!milo_grad_wants(g, x)) return b->status;
  int64_t pad[2 * MILO_MAX_RANK];
  const int rank = x->type.rank, count = milo_op_ints(op, "pad", pad, 2 * MILO_MAX_RANK);
  if (count < 0) return milo_grad_refuse(g, op, "pad is not a constant");
  // pad holds pairs for the last axes.
  int64_t low[MILO_MAX_RANK] = {0}, high[MILO_MAX_RANK] = {0};
  for (int i = 0; i < count / 2; i++) {
    low[rank - count / 2 + i] = pad[2 * i];
    high[rank - count / 2 + i] = pad[2 * i + 1];
  }
  const char *mode = milo_op_string(op, "mode");
  if (strcmp(mode, "constant") == 0) {
    int64_t crop_low[MILO_MAX_RANK], crop_high[MILO_MAX_RANK];
    for (int i = 0; i < rank; i++) {
      crop_low[i] = -low[i];
      crop_high[i] = -high[i];
    }
    milo_grad_add(g, x, milo_grad_resize(b, d, crop_low, crop_high));
    return b->status;
  }
  for (int i = 0; i < rank; i++)
    if (low[i] != 0 || high[i] != 0)
      d = fold_padding(b, d, i, low[i], x->type.dims[i], high[i], strcmp(mode, "reflect") == 0);
  milo_grad_add(g, x, d);
  return b->status;
}

milo_status milo_vjp_reverse(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (milo_grad_wants(g, x))
    milo_grad_add(g, x, EMIT(b, reverse, {"x", seeds[0]}, {"axes", milo_op_in(op, "axes")}));
  return b->status;
}
