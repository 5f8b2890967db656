// SPDX-License-Identifier: MIT
// Replacing values in one walk over a function: a pass visits the operations in order, calls apply
// on each before it looks at it, and records what replaces what; finish then deals with the
// function's outputs, whose names stay as they were.
#ifndef MILO_PASS_REWRITE_H
#define MILO_PASS_REWRITE_H

#include "ir/ir.h"

typedef struct milo_rewriter {
  milo_func *func;
  milo_arena arena;
  milo_value **known;  // by id: the value that has it
  milo_value **to;     // by id: what replaces it; NULL: nothing
  bool *output;        // by id: it is an output of the function
  size_t count, known_capacity, to_capacity, output_capacity;
} milo_rewriter;

// Numbers the function's values.
milo_rewriter milo_rewriter_init(milo_func *func);
void milo_rewriter_deinit(milo_rewriter *r);
// Makes op, and what its blocks hold, use the replacements recorded so far.
void milo_rewriter_apply(milo_rewriter *r, milo_op *op);
// Was the value an output of the function when the rewriter was made?
bool milo_rewriter_is_output(const milo_rewriter *r, const milo_value *value);
// Records that `to`, of the same type and defined earlier, replaces from.
void milo_rewriter_replace(milo_rewriter *r, milo_value *from, milo_value *to);
// Gives the function's outputs their replacements under the names they had: the replacement is
// renamed, or, where it is an input, a constant in place or an output already, copied by an
// `identity`.
void milo_rewriter_finish(milo_rewriter *r);

// Changes a value's name, and its operation's where that is the same thing. name lives as long as
// the function.
void milo_value_rename(milo_value *value, const char *name);

// Turns op's results into results of `const` operations and removes op. literals: one a result.
void milo_op_make_const(milo_op *op, const milo_literal *literals);

#endif
