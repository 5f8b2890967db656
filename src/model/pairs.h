// SPDX-License-Identifier: MIT
// The two pairings of RoPE. Adjacent (llama2.c, BLZT) turns elements 2i and 2i + 1 of a head
// together, half (Hugging Face) i and i + head_dim / 2. Reordering the rows of wq and wk within
// each head, and the weights of q_norm and k_norm, goes from one to the other exactly: every sum of
// q times k has the same terms.
#ifndef MILO_MODEL_PAIRS_H
#define MILO_MODEL_PAIRS_H

#include "model/model.h"

// Two buffers a parameter, of the moments of first and second order; NULL: none.
typedef struct milo_moments {
  milo_buffer **of[2];
  size_t count;
} milo_moments;
MILO_MUST_USE milo_status milo_moments_alloc(const milo_params *params, milo_diag *diag,
                                             milo_moments *out);
void milo_moments_deinit(milo_moments *moments);

// Gives the model, and its moments if it has some, that pairing; nothing is done where it has it.
MILO_MUST_USE milo_status milo_model_set_pairs(milo_model *model, const milo_moments *moments,
                                               bool half, milo_diag *diag);

#endif
