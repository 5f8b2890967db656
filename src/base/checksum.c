// SPDX-License-Identifier: MIT
#include "base/checksum.h"

static const uint64_t polynomial = UINT64_C(0x9a6c9329ac4bc9b5);  // reflected

void milo_checksum_begin(milo_checksum *sum) {
  sum->state = ~UINT64_C(0);
  for (uint64_t byte = 0; byte < 256; byte++) {
    uint64_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (polynomial & (0 - (crc & 1)));
    sum->table[0][byte] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (int byte = 0; byte < 256; byte++) {
      const uint64_t before = sum->table[k - 1][byte];
      sum->table[k][byte] = (before >> 8) ^ sum->table[0][before & 255];
    }
}

// Eight bytes at a time, each through the table of what follows it (Kounavis and Berry 2005).
void milo_checksum_add(milo_checksum *sum, const void *data, size_t bytes) {
  const unsigned char *p = data;
  uint64_t crc = sum->state;
  for (; bytes >= 8; bytes -= 8, p += 8) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) word |= (uint64_t)p[i] << (8 * i);  // one load on most machines
    word ^= crc;
    crc = 0;
    for (int i = 0; i < 8; i++) crc ^= sum->table[7 - i][(word >> (8 * i)) & 255];
  }
  for (; bytes > 0; bytes--, p++) crc = (crc >> 8) ^ sum->table[0][(crc ^ *p) & 255];
  sum->state = crc;
}

uint64_t milo_checksum_value(const milo_checksum *sum) { return ~sum->state; }

uint64_t milo_checksum_of(const void *data, size_t bytes) {
  milo_checksum sum;
  milo_checksum_begin(&sum);
  milo_checksum_add(&sum, data, bytes);
  return milo_checksum_value(&sum);
}
