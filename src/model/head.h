// SPDX-License-Identifier: MIT
// The end of a model over many rows: final norm, classifier and cross-entropy, a part of the rows
// at a time, so that the logits of all of them never exist together.
#ifndef MILO_MODEL_HEAD_H
#define MILO_MODEL_HEAD_H

#include "base/stop.h"
#include "model/model.h"

// Rows are taken `part` at a time, and `last` (1 to part) at the end, in as few parts as keep the
// logits of each below 64 MiB (a part is at least one row). A part and the last differ by less than
// the number of parts, so that any count of rows costs in proportion.
typedef struct milo_row_parts {
  size_t rows, part, last;
} milo_row_parts;
milo_row_parts milo_row_parts_make(size_t rows, size_t vocab);  // both > 0

// Buffers of all rows: x [rows, D], target int32 [rows], losses [rows]; for gradients, else NULL:
// dx [rows, D], and what the gradients of the norm and the classifier are added to. Kept alive.
typedef struct milo_head_buffers {
  milo_buffer *x, *target, *losses, *dx, *norm_sum, *classifier_sum;
} milo_head_buffers;

typedef struct milo_head milo_head;
// add: gradients are added to the sums even if all rows are one part (several parts always are).
// seed: the gradient of each row's loss. precision: of what lies between x and the loss.
MILO_MUST_USE milo_status milo_head_create(milo_device *device, const milo_model *model,
                                           size_t rows, const milo_head_buffers *buffers, bool add,
                                           double seed, milo_precision precision, milo_diag *diag,
                                           milo_head **out_head);
void milo_head_destroy(milo_head *head);  // NULL allowed
// Gradients of the runs that follow are those of seed * factor.
MILO_MUST_USE milo_status milo_head_set_scale(milo_head *head, double factor, milo_diag *diag);
// Do runs add to the sums?
bool milo_head_adds(const milo_head *head);
// The losses, and with gradients everything backward. stop: asked between parts, the run then ends
// with MILO_ERR_INTERRUPTED, which nothing reports.
MILO_MUST_USE milo_status milo_head_run(milo_head *head, milo_stop stop, milo_diag *diag);

#endif
