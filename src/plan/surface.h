// SPDX-License-Identifier: MIT
// Surfaces: the packed inputs and outputs of kernels, [1, channels, 1, columns] in fp16 or fp32,
// element (c, s) at c * columns + s. The host's side is fp32; fp16 rounds to nearest even.
//
// Every rectangle must lie inside its surface, which is checked: MILO_ERR_INVALID. Work is split
// over channels among the device's threads.
#ifndef MILO_PLAN_SURFACE_H
#define MILO_PLAN_SURFACE_H

#include "kernels/rows.h"
#include "plan/kernel.h"

typedef struct milo_surface {
  milo_buffer *buffer;  // in the device's memory, zeroed
  milo_dtype dtype;
  size_t channels, columns;
  const milo_rows *kernels;
  milo_pool *pool;
} milo_surface;

MILO_MUST_USE milo_status milo_surface_create(milo_device *device, milo_dtype dtype,
                                              size_t channels, size_t columns, milo_diag *diag,
                                              milo_surface *out);
void milo_surface_destroy(milo_surface *surface);  // what is all zero too

// Fills the region from data: element (c, s) is data[c * stride + s], or data[s * stride + c] if
// transposed (a weight [out, in] staged as [in, out]).
MILO_MUST_USE milo_status milo_surface_write(const milo_surface *surface, milo_region region,
                                             const float *data, size_t stride, bool transposed,
                                             milo_diag *diag);
// out[c * stride + s] = element (c, s) of the region.
MILO_MUST_USE milo_status milo_surface_read(const milo_surface *surface, milo_region region,
                                            float *out, size_t stride, milo_diag *diag);
// Copies a region of `from` to one of the same size of `to`, another surface of the same type.
MILO_MUST_USE milo_status milo_surface_copy(const milo_surface *to, milo_region to_region,
                                            const milo_surface *from, milo_region from_region,
                                            milo_diag *diag);

// What milo_surface_write does with a rectangle, for weights baked into programs: element (r, c) of
// the dense out is data[r * stride + c], or data[c * stride + r] if transposed.
void milo_surface_pack(const milo_rows *kernels, milo_pool *pool, void *out, milo_dtype dtype,
                       size_t rows, size_t columns, const float *data, size_t stride,
                       bool transposed);

#endif
