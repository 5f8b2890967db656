// SPDX-License-Identifier: MIT
// Time and memory of this process.
#ifndef MILO_BASE_CLOCK_H
#define MILO_BASE_CLOCK_H

#include <stdint.h>

double milo_clock_s(void);              // monotonic seconds
uint64_t milo_peak_memory_bytes(void);  // largest resident size so far
// What the machine can give to programs without swapping; UINT64_MAX where it does not say.
uint64_t milo_available_memory_bytes(void);

#endif
