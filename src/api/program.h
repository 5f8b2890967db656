// SPDX-License-Identifier: MIT
// Programs as the public functions show them.
#ifndef MILO_API_PROGRAM_H
#define MILO_API_PROGRAM_H

#include "ir/ir.h"

// A copy of all functions, whose literals are its own and share their data with the program's.
milo_program *milo_program_copy(const milo_program *program);
// The program as it is to path: constants of the text stay in the text, those of blob files are put
// into one beside it. As safe as milo_program_save.
MILO_MUST_USE milo_status milo_program_write(const milo_program *program, const char *path,
                                             milo_diag *diag);
// The function of that name (NULL: the first), or MILO_ERR_NOT_FOUND with the names there are.
MILO_MUST_USE milo_status milo_program_need_func(const milo_program *program, const char *name,
                                                 milo_diag *diag, const milo_func **out_func);
// A function's inputs by name, in arena: an array of body->param_count, for milo_params_find.
const milo_value **milo_params_sort(const milo_func *func, milo_arena *arena);
// The input of that name (of several the first), NULL if there is none.
milo_value *milo_params_find(const milo_func *func, const milo_value *const *sorted,
                             const char *name);
// The function's own input types, with the shapes that the caller gave by name; types has room for
// each input. MILO_ERR_INVALID: no such input, or it is declared otherwise.
MILO_MUST_USE milo_status milo_program_input_types(const milo_func *func,
                                                   const milo_value_info *inputs, size_t count,
                                                   milo_diag *diag, milo_type *types);
// A copy, which can be changed while the program stays: literals too, though their data is shared.
milo_program *milo_program_copy(const milo_program *program);
// Writes down each function's inputs and outputs as a client sees them: called once, before a
// program is handed out, so that queries neither allocate nor write.
void milo_program_describe(milo_program *program);
// Strings are value's own or made in arena.
milo_value_info milo_value_info_make(milo_arena *arena, const milo_value *value);

#endif
