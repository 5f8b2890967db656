// SPDX-License-Identifier: MIT
// Result types of operations on states: inputs of a function that keep what was written to them.
#include "ir/ops/infer.h"

static milo_status held_by(const milo_op *op, milo_diag *diag, const milo_type **out) {
  const milo_type *state = milo_infer_arg(op, "input");
  *out = NULL;
  if (state->kind != MILO_TYPE_STATE || state->elems[0].kind != MILO_TYPE_TENSOR)
    return milo_infer_bad(op, diag, "input", "is %s, expected the state of a tensor",
                          milo_infer_show(op, state));
  *out = &state->elems[0];
  return MILO_OK;
}

milo_status milo_infer_read_state(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *held;
  MILO_TRY(held_by(op, diag, &held));
  return milo_infer_add(op, diag, out, *held);
}

milo_status milo_infer_write_state(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *held, *data = milo_infer_arg(op, "data");
  (void)out;  // no results
  MILO_TRY(held_by(op, diag, &held));
  if (milo_type_compatible(held, data)) return MILO_OK;
  return milo_infer_bad(op, diag, "data", "is %s, but the state holds %s",
                        milo_infer_show(op, data), milo_infer_show(op, held));
}
