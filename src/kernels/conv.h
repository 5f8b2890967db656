// SPDX-License-Identifier: MIT
// Convolutions over one to three axes: products whose right side is gathered from a padded copy of
// the image as it is packed, or, where a group has very few output channels, sums of shifted rows.
#ifndef MILO_KERNELS_CONV_H
#define MILO_KERNELS_CONV_H

#include "kernels/gemm.h"

enum { MILO_CONV_AXES = 3 };  // leading ones where there are fewer

// out[n][o][s] = bias[o] + sum over c, k of weight[o][c, k] * x[n][g in + c][s * stride +
// k * dilation + offset], g = o / out the group, s and k positions along all axes; x is 0 outside
// of its size. fp32, fp16 and bf16 are read and written, sums are fp32.
typedef struct milo_conv {
  milo_numeric mode;
  size_t batch, groups, in, out;  // in, out: channels of a group
  size_t size[MILO_CONV_AXES], kernel[MILO_CONV_AXES], positions[MILO_CONV_AXES];
  size_t stride[MILO_CONV_AXES];                               // >= 1
  ptrdiff_t dilation[MILO_CONV_AXES], offset[MILO_CONV_AXES];  // of any sign
  milo_dtype x_dtype;
  ptrdiff_t x_batch, x_channel, x_axis[MILO_CONV_AXES];  // elements from one to the next
  // Row: output channel, of all groups; column: (c, k), row-major.
  milo_matrix weight;
  // The weight packed ahead as a left operand (milo_conv_packs), or NULL.
  const milo_packed *packed_weight;
  milo_matrix bias;  // rs from one to the next; dtype MILO_DTYPE_NONE: 0
  milo_dtype out_dtype;
  // Positions are contiguous. Where out_batch is the number of positions of an image, the batch
  // goes along with them, as one product's columns.
  ptrdiff_t out_batch, out_channel;
} milo_conv;

// Can it be done at a reasonable cost of memory? Not where the padding or the distances within the
// kernel are out of all proportion to the image.
bool milo_conv_takes(const milo_conv *conv);

// Would packing the weight ahead spare work? Then *out is its layout.
bool milo_conv_packs(const milo_exec *exec, const milo_conv *conv, milo_packed *out);

// Any of batch, groups, in, out, size, kernel, positions may be 0. out overlaps nothing that is
// read. Results do not depend on the number of threads. workspace: milo_conv_workspace_bytes,
// 64-byte aligned; the sizes depend on all of conv but the data pointers, which are taken from the
// arguments, and are enough whether the weight is packed ahead or not.
void milo_conv_run(const milo_exec *exec, const milo_conv *conv, const void *x, const void *weight,
                   const void *bias, void *out, void *workspace);
size_t milo_conv_workspace_bytes(const milo_exec *exec, const milo_conv *conv);

#endif
