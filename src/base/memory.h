// SPDX-License-Identifier: MIT
// Memory of this process and of the machine.
#ifndef MILO_BASE_MEMORY_H
#define MILO_BASE_MEMORY_H

#include <stdint.h>

uint64_t milo_peak_memory_bytes(void);  // largest resident size so far
// What the machine can give to programs without swapping; UINT64_MAX where it does not say.
uint64_t milo_available_memory_bytes(void);

#endif
