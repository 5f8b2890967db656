// SPDX-License-Identifier: MIT
// Where everything lives: outputs in their own memory where that is safe, the rest at offsets in
// the scratch block, sharing memory when their lives do not overlap (arrange.c).
#include <stdlib.h>

#include "base/arrange.h"
#include "base/number.h"
#include "device/cpu/code.h"

enum { ALIGN = 64 };

static size_t align_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

// ---- outputs ----

static bool paired(const milo_code *c, uint32_t result, uint32_t operand, size_t step) {
  // They stand in the order of steps, a few each: the first of this step's.
  size_t low = 0, high = c->pair_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (c->pairs[middle].step < step)
      low = middle + 1;
    else
      high = middle;
  }
  for (size_t i = low; i < c->pair_count && c->pairs[i].step == step; ++i)
    if (c->pairs[i].result == result && c->pairs[i].operand == operand) return true;
  return false;
}

static int by_output(const void *a, const void *b) {
  const milo_alias *x = a, *y = b;
  if (x->output != y->output) return x->output < y->output ? -1 : 1;
  return x->input < y->input ? -1 : x->input > y->input;
}

// May the steps that make the buffer write to an output's memory directly? aliases: the output's.
static bool may_bind(const milo_code *c, const milo_view *v, const milo_alias *aliases,
                     size_t alias_count) {
  const milo_cpu_buffer *b = &c->buffers[v->buffer];
  if (b->place != MILO_PLACE_SCRATCH || v->offset != 0 || !milo_view_is_dense(v)) return false;
  if (milo_view_elements(v) * milo_dtype_bits(v->dtype) / 8 != b->bytes) return false;
  // Every input that this output may share memory with must have been read by then. Inputs are
  // the first buffers.
  for (size_t i = 0; i < alias_count; ++i) {
    const size_t input = aliases[i].input;
    const milo_cpu_buffer *in = &c->buffers[input];
    if (in->first == MILO_NO_STEP || in->last < b->first) continue;
    if (in->last == b->first && paired(c, v->buffer, (uint32_t)input, b->first)) continue;
    return false;
  }
  return true;
}

static void place_outputs(milo_code *c, const milo_func *func) {
  const milo_block *body = func->body;
  milo_view *views = MILO_NEW_ARRAY(&c->arena, milo_view, body->output_count);
  bool *bound = MILO_NEW_ARRAY(&c->arena, bool, body->output_count);
  const size_t alias_count = c->options->alias_count;
  milo_alias *aliases =
      milo_arena_copy(&c->arena, c->options->aliases, alias_count * sizeof *aliases);
  if (alias_count > 1) qsort(aliases, alias_count, sizeof *aliases, by_output);
  bool *donated = MILO_NEW_ARRAY(&c->arena, bool, func->body->param_count);
  for (size_t i = 0; i < alias_count; ++i) donated[aliases[i].input] = true;
  for (size_t i = 0; i < body->output_count; ++i) {
    views[i] = milo_code_view(c, body->outputs[i]);
    const milo_cpu_buffer *b = &c->buffers[views[i].buffer];
    // What would be overwritten through an alias is set aside before any output is copied.
    if (b->place != MILO_PLACE_INPUT || !donated[b->index]) continue;
    const milo_view kept = milo_code_new(c, views[i].dtype, views[i].rank, views[i].dims);
    milo_code_copy(c, &views[i], &kept);
    views[i] = kept;
  }
  for (size_t i = 0, a = 0; i < body->output_count; ++i) {
    const size_t first = a;
    while (a < alias_count && aliases[a].output == i) ++a;
    if (!may_bind(c, &views[i], aliases + first, a - first)) continue;
    milo_cpu_buffer *b = &c->buffers[views[i].buffer];
    b->place = MILO_PLACE_OUTPUT;
    b->index = i;
    bound[i] = true;
  }
  for (size_t i = 0; i < body->output_count; ++i) {
    if (bound[i]) continue;
    const uint32_t buffer = milo_code_add_buffer(c, milo_type_bytes(&body->outputs[i]->type));
    c->buffers[buffer].place = MILO_PLACE_OUTPUT;
    c->buffers[buffer].index = i;
    const milo_view to = milo_view_dense(buffer, &body->outputs[i]->type);
    milo_code_copy(c, &views[i], &to);
  }
}

// ---- scratch ----

static uint32_t root(const milo_code *c, uint32_t b) {
  while (c->buffers[b].merged != b) b = c->buffers[b].merged;
  return b;
}

// Lets results take the memory of operands that die in the same step.
static void merge(milo_code *c) {
  for (size_t i = 0; i < c->pair_count; ++i) {
    const uint32_t result = c->pairs[i].result;
    milo_cpu_buffer *r = &c->buffers[result];
    milo_cpu_buffer *x = &c->buffers[root(c, c->pairs[i].operand)];
    if (r->place != MILO_PLACE_SCRATCH || x->place != MILO_PLACE_SCRATCH) continue;
    if (r->merged != result || r->bytes > x->bytes || r == x) continue;
    // x's last use covers everything merged into it so far.
    if (x->last != c->pairs[i].step || r->first != c->pairs[i].step) continue;
    r->merged = (uint32_t)(x - c->buffers);
    x->last = r->last;
  }
}

static milo_status place_scratch(milo_code *c, milo_loc loc) {
  milo_arena scratch = {0};
  milo_slot *slots = MILO_NEW_ARRAY(&scratch, milo_slot, c->buffer_count);
  uint32_t *owners = MILO_NEW_ARRAY(&scratch, uint32_t, c->buffer_count);
  size_t count = 0, all = align_up(c->workspace_bytes);
  bool fits = true;
  for (uint32_t i = 0; i < c->buffer_count; ++i) {
    const milo_cpu_buffer *b = &c->buffers[i];
    if (b->place != MILO_PLACE_SCRATCH || b->merged != i || b->first == MILO_NO_STEP) continue;
    owners[count] = i;
    slots[count++] = (milo_slot){.bytes = align_up(b->bytes), .first = b->first, .last = b->last};
    fits = fits && milo_size_add(all, align_up(b->bytes), &all);
  }
  if (fits) {
    c->workspace_offset = milo_arrange(slots, count, &scratch).bytes;
    c->scratch_bytes = c->workspace_offset + align_up(c->workspace_bytes);
  }
  for (size_t i = 0; i < count; ++i) c->buffers[owners[i]].offset = slots[i].offset;
  for (uint32_t i = 0; i < c->buffer_count; ++i)
    c->buffers[i].offset = c->buffers[root(c, i)].offset;
  milo_arena_deinit(&scratch);
  if (fits) return MILO_OK;
  return milo_fail(c->diag, loc, MILO_ERR_NO_MEMORY,
                   "the intermediate values take more bytes than can be counted");
}

milo_status milo_code_plan(milo_code *c, const milo_func *func) {
  place_outputs(c, func);
  merge(c);
  return place_scratch(c, func->loc);
}
