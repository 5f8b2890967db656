// SPDX-License-Identifier: MIT
// The training loop: steps, evaluation, reports, checkpoints, stopping and resuming, of any task.
#ifndef MILO_TRAIN_LOOP_H
#define MILO_TRAIN_LOOP_H

#include "train/task.h"

// Trains the task's parameters in place. options: all fields of this version present, not
// completed. device is options->device, opened.
//
// MILO_ERR_INTERRUPTED  told to stop before the last step; the state is saved
// MILO_ERR_NUMERIC      loss or gradient is not finite; nothing is saved, the parameters are those
//                       before that step
MILO_MUST_USE milo_status milo_loop_run(milo_device *device, milo_task *task,
                                        const milo_train_options *options, milo_diag *diag,
                                        milo_train_result *out_result);

#endif
