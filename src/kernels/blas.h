// SPDX-License-Identifier: MIT
// The system's CBLAS, opened at run time: matrix products for processors that have no kernel set of
// their own here (AArch64, Apple's with Accelerate).
#ifndef MILO_KERNELS_BLAS_H
#define MILO_KERNELS_BLAS_H

#include "kernels/gemm.h"

// cblas_sgemm of OpenBLAS or Accelerate; NULL if there is none. The library stays loaded until the
// process ends. How many threads OpenBLAS uses stays as the host program has it; only while
// products of milo_blas_run run it is one, for threads are the pool's.
milo_sgemm_fn *milo_blas_open(void);

// Can exec's BLAS do this product: fp32, one dense axis an operand, sizes that fit an int, and
// large enough to be worth a call?
bool milo_blas_takes(const milo_exec *exec, const milo_gemm *g);
// As milo_gemm_run, for a product that it takes; what was packed ahead is not used. Tiles depend on
// the sizes only. workspace: milo_blas_workspace_bytes, 0 for a product that it does not take.
void milo_blas_run(const milo_exec *exec, const milo_gemm *g, const float *a, const float *b,
                   void *c, void *workspace);
size_t milo_blas_workspace_bytes(const milo_exec *exec, const milo_gemm *g);

#endif
