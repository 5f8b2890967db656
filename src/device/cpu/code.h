// SPDX-License-Identifier: MIT
// The cpu device's own structures: how a function becomes a list of steps on planned memory.
//
// A value is a view: strides over a buffer. Reshapes, transposes and slices make new views and no
// step. So do casts from 16 bits to fp32: the view keeps the narrow type, and steps convert as they
// load. A cast to 16 bits whose operand has no other use is done by the step that stores it.
// Buffers get their place (an output's own memory, or an offset in the scratch block) after all
// steps are known, from when they are first written and last used.
#ifndef MILO_DEVICE_CPU_CODE_H
#define MILO_DEVICE_CPU_CODE_H

#include <string.h>

#include "base/arena.h"
#include "device/device.h"
#include "ir/op.h"
#include "kernels/gemm.h"

typedef struct milo_cpu_device {
  milo_device base;
  milo_exec exec;
  // Scratch memory of all runs of the device, of which there is one at a time; grows when one is
  // created that needs more.
  char *scratch;
  size_t scratch_bytes;
} milo_cpu_device;

// Element (i0, i1, ...) is at offset + i0 strides[0] + i1 strides[1] + ..., in elements.
typedef struct milo_view {
  uint32_t buffer;
  milo_dtype dtype;
  int rank;
  int64_t dims[MILO_MAX_RANK], strides[MILO_MAX_RANK];
  int64_t offset;
} milo_view;

typedef enum milo_place {
  MILO_PLACE_SCRATCH,
  MILO_PLACE_INPUT,  // index: which
  MILO_PLACE_OUTPUT,
  MILO_PLACE_CONST,  // data
} milo_place;

typedef struct milo_cpu_buffer {
  milo_place place;
  size_t index;
  const void *data;
  size_t bytes;
  size_t first, last;  // steps of the first write and the last use
  size_t reader_step;  // the last step that reads it, and how often that does
  uint32_t readers;
  size_t offset;    // scratch
  uint32_t merged;  // scratch: shares the memory of this buffer (itself: none)
} milo_cpu_buffer;

#define MILO_NO_STEP SIZE_MAX
enum { MILO_SCRATCH_ALIGN = 64 };

// What a step sees while it runs.
typedef struct milo_cpu_run {
  const milo_exec *exec;
  char *const *bases;  // one a buffer
  milo_buffer *const *inputs;
  void *workspace;  // of the step
  milo_diag *diag;
} milo_cpu_run;

typedef milo_status milo_step_fn(const milo_cpu_run *run, const void *args);

typedef struct milo_step {
  milo_step_fn *run;
  const void *args;
  const milo_op *op;
} milo_step;

// What stays of a compilation, and never changes again.
typedef struct milo_cpu_code {
  milo_program *program;  // retained
  milo_arena arena;
  const milo_step *steps;
  size_t step_count;
  const milo_cpu_buffer *buffers;
  size_t buffer_count;
  size_t workspace_offset;  // in the scratch block
  size_t scratch_bytes, workspace_bytes;
  milo_exec exec;  // but for the pool
  size_t threads;  // that workspaces were counted for
  unsigned cpu_caps;
  bool profile;
} milo_cpu_code;

// A compilation under way.
typedef struct milo_code {
  milo_cpu_device *device;
  milo_arena arena;
  milo_step *steps;
  size_t step_count, step_capacity;
  milo_cpu_buffer *buffers;
  size_t buffer_count, buffer_capacity;
  size_t workspace_bytes;   // greatest of all steps
  size_t workspace_offset;  // in the scratch block
  size_t scratch_bytes;
  milo_view *views;      // one a value
  bool *ready;           // one a value: its view is there
  uint32_t *uses;        // one a value: how many arguments and outputs name it
  const milo_op **user;  // one a value: the operation that uses it, if only one does
  bool *is_output;       // one a value
  uint8_t *deferred;     // one a value: registers it takes to compute it where it is used; 0:
                         // it has a view of its own
  struct {
    uint32_t result, operand;
    size_t step;
  } * pairs;  // result may take operand's memory, see milo_code_in_place
  size_t pair_count, pair_capacity;
  const milo_executable_options *options;
  milo_diag *diag;
} milo_code;

// ---- views (view.c) ----

milo_view milo_view_dense(uint32_t buffer, const milo_type *type);
size_t milo_view_elements(const milo_view *v);
bool milo_view_is_dense(const milo_view *v);
// The view under another shape; false if that needs a copy.
bool milo_view_reshape(const milo_view *v, int rank, const int64_t *dims, milo_view *out);
// Broadcast to a shape of rank >= v's: strides of 0.
milo_view milo_view_broadcast(const milo_view *v, int rank, const int64_t *dims);
milo_view milo_view_transpose(const milo_view *v, const int64_t *perm);
// Elements begin, begin + step, ... of one axis.
milo_view milo_view_slice(const milo_view *v, int axis, int64_t begin, int64_t size, int64_t step);
// Axes merged where all views of the set allow it, dims of 1 dropped; all have the same dims, and
// afterwards rank >= 1.
void milo_views_collapse(milo_view *views, size_t count);
// Results of a view operation; false: it has none here (a copy is needed, or it is no view).
bool milo_view_of_op(const milo_code *c, const milo_op *op, milo_view *out);

// Floats that steps take and give, computed in fp32.
static inline bool milo_cpu_float(milo_dtype dtype) {
  return dtype == MILO_FP32 || dtype == MILO_FP16 || dtype == MILO_BF16;
}

static inline void *milo_view_data(const milo_cpu_run *run, const milo_view *v) {
  return run->bases[v->buffer] + v->offset * (int64_t)(milo_dtype_bits(v->dtype) / 8);
}

// ---- rows (row.c) ----

// n elements from the at-th on as fp32: where they lie, or converted into room (n floats).
const float *milo_row_load(const milo_rows *rows, const void *data, milo_dtype dtype, ptrdiff_t at,
                           size_t n, float *room);
// Where to compute elements from the at-th on: in place if they are fp32, else in room.
float *milo_row_target(void *data, milo_dtype dtype, ptrdiff_t at, float *room);
// Stores what was computed at milo_row_target.
void milo_row_store(const milo_rows *rows, void *data, milo_dtype dtype, ptrdiff_t at, size_t n,
                    const float *from);

// Workspace of n floats for each worker.
size_t milo_row_rooms(const milo_code *c, size_t n);

// ---- building (build.c) ----

uint32_t milo_code_add_buffer(milo_code *c, size_t bytes);
// New scratch memory.
milo_view milo_code_new(milo_code *c, milo_dtype dtype, int rank, const int64_t *dims);
milo_view milo_code_new_like(milo_code *c, const milo_value *value);
// Appends a step. args were allocated in c->arena. op may be NULL.
void milo_code_add_step(milo_code *c, const milo_op *op, milo_step_fn *run, const void *args,
                        size_t workspace_bytes);
// Says that the next step to be added reads or writes a view.
void milo_code_reads(milo_code *c, const milo_view *v);
void milo_code_writes(milo_code *c, const milo_view *v);
// The next step may write result over operand: it reads each element before it writes it. Called
// after the step's reads were said; without effect unless both lie alike in their buffers and the
// step reads operand's buffer only once.
void milo_code_in_place(milo_code *c, const milo_view *result, const milo_view *operand);

// The view of a value (constants too), in its own type.
milo_view milo_code_view(milo_code *c, const milo_value *value);
// The same as it is stored: an fp32 value may lie there in 16 bits, exactly (it was cast from them,
// or is only used rounded to them). For steps that read either.
milo_view milo_code_stored(milo_code *c, const milo_value *value);
milo_view milo_code_in(milo_code *c, const milo_op *op, const char *name);
void milo_code_set(milo_code *c, const milo_value *value, const milo_view *view);
// The view, or a copy of it if it is not dense (not fp32).
milo_view milo_code_dense(milo_code *c, const milo_view *v);
milo_view milo_code_dense_f32(milo_code *c, const milo_view *v);
milo_view milo_code_f32(milo_code *c, const milo_view *v);
// Adds a step that copies from into to, converting; same dims.
void milo_code_copy(milo_code *c, const milo_view *from, const milo_view *to);
// What result i may be stored as: the 16-bit type that its only use casts it to, or its own.
milo_dtype milo_code_store_dtype(const milo_code *c, const milo_op *op, size_t i);
// Is result i handed out, as it is or cast to 16 bits? Its memory is then best laid out as the
// output's.
bool milo_code_hands_out(const milo_code *c, const milo_op *op, size_t i);
// New memory for result i as it is stored, to be followed by milo_code_set.
milo_view milo_code_result(milo_code *c, const milo_op *op, size_t i);
// An argument, dense, as it is stored.
milo_view milo_code_dense_in(milo_code *c, const milo_op *op, const char *name);
// New memory for result i in fp32, to be followed by milo_code_finish, which converts.
milo_view milo_code_result_f32(milo_code *c, const milo_op *op, size_t i);
void milo_code_finish(milo_code *c, const milo_op *op, size_t i, const milo_view *f32);

// ---- operations ----

// Emits the steps of op and sets its results' views. False, nothing done: there is no fast way.
typedef bool milo_emit_fn(milo_code *c, const milo_op *op);
extern milo_emit_fn *const milo_cpu_emitters[MILO_OP_COUNT];

milo_emit_fn milo_emit_elementwise, milo_emit_silu_gate_grad, milo_emit_matmul, milo_emit_linear,
    milo_emit_pointwise, milo_emit_conv, milo_emit_conv_transpose, milo_emit_pool,
    milo_emit_pool_grad, milo_emit_softmax, milo_emit_layer_norm, milo_emit_rms_norm,
    milo_emit_rms_norm_grad, milo_emit_reduce, milo_emit_rope, milo_emit_attention,
    milo_emit_attention_grad, milo_emit_cross_entropy, milo_emit_cross_entropy_grad,
    milo_emit_adamw, milo_emit_gather, milo_emit_scatter, milo_emit_join, milo_emit_copy_view,
    milo_emit_slice_update;
// By the definition of the operation, on dense copies.
void milo_emit_reference(milo_code *c, const milo_op *op);

// Products of few rows, or with int8 weights, and attention of few queries (few.c): tried before
// the table.
milo_emit_fn milo_emit_few_product, milo_emit_few_attention;
// Leaves scale_blocks to the product that reads it, where that can be.
bool milo_few_defers(milo_code *c, const milo_op *op);
// Leaves an elementwise operation to the loop of the one that uses it, where that can be.
bool milo_elementwise_defers(milo_code *c, const milo_op *op);

// Places all buffers (plan.c).
milo_status milo_code_plan(milo_code *c, const milo_func *func);

#endif
