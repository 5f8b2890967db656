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
  bool renewed;         // holds what the buffer's next version will
  size_t bytes;
  void *data;  // 64-byte aligned; NULL: not made yet
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

// A run that changes a buffer may write its copies anew in the same pass over memory, so that what
// asks for them next finds them there:
//   milo_buffer_wanted  up to max of the copies that were asked for since the buffer last changed;
//                       returns how many. They live as long as the buffer.
//   milo_renew_begin    where to write; the copy is not there from now on. NULL: no memory.
//   milo_renew_end      it was written: the next change of the buffer makes it the copy of what
//                       the buffer then holds.
size_t milo_buffer_wanted(milo_buffer *buffer, milo_packed_copy **out, size_t max);
void *milo_renew_begin(milo_buffer *buffer, milo_packed_copy *copy);
void milo_renew_end(milo_buffer *buffer, milo_packed_copy *copy);

// The bytes of a buffer in host memory; NULL if they are elsewhere.
static inline void *milo_buffer_host(const milo_buffer *buffer) { return buffer->data; }

#endif
