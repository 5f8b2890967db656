// SPDX-License-Identifier: MIT
// Writing the program of a kernel: parts by name, baked weights, and what several kernels share.
// Only operations that the Neural Engine's compilers are known to take are used: reshape,
// slice_by_size, transpose, concat, conv, matmul, softmax, reduce_sum, add, sub, mul, pow, sigmoid,
// cast. For the files of this folder.
#ifndef MILO_PLAN_BUILD_H
#define MILO_PLAN_BUILD_H

#include "ir/builder.h"
#include "plan/kernel.h"

typedef struct milo_kernel_builder {
  milo_builder b;
  const milo_plan_kernel *kernel;
  const milo_plan_shape *shape;
  const milo_model *model;  // NULL: weights are references
  size_t layer;
  milo_layout in, out;
  milo_value *inputs[MILO_KERNEL_MAX_PARTS];  // of packed inputs the first
  milo_value *outputs[MILO_KERNEL_MAX_PARTS];
} milo_kernel_builder;

// One function a row of kernels.def.
typedef void milo_kernel_emit(milo_kernel_builder *k);
#define KERNEL(id, ...) milo_kernel_emit milo_kernel_emit_##id;
#include "plan/kernels.def"

// The input's part of that name, [1, channels, 1, columns]; NULL if the model has no such part.
milo_value *milo_kernel_in(milo_kernel_builder *k, const char *name);
// Gives the output's part of that name; not done for parts that the model does not have.
void milo_kernel_out(milo_kernel_builder *k, const char *name, milo_value *value);

// A baked weight as a tensor of that shape: the stored one's rows from `first` on, as many as the
// shape takes, transposed or not. NULL if the model has no such.
milo_value *milo_kernel_baked(milo_kernel_builder *k, milo_tensor_id id, bool transposed,
                              int64_t first, const milo_type *type);
// A matrix as the weight of a 1x1 convolution, and the convolution of x with it.
milo_value *milo_kernel_linear(milo_kernel_builder *k, milo_value *x, milo_tensor_id id,
                               bool transposed);
// A vector as [1, n, 1, 1].
milo_value *milo_kernel_vector(milo_kernel_builder *k, milo_tensor_id id);
// A part of a column-packed input as a matrix [1, 1, channels, columns].
milo_value *milo_kernel_matrix(milo_kernel_builder *k, const char *name);
// weight^T x (weight x if plain) of such matrices, as [1, channels, 1, S].
milo_value *milo_kernel_product(milo_kernel_builder *k, milo_value *weight, milo_value *x,
                                bool plain);

// x / rms(x) * weight along an axis; weight may be NULL.
milo_value *milo_kernel_rms_norm(milo_kernel_builder *k, milo_value *x, int axis,
                                 milo_value *weight);
// (mean of x^2 along the axis + epsilon)^-1/2.
milo_value *milo_kernel_rms_factor(milo_kernel_builder *k, milo_value *x, int axis);
milo_value *milo_kernel_sum(milo_kernel_builder *k, milo_value *x, int axis);
milo_value *milo_kernel_silu_gate(milo_kernel_builder *k, milo_value *h1, milo_value *h3);
milo_value *milo_kernel_reshape(milo_kernel_builder *k, milo_value *x, int64_t a, int64_t b,
                                int64_t c, int64_t d);
milo_value *milo_kernel_slice(milo_kernel_builder *k, milo_value *x, int axis, int64_t begin,
                              int64_t size);
// [1, heads * HD, 1, S] normalised per head, and turned by RoPE.
milo_value *milo_kernel_head_norm(milo_kernel_builder *k, milo_value *x, int64_t heads,
                                  milo_value *weight);
milo_value *milo_kernel_rope(milo_kernel_builder *k, milo_value *x, int64_t heads);

// ---- attention, heads of [1, heads * HD, 1, S]; kv_heads divide heads, kv head h / (heads /
// kv_heads) belongs to head h ----

// softmax(q k^T / sqrt(HD) + causal mask), [1, heads, S, S].
milo_value *milo_kernel_probabilities(milo_kernel_builder *k, milo_value *q, milo_value *key,
                                      int64_t kv_heads);
// p v, [1, heads * HD, 1, S].
milo_value *milo_kernel_attend(milo_kernel_builder *k, milo_value *p, milo_value *v,
                               int64_t kv_heads);
// q, k, v, da -> dv, probs, dp; probs, dp, q, k -> dq, dk.
void milo_kernel_attention_bwd1(milo_kernel_builder *k, milo_value *da, int64_t kv_heads);
void milo_kernel_attention_bwd2(milo_kernel_builder *k, int64_t kv_heads);

#endif
