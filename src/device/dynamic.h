// SPDX-License-Identifier: MIT
// Functions in which shapes depend on values, and control flow: evaluated operation by operation,
// by the definitions of ref, each with the shapes that its operands have by then. Of the blocks of
// cond and while_loop those run that must; a loop's memory does not grow with its iterations.
#ifndef MILO_DEVICE_DYNAMIC_H
#define MILO_DEVICE_DYNAMIC_H

#include "ir/ir.h"

// Can the operation be evaluated so, whatever its operands' shapes turn out to be?
bool milo_dynamic_supports(const milo_op *op);

// inputs: one a parameter of func, of concrete type, data set; read during the call only. outputs:
// one an output of func, concrete, allocated in arena or the input's own data. seconds: one an
// operation of func's body, constants left out, to which its time is added; NULL: none is taken.
MILO_MUST_USE milo_status milo_dynamic_run(const milo_func *func, const milo_literal *inputs,
                                           milo_arena *arena, milo_literal *outputs,
                                           double *seconds, milo_diag *diag);

#endif
