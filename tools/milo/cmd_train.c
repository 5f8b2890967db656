// SPDX-License-Identifier: MIT
// milo train: a model from text or tokens.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "data.h"
#include "progress.h"

typedef struct request {
  const char *data, *model, *init, *out, *device, *tokenizer;
  bool tokens, resume, force, json;
  uint64_t vocab, steps, stop_after, batch, seq, accumulate, warmup, seed, eval_every, eval_batches,
      save_every;
  double lr, min_lr_ratio, beta1, beta2, epsilon, weight_decay, clip, val_fraction;
} request;

typedef struct job {
  milo_ctx *ctx;
  milo_tokenizer *tokenizer;  // NULL: the data are tokens and none was given
  milo_model *model;
  token_data data;
} job;

// ---- progress ----

// So that the folder can generate text without another file. A replaced run's goes with it. Prints
// what goes wrong, for training has a message of its own when it stops because of it.
static int save_tokenizer(const request *r, job *j) {
  if (!r->out || (!j->tokenizer && !r->force)) return EXIT_OK;
  char *path = join_path(r->out, "tokenizer.bin");
  milo_status status = MILO_OK;
  int code = EXIT_OK;
  if (!path)
    code = fail_text("out of memory");
  else if (j->tokenizer)
    status = milo_tokenizer_save(j->ctx, j->tokenizer, path);
  else if (remove(path) != 0 && errno != ENOENT)
    code = fail_text("cannot remove '%s': %s", path, strerror(errno));
  if (status != MILO_OK) code = fail_with(j->ctx, status);
  free(path);
  return code;
}

typedef struct watcher {
  const request *request;
  job *job;
  int saved;  // exit code of writing the tokenizer, at the first step
  bool save_done;
  progress progress;
} watcher;

static bool on_step(void *user, const milo_train_report *r) {
  watcher *w = user;
  if (!w->save_done) w->saved = save_tokenizer(w->request, w->job);
  w->save_done = true;
  progress_step(&w->progress, r);
  return w->saved == EXIT_OK && !stop_requested();
}

static void print_json(const milo_train_result *result, uint64_t parameters, bool stopped) {
  const milo_train_report *r = &result->last;
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"loss", r->loss},
                 {"grad_norm", r->grad_norm},
                 {"val_loss", r->val_loss},
                 {"best_val_loss", result->best_val_loss},
                 {"learning_rate", r->learning_rate},
                 {"tokens_per_second", r->tokens_per_second},
                 {"step_seconds", r->step_s}};
  printf("{\"step\": %" PRIu64 ", \"steps\": %" PRIu64 ", \"stopped\": %s, \"tokens\": %" PRIu64
         ", \"parameters\": %" PRIu64 ", \"peak_memory_bytes\": %" PRIu64,
         r->step, r->steps, stopped ? "true" : "false", r->tokens, parameters,
         result->peak_memory_bytes);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    printf(", \"%s\": ", numbers[i].name);
    json_number(stdout, numbers[i].value);
  }
  printf("}\n");
}

// ---- options ----

// "Not given" is 0 to the library and a number of its own here; 0, given, is "off" to those
// options that can be off, which the library writes as a negative number.
static bool off_or_number(double given, bool can_be_off, double *out) {
  if (isnan(given)) {
    *out = 0;
    return true;
  }
  *out = given == 0 ? -1 : given;
  return given > 0 || (given == 0 && can_be_off);
}

static int fill_options(const command *cmd, const request *r, milo_train_options *o) {
  const struct {
    const char *name;
    double given;
    bool can_be_off;
    double *out;
  } numbers[] = {{"--lr", r->lr, false, &o->lr},
                 {"--min-lr-ratio", r->min_lr_ratio, true, &o->min_lr_ratio},
                 {"--beta1", r->beta1, false, &o->beta1},
                 {"--beta2", r->beta2, false, &o->beta2},
                 {"--epsilon", r->epsilon, false, &o->epsilon},
                 {"--weight-decay", r->weight_decay, true, &o->weight_decay},
                 {"--clip", r->clip, true, &o->clip},
                 {"--val-fraction", r->val_fraction, true, &o->val_fraction}};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!off_or_number(numbers[i].given, numbers[i].can_be_off, numbers[i].out))
      return usage_error(cmd, "%s takes a number %s 0", numbers[i].name,
                         numbers[i].can_be_off ? "from" : "above");
  size_t batch = 0, seq = 0, accumulate = 0, eval_batches = 0;
  const struct {
    const char *name;
    uint64_t given;
    uint64_t *count;  // one of the two
    size_t *size;
  } counts[] = {{"--steps", r->steps, &o->steps, NULL},
                {"--warmup", r->warmup, &o->warmup, NULL},
                {"--stop-after", r->stop_after, &o->stop_after, NULL},
                {"--eval-every", r->eval_every, &o->eval_every, NULL},
                {"--save-every", r->save_every, &o->save_every, NULL},
                {"--batch", r->batch, NULL, &batch},
                {"--seq", r->seq, NULL, &seq},
                {"--accumulate", r->accumulate, NULL, &accumulate},
                {"--eval-batches", r->eval_batches, NULL, &eval_batches}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    if (counts[i].given == NOT_GIVEN) continue;
    if (counts[i].given == 0) return usage_error(cmd, "%s is at least 1", counts[i].name);
    if (counts[i].count) *counts[i].count = counts[i].given;
    if (counts[i].size) *counts[i].size = (size_t)counts[i].given;
  }
  o->batch = batch;
  o->seq = seq;
  o->accumulate = accumulate;
  o->eval_batches = eval_batches;
  o->seed = r->seed;
  o->device = r->device;
  o->out_dir = r->out;
  o->resume = r->resume;
  o->force = r->force;
  return EXIT_OK;
}

// ---- model, tokenizer, data ----

// The model's shape: from --init, --model, the folder that is resumed, or the smallest built-in.
static milo_status choose_model(const request *r, job *j, milo_model_config *out_config) {
  if (r->init) {
    const milo_status status = milo_model_load(j->ctx, r->init, &j->model);
    if (status == MILO_OK) milo_model_get_config(j->model, out_config);
    return status;
  }
  const char *name = r->model ? r->model : r->resume ? r->out : milo_model_name(0);
  const milo_status status = milo_model_config_load(j->ctx, name, out_config);
  if (status == MILO_OK && r->vocab != NOT_GIVEN) out_config->vocab = (int64_t)r->vocab;
  return status;
}

static milo_status train_tokenizer(job *j, size_t vocab) {
  milo_status status = load_text(j->ctx, &j->data);
  if (status == MILO_OK)
    status = learn_tokenizer(j->ctx, j->data.text, j->data.text_bytes, vocab, &j->tokenizer);
  if (status == MILO_OK)
    note("tokenizer: %zu tokens learnt from %zu bytes", milo_tokenizer_vocab(j->tokenizer),
         j->data.text_bytes);
  return status;
}

// The tokenizer must be the one that the model's weights, if it has some, were trained with.
static int check_tokenizer(const command *cmd, const request *r, const job *j,
                           const milo_model_config *config) {
  const char *weights = r->init ? r->init : r->resume ? r->out : NULL;
  if (!j->tokenizer && weights && !j->data.is_tokens)
    return usage_error(cmd,
                       "%s needs the tokenizer of %" PRId64
                       " tokens that its weights were trained with: --tokenizer FILE",
                       weights, config->vocab);
  if (j->tokenizer && (int64_t)milo_tokenizer_vocab(j->tokenizer) > config->vocab)
    return fail_text("the tokenizer %s%s has %zu tokens, the model's vocabulary %" PRId64,
                     r->tokenizer ? r->tokenizer : weights, r->tokenizer ? "" : "/tokenizer.bin",
                     milo_tokenizer_vocab(j->tokenizer), config->vocab);
  return EXIT_OK;
}

static int prepare(const command *cmd, const request *r, job *j) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_status status = choose_model(r, j, &config);
  if (status == MILO_OK)
    status = find_tokenizer(j->ctx, r->tokenizer, r->init ? r->init : (r->resume ? r->out : NULL),
                            &j->tokenizer);
  if (status != MILO_OK) return fail_with(j->ctx, status);
  // The default model is made to fit the tokenizer; one that was asked for is left as it is.
  if (j->tokenizer && !r->model && !r->init && !r->resume && r->vocab == NOT_GIVEN)
    config.vocab = (int64_t)milo_tokenizer_vocab(j->tokenizer);
  const int code = check_tokenizer(cmd, r, j, &config);
  if (code != EXIT_OK) return code;
  if (!j->tokenizer && !j->data.is_tokens) status = train_tokenizer(j, (size_t)config.vocab);
  if (status == MILO_OK) status = load_tokens(j->ctx, (size_t)config.vocab, j->tokenizer, &j->data);
  if (status == MILO_OK && !j->model)
    status = milo_model_create(j->ctx, &config, r->seed, &j->model);
  return status == MILO_OK ? EXIT_OK : fail_with(j->ctx, status);
}

static int train(const request *r, job *j, milo_train_options *options) {
  watcher w = {.request = r, .job = j};
  options->on_step = on_step;
  options->stop = stop_asked;
  options->user = &w;
  milo_train_result result;
  const uint64_t parameters = milo_model_parameter_count(j->model);
  note("model: %.2f M parameters; data: %zu tokens", (double)parameters / 1e6, j->data.count);
  const char *obstacle = milo_model_save_obstacle(j->model);
  if (r->out && obstacle)
    note("model.bin is not written: a llama2.c file cannot hold this model (%s)", obstacle);
  if (!r->out) note("nothing is kept: no folder was given with --out DIR");
  progress_begin(&w.progress, 0);
  stop_on_signal(STOPPING_AFTER_STEP);
  milo_status status = milo_train(j->ctx, j->model, j->data.ids, j->data.count, options, &result);
  const bool stopped = status == MILO_ERR_INTERRUPTED;
  stop_on_signal(STOPPING);
  if (w.saved != EXIT_OK) return EXIT_FAILED;
  if (stopped) fail_with(j->ctx, status);
  if ((status == MILO_OK || stopped) && r->json) print_json(&result, parameters, stopped);
  if (status == MILO_OK && !w.save_done)
    note("the run is finished, at step %" PRIu64 "; --steps N makes it longer", result.last.step);
  if (stopped) return finish_stdout() == EXIT_OK ? EXIT_STOPPED : EXIT_FAILED;
  return status == MILO_OK ? finish_stdout() : fail_with(j->ctx, status);
}

int cmd_train(int argc, char **argv) {
  static const command cmd = {
      "train",
      "train --data FILE [options]",
      "Trains a model on a text or on a token stream (.u16, .u32, .tokens, .bin) with AdamW. A "
      "text\n"
      "needs no more: a tokenizer is learnt from it unless one is given. The folder --out gets\n"
      "checkpoint.milo (to resume from), model.bin (llama2.c), model.json, tokenizer.bin and\n"
      "metrics.jsonl (a line a step); one that holds a run needs --resume or --force. Ctrl-C saves "
      "and\n"
      "stops, with exit code 130.",
      "  milo train --data stories.txt --out out --steps 2000\n"
      "  milo train --data stories.txt --out out --resume\n"
      "  milo train --data stories.txt --out out --resume --steps 4000\n"
      "  zcat stories.txt.gz | milo train --data - --out out\n"
      "  milo train --data tok512.u16 --model stories260K --out out --batch 16 --seq 256\n",
      0,
      0};
  const double nan_value = (double)NAN;
  request r = {.vocab = NOT_GIVEN,
               .steps = NOT_GIVEN,
               .stop_after = NOT_GIVEN,
               .batch = NOT_GIVEN,
               .seq = NOT_GIVEN,
               .accumulate = NOT_GIVEN,
               .warmup = NOT_GIVEN,
               .eval_every = NOT_GIVEN,
               .eval_batches = NOT_GIVEN,
               .save_every = NOT_GIVEN,
               .lr = nan_value,
               .min_lr_ratio = nan_value,
               .beta1 = nan_value,
               .beta2 = nan_value,
               .epsilon = nan_value,
               .weight_decay = nan_value,
               .clip = nan_value,
               .val_fraction = nan_value};
  const option options[] = {
      {"--data", NULL, OPTION_INPUT, &r.data, "FILE", "text or tokens to train on"},
      {"--tokens", NULL, OPTION_FLAG, &r.tokens, NULL, "--data holds tokens, whatever its name"},
      {"--out", "-o", OPTION_STRING, &r.out, "DIR", "folder for the results (default: none kept)"},
      {"--model", "-m", OPTION_INPUT, &r.model, "NAME|FILE",
       "built-in model or description (default stories260K)"},
      {"--init", NULL, OPTION_INPUT, &r.init, "MODEL", "start from these weights (.bin or folder)"},
      {"--tokenizer", "-t", OPTION_INPUT, &r.tokenizer, "FILE", "tokenizer.bin for a text"},
      {"--vocab", NULL, OPTION_COUNT, &r.vocab, "N",
       "tokens of model and learnt tokenizer (default: the model's)"},
      {"--resume", NULL, OPTION_FLAG, &r.resume, NULL, "go on from --out's checkpoint"},
      {"--force", NULL, OPTION_FLAG, &r.force, NULL, "replace the run that --out holds"},
      {"--steps", "-n", OPTION_COUNT, &r.steps, "N",
       "optimizer steps (default 1000); with --resume also more than before"},
      {"--stop-after", NULL, OPTION_COUNT, &r.stop_after, "N", "save and stop after step N"},
      {"--batch", "-b", OPTION_COUNT, &r.batch, "B", "sequences at a time (default 8)"},
      {"--seq", NULL, OPTION_COUNT, &r.seq, "S", "tokens a sequence (default: the model's)"},
      {"--accumulate", NULL, OPTION_COUNT, &r.accumulate, "N", "batches a step (default 1)"},
      {"--lr", NULL, OPTION_NUMBER, &r.lr, "R", "peak learning rate (default 1e-3)"},
      {"--min-lr-ratio", NULL, OPTION_NUMBER, &r.min_lr_ratio, "F",
       "end of the cosine over its peak (default 0.1)"},
      {"--warmup", NULL, OPTION_COUNT, &r.warmup, "N",
       "steps of warm-up (default 100, at most steps / 10)"},
      {"--beta1", NULL, OPTION_NUMBER, &r.beta1, "B", "AdamW (default 0.9)"},
      {"--beta2", NULL, OPTION_NUMBER, &r.beta2, "B", "AdamW (default 0.95)"},
      {"--epsilon", NULL, OPTION_NUMBER, &r.epsilon, "E", "AdamW (default 1e-8)"},
      {"--weight-decay", NULL, OPTION_NUMBER, &r.weight_decay, "D",
       "of matrices (default 0.1, 0: off)"},
      {"--clip", NULL, OPTION_NUMBER, &r.clip, "G", "largest gradient norm (default 1, 0: off)"},
      {"--seed", "-s", OPTION_COUNT, &r.seed, "K", "of weights and data order (default 0)"},
      {"--val-fraction", NULL, OPTION_NUMBER, &r.val_fraction, "F",
       "last part of the tokens held back (default 0.05)"},
      {"--eval-every", NULL, OPTION_COUNT, &r.eval_every, "N", "steps (default 250)"},
      {"--eval-batches", NULL, OPTION_COUNT, &r.eval_batches, "N", "batches (default 20)"},
      {"--save-every", NULL, OPTION_COUNT, &r.save_every, "N", "steps (default: --eval-every)"},
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "cpu or ref (default cpu)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (!r.data) return usage_error(&cmd, "--data FILE is needed");
  if (r.model && r.init) return usage_error(&cmd, "--model and --init exclude each other");
  if (r.init && r.vocab != NOT_GIVEN)
    return usage_error(&cmd, "--vocab is part of what --init reads");
  if (r.resume && r.force) return usage_error(&cmd, "--resume and --force exclude each other");
  if (r.force && !r.out) return usage_error(&cmd, "--force needs --out DIR");
  if (r.resume && !r.out) return usage_error(&cmd, "--resume needs --out DIR");
  if (r.vocab != NOT_GIVEN && (r.vocab < 1 || r.vocab > (1u << 26)))
    return usage_error(&cmd, "--vocab is a number from 1 to %u", 1u << 26);
  milo_train_options train_options = MILO_OPTIONS_INIT(milo_train_options);
  code = fill_options(&cmd, &r, &train_options);
  if (code != EXIT_OK) return code;
  r.json = common.json;
  job j = {.ctx = open_ctx(&common),
           .data = {.path = r.data, .is_tokens = r.tokens || is_token_file(r.data)}};
  if (!j.ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  // Asked before anything is learnt, and once more when training begins.
  const milo_status may = milo_train_check(j.ctx, &train_options);
  code = may == MILO_OK ? EXIT_OK : fail_with(j.ctx, may);
  if (code == EXIT_OK && r.out && !r.resume && !r.force) {
    static const char *const names[] = {"tokenizer.bin", "model.json", NULL};
    const char *given[3] = {0};  // what is read from there
    size_t count = 0;
    if (r.tokenizer) given[count++] = r.tokenizer;
    if (r.model) given[count++] = r.model;
    code = refuse_replacing(r.out, names, given);
  }
  if (code == EXIT_OK) code = prepare(&cmd, &r, &j);
  if (code == EXIT_OK) code = train(&r, &j, &train_options);
  release_data(&j.data);
  milo_tokenizer_destroy(j.tokenizer);
  milo_model_destroy(j.model);
  milo_ctx_destroy(j.ctx);
  return code;
}
