// SPDX-License-Identifier: MIT
// MILO_DUMP=FOLDER: the text of every function after every pass, for those who develop passes.
#ifndef MILO_API_DUMP_H
#define MILO_API_DUMP_H

#include "base/status.h"
#include "ir/ir.h"

typedef struct milo_dump {
  char *folder;  // NULL: nothing is written
  size_t count;  // texts written
} milo_dump;

// Reads the environment.
MILO_MUST_USE milo_status milo_dump_init(milo_dump *dump, milo_diag *diag);
void milo_dump_deinit(milo_dump *dump);

// A milo_after_pass_fn; dump is the user. Writes FOLDER/NNNN-FUNCTION-PASS.mil, the program of
// func, and creates the folder if need be. Whatever had that name is replaced.
MILO_MUST_USE milo_status milo_dump_after(void *dump, const char *pass, const milo_func *func,
                                          milo_diag *diag);

#endif
