// SPDX-License-Identifier: MIT
// A Llama-style model: its description, and the parameter set that the description makes.
//
// Matrices are [out, in]: y = x w^T. Parameters are named as Hugging Face's checkpoints name them:
// "model.embed_tokens.weight", "model.layers.3.self_attn.q_proj.weight", ... The set holds all
// tensors of one kind together, layer by layer, in the order of the table below.
#ifndef MILO_MODEL_MODEL_H
#define MILO_MODEL_MODEL_H

#include <stdatomic.h>

#include "model/params.h"

typedef enum milo_tensor_id {
  MILO_TENSOR_embedding,   // [vocab, dim]; the classifier too unless untied
  MILO_TENSOR_att_norm,    // a layer: [dim]
  MILO_TENSOR_wq,          // a layer: [heads * head_dim, dim]
  MILO_TENSOR_wk,          // a layer: [kv_heads * head_dim, dim]
  MILO_TENSOR_wv,          // a layer: [kv_heads * head_dim, dim]
  MILO_TENSOR_wo,          // a layer: [dim, heads * head_dim]
  MILO_TENSOR_q_norm,      // a layer: [head_dim], only with qk_norm
  MILO_TENSOR_k_norm,      // a layer: [head_dim], only with qk_norm
  MILO_TENSOR_ffn_norm,    // a layer: [dim]
  MILO_TENSOR_w1,          // a layer: [hidden, dim]; ffn = w2 (silu(w1 x) * (w3 x))
  MILO_TENSOR_w2,          // a layer: [dim, hidden]
  MILO_TENSOR_w3,          // a layer: [hidden, dim]
  MILO_TENSOR_final_norm,  // [dim]
  MILO_TENSOR_classifier,  // [vocab, dim], only if untied
  MILO_TENSOR_COUNT,
} milo_tensor_id;

// A kind of tensor as a description has it.
typedef struct milo_tensor {
  const char *input;  // what programs call it: "wq"
  bool present;       // all below is 0 if not
  bool per_layer;
  milo_type type;  // fp32
  size_t layers;   // 1 for those that are not per layer
} milo_tensor;
// MILO_ERR_INVALID if a tensor, or all together, do not fit in memory's address space.
MILO_MUST_USE milo_status milo_model_tensor(const milo_model_config *config, milo_tensor_id id,
                                            milo_diag *diag, milo_tensor *out);

struct milo_model {
  atomic_int refs;  // the client's and one of each session
  milo_model_config config;
  milo_params params;
  size_t first[MILO_TENSOR_COUNT];  // the parameter of layer 0; layers follow each other
};

// All weights zero. config need not be complete.
MILO_MUST_USE milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                                           milo_model **out_model);
// One more reference, given back with milo_model_destroy.
void milo_model_retain(milo_model *model);
// normal(0, 0.02), wo and w2 times 1/sqrt(2 layers), norms 1. Weight i of kind k is a function of
// (seed, k, i) alone, for any number of threads. pool may be NULL.
MILO_MUST_USE milo_status milo_model_randomize(milo_model *model, uint64_t seed, milo_pool *pool,
                                               milo_diag *diag);
// A tensor of one layer (0 for those that are not per layer); NULL if the model has no such.
const milo_parameter *milo_model_param(const milo_model *model, milo_tensor_id id, size_t layer);
// RoPE's angle of pair i of a head at a position: position * theta^(-2 i / head_dim).
double milo_model_angle(const milo_model_config *config, int64_t position, int64_t pair);
// The embedding, or the classifier's own tensor.
milo_tensor_id milo_model_classifier(const milo_model_config *config);
// The buffers of a layer's tensors, in order, to out; returns how many there are.
size_t milo_model_layer(const milo_model *model, size_t layer, milo_buffer **out);

#endif
