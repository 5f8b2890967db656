// SPDX-License-Identifier: MIT
// llama2.c's tokenizer.bin, read and written; ids to text.
#include "tokens/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "tokens/vocab.h"

static uint32_t load_u32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void store_u32(unsigned char *p, uint32_t value) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(value >> (8 * i));
}

// Reads tokens into room for at least as many as 9 bytes each make of the file; a token of fewer
// bytes has no piece and ends the reading.
static milo_status read_tokens(const unsigned char *data, size_t bytes, const char *name,
                               milo_diag *diag, milo_vocab_token *tokens, size_t *out_count) {
  const uint32_t longest = load_u32(data);
  size_t at = 4, count = 0;
  if (longest == 0 || longest > bytes)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: not a tokenizer.bin: its longest token is given as %d bytes, the file "
                     "has %zu",
                     name, (int32_t)longest, bytes);
  while (at < bytes) {
    if (bytes - at < 8)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "%s: cut short in token %zu, at byte %zu", name, count, at);
    const uint32_t score = load_u32(data + at), length = load_u32(data + at + 4);
    at += 8;
    if (length == 0 || length > longest)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "%s: token %zu is %d bytes long, expected 1 to %u", name, count,
                       (int32_t)length, longest);
    if (length > bytes - at)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "%s: cut short in token %zu, at byte %zu", name, count, at);
    tokens[count++] = (milo_vocab_token){
        .piece = (const char *)data + at, .bytes = length, .score = milo_f32_of_bits(score)};
    at += length;
  }
  *out_count = count;
  return MILO_OK;
}

milo_status milo_tok_parse(const void *data, size_t bytes, const char *name, size_t vocab,
                           milo_diag *diag, milo_tokenizer **out_tokenizer) {
  *out_tokenizer = NULL;
  if (bytes < 4)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: not a tokenizer.bin: the file has %zu bytes", name, bytes);
  size_t table_bytes, count = 0;
  milo_vocab_token *tokens = NULL;
  if (milo_size_mul(bytes / 9 + 1, sizeof *tokens, &table_bytes)) tokens = malloc(table_bytes);
  if (!tokens)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "%s: no memory for its tokens", name);
  milo_status status = read_tokens(data, bytes, name, diag, tokens, &count);
  if (status == MILO_OK && vocab != 0 && count != vocab)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: holds %zu tokens, expected %zu",
                       name, count, vocab);
  if (status == MILO_OK) status = milo_vocab_create(tokens, count, name, diag, out_tokenizer);
  free(tokens);
  return status;
}

milo_status milo_tok_load(const char *path, size_t vocab, milo_diag *diag,
                          milo_tokenizer **out_tokenizer) {
  void *data;
  size_t bytes;
  *out_tokenizer = NULL;
  MILO_TRY(milo_file_read(path, 0, diag, &data, &bytes));
  const milo_status status = milo_tok_parse(data, bytes, path, vocab, diag, out_tokenizer);
  free(data);
  return status;
}

milo_status milo_tok_save(const milo_tokenizer *t, const char *path, milo_diag *diag) {
  size_t bytes = 4;
  for (size_t i = 0; i < t->count; i++) bytes += 8 + (size_t)t->tokens[i].bytes;
  unsigned char *data = malloc(bytes), *p = data;
  if (!data)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "%s: no memory to write %zu bytes",
                     path, bytes);
  store_u32(p, (uint32_t)t->longest);
  p += 4;
  for (size_t i = 0; i < t->count; i++) {
    const milo_vocab_token *token = &t->tokens[i];
    store_u32(p, milo_f32_bits(token->score));
    store_u32(p + 4, token->bytes);
    memcpy(p + 8, token->piece, token->bytes);
    p += 8 + token->bytes;
  }
  const milo_status status = milo_file_write(path, data, bytes, diag);
  free(data);
  return status;
}

milo_status milo_tok_decode(const milo_tokenizer *t, const uint32_t *ids, size_t count,
                            milo_diag *diag, char **out_text, size_t *out_bytes) {
  size_t most = 1;
  *out_text = NULL;
  *out_bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (ids[i] >= t->count)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "token %u at position %zu is outside the vocabulary of %zu", ids[i], i,
                       t->count);
    if (!milo_size_add(most, t->tokens[ids[i]].bytes, &most)) most = SIZE_MAX;
  }
  char *text = malloc(most);
  if (!text)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a text of %zu bytes",
                     most);
  size_t bytes = 0;
  bool start = true;  // of a sequence: a space here was put there by encoding
  for (size_t i = 0; i < count; i++) {
    const milo_vocab_token *token = &t->tokens[ids[i]];
    if (token->control) {
      start = start || ids[i] == MILO_TOK_BOS;
    } else if (token->byte >= 0) {
      if (!start || token->byte != ' ') text[bytes++] = (char)token->byte;
      start = false;
    } else {
      const size_t skip = start && token->piece[0] == ' ';
      memcpy(text + bytes, token->piece + skip, token->bytes - skip);
      bytes += token->bytes - skip;
      start = false;
    }
  }
  text[bytes] = 0;
  *out_text = text;
  *out_bytes = bytes;
  return MILO_OK;
}
