// SPDX-License-Identifier: MIT
// The learning rate over a run.
#ifndef MILO_TRAIN_SCHEDULE_H
#define MILO_TRAIN_SCHEDULE_H

#include <milo/milo.h>

// Rate of step s = 0, 1, ..., steps - 1 (completed options):
//   lr * min(1, (s + 1) / warmup) * f,  with r = min_lr_ratio
//   cosine    f = r + (1 - r) * (1 + cos(pi * s / steps)) / 2
//   linear    f = 1 - (1 - r) * s / steps
//   constant  f = 1
//   wsd       f = 1, then 1 - (1 - r) * k / decay_steps in step k = 0, 1, ... of the last
//   decay_steps
// The schedule spans the whole run; the warm-up scales its start.
double milo_schedule_rate(const milo_train_options *options, uint64_t step);

#endif
