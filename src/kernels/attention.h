// SPDX-License-Identifier: MIT
// Attention and its gradient, block by block of queries: the scores of all heads are never in
// memory at once.
#ifndef MILO_KERNELS_ATTENTION_H
#define MILO_KERNELS_ATTENTION_H

#include "kernels/gemm.h"

// Elements from one batch, head, position to the next; the last axis is contiguous. dtype: fp32,
// fp16 or bf16.
typedef struct milo_heads {
  ptrdiff_t batch, head, row;
  milo_dtype dtype;
} milo_heads;

typedef struct milo_attention {
  size_t batch, heads, kv_heads, queries, keys, head;  // heads: a multiple of kv_heads
  float scale;
  bool causal;
  milo_numeric mode;            // of the products; sums and exponentials are fp32
  milo_heads q, k, v, out;      // out: of the result and of its gradient's argument
  milo_heads grad, dq, dk, dv;  // gradient only
} milo_attention;

// out = softmax(scale q k^T + mask) v, lse [batch, heads, queries]: see ops.def. position: what is
// added to a query's index to compare it with a key's, in [-queries, keys]. A query that sees no
// key gives 0 and -inf. workspace: milo_attention_workspace_bytes.
void milo_attention_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                        const void *q, const void *k, const void *v, void *out, float *lse,
                        void *workspace);
size_t milo_attention_workspace_bytes(const milo_exec *exec, const milo_attention *a);

// Gradients of q, k and v from out's (grad), with the results out and lse of the forward run.
void milo_attention_grad_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                             const void *grad, const void *q, const void *k, const void *v,
                             const void *out, const float *lse, void *dq, void *dk, void *dv,
                             void *workspace);
size_t milo_attention_grad_workspace_bytes(const milo_exec *exec, const milo_attention *a);

#endif
