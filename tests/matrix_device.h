// SPDX-License-Identifier: MIT
// A device for tests of the contract in device/device.h: it takes matrix products only, rewrites
// linear to matmul and add, and has memory that nobody reads by a pointer.
#ifndef MILO_TESTS_MATRIX_DEVICE_H
#define MILO_TESTS_MATRIX_DEVICE_H

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "device/buffer.h"
#include "device/ref/ref.h"
#include "ir/op.h"

// ---- memory: every byte lies there scrambled ----

enum { MATRIX_SCRAMBLE = 0xa7 };

typedef struct matrix_memory {
  size_t bytes;
  unsigned char data[];
} matrix_memory;

static int matrix_live;           // allocations that were not freed
static bool matrix_memory_fails;  // reads and writes do

static milo_status matrix_alloc(milo_device *device, size_t bytes, milo_diag *diag, void **out) {
  (void)device;
  matrix_memory *memory = malloc(sizeof *memory + bytes);
  *out = memory;
  if (memory == NULL) return milo_memory_fail("a far buffer", bytes, diag);
  memory->bytes = bytes;
  memset(memory->data, MATRIX_SCRAMBLE, bytes);
  matrix_live++;
  return MILO_OK;
}

static void matrix_free(void *handle) {
  matrix_live--;
  free(handle);
}

static milo_status matrix_read(void *handle, size_t offset, void *out, size_t bytes) {
  const matrix_memory *memory = handle;
  unsigned char *to = out;
  if (matrix_memory_fails) return MILO_ERR_IO;
  if (offset > memory->bytes || bytes > memory->bytes - offset) abort();
  for (size_t i = 0; i < bytes; i++) to[i] = memory->data[offset + i] ^ MATRIX_SCRAMBLE;
  return MILO_OK;
}

static milo_status matrix_write(void *handle, size_t offset, const void *data, size_t bytes) {
  matrix_memory *memory = handle;
  const unsigned char *from = data;
  if (matrix_memory_fails) return MILO_ERR_IO;
  if (offset > memory->bytes || bytes > memory->bytes - offset) abort();
  for (size_t i = 0; i < bytes; i++) memory->data[offset + i] = from[i] ^ MATRIX_SCRAMBLE;
  return MILO_OK;
}

static const milo_memory_type matrix_memory_type = {matrix_alloc, matrix_free, matrix_read,
                                                    matrix_write};

// ---- programs ----

typedef struct matrix_code {
  milo_program *program;
  const milo_func *func;
} matrix_code;

static bool matrix_supports(const milo_device *device, const milo_op *op) {
  (void)device;
  const bool product = op->code == MILO_OP_matmul || op->code == MILO_OP_linear;
  return op->code == MILO_OP_const || (product && milo_ref_supports(op));
}

// y = linear(x, weight, bias) becomes y = add(matmul(x, weight transposed), bias).
static milo_status matrix_lower(milo_device *device, milo_func *func, milo_diag *diag) {
  (void)device;
  (void)diag;
  for (milo_op *op = func->body->first; op != NULL; op = op->next) {
    milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
    milo_value *bias = milo_op_in(op, "bias");
    if (op->code != MILO_OP_linear || bias == NULL) continue;
    milo_arena *arena = milo_op_arena(op);
    static const bool yes = true;
    const milo_type flag = milo_type_tensor(MILO_BOOL, 0, NULL);
    milo_value *transpose =
        milo_value_literal(arena, (milo_literal){.kind = MILO_LITERAL_DATA,
                                                 .type = flag,
                                                 .data = milo_arena_copy(arena, &yes, sizeof yes),
                                                 .bytes = sizeof yes,
                                                 .count = 1});
    milo_op *product = milo_op_create(op->parent, op, "matmul", op->loc);
    milo_op_add_arg(product, "x", &x, 1);
    milo_op_add_arg(product, "y", &weight, 1);
    milo_op_add_arg(product, "transpose_y", &transpose, 1);
    milo_value *sum =
        milo_op_add_result(product, milo_func_fresh_name(func, "product"), op->results[0]->type);
    // The operation itself becomes the addition, so that its result stays.
    op->code = MILO_OP_add;
    op->name = "add";
    op->arg_count = 0;
    milo_op_add_arg(op, "x", &sum, 1);
    milo_op_add_arg(op, "y", &bias, 1);
  }
  return MILO_OK;
}

static milo_status matrix_compile(milo_device *device, const milo_func *func,
                                  const milo_executable_options *options, void **out_code,
                                  milo_diag *diag) {
  (void)device;
  (void)options;  // outputs are written after everything was read: any alias is fine
  (void)diag;
  matrix_code *code = malloc(sizeof *code);
  if (code == NULL) abort();
  *code = (matrix_code){func->program, func};
  milo_program_retain(func->program);
  *out_code = code;
  return MILO_OK;
}

static void matrix_code_destroy(void *opaque) {
  matrix_code *code = opaque;
  milo_program_destroy(code->program);
  free(code);
}

static milo_status matrix_state_create(milo_device *device, const void *code, void **out_state,
                                       milo_diag *diag) {
  (void)device;
  (void)code;
  (void)diag;
  *out_state = NULL;
  return MILO_OK;
}

static void matrix_state_destroy(void *state) { (void)state; }

static milo_status matrix_run(milo_device *device, const void *opaque, void *state,
                              milo_buffer *const *inputs, milo_buffer *const *outputs,
                              milo_diag *diag) {
  (void)device;
  (void)state;
  const matrix_code *code = opaque;
  const milo_block *body = code->func->body;
  milo_arena arena = {0};
  void **data = MILO_NEW_ARRAY(&arena, void *, (size_t)code->func->value_count + 1);
  milo_status status = MILO_OK;
  for (size_t i = 0; i < body->param_count && status == MILO_OK; i++) {
    const size_t bytes = milo_type_bytes(&body->params[i]->type);
    data[body->params[i]->id] = milo_arena_alloc(&arena, bytes);
    status = milo_buffer_read(inputs[i], 0, data[body->params[i]->id], bytes);
  }
  for (const milo_op *op = body->first; op != NULL && status == MILO_OK; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    const void *in[16];
    void *out[1];
    size_t count = 0;
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) in[count++] = data[op->args[i].values[k]->id];
    out[0] = milo_arena_alloc(&arena, milo_type_bytes(&op->results[0]->type));
    data[op->results[0]->id] = out[0];
    status = milo_ref_eval(op, in, out, diag);
  }
  for (size_t i = 0; i < body->output_count && status == MILO_OK; i++) {
    const milo_value *value = body->outputs[i];
    const milo_literal *literal = milo_value_constant(value);
    status = milo_buffer_write(outputs[i], 0, literal != NULL ? literal->data : data[value->id],
                               milo_type_bytes(&value->type));
  }
  milo_arena_deinit(&arena);
  return status;
}

static milo_status matrix_open(const milo_host *host, milo_device **out_device, milo_diag *diag);
static void matrix_close(milo_device *device) { free(device); }

static const milo_device_type matrix_device_type = {
    .name = "matrix",
    .summary = "matrix products only",
    .open = matrix_open,
    .close = matrix_close,
    .supports = matrix_supports,
    .compile = matrix_compile,
    .code_destroy = matrix_code_destroy,
    .state_create = matrix_state_create,
    .state_destroy = matrix_state_destroy,
    .run = matrix_run,
    .lower = matrix_lower,
    .memory = &matrix_memory_type,
};

static milo_status matrix_open(const milo_host *host, milo_device **out_device, milo_diag *diag) {
  (void)diag;
  *out_device = calloc(1, sizeof **out_device);
  if (*out_device == NULL) abort();
  **out_device = (milo_device){.type = &matrix_device_type, .host = *host};
  return MILO_OK;
}

#endif
