// SPDX-License-Identifier: MIT
// Devices: a device compiles a function into an executable and runs it on buffers.
//
// Callers use the functions below; a device fills a milo_device_type. `ref` is the template.
#ifndef MILO_DEVICE_DEVICE_H
#define MILO_DEVICE_DEVICE_H

#include "base/pool.h"
#include "ir/ir.h"

// What a device may use of its host.
typedef struct milo_host {
  milo_pool *pool;    // may be NULL: one thread
  unsigned cpu_caps;  // milo_cpu_caps, already masked
} milo_host;

// Memory that executables read and write. Counted. Host-visible, 64-byte aligned, zeroed.
// MILO_ERR_NO_MEMORY also where the system would promise more than it has left.
struct milo_buffer {
  int refs;
  size_t bytes;
  void *data;
};
MILO_MUST_USE milo_status milo_buffer_alloc(size_t bytes, milo_diag *diag, milo_buffer **out);

typedef struct milo_device milo_device;
typedef struct milo_executable milo_executable;

// Output `output` may be given the same buffer as input `input` (a donated input): parameters and
// moments of an optimizer, caches. Both have the same type.
typedef struct milo_alias {
  size_t input, output;
} milo_alias;

typedef struct milo_executable_options {
  const milo_alias *aliases;
  size_t alias_count;
} milo_executable_options;

typedef struct milo_device_type {
  const char *name;
  const char *summary;  // one line for `milo help`
  // MILO_ERR_UNSUPPORTED: this machine has no such device (tests then skip, not fail).
  milo_status (*open)(const milo_host *host, milo_device **out_device, milo_diag *diag);
  void (*close)(milo_device *device);
  // Does the device run this operation (types are static)? compile may then not refuse it.
  bool (*supports)(const milo_device *device, const milo_op *op);
  // Does the device take this composite whole?
  bool (*takes)(const milo_device *device, const milo_op *op);
  // func: static types, composites not taken already expanded, simplified. Not kept after the call
  // except for its program, which the executable may retain for constants.
  milo_status (*compile)(milo_device *device, const milo_func *func,
                         const milo_executable_options *options, void **out_code, milo_diag *diag);
  void (*code_destroy)(void *code);
  // inputs and outputs in the order of func's parameters and outputs, checked to be large enough.
  milo_status (*run)(void *code, milo_buffer *const *inputs, milo_buffer *const *outputs,
                     milo_diag *diag);
  size_t (*scratch_bytes)(const void *code);
} milo_device_type;

extern const milo_device_type milo_device_type_ref;
extern const milo_device_type milo_device_type_cpu;
// All devices, ends with NULL.
extern const milo_device_type *const milo_device_types[];

struct milo_device {
  const milo_device_type *type;
  milo_host host;
};

MILO_MUST_USE milo_status milo_device_open(const char *name, const milo_host *host, milo_diag *diag,
                                           milo_device **out_device);
void milo_device_close(milo_device *device);

// Clones func, specializes it to input_types (NULL: its own types, all static), expands and
// simplifies it for the device, names what the device cannot run (each operation with its place,
// MILO_ERR_UNSUPPORTED), compiles. func's program is not needed afterwards. options may be NULL.
MILO_MUST_USE milo_status milo_device_compile(milo_device *device, const milo_func *func,
                                              const milo_type *input_types,
                                              const milo_executable_options *options,
                                              milo_diag *diag, milo_executable **out_executable);
void milo_executable_destroy(milo_executable *executable);
// The signature after specialization; names and types live as long as the executable.
size_t milo_executable_input_count(const milo_executable *executable);
size_t milo_executable_output_count(const milo_executable *executable);
const milo_value *milo_executable_input(const milo_executable *executable, size_t i);
const milo_value *milo_executable_output(const milo_executable *executable, size_t i);
size_t milo_executable_scratch_bytes(const milo_executable *executable);
// Blocking. Buffers of outputs may not overlap other buffers but as the aliases allow.
MILO_MUST_USE milo_status milo_executable_run(milo_executable *executable,
                                              milo_buffer *const *inputs,
                                              milo_buffer *const *outputs, milo_diag *diag);

#endif
