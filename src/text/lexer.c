// SPDX-License-Identifier: MIT
#include "text/lexer.h"

#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_part(char c) { return is_name_start(c) || is_digit(c) || c == '@' || c == '.'; }

void milo_lexer_init(milo_lexer *lexer, const milo_source *source, milo_diag *diag) {
  const bool has_mark = source->bytes >= 3 && memcmp(source->text, "\xef\xbb\xbf", 3) == 0;
  *lexer = (milo_lexer){.source = source, .diag = diag, .at = has_mark ? 3 : 0};
}

static char peek(const milo_lexer *lexer, size_t at) {
  return at < lexer->source->bytes ? lexer->source->text[at] : '\0';
}

static void skip_space(milo_lexer *lexer) {
  const size_t end = lexer->source->bytes;
  for (;;) {
    const char c = peek(lexer, lexer->at);
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      lexer->at++;
    } else if (c == '/' && peek(lexer, lexer->at + 1) == '/') {
      while (lexer->at < end && lexer->source->text[lexer->at] != '\n') lexer->at++;
    } else {
      return;
    }
  }
}

static size_t number_end(const milo_lexer *lexer, size_t at) {
  const char first = peek(lexer, at);
  if (first == '+' || first == '-') at++;
  const bool is_hex = peek(lexer, at) == '0' && (peek(lexer, at + 1) | 0x20) == 'x';
  const char exponent = is_hex ? 'p' : 'e';
  for (;; at++) {
    const char c = peek(lexer, at);
    if (is_name_part(c)) continue;
    if ((c == '+' || c == '-') && (peek(lexer, at - 1) | 0x20) == exponent &&
        is_digit(peek(lexer, at + 1)))
      continue;
    return at;
  }
}

static milo_token take(milo_lexer *lexer, milo_token_kind kind, size_t end) {
  const milo_token token = {.kind = kind, .offset = lexer->at, .bytes = end - lexer->at};
  lexer->at = end;
  return token;
}

static milo_token bad(milo_lexer *lexer, size_t end) {
  lexer->errors++;
  return take(lexer, MILO_TOKEN_BAD, end);
}

static milo_token take_string(milo_lexer *lexer) {
  const milo_loc loc = {lexer->source, lexer->at};
  const char *text = lexer->source->text;
  const size_t bytes = lexer->source->bytes;
  size_t at = lexer->at + 1;
  for (; at < bytes; at++) {
    if (text[at] == '"') return take(lexer, MILO_TOKEN_STRING, at + 1);
    if (text[at] == '\0') {
      (void)milo_fail(lexer->diag, loc, MILO_ERR_INVALID, "a string holds a NUL byte");
      return bad(lexer, at + 1);
    }
    if (text[at] == '\\') at++;
  }
  (void)milo_fail(lexer->diag, loc, MILO_ERR_INVALID,
                  "this string has no end\na quote within a string is written \\\"");
  // Strings may span lines, but going on after the first line finds more errors.
  const char *newline = memchr(text + lexer->at, '\n', bytes - lexer->at);
  return bad(lexer, newline ? (size_t)(newline - text) : bytes);
}

milo_token milo_lexer_next(milo_lexer *lexer) {
  skip_space(lexer);
  if (lexer->at >= lexer->source->bytes) return take(lexer, MILO_TOKEN_END, lexer->at);
  const char c = peek(lexer, lexer->at);
  const char next = peek(lexer, lexer->at + 1);
  if (is_name_start(c)) {
    size_t end = lexer->at + 1;
    while (is_name_part(peek(lexer, end))) end++;
    return take(lexer, MILO_TOKEN_NAME, end);
  }
  if (c == '-' && next == '>') return take(lexer, MILO_TOKEN_ARROW, lexer->at + 2);
  if (is_digit(c) || ((c == '.' || c == '+' || c == '-') && (is_name_part(next))))
    return take(lexer, MILO_TOKEN_NUMBER, number_end(lexer, lexer->at));
  if (c == '"') return take_string(lexer);
  if (c != '\0' && strchr("()[]{}<>,;=?*", c)) {
    milo_token token = take(lexer, MILO_TOKEN_PUNCT, lexer->at + 1);
    token.punct = c;
    return token;
  }
  const milo_loc loc = {lexer->source, lexer->at};
  if (c > ' ' && c <= '~')
    (void)milo_fail(lexer->diag, loc, MILO_ERR_INVALID, "unexpected character '%c'", c);
  else
    (void)milo_fail(lexer->diag, loc, MILO_ERR_INVALID, "unexpected byte 0x%02x",
                    (unsigned)(unsigned char)c);
  // One message for a run of bytes that can start nothing (binary data, UTF-8 outside strings).
  size_t end = lexer->at + 1;
  while (end < lexer->source->bytes && ((unsigned char)lexer->source->text[end] >= 0x7f ||
                                        (unsigned char)lexer->source->text[end] < '\t'))
    end++;
  return bad(lexer, end);
}
