// SPDX-License-Identifier: MIT
// milo tokenize: trains a tokenizer, encodes text, decodes tokens.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "data.h"
#include "progress.h"

enum { BOS = 1 };

typedef struct request {
  milo_ctx *ctx;
  const char *input, *output, *tokenizer;
  uint64_t vocab;
  bool json;
} request;

static void report(const request *r, size_t tokens, size_t bytes) {
  FILE *file = report_file(r->output);
  if (r->json)
    fprintf(file, "{\"tokens\": %zu, \"text_bytes\": %zu}\n", tokens, bytes);
  else if (r->output)
    fprintf(file, "%s: %zu tokens, %zu bytes of text\n", r->output, tokens, bytes);
}

static int train(const request *r) {
  milo_tokenizer *tokenizer = NULL;
  size_t bytes;
  char *text;
  milo_status status = milo_file_load(r->ctx, r->input, &text, &bytes);
  if (status == MILO_OK)
    status = learn_tokenizer(r->ctx, text, bytes, (size_t)r->vocab, &tokenizer);
  if (status == MILO_OK) status = milo_tokenizer_save(r->ctx, tokenizer, r->output);
  const int code = status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
  if (code == EXIT_OK) report(r, milo_tokenizer_vocab(tokenizer), bytes);
  milo_tokenizer_destroy(tokenizer);
  milo_free(text);
  return code;
}

static int encode(const request *r) {
  milo_tokenizer *tokenizer = NULL;
  uint32_t *ids = NULL;
  size_t bytes, count = 0;
  char *text;
  milo_status status = milo_file_load(r->ctx, r->input, &text, &bytes);
  if (status == MILO_OK) status = milo_tokenizer_load(r->ctx, r->tokenizer, 0, &tokenizer);
  if (status == MILO_OK) status = encode_text(r->ctx, tokenizer, text, bytes, &ids, &count);
  if (status == MILO_OK && r->output != NULL)
    status = milo_tokens_save(r->ctx, r->output, milo_tokenizer_vocab(tokenizer), ids, count);
  const int code = status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
  if (code == EXIT_OK) report(r, count, bytes);
  for (size_t i = 0; code == EXIT_OK && r->output == NULL && i < count; i++)
    printf("%" PRIu32 "\n", ids[i]);
  milo_free(ids);
  milo_tokenizer_destroy(tokenizer);
  milo_free(text);
  return code;
}

typedef struct joined_text {
  char *data;
  size_t bytes;
} joined_text;

static bool append(joined_text *text, const char *data, size_t bytes) {
  if (bytes > SIZE_MAX - text->bytes - 1) return false;
  char *grown = realloc(text->data, text->bytes + bytes + 1);
  if (grown == NULL) return false;
  if (bytes > 0) memcpy(grown + text->bytes, data, bytes);
  text->data = grown;
  text->bytes += bytes;
  return true;
}

// Documents in a row, a line "<|endoftext|>" after each if there is more than one.
static milo_status decode_documents(milo_ctx *ctx, const milo_tokenizer *tokenizer,
                                    const uint32_t *ids, size_t count, joined_text *text) {
  static const char separator[] = "\n<|endoftext|>\n";
  for (size_t start = 0, end; start < count; start = end) {
    for (end = start + 1; end < count && ids[end] != BOS;) end++;
    char *document;
    size_t bytes;
    const milo_status status =
        milo_tokenizer_decode(ctx, tokenizer, ids + start, end - start, &document, &bytes);
    if (status != MILO_OK) return status;
    bool ok = append(text, document, bytes);
    if (start > 0 || end < count) ok = ok && append(text, separator, sizeof separator - 1);
    milo_free(document);
    if (!ok) return MILO_ERR_NO_MEMORY;
  }
  return MILO_OK;
}

static int decode(const request *r) {
  milo_tokenizer *tokenizer = NULL;
  joined_text text = {0};
  uint32_t *ids = NULL;
  size_t count = 0;
  milo_status status = milo_tokenizer_load(r->ctx, r->tokenizer, 0, &tokenizer);
  if (status == MILO_OK)
    status = milo_tokens_load(r->ctx, r->input, milo_tokenizer_vocab(tokenizer), &ids, &count);
  if (status == MILO_OK) status = decode_documents(r->ctx, tokenizer, ids, count, &text);
  if (status == MILO_OK && r->output != NULL)
    status = milo_file_save(r->ctx, r->output, text.data, text.bytes);
  const int code = status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
  if (code == EXIT_OK && r->output == NULL) fwrite(text.data, 1, text.bytes, stdout);
  if (code == EXIT_OK) report(r, count, text.bytes);
  free(text.data);
  milo_free(ids);
  milo_tokenizer_destroy(tokenizer);
  return code;
}

int cmd_tokenize(int argc, char **argv) {
  static const command cmd = {
      "tokenize",
      "tokenize train|encode|decode FILE [options]",
      "Learns a tokenizer from text (train), turns text into tokens (encode) or tokens into text\n"
      "(decode). Lines \"<|endoftext|>\" separate documents; a text without them is one document.\n"
      "Without -o encode prints the tokens as numbers, one a line; -o - writes a token file's "
      "bytes.",
      "  milo tokenize train stories.txt --vocab 512 -o tok.bin\n"
      "  milo tokenize encode stories.txt --tokenizer tok.bin -o stories.tokens\n"
      "  milo tokenize decode stories.tokens --tokenizer tok.bin\n"
      "  milo stories | milo tokenize encode - --tokenizer tok.bin -o stories.tokens\n",
      2,
      2};
  static const struct {
    const char *name;
    int (*run)(const request *r);
    bool needs_tokenizer, needs_output;
  } actions[] = {{"train", train, false, true},
                 {"encode", encode, true, false},
                 {"decode", decode, true, false}};
  request r = {.vocab = 512};
  const option options[] = {
      {"--vocab", NULL, OPTION_COUNT, &r.vocab, "N", "train: tokens in all (default 512)"},
      {"--tokenizer", "-t", OPTION_INPUT, &r.tokenizer, "FILE", "encode, decode: tokenizer.bin"},
      {"--output", "-o", OPTION_OUTPUT, &r.output, "FILE", "what to write (default: print it)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  size_t i = 0;
  while (i < sizeof actions / sizeof *actions && strcmp(actions[i].name, argv[0]) != 0) i++;
  if (i == sizeof actions / sizeof *actions)
    return usage_error(&cmd, "'%s' is not train, encode or decode", argv[0]);
  if (actions[i].needs_tokenizer && r.tokenizer == NULL)
    return usage_error(&cmd, "%s needs --tokenizer FILE", argv[0]);
  if (actions[i].needs_output && r.output == NULL)
    return usage_error(&cmd, "%s needs -o FILE", argv[0]);
  r.input = argv[1];
  r.json = common.json;
  r.ctx = open_ctx(&common);
  if (r.ctx == NULL) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  code = actions[i].run(&r);
  milo_ctx_destroy(r.ctx);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}
