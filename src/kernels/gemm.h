// SPDX-License-Identifier: MIT
// Matrix products of any size, strides and floating-point format, over a pool of threads.
#ifndef MILO_KERNELS_GEMM_H
#define MILO_KERNELS_GEMM_H

#include "base/pool.h"
#include "kernels/kernels.h"

// cblas_sgemm.
typedef void milo_sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k,
                           float alpha, const float *a, int lda, const float *b, int ldb,
                           float beta, float *c, int ldc);

// What a kernel driver runs on. pool may be NULL; sgemm is NULL unless BLAS is to be used where it
// can (kernels/blas.h).
typedef struct milo_exec {
  const milo_kernels *kernels;
  milo_pool *pool;
  milo_sgemm_fn *sgemm;
} milo_exec;

// An operand: fp32, fp16 or bf16; row i, column j at data + (i * rs + j * cs) elements.
typedef struct milo_matrix {
  const void *data;
  milo_dtype dtype;
  ptrdiff_t rs, cs;
} milo_matrix;

typedef struct milo_gemm {
  size_t m, n, k, batch;
  milo_matrix a, b;                  // m x k, k x n
  ptrdiff_t a_step, b_step, c_step;  // elements from one matrix of the batch to the next
  size_t ldc;
  bool add;  // c += instead of c =
} milo_gemm;

// c[z][i][j] = (add: +=) sum over p of a[z][i][p] * b[z][p][j], z < batch; c fp32, unit column
// stride, must not overlap a or b. Sums run over p in blocks, in an order that depends on the sizes
// only. m, n, batch may be 0; k = 0 gives zeros. data pointers in g may be left NULL and are taken
// from the arguments. workspace: milo_gemm_workspace_bytes, 64-byte aligned.
void milo_gemm_run(const milo_exec *exec, const milo_gemm *g, const void *a, const void *b,
                   float *c, void *workspace);
size_t milo_gemm_workspace_bytes(const milo_exec *exec, const milo_gemm *g);

#endif
