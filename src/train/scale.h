// SPDX-License-Identifier: MIT
// Loss scaling: gradients are computed times a factor, so that small ones survive where they are
// stored in 16 bits, and divided by it in fp32 before they are clipped. A step whose gradients are
// then not finite has overflowed: it is skipped (parameters and moments stay, its batch is used up)
// and counted. Part of the loop, so of every task and plan: a task multiplies the gradient of its
// loss by what set_scale (train/task.h) was given, and need know nothing else.
#ifndef MILO_TRAIN_SCALE_H
#define MILO_TRAIN_SCALE_H

#include <milo/milo.h>

#define MILO_LOSS_SCALE_BEGIN 65536.0  // of dynamic scaling
enum {
  MILO_LOSS_SCALE_INTERVAL = 2000,  // steps without overflow until a dynamic factor doubles
  MILO_LOSS_SCALE_PATIENCE = 25,    // steps skipped in a row that end a run of constant factor
};

// Where scaling stands; part of a checkpoint.
typedef struct milo_loss_scale {
  double factor;      // of the next step; powers of two change no digits
  bool dynamic;       // halved by an overflow, doubled after INTERVAL steps without
  uint64_t good;      // steps since the factor changed or one was skipped
  uint64_t in_a_row;  // steps skipped since one was taken
  uint64_t skipped;   // in all
} milo_loss_scale;

// option: milo_train_options.loss_scale, completed: 1 none, above 0 a constant factor, negative:
// dynamic, beginning at its magnitude.
milo_loss_scale milo_loss_scale_begin(double option);
// A step's gradients are not finite: may it be skipped? Not without scaling; not when a dynamic
// factor is at 1 already, or PATIENCE steps were skipped in a row: the run has diverged then.
bool milo_loss_scale_may_skip(const milo_loss_scale *scale);
void milo_loss_scale_skip(milo_loss_scale *scale);
void milo_loss_scale_step(milo_loss_scale *scale);  // a step was taken

#endif
