// SPDX-License-Identifier: MIT
#include "kernels/read_speed.h"

#include <stdatomic.h>
#include <stdint.h>

#include "base/clock.h"

enum { PART = 1 << 19, LANES = 8, STREAMS = 4 };

typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));

typedef struct job {
  const char *block;
  size_t bytes;
  atomic_uint_fast64_t seen;  // so that no read can be left out
} job;

// Four streams, as the products read their matrices.
static void read_part(void *user, size_t i, int worker) {
  job *w = user;
  (void)worker;
  const lanes *at = (const lanes *)(const void *)(w->block + i * PART);
  const size_t stream = PART / sizeof *at / STREAMS;
  lanes a = {0}, b = {0}, c = {0}, d = {0};
  for (size_t k = 0; k < stream; ++k) {
    a ^= at[k];
    b ^= at[stream + k];
    c ^= at[2 * stream + k];
    d ^= at[3 * stream + k];
  }
  a ^= b ^ c ^ d;
  uint64_t all = 0;
  for (int k = 0; k < LANES; ++k) all ^= a[k];
  atomic_fetch_xor_explicit(&w->seen, all, memory_order_relaxed);
}

double milo_read_speed(milo_pool *pool, const void *block, size_t bytes, int times) {
  job w = {.block = block, .bytes = bytes / PART * PART};
  double best = 0;
  for (int k = 0; k < times; ++k) {
    const double start = milo_clock_s();
    milo_pool_run(pool, w.bytes / PART, read_part, &w);
    const double seconds = milo_clock_s() - start;
    if (seconds > 0 && (double)w.bytes / seconds > best) best = (double)w.bytes / seconds;
  }
  return best;
}
