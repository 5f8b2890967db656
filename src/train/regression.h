// SPDX-License-Identifier: MIT
// A smoke test of a device: one layer learns made-up numbers, see milo_train_regression in milo.h.
#ifndef MILO_TRAIN_REGRESSION_H
#define MILO_TRAIN_REGRESSION_H

#include "device/device.h"

// config: complete. options: all fields of this version present, not completed.
MILO_MUST_USE milo_status milo_regression_run(milo_device *device, const milo_model_config *config,
                                              const milo_train_options *options, milo_diag *diag,
                                              milo_train_result *out_result);

#endif
