// SPDX-License-Identifier: MIT
// BLZT checkpoints, those of the trainer on Apple's Neural Engine that Milo rebuilds: a header of
// 96 bytes (struct blzt_header in blzt.c), then fp32: of each layer wq wk wv wo w1 w2 w3 att_norm
// ffn_norm, then both moments of each in that order; final_norm and its moments; the embedding and
// its moments.
//
// Version 2 is of its static pipeline: as many kv heads as heads, head_dim = dim / heads, and no
// RoPE, though the weights that it begins with were trained with it. Milo computes RoPE for it, as
// for any other model. Version 4 is of the dynamic one: branches times 1/sqrt(2 layers). Both have
// adjacent RoPE pairs with theta 10,000, epsilon 1e-5, and a tied classifier.
#ifndef MILO_MODEL_BLZT_H
#define MILO_MODEL_BLZT_H

#include "model/pairs.h"

// Where its run stands.
typedef struct milo_blzt_run {
  uint32_t version;             // 2, 4
  uint32_t step, total_steps;   // micro-batches
  uint32_t updates;             // of the optimizer (adam_t)
  uint32_t all_steps, batches;  // cumulative over restarts
  float lr, loss;
  double compile_ms, train_ms, wall_ms;  // cumulative
} milo_blzt_run;

// Does the file begin as one? No for what is no regular file: a pipe is read once.
MILO_MUST_USE milo_status milo_blzt_is(const char *path, milo_diag *diag, bool *out);
// moments, run: may be NULL. The file's length must be what its header asks for, and every number
// finite. moments are the caller's also after a failure.
MILO_MUST_USE milo_status milo_blzt_read(const char *path, milo_diag *diag, milo_model **out_model,
                                         milo_moments *out_moments, milo_blzt_run *out_run);
// NULL if that version can hold such a model; else what stands against it.
const char *milo_blzt_obstacle(const milo_model_config *config, uint32_t version);
// Atomic. moments NULL: zeros. MILO_ERR_UNSUPPORTED if there is an obstacle.
MILO_MUST_USE milo_status milo_blzt_write(const milo_model *model, const milo_moments *moments,
                                          const milo_blzt_run *run, const char *path,
                                          milo_diag *diag);

#endif
