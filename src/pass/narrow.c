// SPDX-License-Identifier: MIT
// Narrowing: what products, norms, attention and gates give is stored in 16 bits (fp16 or bf16), as
// a pair of casts that every use reads through. All arithmetic stays in fp32, and so do the sums
// of a residual stream, statistics (reductions, softmax, logarithms of sums, losses), inputs and
// outputs: parameters, their gradients, what a function is given and gives.
//
//   before:  anything; options->store says the type, MILO_DTYPE_NONE leaves the function alone
//   after:   y = op(...) is followed by h = cast(y, store), w = cast(h, fp32), and w is used
//            instead of y, where y is one of
//              the fp32 results of operations in the table below, unless their only use is to be
//              added: a sum rounds nothing that is stored
//              what elementwise operations make for products to read, sums excepted
//   cost:    one walk back, one walk forward
#include "ir/builder.h"
#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

// Bit i: result i is narrowed. Operations of nested blocks are left alone.
static const uint8_t narrowed[MILO_OP_COUNT] = {
    [MILO_OP_matmul] = 1,         [MILO_OP_linear] = 1,
    [MILO_OP_conv] = 1,           [MILO_OP_conv_transpose] = 1,
    [MILO_OP_rms_norm] = 1,       [MILO_OP_rms_norm_grad] = 1,
    [MILO_OP_layer_norm] = 1,     [MILO_OP_batch_norm] = 1,
    [MILO_OP_instance_norm] = 1,  [MILO_OP_rope] = 1,
    [MILO_OP_attention] = 1,      [MILO_OP_attention_grad] = 7,
    [MILO_OP_silu_gate_grad] = 3, [MILO_OP_cross_entropy_grad] = 1,
};

static bool is_product(milo_opcode code) {
  return code == MILO_OP_matmul || code == MILO_OP_linear || code == MILO_OP_conv ||
         code == MILO_OP_conv_transpose;
}

static bool is_sum(milo_opcode code) { return code == MILO_OP_add || code == MILO_OP_sub; }

typedef struct uses {
  uint32_t count;    // by operations that reach an output
  bool output;       // of the function
  bool to_products;  // some, also through views
  bool to_sums;
  bool stored;  // some cast it to 16 bits
} uses;

// An operation and which of its results are narrowed.
typedef struct choice {
  const milo_op *op;
  unsigned results;
} choice;

typedef struct job {
  milo_dtype store;
  milo_diag *diag;
  uses *of;         // by value id
  choice *choices;  // in the order of the operations
  size_t count, capacity, next;
} job;

static void use_args(job *j, const milo_op *op, bool top) {
  const unsigned traits = milo_op_info_get(op->code)->traits;
  for (size_t i = 0; i < op->arg_count; i++)
    for (size_t k = 0; k < op->args[i].count; k++) {
      uses *u = &j->of[op->args[i].values[k]->id];
      // Through a view it has the uses of the view.
      const uses *through = top && (traits & MILO_OP_VIEW) && op->result_count == 1
                                ? &j->of[op->results[0]->id]
                                : NULL;
      u->count += through ? through->count : 1;
      u->output |= through && through->output;
      u->to_products |= through ? through->to_products : is_product(op->code);
      u->stored |= op->code == MILO_OP_cast && milo_dtype_bits(op->results[0]->type.dtype) == 16;
      u->to_sums |= through ? through->to_sums : is_sum(op->code);
    }
}

static void use_block(job *j, const milo_block *block) {
  for (const milo_op *op = block->first; op; op = op->next) {
    use_args(j, op, false);
    for (size_t i = 0; i < op->block_count; i++) use_block(j, op->blocks[i]);
  }
  for (size_t i = 0; i < block->output_count; i++) j->of[block->outputs[i]->id].count++;
}

static void count_uses(job *j, const milo_func *func) {
  for (size_t i = 0; i < func->body->output_count; i++)
    j->of[func->body->outputs[i]->id].output = true;
  for (const milo_op *op = func->body->last; op; op = op->prev) {
    bool live = (milo_op_info_get(op->code)->traits & MILO_OP_IMPURE) != 0;
    for (size_t i = 0; i < op->result_count; i++) {
      const uses *u = &j->of[op->results[i]->id];
      live = live || u->count > 0 || u->output;
    }
    if (!live) continue;
    use_args(j, op, true);
    for (size_t i = 0; i < op->block_count; i++) use_block(j, op->blocks[i]);
  }
}

static bool wanted(const job *j, const milo_op *op, size_t result) {
  const milo_value *value = op->results[result];
  const milo_type *type = &value->type;
  const uses *u = &j->of[value->id];
  if (type->kind != MILO_TYPE_TENSOR || type->dtype != MILO_FP32 || type->rank == 0) return false;
  if (u->output || u->count == 0 || u->stored) return false;
  if ((narrowed[op->code] >> result & 1) != 0) return !(u->to_sums && u->count == 1);
  const bool elementwise = (milo_op_info_get(op->code)->traits & MILO_OP_ELEMENTWISE) != 0;
  return elementwise && u->to_products && !is_sum(op->code);
}

static void choose(job *j, const milo_func *func, milo_arena *arena) {
  for (const milo_op *op = func->body->first; op; op = op->next) {
    choice c = {op, 0};
    for (size_t i = 0; i < op->result_count && i < 8; i++)
      if (wanted(j, op, i)) c.results |= 1u << i;
    if (c.results != 0) MILO_PUSH(arena, j->choices, j->count, j->capacity, c);
  }
}

static void name_after(milo_func *func, milo_value *value, const milo_value *origin,
                       const char *what) {
  const char *name = milo_arena_printf(&func->program->arena, "%s_%s", origin->name, what);
  milo_value_rename(value, milo_func_fresh_name(func, name));
}

static milo_status narrow(milo_rewriter *r, milo_op *op, void *user) {
  job *j = user;
  if (j->next == j->count || j->choices[j->next].op != op) return MILO_OK;
  const unsigned results = j->choices[j->next++].results;
  milo_builder b =
      op->next ? milo_builder_before(op->next, j->diag) : milo_builder_at_end(r->func, j->diag);
  b.loc = op->loc;
  for (size_t i = 0; i < op->result_count; i++) {
    if ((results >> i & 1) == 0) continue;
    milo_value *half = milo_b_cast(&b, op->results[i], j->store);
    milo_value *wide = milo_b_cast(&b, half, MILO_FP32);
    MILO_TRY(b.status);
    name_after(r->func, half, op->results[i], milo_dtype_name(j->store));
    name_after(r->func, wide, op->results[i], "wide");
    milo_rewriter_replace(r, op->results[i], wide);
  }
  return MILO_OK;
}

milo_status milo_pass_narrow(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  if (options->store == MILO_DTYPE_NONE) return MILO_OK;
  milo_arena scratch = {0};
  milo_func_number(func);
  job j = {.store = options->store, .diag = diag};
  j.of = MILO_NEW_ARRAY(&scratch, uses, func->value_count);
  count_uses(&j, func);
  choose(&j, func, &scratch);
  const milo_status status = milo_rewrite(func, narrow, &j);
  milo_arena_deinit(&scratch);
  return status;
}
