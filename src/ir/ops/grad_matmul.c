// SPDX-License-Identifier: MIT
// Gradients of matmul and linear.
#include "ir/grad.h"
#include "ir/ops/ops.h"

static int64_t batches(const milo_value *x) {
  int64_t count = 1;
  for (int i = 0; i + 2 < x->type.rank; i++) count *= x->type.dims[i];
  return count;
}

// A vector as the matrix that matmul takes it for: a row on the left, a column on the right.
static milo_value *as_matrix(milo_builder *b, milo_value *v, bool left) {
  if (v->type.rank != 1) return v;
  const int64_t n = v->type.dims[0];
  return milo_grad_reshape(b, v, left ? (const int64_t[]){1, n} : (const int64_t[]){n, 1}, 2);
}

// The gradient of out with the axes that matmul dropped for vectors.
static milo_value *with_matrix_axes(milo_builder *b, milo_value *dy, bool row, bool column) {
  if (b->status != MILO_OK || (!row && !column)) return dy;
  int64_t dims[MILO_MAX_RANK + 2];
  int rank = 0;
  const int kept = dy->type.rank;
  for (int i = 0; i < kept; i++) {
    if (row && i == kept - 1 && !column) dims[rank++] = 1;
    dims[rank++] = dy->type.dims[i];
  }
  if (row && column) dims[rank++] = 1;
  if (column) dims[rank++] = 1;
  return milo_grad_reshape(b, dy, dims, rank);
}

milo_status milo_vjp_matmul(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *in_x = milo_op_in(op, "x"), *in_y = milo_op_in(op, "y");
  const bool vector_x = in_x->type.rank == 1, vector_y = in_y->type.rank == 1;
  // A transpose of a vector means nothing.
  const bool tx = milo_op_bool(op, "transpose_x") && !vector_x;
  const bool ty = milo_op_bool(op, "transpose_y") && !vector_y;
  milo_value *x = as_matrix(b, in_x, true), *y = as_matrix(b, in_y, false);
  milo_value *dy = with_matrix_axes(b, seeds[0], vector_x, vector_y);
  if (b->status != MILO_OK) return b->status;
  // A constant of another type (see milo_infer_matmul): the gradient has the type of the value.
  const milo_dtype dtype = op->results[0]->type.dtype;
  if (x->type.dtype != y->type.dtype && in_x->literal != NULL) x = milo_b_cast(b, x, dtype);
  if (x->type.dtype != y->type.dtype && in_y->literal != NULL) y = milo_b_cast(b, y, dtype);
  if (b->status != MILO_OK) return b->status;
  if (milo_grad_wants(g, in_x)) {
    milo_value *dx = tx ? milo_b_matmul(b, y, dy, ty, true) : milo_b_matmul(b, dy, y, false, !ty);
    if (vector_x) dx = milo_grad_sum_to(b, dx, &x->type);
    milo_grad_add(g, in_x, vector_x ? milo_grad_reshape_like(b, dx, in_x) : dx);
  }
  if (milo_grad_wants(g, in_y)) {
    // One matrix for all of x's batches: the sum over them is part of the product.
    if (!tx && batches(y) == 1 && batches(x) > 1) {
      x = milo_grad_rows(b, x);
      dy = milo_grad_rows(b, dy);
    }
    milo_value *d = ty ? milo_b_matmul(b, dy, x, true, tx) : milo_b_matmul(b, x, dy, !tx, false);
    if (vector_y) d = milo_grad_sum_to(b, d, &y->type);
    milo_grad_add(g, in_y, vector_y ? milo_grad_reshape_like(b, d, in_y) : d);
  }
  return b->status;
}

// y = x weight^T + bias
milo_status milo_vjp_linear(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  if (milo_grad_wants(g, x)) {
    milo_value *dy = x->type.rank == 1 ? milo_grad_rows(b, seeds[0]) : seeds[0];
    milo_value *dx = milo_b_matmul(b, dy, weight, false, false);
    milo_grad_add(g, x, milo_grad_reshape_like(b, dx, x));
  }
  if (milo_grad_wants(g, weight)) {
    milo_value *dy = milo_grad_rows(b, seeds[0]);
    milo_grad_add(g, weight, milo_b_matmul(b, dy, milo_grad_rows(b, x), true, false));
  }
  milo_value *bias = milo_op_in(op, "bias");
  if (milo_grad_wants(g, bias)) milo_grad_add(g, bias, seeds[0]);
  return b->status;
}
