// SPDX-License-Identifier: MIT
// The training loop, see milo_train in milo.h.
#ifndef MILO_TRAIN_TRAIN_H
#define MILO_TRAIN_TRAIN_H

#include "device/device.h"
#include "model/model.h"

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

#endif
