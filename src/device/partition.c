// SPDX-License-Identifier: MIT
// Cuts a function into segments by what runs where.
//
// An operation's level is the number of changes of place on the longest way to it. Operations of
// one level and one place form a segment: whatever they use lies in their own segment or at a lower
// level, so that segments in the order of their levels are a valid order. Costs one walk.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "device/dynamic.h"
#include "device/executable.h"
#include "device/list.h"
#include "ir/op.h"

milo_segment_kind milo_segment_kind_of(const milo_device *device, const milo_op *op) {
  bool known = op->block_count == 0 && !milo_list_runs(op);
  for (size_t i = 0; i < op->result_count; ++i)
    known = known && milo_type_is_static(&op->results[i]->type);
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      if (value->type.kind == MILO_TYPE_TENSOR && milo_value_constant(value) == NULL)
        known = known && milo_type_is_static(&value->type);
    }
  if (!known) return milo_dynamic_supports(op) ? MILO_SEGMENT_DYNAMIC : MILO_SEGMENT_KINDS;
  if (device->type->supports(device, op)) return MILO_SEGMENT_DEVICE;
  if (device->type != &milo_device_type_cpu && milo_device_type_cpu.supports(device, op))
    return MILO_SEGMENT_FALLBACK;
  return MILO_SEGMENT_KINDS;
}

bool milo_segment_is_own(const milo_device *device, milo_segment_kind kind) {
  return kind == MILO_SEGMENT_DEVICE ||
         (kind == MILO_SEGMENT_DYNAMIC && device->type == &milo_device_type_ref);
}

milo_status milo_device_for(milo_device *device, milo_segment_kind kind, milo_diag *diag,
                            milo_device **out_device) {
  *out_device = device;
  if (kind != MILO_SEGMENT_FALLBACK) return MILO_OK;
  if (device->fallback == NULL)
    MILO_TRY(milo_device_type_cpu.open(&device->host, &device->fallback, diag));
  *out_device = device->fallback;
  return MILO_OK;
}

// ---- cutting ----

typedef struct place {
  uint32_t level;
  milo_segment_kind kind;
} place;

typedef struct cutter {
  milo_executable *e;
  milo_arena *arena;  // of the executable
  milo_arena scratch;
  place *places;       // by value id: where it is made
  size_t *segment_of;  // by value id; SIZE_MAX: an input or a constant
  size_t *slot_of;     // by value id; SIZE_MAX: it stays in its segment
  milo_value **map;    // by value id, of the segment being made
  size_t slot_capacity;
} cutter;

static bool is_constant(const milo_value *value) { return milo_value_constant(value) != NULL; }

// Calls fn for each value that op uses and that is no constant.
typedef void use_fn(cutter *c, const milo_op *op, milo_value *value);
typedef struct uses {
  cutter *c;
  const milo_op *op;
  use_fn *fn;
} uses;

static void unless_constant(void *user, milo_value *value) {
  const uses *u = user;
  if (!is_constant(value)) u->fn(u->c, u->op, value);
}

static void each_use(cutter *c, const milo_op *op, use_fn *fn) {
  uses u = {c, op, fn};
  milo_op_each_use(op, unless_constant, &u);
}

static void raise_level(cutter *c, const milo_op *op, milo_value *value) {
  place *at = &c->places[op->results[0]->id];
  const place *from = &c->places[value->id];
  if (value->def == NULL) return;
  const uint32_t level = from->level + (from->kind != at->kind ? 1 : 0);
  if (level > at->level) at->level = level;
}

static size_t add_slot(cutter *c, const milo_type *type) {
  const milo_crossing slot = {.type = *type, .output = SIZE_MAX, .on_device = true};
  MILO_PUSH(c->arena, c->e->slots, c->e->slot_count, c->slot_capacity, slot);
  return c->e->slot_count - 1;
}

// Gives a value that another segment made a slot.
static void cross(cutter *c, const milo_op *op, milo_value *value) {
  const size_t here = c->segment_of[op->results[0]->id], made = c->segment_of[value->id];
  if (made == here && value->def != NULL) return;
  size_t *slot = &c->slot_of[value->id];
  if (*slot == SIZE_MAX) *slot = add_slot(c, &value->type);
  if (made != SIZE_MAX && (c->e->segments[made].kind != MILO_SEGMENT_DEVICE ||
                           c->e->segments[here].kind != MILO_SEGMENT_DEVICE))
    c->e->slots[*slot].on_device = false;
}

// An output that is an input, a constant or another output too gets an operation of its own.
// Returns the first of these; NULL: there is none.
static const milo_op *name_outputs(milo_executable *e) {
  milo_block *body = e->func->body;
  const milo_op *first = NULL;
  milo_func_number(e->func);
  milo_arena scratch = {0};
  bool *seen = MILO_NEW_ARRAY(&scratch, bool, e->func->value_count);
  for (size_t i = 0; i < body->output_count; ++i) {
    milo_value *value = body->outputs[i];
    if (value->def != NULL && !is_constant(value) && !seen[value->id]) {
      seen[value->id] = true;
      continue;
    }
    milo_op *op = milo_op_create(body, NULL, "identity", e->func->loc);
    if (first == NULL) first = op;
    milo_op_add_arg(op, "x", &value, 1);
    body->outputs[i] = milo_op_add_result(op, milo_func_fresh_name(e->func, "output"), value->type);
  }
  milo_arena_deinit(&scratch);
  milo_func_number(e->func);
  return first;
}

// Levels, then the segments in order; fills segment_of.
static void group_ops(cutter *c, const milo_device *device) {
  milo_executable *e = c->e;
  uint32_t levels = 0;
  for (const milo_op *op = e->func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const || op->result_count == 0) continue;
    place *at = &c->places[op->results[0]->id];
    at->kind = milo_segment_kind_of(device, op);
    each_use(c, op, raise_level);
    for (size_t i = 1; i < op->result_count; ++i) c->places[op->results[i]->id] = *at;
    if (at->level >= levels) levels = at->level + 1;
  }
  const size_t count = (size_t)levels * MILO_SEGMENT_KINDS;
  bool *used = MILO_NEW_ARRAY(&c->scratch, bool, count);
  size_t *index = MILO_NEW_ARRAY(&c->scratch, size_t, count);
  for (const milo_op *op = e->func->body->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const || op->result_count == 0) continue;
    const place *at = &c->places[op->results[0]->id];
    const size_t g = at->level * (size_t)MILO_SEGMENT_KINDS + at->kind;
    if (!used[g]) ++e->segment_count;
    used[g] = true;
  }
  e->segments = MILO_NEW_ARRAY(c->arena, milo_segment, e->segment_count);
  size_t next = 0;
  for (size_t g = 0; g < count; ++g) {
    if (!used[g]) continue;
    e->segments[next].kind = (milo_segment_kind)(g % MILO_SEGMENT_KINDS);
    index[g] = next++;
  }
  for (const milo_op *op = e->func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; ++i) {
      const place *at = &c->places[op->results[i]->id];
      c->segment_of[op->results[i]->id] =
          op->code == MILO_OP_const ? SIZE_MAX
                                    : index[at->level * (size_t)MILO_SEGMENT_KINDS + at->kind];
    }
}

// ---- segments as functions ----

typedef struct maker {
  cutter *c;
  milo_segment *segment;
  uint32_t *entered;  // ids of what the map holds for this segment
  size_t entered_count, entered_capacity, input_capacity, output_capacity;
} maker;

static void enter(maker *m, const milo_value *value, milo_value *copy) {
  m->c->map[value->id] = copy;
  MILO_PUSH(&m->c->scratch, m->entered, m->entered_count, m->entered_capacity, value->id);
}

// Makes what op uses known in the segment: constants are copied, the rest are parameters.
static void bring(void *user, milo_value *value) {
  maker *m = user;
  cutter *c = m->c;
  if (c->map[value->id] != NULL) return;
  if (value->def != NULL && is_constant(value)) {
    const milo_op *constant = milo_op_clone(m->segment->func->body, value->def, c->map);
    enter(m, value, constant->results[value->index]);
  } else if (!is_constant(value)) {
    milo_value *param = milo_func_add_param(m->segment->func, value->name, value->type);
    MILO_PUSH(c->arena, m->segment->inputs, m->segment->input_count, m->input_capacity,
              c->slot_of[value->id]);
    enter(m, value, param);
  }
}

static void add_op(maker *m, const milo_op *op) {
  cutter *c = m->c;
  milo_op_each_use(op, bring, m);
  const milo_op *copy = milo_op_clone(m->segment->func->body, op, c->map);
  for (size_t i = 0; i < op->result_count; ++i) {
    const uint32_t id = op->results[i]->id;
    enter(m, op->results[i], copy->results[i]);
    if (c->slot_of[id] == SIZE_MAX) continue;
    milo_func_add_output(m->segment->func, copy->results[i]);
    MILO_PUSH(c->arena, m->segment->outputs, m->segment->output_count, m->output_capacity,
              c->slot_of[id]);
  }
}

static void make_segments(cutter *c) {
  milo_executable *e = c->e;
  const size_t count = e->segment_count;
  // The operations of each segment, in order.
  size_t *sizes = MILO_NEW_ARRAY(&c->scratch, size_t, count);
  milo_op ***ops = MILO_NEW_ARRAY(&c->scratch, milo_op **, count);
  for (int pass = 0; pass < 2; ++pass) {
    for (milo_op *op = e->func->body->first; op != NULL; op = op->next) {
      if (op->code == MILO_OP_const || op->result_count == 0) continue;
      const size_t s = c->segment_of[op->results[0]->id];
      if (pass == 1) ops[s][sizes[s]] = op;
      ++sizes[s];
    }
    for (size_t s = 0; pass == 0 && s < count; ++s) {
      ops[s] = MILO_NEW_ARRAY(&c->scratch, milo_op *, sizes[s]);
      sizes[s] = 0;
    }
  }
  for (size_t s = 0; s < count; ++s) {
    maker m = {.c = c, .segment = &e->segments[s]};
    const char *name = milo_arena_printf(c->arena, "%s_%zu", e->func->name, s);
    m.segment->func = milo_program_add_func(e->program, name, e->func->opset);
    m.segment->func->loc = e->func->loc;
    for (size_t i = 0; i < sizes[s]; ++i) add_op(&m, ops[s][i]);
    for (size_t i = 0; i < m.entered_count; ++i) c->map[m.entered[i]] = NULL;
    milo_func_number(m.segment->func);
  }
}

// end: the first operation that the function did not have itself.
static const char *describe(const cutter *c, const milo_device *device, const milo_op *end) {
  milo_str text = {0};
  for (const milo_op *op = c->e->func->body->first; op != end; op = op->next) {
    if (op->code == MILO_OP_const || op->result_count == 0) continue;
    const milo_segment_kind kind = c->places[op->results[0]->id].kind;
    if (milo_segment_is_own(device, kind)) continue;
    milo_str_printf(&text, "%s: %s runs on %s, not on %s\n", op->results[0]->name, op->name,
                    kind == MILO_SEGMENT_DYNAMIC ? "ref" : "cpu", device->type->name);
  }
  const char *copy = milo_arena_strdup(c->arena, text.data != NULL ? text.data : "");
  milo_str_deinit(&text);
  return copy;
}

static void cut(cutter *c, milo_device *device) {
  milo_executable *e = c->e;
  const milo_op *added = name_outputs(e);
  const size_t values = (size_t)e->func->value_count + 1;
  c->places = MILO_NEW_ARRAY(&c->scratch, place, values);
  c->segment_of = MILO_NEW_ARRAY(&c->scratch, size_t, values);
  c->slot_of = MILO_NEW_ARRAY(&c->scratch, size_t, values);
  c->map = MILO_NEW_ARRAY(&c->scratch, milo_value *, values);
  for (size_t i = 0; i < values; ++i) c->segment_of[i] = c->slot_of[i] = SIZE_MAX;
  group_ops(c, device);
  const milo_block *body = e->func->body;
  for (size_t i = 0; i < body->param_count; ++i)
    c->slot_of[body->params[i]->id] = add_slot(c, &body->params[i]->type);
  for (size_t i = 0; i < body->output_count; ++i) {
    const size_t slot = add_slot(c, &body->outputs[i]->type);
    c->slot_of[body->outputs[i]->id] = slot;
    e->slots[slot].output = i;
  }
  for (const milo_op *op = body->first; op != NULL; op = op->next)
    if (op->code != MILO_OP_const && op->result_count > 0) each_use(c, op, cross);
  make_segments(c);
  e->fallbacks = describe(c, device, added);
}

// All of it on the device: the function itself, its inputs and outputs in order.
static void keep_whole(milo_executable *e) {
  const milo_block *body = e->func->body;
  milo_arena *arena = &e->program->arena;
  milo_func_number(e->func);
  e->fallbacks = "";
  e->slot_count = body->param_count + body->output_count;
  e->slots = MILO_NEW_ARRAY(arena, milo_crossing, e->slot_count);
  e->segment_count = 1;
  e->segments = MILO_NEW(arena, milo_segment);
  *e->segments = (milo_segment){.kind = MILO_SEGMENT_DEVICE,
                                .func = e->func,
                                .inputs = MILO_NEW_ARRAY(arena, size_t, body->param_count),
                                .outputs = MILO_NEW_ARRAY(arena, size_t, body->output_count),
                                .input_count = body->param_count,
                                .output_count = body->output_count};
  for (size_t i = 0; i < body->param_count; ++i) {
    e->slots[i] = (milo_crossing){.type = body->params[i]->type, .output = SIZE_MAX};
    e->segments->inputs[i] = i;
  }
  for (size_t i = 0; i < body->output_count; ++i) {
    const size_t slot = body->param_count + i;
    e->slots[slot] = (milo_crossing){.type = body->outputs[i]->type, .output = i};
    e->segments->outputs[i] = slot;
  }
}

static milo_status compile_segment(milo_executable *e, milo_segment *s, milo_device *device,
                                   const milo_executable_options *options, milo_diag *diag) {
  milo_executable_options own = *options;
  milo_arena scratch = {0};
  own.aliases = e->aliases;  // states' are among them
  own.alias_count = e->alias_count;
  if (s->func != e->func) {
    // Shared memory is the whole function's matter, see run.c.
    own.aliases = NULL;
    own.alias_count = 0;
    milo_role *roles = MILO_NEW_ARRAY(&scratch, milo_role, s->input_count);
    for (size_t i = 0; options->roles != NULL && i < s->input_count; ++i)
      if (s->inputs[i] < e->input_count) roles[i] = options->roles[s->inputs[i]];
    own.roles = roles;
  }
  milo_device *on = NULL;
  milo_status status = milo_device_for(device, s->kind, diag, &on);
  if (status == MILO_OK) {
    s->type = on->type;
    status = on->type->compile(on, s->func, &own, &s->code, diag);
  }
  milo_arena_deinit(&scratch);
  return status;
}

static bool is_donated(const milo_executable *e, size_t output) {
  size_t low = 0, high = e->alias_count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (e->aliases[middle].output == output) return true;
    if (e->aliases[middle].output < output)
      low = middle + 1;
    else
      high = middle;
  }
  return false;
}

// Which slots each run has memory for: those between segments, and outputs that may have an input's
// memory, which later segments may still read.
static void place_slots(milo_executable *e) {
  for (size_t i = e->input_count; i < e->slot_count; ++i) {
    milo_crossing *slot = &e->slots[i];
    const bool between = slot->output == SIZE_MAX;
    slot->own = milo_type_is_static(&slot->type) &&
                (between || (e->segment_count > 1 && is_donated(e, slot->output)));
    slot->on_device = slot->on_device && between;
  }
}

milo_status milo_executable_cut(milo_executable *e, milo_device *device,
                                const milo_executable_options *options, milo_diag *diag) {
  bool whole = true;
  for (const milo_op *op = e->func->body->first; op != NULL && whole; op = op->next)
    whole = op->code == MILO_OP_const || milo_segment_kind_of(device, op) == MILO_SEGMENT_DEVICE;
  if (whole) {
    keep_whole(e);
  } else {
    cutter c = {.e = e, .arena = &e->program->arena};
    cut(&c, device);
    milo_arena_deinit(&c.scratch);
  }
  place_slots(e);
  for (size_t i = 0; i < e->segment_count; ++i)
    if (e->segments[i].kind != MILO_SEGMENT_DYNAMIC)
      MILO_TRY(compile_segment(e, &e->segments[i], device, options, diag));
  return MILO_OK;
}
