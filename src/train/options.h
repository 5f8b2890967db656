// SPDX-License-Identifier: MIT
// Options of a training run with the defaults filled in.
#ifndef MILO_TRAIN_OPTIONS_H
#define MILO_TRAIN_OPTIONS_H

#include "base/status.h"

// Copies options (struct_bytes may be smaller than ours), fills in the defaults that milo.h states,
// turns the negative "off" values of weight_decay, val_fraction and min_lr_ratio into 0 (clip: into
// infinity), and checks everything. options may be NULL.
MILO_MUST_USE milo_status milo_train_options_complete(const milo_train_options *options,
                                                      const milo_model_config *model,
                                                      milo_diag *diag,
                                                      milo_train_options *out_options);

// Fills in precision and loss_scale, of any task's options.
void milo_train_options_precision(milo_train_options *options);
// The same and those of schedule and optimizer.
void milo_train_options_kinds(milo_train_options *options);

// Ranges of everything but seq, of any task's completed options.
MILO_MUST_USE milo_status milo_train_options_check(const milo_train_options *options,
                                                   milo_diag *diag);

#endif
