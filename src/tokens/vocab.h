// SPDX-License-Identifier: MIT
// The inside of a tokenizer: its pieces, how they are found, and where no piece can span.
#ifndef MILO_TOKENS_VOCAB_H
#define MILO_TOKENS_VOCAB_H

#include "tokens/tokenizer.h"

#define MILO_VOCAB_NONE UINT32_MAX

typedef struct milo_vocab_token {
  const char *piece;
  uint32_t bytes;
  float score;
  int byte;      // 0..255 for a byte token, else -1
  bool control;  // spells nothing
} milo_vocab_token;

struct milo_tokenizer {
  milo_vocab_token *tokens;
  size_t count;
  char *text;              // all pieces, one after the other
  size_t longest;          // piece, in bytes
  uint32_t *slots;         // hash table: ids, MILO_VOCAB_NONE where empty
  size_t slot_mask;        // slots - 1, a power of two - 1
  uint32_t byte_ids[256];  // token of a byte, MILO_TOK_UNKNOWN if there is none
  uint64_t joins[256][4];  // bit [a][b]: some piece has a code point that ends in byte a before
                           // one that starts with byte b. Where it is clear no join can happen.
};

// A tokenizer of the given pieces, which are copied; their fields byte and control are not read
// but set from id and piece. name stands before messages. Checks all that milo_tok_load promises
// but the file's form.
MILO_MUST_USE milo_status milo_vocab_create(const milo_vocab_token *tokens, size_t count,
                                            const char *name, milo_diag *diag,
                                            milo_tokenizer **out_tokenizer);

// The token that spells these bytes as text (no control or byte token), or MILO_VOCAB_NONE.
uint32_t milo_vocab_find(const milo_tokenizer *t, const char *piece, size_t bytes);

// Bytes of the code point at text (1 to 4, never past left); 1 for what is not UTF-8. left > 0.
size_t milo_vocab_code_point(const char *text, size_t left);

// FNV-1a with a final mix.
uint64_t milo_vocab_hash(const char *data, size_t bytes);

static inline bool milo_vocab_joins(const milo_tokenizer *t, char last, char first) {
  const unsigned char a = (unsigned char)last, b = (unsigned char)first;
  return (t->joins[a][b >> 6] >> (b & 63)) & 1;
}

#endif
