// SPDX-License-Identifier: MIT
// Gradients of slices: a slice's gradient is put back among zeros, by padding where begin is known
// and by slice_update where it is computed when the program runs.
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/geometry.h"
#include "ir/ops/ops.h"

// The arguments that say which slice, to be given to another operation.
#define SAME_SLICE(op)                                                                    \
  {"begin", milo_op_in(op, "begin")}, {"end", milo_op_in(op, "end")},                     \
      {"stride", milo_op_in(op, "stride")}, {"begin_mask", milo_op_in(op, "begin_mask")}, \
      {"end_mask", milo_op_in(op, "end_mask")}, {                                         \
    "squeeze_mask", milo_op_in(op, "squeeze_mask")                                        \
  }

milo_status milo_vjp_slice_by_size(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *dy = seeds[0];
  if (!milo_grad_wants(g, x)) return b->status;
  const int rank = x->type.rank;
  int64_t begin[MILO_MAX_RANK], high[MILO_MAX_RANK];
  if (milo_op_ints(op, "begin", begin, MILO_MAX_RANK) < 0) {
    if (milo_type_elements(&x->type) == 0) {
      milo_grad_add(g, x, milo_grad_fill(b, x->type, 0));
      return b->status;
    }
    milo_value *at = milo_op_in(op, "begin");
    if (at->type.dtype != MILO_INT32) at = milo_b_cast(b, at, MILO_INT32);
    // Counted from the end it would lead to an end of 0.
    at = milo_b_binary(b, MILO_OP_mod, at, milo_b_ints(b, x->type.dims, (size_t)rank));
    milo_value *end = milo_b_add(b, at, milo_b_ints(b, op->results[0]->type.dims, (size_t)rank));
    milo_grad_add(g, x,
                  EMIT(b, slice_update, {"x", milo_grad_fill(b, x->type, 0)}, {"update", dy},
                       {"begin", at}, {"end", end}));
    return b->status;
  }
  for (int i = 0; i < rank; i++) {
    if (begin[i] < 0) begin[i] += x->type.dims[i];
    high[i] = x->type.dims[i] - begin[i] - op->results[0]->type.dims[i];
  }
  milo_grad_add(g, x, milo_grad_resize(b, dy, begin, high));
  return b->status;
}

// A list of flags; all false if it was left out.
static void read_mask(const milo_op *op, const char *name, int64_t *out) {
  for (int i = 0; i < MILO_MAX_RANK; i++) out[i] = 0;
  milo_op_ints(op, name, out, MILO_MAX_RANK);
}

// Where each axis of x is sliced; false if that is not known before the program runs.
static bool resolve(const milo_op *op, const milo_type *x, milo_slice_axis *out) {
  int64_t begin[MILO_MAX_RANK], end[MILO_MAX_RANK], stride[MILO_MAX_RANK];
  int64_t begin_mask[MILO_MAX_RANK], end_mask[MILO_MAX_RANK], squeeze[MILO_MAX_RANK];
  if (milo_op_ints(op, "begin", begin, MILO_MAX_RANK) < 0 ||
      milo_op_ints(op, "end", end, MILO_MAX_RANK) < 0)
    return false;
  for (int i = 0; i < x->rank; i++) stride[i] = 1;
  milo_op_ints(op, "stride", stride, MILO_MAX_RANK);
  read_mask(op, "begin_mask", begin_mask);
  read_mask(op, "end_mask", end_mask);
  read_mask(op, "squeeze_mask", squeeze);
  for (int i = 0; i < x->rank; i++) {
    const milo_slice_spec spec = {begin[i],           end[i],           stride[i],
                                  begin_mask[i] != 0, end_mask[i] != 0, squeeze[i] != 0};
    if (!milo_slice_resolve(x->dims[i], spec, &out[i])) return false;
  }
  return true;
}

milo_status milo_vjp_slice_by_index(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *dy = seeds[0];
  if (!milo_grad_wants(g, x)) return b->status;
  milo_slice_axis axes[MILO_MAX_RANK];
  if (!resolve(op, &x->type, axes)) {
    milo_grad_add(g, x,
                  EMIT(b, slice_update, {"x", milo_grad_fill(b, x->type, 0)}, {"update", dy},
                       SAME_SLICE(op)));
    return b->status;
  }
  int64_t begin[MILO_MAX_RANK], step[MILO_MAX_RANK], size[MILO_MAX_RANK];
  for (int i = 0; i < x->type.rank; i++) {
    begin[i] = axes[i].begin;
    step[i] = axes[i].stride;
    size[i] = axes[i].size;
  }
  dy = milo_grad_reshape(b, dy, size, x->type.rank);  // squeezed axes come back
  milo_grad_add(g, x, milo_grad_place(b, dy, begin, step, x->type.dims));
  return b->status;
}

milo_status milo_vjp_slice_update(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *update = milo_op_in(op, "update"), *dy = seeds[0];
  if (milo_grad_wants(g, x))
    milo_grad_add(g, x,
                  EMIT(b, slice_update, {"x", dy}, {"update", milo_grad_fill(b, update->type, 0)},
                       SAME_SLICE(op)));
  if (milo_grad_wants(g, update)) {
    milo_value *d = EMIT(b, slice_by_index, {"x", dy}, SAME_SLICE(op));
    // Inference cannot know the size of a slice whose ends are computed; here update has it.
    if (b->status == MILO_OK && !milo_type_is_static(&d->type) && d->type.rank == update->type.rank)
      d->type = update->type;
    milo_grad_add(g, update, milo_grad_reshape_like(b, d, update));
  }
  return b->status;
}
