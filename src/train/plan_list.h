// SPDX-License-Identifier: MIT
// The programs that a plan cuts a step into, see milo_plan_list in milo.h.
#ifndef MILO_TRAIN_PLAN_LIST_H
#define MILO_TRAIN_PLAN_LIST_H

#include "device/device.h"

// config: complete. options: all fields of this version present. device: see
// milo_fused_build_layer. describe: makes a program ready for clients.
MILO_MUST_USE milo_status milo_plan_list_run(milo_device *device, const milo_model_config *config,
                                             const milo_plan_list_options *options,
                                             void (*describe)(milo_program *program),
                                             milo_diag *diag);

#endif
