// SPDX-License-Identifier: MIT
// Vocabulary compaction: a model of the tokens that occur in the data only. Its embedding (and
// classifier) hold their rows; all other tensors are the whole model's own. What is trained in it
// goes back into the whole model's rows; those of other tokens stay as they are, with moments of 0.
#ifndef MILO_TRAIN_COMPACT_H
#define MILO_TRAIN_COMPACT_H

#include "model/pairs.h"

typedef struct milo_compact {
  milo_model *whole;  // retained
  milo_model *model;  // of `count` tokens; its parameters are in the order of the whole's
  uint32_t *tokens;   // of the whole vocabulary, rising: row i is tokens[i]
  size_t count;
  uint32_t *ids;  // the data in the compact vocabulary
  // One a parameter: the compact model's own but for the tensors above, which have buffers here.
  milo_buffer **moments[2];
} milo_compact;

// Every id is below the whole's vocabulary. The model is fp32.
MILO_MUST_USE milo_status milo_compact_create(milo_model *whole, const uint32_t *ids, size_t count,
                                              milo_diag *diag, milo_compact **out);
void milo_compact_destroy(milo_compact *compact);  // NULL allowed

// The rows of the compact model's tensors to the whole's, and with moments (one a parameter, of
// order 1 and 2, may be NULL) compact->moments made from them.
MILO_MUST_USE milo_status milo_compact_widen(milo_compact *compact,
                                             milo_buffer *const *const moments[2], milo_diag *diag);
// Back: from the whole's tensors, and from compact->moments.
MILO_MUST_USE milo_status milo_compact_narrow(milo_compact *compact,
                                              milo_buffer *const *const moments[2],
                                              milo_diag *diag);

#endif
