// SPDX-License-Identifier: MIT
// Memory of tensors: 64-byte aligned, zeroed; big buffers ask the system for huge pages.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/number.h"
#include "device/device.h"

enum { ALIGNMENT = 64, HUGE_PAGE = 2 << 20, BIG = 2 * HUGE_PAGE };

// Whole huge pages: a part of one would be backed by small ones.
static void *alloc_huge(size_t bytes) {
  size_t rounded;
  if (!milo_size_add(bytes, HUGE_PAGE - 1, &rounded)) return NULL;
  void *data = NULL;
  if (posix_memalign(&data, HUGE_PAGE, rounded / HUGE_PAGE * HUGE_PAGE) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  (void)madvise(data, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);  // advice only
#endif
  return data;
}

milo_status milo_buffer_alloc(size_t bytes, milo_diag *diag, milo_buffer **out) {
  *out = NULL;
  MILO_TRY(milo_memory_ask("a buffer", bytes, diag));
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return milo_memory_fail("a buffer", sizeof **out, diag);
  void *data = NULL;
  if (bytes >= BIG)
    data = alloc_huge(bytes);
  else if (posix_memalign(&data, ALIGNMENT, bytes > 0 ? bytes : 1) != 0)
    data = NULL;
  if (data == NULL) {
    free(*out);
    *out = NULL;
    return milo_memory_fail("a buffer", bytes, diag);
  }
  memset(data, 0, bytes);
  **out = (milo_buffer){.refs = 1, .bytes = bytes, .data = data};
  return MILO_OK;
}

void milo_buffer_retain(milo_buffer *buffer) { ++buffer->refs; }

void milo_buffer_release(milo_buffer *buffer) {
  if (buffer == NULL || --buffer->refs > 0) return;
  free(buffer->data);
  free(buffer);
}
