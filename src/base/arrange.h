// SPDX-License-Identifier: MIT
// Where buffers lie in one block of memory: those that live at the same time apart, the block
// small.
#ifndef MILO_BASE_ARRANGE_H
#define MILO_BASE_ARRANGE_H

#include "base/arena.h"

// Lives from step `first` to step `last`, both included.
typedef struct milo_slot {
  size_t bytes, first, last;
  size_t offset;  // found
} milo_slot;

typedef struct milo_arrangement {
  size_t bytes;        // of the block
  size_t least_bytes;  // that any block has: the most that is alive at one step
  size_t work;         // comparisons and the like that it took, for those who count them
} milo_arrangement;

// Sets every slot's offset. Sizes of 0 are fine; offsets are sums of sizes, so sizes that are
// multiples of an alignment keep it. scratch: what it needs for itself, O(count).
milo_arrangement milo_arrange(milo_slot *slots, size_t count, milo_arena *scratch);

#endif
