// SPDX-License-Identifier: MIT
// The parts of a Llama-style transformer as MIL functions, computed in fp32, with static shapes.
//
// Weights are typed as they are stored (stored: an entry a kind of tensor; NULL: all fp32): a bf16
// or fp16 one is followed by a cast, an int8 one, which has a second input "NAME_scale", by
// scale_blocks. Gradients can be taken of fp32 weights only.
//
// D = dim, V = vocab, N = tokens in all, HD = head_dim; weights are inputs named as in model.h. One
// function of each kind serves all layers. Each call adds one function to program; out_func is
// borrowed from it.
#ifndef MILO_MODEL_BLOCKS_H
#define MILO_MODEL_BLOCKS_H

#include "ir/ir.h"
#include "model/model.h"

// Row i of an embedding for each token.
//   tokens int32 [N], embedding [V, D] [, embedding_scale] -> x [N, D]
MILO_MUST_USE milo_status milo_block_embed(milo_program *program, const milo_model_config *config,
                                           const milo_stored *stored, int64_t count,
                                           milo_diag *diag, milo_func **out_func);

// One layer over batch sequences of seq tokens, positions from 0:
//   h = x + a wo attention(rope(wq n), rope(wk n), wv n),  n = rms_norm(x, att_norm)
//   y = h + a w2 (silu(w1 m) * (w3 m)),                    m = rms_norm(h, ffn_norm)
// with a = residual_scale
//   x [batch * seq, D], the layer's weights in the order of model.h, each followed by its scales
//   where it has such -> y [batch * seq, D]
MILO_MUST_USE milo_status milo_block_layer(milo_program *program, const milo_model_config *config,
                                           const milo_stored *stored, int64_t batch, int64_t seq,
                                           milo_diag *diag, milo_func **out_func);

// The roles of a layer's inputs: the weights are parameters.
extern const milo_role milo_block_layer_roles[1 + MILO_LAYER_BUFFERS];

// The same layer over count new tokens of one sequence whose earlier keys and values are cached, in
// caches with room for `room` tokens.
//   x [count, D], key_cache, value_cache [1, kv_heads, room, HD] of type cache (fp32, fp16, bf16:
//   keys and values are rounded as they go in), position int32 [] (of the first
//   token), positions int32 [count] (position + 0, 1, ...), cos, sin [count, HD/2] (of the angles
//   of these positions, see milo_model_angle), weights
//   -> y [count, D], key_cache, value_cache with the new rows (inputs 1, 2 may be donated to
//   outputs 1, 2)
MILO_MUST_USE milo_status milo_block_layer_cached(milo_program *program,
                                                  const milo_model_config *config,
                                                  const milo_stored *stored, milo_dtype cache,
                                                  int64_t count, int64_t room, milo_diag *diag,
                                                  milo_func **out_func);

// Final norm and classifier.
//   x [count, D], final_norm [D], classifier [V, D] [, classifier_scale] -> logits [count, V]
MILO_MUST_USE milo_status milo_block_logits(milo_program *program, const milo_model_config *config,
                                            const milo_stored *stored, int64_t count,
                                            milo_diag *diag, milo_func **out_func);

// The same and the cross-entropy of each row.
//   x [count, D], final_norm [D], classifier [V, D], target int32 [count] [, classifier_scale] ->
//   loss [count]
MILO_MUST_USE milo_status milo_block_loss(milo_program *program, const milo_model_config *config,
                                          const milo_stored *stored, int64_t count, milo_diag *diag,
                                          milo_func **out_func);

// Makes output `output` of a differentiated func `new parameter + output`, for gradients that are
// summed. The parameter is func's last, called "sum_" and name: no weight begins like that.
MILO_MUST_USE milo_status milo_block_add_sum(milo_func *func, size_t output, const char *name,
                                             milo_diag *diag);

#endif
