// SPDX-License-Identifier: MIT
// Attention of a few queries over many keys, what each generated token does: keys and values are
// read once, where they lie, in the type that they are kept in.
#ifndef MILO_KERNELS_ATTENTION_FEW_H
#define MILO_KERNELS_ATTENTION_FEW_H

#include "kernels/attention.h"
#include "kernels/few.h"

// As milo_attention_run (attention.h), with keys and values of type kv: fp32, fp16, bf16; a->mode
// does not matter. workspace: milo_attention_few_workspace_bytes.
void milo_attention_few_run(const milo_exec *exec, const milo_few *few, const milo_attention *a,
                            milo_dtype kv, int64_t position, const float *q, const void *k,
                            const void *v, float *out, float *lse, void *workspace);
size_t milo_attention_few_workspace_bytes(const milo_exec *exec, const milo_attention *a);

#endif
