// SPDX-License-Identifier: MIT
// milo train: a model from text or tokens.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "data.h"
#include "plan.h"
#include "precision.h"
#include "progress.h"
#include "training.h"

typedef struct request {
  training_request training;
  const char *data, *model, *init, *resume_from, *tokenizer, *plan, *task;
  const char *schedule, *optimizer, *random;
  bool tokens, compact_vocab;
  uint64_t vocab, seq, compile_budget, decay_steps;
} request;

// Beside exit codes: the compile budget is used up, a new process goes on.
enum { START_AGAIN = -1 };

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
  if (!r->training.out || (!j->tokenizer && !r->training.force)) return EXIT_OK;
  char *path = join_path(r->training.out, "tokenizer.bin");
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

// ---- model, tokenizer, data ----

// The model's shape: from --init, --model, the folder that is resumed, or the smallest built-in.
static milo_status choose_model(const request *r, job *j, milo_model_config *out_config) {
  if (r->init) {
    const milo_status status = milo_model_load(j->ctx, r->init, &j->model);
    if (status == MILO_OK) milo_model_get_config(j->model, out_config);
    return status;
  }
  const char *name = r->model             ? r->model
                     : r->training.resume ? r->training.out
                                          : milo_model_name(0);
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
  const char *weights = r->init ? r->init : r->training.resume ? r->training.out : NULL;
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
    status = find_tokenizer(j->ctx, r->tokenizer,
                            r->init ? r->init : (r->training.resume ? r->training.out : NULL),
                            &j->tokenizer);
  if (status != MILO_OK) return fail_with(j->ctx, status);
  // The default model is made to fit the tokenizer; one that was asked for is left as it is.
  if (j->tokenizer && !r->model && !r->init && !r->training.resume && r->vocab == NOT_GIVEN)
    config.vocab = (int64_t)milo_tokenizer_vocab(j->tokenizer);
  const int code = check_tokenizer(cmd, r, j, &config);
  if (code != EXIT_OK) return code;
  if (!j->tokenizer && !j->data.is_tokens) status = train_tokenizer(j, (size_t)config.vocab);
  if (status == MILO_OK) status = load_tokens(j->ctx, (size_t)config.vocab, j->tokenizer, &j->data);
  if (status == MILO_OK && !j->model) {
    status = milo_model_create(j->ctx, &config, r->training.seed, &j->model);
    if (status == MILO_OK && r->random && strcmp(r->random, "uniform") == 0)
      status = milo_model_init(j->ctx, j->model, MILO_INIT_UNIFORM, r->training.seed);
  }
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
  if (r->training.out && obstacle)
    note("model.bin is not written: a llama2.c file cannot hold this model (%s)", obstacle);
  if (!r->training.out) note("nothing is kept: no folder was given with --out DIR");
  progress_begin(&w.progress, 0);
  stop_on_signal(STOPPING_AFTER_STEP);
  const milo_status status =
      milo_train(j->ctx, j->model, j->data.ids, j->data.count, options, &result);
  stop_on_signal(STOPPING);
  if (w.saved != EXIT_OK) return EXIT_FAILED;
  if (status == MILO_ERR_INTERRUPTED && result.budget_spent) {
    note("%" PRIu64 " programs compiled: going on in a new process after step %" PRIu64,
         result.compiles, result.last.step);
    return START_AGAIN;
  }
  const training_end end = {.status = status,
                            .result = &result,
                            .stepped = w.save_done,
                            .unit = "tokens",
                            .parameters = parameters};
  return training_finish(j->ctx, &r->training, &end);
}

static int read_budget(const command *cmd, const request *r, milo_train_options *out) {
  if (r->compile_budget == NOT_GIVEN) return EXIT_OK;
  if (r->compile_budget == 0) return usage_error(cmd, "--compile-budget is at least 1");
  if (!r->training.out) return usage_error(cmd, "--compile-budget needs --out DIR");
  const char *const read[] = {r->data, r->model, r->init, r->tokenizer};
  for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
    struct stat info;
    if (read[i] && stat(read[i], &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
      return usage_error(cmd, "--compile-budget needs files: a new process reads %s again",
                         read[i]);
  }
  out->compile_budget = r->compile_budget;
  return EXIT_OK;
}

typedef struct regression {
  double first, last, seconds;
  uint64_t steps;
  bool quiet;
} regression;

static bool on_regression_step(void *user, const milo_train_report *r) {
  regression *g = user;
  if (r->step == 1) g->first = r->loss;
  g->last = r->loss;
  g->steps = r->step;
  g->seconds += r->step_s;
  if (!g->quiet && (r->step == 1 || r->step % 10 == 0 || r->step == r->steps))
    printf("step %-4" PRIu64 " loss %.6f  |gradient| %.4f  %.1f ms\n", r->step, r->loss,
           r->grad_norm, r->step_s * 1e3);
  return !stop_requested();
}

// What the trainer prints that this one stands for: loss by step, time a step, programs compiled.
static int regress(const request *r, const common_options *common, milo_train_options *options) {
  regression g = {.quiet = common->json || common->quiet};
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_train_result result;
  milo_ctx *ctx = open_ctx(common);
  if (!ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING_AFTER_STEP);
  options->on_step = on_regression_step;
  options->stop = stop_asked;
  options->user = &g;
  milo_status status =
      milo_model_config_load(ctx, r->model ? r->model : milo_model_name(0), &config);
  if (status == MILO_OK) status = milo_train_regression(ctx, &config, options, &result);
  int code = status == MILO_OK ? EXIT_OK : fail_with(ctx, status);
  const double steps = g.steps > 0 ? (double)g.steps : 1;
  if (code == EXIT_OK && common->json)
    printf("{\"steps\": %" PRIu64
           ", \"first_loss\": %.9g, \"loss\": %.9g, \"step_seconds\": %.6g, \"compiles\": %" PRIu64
           "}\n",
           g.steps, g.first, g.last, g.seconds / steps, result.compiles);
  else if (code == EXIT_OK)
    printf("loss %.6f to %.6f in %" PRIu64 " steps, %.1f ms a step, %" PRIu64
           " programs compiled\n",
           g.first, g.last, g.steps, g.seconds / steps * 1e3, result.compiles);
  milo_ctx_destroy(ctx);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}

// Names to the numbers of milo.h; not given: the default.
static int choose_kinds(const command *cmd, const request *r, milo_train_options *out) {
  static const char *const schedules[] = {"cosine", "linear", "constant", "wsd", NULL};
  static const char *const optimizers[] = {"adamw", "adam", NULL};
  int schedule = 0, optimizer = 0;
  while (r->schedule && schedules[schedule] && strcmp(schedules[schedule], r->schedule) != 0)
    schedule++;
  while (r->optimizer && optimizers[optimizer] && strcmp(optimizers[optimizer], r->optimizer) != 0)
    optimizer++;
  if (r->schedule && !schedules[schedule])
    return usage_error(cmd, "--schedule is cosine, linear, constant or wsd");
  if (r->optimizer && !optimizers[optimizer])
    return usage_error(cmd, "--optimizer is adamw or adam");
  if (r->random && strcmp(r->random, "normal") != 0 && strcmp(r->random, "uniform") != 0)
    return usage_error(cmd, "--random is normal or uniform");
  if (r->random && (r->init || r->training.resume))
    return usage_error(cmd, "--random is of weights that nothing else gives");
  if (r->decay_steps != NOT_GIVEN && r->decay_steps == 0)
    return usage_error(cmd, "--decay-steps is at least 1");
  if (r->schedule) out->schedule = (milo_schedule)(MILO_SCHEDULE_COSINE + schedule);
  if (r->optimizer) out->optimizer = (milo_optimizer_kind)(MILO_OPTIMIZER_ADAMW + optimizer);
  if (r->decay_steps != NOT_GIVEN) out->decay_steps = r->decay_steps;
  return EXIT_OK;
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
  request r = {.training = training_nothing_given(),
               .vocab = NOT_GIVEN,
               .seq = NOT_GIVEN,
               .compile_budget = NOT_GIVEN,
               .decay_steps = NOT_GIVEN};
  const option options[] = {
      {"--data", NULL, OPTION_INPUT, &r.data, "FILE", "text or tokens to train on"},
      {"--tokens", NULL, OPTION_FLAG, &r.tokens, NULL, "--data holds tokens, whatever its name"},
      {"--out", "-o", OPTION_STRING, &r.training.out, "DIR",
       "folder for the results (default: none kept)"},
      {"--model", "-m", OPTION_INPUT, &r.model, "NAME|FILE",
       "built-in model or description (default stories260K)"},
      {"--init", NULL, OPTION_INPUT, &r.init, "MODEL", "start from these weights (.bin or folder)"},
      {"--resume-from", NULL, OPTION_STRING, &r.resume_from, "FILE.blzt",
       "go on from a BLZT checkpoint: weights, moments, count of steps"},
      {"--random", NULL, OPTION_STRING, &r.random, "NAME",
       "first weights: normal (default) or uniform"},
      {"--tokenizer", "-t", OPTION_INPUT, &r.tokenizer, "FILE", "tokenizer.bin for a text"},
      {"--compact-vocab", NULL, OPTION_FLAG, &r.compact_vocab, NULL,
       "only tokens that occur take part; what is saved is whole"},
      {"--vocab", NULL, OPTION_COUNT, &r.vocab, "N",
       "tokens of model and learnt tokenizer (default: the model's)"},
      {"--resume", NULL, OPTION_FLAG, &r.training.resume, NULL, "go on from --out's checkpoint"},
      {"--force", NULL, OPTION_FLAG, &r.training.force, NULL, "replace the run that --out holds"},
      {"--steps", "-n", OPTION_COUNT, &r.training.steps, "N",
       "optimizer steps (default 1000); with --resume also more than before"},
      {"--stop-after", NULL, OPTION_COUNT, &r.training.stop_after, "N",
       "save and stop after step N"},
      {"--batch", "-b", OPTION_COUNT, &r.training.batch, "B", "sequences at a time (default 8)"},
      {"--seq", NULL, OPTION_COUNT, &r.seq, "S", "tokens a sequence (default: the model's)"},
      {"--accumulate", NULL, OPTION_COUNT, &r.training.accumulate, "N",
       "batches a step (default 1)"},
      {"--lr", NULL, OPTION_NUMBER, &r.training.lr, "R", "peak learning rate (default 1e-3)"},
      {"--min-lr-ratio", NULL, OPTION_NUMBER, &r.training.min_lr_ratio, "F",
       "end of the schedule over its peak (default 0.1)"},
      {"--warmup", NULL, OPTION_COUNT, &r.training.warmup, "N",
       "steps of warm-up (default 100, at most steps / 10)"},
      {"--schedule", NULL, OPTION_STRING, &r.schedule, "NAME",
       "cosine (default), linear, constant or wsd (falls at the end only)"},
      {"--decay-steps", NULL, OPTION_COUNT, &r.decay_steps, "N",
       "wsd: steps over which it falls (default steps / 5)"},
      {"--optimizer", NULL, OPTION_STRING, &r.optimizer, "NAME", "adamw (default) or adam"},
      {"--beta1", NULL, OPTION_NUMBER, &r.training.beta1, "B", "Adam's (default 0.9)"},
      {"--beta2", NULL, OPTION_NUMBER, &r.training.beta2, "B",
       "Adam's (default 0.95, of adam 0.999)"},
      {"--epsilon", NULL, OPTION_NUMBER, &r.training.epsilon, "E", "Adam's (default 1e-8)"},
      {"--weight-decay", NULL, OPTION_NUMBER, &r.training.weight_decay, "D",
       "of matrices (default 0.1, of adam 0; 0: off)"},
      {"--clip", NULL, OPTION_NUMBER, &r.training.clip, "G",
       "largest gradient norm (default 1, 0: off)"},
      {"--seed", "-s", OPTION_COUNT, &r.training.seed, "K",
       "of weights and data order (default 0)"},
      {"--val-fraction", NULL, OPTION_NUMBER, &r.training.val_fraction, "F",
       "last part of the tokens held back (default 0.05)"},
      {"--eval-every", NULL, OPTION_COUNT, &r.training.eval_every, "N", "steps (default 250)"},
      {"--eval-batches", NULL, OPTION_COUNT, &r.training.eval_batches, "N", "batches (default 20)"},
      {"--save-every", NULL, OPTION_COUNT, &r.training.save_every, "N",
       "steps (default: --eval-every)"},
      {"--precision", NULL, OPTION_STRING, &r.training.precision, "P", PRECISION_HELP},
      {"--loss-scale", NULL, OPTION_STRING, &r.training.loss_scale, "L", LOSS_SCALE_HELP},
      {"--task", NULL, OPTION_STRING, &r.task, "regression",
       "instead of a text: one layer learns made-up numbers, to try out a device"},
      {"--plan", NULL, OPTION_STRING, &r.plan, "P", PLAN_HELP},
      {"--compile-budget", NULL, OPTION_COUNT, &r.compile_budget, "N",
       "programs a process may compile; then it saves, and a new one goes on (default: any "
       "number)"},
      {"--device", "-d", OPTION_STRING, &r.training.device, "NAME", "cpu or ref (default cpu)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (r.task && strcmp(r.task, "regression") != 0)
    return usage_error(&cmd, "--task is regression, not '%s'", r.task);
  if (r.task && (r.data || r.init || r.resume_from || r.training.out))
    return usage_error(&cmd, "--task regression takes no --data, --init, --resume-from or --out");
  if (!r.data && !r.task) return usage_error(&cmd, "--data FILE is needed");
  if (r.model && r.init) return usage_error(&cmd, "--model and --init exclude each other");
  if (r.resume_from && (r.model || r.init || r.training.resume))
    return usage_error(&cmd, "--resume-from excludes --model, --init and --resume");
  if (r.resume_from) r.init = r.resume_from;
  if (r.init && r.vocab != NOT_GIVEN)
    return usage_error(&cmd, "--vocab is part of what --%s reads",
                       r.resume_from ? "resume-from" : "init");
  if (r.vocab != NOT_GIVEN && (r.vocab < 1 || r.vocab > (1u << 26)))
    return usage_error(&cmd, "--vocab is a number from 1 to %u", 1u << 26);
  milo_train_options train_options = MILO_OPTIONS_INIT(milo_train_options);
  if (was_started_again()) {  // the folder holds this very run
    r.training.resume = true;
    r.training.force = false;
    r.resume_from = r.random = NULL;
  }
  code = training_fill(&cmd, &r.training, &train_options);
  if (code != EXIT_OK) return code;
  if (r.seq == 0) return usage_error(&cmd, "--seq is at least 1");
  code = choose_kinds(&cmd, &r, &train_options);
  if (code != EXIT_OK) return code;
  train_options.resume_from = r.resume_from;
  train_options.compact_vocab = r.compact_vocab;
  train_options.seq = r.seq == NOT_GIVEN ? 0 : (size_t)r.seq;
  code = read_plan(&cmd, r.plan, &train_options.plan);
  if (code == EXIT_OK) code = read_budget(&cmd, &r, &train_options);
  if (code != EXIT_OK) return code;
  r.training.json = common.json;
  if (r.task) return regress(&r, &common, &train_options);
  job j = {.ctx = open_ctx(&common),
           .data = {.path = r.data, .is_tokens = r.tokens || is_token_file(r.data)}};
  if (!j.ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  // Asked before anything is learnt, and once more when training begins.
  const milo_status may = milo_train_check(j.ctx, &train_options);
  code = may == MILO_OK ? EXIT_OK : fail_with(j.ctx, may);
  if (code == EXIT_OK && r.training.out && !r.training.resume && !r.training.force) {
    static const char *const names[] = {"tokenizer.bin", "model.json", NULL};
    const char *given[3] = {0};  // what is read from there
    size_t count = 0;
    if (r.tokenizer) given[count++] = r.tokenizer;
    if (r.model) given[count++] = r.model;
    code = refuse_replacing(r.training.out, names, given);
  }
  if (code == EXIT_OK) code = prepare(&cmd, &r, &j);
  if (code == EXIT_OK) code = train(&r, &j, &train_options);
  release_data(&j.data);
  milo_tokenizer_destroy(j.tokenizer);
  milo_model_destroy(j.model);
  milo_ctx_destroy(j.ctx);
  return code == START_AGAIN ? start_again() : code;
}
