// SPDX-License-Identifier: MIT
// Reverse-mode differentiation: appends the backward computation to a function.
//
//   before:  static types on the way from wrt to the floating-point outputs
//   after:   forward operations are as they were; behind them stand the gradients, last operation
//            first; what nobody uses is left for dce
//   cost:    one walk forward, one back
#include <string.h>

#include "base/number.h"
#include "ir/grad.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

static bool is_differentiable(const milo_type *type) {
  if (type->kind != MILO_TYPE_TENSOR) return false;
  return type->dtype == MILO_FP32 || type->dtype == MILO_FP16 || type->dtype == MILO_FP64 ||
         type->dtype == MILO_BF16;
}

// ---- what depends on what is differentiated ----

static bool block_uses(const milo_block *block, const bool *wants);

static bool op_uses(const milo_op *op, const bool *wants) {
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++)
      if (wants[op->args[i].values[k]->id]) return true;
  for (size_t i = 0; i < op->block_count; i++)
    if (block_uses(op->blocks[i], wants)) return true;
  return false;
}

static bool block_uses(const milo_block *block, const bool *wants) {
  for (const milo_op *op = block->first; op != NULL; op = op->next)
    if (op_uses(op, wants)) return true;
  for (size_t i = 0; i < block->output_count; i++)
    if (wants[block->outputs[i]->id]) return true;
  return false;
}

static void mark_wants(const milo_block *block, bool *wants) {
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    for (size_t i = 0; i < op->block_count; i++) mark_wants(op->blocks[i], wants);
    if (milo_op_info_get(op->code)->zero_grad || !op_uses(op, wants)) continue;
    for (size_t i = 0; i < op->result_count; i++)
      wants[op->results[i]->id] = is_differentiable(&op->results[i]->type);
  }
}

// ---- what can be differentiated ----

// Of the command, and of the library.
#define GIVE_SHAPES \
  "give the inputs that leave theirs open a shape: --shape NAME=4,3 (milo_grad_options.inputs)"

static milo_status check_static(const milo_op *op, const milo_value *value, milo_diag *diag) {
  if (value->type.kind != MILO_TYPE_TENSOR || milo_type_is_static(&value->type)) return MILO_OK;
  return milo_fail(
      diag, op->loc, MILO_ERR_UNSUPPORTED,
      "the gradient of %s needs a known shape, but %s has unknown dimensions\n" GIVE_SHAPES,
      op->name, value->name);
}

static milo_status check_operation(const milo_op *op, milo_diag *diag) {
  if (op->code == MILO_OP_unknown)
    return milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED,
                     "%s is not an operation Milo knows: it cannot be differentiated", op->name);
  if (milo_op_info_get(op->code)->vjp == NULL && op->code != MILO_OP_cond)
    return milo_fail(diag, op->loc, MILO_ERR_UNSUPPORTED, "%s has no gradient", op->name);
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++)
      MILO_TRY(check_static(op, op->args[i].values[k], diag));
  for (size_t i = 0; i < op->result_count; i++) MILO_TRY(check_static(op, op->results[i], diag));
  return MILO_OK;
}

// Does the gradient of op take a seed that is narrower than the result, as reductions hand it on?
// Elementwise operations broadcast it where they need it whole, unless an argument was broadcast
// itself: its gradient is a sum, in which every element counts.
static bool takes_narrow_seeds(const milo_grad *g, const milo_op *op) {
  const unsigned traits = milo_op_info_get(op->code)->traits;
  if ((traits & MILO_OP_ELEMENTWISE) == 0 || (traits & MILO_OP_COMPOSITE) != 0) return false;
  const milo_type *result = &op->results[0]->type;
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) {
      const milo_value *x = op->args[i].values[k];
      if (g->wants[x->id] && (x->type.rank != result->rank ||
                              milo_type_elements(&x->type) != milo_type_elements(result)))
        return false;
    }
  return true;
}

static milo_status differentiate(milo_grad *g, const milo_op *op, milo_arena *scratch);

// ---- cond ----
//
// Its gradient is a cond too, whose blocks compute their forward part again, then the gradients of
// what either block takes from outside.

typedef struct captures {
  const bool *wants;
  milo_value **map;  // by id: every value from outside is itself
  milo_value **values;
  size_t count, capacity;
  milo_arena *scratch;
} captures;

static void capture(void *user, milo_value *value) {
  captures *c = user;
  if (c->map[value->id] == NULL && c->wants[value->id])
    MILO_PUSH(c->scratch, c->values, c->count, c->capacity, value);
  c->map[value->id] = value;
}

static void take_id(milo_value *copy, const milo_value *value, milo_func *func) {
  copy->id = value->id;
  if (value->def != NULL || value->literal == NULL)
    milo_value_rename(copy, milo_func_fresh_name(func, value->name));
}

// The copy of a block has names of its own, but is known by the ids of what it is a copy of.
static void take_ids(const milo_block *copy, const milo_block *block) {
  for (size_t i = 0; i < block->param_count; i++)
    take_id(copy->params[i], block->params[i], copy->func);
  const milo_op *to = copy->first;
  for (const milo_op *op = block->first; op != NULL; op = op->next, to = to->next) {
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        const milo_value *value = op->args[i].values[k];
        if (value->def == NULL && value->literal != NULL) to->args[i].values[k]->id = value->id;
      }
    for (size_t i = 0; i < op->block_count; i++) take_ids(to->blocks[i], op->blocks[i]);
    for (size_t i = 0; i < op->result_count; i++)
      take_id(to->results[i], op->results[i], copy->func);
  }
}

// Fills the block of the gradient that belongs to `from`: one output for each captured value.
static milo_status differentiate_block(const milo_grad *outer, const milo_block *from,
                                       milo_block *to, milo_value *const *seeds, captures *c) {
  milo_grad g = {outer->builder, outer->wants,
                 MILO_NEW_ARRAY(c->scratch, milo_value *, outer->builder.func->value_count)};
  milo_builder *b = &g.builder;
  b->block = to;
  b->before = NULL;
  for (const milo_op *op = from->first; op != NULL; op = op->next) milo_op_clone(to, op, c->map);
  take_ids(to, from);
  const milo_op *const last = to->last;
  for (size_t i = 0; i < from->output_count; i++)
    if (seeds[i] != NULL) milo_grad_add(&g, c->map[from->outputs[i]->id], seeds[i]);
  for (const milo_op *op = last; op != NULL; op = op->prev)
    MILO_TRY(differentiate(&g, op, c->scratch));
  for (size_t i = 0; i < c->count; i++) {
    const milo_value *value = c->values[i];
    milo_value *grad = g.total[value->id];
    grad = grad != NULL ? milo_grad_widen(b, grad, value) : milo_grad_fill(b, value->type, 0);
    MILO_TRY(b->status);
    MILO_PUSH(&to->func->program->arena, to->outputs, to->output_count, to->output_capacity, grad);
  }
  return MILO_OK;
}

static milo_status differentiate_cond(milo_grad *g, const milo_op *op, milo_value *const *seeds,
                                      milo_arena *scratch) {
  milo_builder *b = &g->builder;
  captures c = {.wants = g->wants,
                .map = MILO_NEW_ARRAY(scratch, milo_value *, b->func->value_count),
                .scratch = scratch};
  milo_value *pred = milo_op_in(op, "pred");
  milo_op_each_use(op, capture, &c);
  milo_op *grad = milo_op_create(b->block, b->before, op->name, op->loc);
  milo_op_add_arg(grad, "pred", &pred, 1);
  for (size_t i = 0; i < 2; i++)
    MILO_TRY(differentiate_block(g, op->blocks[i], milo_op_add_block(grad), seeds, &c));
  for (size_t i = 0; i < c.count; i++) {
    milo_value *result = milo_op_add_result(
        grad,
        milo_func_fresh_name(b->func, milo_arena_printf(milo_op_arena(grad), "%s_of_%s", op->name,
                                                        c.values[i]->name)),
        c.values[i]->type);
    milo_grad_add(g, c.values[i], result);
  }
  return b->status;
}

// ---- any operation ----

static milo_status differentiate(milo_grad *g, const milo_op *op, milo_arena *scratch) {
  milo_value **seeds = MILO_NEW_ARRAY(scratch, milo_value *, op->result_count);
  bool any = false;
  for (size_t i = 0; i < op->result_count; i++) {
    seeds[i] = g->total[op->results[i]->id];
    any = any || seeds[i] != NULL;
  }
  if (!any || !op_uses(op, g->wants)) return MILO_OK;
  MILO_TRY(check_operation(op, g->builder.diag));
  g->builder.loc = op->loc;
  if (!takes_narrow_seeds(g, op))
    for (size_t i = 0; i < op->result_count; i++)
      if (seeds[i] != NULL) seeds[i] = milo_grad_widen(&g->builder, seeds[i], op->results[i]);
  return op->code == MILO_OP_cond ? differentiate_cond(g, op, seeds, scratch)
                                  : milo_op_info_get(op->code)->vjp(g, op, seeds);
}

// ---- seeds and results ----

// The results of the original function's operations by name, and which are outputs.
typedef struct inner_names {
  milo_value **slots;  // open addressing; a value is found by the name it has now
  size_t mask;
  bool *is_output;  // by id
} inner_names;

static milo_value **find_slot(const inner_names *names, const char *name) {
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (const char *c = name; *c != '\0'; c++)
    hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
  size_t i = (size_t)(hash ^ hash >> 32) & names->mask;
  while (names->slots[i] != NULL && strcmp(names->slots[i]->name, name) != 0)
    i = (i + 1) & names->mask;
  return &names->slots[i];
}

// room: how many renamings are to come.
static inner_names names_of(const milo_func *func, size_t room, milo_arena *scratch) {
  inner_names names = {.is_output = MILO_NEW_ARRAY(scratch, bool, func->value_count), .mask = 15};
  while (names.mask < 2 * (func->value_count + room)) names.mask = 2 * names.mask + 1;
  names.slots = MILO_NEW_ARRAY(scratch, milo_value *, names.mask + 1);
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++)
      *find_slot(&names, op->results[i]->name) = op->results[i];
  for (size_t i = 0; i < func->body->output_count; i++)
    names.is_output[func->body->outputs[i]->id] = true;
  return names;
}

// Is it the name of a parameter (else: of a value inside, or an output)?
static bool is_param(const milo_func *func, const char *name) {
  return milo_func_find_param(func, name) != NULL;
}

// <prefix><name>, which callers count on: a value inside the function that is called so gives way.
// An input or output cannot, and a gradient under another name would be found by nobody. NULL after
// reporting that.
static const char *grad_name(const inner_names *names, milo_func *func, const char *prefix,
                             const char *what, const char *name, milo_diag *diag) {
  const char *wanted = milo_arena_printf(&func->program->arena, "%s%s", prefix, name);
  const char *fresh = milo_func_fresh_name(func, wanted);
  if (strcmp(fresh, wanted) == 0) return fresh;
  milo_value *inner = *find_slot(names, wanted);
  if (inner == NULL || names->is_output[inner->id]) {
    const char *holder = inner != NULL            ? "an output"
                         : is_param(func, wanted) ? "an input or a seed"
                                                  : "another value";
    (void)milo_fail(
        diag, func->loc, MILO_ERR_INVALID,
        "the %s of %s would be called %s, as %s is already\nchoose another prefix than "
        "%s (--prefix, --seed-prefix; the fields of milo_grad_options), or rename one of them",
        what, name, wanted, holder, prefix);
    return NULL;
  }
  milo_value_rename(inner, fresh);
  *find_slot(names, fresh) = inner;
  return wanted;
}

static milo_status add_seeds(milo_grad *g, milo_func *func, const char *prefix,
                             const inner_names *names) {
  for (size_t i = 0; i < func->body->output_count; i++) {
    milo_value *output = func->body->outputs[i];
    if (!is_differentiable(&output->type)) continue;
    if (!milo_type_is_static(&output->type))
      return milo_fail(
          g->builder.diag, func->loc, MILO_ERR_UNSUPPORTED,
          "output %s has unknown dimensions: its gradient's shape is not known\n" GIVE_SHAPES,
          output->name);
    const char *name = grad_name(names, func, prefix, "seed", output->name, g->builder.diag);
    if (name == NULL) return MILO_ERR_INVALID;
    milo_value *seed = milo_func_add_param(func, name, output->type);
    milo_grad_add(g, output, seed);
  }
  return g->builder.status;
}

// Values whose name must stay: results of the original function's operations, and outputs. by_id:
// those it has; a value is among them if it stands at its id.
typedef struct kept_values {
  milo_value **by_id;
  uint32_t count;
} kept_values;

static kept_values keep_forward(const milo_func *func, size_t room, milo_arena *scratch) {
  kept_values kept = {MILO_NEW_ARRAY(scratch, milo_value *, func->value_count + room),
                      func->value_count};
  for (const milo_op *op = func->body->first; op != NULL; op = op->next)
    for (size_t i = 0; i < op->result_count; i++) kept.by_id[op->results[i]->id] = op->results[i];
  return kept;
}

static bool is_kept(const kept_values *kept, const milo_value *value) {
  return value->id < kept->count && kept->by_id[value->id] == value;
}

// Makes the gradient of a parameter an output of its own. Seeds, forward values and what is already
// an output keep their name: such a gradient is copied.
static void add_result(milo_grad *g, milo_func *func, const milo_value *param, const char *name,
                       kept_values *kept) {
  milo_builder *b = &g->builder;
  milo_value *grad = g->total[param->id];
  grad = grad != NULL ? milo_grad_widen(b, grad, param) : milo_grad_fill(b, param->type, 0);
  if (b->status != MILO_OK) return;
  if (grad->def == NULL || grad->literal != NULL || is_kept(kept, grad))
    grad = EMIT(b, identity, {"x", grad});
  if (b->status != MILO_OK) return;
  grad->id = kept->count;
  kept->by_id[kept->count++] = grad;
  milo_value_rename(grad, name);
  milo_func_add_output(func, grad);
}

static milo_status check_wrt(const milo_func *func, const milo_value *param, milo_diag *diag) {
  if (!is_differentiable(&param->type))
    return milo_fail(diag, func->loc, MILO_ERR_INVALID,
                     "input %s is not floating-point: it has no gradient", param->name);
  if (!milo_type_is_static(&param->type))
    return milo_fail(diag, func->loc, MILO_ERR_UNSUPPORTED,
                     "input %s has unknown dimensions\n" GIVE_SHAPES, param->name);
  return MILO_OK;
}

milo_status milo_autodiff(milo_func *func, milo_value *const *wrt, size_t wrt_count,
                          milo_diag *diag) {
  return milo_autodiff_named(func, wrt, wrt_count, "grad_", "grad_", diag);
}

milo_status milo_autodiff_named(milo_func *func, milo_value *const *wrt, size_t wrt_count,
                                const char *prefix, const char *seed_prefix, milo_diag *diag) {
  for (size_t i = 0; i < wrt_count; i++) MILO_TRY(check_wrt(func, wrt[i], diag));
  milo_arena scratch = {0};
  milo_func_number(func);
  bool *wants = MILO_NEW_ARRAY(&scratch, bool, func->value_count);
  for (size_t i = 0; i < wrt_count; i++) wants[wrt[i]->id] = true;
  mark_wants(func->body, wants);
  milo_grad g = {milo_builder_at_end(func, diag), wants,
                 MILO_NEW_ARRAY(&scratch, milo_value *, func->value_count)};
  milo_op *const last = func->body->last;
  kept_values kept = keep_forward(func, wrt_count, &scratch);
  const inner_names inner = names_of(func, func->body->output_count + wrt_count, &scratch);
  milo_status status = add_seeds(&g, func, seed_prefix, &inner);
  // Taken before what is emitted can have them.
  const char **names = MILO_NEW_ARRAY(&scratch, const char *, wrt_count);
  for (size_t i = 0; i < wrt_count && status == MILO_OK; i++) {
    names[i] = grad_name(&inner, func, prefix, "gradient", wrt[i]->name, diag);
    if (names[i] == NULL) status = MILO_ERR_INVALID;
  }
  for (milo_op *op = last; op != NULL && status == MILO_OK; op = op->prev)
    status = differentiate(&g, op, &scratch);
  g.builder.loc = func->loc;
  for (size_t i = 0; i < wrt_count && status == MILO_OK; i++) {
    add_result(&g, func, wrt[i], names[i], &kept);
    status = g.builder.status;
  }
  milo_arena_deinit(&scratch);
  return status;
}
