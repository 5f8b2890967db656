// SPDX-License-Identifier: MIT
// Simple English stories to train a first model on, made up from a grammar: someone wants
// something, something is in the way, someone helps, and something is learnt from it.
#ifndef MILO_TOOL_STORIES_H
#define MILO_TOOL_STORIES_H

#include <stddef.h>
#include <stdint.h>

// count stories, each followed by a line "<|endoftext|>". Story i depends on seed and i alone.
// Returns malloc'ed, NUL-terminated text of *out_bytes bytes; NULL if memory runs out.
char *stories_generate(uint64_t seed, size_t count, size_t *out_bytes);

#endif
