// SPDX-License-Identifier: MIT
// Checkpoints: everything a training run needs to go on as if it had never stopped. Data order and
// sampling have no state of their own beyond the step.
//
// A checkpoint is a safetensors file (model/safetensors.h, with a checksum): the parameters under
// their own names, the moments as "adamw.m.<name>" and "adamw.v.<name>", or "sgd.momentum.<name>"
// (which "adamw.m.<name>" is read for too: it was called that once), and as metadata "format"
// ("milo.checkpoint.2"), "model" (its description), the step, the options. So any reader of such
// files finds the weights in it.
#ifndef MILO_TRAIN_CHECKPOINT_H
#define MILO_TRAIN_CHECKPOINT_H

#include "model/params.h"
#include "model/safetensors.h"
#include "train/scale.h"

// Where a run stands.
typedef struct milo_train_state {
  uint64_t step;           // done
  uint64_t begun;          // done before this run, by the program that it went on from
  double best_val_loss;    // infinity: none yet
  uint64_t data_checksum;  // of the data
  // The last step's, for its report, which has yet to come if the run was stopped before.
  double loss, grad_norm;
  bool unreported;
  milo_loss_scale scale;
} milo_train_state;

// What is saved. moments: of order 1 and 2, one a parameter, NULL for those not trained.
typedef struct milo_checkpoint {
  milo_params *params;
  milo_buffer *const *moments[2];
  const char *moment_prefix[2];
  const char *model;  // description of what is trained
} milo_checkpoint;

// Writes path atomically. options: completed.
MILO_MUST_USE milo_status milo_checkpoint_write(const char *path, const milo_checkpoint *what,
                                                const milo_train_options *options,
                                                const milo_train_state *state, milo_diag *diag);

// The parameters and their description alone: a model, which no run goes on from.
MILO_MUST_USE milo_status milo_checkpoint_write_model(const char *path, const milo_params *params,
                                                      const char *model, milo_diag *diag);

// Opens a checkpoint; MILO_ERR_INVALID if the file is something else.
MILO_MUST_USE milo_status milo_checkpoint_open(const char *path, milo_diag *diag,
                                               milo_safetensors **out_file);
// Does a run go on from it?
bool milo_checkpoint_has_run(const milo_safetensors *file);
// The description that was given when it was written.
const char *milo_checkpoint_model(const milo_safetensors *file);
// Options that shape a run and are still 0 in options ("the default") are taken from the
// checkpoint; those that are set and differ are refused by name, but for steps, which may grow.
// options: as given, not completed.
MILO_MUST_USE milo_status milo_checkpoint_options(const milo_safetensors *file,
                                                  milo_train_options *options, milo_diag *diag);
// out_state->scale stays as it is where the file is older than loss scaling; whether it is dynamic
// goes by the options.
MILO_MUST_USE milo_status milo_checkpoint_read(const milo_safetensors *file,
                                               const milo_checkpoint *what,
                                               milo_train_state *out_state, milo_diag *diag);
// The parameters alone.
MILO_MUST_USE milo_status milo_checkpoint_params(const milo_safetensors *file, milo_params *params,
                                                 milo_diag *diag);

#endif
