// SPDX-License-Identifier: MIT
// What compiling has in common for all devices: specialize, lower, simplify, check; partition.c
// then cuts the function into what each device compiles.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "device/dynamic.h"
#include "device/executable.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/pass.h"

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
      const char *nearest = milo_op_nearest(op->name);
      (void)milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED,
                      nearest != NULL ? "device %s does not support %s\ndid you mean %s?"
                                      : "device %s does not support %s",
                      device->type->name, op->name, nearest);
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

// Its constants, given in place or defined by it.
static milo_status check_constants(const milo_op *op, milo_diag *diag) {
  for (size_t i = 0; i < op->result_count; ++i)
    MILO_TRY(check_weights(op->results[i], op->loc, diag));
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      if (op->args[i].values[k]->def == NULL)
        MILO_TRY(check_weights(op->args[i].values[k], op->loc, diag));
  return MILO_OK;
}

typedef struct checker {
  const milo_func *func;
  const milo_device *device;
  bool strict;
  milo_diag *diag;
} checker;

static milo_status unsupported(const checker *c, const milo_op *op) {
  const milo_type *type = op->result_count > 0 ? &op->results[0]->type : NULL;
  return milo_fail(c->diag, op->loc, MILO_ERR_UNSUPPORTED, "device %s does not support %s%s%s",
                   c->device->type->name, op->name, type != NULL ? " giving " : "",
                   type != NULL ? milo_type_format(&c->func->program->arena, type, true) : "");
}

// Every operation must run somewhere, and every constant be there. nested: in a block of another
// operation, all of which is evaluated as dynamic.h says.
static milo_status check_block(const checker *c, const milo_block *block, bool nested) {
  milo_status status = MILO_OK;
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    milo_status one = check_constants(op, c->diag);
    for (size_t i = 0; i < op->block_count && one == MILO_OK; ++i)
      one = check_block(c, op->blocks[i], true);
    if (one == MILO_OK && op->code != MILO_OP_const) {
      const milo_segment_kind kind = milo_segment_kind_of(c->device, op);
      const bool runs = nested ? milo_dynamic_supports(op)
                               : kind != MILO_SEGMENT_KINDS &&
                                     (!c->strict || milo_segment_is_own(c->device, kind));
      if (!runs) one = unsupported(c, op);
    }
    if (one != MILO_OK) status = one;
  }
  return status;
}

static milo_status check_type(const milo_value *value, const milo_type *type, milo_loc loc,
                              const char *what, bool open, milo_diag *diag) {
  if (type->kind != MILO_TYPE_TENSOR || type->dtype == MILO_STRING)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED, "%s %s is not a tensor of numbers", what,
                     value->name);
  size_t bytes;
  if (milo_type_is_static(type) &&
      (!milo_tensor_bytes(type->dtype, type->rank, type->dims, &bytes) || bytes > PTRDIFF_MAX))
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%s %s is larger than memory can be", what,
                     value->name);
  if (!open && !milo_type_is_static(type))
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "%s %s has no known shape\ngive the shape of every input", what, value->name);
  return MILO_OK;
}

static milo_status specialize(milo_executable *e, const milo_type *input_types,
                              const milo_pass_options *passes, milo_diag *diag) {
  milo_func *func = e->func;
  const milo_block *body = func->body;
  milo_type *types = MILO_NEW_ARRAY(&func->program->arena, milo_type, body->param_count);
  for (size_t i = 0; i < body->param_count; ++i) {
    types[i] = input_types != NULL ? input_types[i] : body->params[i]->type;
    if (e->is_state[i] && types[i].kind == MILO_TYPE_STATE) types[i] = types[i].elems[0];
    MILO_TRY(check_type(body->params[i], &types[i], func->loc, "input", false, diag));
  }
  MILO_TRY(milo_func_specialize(func, types, diag));
  MILO_TRY(milo_pass_tell("specialize", func, passes, diag));
  // Shapes may be computed from shapes.
  MILO_TRY(milo_pass_run(milo_pass_find("fold"), func, passes, diag));
  for (size_t i = 0; i < body->output_count; ++i)
    MILO_TRY(
        check_type(body->outputs[i], &body->outputs[i]->type, func->loc, "output", true, diag));
  return MILO_OK;
}

milo_status milo_device_narrow(const milo_device *device, milo_func *func, milo_precision precision,
                               milo_diag *diag) {
  const milo_pass_options passes = {.store = milo_pass_store(precision),
                                    .after = device->host.after_pass,
                                    .after_user = device->host.after_pass_user};
  if (passes.store == MILO_DTYPE_NONE) return MILO_OK;
  return milo_pass_run(milo_pass_find("narrow"), func, &passes, diag);
}

static milo_value *signature(milo_arena *arena, milo_value *const *values, size_t count) {
  milo_value *copy = MILO_NEW_ARRAY(arena, milo_value, count);
  for (size_t i = 0; i < count; ++i)
    copy[i] = (milo_value){
        .name = values[i]->name, .type = values[i]->type, .index = (uint32_t)i, .id = (uint32_t)i};
  return copy;
}

static int by_output(const void *a, const void *b) {
  const milo_alias *x = a, *y = b;
  if (x->output != y->output) return x->output < y->output ? -1 : 1;
  return x->input < y->input ? -1 : x->input > y->input;
}

static milo_status keep_aliases(milo_executable *e, const milo_executable_options *options,
                                milo_diag *diag) {
  e->alias_count = options->alias_count + e->link_count;
  if (e->alias_count == 0) return MILO_OK;
  e->aliases = MILO_NEW_ARRAY(&e->program->arena, milo_alias, e->alias_count);
  for (size_t i = 0; i < options->alias_count; ++i) e->aliases[i] = options->aliases[i];
  for (size_t i = 0; i < e->link_count; ++i)
    e->aliases[options->alias_count + i] = (milo_alias){e->links[i].input, e->links[i].output};
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
  qsort(e->aliases, e->alias_count, sizeof *e->aliases, by_output);
  return MILO_OK;
}

static milo_status compile(milo_executable *e, milo_device *device, const milo_type *input_types,
                           const milo_executable_options *options, milo_diag *diag) {
  if (report_unknown(e->func->body, device, diag) > 0) return MILO_ERR_UNSUPPORTED;
  const milo_pass_options passes = {.eval = milo_ref_fold,
                                    .keep = keeps,
                                    .user = device,
                                    .keep_constexpr = options->keep_compressed,
                                    .after = device->host.after_pass,
                                    .after_user = device->host.after_pass_user};
  milo_arena *arena = &e->program->arena;
  const milo_block *body = e->func->body;
  e->is_state = MILO_NEW_ARRAY(arena, bool, body->param_count);
  for (size_t i = 0; i < body->param_count; ++i)
    e->is_state[i] = body->params[i]->type.kind == MILO_TYPE_STATE;
  MILO_TRY(milo_states_lower(e->func, diag, &e->links, &e->link_count));
  if (e->link_count > 0) MILO_TRY(milo_pass_tell("states", e->func, &passes, diag));
  MILO_TRY(specialize(e, input_types, &passes, diag));
  e->input_count = e->func->body->param_count;
  e->output_count = e->func->body->output_count;
  e->inputs = signature(arena, e->func->body->params, e->input_count);
  e->outputs = signature(arena, e->func->body->outputs, e->output_count);
  e->profile = options->profile;
  MILO_TRY(keep_aliases(e, options, diag));
  if (device->type->lower != NULL) {
    MILO_TRY(device->type->lower(device, e->func, diag));
    MILO_TRY(milo_pass_tell("lower", e->func, &passes, diag));
  }
  MILO_TRY(milo_pass_run_all(e->func, &passes, diag));
  const checker c = {e->func, device, options->strict, diag};
  MILO_TRY(check_block(&c, e->func->body, false));
  return milo_executable_cut(e, device, options, diag);
}

milo_status milo_device_compile(milo_device *device, const milo_func *func,
                                const milo_type *input_types,
                                const milo_executable_options *options, milo_diag *diag,
                                milo_executable **out_executable) {
  *out_executable = NULL;
  milo_executable *e = calloc(1, sizeof *e);
  if (e == NULL) return milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory to compile");
  atomic_init(&e->refs, 1);
  e->type = device->type;
  e->program = milo_program_create();
  e->func = milo_func_clone(e->program, func, func->name);
  const milo_executable_options none = {0};
  const milo_status status =
      compile(e, device, input_types, options != NULL ? options : &none, diag);
  if (status != MILO_OK) {
    milo_executable_release(e);
  } else {
    *out_executable = e;
    device->compiled++;
  }
  return status;
}

void milo_executable_retain(milo_executable *e) {
  atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

void milo_executable_release(milo_executable *e) {
  if (e == NULL || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) > 1) return;
  for (size_t i = 0; i < e->segment_count; ++i)
    if (e->segments[i].code != NULL) e->segments[i].type->code_destroy(e->segments[i].code);
  milo_program_destroy(e->program);
  free(e);
}

size_t milo_executable_input_count(const milo_executable *e) { return e->input_count; }
size_t milo_executable_output_count(const milo_executable *e) {
  return e->output_count - e->link_count;
}
bool milo_executable_input_is_state(const milo_executable *e, size_t i) { return e->is_state[i]; }
const char *milo_executable_device(const milo_executable *e) { return e->type->name; }
const char *milo_executable_fallbacks(const milo_executable *e) { return e->fallbacks; }

const milo_value *milo_executable_input(const milo_executable *e, size_t i) {
  assert(i < e->input_count);
  return &e->inputs[i];
}

const milo_value *milo_executable_output(const milo_executable *e, size_t i) {
  assert(i < e->output_count);
  return &e->outputs[i];
}

size_t milo_executable_scratch_bytes(const milo_executable *e) {
  size_t most = 0, slots = 0;
  for (size_t i = 0; i < e->segment_count; ++i) {
    const milo_segment *s = &e->segments[i];
    const size_t bytes =
        s->code != NULL && s->type->scratch_bytes != NULL ? s->type->scratch_bytes(s->code) : 0;
    if (bytes > most) most = bytes;
  }
  for (size_t i = e->input_count; i < e->slot_count; ++i)
    if (e->slots[i].own) slots += milo_type_bytes(&e->slots[i].type);
  return most + slots;
}
