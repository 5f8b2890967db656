// SPDX-License-Identifier: MIT
// milo eval: mean cross-entropy of a model over a file.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "data.h"
#include "progress.h"

typedef struct request {
  const char *model, *data, *tokenizer, *device, *losses;
  uint64_t seq, max_tokens;
  bool tokens, json;
  storage storage;
} request;

typedef struct listener {
  progress shown;
  milo_array losses;  // room for all that may come; data NULL: not wanted
} listener;

static bool on_progress(void *user, uint64_t done, uint64_t total) {
  listener *l = user;
  const milo_progress work = {"tokens", done, total};
  progress_work(&l->shown, "evaluating", &work);
  return !stop_requested();
}

static void on_losses(void *user, const float *losses, size_t count) {
  milo_array *all = &((listener *)user)->losses;
  memcpy((float *)all->data + all->shape[0], losses, count * sizeof *losses);
  all->shape[0] += (int64_t)count;
}

static void report(const request *r, const milo_eval_result *result) {
  const double speed = result->seconds > 0 ? (double)result->tokens / result->seconds : 0;
  FILE *to = r->losses ? report_file(r->losses) : stdout;
  if (r->json)
    fprintf(to,
            "{\"loss\": %.9g, \"perplexity\": %.9g, \"tokens\": %" PRIu64
            ", \"seconds\": %.6g, \"tokens_per_second\": %.6g}\n",
            result->loss, result->perplexity, result->tokens, result->seconds, speed);
  else
    fprintf(to,
            "loss %.6f nats a token, perplexity %.4f, %" PRIu64
            " tokens in %.2f s (%.0f tokens/s)\n",
            result->loss, result->perplexity, result->tokens, result->seconds, speed);
}

static milo_status evaluate(const request *r, milo_ctx *ctx, const milo_model *model,
                            const token_data *data) {
  milo_eval_options options = MILO_OPTIONS_INIT(milo_eval_options);
  options.device = r->device;
  if (r->seq != NOT_GIVEN) options.seq = (size_t)r->seq;
  if (r->max_tokens != NOT_GIVEN) options.max_tokens = (size_t)r->max_tokens;
  listener l = {.losses = {.data = NULL}};
  if (r->losses) {
    const int64_t most = data->count > 1 ? (int64_t)data->count - 1 : 1;
    const milo_status status = milo_array_create(ctx, MILO_FP32, 1, &most, &l.losses);
    if (status != MILO_OK) return status;
    l.losses.shape[0] = 0;
    options.on_losses = on_losses;
  }
  progress_begin(&l.shown, 1);
  options.on_progress = on_progress;
  options.stop = stop_asked;
  options.user = &l;
  milo_eval_result result;
  milo_status status = milo_eval(ctx, model, data->ids, data->count, &options, &result);
  progress_end_line();
  if (status == MILO_OK) report(r, &result);
  if (status == MILO_OK && r->losses) {
    l.losses.bytes = (size_t)l.losses.shape[0] * sizeof(float);
    status = milo_npy_save(ctx, r->losses, &l.losses);
  }
  milo_array_deinit(&l.losses);
  return status;
}

int cmd_eval(int argc, char **argv) {
  static const command cmd = {
      "eval",
      "eval MODEL --data FILE [options]",
      "Mean cross-entropy, perplexity and speed of a model over a token stream (.u16, .u32,\n"
      ".tokens, .bin) or a text. MODEL is a folder written by milo train,\n"
      "a folder of Hugging Face's (Llama, Qwen3) or a llama2.c .bin file.",
      "  milo eval stories260K.bin --data stories.u16\n"
      "  milo eval out --data more.txt --json\n"
      "  milo eval out --data more.txt --losses losses.npy\n"
      "  zcat stories.u16.gz | milo eval out --data - --tokens\n",
      1,
      1};
  request r = {.seq = NOT_GIVEN, .max_tokens = NOT_GIVEN};
  const option options[] = {
      {"--data", NULL, OPTION_INPUT, &r.data, "FILE", "tokens or text"},
      {"--tokens", NULL, OPTION_FLAG, &r.tokens, NULL, "--data holds tokens, whatever its name"},
      {"--tokenizer", "-t", OPTION_INPUT, &r.tokenizer, "FILE", "tokenizer.bin, for text"},
      {"--seq", NULL, OPTION_COUNT, &r.seq, "N", "tokens a chunk (default: the model's longest)"},
      {"--max-tokens", NULL, OPTION_COUNT, &r.max_tokens, "N",
       "score the first N only (whole chunks)"},
      {"--losses", NULL, OPTION_OUTPUT, &r.losses, "FILE.npy",
       "write the cross-entropy of every token scored"},
      STORAGE_OPTIONS(&r.storage),
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "cpu or ref (default cpu)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (!r.data) return usage_error(&cmd, "--data FILE is needed");
  if (r.seq == 0 || r.max_tokens == 0)
    return usage_error(&cmd, "%s is at least 1", r.seq == 0 ? "--seq" : "--max-tokens");
  if (storage_problem(&r.storage)) return usage_error(&cmd, "%s", storage_problem(&r.storage));
  r.model = argv[0];
  if (same_file(r.losses, r.model))
    return usage_error(&cmd, "--losses would replace the model that is read");
  r.json = common.json;
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  milo_model *model = NULL;
  milo_tokenizer *tokenizer = NULL;
  token_data data = {.path = r.data, .is_tokens = r.tokens || is_token_file(r.data)};
  milo_status status = load_model(ctx, r.model, &r.storage, &model);
  if (status == MILO_OK && !data.is_tokens)
    status = find_tokenizer(ctx, r.tokenizer, r.model, &tokenizer);
  if (status == MILO_OK && !file_exists(r.data)) {
    code = fail_text("cannot open '%s': %s", r.data, strerror(errno));
  } else if (status == MILO_OK && !tokenizer && !data.is_tokens) {
    code = usage_error(&cmd, "%s is text: --tokenizer FILE is needed", r.data);
  } else {
    milo_model_config config = {0};
    if (status == MILO_OK) milo_model_get_config(model, &config);
    if (status == MILO_OK) status = load_tokens(ctx, (size_t)config.vocab, tokenizer, &data);
    if (status == MILO_OK) status = evaluate(&r, ctx, model, &data);
    code = status == MILO_OK ? finish_stdout() : fail_with(ctx, status);
  }
  release_data(&data);
  milo_tokenizer_destroy(tokenizer);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return code;
}
