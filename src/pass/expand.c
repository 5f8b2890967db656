// SPDX-License-Identifier: MIT
// Expansion: replaces composites that the device does not take whole by what defines them, and
// public operations that it would rather have in pieces.
//
//   before:  anything
//   after:   every operation with a decomposition is one that options->keep wants; without keep,
//            public operations stay
//   cost:    one walk
#include "ir/op.h"
#include "pass/pass.h"
#include "pass/rewrite.h"

static bool wanted(const milo_op *op, const milo_pass_options *options) {
  const milo_op_info *info = milo_op_info_get(op->code);
  if (info->decompose == NULL) return false;
  if (options->keep == NULL) return (info->traits & MILO_OP_COMPOSITE) != 0;
  return !options->keep(options->user, op);
}

static milo_status expand(milo_rewriter *r, milo_op *op, milo_diag *diag) {
  milo_builder b = milo_builder_before(op, diag);
  milo_value **out = MILO_NEW_ARRAY(&r->arena, milo_value *, op->result_count);
  MILO_TRY(milo_op_info_get(op->code)->decompose(&b, op, out));
  MILO_TRY(b.status);
  for (size_t i = 0; i < op->result_count; ++i) milo_rewriter_replace(r, op->results[i], out[i]);
  return MILO_OK;
}

milo_status milo_pass_expand(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  milo_rewriter r = milo_rewriter_init(func);
  milo_status status = MILO_OK;
  for (milo_op *op = func->body->first, *next; op != NULL && status == MILO_OK; op = next) {
    next = op->next;
    milo_rewriter_apply(&r, op);
    if (!wanted(op, options)) continue;
    milo_op *before = op->prev;
    status = expand(&r, op, diag);
    if (status != MILO_OK) break;
    milo_op_remove(op);
    next =
        before != NULL ? before->next : func->body->first;  // simpler composites may be among them
  }
  if (status == MILO_OK) milo_rewriter_finish(&r);
  milo_rewriter_deinit(&r);
  return status;
}
