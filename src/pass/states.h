// SPDX-License-Identifier: MIT
// States as plain values.
#ifndef MILO_PASS_STATES_H
#define MILO_PASS_STATES_H

#include "ir/ir.h"

// A state of the function: input number, and the output that is its content after a run.
typedef struct milo_state_link {
  size_t input, output;
} milo_state_link;

// Makes every input that is a state a tensor, every read_state the value that the state has there,
// and every write_state such a value; what a written state has at the end is an output more, behind
// the others. links: one a written state, in func's arena.
// MILO_ERR_UNSUPPORTED: a write in a block of another operation; MILO_ERR_INVALID: what is read or
// written is no input.
MILO_MUST_USE milo_status milo_states_lower(milo_func *func, milo_diag *diag,
                                            milo_state_link **out_links, size_t *out_count);

#endif
