// SPDX-License-Identifier: MIT
// milo generate: a model continues a prompt.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "data.h"
#include "progress.h"

enum { TOKEN_BOS = 1 };

typedef struct request {
  const char *model, *tokenizer, *prompt, *device;
  uint64_t steps, seed;
  double temperature, top_p;
  bool ids, json;
} request;

// What was generated so far, streamed as it comes.
typedef struct stream {
  milo_ctx *ctx;
  const milo_tokenizer *tokenizer;
  uint32_t *ids;
  size_t count, capacity, printed;
  bool as_ids, silent;
  milo_status status;
} stream;

static bool push(stream *s, uint32_t id) {
  if (s->count == s->capacity) {
    const size_t capacity = s->capacity ? 2 * s->capacity : 256;
    uint32_t *ids = realloc(s->ids, capacity * sizeof *ids);
    if (!ids) return false;
    s->ids = ids;
    s->capacity = capacity;
  }
  s->ids[s->count++] = id;
  return true;
}

// Prints what the newest token adds to the text: a token's text depends on those before it.
static bool print_text(stream *s) {
  char *text = NULL;
  size_t bytes = 0;
  s->status = milo_tokenizer_decode(s->ctx, s->tokenizer, s->ids, s->count, &text, &bytes);
  if (s->status != MILO_OK) return false;
  if (bytes > s->printed) fwrite(text + s->printed, 1, bytes - s->printed, stdout);
  if (bytes > s->printed) s->printed = bytes;
  milo_free(text);
  return true;
}

static bool on_token(void *user, uint32_t id) {
  stream *s = user;
  if (!push(s, id)) {
    s->status = MILO_ERR_NO_MEMORY;
    return false;
  }
  if (!s->silent) {
    if (s->as_ids)
      printf("%u\n", id);
    else if (!print_text(s))
      return false;
    if (fflush(stdout) != 0) return false;
  }
  return !stop_requested();
}

static double rate(size_t tokens, double seconds) {
  return seconds > 0 ? (double)tokens / seconds : 0;
}

static milo_status print_json(const stream *s, const milo_generate_stats *stats) {
  printf("{\"ids\": [");
  for (size_t i = 0; i < s->count; i++) printf("%s%u", i ? ", " : "", s->ids[i]);
  printf("]");
  if (s->tokenizer) {
    char *text = NULL;
    size_t bytes = 0;
    const milo_status status =
        milo_tokenizer_decode(s->ctx, s->tokenizer, s->ids, s->count, &text, &bytes);
    if (status != MILO_OK) return status;
    printf(", \"text\": ");
    json_string(stdout, text);
    milo_free(text);
  }
  printf(", \"prompt_tokens\": %zu, \"generated_tokens\": %zu, \"prefill_seconds\": ",
         stats->prompt_tokens, stats->generated_tokens);
  json_number(stdout, stats->prefill_s);
  printf(", \"decode_seconds\": ");
  json_number(stdout, stats->decode_s);
  printf(", \"tokens_per_second\": ");
  json_number(stdout, rate(stats->generated_tokens, stats->prefill_s + stats->decode_s));
  printf("}\n");
  return MILO_OK;
}

static milo_status run(const request *r, milo_ctx *ctx, const milo_model *model,
                       const milo_tokenizer *tokenizer) {
  static const uint32_t begin[] = {TOKEN_BOS};
  uint32_t *encoded = NULL;
  size_t count = 1;
  milo_status status = MILO_OK;
  if (tokenizer)
    status =
        milo_tokenizer_encode(ctx, tokenizer, r->prompt, strlen(r->prompt), true, &encoded, &count);
  if (status != MILO_OK) return status;
  const uint32_t *prompt = encoded ? encoded : begin;
  stream s = {.ctx = ctx, .tokenizer = tokenizer, .as_ids = r->ids, .silent = r->json};
  milo_generate_options options = MILO_OPTIONS_INIT(milo_generate_options);
  options.device = r->device;
  options.steps = (size_t)r->steps;
  options.temperature = r->temperature;
  options.top_p = r->top_p;
  options.seed = r->seed;
  options.on_token = on_token;
  options.stop = stop_asked;
  options.user = &s;
  milo_generate_stats stats;
  // The first token is not announced: it is the prompt's.
  if (!push(&s, prompt[0])) status = MILO_ERR_NO_MEMORY;
  if (status == MILO_OK && r->ids && !r->json) printf("%u\n", prompt[0]);
  if (status == MILO_OK)
    status = milo_generate(ctx, model, prompt, count, &options, NULL, NULL, &stats);
  if (status == MILO_OK) status = s.status;
  if (status == MILO_OK && !r->ids && !r->json) putchar('\n');
  if (status == MILO_OK && r->json) status = print_json(&s, &stats);
  if (status == MILO_OK && stop_requested())
    fail_text("generation was stopped after %zu tokens", s.count);
  else if (status == MILO_OK && fflush(stdout) == 0 && !ferror(stdout))
    note("%zu tokens in, %zu out, %.0f tokens/s (prompt %.3f s, then %.3f s)", stats.prompt_tokens,
         stats.generated_tokens, rate(stats.generated_tokens, stats.prefill_s + stats.decode_s),
         stats.prefill_s, stats.decode_s);
  milo_free(encoded);
  free(s.ids);
  return status;
}

int cmd_generate(int argc, char **argv) {
  static const command cmd = {
      "generate",
      "generate MODEL [options]",
      "Continues a prompt, token by token, on standard output. MODEL is a llama2.c .bin file or a\n"
      "folder written by milo train (which has its tokenizer).",
      "  milo generate out --prompt 'Once upon a time'\n"
      "  milo generate stories260K.bin --tokenizer tok512.bin --temperature 0 --steps 257\n",
      1,
      1};
  request r = {.prompt = "", .temperature = 0.8, .top_p = 0.9};
  const option options[] = {
      {"--tokenizer", "-t", OPTION_INPUT, &r.tokenizer, "FILE", "tokenizer.bin"},
      {"--prompt", "-p", OPTION_STRING, &r.prompt, "TEXT", "how the text begins (default: empty)"},
      {"--steps", "-n", OPTION_COUNT, &r.steps, "N",
       "tokens in all, the prompt included (default: the model's longest)"},
      {"--temperature", NULL, OPTION_NUMBER, &r.temperature, "T",
       "0: always the likeliest token (default 0.8)"},
      {"--top-p", NULL, OPTION_NUMBER, &r.top_p, "P",
       "choose among the likeliest that reach P together (default 0.9)"},
      {"--seed", "-s", OPTION_COUNT, &r.seed, "S", "of the draws (default 0)"},
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "cpu or ref (default cpu)"},
      {"--ids", NULL, OPTION_FLAG, &r.ids, NULL, "print token ids, one a line, not text"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (r.temperature < 0) return usage_error(&cmd, "--temperature is a number from 0");
  if (r.top_p < 0 || r.top_p > 1) return usage_error(&cmd, "--top-p is a number from 0 to 1");
  r.model = argv[0];
  r.json = common.json;
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  milo_model *model = NULL;
  milo_tokenizer *tokenizer = NULL;
  milo_status status = milo_model_load(ctx, r.model, &model);
  if (status == MILO_OK) status = find_tokenizer(ctx, r.tokenizer, r.model, &tokenizer);
  if (status == MILO_OK && !tokenizer && (!(r.ids || r.json) || r.prompt[0])) {
    code = usage_error(&cmd, "--tokenizer FILE is needed to read a prompt and to write text");
  } else {
    if (status == MILO_OK) status = run(&r, ctx, model, tokenizer);
    code = status == MILO_OK ? finish_stdout() : fail_with(ctx, status);
    if (code == EXIT_OK && stop_requested()) code = EXIT_STOPPED;
  }
  milo_tokenizer_destroy(tokenizer);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return code;
}
