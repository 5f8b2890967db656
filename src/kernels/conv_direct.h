// SPDX-License-Identifier: MIT
// Convolutions of groups with very few output channels (depthwise): no product has enough rows.
// A task takes one group of one image. Where positions are many, output rows are weighted sums of
// rows of the padded copy; where the kernel is larger than the positions (as in the gradient by the
// weights), each position is a dot product over planes.
#ifndef MILO_KERNELS_CONV_DIRECT_H
#define MILO_KERNELS_CONV_DIRECT_H

#include "kernels/conv.h"

// For a conv with something to do and to read. Is a worker's share of memory small enough?
bool milo_conv_direct_takes(const milo_conv *conv);
void milo_conv_direct_run(const milo_exec *exec, const milo_conv *conv, const void *x,
                          const void *weight, const void *bias, void *out, void *workspace);
size_t milo_conv_direct_workspace_bytes(const milo_exec *exec, const milo_conv *conv);

#endif
