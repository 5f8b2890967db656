// SPDX-License-Identifier: MIT
// Tokenizers of the llama2.c kind: a vocabulary of pieces with scores, applied as SentencePiece's
// byte-pair encoding does.
//
// Text -> ids   A space is put before a text that is not empty. The text becomes one symbol a code
//               point (a byte that is not UTF-8 is a symbol of its own). While two neighbours
//               together spell a piece, the two whose piece has the highest score are joined, the
//               leftmost of equals. A symbol left over that is no piece becomes its bytes' tokens
//               "<0xNN>", or token 0 for bytes that the vocabulary has no token for.
// Ids -> text   Pieces in a row; byte tokens give their byte, control tokens nothing. The space
//               at the start, and at the start of what follows a begin-of-sequence token, is
//               taken off. Decoding an encoded text gives that text back, byte for byte (unless
//               token 0 stood in).
//
// Files are llama2.c's tokenizer.bin, little-endian: int32 longest piece in bytes, then a token
// {float32 score, int32 bytes, the piece} until the end of the file.
//
// A tokenizer does not change once made: several threads may use one. Memory that cannot be had
// is MILO_ERR_NO_MEMORY throughout.
#ifndef MILO_TOKENS_TOKENIZER_H
#define MILO_TOKENS_TOKENIZER_H

#include "base/status.h"

enum {
  MILO_TOK_UNKNOWN = 0,  // control tokens: they spell nothing
  MILO_TOK_BOS = 1,
  MILO_TOK_EOS = 2,
  MILO_TOK_CONTROLS = 3,
  MILO_TOK_MIN_TRAINED_VOCAB = 300,
  MILO_TOK_MAX_VOCAB = 1 << 24,
};

// What separates documents in a text file.
#define MILO_TOK_SEPARATOR "<|endoftext|>"

// vocab: tokens that the file must hold, 0: any number. MILO_ERR_INVALID for a file that is empty,
// cut short, or holds a piece of impossible length, a score that is not finite, a piece twice, or
// another number of tokens than vocab.
MILO_MUST_USE milo_status milo_tok_load(const char *path, size_t vocab, milo_diag *diag,
                                        milo_tokenizer **out_tokenizer);
// The same from memory; name stands in messages for the file.
MILO_MUST_USE milo_status milo_tok_parse(const void *data, size_t bytes, const char *name,
                                         size_t vocab, milo_diag *diag,
                                         milo_tokenizer **out_tokenizer);

// Learns a vocabulary of vocab tokens from text: 3 control tokens, 256 byte tokens, the most
// frequent characters (those that make up 99.95 % of the text, at most half of the tokens left),
// then joined pieces, each the most frequent pair of neighbours at its time. Token i >= 259 has
// the score 259 - i, so that encoding repeats the joins in the order in which they were learnt.
// Pieces never reach over a word's end. A word is a space, if one stands there, and a run of
// letters (all code points above ASCII count as such) or of punctuation; a run of line feeds; any
// other character alone, digits among them. Document separators are not part of the text.
// The same text gives the same vocabulary everywhere.
// MILO_ERR_INVALID if vocab is out of [300, 2^24] or the text has too few different pairs for it.
// options (NULL: none): see milo.h.
MILO_MUST_USE milo_status milo_tok_train(const char *text, size_t bytes, size_t vocab,
                                         const milo_tokenizer_options *options, milo_diag *diag,
                                         milo_tokenizer **out_tokenizer);

// Atomic: a temporary file beside path, then rename.
MILO_MUST_USE milo_status milo_tok_save(const milo_tokenizer *tokenizer, const char *path,
                                        milo_diag *diag);
void milo_tok_destroy(milo_tokenizer *tokenizer);  // NULL allowed

size_t milo_tok_vocab(const milo_tokenizer *tokenizer);
// The piece of a token as stored (a byte token's is "<0xNN>"), not NUL-terminated, owned by the
// tokenizer; NULL if id >= vocab.
const char *milo_tok_piece(const milo_tokenizer *tokenizer, uint32_t id, size_t *out_bytes);

// bos: token 1 first. *out_ids: malloc'ed, not NULL even if *out_count is 0.
// O(n log n) in the length of the longest stretch without a place that no piece spans, O(n) else.
MILO_MUST_USE milo_status milo_tok_encode(const milo_tokenizer *tokenizer, const char *text,
                                          size_t bytes, bool bos, milo_diag *diag,
                                          uint32_t **out_ids, size_t *out_count);

// Text to train on: cut into documents, token 1 before each. Wherever "<|endoftext|>" stands (on a
// line of its own, or at the end of one) it separates documents, which lose the white space around
// them; empty ones are left out. A text without it is one document and is kept whole: blank lines
// are part of most texts. MILO_ERR_INVALID if there is no document.
MILO_MUST_USE milo_status milo_tok_encode_documents(const milo_tokenizer *tokenizer,
                                                    const char *text, size_t bytes,
                                                    const milo_tokenizer_options *options,
                                                    milo_diag *diag, uint32_t **out_ids,
                                                    size_t *out_count);

// *out_text: malloc'ed, NUL-terminated after out_bytes. MILO_ERR_INVALID for an id >= vocab.
MILO_MUST_USE milo_status milo_tok_decode(const milo_tokenizer *tokenizer, const uint32_t *ids,
                                          size_t count, milo_diag *diag, char **out_text,
                                          size_t *out_bytes);

// Tells on_progress; false: to stop.
static inline bool milo_tok_goes_on(const milo_tokenizer_options *options, const char *what,
                                    uint64_t done, uint64_t total) {
  const milo_progress progress = {what, done, total};
  return !options || !options->on_progress || options->on_progress(options->user, &progress);
}

// Steps through the documents of a text as described above. *at starts at 0; false at the end.
bool milo_tok_next_document(const char *text, size_t bytes, size_t *at, const char **out_document,
                            size_t *out_bytes);

#endif
