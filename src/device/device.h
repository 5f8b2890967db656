// SPDX-License-Identifier: MIT
// Devices: a device compiles a function into an executable, and a run executes it on buffers.
//
//   milo_device_open ─ milo_device_compile ─▶ milo_executable (immutable, counted)
//                                                │ milo_run_create, one a thread
//                                                ▼
//   buffers ────────────── milo_run_execute ─▶ milo_run ─▶ buffers
//
// Callers use the functions below; a device fills a milo_device_type. `ref` is the template.
#ifndef MILO_DEVICE_DEVICE_H
#define MILO_DEVICE_DEVICE_H

#include "base/pool.h"
#include "ir/ir.h"
#include "kernels/product.h"
#include "pass/pass.h"

// What a device may use of its host.
typedef struct milo_host {
  milo_pool *pool;                 // may be NULL: one thread
  unsigned cpu_caps;               // milo_cpu_caps, already masked
  milo_after_pass_fn *after_pass;  // hears of every pass of every compile; NULL: nobody
  void *after_pass_user;
} milo_host;

typedef struct milo_device milo_device;
typedef struct milo_executable milo_executable;
typedef struct milo_run milo_run;

MILO_MUST_USE milo_status milo_device_open(const char *name, const milo_host *host, milo_diag *diag,
                                           milo_device **out_device);
void milo_device_close(milo_device *device);

// ---- buffers --------------------------------------------------------------------------------
// Memory that executables read and write: counted, zeroed, of a size and a place that do not
// change. What a buffer is made of only devices know. milo_buffer_retain, _release, _bytes, _map,
// _unmap, _read, _write and _version stand in milo.h.
//
// A version grows with every change of the content (writing, and every run that has the buffer as
// an output); parts of a buffer share the version of the whole.

// Host memory, 64-byte aligned. MILO_ERR_NO_MEMORY also where the system would promise more than it
// has left.
MILO_MUST_USE milo_status milo_buffer_alloc(size_t bytes, milo_diag *diag, milo_buffer **out);
// Where the device works best: its own memory, if it has such.
MILO_MUST_USE milo_status milo_device_alloc(milo_device *device, size_t bytes, milo_diag *diag,
                                            milo_buffer **out);
// bytes from offset on, which lie inside; keeps whole alive.
MILO_MUST_USE milo_status milo_buffer_slice(milo_buffer *whole, size_t offset, size_t bytes,
                                            milo_diag *diag, milo_buffer **out);
MILO_MUST_USE milo_status milo_buffer_clear(milo_buffer *buffer);  // to zeros

// ---- compiling ------------------------------------------------------------------------------

// What an input is for. A device may keep copies of parameters in a layout of its own, by buffer
// and version.
typedef enum milo_role {
  MILO_ROLE_VALUE,      // differs from run to run
  MILO_ROLE_PARAMETER,  // changes seldom
  MILO_ROLE_STATE,      // changed by the run itself, through an alias
} milo_role;

// Output `output` may be given the same buffer as input `input` (a donated input): parameters and
// moments of an optimizer, caches. Both have the same type.
typedef struct milo_alias {
  size_t input, output;
} milo_alias;

// All zero: the defaults. Nothing of it is kept after the call.
typedef struct milo_executable_options {
  const milo_alias *aliases;
  size_t alias_count;
  const milo_role *roles;  // one an input; NULL: all values
  milo_numeric numeric;    // how products may read their operands
  bool keep_compressed;    // leave constexpr operations on stored constants to each run, instead of
                           // folding them to dense constants
  bool strict;             // refuse what the device itself does not run
  bool profile;            // runs keep times, see milo_run_profile
} milo_executable_options;

// How products may read their operands at a precision.
static inline milo_numeric milo_precision_numeric(milo_precision precision) {
  return precision == MILO_PRECISION_BF16 ? MILO_NUMERIC_BF16 : MILO_NUMERIC_EXACT;
}
// Stores func's activations as the precision says (pass/narrow.c), before it is split or compiled.
MILO_MUST_USE milo_status milo_device_narrow(const milo_device *device, milo_func *func,
                                             milo_precision precision, milo_diag *diag);

// Clones func, specializes it to input_types (NULL: its own types, all static), lets the device
// lower it, expands and simplifies it, compiles. Operations that the device does not support run on
// `cpu`; those whose shapes depend on values, on `ref`, one at a time. With strict both are
// MILO_ERR_UNSUPPORTED, each operation named with its place; so is, always, what no device runs.
// func's program is not needed afterwards. options may be NULL.
MILO_MUST_USE milo_status milo_device_compile(milo_device *device, const milo_func *func,
                                              const milo_type *input_types,
                                              const milo_executable_options *options,
                                              milo_diag *diag, milo_executable **out_executable);
// Executables never change: any number of threads may run one, each through a run of its own.
void milo_executable_retain(milo_executable *executable);
void milo_executable_release(milo_executable *executable);  // NULL allowed
// The signature after specialization; names and types live as long as the executable. A dimension
// of an output that depends on values is MILO_DIM_UNKNOWN.
size_t milo_executable_input_count(const milo_executable *executable);
size_t milo_executable_output_count(const milo_executable *executable);
const milo_value *milo_executable_input(const milo_executable *executable, size_t i);
const milo_value *milo_executable_output(const milo_executable *executable, size_t i);
// Was the input declared as a state? A run leaves in its buffer what the function wrote to it.
bool milo_executable_input_is_state(const milo_executable *executable, size_t i);
const char *milo_executable_device(const milo_executable *executable);  // its name
// Operations that the device itself does not run, as lines "fc1: linear runs on cpu"; "" if none.
const char *milo_executable_fallbacks(const milo_executable *executable);
// Memory for intermediate values during a run.
size_t milo_executable_scratch_bytes(const milo_executable *executable);

// ---- running --------------------------------------------------------------------------------

// What one thread needs to run an executable, beside the buffers. device: of the type that the
// executable was compiled for, with at least its processor's features; it serves one run at a time.
MILO_MUST_USE milo_status milo_run_create(milo_executable *executable, milo_device *device,
                                          milo_diag *diag, milo_run **out_run);
void milo_run_destroy(milo_run *run);  // NULL allowed
milo_executable *milo_run_executable(const milo_run *run);
// milo_device_compile and milo_run_create; the executable goes with the run.
MILO_MUST_USE milo_status milo_run_compile(milo_device *device, const milo_func *func,
                                           const milo_executable_options *options, milo_diag *diag,
                                           milo_run **out_run);
// The same for a function that was just built: built is what building it came to. Takes program.
MILO_MUST_USE milo_status milo_run_build(milo_device *device, milo_program *program,
                                         milo_status built, const milo_func *func,
                                         const milo_executable_options *options, milo_diag *diag,
                                         milo_run **out_run);

// Blocking. Buffers of outputs may not overlap other buffers but as the aliases allow. An output of
// unknown shape takes none: outputs[i] is not read then, see milo_run_output.
MILO_MUST_USE milo_status milo_run_execute(milo_run *run, milo_buffer *const *inputs,
                                           milo_buffer *const *outputs, milo_diag *diag);
// After a run: the shape that output i had, and, for one of unknown shape, its buffer (borrowed,
// valid until the next run; NULL for the others).
const milo_type *milo_run_output_type(const milo_run *run, size_t i);
milo_buffer *milo_run_output_buffer(const milo_run *run, size_t i);

// Time by operation since the run was created; rows come in the order of execution. Copies up to
// max rows, returns how many there are: none unless compiled with profile.
size_t milo_run_profile(const milo_run *run, milo_profile *rows, size_t max);

// ---- what a device provides -----------------------------------------------------------------

// Memory that the host reaches by copying only. handle: what alloc gave, zeroed. A device's run may
// be given such buffers, slices of them, and buffers in host memory, but none of another device's
// memory.
typedef struct milo_memory_type {
  milo_status (*alloc)(milo_device *device, size_t bytes, milo_diag *diag, void **out_handle);
  void (*free)(void *handle);
  milo_status (*read)(void *handle, size_t offset, void *out_data, size_t bytes);
  milo_status (*write)(void *handle, size_t offset, const void *data, size_t bytes);
} milo_memory_type;

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
  // func: static types, composites not taken already expanded, simplified, all of it supported. Not
  // kept after the call except for its program, which the code may retain for constants. The code
  // never changes afterwards.
  milo_status (*compile)(milo_device *device, const milo_func *func,
                         const milo_executable_options *options, void **out_code, milo_diag *diag);
  void (*code_destroy)(void *code);
  // What a run of code needs of its own; what cannot be had is noticed here.
  milo_status (*state_create)(milo_device *device, const void *code, void **out_state,
                              milo_diag *diag);
  void (*state_destroy)(void *state);
  // inputs and outputs in the order of func's parameters and outputs, checked to be large enough.
  milo_status (*run)(milo_device *device, const void *code, void *state, milo_buffer *const *inputs,
                     milo_buffer *const *outputs, milo_diag *diag);
  size_t (*scratch_bytes)(const void *code);

  // Optional.
  // Rewrites a specialized function in the device's favour, before support is asked. Inputs and
  // outputs keep their order and types.
  milo_status (*lower)(milo_device *device, milo_func *func, milo_diag *diag);
  size_t (*profile)(const void *code, const void *state, milo_profile *rows, size_t max);
  const milo_memory_type *memory;  // NULL: host memory
} milo_device_type;

extern const milo_device_type milo_device_type_ref;
extern const milo_device_type milo_device_type_cpu;
// All devices, ends with NULL.
extern const milo_device_type *const milo_device_types[];

struct milo_device {
  const milo_device_type *type;
  milo_host host;
  milo_device *fallback;  // `cpu`, opened when an executable needs it
  uint64_t compiled;      // executables so far
};

// For devices.
// Tells that the content of an output changed otherwise than through milo_buffer_write and _unmap
// (milo_run_execute does so for all outputs).
void milo_buffer_changed(milo_buffer *buffer);
// The buffer's content in the layout that key names, kept with the buffer: made by pack (user,
// where to) when it pays. NULL: pack it yourself this time. Safe from any thread; the copy stays as
// it is until the buffer changes.
enum { MILO_PACK_KEY_WORDS = 8 };
typedef void milo_repack_fn(void *user, void *out);
const void *milo_buffer_packed(milo_buffer *buffer, const uint64_t key[MILO_PACK_KEY_WORDS],
                               size_t bytes, milo_repack_fn *pack, void *user);

#endif
