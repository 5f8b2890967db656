// SPDX-License-Identifier: MIT
// A model's cross-entropies over a batch of sequences: forward only, the layers one after the
// other through two buffers.
#ifndef MILO_GENERATE_FORWARD_H
#define MILO_GENERATE_FORWARD_H

#include "base/stop.h"
#include "model/model.h"

typedef struct milo_forward milo_forward;

// model is borrowed; its weights are read at every run.
MILO_MUST_USE milo_status milo_forward_create(milo_device *device, const milo_model *model,
                                              size_t batch, size_t seq, milo_diag *diag,
                                              milo_forward **out_forward);
void milo_forward_destroy(milo_forward *forward);  // NULL allowed
// Asked between layers: a run then ends with MILO_ERR_INTERRUPTED, which nothing reports.
void milo_forward_set_stop(milo_forward *forward, milo_stop stop);
// tokens, targets: batch * seq, all below vocab; losses: the cross-entropy of each.
MILO_MUST_USE milo_status milo_forward_run(milo_forward *forward, const int32_t *tokens,
                                           const int32_t *targets, float *losses, milo_diag *diag);

#endif
