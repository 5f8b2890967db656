// SPDX-License-Identifier: MIT
// Checksums of what is written to files.
#ifndef MILO_BASE_CHECKSUM_H
#define MILO_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

// FNV-1a over 64-bit little-endian words (the last one padded with zeros) started from state;
// bytes must be a multiple of 8 except in the last call. Start with MILO_CHECKSUM_INIT.
#define MILO_CHECKSUM_INIT UINT64_C(0xcbf29ce484222325)
uint64_t milo_checksum(uint64_t state, const void *data, size_t bytes);

#endif
