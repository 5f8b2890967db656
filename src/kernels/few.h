// SPDX-License-Identifier: MIT
// Products of a few rows with a matrix that lies row by row: y = x W^T, what a model does for each
// token that it generates. Each element of the matrix is used a few times only, so it is read once,
// where it lies, in the type that it is stored in; what bounds this is reading memory.
//
// Functions: any sizes (0 too), no alignment, nothing read or written beyond the stated elements,
// one thread. The order of a sum depends on k alone: not on m, n, or where a row stands.
#ifndef MILO_KERNELS_FEW_H
#define MILO_KERNELS_FEW_H

#include "base/number.h"

// c[i * ldc + j] = sum over p < k of a[i * lda + p] * w[j * ldw + p], i < m, j < n; w of the
// function's type.
typedef void milo_dot_fn(size_t m, size_t n, size_t k, const float *a, size_t lda, const void *w,
                         size_t ldw, float *c, size_t ldc);
// c[i * ldc + j] = sum over p < k of a[i * lda + p] * w[p * ldw + j], i < m, j < n.
typedef void milo_mix_fn(size_t m, size_t n, size_t k, const float *a, size_t lda, const void *w,
                         size_t ldw, float *c, size_t ldc);

typedef struct milo_few {
  const char *name;
  unsigned caps;  // what the processor must have
  milo_dot_fn *dot_fp32, *dot_fp16, *dot_bf16;
  milo_mix_fn *mix_fp32, *mix_fp16, *mix_bf16;
  // As dot, w[j * ldw + p] * scales[j * lds + p / group]; group > 0.
  void (*dot_int8)(size_t m, size_t n, size_t k, const float *a, size_t lda, const int8_t *w,
                   size_t ldw, const float *scales, size_t lds, size_t group, float *c, size_t ldc);
  // out[p] = w[p] * scales[p / group]
  void (*scale_int8)(float *out, const int8_t *w, const float *scales, size_t group, size_t n);
} milo_few;

// Slowest first, ends with NULL; the first needs no capabilities.
extern const milo_few *const milo_few_variants[];
// The last variant that caps allow.
const milo_few *milo_few_select(unsigned caps);
// NULL: there is none for the type.
milo_dot_fn *milo_few_dot(const milo_few *few, milo_dtype dtype);
milo_mix_fn *milo_few_mix(const milo_few *few, milo_dtype dtype);

extern const milo_few milo_few_generic, milo_few_avx2, milo_few_avx512;

#endif
