// SPDX-License-Identifier: MIT
// Memory of this process and of the machine.
//
// A system may promise more memory than it has, and end the process when the promise is called in.
// Whatever takes memory by the megabyte therefore asks first; what asks or is refused fails with
// one and the same message, which says how much is needed and how much is available.
#ifndef MILO_BASE_MEMORY_H
#define MILO_BASE_MEMORY_H

#include <stdint.h>

#include "base/status.h"

uint64_t milo_peak_memory_bytes(void);  // largest resident size so far

// What this process can still take without swapping: what the machine has left or, if less, a
// control group (Linux, version 1 or 2) that the process is in, whose limit ends what exceeds it.
// UINT64_MAX where nothing says.
uint64_t milo_available_memory_bytes(void);
// The same, with the system's files under root instead of "/".
uint64_t milo_available_memory_under(const char *root);

// MILO_ERR_NO_MEMORY if so many bytes are not available. what: "a model"; it stands in the message.
// Small requests (below 4 MiB) are not looked into.
MILO_MUST_USE milo_status milo_memory_ask(const char *what, uint64_t bytes, milo_diag *diag);
// Reports that the bytes could not be had; returns MILO_ERR_NO_MEMORY.
milo_status milo_memory_fail(const char *what, uint64_t bytes, milo_diag *diag);

#endif
