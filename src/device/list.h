// SPDX-License-Identifier: MIT
// Lists of tensors while a program runs: literals of kind MILO_LITERAL_ITEMS, one item an element.
// Their type's length is unknown where the list may grow, and what it has where it may not.
#ifndef MILO_DEVICE_LIST_H
#define MILO_DEVICE_LIST_H

#include "ir/ir.h"

// Is it make_list, or one of list_...?
bool milo_list_runs(const milo_op *op);
// Computes one of them. values: what stands for each of op's arguments, by argument (elem_shape is
// not read). The result's elements lie in arena, or are the arguments' own.
MILO_MUST_USE milo_status milo_list_run(const milo_op *op, const milo_literal *const *values,
                                        milo_arena *arena, milo_literal *out_result,
                                        milo_diag *diag);

#endif
