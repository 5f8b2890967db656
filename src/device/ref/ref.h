// SPDX-License-Identifier: MIT
// The reference device: the definition of every operation. Plain code, one operation at a time:
// arguments are read as doubles (integers as int64), computed in double, and rounded once to the
// declared type of the result.
//
// Integers wrap at their declared width; dividing an integer by zero gives 0. NaN goes through
// maximum, minimum, clip, relu and the like.
#ifndef MILO_DEVICE_REF_REF_H
#define MILO_DEVICE_REF_REF_H

#include "base/arena.h"
#include "ir/ir.h"

// Is there a definition for the operation's code and its (static, numeric) types?
bool milo_ref_supports(const milo_op *op);
// Is there a definition for the code at all?
bool milo_ref_has(milo_opcode code);

// Number of argument values of an operation: all values of all arguments, in order.
size_t milo_ref_input_count(const milo_op *op);

// Computes op, which milo_ref_supports.
//   inputs   one a value, in the order of op's arguments and their values: dense data of the
//            value's type; NULL: the value is constant, its literal is read
//   outputs  one a result: room for the result's type; may not overlap anything
// MILO_ERR_INVALID for wrong data (an index out of range), MILO_ERR_NO_MEMORY. Keeps no memory.
MILO_MUST_USE milo_status milo_ref_eval(const milo_op *op, const void *const *inputs,
                                        void *const *outputs, milo_diag *diag);

// Where results' shapes depend on the arguments' values (non_zero) and those are all constant:
// fills in the results' unknown dims. MILO_OK, and nothing done, for all other operations.
MILO_MUST_USE milo_status milo_ref_shapes(milo_op *op, milo_diag *diag);

// The same as milo_ref_eval for an operation whose arguments are all constant, as a milo_eval_fn:
// results are allocated in arena. MILO_ERR_UNSUPPORTED, without a message, where there is no
// definition or a constant's data was not loaded.
MILO_MUST_USE milo_status milo_ref_fold(const milo_op *op, milo_arena *arena,
                                        milo_literal *out_results, milo_diag *diag);

// A row for each operation of the block that is run (constants are not): how many; up to max are
// written. seconds: of all runs, one an operation.
size_t milo_ref_profile(const milo_block *block, const double *seconds, uint64_t runs,
                        milo_profile *rows, size_t max);

#endif
