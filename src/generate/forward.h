// SPDX-License-Identifier: MIT
// The model over whole batches, without gradients: cross-entropy of every token.
#ifndef MILO_GENERATE_FORWARD_H
#define MILO_GENERATE_FORWARD_H

#include "device/device.h"
#include "model/model.h"

// Compiles func (of a program of its own, released here) for device; options may be NULL. status:
// of building func; func is not looked at unless it is MILO_OK.
MILO_MUST_USE milo_status milo_forward_compile(milo_device *device, milo_program *program,
                                               milo_status status, const milo_func *func,
                                               const milo_executable_options *options,
                                               milo_diag *diag, milo_executable **out_executable);

// Rows that the classifier takes at a time: the largest divisor of rows whose logits stay below
// 64 MiB (at least one row).
size_t milo_forward_loss_rows(size_t rows, size_t vocab);

typedef struct milo_forward milo_forward;

// model is borrowed; its weights are read at every run.
MILO_MUST_USE milo_status milo_forward_create(milo_device *device, const milo_model *model,
                                              size_t batch, size_t seq, milo_diag *diag,
                                              milo_forward **out_forward);
void milo_forward_destroy(milo_forward *forward);
// Room for batch * seq tokens and targets (all below vocab), to be filled before a run.
int32_t *milo_forward_tokens(milo_forward *forward);
int32_t *milo_forward_targets(milo_forward *forward);
// *out_losses: cross-entropy of each, batch * seq, borrowed, valid until the next run.
MILO_MUST_USE milo_status milo_forward_run(milo_forward *forward, milo_diag *diag,
                                           const float **out_losses);

#endif
