// SPDX-License-Identifier: MIT
// The function that `milo fit` trains: what is minimised, batches, parameters, gradients.
#ifndef MILO_TRAIN_FIT_PROGRAM_H
#define MILO_TRAIN_FIT_PROGRAM_H

#include "device/device.h"
#include "pass/lift.h"

// A loss as milo_fit_options spells it.
typedef enum milo_loss_kind {
  MILO_LOSS_OUTPUT,
  MILO_LOSS_MSE,
  MILO_LOSS_CROSS_ENTROPY
} milo_loss_kind;
typedef struct milo_loss {
  milo_loss_kind kind;
  const char *output, *target;  // target: NULL for MILO_LOSS_OUTPUT
} milo_loss;
// MILO_ERR_INVALID: text is NULL or none. Strings are made in arena.
MILO_MUST_USE milo_status milo_loss_parse(const char *text, milo_arena *arena, milo_diag *diag,
                                          milo_loss *out_loss);

// The batch that the function's inputs fix (their first axis), 0 if all leave it open.
// MILO_ERR_INVALID: an input has no first axis, or they differ.
MILO_MUST_USE milo_status milo_fit_batch(const milo_func *func, milo_diag *diag, size_t *out_batch);

// Parameters of both functions: the inputs of the program, then the lifted constants, then the
// target if the loss has one.
typedef struct milo_fit_program {
  milo_program *program;  // owns all of it, to be destroyed
  size_t inputs;          // of the program that is trained
  milo_func *forward;     // -> loss, fp32 of rank 0
  // parameters..., the seed of the loss, and with sums what each gradient is added to -> loss,
  // gradient of each trained parameter in order
  milo_func *joint;
  milo_lifting lifted;  // names and params (of joint), in arena
  bool *trained;        // one a lifted constant: does the loss depend on it?
  int64_t classes;      // of cross-entropy, else 0
} milo_fit_program;

// types: one an input of func, static. sums: gradients are added to parameters of joint.
MILO_MUST_USE milo_status milo_fit_program_make(const milo_func *func, const milo_loss *loss,
                                                const char *trainable, const milo_type *types,
                                                bool sums, milo_arena *arena, milo_diag *diag,
                                                milo_fit_program *out);

#endif
