// SPDX-License-Identifier: MIT
// What compile.c makes, partition.c cuts and run.c runs: for these files only.
//
// An executable is a list of segments, run in order. A segment is a function of its own, compiled
// for one device, or, where shapes depend on values, kept as it is and evaluated operation by
// operation. Values that go from one segment to another lie in slots: slot i < input_count is input
// i of the function, the rest are made by segments.
#ifndef MILO_DEVICE_EXECUTABLE_H
#define MILO_DEVICE_EXECUTABLE_H

#include <stdatomic.h>

#include "device/device.h"
#include "pass/states.h"

typedef enum milo_segment_kind {
  MILO_SEGMENT_DEVICE,    // the device itself
  MILO_SEGMENT_FALLBACK,  // cpu
  MILO_SEGMENT_DYNAMIC,   // see dynamic.h
  MILO_SEGMENT_KINDS,
} milo_segment_kind;

typedef struct milo_segment {
  milo_segment_kind kind;
  const milo_device_type *type;  // not dynamic
  milo_func *func;
  void *code;                // not dynamic
  size_t *inputs, *outputs;  // slots
  size_t input_count, output_count;
} milo_segment;

typedef struct milo_crossing {
  milo_type type;  // dims may be unknown
  size_t output;   // the function's output that lies here; SIZE_MAX: none
  bool own;        // lies in memory of each run, not in a caller's buffer
  bool on_device;  // made and used by the device only: lies in its memory
} milo_crossing;

struct milo_executable {
  atomic_int refs;
  const milo_device_type *type;
  milo_program *program;  // holds all that follows
  milo_func *func;
  milo_value *inputs, *outputs;  // name and type; what a pass renames stays as it was declared
  size_t input_count, output_count;
  bool *is_state;          // by input
  milo_state_link *links;  // of states that are written: the last outputs, which no caller sees
  size_t link_count;
  milo_alias *aliases;  // by output, then by input
  size_t alias_count;
  milo_segment *segments;
  size_t segment_count;
  milo_crossing *slots;
  size_t slot_count;
  const char *fallbacks;
  bool profile;  // runs keep times
};

// Fills e->segments, slots and fallbacks from e->func, whose operations all run somewhere, and
// compiles the segments.
MILO_MUST_USE milo_status milo_executable_cut(milo_executable *e, milo_device *device,
                                              const milo_executable_options *options,
                                              milo_diag *diag);
// Where an operation runs: MILO_SEGMENT_KINDS if nowhere.
milo_segment_kind milo_segment_kind_of(const milo_device *device, const milo_op *op);
// Is that the device itself? Shapes that depend on values are ref's own matter.
bool milo_segment_is_own(const milo_device *device, milo_segment_kind kind);
// The device that runs such segments, opened on first use.
MILO_MUST_USE milo_status milo_device_for(milo_device *device, milo_segment_kind kind,
                                          milo_diag *diag, milo_device **out_device);

#endif
