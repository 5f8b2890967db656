// SPDX-License-Identifier: MIT
// Lifting: weights of a function, which are constants there, become parameters that can be trained.
#ifndef MILO_PASS_LIFT_H
#define MILO_PASS_LIFT_H

#include "ir/ir.h"

// A constant that may change.
typedef struct milo_lifted {
  const char *name;    // the constant's; of one written in place, <result>_<argument>
  milo_type type;      // the constant's: fp32, fp16 or bf16, static
  const void *data;    // what it holds
  milo_value **sites;  // the constants themselves, several if they are one blob
  size_t site_count, site_capacity;
  milo_value *param;  // after milo_lift: fp32, of the constant's shape
} milo_lifted;

typedef struct milo_lifting {
  milo_lifted *items;
  size_t count, capacity;
} milo_lifting;

// Finds the constants of func to be trained, in the order of the text; of a copy of func it finds
// the same ones. These are floating-point tensors (const operations or written in place) that
// operations take at run time, and of those
//   - without patterns: all of more than 64 elements, but for the mean and variance of batch_norm,
//     and for masks (nothing but 0 and numbers below -1000)
//   - patterns: a comma list of shell patterns on names; one that matches adds a constant of any
//     size, one that matches after a '!' takes it out, the last match counts. What is not matched
//     is as without patterns. A pattern of wildcards alone ("*") adds neither scalars nor what the
//     exceptions above name.
// A constant that is an output of the function, holds an infinity or a NaN, or that some operation
// needs when it is compiled, is never among them; what constexpr operations decompress neither.
// NULL patterns: none. Strings and arrays are made in arena.
void milo_lift_find(milo_func *func, const char *patterns, milo_arena *arena, milo_lifting *out);
// Finds them, and makes each a parameter of func (after those it has) in fp32, under the constant's
// name; a cast brings it to the constant's type where that is another. The constants are gone from
// func, sites are of no use afterwards.
MILO_MUST_USE milo_status milo_lift(milo_func *func, const char *patterns, milo_arena *arena,
                                    milo_diag *diag, milo_lifting *out);
// Gives a constant other data of its type, which must live as long as its function.
void milo_lift_store(milo_func *func, milo_value *site, const void *data);

#endif
