// SPDX-License-Identifier: MIT
// The training loop, see milo_train in milo.h.
#ifndef MILO_TRAIN_TRAIN_H
#define MILO_TRAIN_TRAIN_H

#include "device/device.h"
#include "model/pairs.h"

// device is options->device, opened. options: all fields of this version present, not completed.
//
// MILO_ERR_INTERRUPTED  on_step returned false before the last step; the state is saved
// MILO_ERR_NUMERIC      loss or gradient is not finite; nothing is saved, model holds the weights
//                       before that step
MILO_MUST_USE milo_status milo_train_run(milo_device *device, milo_model *model,
                                         const uint32_t *ids, size_t count,
                                         const milo_train_options *options, milo_diag *diag,
                                         milo_train_result *out_result);

// A model, or its shape alone, from the checkpoint in a folder that a run wrote: that file is
// complete and of one piece whenever the run was stopped.
MILO_MUST_USE milo_status milo_train_load_config(const char *dir, milo_diag *diag,
                                                 milo_model_config *out_config);
MILO_MUST_USE milo_status milo_train_load_model(const char *dir, milo_diag *diag,
                                                milo_model **out_model);

// The model and, of a run, its moments and where it stands; of a folder that holds a model alone
// (milo_train_save_model) *out_step is 0 and there are no moments. moments are the caller's.
typedef struct milo_train_position {
  uint64_t step, steps;  // done, wanted
  uint64_t updates;      // of the optimizer: steps without those that were skipped
  size_t accumulate;
  double lr, loss;  // the peak rate; the last step's loss
} milo_train_position;
MILO_MUST_USE milo_status milo_train_load_run(const char *dir, milo_diag *diag,
                                              milo_model **out_model, milo_moments *out_moments,
                                              milo_train_position *out_position);
// Makes the folder one that holds the model as a run's does, without a run to go on with.
// MILO_ERR_INVALID: it holds a run, and force is not set.
MILO_MUST_USE milo_status milo_train_save_model(const milo_model *model, const char *dir,
                                                bool force, milo_diag *diag);

#endif
