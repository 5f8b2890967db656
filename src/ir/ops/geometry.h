// SPDX-License-Identifier: MIT
// Where windows and slices lie: the arithmetic that inference and every device must agree on.
#ifndef MILO_IR_OPS_GEOMETRY_H
#define MILO_IR_OPS_GEOMETRY_H

#include "ir/ir.h"

enum { MILO_CONV_MAX_SPATIAL = 3 };

// Output position o, kernel position k read input position
// o * stride + k * dilation - pad_begin of the same axis, zero outside the input.
typedef struct milo_conv_geometry {
  int spatial;  // number of spatial axes, 1 to 3
  int64_t stride[MILO_CONV_MAX_SPATIAL], dilation[MILO_CONV_MAX_SPATIAL];
  int64_t pad_begin[MILO_CONV_MAX_SPATIAL], pad_end[MILO_CONV_MAX_SPATIAL];
  int64_t out[MILO_CONV_MAX_SPATIAL];  // MILO_DIM_UNKNOWN where it depends on an unknown dim
  int64_t groups;
} milo_conv_geometry;

// Reads and checks the geometry of a conv with x of rank 3 to 5 and weight of the same rank.
MILO_MUST_USE milo_status milo_conv_geometry_get(const milo_op *op, milo_diag *diag,
                                                 milo_conv_geometry *out_geometry);

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
