// SPDX-License-Identifier: MIT
// The model over whole batches, without gradients: cross-entropy of every token.
#ifndef MILO_GENERATE_FORWARD_H
#define MILO_GENERATE_FORWARD_H

#include "base/stop.h"
#include "device/device.h"
#include "model/model.h"

// Compiles func (of a program of its own, released here) for device; options may be NULL. status:
// of building func; func is not looked at unless it is MILO_OK.
MILO_MUST_USE milo_status milo_forward_compile(milo_device *device, milo_program *program,
                                               milo_status status, const milo_func *func,
                                               const milo_executable_options *options,
                                               milo_diag *diag, milo_executable **out_executable);

// How the classifier goes over its rows: `part` of them at a time and `last` (1 to part) at the
// end, in as few parts as keep each one's logits below 64 MiB (a part is at least one row). A part
// and the last differ by less than the number of parts, so that any count of rows costs in
// proportion.
typedef struct milo_row_parts {
  size_t rows, part, last;
} milo_row_parts;
milo_row_parts milo_row_parts_make(size_t rows, size_t vocab);  // both > 0

// Executables for a part and, where it has fewer rows, for the last one (else NULL).
typedef struct milo_part_executables {
  milo_executable *part, *last;
} milo_part_executables;

typedef struct milo_forward milo_forward;

// model is borrowed; its weights are read at every run.
MILO_MUST_USE milo_status milo_forward_create(milo_device *device, const milo_model *model,
                                              size_t batch, size_t seq, milo_diag *diag,
                                              milo_forward **out_forward);
void milo_forward_destroy(milo_forward *forward);
// Asked between layers: a run then ends with MILO_ERR_INTERRUPTED, which nothing reports.
void milo_forward_set_stop(milo_forward *forward, milo_stop stop);
// Room for batch * seq tokens and targets (all below vocab), to be filled before a run.
int32_t *milo_forward_tokens(milo_forward *forward);
int32_t *milo_forward_targets(milo_forward *forward);
// *out_losses: cross-entropy of each, batch * seq, borrowed, valid until the next run.
MILO_MUST_USE milo_status milo_forward_run(milo_forward *forward, milo_diag *diag,
                                           const float **out_losses);

#endif
