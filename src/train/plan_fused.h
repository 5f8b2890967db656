// SPDX-License-Identifier: MIT
// The programs of the plan `fused`, for whoever lists them.
#ifndef MILO_TRAIN_PLAN_FUSED_H
#define MILO_TRAIN_PLAN_FUSED_H

#include "train/plan.h"

typedef struct milo_fused_layer {
  milo_func *forward, *backward;
  milo_value *wrt[1 + MILO_TENSOR_COUNT];  // the layer's inputs, as they were before the split
  size_t count;                            // of them
  const char *seed;                        // input of backward: the gradient of y
} milo_fused_layer;

// x, weights -> y, taps; and taps, weights, gradient of y [, sums that gradients are added to, if
// accumulate] -> dx, gradients of the weights. device: whose composites stay whole where the
// precision is not fp32.
MILO_MUST_USE milo_status milo_fused_build_layer(milo_device *device, milo_program *program,
                                                 const milo_model_config *config, size_t batch,
                                                 size_t seq, bool accumulate,
                                                 milo_precision precision, milo_diag *diag,
                                                 milo_fused_layer *out);
// sum [V, D] (may be donated), tokens int32 [rows], dx [rows, D] -> sum with the rows added.
MILO_MUST_USE milo_status milo_fused_build_embed_backward(milo_program *program,
                                                          const milo_model_config *config,
                                                          int64_t rows, milo_diag *diag,
                                                          milo_func **out_func);

#endif
