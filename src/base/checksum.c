// SPDX-License-Identifier: MIT
#include "base/checksum.h"

#include <string.h>

uint64_t milo_checksum(uint64_t state, const void *data, size_t bytes) {
  const uint64_t prime = UINT64_C(0x100000001b3);
  const unsigned char *p = data;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    state = (state ^ word) * prime;
  }
  if (bytes > 0) {
    uint64_t word = 0;
    memcpy(&word, p, bytes);
    state = (state ^ word) * prime;
  }
  return state;
}
