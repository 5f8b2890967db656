// SPDX-License-Identifier: MIT
// Training any MIL program, see milo_fit in milo.h.
#ifndef MILO_TRAIN_FIT_H
#define MILO_TRAIN_FIT_H

#include "device/device.h"

// Writes a program to path, constants where they are now (in the text, in a blob file).
typedef milo_status milo_fit_save_fn(const milo_program *program, const char *path,
                                     milo_diag *diag);

// Trains func and puts the weights into it, also when training is stopped. device is
// options->device, opened. options: all fields of this version present.
MILO_MUST_USE milo_status milo_fit_run(milo_device *device, milo_func *func,
                                       const milo_fit_data *data, size_t data_count,
                                       const milo_fit_options *options, milo_fit_save_fn *save,
                                       milo_diag *diag, milo_train_result *out_result);

#endif
