// SPDX-License-Identifier: MIT
// Runs: an executable's segments, one after the other, on the caller's buffers and on those that
// lie between them.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "device/buffer.h"
#include "device/dynamic.h"
#include "device/executable.h"
#include "device/ref/ref.h"

// The memory of an output: bytes [begin, end) of a buffer that is no slice.
typedef struct output_use {
  const milo_buffer *whole;
  size_t begin, end;
  size_t output;
} output_use;

struct milo_run {
  milo_executable *e;  // retained
  milo_device *device;
  void **states;            // one a segment
  double **seconds;         // one a dynamic segment: one an operation; NULL: no profile
  uint64_t runs;            // finished ones
  milo_buffer **slots;      // what a run works on: the caller's, borrowed, and its own
  milo_buffer **own;        // of slots made here, NULL: the caller's
  milo_buffer **computed;   // outputs of unknown shape, by output
  milo_type *output_types;  // of the last run
  milo_buffer **in, **out;  // arguments of a segment
  milo_buffer **results;    // the caller's outputs, then the states that are written
  output_use *uses;         // scratch for the check of shared buffers
};

static milo_status alloc_slots(milo_run *r, milo_diag *diag) {
  const milo_executable *e = r->e;
  for (size_t i = e->input_count; i < e->slot_count; ++i) {
    const milo_crossing *slot = &e->slots[i];
    if (!slot->own) continue;
    const size_t bytes = milo_type_bytes(&slot->type);
    MILO_TRY(slot->on_device ? milo_device_alloc(r->device, bytes, diag, &r->own[i])
                             : milo_buffer_alloc(bytes, diag, &r->own[i]));
  }
  return MILO_OK;
}

static milo_status no_memory(const milo_executable *e, milo_diag *diag) {
  return milo_fail(diag, e->func->loc, MILO_ERR_NO_MEMORY, "no memory to run %s", e->func->name);
}

static milo_status fill(milo_run *r, milo_diag *diag) {
  const milo_executable *e = r->e;
  size_t most = 0;
  for (size_t i = 0; i < e->segment_count; ++i) {
    const milo_segment *s = &e->segments[i];
    if (s->input_count > most) most = s->input_count;
    if (s->output_count > most) most = s->output_count;
  }
  r->states = calloc(e->segment_count + 1, sizeof *r->states);
  r->seconds = calloc(e->segment_count + 1, sizeof *r->seconds);
  r->slots = calloc(e->slot_count + 1, sizeof *r->slots);
  r->own = calloc(e->slot_count + 1, sizeof *r->own);
  r->computed = calloc(e->output_count + 1, sizeof *r->computed);
  r->output_types = calloc(e->output_count + 1, sizeof *r->output_types);
  r->in = calloc(most + 1, sizeof *r->in);
  r->out = calloc(most + 1, sizeof *r->out);
  r->results = calloc(e->output_count + 1, sizeof *r->results);
  r->uses = calloc(e->output_count + 1, sizeof *r->uses);
  if (!r->states || !r->seconds || !r->slots || !r->own || !r->computed || !r->output_types ||
      !r->in || !r->out || !r->results || !r->uses)
    return no_memory(e, diag);
  for (size_t i = 0; i < e->output_count; ++i) r->output_types[i] = e->outputs[i].type;
  for (size_t i = 0; i < e->segment_count; ++i) {
    const milo_segment *s = &e->segments[i];
    milo_device *on = NULL;
    if (s->kind == MILO_SEGMENT_DYNAMIC) {
      if (!e->profile) continue;
      r->seconds[i] =
          calloc(milo_ref_profile(s->func->body, NULL, 0, NULL, 0) + 1, sizeof *r->seconds[i]);
      if (r->seconds[i] == NULL) return no_memory(e, diag);
      continue;
    }
    MILO_TRY(milo_device_for(r->device, s->kind, diag, &on));
    MILO_TRY(s->type->state_create(on, s->code, &r->states[i], diag));
  }
  return alloc_slots(r, diag);
}

milo_status milo_run_create(milo_executable *executable, milo_device *device, milo_diag *diag,
                            milo_run **out_run) {
  *out_run = NULL;
  assert(executable->type == device->type);
  milo_run *r = calloc(1, sizeof *r);
  if (r == NULL) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a run");
  milo_executable_retain(executable);
  r->e = executable;
  r->device = device;
  const milo_status status = fill(r, diag);
  if (status == MILO_OK)
    *out_run = r;
  else
    milo_run_destroy(r);
  return status;
}

milo_status milo_run_compile(milo_device *device, const milo_func *func,
                             const milo_executable_options *options, milo_diag *diag,
                             milo_run **out_run) {
  *out_run = NULL;
  milo_executable *executable = NULL;
  MILO_TRY(milo_device_compile(device, func, NULL, options, diag, &executable));
  const milo_status status = milo_run_create(executable, device, diag, out_run);
  milo_executable_release(executable);
  return status;
}

milo_status milo_run_build(milo_device *device, milo_program *program, milo_status built,
                           const milo_func *func, const milo_executable_options *options,
                           milo_diag *diag, milo_run **out_run) {
  *out_run = NULL;
  if (built == MILO_OK) built = milo_run_compile(device, func, options, diag, out_run);
  milo_program_destroy(program);
  return built;
}

void milo_run_destroy(milo_run *r) {
  if (r == NULL) return;
  const milo_executable *e = r->e;
  for (size_t i = 0; r->states != NULL && i < e->segment_count; ++i)
    if (r->states[i] != NULL) e->segments[i].type->state_destroy(r->states[i]);
  for (size_t i = 0; r->own != NULL && i < e->slot_count; ++i) milo_buffer_release(r->own[i]);
  for (size_t i = 0; r->computed != NULL && i < e->output_count; ++i)
    milo_buffer_release(r->computed[i]);
  for (size_t i = 0; r->seconds != NULL && i < e->segment_count; ++i) free(r->seconds[i]);
  free(r->seconds);
  free(r->states);
  free(r->slots);
  free(r->own);
  free(r->computed);
  free(r->output_types);
  free(r->in);
  free(r->out);
  free(r->results);
  free(r->uses);
  milo_executable_release(r->e);
  free(r);
}

milo_executable *milo_run_executable(const milo_run *r) { return r->e; }
const milo_type *milo_run_output_type(const milo_run *r, size_t i) { return &r->output_types[i]; }
milo_buffer *milo_run_output_buffer(const milo_run *r, size_t i) { return r->computed[i]; }

// ---- checks ----

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
  size_t low = 0, high = e->alias_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    const milo_alias *a = &e->aliases[middle];
    if (a->output == output && a->input == input) return true;
    if (a->output < output || (a->output == output && a->input < input))
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

static output_use use_of(const milo_buffer *buffer, size_t output) {
  return (output_use){.whole = buffer->whole != NULL ? buffer->whole : buffer,
                      .begin = buffer->offset,
                      .end = buffer->offset + buffer->bytes,
                      .output = output};
}

// Negative: a lies before b; 0: they overlap.
static int by_place(const output_use *a, const output_use *b) {
  const uintptr_t p = (uintptr_t)a->whole, q = (uintptr_t)b->whole;
  if (p != q) return p < q ? -1 : 1;
  return a->end <= b->begin ? -1 : b->end <= a->begin;
}

static int by_begin(const void *a, const void *b) {
  const output_use *x = a, *y = b;
  const uintptr_t p = (uintptr_t)x->whole, q = (uintptr_t)y->whole;
  if (p != q) return p < q ? -1 : 1;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->output < y->output ? -1 : x->output > y->output;
}

static milo_status check_input(const milo_run *r, size_t count, size_t input,
                               const milo_buffer *buffer, milo_diag *diag) {
  const milo_executable *e = r->e;
  const output_use mine = use_of(buffer, 0);
  size_t low = 0, high = count;  // the first output that does not lie before the input
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (by_place(&r->uses[middle], &mine) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  for (; low < count && by_place(&r->uses[low], &mine) == 0; ++low)
    if (!may_share(e, input, r->uses[low].output) || r->uses[low].begin != mine.begin)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "output %s has %s of input %s",
                       e->outputs[r->uses[low].output].name,
                       r->uses[low].begin == mine.begin ? "the buffer" : "a part of the buffer",
                       e->inputs[input].name);
  return MILO_OK;
}

// No output may have memory of another, nor of an input that is not donated to it. n log n.
static milo_status check_shared(milo_run *r, milo_buffer *const *inputs,
                                milo_buffer *const *outputs, milo_diag *diag) {
  const milo_executable *e = r->e;
  size_t count = 0;
  for (size_t o = 0; o < e->output_count; ++o)
    if (milo_type_is_static(&e->outputs[o].type) && outputs[o]->bytes > 0)
      r->uses[count++] = use_of(outputs[o], o);
  if (count > 1) qsort(r->uses, count, sizeof *r->uses, by_begin);
  for (size_t i = 1; i < count; ++i)
    if (by_place(&r->uses[i - 1], &r->uses[i]) == 0)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "outputs %s and %s have the same buffer",
                       e->outputs[r->uses[i - 1].output].name, e->outputs[r->uses[i].output].name);
  for (size_t i = 0; i < e->input_count && count > 0; ++i)
    if (inputs[i]->bytes > 0) MILO_TRY(check_input(r, count, i, inputs[i], diag));
  return MILO_OK;
}

// ---- running ----

static milo_status unreachable(const char *what, milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "the memory of %s cannot be reached",
                   what);
}

// A copy in host memory of a buffer that lies where the device does not reach.
static milo_status bring_home(milo_buffer **buffer, const milo_device_type *type,
                              const milo_value *value, milo_diag *diag) {
  milo_buffer *from = *buffer, *home = NULL;
  const milo_buffer *whole = from->whole != NULL ? from->whole : from;
  if (milo_buffer_host(from) != NULL || whole->memory == type->memory) return MILO_OK;
  MILO_TRY(milo_buffer_alloc(from->bytes, diag, &home));
  *buffer = home;
  return milo_buffer_read(from, 0, home->data, from->bytes) == MILO_OK
             ? MILO_OK
             : unreachable(value->name, diag);
}

static milo_status run_here(milo_run *r, size_t index, milo_diag *diag) {
  const milo_segment *s = &r->e->segments[index];
  milo_device *on = NULL;
  MILO_TRY(milo_device_for(r->device, s->kind, diag, &on));
  const milo_block *body = s->func->body;
  milo_status status = MILO_OK;
  for (size_t i = 0; i < s->input_count; ++i) r->in[i] = r->slots[s->inputs[i]];
  for (size_t i = 0; i < s->output_count; ++i) r->out[i] = r->slots[s->outputs[i]];
  for (size_t i = 0; i < s->input_count && status == MILO_OK; ++i)
    status = bring_home(&r->in[i], s->type, body->params[i], diag);
  for (size_t i = 0; i < s->output_count && status == MILO_OK; ++i)
    status = bring_home(&r->out[i], s->type, body->outputs[i], diag);
  if (status == MILO_OK) status = s->type->run(on, s->code, r->states[index], r->in, r->out, diag);
  for (size_t i = 0; i < s->input_count; ++i)
    if (r->in[i] != r->slots[s->inputs[i]]) milo_buffer_release(r->in[i]);
  for (size_t i = 0; i < s->output_count; ++i) {
    milo_buffer *to = r->slots[s->outputs[i]];
    if (r->out[i] == to) {
      milo_buffer_changed(to);
      continue;
    }
    if (status == MILO_OK && milo_buffer_write(to, 0, r->out[i]->data, to->bytes) != MILO_OK)
      status = unreachable(body->outputs[i]->name, diag);
    milo_buffer_release(r->out[i]);
  }
  return status;
}

// Values of unknown shape go from segment to segment as literals, by slot.
typedef struct dynamic {
  milo_arena arena;
  milo_literal *literals;
} dynamic;

static milo_status run_dynamic(milo_run *r, size_t index, dynamic *d, milo_diag *diag) {
  const milo_executable *e = r->e;
  const milo_segment *s = &e->segments[index];
  milo_arena *arena = &d->arena;
  if (d->literals == NULL) d->literals = MILO_NEW_ARRAY(arena, milo_literal, e->slot_count);
  milo_literal *in = MILO_NEW_ARRAY(arena, milo_literal, s->input_count);
  milo_literal *out = MILO_NEW_ARRAY(arena, milo_literal, s->output_count);
  for (size_t i = 0; i < s->input_count; ++i) {
    const size_t slot = s->inputs[i];
    in[i] = d->literals[slot];
    if (in[i].kind != MILO_LITERAL_DATA || in[i].data != NULL) continue;
    const milo_type *type = &e->slots[slot].type;
    const size_t bytes = milo_type_bytes(type);
    void *data = milo_arena_alloc(arena, bytes + 1);
    if (milo_buffer_read(r->slots[slot], 0, data, bytes) != MILO_OK)
      return unreachable(s->func->body->params[i]->name, diag);
    in[i] = (milo_literal){.kind = MILO_LITERAL_DATA,
                           .type = *type,
                           .data = data,
                           .bytes = bytes,
                           .count = milo_type_elements(type)};
  }
  MILO_TRY(milo_dynamic_run(s->func, in, arena, out, r->seconds[index], diag));
  for (size_t i = 0; i < s->output_count; ++i) {
    const size_t slot = s->outputs[i];
    d->literals[slot] = out[i];
    if (milo_type_is_static(&e->slots[slot].type)) {
      if (milo_buffer_write(r->slots[slot], 0, out[i].data, out[i].bytes) != MILO_OK)
        return unreachable(s->func->body->outputs[i]->name, diag);
    } else if (e->slots[slot].output != SIZE_MAX) {
      const size_t output = e->slots[slot].output;
      milo_buffer_release(r->computed[output]);
      r->computed[output] = NULL;
      MILO_TRY(milo_buffer_alloc(out[i].bytes, diag, &r->computed[output]));
      MILO_TRY(milo_buffer_write(r->computed[output], 0, out[i].data, out[i].bytes));
      r->output_types[output] = out[i].type;
    }
  }
  return MILO_OK;
}

static milo_status run_segments(milo_run *r, milo_diag *diag) {
  dynamic d = {0};
  milo_status status = MILO_OK;
  for (size_t i = 0; i < r->e->segment_count && status == MILO_OK; ++i)
    status = r->e->segments[i].kind == MILO_SEGMENT_DYNAMIC ? run_dynamic(r, i, &d, diag)
                                                            : run_here(r, i, diag);
  milo_arena_deinit(&d.arena);
  return status;
}

milo_status milo_run_execute(milo_run *r, milo_buffer *const *inputs, milo_buffer *const *given,
                             milo_diag *diag) {
  const milo_executable *e = r->e;
  milo_buffer *const *outputs = r->results;
  for (size_t i = 0; i < e->input_count; ++i)
    MILO_TRY(check_buffer(&e->inputs[i], inputs[i], "input", diag));
  for (size_t o = 0; o < e->output_count - e->link_count; ++o) r->results[o] = given[o];
  for (size_t i = 0; i < e->link_count; ++i)
    r->results[e->links[i].output] = inputs[e->links[i].input];
  for (size_t o = 0; o < e->output_count; ++o)
    if (milo_type_is_static(&e->outputs[o].type))
      MILO_TRY(check_buffer(&e->outputs[o], outputs[o], "output", diag));
  MILO_TRY(check_shared(r, inputs, outputs, diag));
  for (size_t i = 0; i < e->slot_count; ++i) {
    const size_t output = e->slots[i].output;
    r->slots[i] = i < e->input_count ? inputs[i]
                  : output == SIZE_MAX || e->slots[i].own || !milo_type_is_static(&e->slots[i].type)
                      ? r->own[i]
                      : outputs[output];
  }
  MILO_TRY(run_segments(r, diag));
  ++r->runs;
  for (size_t i = e->input_count; i < e->slot_count; ++i) {
    if (r->own[i] == NULL || e->slots[i].output == SIZE_MAX) continue;
    if (milo_buffer_write(outputs[e->slots[i].output], 0, r->own[i]->data, r->own[i]->bytes) !=
        MILO_OK)
      return unreachable(e->outputs[e->slots[i].output].name, diag);
  }
  return MILO_OK;
}

size_t milo_run_profile(const milo_run *r, milo_profile *rows, size_t max) {
  size_t count = 0;
  for (size_t i = 0; i < r->e->segment_count; ++i) {
    const milo_segment *s = &r->e->segments[i];
    const size_t room = count < max ? max - count : 0;
    milo_profile *to = room > 0 ? rows + count : NULL;
    if (s->kind == MILO_SEGMENT_DYNAMIC && r->seconds[i] != NULL)
      count += milo_ref_profile(s->func->body, r->seconds[i], r->runs, to, room);
    else if (s->kind != MILO_SEGMENT_DYNAMIC && s->type->profile != NULL)
      count += s->type->profile(s->code, r->states[i], to, room);
  }
  return count;
}
