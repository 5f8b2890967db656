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
#include "model/stored.h"

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
  milo_type type;  // in fp32
  size_t layers;   // 1 for those that are not per layer
} milo_tensor;
// MILO_ERR_INVALID if a tensor, or all together, do not fit in memory's address space.
MILO_MUST_USE milo_status milo_model_tensor(const milo_model_config *config, milo_tensor_id id,
                                            milo_diag *diag, milo_tensor *out);

// All tensors of one kind together lie as stored[kind] says (stored.h).
struct milo_model {
  atomic_int refs;  // the client's and one of each session
  milo_model_config config;
  milo_params params;
  milo_stored stored[MILO_TENSOR_COUNT];
  size_t first[MILO_TENSOR_COUNT];   // the parameter of layer 0; layers follow each other
  size_t scales[MILO_TENSOR_COUNT];  // likewise, of int8's scales
};

// All weights zero. config need not be complete. stored: an entry a kind of tensor, of which those
// of rank 1 are fp32 whatever it says; NULL: all fp32. MILO_ERR_INVALID: a group does not divide.
MILO_MUST_USE milo_status milo_model_alloc_stored(const milo_model_config *config,
                                                  const milo_stored *stored, milo_diag *diag,
                                                  milo_model **out_model);
MILO_MUST_USE milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                                           milo_model **out_model);  // all fp32
uint64_t milo_model_weights(const milo_model *model);                // how many; scales are none
uint64_t milo_model_bytes(const milo_model *model);                  // of weights and scales
// Stores the weights otherwise from now on, rounding them; stored as above. A failure leaves all as
// it was. Nobody else may hold the model (sessions were compiled for its types).
MILO_MUST_USE milo_status milo_model_restore(milo_model *model, const milo_stored *stored,
                                             milo_diag *diag);
// count weights of one layer's tensor from the first-th on, from and to fp32 whatever they are
// stored in; whole rows where int8 is set. MILO_ERR_NUMERIC, nothing set, where the stored type
// cannot hold a value.
MILO_MUST_USE milo_status milo_model_get(const milo_model *model, milo_tensor_id id, size_t layer,
                                         size_t first, size_t count, float *out, milo_diag *diag);
MILO_MUST_USE milo_status milo_model_set(const milo_model *model, milo_tensor_id id, size_t layer,
                                         size_t first, size_t count, const float *values,
                                         milo_diag *diag);
// The scales of an int8 tensor, "NAME_scale", [rows, depth / group]; NULL for others.
const milo_parameter *milo_model_scale(const milo_model *model, milo_tensor_id id, size_t layer);
// One more reference, given back with milo_model_destroy.
void milo_model_retain(milo_model *model);
// normal(0, 0.02), wo and w2 times 1/sqrt(2 layers), norms 1. Weight i of kind k is a function of
// (seed, k, i) alone, for any number of threads. pool may be NULL.
// MILO_INIT_UNIFORM: see milo.h.
MILO_MUST_USE milo_status milo_model_randomize(milo_model *model, milo_init init, uint64_t seed,
                                               milo_pool *pool, milo_diag *diag);
// A tensor of one layer (0 for those that are not per layer); NULL if the model has no such.
const milo_parameter *milo_model_param(const milo_model *model, milo_tensor_id id, size_t layer);
// RoPE's angle of pair i of a head at a position: position * theta^(-2 i / head_dim).
double milo_model_angle(const milo_model_config *config, int64_t position, int64_t pair);
// The embedding, or the classifier's own tensor.
milo_tensor_id milo_model_classifier(const milo_model_config *config);
// The buffer of one tensor and, for int8, that of its scales, to out; returns how many.
size_t milo_model_tensor_buffers(const milo_model *model, milo_tensor_id id, size_t layer,
                                 milo_buffer **out);
// The buffers of a layer's tensors, in order, to out, those of int8 followed by their scales';
// returns how many there are.
enum { MILO_LAYER_BUFFERS = 2 * MILO_TENSOR_COUNT };
size_t milo_model_layer(const milo_model *model, size_t layer, milo_buffer **out);

#endif
