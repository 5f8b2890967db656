// SPDX-License-Identifier: MIT
// The pipeline: the rows of passes.def, read from top to bottom.
#include "ir/op.h"
#include "pass/pass.h"

static milo_pass_fn *const pipeline[] = {
#define PASS(id, what) milo_pass_##id,
#include "pass/passes.def"
#undef PASS
};

milo_status milo_pass_run_all(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  for (size_t i = 0; i < sizeof pipeline / sizeof pipeline[0]; ++i) {
    MILO_TRY(pipeline[i](func, options, diag));
#ifndef NDEBUG
    MILO_TRY(milo_ir_verify_func(func, diag));
#endif
  }
  return milo_ir_verify_func(func, diag);
}
