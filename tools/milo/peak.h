// SPDX-License-Identifier: MIT
// What the machine can do at most, and what a training run did of it.
#ifndef MILO_TOOL_PEAK_H
#define MILO_TOOL_PEAK_H

#include <milo/milo.h>
#include <stdio.h>

// Floating-point operations a second of the device's own matrix product, [1024, 1024] by
// [1024, 1024] in fp32, or on bf16 operands where precision is not fp32: the best of some runs, in
// about a third of a second. 0: it could not be measured.
double measure_peak(milo_ctx *ctx, const char *device, milo_precision precision);

typedef struct efficiency {
  const milo_train_result *result;
  double tokens_per_second;
  double peak;  // of measure_peak; 0: not measured
} efficiency;
// ", \"wall_seconds\": ..." and so on.
void efficiency_json(FILE *to, const efficiency *e);
// A line or two for people, without the newline at the end.
void efficiency_text(char *text, size_t bytes, const efficiency *e);

#endif
