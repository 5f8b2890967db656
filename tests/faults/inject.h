// SPDX-License-Identifier: MIT
// Calls of Milo to the system that fail on request. The test program is linked so that every call
// of a function of inject.c's list lands there (the linker's --wrap); it is counted and passed on,
// or made to fail as the system would fail it.
#ifndef MILO_TESTS_INJECT_H
#define MILO_TESTS_INJECT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum fault_kind {
  FAULT_MEMORY,  // allocations
  FAULT_FILE,    // what leaves data unread or unwritten: must never go unnoticed
  FAULT_OTHER,   // closing, asking, syncing a folder: may be made up for
} fault_kind;

typedef struct fault_call {
  const char *name;  // "malloc"
  fault_kind kind;
  const void *site;  // where in Milo it was called
  size_t bytes;      // of an allocation
} fault_call;

enum { FAULT_NEVER = -1, FAULT_MAX_CALLS = 1 << 16 };

// How reads and writes behave meanwhile.
typedef enum fault_weather {
  FAULT_CALM,
  FAULT_SHORT,        // they move a part of the bytes
  FAULT_INTERRUPTED,  // every second one is broken off by a signal before it begins
} fault_weather;

// From here to fault_stop calls are counted and written down, and number nth (from 0) fails, as do
// all its successors at the same site if lasting. FAULT_NEVER: none.
void fault_start(long nth, bool lasting, fault_weather weather);
typedef struct fault_record {
  size_t calls;     // counted
  bool injected;    // one was made to fail,
  fault_call call;  // this one
  // What was not given back since fault_start: blocks of memory, files, mappings.
  long blocks, files, mappings;
} fault_record;
fault_record fault_stop(void);
size_t fault_counted(void);  // so far
// The calls of the last count, in order.
const fault_call *fault_calls(void);

#endif
