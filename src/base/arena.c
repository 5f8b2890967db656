// SPDX-License-Identifier: MIT
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/status.h"

// Under AddressSanitizer the part of a block that was not handed out is off limits.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MILO_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define MILO_ASAN 1
#endif
#ifdef MILO_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) ((void)(memory), (void)(bytes))
#endif

enum { MAX_ALIGNMENT = _Alignof(max_align_t), FIRST_BLOCK = 16 * 1024, LARGEST_STEP = 1024 * 1024 };

struct milo_arena_block {
  milo_arena_block *next;
  _Alignas(max_align_t) unsigned char data[];
};

void milo_arena_deinit(milo_arena *arena) {
  for (milo_arena_block *block = arena->head; block;) {
    milo_arena_block *next = block->next;
    free(block);
    block = next;
  }
  *arena = (milo_arena){0};
}

// Makes a new head block with room for at least bytes. Blocks grow with the arena.
static void add_block(milo_arena *arena, size_t bytes) {
  size_t capacity = FIRST_BLOCK;
  while (capacity < LARGEST_STEP && capacity < arena->total_bytes) capacity *= 2;
  if (capacity < bytes) capacity = bytes;
  milo_arena_block *block =
      capacity <= SIZE_MAX - sizeof *block ? calloc(1, sizeof *block + capacity) : NULL;
  if (!block) milo_out_of_memory(capacity);
  ASAN_POISON_MEMORY_REGION(block->data, capacity);
  block->next = arena->head;
  arena->head = block;
  arena->used = 0;
  arena->capacity = capacity;
}

static void *alloc(milo_arena *arena, size_t bytes, size_t alignment) {
  size_t start = (arena->used + alignment - 1) & ~(alignment - 1);
  if (!arena->head || start > arena->capacity || arena->capacity - start < bytes) {
    add_block(arena, bytes);
    start = 0;
  }
  void *memory = arena->head->data + start;
  arena->total_bytes += start + bytes - arena->used;
  arena->used = start + bytes;
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
  return memory;
}

void *milo_arena_alloc(milo_arena *arena, size_t bytes) {
  if (bytes == 0) bytes = 1;  // distinct objects have distinct addresses
  // The size of a type is a multiple of its alignment: an odd number of words holds nothing that
  // needs more than a word's.
  size_t alignment = MAX_ALIGNMENT;
  while (bytes % alignment != 0) alignment /= 2;
  return alloc(arena, bytes, alignment);
}

void *milo_arena_alloc_array(milo_arena *arena, size_t count, size_t bytes) {
  size_t total;
  if (!milo_size_mul(count, bytes, &total)) milo_out_of_memory(SIZE_MAX);
  return milo_arena_alloc(arena, total);
}

void *milo_arena_copy(milo_arena *arena, const void *data, size_t bytes) {
  void *copy = milo_arena_alloc(arena, bytes);
  if (bytes) memcpy(copy, data, bytes);
  return copy;
}

char *milo_arena_strndup(milo_arena *arena, const char *text, size_t bytes) {
  if (bytes == SIZE_MAX) milo_out_of_memory(bytes);
  char *copy = alloc(arena, bytes + 1, 1);
  if (bytes) memcpy(copy, text, bytes);
  return copy;
}

char *milo_arena_strdup(milo_arena *arena, const char *text) {
  return milo_arena_strndup(arena, text, strlen(text));
}

char *milo_arena_printf(milo_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  const int bytes = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = alloc(arena, bytes < 0 ? 1 : (size_t)bytes + 1, 1);
  if (bytes > 0) vsnprintf(text, (size_t)bytes + 1, format, again);
  va_end(again);
  return text;
}

void *milo_arena_grow(milo_arena *arena, const void *items, size_t count, size_t *capacity,
                      size_t item_bytes) {
  const size_t grown = *capacity < 2 ? 2 : *capacity * 2;  // most lists are short
  if (grown < *capacity) milo_out_of_memory(SIZE_MAX);
  void *copy = milo_arena_alloc_array(arena, grown, item_bytes);
  if (count) memcpy(copy, items, count * item_bytes);
  *capacity = grown;
  return copy;
}
