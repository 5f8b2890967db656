// SPDX-License-Identifier: MIT
// What train and fit have in common: options, and how a run ends.
#ifndef MILO_TOOL_TRAINING_H
#define MILO_TOOL_TRAINING_H

#include "cmd.h"

// The options of both. "Not given" is NOT_GIVEN or a NaN here and 0 to the library; a 0 that was
// given is "off" to those that can be off, which the library writes as a negative number.
typedef struct training_request {
  const char *out, *device, *precision, *loss_scale;
  bool resume, force, json;
  uint64_t steps, stop_after, batch, accumulate, warmup, seed, eval_every, eval_batches, save_every;
  double lr, min_lr_ratio, beta1, beta2, epsilon, weight_decay, clip, val_fraction;
} training_request;

training_request training_nothing_given(void);
// Fills out, whose other fields stay. EXIT_USAGE, after a message, if options are out of range or
// exclude each other.
int training_fill(const command *cmd, const training_request *r, milo_train_options *out);

typedef struct training_end {
  milo_status status;  // of milo_train or milo_fit
  const milo_train_result *result;
  bool stepped;         // a step was taken
  const char *unit;     // what steps take: "tokens"
  uint64_t parameters;  // told with --json; 0: not
} training_end;
// Says how it ended, and the result with --json; the exit code.
int training_finish(milo_ctx *ctx, const training_request *r, const training_end *end);

#endif
