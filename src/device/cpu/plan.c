// SPDX-License-Identifier: MIT
// Where everything lives: outputs in their own memory where that is safe, the rest at offsets in
// the scratch block, sharing memory when their lives do not overlap.
#include <stdlib.h>

#include "device/cpu/code.h"

enum { ALIGN = 64 };

static size_t align_up(size_t n) { return (n + ALIGN - 1) / ALIGN * ALIGN; }

// ---- outputs ----

static bool donated(const milo_code *c, size_t input) {
  for (size_t i = 0; i < c->options->alias_count; ++i)
    if (c->options->aliases[i].input == input) return true;
  return false;
}

static bool paired(const milo_code *c, uint32_t result, uint32_t operand, size_t step) {
  for (size_t i = 0; i < c->pair_count; ++i)
    if (c->pairs[i].result == result && c->pairs[i].operand == operand && c->pairs[i].step == step)
      return true;
  return false;
}

// May the steps that make the buffer write to output's memory directly?
static bool may_bind(const milo_code *c, const milo_view *v, size_t output) {
  const milo_cpu_buffer *b = &c->buffers[v->buffer];
  if (b->place != MILO_PLACE_SCRATCH || v->offset != 0 || !milo_view_is_dense(v)) return false;
  if (milo_view_elements(v) * milo_dtype_bits(v->dtype) / 8 != b->bytes) return false;
  // Every input that this output may share memory with must have been read by then. Inputs are
  // the first buffers.
  for (size_t i = 0; i < c->options->alias_count; ++i) {
    const milo_alias *alias = &c->options->aliases[i];
    if (alias->output != output) continue;
    const milo_cpu_buffer *in = &c->buffers[alias->input];
    if (in->first == MILO_NO_STEP || in->last < b->first) continue;
    if (in->last == b->first && paired(c, v->buffer, (uint32_t)alias->input, b->first)) continue;
    return false;
  }
  return true;
}

static void place_outputs(milo_code *c, const milo_func *func) {
  const milo_block *body = func->body;
  milo_view *views = MILO_NEW_ARRAY(&c->arena, milo_view, body->output_count);
  bool *bound = MILO_NEW_ARRAY(&c->arena, bool, body->output_count);
  for (size_t i = 0; i < body->output_count; ++i) {
    views[i] = milo_code_view(c, body->outputs[i]);
    const milo_cpu_buffer *b = &c->buffers[views[i].buffer];
    // What would be overwritten through an alias is set aside before any output is copied.
    if (b->place != MILO_PLACE_INPUT || !donated(c, b->index)) continue;
    const milo_view kept = milo_code_new(c, views[i].dtype, views[i].rank, views[i].dims);
    milo_code_copy(c, &views[i], &kept);
    views[i] = kept;
  }
  for (size_t i = 0; i < body->output_count; ++i) {
    if (!may_bind(c, &views[i], i)) continue;
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

typedef struct slot {
  uint32_t buffer;
  size_t bytes, first, last, offset;
} slot;

static int by_bytes(const void *a, const void *b) {
  const slot *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
  return x->buffer < y->buffer ? -1 : 1;
}

static int by_offset(const void *a, const void *b) {
  const slot *const *x = a, *const *y = b;
  return (*x)->offset < (*y)->offset ? -1 : (*x)->offset > (*y)->offset;
}

// Largest first, each at the lowest offset that is free during its life.
static void place_scratch(milo_code *c) {
  slot *slots = MILO_NEW_ARRAY(&c->arena, slot, c->buffer_count);
  const slot **live = MILO_NEW_ARRAY(&c->arena, const slot *, c->buffer_count);
  size_t count = 0;
  for (uint32_t i = 0; i < c->buffer_count; ++i) {
    const milo_cpu_buffer *b = &c->buffers[i];
    if (b->place != MILO_PLACE_SCRATCH || b->merged != i || b->first == MILO_NO_STEP) continue;
    slots[count++] = (slot){i, align_up(b->bytes), b->first, b->last, 0};
  }
  if (count > 0) qsort(slots, count, sizeof *slots, by_bytes);
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t lives = 0;
    for (size_t j = 0; j < i; ++j)
      if (slots[j].first <= slots[i].last && slots[i].first <= slots[j].last)
        live[lives++] = &slots[j];
    if (lives > 0) qsort(live, lives, sizeof *live, by_offset);
    size_t offset = 0;
    for (size_t j = 0; j < lives; ++j) {
      if (live[j]->offset >= offset + slots[i].bytes) break;
      const size_t end = live[j]->offset + live[j]->bytes;
      if (end > offset) offset = end;
    }
    slots[i].offset = offset;
    c->buffers[slots[i].buffer].offset = offset;
    if (offset + slots[i].bytes > total) total = offset + slots[i].bytes;
  }
  for (uint32_t i = 0; i < c->buffer_count; ++i)
    c->buffers[i].offset = c->buffers[root(c, i)].offset;
  c->workspace_offset = total;
  c->scratch_bytes = total + align_up(c->workspace_bytes);
}

milo_status milo_code_plan(milo_code *c, const milo_func *func) {
  place_outputs(c, func);
  merge(c);
  place_scratch(c);
  c->bases = milo_arena_alloc_array(&c->arena, c->buffer_count + 1, sizeof *c->bases);
  return MILO_OK;
}
