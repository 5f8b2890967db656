// SPDX-License-Identifier: MIT
// Dead code elimination: drops the operations whose results nobody uses.
//
//   before:  definitions come before uses
//   after:   every operation is impure, unknown, or reaches an output; order and shapes are kept
//   cost:    one walk back
#include "ir/op.h"
#include "pass/pass.h"

static void mark_outputs(const milo_block *block, bool *used) {
  for (size_t i = 0; i < block->output_count; ++i) used[block->outputs[i]->id] = true;
}

// Must it stay, whoever uses its results? Also for what its blocks hold.
static bool must_stay(const milo_op *op) {
  if (op->code == MILO_OP_unknown) return true;
  if ((milo_op_info_get(op->code)->traits & MILO_OP_IMPURE) != 0) return true;
  for (size_t i = 0; i < op->block_count; ++i)
    for (const milo_op *inner = op->blocks[i]->first; inner != NULL; inner = inner->next)
      if (must_stay(inner)) return true;
  return false;
}

static bool is_live(const milo_op *op, const bool *used) {
  if (must_stay(op)) return true;
  for (size_t i = 0; i < op->result_count; ++i)
    if (used[op->results[i]->id]) return true;
  return false;
}

// Backwards through a block whose outputs are marked, and through the blocks of what is live.
static void sweep(milo_block *block, bool *used) {
  for (milo_op *op = block->last, *prev; op != NULL; op = prev) {
    prev = op->prev;
    if (!is_live(op, used)) {
      milo_op_remove(op);
      continue;
    }
    for (size_t i = 0; i < op->arg_count; ++i)
      for (size_t k = 0; k < op->args[i].count; ++k) used[op->args[i].values[k]->id] = true;
    for (size_t i = 0; i < op->block_count; ++i) {
      mark_outputs(op->blocks[i], used);
      sweep(op->blocks[i], used);
    }
  }
}

milo_status milo_pass_dce(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  (void)options;
  (void)diag;
  milo_arena scratch = {0};
  milo_func_number(func);
  bool *used = MILO_NEW_ARRAY(&scratch, bool, func->value_count);
  mark_outputs(func->body, used);
  sweep(func->body, used);
  milo_arena_deinit(&scratch);
  return MILO_OK;
}
