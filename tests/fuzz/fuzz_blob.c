// SPDX-License-Identifier: MIT
// A hostile weight blob file: at any offset there is a record whose data lies inside the file, or a
// message.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "package/blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_offset(const uint8_t *data, size_t size, uint64_t offset) {
  milo_diag diag = {0};
  milo_blob_record record;
  if (milo_blob_read(data, size, offset, "input", MILO_NO_LOC, &diag, &record) != MILO_OK) {
    if (diag.errors == 0) abort();
  } else {
    // All of it can be read: sanitizers see if not.
    volatile uint8_t sum = 0;
    for (uint64_t i = 0; i < record.bytes; i++) sum = (uint8_t)(sum + data[record.data_offset + i]);
  }
  milo_diag_deinit(&diag);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint64_t given = 0;
  if (size >= sizeof given) memcpy(&given, data + size - sizeof given, sizeof given);
  try_offset(data, size, given);
  for (uint64_t offset = 0; offset <= size && offset < 4096; offset += 64)
    try_offset(data, size, offset);
  try_offset(data, size, UINT64_MAX);
  return 0;
}
