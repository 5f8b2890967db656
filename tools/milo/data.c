// SPDX-License-Identifier: MIT
#include "data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool is_token_file(const char *path) {
  static const char *const endings[] = {".u16", ".u32", ".tokens", ".bin"};
  const size_t length = strlen(path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
    const size_t end = strlen(endings[i]);
    if (length > end && strcmp(path + length - end, endings[i]) == 0) return true;
  }
  return false;
}

milo_status load_tokens(milo_ctx *ctx, const char *path, size_t vocab,
                        const milo_tokenizer *tokenizer, token_data *out_data) {
  *out_data = (token_data){NULL, 0};
  if (is_token_file(path))
    return milo_tokens_load(ctx, path, vocab, &out_data->ids, &out_data->count);
  char *text = NULL;
  size_t bytes = 0;
  milo_status status = milo_file_load(ctx, path, &text, &bytes);
  if (status == MILO_OK)
    status = milo_tokenizer_encode_documents(ctx, tokenizer, text, bytes, &out_data->ids,
                                             &out_data->count);
  milo_free(text);
  return status;
}

char *join_path(const char *dir, const char *name) {
  const size_t bytes = strlen(dir) + strlen(name) + 2;
  char *path = malloc(bytes);
  if (path) snprintf(path, bytes, "%s/%s", dir, name);
  return path;
}

bool file_exists(const char *path) { return access(path, F_OK) == 0; }

milo_status find_tokenizer(milo_ctx *ctx, const char *path, const char *model,
                           milo_tokenizer **out_tokenizer) {
  *out_tokenizer = NULL;
  if (path) return milo_tokenizer_load(ctx, path, 0, out_tokenizer);
  char *beside = join_path(model, "tokenizer.bin");
  milo_status status = MILO_OK;
  if (beside && file_exists(beside)) status = milo_tokenizer_load(ctx, beside, 0, out_tokenizer);
  free(beside);
  return status;
}
