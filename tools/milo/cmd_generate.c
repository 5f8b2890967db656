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
  storage storage;
} request;

// What was generated so far, streamed as it comes.
typedef struct stream {
  milo_ctx *ctx;
  const milo_tokenizer *tokenizer;
  uint32_t *ids;
  size_t count, capacity, printed;
  bool as_ids, silent;
  bool deaf;  // standard output takes no more
} stream;

typedef struct timing {
  size_t prompt_tokens, generated_tokens;
  double prefill_s, decode_s;
} timing;

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
static milo_status print_text(stream *s) {
  char *text = NULL;
  size_t bytes = 0;
  const milo_status status =
      milo_tokenizer_decode(s->ctx, s->tokenizer, s->ids, s->count, &text, &bytes);
  if (status != MILO_OK) return status;
  if (bytes > s->printed) fwrite(text + s->printed, 1, bytes - s->printed, stdout);
  if (bytes > s->printed) s->printed = bytes;
  milo_free(text);
  return MILO_OK;
}

// The next token: kept, and shown unless the whole is printed at the end.
static milo_status take(stream *s, uint32_t id) {
  if (!push(s, id)) return MILO_ERR_NO_MEMORY;
  if (s->silent) return MILO_OK;
  if (s->as_ids) {
    printf("%u\n", id);
  } else {
    const milo_status status = print_text(s);
    if (status != MILO_OK) return status;
  }
  // That it failed is said at the end; nobody reads on.
  s->deaf = fflush(stdout) != 0;
  return MILO_OK;
}

static bool goes_on(const stream *s) { return !s->deaf && !stop_requested(); }

static double rate(size_t tokens, double seconds) {
  return seconds > 0 ? (double)tokens / seconds : 0;
}

static milo_status print_json(const stream *s, const timing *t) {
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
         t->prompt_tokens, t->generated_tokens);
  json_number(stdout, t->prefill_s);
  printf(", \"decode_seconds\": ");
  json_number(stdout, t->decode_s);
  printf(", \"tokens_per_second\": ");
  json_number(stdout, rate(t->generated_tokens, t->prefill_s + t->decode_s));
  printf("}\n");
  return MILO_OK;
}

// Says what is wrong with a prompt before any of it is shown.
static bool prompt_fits(const milo_model_config *config, const uint32_t *prompt, size_t count) {
  if (count > (uint64_t)config->seq) {
    fail_text("error: the prompt has %zu tokens, the model's sequences at most %lld", count,
              (long long)config->seq);
    return false;
  }
  for (size_t i = 0; i < count; i++)
    if (prompt[i] >= (uint64_t)config->vocab) {
      fail_text("error: token %zu of the prompt is %u, the model's vocabulary has %lld", i,
                prompt[i], (long long)config->vocab);
      return false;
    }
  return true;
}

// steps: tokens in all, the prompt included.
static milo_status begin(const request *r, milo_ctx *ctx, milo_model *model, size_t steps,
                         milo_session **out_session) {
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  options.device = r->device;
  options.limit = steps;
  options.stop = stop_asked;
  options.cache = storage_cache(&r->storage);
  return milo_session_create(ctx, model, &options, out_session);
}

// Shows the prompt, then draws and shows token after token.
static milo_status continue_prompt(const request *r, const milo_model *model, milo_session *session,
                                   const uint32_t *prompt, size_t steps, stream *s, timing *t) {
  milo_status status = MILO_OK;
  double start = now_s();
  for (size_t i = 1; status == MILO_OK && i < t->prompt_tokens && goes_on(s); i++)
    status = take(s, prompt[i]);
  while (status == MILO_OK && goes_on(s) && s->count < steps) {
    const size_t read = milo_session_length(session);
    uint32_t next = 0;
    status = milo_session_feed(session, s->ids + read, s->count - read);
    if (status == MILO_ERR_INTERRUPTED) return MILO_OK;
    if (status == MILO_OK)
      status = milo_session_sample(session, r->temperature, r->top_p, r->seed, &next);
    if (status != MILO_OK) return status;
    const double now = now_s();
    *(read == 0 ? &t->prefill_s : &t->decode_s) += now - start;
    start = now;
    if (milo_model_stops(model, next)) break;
    t->generated_tokens++;
    status = take(s, next);
  }
  return status;
}

static void report(const stream *s, const timing *t) {
  if (stop_requested())
    fail_text("generation was stopped after %zu tokens", s->count);
  else if (fflush(stdout) == 0 && !ferror(stdout))
    note("%zu tokens in, %zu out, %.0f tokens/s (prompt %.3f s, then %.3f s)", t->prompt_tokens,
         t->generated_tokens, rate(t->generated_tokens, t->prefill_s + t->decode_s), t->prefill_s,
         t->decode_s);
}

static milo_status generate(const request *r, milo_ctx *ctx, milo_model *model,
                            const milo_tokenizer *tokenizer, const uint32_t *prompt, size_t count,
                            size_t steps) {
  timing t = {.prompt_tokens = count};
  stream s = {.ctx = ctx, .tokenizer = tokenizer, .as_ids = r->ids, .silent = r->json};
  milo_session *session = NULL;
  milo_status status = begin(r, ctx, model, steps, &session);
  // The first token of a prompt has no text.
  if (status == MILO_OK && !push(&s, prompt[0])) status = MILO_ERR_NO_MEMORY;
  if (status == MILO_OK && r->ids && !r->json) printf("%u\n", prompt[0]);
  if (status == MILO_OK) status = continue_prompt(r, model, session, prompt, steps, &s, &t);
  if (status == MILO_OK && !r->ids && !r->json) putchar('\n');
  if (status == MILO_OK && r->json) status = print_json(&s, &t);
  if (status == MILO_OK) report(&s, &t);
  milo_session_destroy(session);
  free(s.ids);
  return status;
}

static int run(const request *r, milo_ctx *ctx, milo_model *model,
               const milo_tokenizer *tokenizer) {
  static const uint32_t bos[] = {TOKEN_BOS};
  uint32_t *encoded = NULL;
  size_t count = 1;
  milo_status status = MILO_OK;
  if (tokenizer)
    status =
        milo_tokenizer_encode(ctx, tokenizer, r->prompt, strlen(r->prompt), true, &encoded, &count);
  if (status != MILO_OK) return fail_with(ctx, status);
  const uint32_t *prompt = encoded ? encoded : bos;
  milo_model_config config;
  milo_model_get_config(model, &config);
  int code = EXIT_FAILED;
  if (prompt_fits(&config, prompt, count)) {
    const size_t steps = (size_t)(r->steps > 0 ? r->steps : (uint64_t)config.seq);
    status = generate(r, ctx, model, tokenizer, prompt, count, steps > count ? steps : count);
    code = status == MILO_OK ? finish_stdout() : fail_with(ctx, status);
  }
  milo_free(encoded);
  return code;
}

int cmd_generate(int argc, char **argv) {
  static const command cmd = {
      "generate",
      "generate MODEL [options]",
      "Continues a prompt, token by token, on standard output. MODEL is a folder written by\n"
      "milo train (which has its tokenizer), a folder of Hugging Face's (config.json and\n"
      "safetensors; Llama, Qwen3) or a llama2.c .bin file.",
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
      STORAGE_OPTIONS(&r.storage),
      CACHE_OPTION(&r.storage),
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "cpu or ref (default cpu)"},
      {"--ids", NULL, OPTION_FLAG, &r.ids, NULL, "print token ids, one a line, not text"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (r.temperature < 0) return usage_error(&cmd, "--temperature is a number from 0");
  if (r.top_p < 0 || r.top_p > 1) return usage_error(&cmd, "--top-p is a number from 0 to 1");
  if (storage_problem(&r.storage)) return usage_error(&cmd, "%s", storage_problem(&r.storage));
  r.model = argv[0];
  r.json = common.json;
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  milo_model *model = NULL;
  milo_tokenizer *tokenizer = NULL;
  milo_status status = load_model(ctx, r.model, &r.storage, &model);
  if (status == MILO_OK) status = find_tokenizer(ctx, r.tokenizer, r.model, &tokenizer);
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  if (status == MILO_OK) milo_model_get_config(model, &config);
  if (status == MILO_OK && tokenizer && (int64_t)milo_tokenizer_vocab(tokenizer) > config.vocab) {
    code = fail_text(
        "the tokenizer has %zu tokens, the model's vocabulary %lld: it is of another "
        "model",
        milo_tokenizer_vocab(tokenizer), (long long)config.vocab);
  } else if (status == MILO_OK && !tokenizer && (!(r.ids || r.json) || r.prompt[0])) {
    code = usage_error(&cmd, "--tokenizer FILE is needed to read a prompt and to write text");
  } else {
    code = status == MILO_OK ? run(&r, ctx, model, tokenizer) : fail_with(ctx, status);
    if (code == EXIT_OK && stop_requested()) code = EXIT_STOPPED;
  }
  milo_tokenizer_destroy(tokenizer);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return code;
}
