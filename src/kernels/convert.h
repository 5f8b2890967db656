// SPDX-License-Identifier: MIT
// Between element types and strides: what makes any operand dense fp32 and back.
#ifndef MILO_KERNELS_CONVERT_H
#define MILO_KERNELS_CONVERT_H

#include "kernels/rows.h"

// True for the types that milo_load_f32 and milo_store_f32 know: fp32, fp16, bf16, bool, and the
// integers of 8, 16 and 32 bits.
bool milo_convert_supports(milo_dtype dtype);

// out[i] = x[i * stride] as fp32 (32-bit integers round to nearest).
void milo_load_f32(const milo_rows *kernels, float *out, const void *x, milo_dtype dtype,
                   ptrdiff_t stride, size_t n);
// out[i * stride] = x[i] in dtype: fp16, bf16 round to nearest even; integers truncate towards zero
// and saturate, NaN becomes 0; bool is x != 0.
void milo_store_f32(const milo_rows *kernels, void *out, milo_dtype dtype, ptrdiff_t stride,
                    const float *x, size_t n);

// out[i * columns + j] = x[i * rs + j * cs] as fp32.
void milo_convert_rows(const milo_rows *kernels, float *out, const void *x, milo_dtype dtype,
                       size_t rows, size_t columns, ptrdiff_t rs, ptrdiff_t cs);

#endif
