// SPDX-License-Identifier: MIT
// milo demo: from nothing to a model that tells stories, in one command and without a download.
//
// Writes stories of our own making, learns a tokenizer from them, trains a model of about one
// million parameters, and lets it tell a story.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "data.h"
#include "progress.h"
#include "stories.h"

enum { DEMO_VOCAB = 1024, DEMO_SEQ = 256, DEMO_BATCH = 4 };

typedef struct demo {
  milo_ctx *ctx;
  const char *dir, *prompt;
  uint64_t steps, stories, seed;
  bool resume, force;
  milo_tokenizer *tokenizer;
  milo_model *model;
  char *text;
  size_t text_bytes;
  int saved;  // exit code of writing stories and tokenizer, at the first step
  bool save_done;
  progress progress;
  uint32_t *ids;
  size_t id_count;
} demo;

// 1. Stories and a tokenizer for them, kept in memory until the folder is known to be ours.
static milo_status prepare(demo *d) {
  d->text = stories_generate(d->seed, d->stories, &d->text_bytes);
  if (d->text == NULL) return MILO_ERR_NO_MEMORY;
  milo_status status = learn_tokenizer(d->ctx, d->text, d->text_bytes, DEMO_VOCAB, &d->tokenizer);
  if (status == MILO_OK)
    status = encode_text(d->ctx, d->tokenizer, d->text, d->text_bytes, &d->ids, &d->id_count);
  if (status == MILO_OK)
    note("made up %llu stories, %.1f MB; learnt %d tokens, %.2f bytes a token",
         (unsigned long long)d->stories, (double)d->text_bytes / 1e6, DEMO_VOCAB,
         (double)d->text_bytes / (double)d->id_count);
  return status;
}

// Prints what goes wrong, for training has a message of its own when it stops because of it.
static int save_beginnings(demo *d) {
  char *stories = join_path(d->dir, "stories.txt"), *tokenizer = join_path(d->dir, "tokenizer.bin");
  milo_status status = MILO_ERR_NO_MEMORY;
  if (stories != NULL && tokenizer != NULL)
    status = milo_file_save(d->ctx, stories, d->text, d->text_bytes);
  if (status == MILO_OK) status = milo_tokenizer_save(d->ctx, d->tokenizer, tokenizer);
  free(stories);
  free(tokenizer);
  return status == MILO_OK ? EXIT_OK : fail_with(d->ctx, status);
}

static bool show_step(void *user, const milo_train_report *r) {
  demo *d = user;
  if (!d->save_done) d->saved = save_beginnings(d);
  d->save_done = true;
  progress_step(&d->progress, r);
  return d->saved == EXIT_OK && !stop_requested();
}

static milo_train_options run_options(const demo *d) {
  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  options.out_dir = d->dir;
  options.resume = d->resume;
  options.force = d->force;
  options.steps = d->steps;
  options.seed = d->seed;
  if (d->resume) return options;  // the rest is in the checkpoint
  options.batch = DEMO_BATCH;
  options.lr = 5e-3;
  options.warmup = d->steps / 20 + 1;
  options.eval_every = d->steps / 3 + 1;
  return options;
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
  note("training a model of %.2f million parameters on %zu tokens",
       (double)milo_model_parameter_count(d->model) / 1e6, d->id_count);
  milo_train_options options = run_options(d);
  options.on_step = show_step;
  options.stop = stop_asked;
  options.user = d;
  progress_begin(&d->progress, 0);
  stop_on_signal(STOPPING_AFTER_STEP);
  status = milo_train(d->ctx, d->model, d->ids, d->id_count, &options, NULL);
  stop_on_signal(STOPPING);
  return status;
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
      "demo [--out DIR] [--steps N] [--prompt TEXT] [--resume | --force]",
      "Makes up stories, learns a tokenizer, trains a small model on them for a minute or two,\n"
      "and lets it tell one. Nothing is downloaded.",
      "  milo demo\n"
      "  milo demo --resume --steps 4000\n"
      "  milo demo --out my-demo --prompt \"One day, a fox\"\n"
      "  milo generate demo --tokenizer demo/tokenizer.bin --prompt \"Once upon a time\"\n",
      0,
      0};
  demo d = {.dir = "demo",
            .prompt = "Once upon a time, there was a",
            .steps = NOT_GIVEN,
            .stories = 8000,
            .seed = 7};
  const option options[] = {
      {"--out", "-o", OPTION_STRING, &d.dir, "DIR", "folder for stories, tokenizer, model (demo)"},
      {"--steps", NULL, OPTION_COUNT, &d.steps, "N", "training steps (2000)"},
      {"--resume", NULL, OPTION_FLAG, &d.resume, NULL, "go on with the run that --out holds"},
      {"--force", NULL, OPTION_FLAG, &d.force, NULL, "replace the run that --out holds"},
      {"--stories", NULL, OPTION_COUNT, &d.stories, "N", "stories to make up (8000)"},
      {"--prompt", NULL, OPTION_STRING, &d.prompt, "TEXT", "how the story begins"},
      {"--seed", NULL, OPTION_COUNT, &d.seed, "N", "seed of stories, model and story (7)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (d.resume && d.force) return usage_error(&cmd, "--resume and --force exclude each other");
  if (d.steps == NOT_GIVEN)
    d.steps = d.resume ? 0 : 2000;
  else if (d.steps == 0)
    return usage_error(&cmd, "--steps is at least 1");
  if (d.stories < 100 || d.stories > 1000000)
    return usage_error(&cmd, "--stories is a number from 100 to 1000000");
  // A token has a byte or more; two stand before the first word.
  if (strlen(d.prompt) > DEMO_SEQ - 2)
    return usage_error(&cmd, "--prompt is at most %d bytes long", DEMO_SEQ - 2);
  d.ctx = open_ctx(&common);
  if (d.ctx == NULL) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  const milo_train_options asked = run_options(&d);
  milo_status status = milo_train_check(d.ctx, &asked);
  static const char *const names[] = {"stories.txt", "tokenizer.bin", "model.json", NULL};
  if (status == MILO_OK && !d.resume && !d.force &&
      refuse_replacing(d.dir, names, NULL) != EXIT_OK) {
    milo_ctx_destroy(d.ctx);
    return EXIT_FAILED;
  }
  if (status == MILO_OK) status = prepare(&d);
  if (status == MILO_OK) status = train(&d);
  if (status == MILO_OK) status = tell(&d);
  if (d.saved != EXIT_OK)
    code = EXIT_FAILED;
  else
    code = status == MILO_OK ? finish_stdout() : fail_with(d.ctx, status);
  if (status == MILO_OK)
    note(
        "\nmore: milo generate %s --tokenizer %s/tokenizer.bin --temperature 0.5 --prompt "
        "\"%s\"",
        d.dir, d.dir, d.prompt);
  free(d.text);
  milo_free(d.ids);
  milo_model_destroy(d.model);
  milo_tokenizer_destroy(d.tokenizer);
  milo_ctx_destroy(d.ctx);
  return code;
}
