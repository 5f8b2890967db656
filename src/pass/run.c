// SPDX-License-Identifier: MIT
// The pipeline: the rows of passes.def, read from top to bottom.
#include <string.h>

#include "ir/op.h"
#include "pass/pass.h"

const milo_pass milo_passes[] = {
#define PASS(id, what) {#id, what, milo_pass_##id},
#include "pass/passes.def"
#undef PASS
    {NULL, NULL, NULL}};

const milo_pass *milo_pass_find(const char *name) {
  for (const milo_pass *pass = milo_passes; pass->name != NULL; ++pass)
    if (strcmp(pass->name, name) == 0) return pass;
  return NULL;
}

milo_status milo_pass_tell(const char *what, const milo_func *func,
                           const milo_pass_options *options, milo_diag *diag) {
  return options->after != NULL ? options->after(options->after_user, what, func, diag) : MILO_OK;
}

milo_status milo_pass_run(const milo_pass *pass, milo_func *func, const milo_pass_options *options,
                          milo_diag *diag) {
  MILO_TRY(pass->run(func, options, diag));
  MILO_TRY(milo_pass_tell(pass->name, func, options, diag));  // a broken one is worth seeing
#ifndef NDEBUG
  MILO_TRY(milo_ir_verify_func(func, diag));
#endif
  return MILO_OK;
}

milo_status milo_pass_run_all(milo_func *func, const milo_pass_options *options, milo_diag *diag) {
  for (const milo_pass *pass = milo_passes; pass->name != NULL; ++pass) {
    if (pass->run == milo_pass_narrow && options->store == MILO_DTYPE_NONE) continue;
    MILO_TRY(milo_pass_run(pass, func, options, diag));
  }
  return milo_ir_verify_func(func, diag);
}
