// SPDX-License-Identifier: MIT
// Training and evaluation data for commands: token streams, or text through a tokenizer.
#ifndef MILO_TOOL_DATA_H
#define MILO_TOOL_DATA_H

#include <milo/milo.h>

typedef struct token_data {
  const char *path;
  bool is_tokens;  // else text
  char *text;      // of a text, while it is needed; read once, for it may come from a pipe
  size_t text_bytes;
  uint32_t *ids;
  size_t count;
} token_data;

// A token stream by its extension: .u16, .u32, .tokens, .bin.
bool is_token_file(const char *path);
// Reads data->path, if it is text, and keeps the text.
milo_status load_text(milo_ctx *ctx, token_data *data);
// Makes data->ids: a token stream of that vocabulary, or text, for which tokenizer is needed (else
// NULL). The text is not kept.
milo_status load_tokens(milo_ctx *ctx, size_t vocab, const milo_tokenizer *tokenizer,
                        token_data *data);
void release_data(token_data *data);

// "dir/name" to be freed; NULL if memory is short.
char *join_path(const char *dir, const char *name);
// The folder of a path, to be freed: "." for a name alone and for an open descriptor (/dev/fd/3);
// NULL if memory is short.
char *folder_of(const char *path);
bool file_exists(const char *path);
// Both name the same regular file; NULL names none.
bool same_file(const char *a, const char *b);
// Refuses, with a message, a folder in which a file of one of these names (the list ends with NULL)
// would be replaced; given: files that are read from there anyway, NULL or ending with NULL.
int refuse_replacing(const char *dir, const char *const *names, const char *const *given);

// How a model is to be stored: --weights and --group, and what keys and values are kept in.
typedef struct storage {
  const char *weights, *cache;  // NULL: as it comes; fp32
  uint64_t group;
} storage;
#define STORAGE_OPTIONS(s)                                                                     \
  {"--weights",   "-w", OPTION_STRING,                                                         \
   &(s)->weights, "T",  "round matrices to fp32, bf16, fp16 or int8 (default: as they come)"}, \
  {                                                                                            \
    "--group", NULL, OPTION_COUNT, &(s)->group, "G",                                           \
        "int8: weights of a row that share a scale (default: all of the row)"                  \
  }
#define CACHE_OPTION(s)                                             \
  {                                                                 \
    "--cache", NULL, OPTION_STRING, &(s)->cache, "T",               \
        "keep keys and values in fp32, fp16 or bf16 (default fp32)" \
  }
// Says what is wrong with the options; NULL: nothing.
const char *storage_problem(const storage *s);
milo_dtype storage_cache(const storage *s);
// milo_model_load, stored as asked.
milo_status load_model(milo_ctx *ctx, const char *path, const storage *s, milo_model **out_model);
// milo_model_store, if it is asked for.
milo_status store_model(milo_ctx *ctx, milo_model *model, const storage *s);

// The tokenizer to go with a model: path if given, else tokenizer.bin in the folder `model`, if it
// is one and has one; else *out_tokenizer is NULL. model: NULL for none.
milo_status find_tokenizer(milo_ctx *ctx, const char *path, const char *model,
                           milo_tokenizer **out_tokenizer);

// A tokenizer learnt from a text, a text's tokens: with progress, and stopped by signals.
milo_status learn_tokenizer(milo_ctx *ctx, const char *text, size_t bytes, size_t vocab,
                            milo_tokenizer **out_tokenizer);
milo_status encode_text(milo_ctx *ctx, const milo_tokenizer *tokenizer, const char *text,
                        size_t bytes, uint32_t **out_ids, size_t *out_count);

#endif
