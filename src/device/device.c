// SPDX-License-Identifier: MIT
// What all devices have in common: opening, compiling (specialize, simplify, check), running with
// checked arguments. Buffers are in buffer.c.
#include "device/device.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"

const milo_device_type *const milo_device_types[] = {
    &milo_device_type_ref,
    &milo_device_type_cpu,
    NULL,
};

milo_status milo_device_open(const char *name, const milo_host *host, milo_diag *diag,
                             milo_device **out_device) {
  *out_device = NULL;
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; ++type)
    if (strcmp((*type)->name, name) == 0) return (*type)->open(host, out_device, diag);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "there is no device \"%s\"", name);
}

void milo_device_close(milo_device *device) {
  if (device != NULL) device->type->close(device);
}

// ---- compiling ----

// What a buffer is used for in a run.
typedef struct buffer_use {
  const milo_buffer *buffer;
  size_t next;  // another input with the same buffer: its number + 1; 0: none
} buffer_use;

struct milo_executable {
  const milo_device_type *type;
  milo_program *program;  // holds func and all that follows
  milo_func *func;
  milo_value *inputs, *outputs;  // name and type; what a pass renames stays as it was declared
  size_t input_count, output_count;
  milo_alias *aliases;  // sorted
  size_t alias_count;
  buffer_use *uses;  // one an input and output, for a run's checks
  size_t *slots;     // hash table of buffers: the number of a use + 1; 0: free
  size_t slot_count;
  void *code;
};

// What passes ask about composites.
static bool keeps(const void *user, const milo_op *op) {
  const milo_device *device = user;
  return device->type->takes != NULL && device->type->takes(device, op);
}

// Reports every operation of the block, and of the blocks in it, that is not in the table.
static size_t report_unknown(const milo_block *block, const milo_device *device, milo_diag *diag) {
  size_t count = 0;
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_unknown) {
      ++count;
      (void)milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED, "device %s does not support %s",
                      device->type->name, op->name);
    }
    for (size_t i = 0; i < op->block_count; ++i)
      count += report_unknown(op->blocks[i], device, diag);
  }
  return count;
}

static milo_status check_weights(const milo_value *value, milo_loc loc, milo_diag *diag) {
  const milo_literal *literal = value->literal;
  if (literal == NULL || literal->kind != MILO_LITERAL_BLOB || literal->data != NULL)
    return MILO_OK;
  return milo_fail(diag, loc, MILO_ERR_INVALID, "the data of %s, in %s, was not loaded",
                   value->name != NULL ? value->name : "a constant", literal->blob_path);
}

static milo_status check_func(const milo_func *func, const milo_device *device, milo_diag *diag) {
  milo_status status = MILO_OK;
  for (const milo_op *op = func->body->first; op != NULL; op = op->next) {
    milo_status one = MILO_OK;
    for (size_t i = 0; i < op->result_count && one == MILO_OK; ++i)
      one = check_weights(op->results[i], op->loc, diag);
    for (size_t i = 0; i < op->arg_count; ++i)
      for (size_t k = 0; k < op->args[i].count && one == MILO_OK; ++k)
        if (op->args[i].values[k]->def == NULL)
          one = check_weights(op->args[i].values[k], op->loc, diag);
    if (one == MILO_OK && op->code != MILO_OP_const && !device->type->supports(device, op)) {
      const milo_type *type = op->result_count > 0 ? &op->results[0]->type : NULL;
      one = milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED, "device %s does not support %s%s%s",
                      device->type->name, op->name, type != NULL ? " giving " : "",
                      type != NULL ? milo_type_format(&func->program->arena, type, true) : "");
    }
    if (one != MILO_OK) status = one;
  }
  return status;
}

static milo_status check_type(const milo_value *value, const milo_type *type, milo_loc loc,
                              const char *what, milo_diag *diag) {
  if (type->kind != MILO_TYPE_TENSOR || type->dtype == MILO_STRING)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED, "%s %s is not a tensor of numbers", what,
                     value->name);
  if (!milo_type_is_static(type))
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "%s %s has no known shape\ngive the shape of every input", what, value->name);
  size_t bytes;
  if (!milo_tensor_bytes(type->dtype, type->rank, type->dims, &bytes) || bytes > PTRDIFF_MAX)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%s %s is larger than memory can be", what,
                     value->name);
  return MILO_OK;
}

// Every value's type must be known before anything runs.
static milo_status check_shapes(const milo_func *func, milo_diag *diag) {
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; ++i) {
      const milo_type *type = &op->results[i]->type;
      if (type->kind == MILO_TYPE_TENSOR && !milo_type_is_static(type))
        return milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED,
                         "the shape of %s, %s, depends on values that are known only when it runs",
                         op->results[i]->name, milo_type_format(&func->program->arena, type, true));
    }
  return MILO_OK;
}

static milo_status specialize(milo_func *func, const milo_type *input_types,
                              const milo_pass_options *passes, milo_diag *diag) {
  const milo_block *body = func->body;
  milo_type *types = MILO_NEW_ARRAY(&func->program->arena, milo_type, body->param_count);
  for (size_t i = 0; i < body->param_count; ++i) {
    types[i] = input_types != NULL ? input_types[i] : body->params[i]->type;
    MILO_TRY(check_type(body->params[i], &types[i], func->loc, "input", diag));
  }
  MILO_TRY(milo_func_specialize(func, types, diag));
  MILO_TRY(milo_pass_fold(func, passes, diag));  // shapes may be computed from shapes
  MILO_TRY(check_shapes(func, diag));
  for (size_t i = 0; i < body->output_count; ++i)
    MILO_TRY(check_type(body->outputs[i], &body->outputs[i]->type, func->loc, "output", diag));
  return MILO_OK;
}

static milo_value *signature(milo_arena *arena, milo_value *const *values, size_t count) {
  milo_value *copy = MILO_NEW_ARRAY(arena, milo_value, count);
  for (size_t i = 0; i < count; ++i)
    copy[i] = (milo_value){
        .name = values[i]->name, .type = values[i]->type, .index = (uint32_t)i, .id = (uint32_t)i};
  return copy;
}

static int compare_aliases(const void *a, const void *b) {
  const milo_alias *x = a, *y = b;
  if (x->output != y->output) return x->output < y->output ? -1 : 1;
  return x->input < y->input ? -1 : x->input > y->input;
}

static milo_status keep_aliases(milo_executable *e, const milo_executable_options *options,
                                milo_diag *diag) {
  if (options == NULL || options->alias_count == 0) return MILO_OK;
  e->alias_count = options->alias_count;
  e->aliases = milo_arena_copy(&e->program->arena, options->aliases,
                               options->alias_count * sizeof *options->aliases);
  for (size_t i = 0; i < e->alias_count; ++i) {
    const milo_alias *alias = &e->aliases[i];
    if (alias->input >= e->input_count || alias->output >= e->output_count)
      return milo_fail(diag, e->func->loc, MILO_ERR_INVALID,
                       "alias of input %zu and output %zu: there are %zu and %zu", alias->input,
                       alias->output, e->input_count, e->output_count);
    const milo_value *input = &e->inputs[alias->input], *output = &e->outputs[alias->output];
    if (!milo_type_equal(&input->type, &output->type))
      return milo_fail(diag, e->func->loc, MILO_ERR_INVALID,
                       "input %s cannot be donated to output %s: their types differ", input->name,
                       output->name);
  }
  qsort(e->aliases, e->alias_count, sizeof *e->aliases, compare_aliases);
  return MILO_OK;
}

static void make_uses(milo_executable *e) {
  const size_t count = e->input_count + e->output_count;
  e->slot_count = 8;
  while (e->slot_count < 2 * count) e->slot_count *= 2;
  e->uses = MILO_NEW_ARRAY(&e->program->arena, buffer_use, count);
  e->slots = MILO_NEW_ARRAY(&e->program->arena, size_t, e->slot_count);
}

static milo_status compile(milo_executable *e, milo_device *device, const milo_type *input_types,
                           const milo_executable_options *options, milo_diag *diag) {
  if (report_unknown(e->func->body, device, diag) > 0) return MILO_ERR_UNSUPPORTED;
  const milo_pass_options passes = {.eval = milo_ref_fold, .keep = keeps, .user = device};
  MILO_TRY(specialize(e->func, input_types, &passes, diag));
  milo_arena *arena = &e->program->arena;
  e->input_count = e->func->body->param_count;
  e->output_count = e->func->body->output_count;
  e->inputs = signature(arena, e->func->body->params, e->input_count);
  e->outputs = signature(arena, e->func->body->outputs, e->output_count);
  MILO_TRY(keep_aliases(e, options, diag));
  make_uses(e);
  MILO_TRY(milo_pass_run_all(e->func, &passes, diag));
  MILO_TRY(check_func(e->func, device, diag));
  milo_func_number(e->func);
  const milo_executable_options none = {0};
  return device->type->compile(device, e->func, options != NULL ? options : &none, &e->code, diag);
}

milo_status milo_device_compile(milo_device *device, const milo_func *func,
                                const milo_type *input_types,
                                const milo_executable_options *options, milo_diag *diag,
                                milo_executable **out_executable) {
  *out_executable = NULL;
  milo_executable *e = calloc(1, sizeof *e);
  if (e == NULL) return milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory to compile");
  e->type = device->type;
  e->program = milo_program_create();
  e->func = milo_func_clone(e->program, func, func->name);
  const milo_status status = compile(e, device, input_types, options, diag);
  if (status != MILO_OK)
    milo_executable_destroy(e);
  else
    *out_executable = e;
  return status;
}

void milo_executable_destroy(milo_executable *e) {
  if (e == NULL) return;
  if (e->code != NULL) e->type->code_destroy(e->code);
  milo_program_destroy(e->program);
  free(e);
}

size_t milo_executable_input_count(const milo_executable *e) { return e->input_count; }
size_t milo_executable_output_count(const milo_executable *e) { return e->output_count; }

const milo_value *milo_executable_input(const milo_executable *e, size_t i) {
  assert(i < e->input_count);
  return &e->inputs[i];
}

const milo_value *milo_executable_output(const milo_executable *e, size_t i) {
  assert(i < e->output_count);
  return &e->outputs[i];
}

size_t milo_executable_scratch_bytes(const milo_executable *e) {
  return e->type->scratch_bytes != NULL ? e->type->scratch_bytes(e->code) : 0;
}

// ---- running ----

static milo_status check_buffer(const milo_value *value, const milo_buffer *buffer,
                                const char *what, milo_diag *diag) {
  const size_t need = milo_type_bytes(&value->type);
  if (buffer == NULL)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s %s has no buffer", what, value->name);
  if (buffer->bytes < need)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "the buffer of %s %s has %zu bytes, %zu are needed", what, value->name,
                     buffer->bytes, need);
  return MILO_OK;
}

static bool may_share(const milo_executable *e, size_t input, size_t output) {
  const milo_alias alias = {input, output};
  return e->alias_count > 0 &&
         bsearch(&alias, e->aliases, e->alias_count, sizeof alias, compare_aliases) != NULL;
}

// The buffer's place in the table: what stands there is its last use, 0 if there was none.
static size_t *find_use(const milo_executable *e, const milo_buffer *buffer) {
  size_t i = (size_t)(((uint64_t)(uintptr_t)buffer * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
  for (i &= e->slot_count - 1; e->slots[i] != 0; i = (i + 1) & (e->slot_count - 1))
    if (e->uses[e->slots[i] - 1].buffer == buffer) break;
  return &e->slots[i];
}

// Outputs must have buffers of their own but for aliases. In proportion to inputs and outputs: two
// outputs of one buffer end it, so that the inputs of a buffer are gone through once.
static milo_status check_sharing(milo_executable *e, milo_buffer *const *inputs,
                                 milo_buffer *const *outputs, milo_diag *diag) {
  memset(e->slots, 0, e->slot_count * sizeof *e->slots);
  for (size_t i = e->input_count; i-- > 0;) {  // so that the first is found first
    size_t *slot = find_use(e, inputs[i]);
    e->uses[i] = (buffer_use){inputs[i], *slot};
    *slot = i + 1;
  }
  for (size_t o = 0; o < e->output_count; ++o) {
    if (outputs[o]->bytes == 0) continue;
    size_t *slot = find_use(e, outputs[o]);
    for (size_t use = *slot; use != 0; use = e->uses[use - 1].next) {
      if (use > e->input_count)
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                         "outputs %s and %s have the same buffer",
                         e->outputs[use - 1 - e->input_count].name, e->outputs[o].name);
      if (!may_share(e, use - 1, o))
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                         "output %s has the buffer of input %s", e->outputs[o].name,
                         e->inputs[use - 1].name);
    }
    e->uses[e->input_count + o] = (buffer_use){outputs[o], *slot};
    *slot = e->input_count + o + 1;
  }
  return MILO_OK;
}

milo_status milo_executable_run(milo_executable *e, milo_buffer *const *inputs,
                                milo_buffer *const *outputs, milo_diag *diag) {
  for (size_t i = 0; i < e->input_count; ++i)
    MILO_TRY(check_buffer(&e->inputs[i], inputs[i], "input", diag));
  for (size_t o = 0; o < e->output_count; ++o)
    MILO_TRY(check_buffer(&e->outputs[o], outputs[o], "output", diag));
  MILO_TRY(check_sharing(e, inputs, outputs, diag));
  return e->type->run(e->code, inputs, outputs, diag);
}
