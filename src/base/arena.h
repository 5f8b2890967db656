// SPDX-License-Identifier: MIT
// Bump allocation for the compiler's small objects: freed all at once, never fails (a process that
// is out of memory for kilobytes ends with a message; readers bound what a file can ask for).
#ifndef MILO_BASE_ARENA_H
#define MILO_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct milo_arena_block milo_arena_block;

// Zero-initialised is an empty arena.
typedef struct milo_arena {
  milo_arena_block *head;
  size_t used, capacity;  // of the head block
  size_t total_bytes;     // handed out in all
} milo_arena;

void milo_arena_deinit(milo_arena *arena);

// Zeroed, aligned for any type of that size (or array of such). bytes may be 0.
void *milo_arena_alloc(milo_arena *arena, size_t bytes);
// count * bytes, checked.
void *milo_arena_alloc_array(milo_arena *arena, size_t count, size_t bytes);
void *milo_arena_copy(milo_arena *arena, const void *data, size_t bytes);
char *milo_arena_strdup(milo_arena *arena, const char *text);
char *milo_arena_strndup(milo_arena *arena, const char *text, size_t bytes);
char *milo_arena_printf(milo_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define MILO_NEW(arena, type) ((type *)milo_arena_alloc((arena), sizeof(type)))
#define MILO_NEW_ARRAY(arena, type, count) \
  ((type *)milo_arena_alloc_array((arena), (count), sizeof(type)))

// Appends to an array {items, count, capacity} that lives in an arena; the old copy is left behind.
#define MILO_PUSH(arena, items, count, capacity, item)                                    \
  do {                                                                                    \
    if ((count) == (capacity))                                                            \
      (items) = milo_arena_grow((arena), (items), (count), &(capacity), sizeof *(items)); \
    (items)[(count)++] = (item);                                                          \
  } while (0)
void *milo_arena_grow(milo_arena *arena, const void *items, size_t count, size_t *capacity,
                      size_t item_bytes);

#endif
