// SPDX-License-Identifier: MIT
// Operands that the buffers of parameters keep in the layout of the kernels.
#ifndef MILO_DEVICE_CPU_COPIES_H
#define MILO_DEVICE_CPU_COPIES_H

#include "device/cpu/code.h"

// Is v (a part of) an input that changes seldom? Then *out_input is which.
bool milo_code_is_parameter(const milo_code *c, const milo_view *v, size_t *out_input);

// The numeric mode asked for, where the processor's row of it reads these operands.
milo_numeric milo_code_numeric(const milo_code *c, milo_dtype a, milo_dtype b);

// x, which is packed->count x k (left) or k x count (right) and lies at `offset` elements of input
// `input`, packed in packed's layout. False: it is not, this time.
bool milo_copy_of(const milo_cpu_run *run, size_t input, const milo_matrix *x, int64_t offset,
                  milo_packed *packed);

// Writes those copies anew that were asked for since buffer last changed, of what it holds now; to
// be called right after it was written, while much of it is in cache. So no product of the next
// step packs a weight. Only copies in fewer bits than the buffer's elements: others take as much
// memory as the buffer once again and spare little time.
void milo_renew_copies(const milo_exec *exec, milo_buffer *buffer);

#endif
