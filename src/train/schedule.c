// SPDX-License-Identifier: MIT
#include "train/schedule.h"

#include <math.h>

double milo_schedule_rate(const milo_train_options *o, uint64_t step) {
  const double pi = 3.14159265358979323846;
  const double warm = step + 1 < o->warmup ? (double)(step + 1) / (double)o->warmup : 1;
  const double cosine = 0.5 * (1 + cos(pi * (double)step / (double)o->steps));
  return o->lr * warm * (o->min_lr_ratio + (1 - o->min_lr_ratio) * cosine);
}
