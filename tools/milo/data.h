// SPDX-License-Identifier: MIT
// Training and evaluation data for commands: token streams, or text through a tokenizer.
#ifndef MILO_TOOL_DATA_H
#define MILO_TOOL_DATA_H

#include <milo/milo.h>

typedef struct token_data {
  uint32_t *ids;  // released with milo_free
  size_t count;
} token_data;

// A token stream by its extension: .u16, .u32, .tokens, .bin.
bool is_token_file(const char *path);
// Reads path: a token stream of that vocabulary, or text, for which tokenizer is needed (else
// NULL).
milo_status load_tokens(milo_ctx *ctx, const char *path, size_t vocab,
                        const milo_tokenizer *tokenizer, token_data *out_data);

// "dir/name" to be freed; NULL if memory is short.
char *join_path(const char *dir, const char *name);
bool file_exists(const char *path);
// The tokenizer to go with a model: path if given, else tokenizer.bin in the folder `model`, if it
// is one and has one; else *out_tokenizer is NULL.
milo_status find_tokenizer(milo_ctx *ctx, const char *path, const char *model,
                           milo_tokenizer **out_tokenizer);

#endif
