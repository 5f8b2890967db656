// SPDX-License-Identifier: MIT
#include "train/scale.h"

#include <math.h>

#define MOST 16777216.0  // 2^24: beyond it sums of squares in fp32 come near their end

milo_loss_scale milo_loss_scale_begin(double option) {
  return (milo_loss_scale){.factor = fabs(option), .dynamic = option < 0};
}

bool milo_loss_scale_may_skip(const milo_loss_scale *s) {
  if (s->dynamic) return s->factor > 1;
  return s->factor != 1 && s->in_a_row < MILO_LOSS_SCALE_PATIENCE;
}

void milo_loss_scale_skip(milo_loss_scale *s) {
  s->skipped++;
  s->in_a_row++;
  s->good = 0;
  if (s->dynamic) s->factor = fmax(s->factor / 2, 1);
}

void milo_loss_scale_step(milo_loss_scale *s) {
  s->in_a_row = 0;
  s->good++;
  if (!s->dynamic || s->good < MILO_LOSS_SCALE_INTERVAL) return;
  s->good = 0;
  if (s->factor < MOST) s->factor *= 2;
}
