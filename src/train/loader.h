// SPDX-License-Identifier: MIT
// Which tokens a step sees: windows at random places of the training part, windows at fixed places
// of the held-back part. Every window is a pure function of (seed, step, row): a run that resumes
// needs the step's number only.
#ifndef MILO_TRAIN_LOADER_H
#define MILO_TRAIN_LOADER_H

#include "base/status.h"

typedef struct milo_loader {
  const uint32_t *ids;  // borrowed
  size_t train_count;   // the first tokens; the rest is held back
  size_t val_count;     // 0 if the held-back part is shorter than a window
  size_t seq, rows;     // rows: windows a step, all micro-batches together
  size_t val_rows;      // validation windows in all
  uint64_t seed;
  uint64_t checksum;  // of all ids: tells one data set from another
} milo_loader;

// options: completed. Checks that every id is below vocab and that there is a window to train on.
MILO_MUST_USE milo_status milo_loader_init(milo_loader *loader, const uint32_t *ids, size_t count,
                                           size_t vocab, const milo_train_options *options,
                                           milo_diag *diag);
// Windows [row, row + count) of a step: tokens and targets are [count, seq]; targets are the tokens
// one place further. The window of row r starts at milo_rng_below(seed, 1, step * rows + r,
// train_count - seq).
void milo_loader_batch(const milo_loader *loader, uint64_t step, size_t row, size_t count,
                       int32_t *tokens, int32_t *targets);
// Validation windows [row, row + count), evenly spread over the held-back part; row counts round.
void milo_loader_validation(const milo_loader *loader, size_t row, size_t count, int32_t *tokens,
                            int32_t *targets);

#endif
