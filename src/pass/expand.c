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

typedef struct job {
  const milo_pass_options *options;
  milo_diag *diag;
} job;

static milo_status expand(milo_rewriter *r, milo_op *op, void *user) {
  const job *j = user;
  if (!wanted(op, j->options)) return MILO_OK;
  milo_builder b = milo_builder_before(op, j->diag);
  milo_value **out = MILO_NEW_ARRAY(&r->arena, milo_value *, op->result_count);
  MILO_TRY(milo_op_info_get(op->code)->decompose(&b, op, out));
  MILO_TRY(b.status);
  for (size_t i = 0; i < op->result_count; ++i) milo_rewriter_replace(r, op->results[i], out[i]);
  milo_rewriter_remove(r, op);  // simpler composites may be among what it left
  return MILO_OK;
}

milo_status milo_pass_expand(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  job j = {options, diag};
  return milo_rewrite(func, expand, &j);
}
