// SPDX-License-Identifier: MIT
// Safetensors files: anything is read or refused with one message, and what is read lies inside.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[] = "/tmp/milo-fuzz-XXXXXX";

static void remove_file(void) { unlink(path); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static int fd = -1;
  if (fd < 0 && ((fd = mkstemp(path)) < 0 || atexit(remove_file) != 0)) abort();
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
  milo_diag diag = {0};
  milo_safetensors *file = NULL;
  const milo_status status = milo_safetensors_open(path, &diag, &file);
  if ((status == MILO_OK) != (file != NULL) || (status != MILO_OK) != (diag.errors == 1)) abort();
  volatile unsigned char last = 0;  // what is read
  const milo_stored_tensor *t;
  for (size_t i = 0; file && (t = milo_safetensors_get(file, i)) != NULL; i++) {
    if (milo_safetensors_find(file, t->name) != t) abort();
    if (milo_type_bytes(&t->type) != t->bytes) abort();
    for (size_t k = 0; k < t->bytes; k++) last = ((const unsigned char *)t->data)[k];
  }
  if (file) (void)milo_safetensors_text(file, "format");
  milo_safetensors_close(file);
  milo_diag_deinit(&diag);
  (void)last;
  return 0;
}
