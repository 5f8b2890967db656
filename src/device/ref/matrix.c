// SPDX-License-Identifier: MIT
// Matrix products.
#include <stdlib.h>

#include "device/ref/call.h"

// A matrix seen in an operand: element (r, c) is at r * row + c * column.
typedef struct matrix {
  size_t rows, columns, row, column;
} matrix;

// The last two axes; a vector is one row (left operand) or one column (right operand).
static matrix matrix_of(const milo_ref_tensor *t, bool transposed, bool left) {
  if (t->rank == 1) {
    const size_t n = (size_t)t->dims[0];
    return left ? (matrix){1, n, n, 1} : (matrix){n, 1, 1, n};
  }
  const size_t rows = (size_t)t->dims[t->rank - 2], columns = (size_t)t->dims[t->rank - 1];
  return transposed ? (matrix){columns, rows, 1, columns} : (matrix){rows, columns, columns, 1};
}

// What is left of the shape without the matrix.
static milo_ref_tensor batch_of(const milo_ref_tensor *t) {
  milo_ref_tensor batch = *t;
  batch.rank = t->rank > 2 ? t->rank - 2 : 0;
  batch.count = milo_ref_product(t, 0, batch.rank);
  return batch;
}

// One product, of doubles or of int64: out (rows x columns) is dense.
static void multiply_numbers(const double *x, matrix mx, const double *y, matrix my,
                             const milo_ref_tensor *out, size_t first) {
  for (size_t r = 0; r < mx.rows; ++r) {
    for (size_t c = 0; c < my.columns; ++c) {
      double sum = 0;
      for (size_t k = 0; k < mx.columns; ++k)
        sum += x[r * mx.row + k * mx.column] * y[k * my.row + c * my.column];
      milo_ref_set(out, first + r * my.columns + c, sum);
    }
  }
}

static void multiply_integers(const milo_ref_tensor *x, size_t x0, matrix mx,
                              const milo_ref_tensor *y, size_t y0, matrix my,
                              const milo_ref_tensor *out, size_t first) {
  for (size_t r = 0; r < mx.rows; ++r) {
    for (size_t c = 0; c < my.columns; ++c) {
      int64_t sum = 0;
      for (size_t k = 0; k < mx.columns; ++k)
        sum = milo_ref_add(sum, milo_ref_mul(milo_ref_get_int(x, x0 + r * mx.row + k * mx.column),
                                             milo_ref_get_int(y, y0 + k * my.row + c * my.column)));
      milo_ref_set_int(out, first + r * my.columns + c, sum);
    }
  }
}

milo_status milo_ref_matmul(const milo_ref_call *call) {
  milo_ref_tensor x, y, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  const matrix mx = matrix_of(&x, milo_op_bool(call->op, "transpose_x"), true);
  const matrix my = matrix_of(&y, milo_op_bool(call->op, "transpose_y"), false);
  const milo_ref_tensor bx = batch_of(&x), by = batch_of(&y);
  // The result's batch axes are all but those of the matrices that were not vectors.
  milo_ref_tensor batch = out;
  batch.rank = bx.rank > by.rank ? bx.rank : by.rank;
  batch.count = milo_ref_product(&out, 0, batch.rank);

  double *dx = NULL, *dy = NULL;
  milo_status status = MILO_OK;
  if (!milo_ref_is_int(&out)) {
    status = milo_ref_doubles(call, &x, &dx);
    if (status == MILO_OK) status = milo_ref_doubles(call, &y, &dy);
  }
  for (size_t i = 0; status == MILO_OK && i < batch.count; ++i) {
    const size_t x0 = milo_ref_broadcast(&batch, i, &bx) * mx.rows * mx.columns;
    const size_t y0 = milo_ref_broadcast(&batch, i, &by) * my.rows * my.columns;
    const size_t first = i * mx.rows * my.columns;
    if (milo_ref_is_int(&out))
      multiply_integers(&x, x0, mx, &y, y0, my, &out, first);
    else
      multiply_numbers(dx + x0, mx, dy + y0, my, &out, first);
  }
  free(dx);
  free(dy);
  return status;
}

// out[..., o] = sum over i of x[..., i] * weight[o, i] + bias[o]
milo_status milo_ref_linear(const milo_ref_call *call) {
  milo_ref_tensor x, weight, bias, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "weight", &weight);
  const bool has_bias = milo_ref_in(call, "bias", &bias);
  const size_t outputs = (size_t)weight.dims[0], inputs = (size_t)weight.dims[1];

  double *dx = NULL, *dw = NULL;
  milo_status status = milo_ref_doubles(call, &x, &dx);
  if (status == MILO_OK) status = milo_ref_doubles(call, &weight, &dw);
  for (size_t i = 0; status == MILO_OK && i < out.count; ++i) {
    const size_t row = i / outputs * inputs, o = i % outputs;
    if (milo_ref_is_int(&out)) {
      int64_t sum = has_bias ? milo_ref_get_int(&bias, o) : 0;
      for (size_t k = 0; k < inputs; ++k)
        sum = milo_ref_add(sum, milo_ref_mul(milo_ref_get_int(&x, row + k),
                                             milo_ref_get_int(&weight, o * inputs + k)));
      milo_ref_set_int(&out, i, sum);
      continue;
    }
    double sum = 0;
    for (size_t k = 0; k < inputs; ++k) sum += dx[row + k] * dw[o * inputs + k];
    milo_ref_set(&out, i, has_bias ? sum + milo_ref_get(&bias, o) : sum);
  }
  free(dx);
  free(dw);
  return status;
}
