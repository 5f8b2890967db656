// SPDX-License-Identifier: MIT
// What a buffer is made of: for devices only. Everyone else uses the functions of device.h.
#ifndef MILO_DEVICE_BUFFER_H
#define MILO_DEVICE_BUFFER_H

#include <pthread.h>
#include <stdatomic.h>

#include "device/device.h"

// A copy of a buffer in another layout, made by a device and kept until the buffer goes or changes.
typedef struct milo_packed_copy {
  struct milo_packed_copy *next;
  uint64_t key[MILO_PACK_KEY_WORDS];
  uint64_t seen, made;  // versions of the buffer when it was last asked for, and made; 0: never
  void *data;           // 64-byte aligned; NULL: not made yet
} milo_packed_copy;

struct milo_buffer {
  atomic_int refs;
  size_t bytes;
  milo_buffer *whole;              // a slice: what it is a part of, retained; else NULL
  size_t offset;                   // a slice: where it begins
  char *data;                      // host memory; NULL: elsewhere
  const milo_memory_type *memory;  // elsewhere: how it is reached
  void *handle;
  atomic_uint_fast64_t version;  // a slice: not used, the whole's counts
  pthread_mutex_t lock;          // of packed
  milo_packed_copy *packed;
};

// The bytes of a buffer in host memory; NULL if they are elsewhere.
static inline void *milo_buffer_host(const milo_buffer *buffer) { return buffer->data; }

#endif
