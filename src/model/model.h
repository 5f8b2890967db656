// SPDX-License-Identifier: MIT
// A model: its description and its weights in fp32.
//
// Weights are [out, in]: y = x w^T. All layers of a kind lie together, each layer at a multiple of
// 64 bytes (the gaps are zero and stay zero under any optimizer whose update of zeros is zero).
#ifndef MILO_MODEL_MODEL_H
#define MILO_MODEL_MODEL_H

#include "base/pool.h"
#include "base/status.h"

typedef enum milo_weight_id {
  MILO_WEIGHT_embedding,   // [vocab, dim]; the classifier too unless untied
  MILO_WEIGHT_att_norm,    // a layer: [dim]
  MILO_WEIGHT_wq,          // a layer: [heads * head_dim, dim]
  MILO_WEIGHT_wk,          // a layer: [kv_heads * head_dim, dim]
  MILO_WEIGHT_wv,          // a layer: [kv_heads * head_dim, dim]
  MILO_WEIGHT_wo,          // a layer: [dim, heads * head_dim]
  MILO_WEIGHT_q_norm,      // a layer: [head_dim], only with qk_norm
  MILO_WEIGHT_k_norm,      // a layer: [head_dim], only with qk_norm
  MILO_WEIGHT_ffn_norm,    // a layer: [dim]
  MILO_WEIGHT_w1,          // a layer: [hidden, dim]; ffn = w2 (silu(w1 x) * (w3 x))
  MILO_WEIGHT_w2,          // a layer: [dim, hidden]
  MILO_WEIGHT_w3,          // a layer: [hidden, dim]
  MILO_WEIGHT_final_norm,  // [dim]
  MILO_WEIGHT_classifier,  // [vocab, dim], only if untied
  MILO_WEIGHT_COUNT,
} milo_weight_id;

typedef struct milo_weight {
  const char *name;  // as in the enumeration
  bool present;      // all below is 0 if not
  bool per_layer;
  int rank;         // 1 or 2; weight decay acts on matrices only
  int64_t dims[2];  // of one layer
  size_t layers;    // 1 for those that are not per layer
  size_t elements;  // of one layer
  size_t stride;    // elements from one layer to the next, >= elements
  size_t offset;    // of the first layer in the model's block, in elements
} milo_weight;

struct milo_model {
  milo_model_config config;
  milo_weight weights[MILO_WEIGHT_COUNT];
  float *block;           // all weights, 64-byte aligned
  size_t block_elements;  // gaps included
};

// The layout alone. MILO_ERR_INVALID if the weights do not fit in memory's address space.
MILO_MUST_USE milo_status milo_model_layout(const milo_model_config *config, milo_diag *diag,
                                            milo_weight weights[MILO_WEIGHT_COUNT],
                                            size_t *out_block_elements);
// All weights zero. config need not be complete.
MILO_MUST_USE milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                                           milo_model **out_model);
// normal(0, 0.02), wo and w2 times 1/sqrt(2 layers), norms 1. Weight i of kind k is a function of
// (seed, k, i) alone: the same bits everywhere, for any number of threads. pool may be NULL.
void milo_model_randomize(milo_model *model, uint64_t seed, milo_pool *pool);
// Weights of one layer (0 for those that are not per layer).
float *milo_model_weight(const milo_model *model, milo_weight_id id, size_t layer);
// Elements without gaps.
size_t milo_model_elements(const milo_model *model);
// Name of the first weight that is not finite, NULL if all are.
const char *milo_model_find_nonfinite(const milo_model *model);

#endif
