// SPDX-License-Identifier: MIT
// milo demo: from nothing to a model that tells stories, in one command and without a download.
//
// Writes stories of our own making, learns a tokenizer from them, trains a model of about one
// million parameters, and lets it tell a story.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "stories.h"

enum { DEMO_VOCAB = 1024, DEMO_SEQ = 256, DEMO_BATCH = 4 };

typedef struct demo {
  milo_ctx *ctx;
  const char *dir, *prompt;
  uint64_t steps, stories, seed;
  milo_tokenizer *tokenizer;
  milo_model *model;
  uint32_t *ids;
  size_t id_count;
} demo;

static char *path_in(const demo *d, const char *name) {
  const size_t bytes = strlen(d->dir) + strlen(name) + 2;
  char *path = malloc(bytes);
  if (path != NULL) snprintf(path, bytes, "%s/%s", d->dir, name);
  return path;
}

// 1. Stories and a tokenizer for them.
static milo_status prepare(demo *d) {
  size_t bytes;
  char *text = stories_generate(d->seed, d->stories, &bytes);
  char *stories_path = path_in(d, "stories.txt"), *tokenizer_path = path_in(d, "tokenizer.bin");
  milo_status status = MILO_ERR_NO_MEMORY;
  if (text == NULL || stories_path == NULL || tokenizer_path == NULL) goto done;
  status = milo_file_save(d->ctx, stories_path, text, bytes);
  if (status != MILO_OK) goto done;
  fprintf(stderr, "wrote %llu stories, %.1f MB: %s\n", (unsigned long long)d->stories,
          (double)bytes / 1e6, stories_path);
  status = milo_tokenizer_train(d->ctx, text, bytes, DEMO_VOCAB, &d->tokenizer);
  if (status == MILO_OK) status = milo_tokenizer_save(d->ctx, d->tokenizer, tokenizer_path);
  if (status == MILO_OK)
    status =
        milo_tokenizer_encode_documents(d->ctx, d->tokenizer, text, bytes, &d->ids, &d->id_count);
  if (status == MILO_OK)
    fprintf(stderr, "learnt %d tokens, %.2f bytes a token: %s\n", DEMO_VOCAB,
            (double)bytes / (double)d->id_count, tokenizer_path);
done:
  free(text);
  free(stories_path);
  free(tokenizer_path);
  return status;
}

static bool show_step(void *user, const milo_train_report *r) {
  (void)user;
  const bool last = r->step == r->steps;
  if (r->step % 5 == 0 || last)
    fprintf(stderr, "\rstep %llu/%llu  loss %.3f  %.0f tokens/s  %.0f s left   ",
            (unsigned long long)r->step, (unsigned long long)r->steps, r->loss,
            r->tokens_per_second, r->eta_s);
  if (isfinite(r->val_loss)) fprintf(stderr, "\n  held-back stories: %.3f nats\n", r->val_loss);
  if (last) fputc('\n', stderr);
  return !stop_requested();
}

// 2. A model. Two layers and a high rate: to name the same people throughout a story, it has to
// learn to look up what followed a word earlier, which takes two layers and comes suddenly, after
// 1,000 to 2,000 steps; more layers of the same size come to it later, or not in the time there is.
static milo_status train(demo *d) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 176;
  config.hidden = 480;
  config.layers = 2;
  config.heads = 8;
  config.kv_heads = 8;
  config.head_dim = 22;
  config.seq = DEMO_SEQ;
  config.vocab = DEMO_VOCAB;
  milo_status status = milo_model_create(d->ctx, &config, d->seed, &d->model);
  if (status != MILO_OK) return status;
  fprintf(stderr, "training a model of %.2f million parameters on %zu tokens\n",
          (double)milo_model_parameter_count(d->model) / 1e6, d->id_count);
  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  options.out_dir = d->dir;
  options.steps = d->steps;
  options.batch = DEMO_BATCH;
  options.lr = 5e-3;
  options.warmup = d->steps / 20 + 1;
  options.eval_every = d->steps / 3 + 1;
  options.seed = d->seed;
  options.on_step = show_step;
  return milo_train(d->ctx, d->model, d->ids, d->id_count, &options, NULL);
}

// 3. A story.
static milo_status tell(demo *d) {
  uint32_t *prompt = NULL, *ids = NULL;
  size_t prompt_count, count, bytes;
  char *text = NULL;
  milo_generate_options options = MILO_OPTIONS_INIT(milo_generate_options);
  options.temperature = 0.5;
  options.top_p = 0.9;
  options.seed = d->seed;
  milo_status status = milo_tokenizer_encode(d->ctx, d->tokenizer, d->prompt, strlen(d->prompt),
                                             true, &prompt, &prompt_count);
  if (status == MILO_OK)
    status = milo_generate(d->ctx, d->model, prompt, prompt_count, &options, &ids, &count, NULL);
  if (status == MILO_OK)
    status = milo_tokenizer_decode(d->ctx, d->tokenizer, ids, count, &text, &bytes);
  if (status == MILO_OK) printf("\n%s\n", text);
  milo_free(prompt);
  milo_free(ids);
  milo_free(text);
  return status;
}

int cmd_demo(int argc, char **argv) {
  static const command cmd = {
      "demo",
      "demo [--out DIR] [--steps N] [--prompt TEXT]",
      "Makes up stories, learns a tokenizer, trains a small model on them for a minute or two,\n"
      "and lets it tell one. Nothing is downloaded.",
      "  milo demo\n"
      "  milo demo --out my-demo --prompt \"One day, a fox\"\n"
      "  milo generate demo --tokenizer demo/tokenizer.bin --prompt \"Once upon a time\"\n",
      0,
      0};
  demo d = {.dir = "demo",
            .prompt = "Once upon a time, there was a",
            .steps = 2000,
            .stories = 8000,
            .seed = 7};
  const option options[] = {
      {"--out", "-o", OPTION_STRING, &d.dir, "DIR", "folder for stories, tokenizer, model (demo)"},
      {"--steps", NULL, OPTION_COUNT, &d.steps, "N", "training steps (2000)"},
      {"--stories", NULL, OPTION_COUNT, &d.stories, "N", "stories to make up (8000)"},
      {"--prompt", NULL, OPTION_STRING, &d.prompt, "TEXT", "how the story begins"},
      {"--seed", NULL, OPTION_COUNT, &d.seed, "N", "seed of stories, model and story (7)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (d.steps == 0 || d.stories < 100 || d.stories > 1000000)
    return usage_error(&cmd, "--steps is at least 1, --stories 100 to 1000000");
  // A token has a byte or more; two stand before the first word.
  if (strlen(d.prompt) > DEMO_SEQ - 2)
    return usage_error(&cmd, "--prompt is at most %d bytes long", DEMO_SEQ - 2);
  if (mkdir(d.dir, 0777) != 0 && errno != EEXIST)
    return fail_text("%s could not be created: %s", d.dir, strerror(errno));
  d.ctx = open_ctx(&common);
  if (d.ctx == NULL) return EXIT_FAILED;
  stop_on_signal();
  milo_status status = prepare(&d);
  if (status == MILO_OK) status = train(&d);
  if (status == MILO_OK) status = tell(&d);
  code = status == MILO_OK ? finish_stdout() : fail_with(d.ctx, status);
  if (status == MILO_OK)
    fprintf(stderr,
            "\nmore: milo generate %s --tokenizer %s/tokenizer.bin --temperature 0.5 --prompt "
            "\"%s\"\n",
            d.dir, d.dir, d.prompt);
  milo_free(d.ids);
  milo_model_destroy(d.model);
  milo_tokenizer_destroy(d.tokenizer);
  milo_ctx_destroy(d.ctx);
  return code;
}
