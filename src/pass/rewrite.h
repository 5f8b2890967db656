// SPDX-License-Identifier: MIT
// The one walk over a function's operations, in which passes replace values: nested blocks are part
// of it.
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
  bool removed;             // the operation being visited
  const milo_block **open;  // the blocks being walked, outermost first
  size_t depth, open_capacity;
} milo_rewriter;

// Looks at one operation, which uses the replacements recorded so far. It may emit others before
// it, replace its results, remove it, make it `const`.
typedef milo_status milo_visit_fn(milo_rewriter *r, milo_op *op, void *user);
// Calls visit for every operation of the function in order, those of nested blocks before the one
// that holds them; what an operation that was removed left in its place is visited too. Then the
// function's outputs get their replacements under the names they had: the replacement is renamed,
// or, where it is an input, a constant in place or an output already, copied by an `identity`.
// Numbers the function's values. This is how passes see operations: none can forget a block.
MILO_MUST_USE milo_status milo_rewrite(milo_func *func, milo_visit_fn *visit, void *user);
// Was the value an output of the function when the rewriter was made?
bool milo_rewriter_is_output(const milo_rewriter *r, const milo_value *value);
// Records that `to`, of the same type and defined earlier, replaces from.
void milo_rewriter_replace(milo_rewriter *r, milo_value *from, milo_value *to);
// Removes op, whose results were replaced.
void milo_rewriter_remove(milo_rewriter *r, milo_op *op);
// Does the operation being visited stand in block b, or in one within b? It may then use b's
// values.
bool milo_rewriter_sees(const milo_rewriter *r, const milo_block *b);

// Changes a value's name, and its operation's where that is the same thing. name lives as long as
// the function.
void milo_value_rename(milo_value *value, const char *name);

// Turns op's results into results of `const` operations and removes op. literals: one a result.
void milo_op_make_const(milo_op *op, const milo_literal *literals);

#endif
