// SPDX-License-Identifier: MIT
// Checkpoints: everything a training run needs to go on as if it had never stopped. Data order and
// sampling have no state of their own beyond the step.
#ifndef MILO_TRAIN_CHECKPOINT_H
#define MILO_TRAIN_CHECKPOINT_H

#include "model/model.h"
#include "train/store.h"

// Where a run stands.
typedef struct milo_train_state {
  uint64_t step;           // done
  double best_val_loss;    // infinity: none yet
  uint64_t data_checksum;  // of the tokens
  // The last step's, for its report, which has yet to come if the run was stopped before.
  double loss, grad_norm;
  bool unreported;
} milo_train_state;

// Writes dir/checkpoint.milo atomically. first, second: moments laid out like the model's block.
MILO_MUST_USE milo_status milo_checkpoint_write(const char *path, const milo_model *model,
                                                const milo_train_options *options,
                                                const milo_train_state *state, const float *first,
                                                const float *second, milo_diag *diag);

// The shape of the model in a checkpoint.
MILO_MUST_USE milo_status milo_checkpoint_config(const milo_store *store, milo_diag *diag,
                                                 milo_model_config *out_config);
// Options that shape a run and are still 0 in options ("the default") are taken from the
// checkpoint; those that are set and differ are refused, as is another model (all by name), but for
// steps, which may grow.
// options: as given, not completed. config: complete.
MILO_MUST_USE milo_status milo_checkpoint_options(const milo_store *store,
                                                  const milo_model_config *config,
                                                  milo_train_options *options, milo_diag *diag);
// Reads what was written; model has the shape that milo_checkpoint_options has agreed to.
MILO_MUST_USE milo_status milo_checkpoint_read(const milo_store *store, milo_model *model,
                                               float *first, float *second,
                                               milo_train_state *out_state, milo_diag *diag);

#endif
