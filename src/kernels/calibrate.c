// SPDX-License-Identifier: MIT
// The least of several short times counts, so that another process in between does no harm.
#include "kernels/calibrate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
  MAX_ROWS = 32,
  UNITS = 256,  // of depth: a panel of each side stays in L1
  TIMES = 8,
  TILES = 16,  // a time: some 30 microseconds
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double rates[MAX_ROWS];  // by place in the table; 0: not yet

static double measure(const milo_product *row) {
  const size_t a_panel = row->mr * UNITS, b_panel = row->nr * UNITS;
  const size_t bytes = sizeof(float) * (a_panel + b_panel + row->mr * row->nr);
  float *room = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (room == NULL) return 0;
  // Small numbers of each type, none of them denormal: bf16 0.5 twice, an fp32 near it, bytes
  // 0, 63.
  for (size_t i = 0; i < a_panel + b_panel; ++i) memcpy(room + i, &(uint32_t){0x3f003f00}, 4);
  float *b = room + a_panel, *c = b + b_panel;
  double least = 0;
  for (int time = 0; time < TIMES; ++time) {
    const double start = milo_clock_s();
    for (int i = 0; i < TILES; ++i)
      row->tile(row->mr, row->nr, UNITS, room, a_panel, b, b_panel, c, row->nr, false);
    const double s = milo_clock_s() - start;
    if (time == 0 || s < least) least = s;
  }
  free(room);
  const double ops = 2.0 * (double)(row->mr * row->nr * UNITS * row->group) * TILES;
  return least > 0 ? ops / least * 1e-9 : 0;
}

double milo_product_rate(const milo_product *row) {
  size_t at = 0;
  while (at < MAX_ROWS && milo_product_variants[at] != NULL && milo_product_variants[at] != row)
    ++at;
  if (at == MAX_ROWS || milo_product_variants[at] == NULL) return measure(row);
  pthread_mutex_lock(&lock);
  if (rates[at] == 0) rates[at] = measure(row);
  const double rate = rates[at];
  pthread_mutex_unlock(&lock);
  return rate;
}

const milo_product *milo_product_choose(milo_numeric mode, unsigned caps) {
  const milo_product *row = milo_product_select(mode, caps);
  if (mode == MILO_NUMERIC_EXACT || row == NULL || row->sum != MILO_FP32) return row;
  const milo_product *exact = milo_product_select(MILO_NUMERIC_EXACT, caps);
  return milo_product_rate(row) >= 0.85 * milo_product_rate(exact) ? row : NULL;
}
