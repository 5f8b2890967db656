// SPDX-License-Identifier: MIT
// What a run of training trains: the loop (train/loop.h) knows parameters, batches and losses
// through this table, and nothing of models or programs.
#ifndef MILO_TRAIN_TASK_H
#define MILO_TRAIN_TASK_H

#include "base/stop.h"
#include "base/str.h"
#include "model/params.h"
#include "train/optimizer.h"

typedef struct milo_task milo_task;

typedef struct milo_task_type {
  // Of a resumed run, first of all: is `was`, the description in the checkpoint at path, of what is
  // trained now? MILO_ERR_INVALID, with what differs, if not.
  milo_status (*check_resumed)(const milo_task *task, const char *was, const char *path,
                               milo_diag *diag);
  // Copies options with the defaults filled in and checked.
  milo_status (*complete)(const milo_task *task, const milo_train_options *given, milo_diag *diag,
                          milo_train_options *out_options);
  // Compiles, allocates and fills in the fields below. options are complete, and live on.
  milo_status (*prepare)(milo_task *task, milo_device *device, const milo_train_options *options,
                         milo_diag *diag);
  // May be NULL. Of a run that begins after another program's: sets the parameters, the optimizer's
  // moments of order 1 and 2 (one a parameter) and the steps done.
  milo_status (*take_over)(milo_task *task, milo_buffer *const *const moments[2],
                           uint64_t *out_step, milo_diag *diag);
  // May be NULL. What is saved, where that is not what is trained: parameters, and moments of order
  // 1 and 2. widen makes them from the optimizer's before they are written; before they are read it
  // tells where to, and narrow then brings them back.
  milo_status (*widen)(milo_task *task, milo_buffer *const *const moments[2],
                       milo_params **out_params, milo_buffer *const *out_moments[2],
                       milo_diag *diag);
  milo_status (*narrow)(milo_task *task, milo_buffer *const *const moments[2], milo_diag *diag);
  // Sets the batch of the next run: number micro of a step's; number batch of the evaluation's.
  milo_status (*load)(milo_task *task, uint64_t step, size_t micro, milo_diag *diag);
  milo_status (*load_validation)(milo_task *task, size_t batch, milo_diag *diag);
  // Gradients of the runs that follow are multiplied by factor (train/scale.h); 1 at the beginning.
  milo_status (*set_scale)(milo_task *task, double factor, milo_diag *diag);
  // Starts a step's gradients, before its first batch.
  milo_status (*begin)(milo_task *task, milo_diag *diag);
  // Loss and gradients of the batch, which are added to the step's. *out_loss is set as soon as it
  // is known. MILO_ERR_INTERRUPTED, without a message, where stop said so.
  milo_status (*run)(milo_task *task, milo_diag *diag, double *out_loss);
  milo_status (*evaluate)(milo_task *task, milo_diag *diag, double *out_loss);  // the loss alone
  void (*set_stop)(milo_task *task, milo_stop stop);
  // Must the run go on in a new process, for this one may not compile what another step needs?
  // Saving fits in any case. NULL: never.
  bool (*is_spent)(const milo_task *task);
  // Writes into dir what others read: the result without what training needs.
  milo_status (*save)(const milo_task *task, const char *dir, milo_diag *diag);
  void (*describe)(const milo_task *task, milo_str *out);  // for the checkpoint
} milo_task_type;

// The first member of a task of some type, whose owner destroys it.
struct milo_task {
  const milo_task_type *type;
  // Filled in by prepare:
  milo_params *params;
  milo_buffer *const *gradients;  // one a parameter, NULL for those not trained
  milo_optimizer_rule rule;
  uint64_t data_checksum;
  double loss_units, val_units;  // what the losses of a step, of an evaluation, add up to
  size_t val_batches;            // 0: nothing is held back
  size_t samples;                // a step: tokens, rows
  const char *unit;              // what they are called
  double flops;                  // of training, a sample; 0: not known
};

#endif
