// SPDX-License-Identifier: MIT
// A hostile .npy file: refused with a message, or an array of the size its shape says.
#include <stdint.h>
#include <stdlib.h>

#include "base/npy.h"
#include "base/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  milo_diag diag = {0};
  milo_array array;
  size_t bytes;
  if (milo_npy_decode(data, size, "input", &diag, &array) != MILO_OK) {
    if (diag.errors == 0 || array.data) abort();
  } else if (!milo_tensor_bytes(array.dtype, array.rank, array.shape, &bytes) ||
             bytes != array.bytes || bytes > size) {
    abort();
  }
  milo_array_deinit(&array);
  milo_diag_deinit(&diag);
  return 0;
}
