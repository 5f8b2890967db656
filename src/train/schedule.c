// SPDX-License-Identifier: MIT
#include "train/schedule.h"

#include <math.h>

static double fall(double r, uint64_t step, uint64_t steps) {
  return 1 - (1 - r) * (double)step / (double)steps;
}

static double over_peak(const milo_train_options *o, uint64_t step) {
  const double pi = 3.14159265358979323846, r = o->min_lr_ratio;
  const uint64_t flat = o->steps > o->decay_steps ? o->steps - o->decay_steps : 0;
  switch (o->schedule) {
    case MILO_SCHEDULE_LINEAR:
      return fall(r, step, o->steps);
    case MILO_SCHEDULE_CONSTANT:
      return 1;
    case MILO_SCHEDULE_WSD:
      return step < flat ? 1 : fall(r, step - flat, o->decay_steps);
    case MILO_SCHEDULE_DEFAULT:
    case MILO_SCHEDULE_COSINE:
      break;
  }
  return r + (1 - r) * (0.5 * (1 + cos(pi * (double)step / (double)o->steps)));
}

double milo_schedule_rate(const milo_train_options *o, uint64_t step) {
  const double warm = step + 1 < o->warmup ? (double)(step + 1) / (double)o->warmup : 1;
  return o->lr * warm * over_peak(o, step);
}
