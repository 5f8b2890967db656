// SPDX-License-Identifier: MIT
#ifndef MILO_TOOL_BENCH_GENERATE_H
#define MILO_TOOL_BENCH_GENERATE_H

#include "data.h"

typedef struct generate_bench {
  const char *model, *device;
  uint64_t prompt, steps, seed;  // prompt, steps > 0
  storage storage;
  bool json;
} generate_bench;

// Prints the result.
milo_status bench_generate(const generate_bench *request, milo_ctx *ctx);

#endif
