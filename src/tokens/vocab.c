// SPDX-License-Identifier: MIT
// Builds a tokenizer's tables from its pieces, and finds pieces.
#include "tokens/vocab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

uint64_t milo_vocab_hash(const char *data, size_t bytes) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)data[i]) * UINT64_C(0x100000001b3);
  return h ^ (h >> 29);  // the table is indexed by the low bits
}

size_t milo_vocab_code_point(const char *text, size_t left) {
  const unsigned char lead = (unsigned char)text[0];
  size_t bytes = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
  if (bytes > left) return 1;
  for (size_t i = 1; i < bytes; i++)
    if (((unsigned char)text[i] & 0xC0) != 0x80) return 1;
  return bytes;
}

static uint32_t find_any(const milo_tokenizer *t, const char *piece, size_t bytes) {
  for (size_t slot = milo_vocab_hash(piece, bytes) & t->slot_mask;;
       slot = (slot + 1) & t->slot_mask) {
    const uint32_t id = t->slots[slot];
    if (id == MILO_VOCAB_NONE) return id;
    if (t->tokens[id].bytes == bytes && memcmp(t->tokens[id].piece, piece, bytes) == 0) return id;
  }
}

uint32_t milo_vocab_find(const milo_tokenizer *t, const char *piece, size_t bytes) {
  if (bytes > t->longest) return MILO_VOCAB_NONE;
  const uint32_t id = find_any(t, piece, bytes);
  if (id == MILO_VOCAB_NONE || t->tokens[id].control || t->tokens[id].byte >= 0)
    return MILO_VOCAB_NONE;
  return id;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The byte of a piece "<0xNN>", -1 for any other.
static int byte_of_piece(const char *piece, size_t bytes) {
  if (bytes != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>') return -1;
  const int high = hex_digit(piece[3]), low = hex_digit(piece[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static void note_joins(milo_tokenizer *t, const milo_vocab_token *token) {
  size_t at = milo_vocab_code_point(token->piece, token->bytes);
  while (at < token->bytes) {
    const unsigned char a = (unsigned char)token->piece[at - 1];
    const unsigned char b = (unsigned char)token->piece[at];
    t->joins[a][b >> 6] |= UINT64_C(1) << (b & 63);
    at += milo_vocab_code_point(token->piece + at, token->bytes - at);
  }
}

static milo_status allocate(milo_tokenizer *t, const milo_vocab_token *tokens, size_t count) {
  size_t text_bytes = 0, token_bytes, slots = 16, slot_bytes;
  for (size_t i = 0; i < count; i++)
    if (!milo_size_add(text_bytes, tokens[i].bytes, &text_bytes)) return MILO_ERR_NO_MEMORY;
  while (slots < 2 * count) slots *= 2;  // count <= 2^24
  if (!milo_size_mul(count, sizeof *t->tokens, &token_bytes)) return MILO_ERR_NO_MEMORY;
  if (!milo_size_mul(slots, sizeof *t->slots, &slot_bytes)) return MILO_ERR_NO_MEMORY;
  t->text = malloc(text_bytes + 1);
  t->tokens = malloc(token_bytes);
  t->slots = malloc(slot_bytes);
  if (!t->text || !t->tokens || !t->slots) return MILO_ERR_NO_MEMORY;
  for (size_t i = 0; i < slots; i++) t->slots[i] = MILO_VOCAB_NONE;
  t->slot_mask = slots - 1;
  return MILO_OK;
}

// Adds token t->count, whose piece was copied to where it stays.
static milo_status add(milo_tokenizer *t, const char *piece, const milo_vocab_token *source,
                       const char *name, milo_diag *diag) {
  const uint32_t id = (uint32_t)t->count;
  if (source->bytes == 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: token %u is empty", name, id);
  if (!isfinite(source->score))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: the score of token %u is not finite",
                     name, id);
  const uint32_t other = find_any(t, piece, source->bytes);
  if (other != MILO_VOCAB_NONE)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: token %u repeats token %u", name, id,
                     other);
  milo_vocab_token *token = &t->tokens[t->count++];
  *token = (milo_vocab_token){.piece = piece, .bytes = source->bytes, .score = source->score};
  token->control = id < MILO_TOK_CONTROLS;
  token->byte = token->control ? -1 : byte_of_piece(piece, token->bytes);
  if (token->byte >= 0) t->byte_ids[token->byte] = id;
  if (!token->control && token->byte < 0) note_joins(t, token);
  if (token->bytes > t->longest) t->longest = token->bytes;
  size_t slot = milo_vocab_hash(piece, token->bytes) & t->slot_mask;
  while (t->slots[slot] != MILO_VOCAB_NONE) slot = (slot + 1) & t->slot_mask;
  t->slots[slot] = id;
  return MILO_OK;
}

milo_status milo_vocab_create(const milo_vocab_token *tokens, size_t count, const char *name,
                              milo_diag *diag, milo_tokenizer **out_tokenizer) {
  *out_tokenizer = NULL;
  if (count < MILO_TOK_CONTROLS || count > MILO_TOK_MAX_VOCAB)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: holds %zu tokens, a vocabulary has %d to %d", name, count,
                     MILO_TOK_CONTROLS, MILO_TOK_MAX_VOCAB);
  milo_tokenizer *t = calloc(1, sizeof *t);
  milo_status status = t ? allocate(t, tokens, count) : MILO_ERR_NO_MEMORY;
  if (status != MILO_OK) {
    milo_tok_destroy(t);
    return milo_fail(diag, MILO_NO_LOC, status, "%s: no memory for %zu tokens", name, count);
  }
  char *text = t->text;
  for (size_t i = 0; i < count && status == MILO_OK; i++) {
    memcpy(text, tokens[i].piece, tokens[i].bytes);
    status = add(t, text, &tokens[i], name, diag);
    text += tokens[i].bytes;
  }
  if (status != MILO_OK) {
    milo_tok_destroy(t);
    return status;
  }
  *out_tokenizer = t;
  return MILO_OK;
}

void milo_tok_destroy(milo_tokenizer *t) {
  if (!t) return;
  free(t->tokens);
  free(t->text);
  free(t->slots);
  free(t);
}

size_t milo_tok_vocab(const milo_tokenizer *t) { return t->count; }

const char *milo_tok_piece(const milo_tokenizer *t, uint32_t id, size_t *out_bytes) {
  *out_bytes = id < t->count ? t->tokens[id].bytes : 0;
  return id < t->count ? t->tokens[id].piece : NULL;
}
