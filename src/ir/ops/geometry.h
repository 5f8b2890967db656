// SPDX-License-Identifier: MIT
// Where windows and slices lie: the arithmetic that inference and every device must agree on.
#ifndef MILO_IR_OPS_GEOMETRY_H
#define MILO_IR_OPS_GEOMETRY_H

#include "ir/ir.h"

enum { MILO_WINDOW_MAX_AXES = 3 };

// A window that moves over one to three spatial axes. At position o, element k of the window lies
// at o * stride + k * dilation - pad_begin of the padded axis.
//   conv            reads its input there, zero outside of it
//   conv_transpose  adds to its output there; o runs over its input
//   pooling         joins the elements there that its input has; dilation is 1
typedef struct milo_window {
  int axes;  // 1 to 3
  int64_t kernel[MILO_WINDOW_MAX_AXES], stride[MILO_WINDOW_MAX_AXES],
      dilation[MILO_WINDOW_MAX_AXES];
  int64_t pad_begin[MILO_WINDOW_MAX_AXES], pad_end[MILO_WINDOW_MAX_AXES];
  int64_t out[MILO_WINDOW_MAX_AXES];  // the result's; MILO_DIM_UNKNOWN where that is not known
  int64_t groups;                     // of channels; 1 for pooling
} milo_window;

// Reads and checks the window of a conv or conv_transpose with x of rank 3 to 5 and weight of the
// same rank.
MILO_MUST_USE milo_status milo_conv_window(const milo_op *op, milo_diag *diag,
                                           milo_window *out_window);
// Of an operation with the arguments of a pooling, on an x of rank 3 to 5. With ceil_mode the last
// windows may reach beyond the padding.
MILO_MUST_USE milo_status milo_pool_window(const milo_op *op, const milo_type *x, milo_diag *diag,
                                           milo_window *out_window);

// Elements first to end - 1 of the axis, of dim elements, lie in the window at position o (none:
// first == end). *out_padded: how many there are with those of the padding.
void milo_window_range(const milo_window *w, int axis, int64_t dim, int64_t o, int64_t *out_first,
                       int64_t *out_end, int64_t *out_padded);

// One axis of slice_by_index and slice_update: element i of the slice is element
// begin + i * stride of the axis, for 0 <= i < size.
typedef struct milo_slice_axis {
  int64_t begin, stride, size;
} milo_slice_axis;

// How an axis is sliced, as the arguments say.
typedef struct milo_slice_spec {
  int64_t begin, end, stride;  // stride is not 0
  bool begin_mask, end_mask, squeeze;
} milo_slice_spec;

// Resolves a slice of an axis of dim elements: negative positions count from the end, positions
// outside are clamped, masks take all; an empty slice has size 0. squeeze takes the one element at
// begin; false if that lies outside the axis.
bool milo_slice_resolve(int64_t dim, milo_slice_spec spec, milo_slice_axis *out_axis);

#endif
