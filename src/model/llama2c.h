// SPDX-License-Identifier: MIT
// llama2.c model files, little-endian fp32.
//
// Version 0: seven int32 (dim, hidden, layers, heads, kv heads, vocabulary - negative if the
// classifier has weights of its own -, sequence), then embedding; of all layers att_norm, wq, wk,
// wv, wo, ffn_norm, w1, w2, w3; final_norm; two tables of seq * head_dim / 2 (cos and sin of RoPE,
// written but not read); classifier if not tied.
// Version 1: a header of 256 bytes (u32 "ak42" = 0x616b3432, i32 version 1, the seven int32, u8
// classifier is tied, zeros), then of all layers att_norm, ffn_norm; final_norm; embedding; of all
// layers wq, wk, wv, wo, w1, w2, w3; classifier if not tied.
// Both imply adjacent RoPE pairs with theta 10,000, epsilon 1e-5, head_dim = dim / heads and
// residual_scale 1.
#ifndef MILO_MODEL_LLAMA2C_H
#define MILO_MODEL_LLAMA2C_H

#include "model/model.h"

// The file's size is checked against its header before anything is allocated.
MILO_MUST_USE milo_status milo_llama2c_read(const char *path, milo_diag *diag,
                                            milo_model **out_model);
// NULL if the format can hold such a model; else what stands against it ("rope_half is set").
const char *milo_llama2c_obstacle(const milo_model_config *config);
// Atomic. MILO_ERR_UNSUPPORTED if there is an obstacle.
MILO_MUST_USE milo_status milo_llama2c_write(const milo_model *model, const char *path,
                                             bool version1, milo_diag *diag);

#endif
