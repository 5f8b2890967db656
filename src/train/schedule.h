// SPDX-License-Identifier: MIT
// Options of a training run with the defaults filled in, and the learning rate.
#ifndef MILO_TRAIN_SCHEDULE_H
#define MILO_TRAIN_SCHEDULE_H

#include "base/status.h"

// Copies options (struct_bytes may be smaller than ours), fills in the defaults that milo.h states,
// turns the negative "off" values of weight_decay, val_fraction and min_lr_ratio into 0 (clip: into
// infinity), and checks everything. options may be NULL.
MILO_MUST_USE milo_status milo_train_options_complete(const milo_train_options *options,
                                                      const milo_model_config *model,
                                                      milo_diag *diag,
                                                      milo_train_options *out_options);

// Rate of step s = 0, 1, ..., steps - 1 (completed options):
//   lr * min(1, (s + 1) / warmup) * (r + (1 - r) * (1 + cos(pi * s / steps)) / 2),  r =
//   min_lr_ratio
// The cosine spans the whole run; the warm-up scales its start.
double milo_schedule_rate(const milo_train_options *options, uint64_t step);

#endif
