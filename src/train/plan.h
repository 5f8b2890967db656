// SPDX-License-Identifier: MIT
// The `fused` step plan: how a training step is cut into programs.
//
//   embed            tokens -> x0
//   layer forward    x, weights -> y, taps            one program, run for each layer
//   head             x, targets -> loss, and backward at once, some rows at a time
//   layer backward   taps, weights, dy -> dx, gradients of the layer's weights
//   embed backward   adds rows of dx0 into the embedding's gradient
//
// The layer's programs come from automatic differentiation of the model's block. All buffers are
// allocated when the plan is made; a step allocates nothing.
#ifndef MILO_TRAIN_PLAN_H
#define MILO_TRAIN_PLAN_H

#include "base/stop.h"
#include "device/device.h"
#include "model/model.h"

typedef struct milo_plan milo_plan;

// batch sequences of seq tokens at a time, micro_batches of them a step. model is borrowed, its
// weights are read at every run.
MILO_MUST_USE milo_status milo_plan_create(milo_device *device, const milo_model *model,
                                           size_t batch, size_t seq, size_t micro_batches,
                                           milo_diag *diag, milo_plan **out_plan);
void milo_plan_destroy(milo_plan *plan);

// Asked between layers: a run then ends with MILO_ERR_INTERRUPTED, which nothing reports.
void milo_plan_set_stop(milo_plan *plan, milo_stop stop);

// Sets the next run's batch * seq tokens and targets.
MILO_MUST_USE milo_status milo_plan_load(milo_plan *plan, const int32_t *tokens,
                                         const int32_t *targets, milo_diag *diag);

// Starts a step's gradients (before its first micro-batch).
MILO_MUST_USE milo_status milo_plan_begin(milo_plan *plan, milo_diag *diag);
// Forward and backward of one micro-batch: adds its share of the gradient of the step's mean loss.
// *out_loss_sum: sum of the tokens' cross-entropies, set when forward is done and before backward.
MILO_MUST_USE milo_status milo_plan_run(milo_plan *plan, milo_diag *diag, double *out_loss_sum);
// Forward only; the gradients are left alone.
MILO_MUST_USE milo_status milo_plan_evaluate(milo_plan *plan, milo_diag *diag,
                                             double *out_loss_sum);
// The step's gradients in fp32, one a parameter of the model's set, in its order.
milo_buffer *const *milo_plan_gradients(const milo_plan *plan);

#endif
