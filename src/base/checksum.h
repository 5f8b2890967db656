// SPDX-License-Identifier: MIT
// CRC-64 with the polynomial of NVM Express (0xad93d23594c93659, bits reflected, state and result
// inverted; check value of "123456789": 0xae8b14860a799888). The polynomial is primitive: x has
// order 2^64 - 1 modulo it, so that any two flipped bits change the checksum of a file of any size,
// as does every burst of at most 64 bits.
#ifndef MILO_BASE_CHECKSUM_H
#define MILO_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

typedef struct milo_checksum {
  uint64_t state;
  uint64_t table[8][256];  // [k][b]: byte b followed by k zero bytes
} milo_checksum;

void milo_checksum_begin(milo_checksum *sum);
void milo_checksum_add(milo_checksum *sum, const void *data, size_t bytes);
// Of all that was added so far.
uint64_t milo_checksum_value(const milo_checksum *sum);
// Of one piece of memory.
uint64_t milo_checksum_of(const void *data, size_t bytes);

#endif
