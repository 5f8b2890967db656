// SPDX-License-Identifier: MIT
// Tokenizers and token streams.
#include "api/ctx.h"
#include "base/option_struct.h"
#include "tokens/stream.h"
#include "tokens/tokenizer.h"

milo_status milo_tokenizer_load(milo_ctx *ctx, const char *path, size_t vocab,
                                milo_tokenizer **out_tokenizer) {
  return milo_tok_load(path, vocab, milo_ctx_begin(ctx), out_tokenizer);
}

milo_status milo_tokenizer_train(milo_ctx *ctx, const char *text, size_t text_bytes, size_t vocab,
                                 const milo_tokenizer_options *given,
                                 milo_tokenizer **out_tokenizer) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_tokenizer_options options;
  *out_tokenizer = NULL;
  MILO_TRY(milo_take_options(milo_tokenizer_options, given, diag, &options));
  return milo_tok_train(text, text_bytes, vocab, &options, diag, out_tokenizer);
}

milo_status milo_tokenizer_save(milo_ctx *ctx, const milo_tokenizer *tokenizer, const char *path) {
  return milo_tok_save(tokenizer, path, milo_ctx_begin(ctx));
}

void milo_tokenizer_destroy(milo_tokenizer *tokenizer) { milo_tok_destroy(tokenizer); }

size_t milo_tokenizer_vocab(const milo_tokenizer *tokenizer) { return milo_tok_vocab(tokenizer); }

milo_status milo_tokenizer_encode(milo_ctx *ctx, const milo_tokenizer *tokenizer, const char *text,
                                  size_t text_bytes, bool bos, uint32_t **out_ids,
                                  size_t *out_count) {
  return milo_tok_encode(tokenizer, text, text_bytes, bos, milo_ctx_begin(ctx), out_ids, out_count);
}

milo_status milo_tokenizer_encode_documents(milo_ctx *ctx, const milo_tokenizer *tokenizer,
                                            const char *text, size_t text_bytes,
                                            const milo_tokenizer_options *given, uint32_t **out_ids,
                                            size_t *out_count) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_tokenizer_options options;
  *out_ids = NULL;
  *out_count = 0;
  MILO_TRY(milo_take_options(milo_tokenizer_options, given, diag, &options));
  return milo_tok_encode_documents(tokenizer, text, text_bytes, &options, diag, out_ids, out_count);
}

milo_status milo_tokenizer_decode(milo_ctx *ctx, const milo_tokenizer *tokenizer,
                                  const uint32_t *ids, size_t count, char **out_text,
                                  size_t *out_bytes) {
  return milo_tok_decode(tokenizer, ids, count, milo_ctx_begin(ctx), out_text, out_bytes);
}

milo_status milo_tokens_load(milo_ctx *ctx, const char *path, size_t vocab, uint32_t **out_ids,
                             size_t *out_count) {
  milo_diag *diag = milo_ctx_begin(ctx);
  *out_ids = NULL;
  *out_count = 0;
  if (vocab == 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "a token stream needs a vocabulary > 0");
  return milo_stream_load(path, vocab, diag, out_ids, out_count);
}

milo_status milo_tokens_save(milo_ctx *ctx, const char *path, size_t vocab, const uint32_t *ids,
                             size_t count) {
  return milo_stream_save(path, vocab, ids, count, milo_ctx_begin(ctx));
}
