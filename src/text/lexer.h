// SPDX-License-Identifier: MIT
// Cuts MIL text into tokens, one at a time. Tokens are slices of the source; nothing is copied.
#ifndef MILO_TEXT_LEXER_H
#define MILO_TEXT_LEXER_H

#include "base/status.h"

typedef enum milo_token_kind {
  MILO_TOKEN_END,
  MILO_TOKEN_NAME,    // [A-Za-z_][A-Za-z0-9_@.]*
  MILO_TOKEN_NUMBER,  // starts with a sign, a digit or a point; its form is checked when converted
  MILO_TOKEN_STRING,  // with its quotes
  MILO_TOKEN_ARROW,   // ->
  MILO_TOKEN_PUNCT,   // one of ()[]{}<>,;=?*
  MILO_TOKEN_BAD,     // was reported
} milo_token_kind;

typedef struct milo_token {
  milo_token_kind kind;
  char punct;  // MILO_TOKEN_PUNCT, else 0
  size_t offset, bytes;
} milo_token;

typedef struct milo_lexer {
  const milo_source *source;
  milo_diag *diag;
  size_t at;      // where the next token is looked for
  size_t errors;  // reported by the lexer
} milo_lexer;

// Skips a byte-order mark.
void milo_lexer_init(milo_lexer *lexer, const milo_source *source, milo_diag *diag);
// A fault (stray character, string without end) is reported and gives MILO_TOKEN_BAD.
milo_token milo_lexer_next(milo_lexer *lexer);

#endif
