// SPDX-License-Identifier: MIT
// AdamW, Adam, or SGD with momentum, over a parameter set, and the global norm of its gradients.
#ifndef MILO_TRAIN_OPTIMIZER_H
#define MILO_TRAIN_OPTIMIZER_H

#include "model/params.h"

typedef struct milo_optimizer milo_optimizer;

// All zero: AdamW, or Adam where the options say so (weight_decay * param is added to the gradient
// then). SGD: g = grad * grad_scale + weight_decay * param; m' = momentum m + g;
// param' = param - lr m'.
typedef struct milo_optimizer_rule {
  bool sgd;
  double momentum;
} milo_optimizer_rule;

// gradients: fp32, one a parameter, in the set's order; NULL for those that are not trainable. The
// set and the gradients are borrowed. options: completed. MILO_ERR_UNSUPPORTED: a trainable
// parameter is not stored in fp32.
MILO_MUST_USE milo_status milo_optimizer_create(milo_device *device, milo_params *params,
                                                milo_buffer *const *gradients,
                                                const milo_optimizer_rule *rule,
                                                const milo_train_options *options, milo_diag *diag,
                                                milo_optimizer **out_optimizer);
void milo_optimizer_destroy(milo_optimizer *optimizer);

// L2 norm of all gradients together: sums of squares in fp32 over at most 4,096 elements, the rest
// in fp64. NaN or infinity if a gradient is not finite.
MILO_MUST_USE milo_status milo_optimizer_norm(milo_optimizer *optimizer, milo_diag *diag,
                                              double *out_norm);
// Update t = 1, 2, ... with the gradients times grad_scale. Weight decay acts on the parameters
// that decay.
MILO_MUST_USE milo_status milo_optimizer_step(milo_optimizer *optimizer, uint64_t t, double rate,
                                              double grad_scale, milo_diag *diag);
// Moments of order 1 and 2 in fp32, one a parameter; NULL for those that are not trainable,
// and where the rule has no such moment.
milo_buffer *const *milo_optimizer_moments(const milo_optimizer *optimizer, int order);
// What the moment of order 1 or 2 is called in files, before the parameter's name.
// NULL: the rule has none.
const char *milo_optimizer_moment_prefix(const milo_optimizer_rule *rule, int order);

#endif
