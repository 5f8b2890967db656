// SPDX-License-Identifier: MIT
// The reference device: runs a function operation by operation. Values live from their definition
// to their last use.
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "device/buffer.h"
#include "device/ref/ref.h"
#include "ir/op.h"

typedef struct code {
  milo_program *program;  // retained: owns everything below
  const milo_func *func;
  uint32_t value_count;
  const milo_op **last_use;  // one a value; NULL: not used, or an output
  size_t most_inputs, most_outputs;
  size_t scratch_bytes;  // most that lives at one time
  size_t op_count;       // constants left out
  bool profile;
} code;

typedef struct state {
  double *seconds;  // one an operation; NULL: no profile
  uint64_t runs;
} state;

static milo_status ref_open(const milo_host *host, milo_device **out_device, milo_diag *diag) {
  *out_device = calloc(1, sizeof **out_device);
  if (*out_device == NULL)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a device");
  (*out_device)->type = &milo_device_type_ref;
  (*out_device)->host = *host;
  return MILO_OK;
}

static void ref_close(milo_device *device) { free(device); }

static bool ref_supports(const milo_device *device, const milo_op *op) {
  (void)device;
  return op->code == MILO_OP_const || milo_ref_supports(op);
}

static bool ref_takes(const milo_device *device, const milo_op *op) {
  (void)device;
  return milo_ref_has(op->code);
}

static void ref_code_destroy(void *opaque) {
  code *c = opaque;
  if (c == NULL) return;
  milo_program_destroy(c->program);
  free(c->last_use);
  free(c);
}

static size_t bytes_of(const milo_value *value) {
  const size_t bytes = milo_type_bytes(&value->type);
  return bytes > 0 ? bytes : 1;
}

// Bytes that can be given back after op. freed, one a value: those that were.
static size_t freed_after(const code *c, const milo_op *op, bool *freed) {
  size_t bytes = 0;
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      if (c->last_use[value->id] == op && value->def != NULL && value->literal == NULL &&
          !freed[value->id]) {
        freed[value->id] = true;  // an operation may name it twice
        bytes += bytes_of(value);
      }
    }
  return bytes;
}

// Finds last uses, then walks the function to see how much memory lives at a time.
static void plan(code *c) {
  const milo_block *body = c->func->body;
  for (const milo_op *op = body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->arg_count; ++i)
      for (size_t k = 0; k < op->args[i].count; ++k) c->last_use[op->args[i].values[k]->id] = op;
  for (size_t i = 0; i < body->output_count; ++i) c->last_use[body->outputs[i]->id] = NULL;
  milo_arena scratch = {0};
  bool *freed = MILO_NEW_ARRAY(&scratch, bool, c->value_count);
  size_t live = 0;
  for (const milo_op *op = body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    ++c->op_count;
    if (milo_ref_input_count(op) > c->most_inputs) c->most_inputs = milo_ref_input_count(op);
    if (op->result_count > c->most_outputs) c->most_outputs = op->result_count;
    for (size_t i = 0; i < op->result_count; ++i) live += bytes_of(op->results[i]);
    if (live > c->scratch_bytes) c->scratch_bytes = live;
    live -= freed_after(c, op, freed);
  }
  milo_arena_deinit(&scratch);
}

static milo_status ref_compile(milo_device *device, const milo_func *func,
                               const milo_executable_options *options, void **out_code,
                               milo_diag *diag) {
  (void)device;  // and any alias is fine: outputs are written after everything was read
  code *c = calloc(1, sizeof *c);
  *out_code = NULL;
  if (c == NULL) return milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory for code");
  c->program = func->program;
  milo_program_retain(c->program);
  c->func = func;
  c->value_count = func->value_count;
  c->profile = options->profile;
  c->last_use = calloc(c->value_count + 1, sizeof *c->last_use);
  if (c->last_use == NULL) {
    ref_code_destroy(c);
    return milo_fail(diag, func->loc, MILO_ERR_NO_MEMORY, "no memory for code");
  }
  plan(c);
  *out_code = c;
  return MILO_OK;
}

// ---- running ----

typedef struct run {
  const code *c;
  void **own;         // one a value: memory of values computed here
  const void **data;  // one a value: where it is; NULL for constants
  const void **inputs;
  void **outputs;
  double *seconds;  // as state's
  milo_diag *diag;
} run;

static milo_status own(run *r, const milo_value *value) {
  MILO_TRY(milo_memory_ask(value->name, bytes_of(value), r->diag));
  r->own[value->id] = malloc(bytes_of(value));
  r->data[value->id] = r->own[value->id];
  if (r->own[value->id] != NULL) return MILO_OK;
  return milo_fail(r->diag, value->def != NULL ? value->def->loc : MILO_NO_LOC, MILO_ERR_NO_MEMORY,
                   "no memory for %s (%zu bytes)", value->name, bytes_of(value));
}

static void release(run *r, const milo_value *value) {
  free(r->own[value->id]);
  r->own[value->id] = NULL;
}

static milo_status step(run *r, const milo_op *op) {
  size_t count = 0;
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      r->inputs[count++] = r->data[op->args[i].values[k]->id];
  for (size_t i = 0; i < op->result_count; ++i) {
    MILO_TRY(own(r, op->results[i]));
    r->outputs[i] = r->own[op->results[i]->id];
  }
  MILO_TRY(milo_ref_eval(op, r->inputs, r->outputs, r->diag));
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      if (r->c->last_use[op->args[i].values[k]->id] == op) release(r, op->args[i].values[k]);
  return MILO_OK;
}

static milo_status run_all(run *r, milo_buffer *const *inputs, milo_buffer *const *outputs) {
  const milo_block *body = r->c->func->body;
  for (size_t i = 0; i < body->param_count; ++i)
    r->data[body->params[i]->id] = milo_buffer_host(inputs[i]);
  // An input handed out again is copied first: an alias may overwrite its buffer.
  for (size_t i = 0; i < body->output_count; ++i) {
    const milo_value *value = body->outputs[i];
    if (value->def != NULL || value->literal != NULL || r->own[value->id] != NULL) continue;
    MILO_TRY(own(r, value));
    memcpy(r->own[value->id], milo_buffer_host(inputs[value->index]),
           milo_type_bytes(&value->type));
  }
  size_t done = 0;
  for (const milo_op *op = body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    const double started = r->seconds != NULL ? milo_clock_s() : 0;
    MILO_TRY(step(r, op));
    if (r->seconds != NULL) r->seconds[done++] += milo_clock_s() - started;
  }
  for (size_t i = 0; i < body->output_count; ++i) {
    const milo_value *value = body->outputs[i];
    const milo_literal *literal = milo_value_constant(value);
    const size_t bytes = milo_type_bytes(&value->type);
    const void *data = literal != NULL ? literal->data : r->data[value->id];
    if (bytes > 0) memcpy(milo_buffer_host(outputs[i]), data, bytes);
  }
  return MILO_OK;
}

static void ref_state_destroy(void *opaque) {
  state *s = opaque;
  if (s != NULL) free(s->seconds);
  free(s);
}

// Nothing but times is kept between runs.
static milo_status ref_state_create(milo_device *device, const void *opaque, void **out_state,
                                    milo_diag *diag) {
  (void)device;
  const code *c = opaque;
  *out_state = NULL;
  if (!c->profile) return MILO_OK;
  state *s = calloc(1, sizeof *s);
  if (s != NULL) s->seconds = calloc(c->op_count + 1, sizeof *s->seconds);
  if (s == NULL || s->seconds == NULL) {
    ref_state_destroy(s);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a run");
  }
  *out_state = s;
  return MILO_OK;
}

static milo_status ref_run(milo_device *device, const void *opaque, void *opaque_state,
                           milo_buffer *const *inputs, milo_buffer *const *outputs,
                           milo_diag *diag) {
  (void)device;
  const code *c = opaque;
  state *s = opaque_state;
  const size_t values = c->value_count;
  run r = {.c = c,
           .own = calloc(values + 1, sizeof *r.own),
           .data = calloc(values + 1, sizeof *r.data),
           .inputs = calloc(c->most_inputs + 1, sizeof *r.inputs),
           .outputs = calloc(c->most_outputs + 1, sizeof *r.outputs),
           .seconds = s != NULL ? s->seconds : NULL,
           .diag = diag};
  milo_status status;
  if (r.own == NULL || r.data == NULL || r.inputs == NULL || r.outputs == NULL)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to run %s", c->func->name);
  else
    status = run_all(&r, inputs, outputs);
  if (s != NULL) s->runs += status == MILO_OK;
  for (size_t i = 0; r.own != NULL && i < values; ++i) free(r.own[i]);
  free(r.own);
  free(r.data);
  free(r.inputs);
  free(r.outputs);
  return status;
}

static size_t ref_scratch_bytes(const void *opaque) {
  const code *c = opaque;
  return c->scratch_bytes;
}

static size_t ref_profile(const void *opaque, const void *opaque_state, milo_profile *rows,
                          size_t max) {
  const code *c = opaque;
  const state *s = opaque_state;
  return s != NULL ? milo_ref_profile(c->func->body, s->seconds, s->runs, rows, max) : 0;
}

const milo_device_type milo_device_type_ref = {
    .name = "ref",
    .summary = "plain code, one operation at a time, in double precision: the definition",
    .open = ref_open,
    .close = ref_close,
    .supports = ref_supports,
    .takes = ref_takes,
    .compile = ref_compile,
    .code_destroy = ref_code_destroy,
    .state_create = ref_state_create,
    .state_destroy = ref_state_destroy,
    .run = ref_run,
    .scratch_bytes = ref_scratch_bytes,
    .profile = ref_profile,
};
