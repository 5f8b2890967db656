// SPDX-License-Identifier: MIT
// Memory of tensors: 64-byte aligned, zeroed; big buffers ask the system for huge pages.
#include "device/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/number.h"

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

static void *alloc_host(size_t bytes) {
  void *data = NULL;
  if (bytes >= BIG) return alloc_huge(bytes);
  return posix_memalign(&data, ALIGNMENT, bytes > 0 ? bytes : 1) == 0 ? data : NULL;
}

static milo_buffer *create(size_t bytes) {
  milo_buffer *b = calloc(1, sizeof *b);
  if (b == NULL) return NULL;
  atomic_init(&b->refs, 1);
  atomic_init(&b->version, 1);
  b->bytes = bytes;
  if (pthread_mutex_init(&b->lock, NULL) == 0) return b;
  free(b);
  return NULL;
}

milo_status milo_buffer_alloc(size_t bytes, milo_diag *diag, milo_buffer **out) {
  *out = NULL;
  MILO_TRY(milo_memory_ask("a buffer", bytes, diag));
  *out = create(bytes);
  if (*out == NULL) return milo_memory_fail("a buffer", bytes, diag);
  (*out)->data = alloc_host(bytes);
  if ((*out)->data == NULL) {
    milo_buffer_release(*out);
    *out = NULL;
    return milo_memory_fail("a buffer", bytes, diag);
  }
  memset((*out)->data, 0, bytes);
  return MILO_OK;
}

milo_status milo_device_alloc(milo_device *device, size_t bytes, milo_diag *diag,
                              milo_buffer **out) {
  const milo_memory_type *memory = device->type->memory;
  if (memory == NULL) return milo_buffer_alloc(bytes, diag, out);
  *out = create(bytes);
  if (*out == NULL) return milo_memory_fail("a buffer", bytes, diag);
  const milo_status status = memory->alloc(device, bytes, diag, &(*out)->handle);
  if (status == MILO_OK) {
    (*out)->memory = memory;
    return MILO_OK;
  }
  milo_buffer_release(*out);
  *out = NULL;
  return status;
}

milo_status milo_buffer_slice(milo_buffer *whole, size_t offset, size_t bytes, milo_diag *diag,
                              milo_buffer **out) {
  assert(offset <= whole->bytes && bytes <= whole->bytes - offset);
  *out = create(bytes);
  if (*out == NULL) return milo_memory_fail("a buffer", bytes, diag);
  (*out)->whole = whole->whole != NULL ? whole->whole : whole;
  (*out)->offset = whole->offset + offset;
  milo_buffer_retain((*out)->whole);
  if (whole->data != NULL) (*out)->data = whole->data + offset;
  return MILO_OK;
}

void milo_buffer_retain(milo_buffer *buffer) {
  atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
}

void milo_buffer_release(milo_buffer *b) {
  if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) > 1) return;
  for (milo_packed_copy *copy = b->packed, *next; copy != NULL; copy = next) {
    next = copy->next;
    free(copy->data);
    free(copy);
  }
  if (b->whole != NULL)
    milo_buffer_release(b->whole);
  else if (b->memory != NULL)
    b->memory->free(b->handle);
  else
    free(b->data);
  pthread_mutex_destroy(&b->lock);
  free(b);
}

size_t milo_buffer_bytes(const milo_buffer *buffer) { return buffer->bytes; }

static const milo_buffer *owner(const milo_buffer *b) { return b->whole != NULL ? b->whole : b; }

uint64_t milo_buffer_version(const milo_buffer *buffer) {
  return atomic_load_explicit(&owner(buffer)->version, memory_order_acquire);
}

void milo_buffer_changed(milo_buffer *buffer) {
  milo_buffer *b = buffer->whole != NULL ? buffer->whole : buffer;
  const uint64_t version = atomic_fetch_add_explicit(&b->version, 1, memory_order_acq_rel) + 1;
  pthread_mutex_lock(&buffer->lock);
  for (milo_packed_copy *copy = buffer->packed; copy != NULL; copy = copy->next) {
    if (copy->renewed) copy->made = version;
    copy->renewed = false;
  }
  pthread_mutex_unlock(&buffer->lock);
}

// ---- access ----

void *milo_buffer_map(milo_buffer *buffer, milo_access access) {
  if (buffer->data != NULL) return buffer->data;
  const milo_buffer *b = owner(buffer);
  void *data = alloc_host(buffer->bytes);
  if (data == NULL) return NULL;
  // Without MILO_READ every byte will be written: nothing is fetched.
  if ((access & MILO_READ) != 0 &&
      b->memory->read(b->handle, buffer->offset, data, buffer->bytes) != MILO_OK) {
    free(data);
    return NULL;
  }
  return data;
}

milo_status milo_buffer_unmap(milo_buffer *buffer, void *data, milo_access access) {
  milo_status status = MILO_OK;
  const milo_buffer *b = owner(buffer);
  if (buffer->data == NULL) {
    if ((access & MILO_WRITE) != 0)
      status = b->memory->write(b->handle, buffer->offset, data, buffer->bytes);
    free(data);
  }
  if ((access & MILO_WRITE) != 0) milo_buffer_changed(buffer);
  return status;
}

static bool inside(const milo_buffer *b, size_t offset, size_t bytes) {
  return offset <= b->bytes && bytes <= b->bytes - offset;
}

milo_status milo_buffer_read(const milo_buffer *buffer, size_t offset, void *out_data,
                             size_t bytes) {
  if (!inside(buffer, offset, bytes)) return MILO_ERR_INVALID;
  if (bytes == 0) return MILO_OK;
  const milo_buffer *b = owner(buffer);
  if (buffer->data == NULL)
    return b->memory->read(b->handle, buffer->offset + offset, out_data, bytes);
  memcpy(out_data, buffer->data + offset, bytes);
  return MILO_OK;
}

milo_status milo_buffer_write(milo_buffer *buffer, size_t offset, const void *data, size_t bytes) {
  if (!inside(buffer, offset, bytes)) return MILO_ERR_INVALID;
  if (bytes == 0) return MILO_OK;
  const milo_buffer *b = owner(buffer);
  milo_status status = MILO_OK;
  if (buffer->data == NULL)
    status = b->memory->write(b->handle, buffer->offset + offset, data, bytes);
  else
    memcpy(buffer->data + offset, data, bytes);
  milo_buffer_changed(buffer);
  return status;
}

milo_status milo_buffer_clear(milo_buffer *buffer) {
  void *data = milo_buffer_map(buffer, MILO_WRITE);
  if (data == NULL) return MILO_ERR_NO_MEMORY;
  memset(data, 0, buffer->bytes);
  return milo_buffer_unmap(buffer, data, MILO_WRITE);
}

// ---- packed copies ----

static milo_packed_copy *find_copy(milo_buffer *b, const uint64_t *key, size_t bytes) {
  milo_packed_copy *copy = b->packed;
  while (copy != NULL && memcmp(copy->key, key, sizeof copy->key) != 0) copy = copy->next;
  if (copy != NULL) return copy;
  copy = calloc(1, sizeof *copy);
  if (copy == NULL) return NULL;
  memcpy(copy->key, key, sizeof copy->key);
  copy->bytes = bytes;
  copy->next = b->packed;
  b->packed = copy;
  return copy;
}

static bool has_room(milo_packed_copy *copy) {
  if (copy->data == NULL && milo_memory_ask("a packed copy", copy->bytes, NULL) == MILO_OK)
    copy->data = alloc_host(copy->bytes);
  return copy->data != NULL;
}

// A copy is made when it is asked for twice at one version; once that has happened, at the first
// use of every later one.
const void *milo_buffer_packed(milo_buffer *b, const uint64_t key[MILO_PACK_KEY_WORDS],
                               size_t bytes, milo_repack_fn *pack, void *user) {
  const uint64_t version = milo_buffer_version(b);
  const void *result = NULL;
  pthread_mutex_lock(&b->lock);
  milo_packed_copy *copy = find_copy(b, key, bytes);
  if (copy != NULL && copy->made == version) {
    result = copy->data;
  } else if (copy != NULL && (copy->data != NULL || copy->seen == version)) {
    if (has_room(copy)) {
      pack(user, copy->data);
      copy->made = version;
    }
    result = copy->data;
  }
  if (copy != NULL) copy->seen = version;
  pthread_mutex_unlock(&b->lock);
  return result;
}

size_t milo_buffer_wanted(milo_buffer *b, milo_packed_copy **out, size_t max) {
  const uint64_t version = milo_buffer_version(b);
  size_t count = 0;
  pthread_mutex_lock(&b->lock);
  for (milo_packed_copy *copy = b->packed; copy != NULL && count < max; copy = copy->next)
    if (copy->seen == version) out[count++] = copy;
  pthread_mutex_unlock(&b->lock);
  return count;
}

void *milo_renew_begin(milo_buffer *b, milo_packed_copy *copy) {
  pthread_mutex_lock(&b->lock);
  copy->made = 0;
  void *data = has_room(copy) ? copy->data : NULL;
  pthread_mutex_unlock(&b->lock);
  return data;
}

void milo_renew_end(milo_buffer *b, milo_packed_copy *copy) {
  pthread_mutex_lock(&b->lock);
  copy->renewed = true;
  pthread_mutex_unlock(&b->lock);
}
