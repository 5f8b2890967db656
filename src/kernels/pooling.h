// SPDX-License-Identifier: MIT
// Pooling of planes with one to three axes, and its gradients; see ops.def for what they are.
#ifndef MILO_KERNELS_POOLING_H
#define MILO_KERNELS_POOLING_H

#include "kernels/gemm.h"

enum { MILO_POOLING_AXES = 3 };  // leading ones where there are fewer

typedef enum milo_pooling_kind {
  MILO_POOLING_MAX,      // NaN where the window has one; -inf for none at all
  MILO_POOLING_AVERAGE,  // 0 for none at all
  MILO_POOLING_L2,
} milo_pooling_kind;

// Window position s reads elements s * stride - before up to kernel of them, those that the plane
// has. All sizes but planes and size are > 0.
typedef struct milo_pooling {
  milo_pooling_kind kind;
  bool exclude_padding;  // an average counts elements of the plane only
  size_t planes;
  size_t size[MILO_POOLING_AXES], kernel[MILO_POOLING_AXES], positions[MILO_POOLING_AXES],
      stride[MILO_POOLING_AXES];
  size_t before[MILO_POOLING_AXES], behind[MILO_POOLING_AXES];  // padding
  milo_dtype dtype;  // fp32, fp16 or bf16, of all operands
} milo_pooling;

// Are the padding and the window in proportion to the plane?
bool milo_pooling_takes(const milo_pooling *pooling);

// Planes lie one after the other, dense. workspace: milo_pooling_workspace_bytes, 64-byte aligned.
void milo_pooling_run(const milo_exec *exec, const milo_pooling *pooling, const void *x, void *out,
                      void *workspace);
// dx from the result's gradient; x is read by MILO_POOLING_MAX only. Not of MILO_POOLING_L2.
void milo_pooling_grad_run(const milo_exec *exec, const milo_pooling *pooling, const void *grad,
                           const void *x, void *dx, void *workspace);
size_t milo_pooling_workspace_bytes(const milo_exec *exec, const milo_pooling *pooling);

#endif
