// SPDX-License-Identifier: MIT
// Memory for kernel tests: arrays of floats that end at an unmapped page, so that one element too
// many is a fault; and what all kernel tests need.
#ifndef MILO_TESTS_KERNELS_GUARD_H
#define MILO_TESTS_KERNELS_GUARD_H

#include <sys/mman.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/gemm.h"
#include "kernels/product.h"
#include "kernels/rows.h"
#include "tap.h"

typedef struct guarded {
  char *map;
  size_t bytes;
  float *data;
} guarded;

// bytes in all, ending at the guard. With MILO_GUARD_SLACK=N it starts N bytes later, for emulators
// whose masked loads read what the mask leaves out (qemu 7.2: vmaskmov).
static inline guarded guard_bytes(size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const char *slack = getenv("MILO_GUARD_SLACK");
  if (slack != NULL) bytes += strtoul(slack, NULL, 10);
  guarded g = {.bytes = (bytes + page - 1) / page * page + page};
  g.map = mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.map == MAP_FAILED || mprotect(g.map + g.bytes - page, page, PROT_NONE) != 0) abort();
  g.data = (float *)(void *)(g.map + g.bytes - page - bytes);
  return g;
}

static inline guarded guard(size_t floats) { return guard_bytes(floats * sizeof(float)); }

static inline void unguard(guarded g) { munmap(g.map, g.bytes); }

// Uniform in [-2, 2).
static inline void randomize(float *x, size_t n, uint64_t stream) {
  for (size_t i = 0; i < n; i++) x[i] = (float)(4 * milo_rng_uniform(20, stream, i) - 2);
}

// Is a row of a table to be tested: does this machine have it? MILO_TEST_SET=avx512: rows of this
// name only, which must be there.
static inline bool guard_takes(const char *name, unsigned caps) {
  const char *only = getenv("MILO_TEST_SET");
  if (only != NULL && strcmp(only, name) != 0) return false;
  if ((caps & ~milo_cpu_detect()) == 0) return true;
  printf("# %s: not on this machine\n", name);
  CHECK(only == NULL);
  return false;
}

// Runs check on every set of row functions that this machine has, named in the output.
static inline void each_variant(void (*check)(const milo_rows *)) {
  for (size_t v = 0; milo_rows_variants[v] != NULL; v++) {
    const milo_rows *k = milo_rows_variants[v];
    if (!guard_takes(k->name, k->caps)) continue;
    const bool failed = tap_case_failed_;
    check(k);
    if (!failed && tap_case_failed_) printf("# in set %s\n", k->name);
  }
}

// The same for the table of products.
static inline void each_product(void (*check)(const milo_product *)) {
  for (size_t v = 0; milo_product_variants[v] != NULL; v++) {
    const milo_product *k = milo_product_variants[v];
    if (!guard_takes(k->name, k->caps)) continue;
    const bool failed = tap_case_failed_;
    check(k);
    if (!failed && tap_case_failed_) printf("# in product %s\n", k->name);
  }
}

// Sizes around nothing, a vector and a tile of every set.
static const size_t guard_sizes[] = {0,  1,  2,  3,  4,  5,  7,  8,   9,   15, 16,
                                     17, 31, 32, 33, 63, 64, 65, 511, 512, 513};
enum { GUARD_SIZES = sizeof guard_sizes / sizeof *guard_sizes };

#endif
