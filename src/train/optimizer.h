// SPDX-License-Identifier: MIT
// AdamW over a model's block, and the global norm of its gradient.
#ifndef MILO_TRAIN_OPTIMIZER_H
#define MILO_TRAIN_OPTIMIZER_H

#include "device/device.h"
#include "model/model.h"

typedef struct milo_optimizer milo_optimizer;

// gradients: laid out like the model's block. Both are borrowed. options: completed.
MILO_MUST_USE milo_status milo_optimizer_create(milo_device *device, milo_model *model,
                                                float *gradients, const milo_train_options *options,
                                                milo_diag *diag, milo_optimizer **out_optimizer);
void milo_optimizer_destroy(milo_optimizer *optimizer);

// L2 norm of all gradients together: sums of squares in fp32 over at most 4,096 elements, the rest
// in fp64. NaN or infinity if a gradient is not finite.
MILO_MUST_USE milo_status milo_optimizer_norm(milo_optimizer *optimizer, milo_diag *diag,
                                              double *out_norm);
// Update t = 1, 2, ... with the gradients times grad_scale. Weight decay acts on matrices only.
MILO_MUST_USE milo_status milo_optimizer_step(milo_optimizer *optimizer, uint64_t t, double rate,
                                              double grad_scale, milo_diag *diag);
// First and second moments, laid out like the model's block.
float *milo_optimizer_first(milo_optimizer *optimizer);
float *milo_optimizer_second(milo_optimizer *optimizer);

#endif
