// SPDX-License-Identifier: MIT
// Programs as the public functions show them.
#ifndef MILO_API_PROGRAM_H
#define MILO_API_PROGRAM_H

#include "ir/ir.h"

// The function of that name (NULL: the first), or MILO_ERR_NOT_FOUND with the names there are.
MILO_MUST_USE milo_status milo_program_need_func(const milo_program *program, const char *name,
                                                 milo_diag *diag, const milo_func **out_func);
// Strings are value's own or made in arena.
milo_value_info milo_value_info_make(milo_arena *arena, const milo_value *value);

#endif
