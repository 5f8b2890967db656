// SPDX-License-Identifier: MIT
// milo fit: trains the constants of a MIL program.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "precision.h"
#include "progress.h"
#include "training.h"

typedef struct request {
  training_request training;
  string_list data;
  const char *function, *loss, *trainable, *optimizer, *schedule;
  bool cast, shuffle;
  double momentum;
} request;

typedef struct job {
  milo_ctx *ctx;
  milo_program *program;
  milo_fit_data *data;
  milo_array *arrays;
  char **names;
  size_t count;
  progress progress;
  bool stepped;
} job;

static bool on_step(void *user, const milo_train_report *r) {
  job *j = user;
  j->stepped = true;
  progress_step(&j->progress, r);
  return !stop_requested();
}

// ---- options ----

static bool one_of(const char *text, const char *first, const char *second, bool *out_is_second) {
  *out_is_second = text && strcmp(text, second) == 0;
  return !text || *out_is_second || strcmp(text, first) == 0;
}

static int fill_options(const command *cmd, const request *r, milo_fit_options *o) {
  bool sgd;
  if (!one_of(r->optimizer, "adamw", "sgd", &sgd))
    return usage_error(cmd, "--optimizer is adamw or sgd");
  if (!one_of(r->schedule, "constant", "cosine", &o->cosine))
    return usage_error(cmd, "--schedule is constant or cosine");
  o->optimizer = sgd ? MILO_FIT_SGD : MILO_FIT_ADAMW;
  milo_train_options t = MILO_OPTIONS_INIT(milo_train_options);
  const int code = training_fill(cmd, &r->training, &t);
  o->function = r->function;
  o->loss = r->loss;
  o->trainable = r->trainable;
  o->cast = r->cast;
  o->shuffle = r->shuffle;
  o->momentum = r->momentum;
  o->precision = t.precision;
  o->loss_scale = t.loss_scale;
  o->device = t.device;
  o->out_dir = t.out_dir;
  o->resume = t.resume;
  o->force = t.force;
  o->steps = t.steps;
  o->stop_after = t.stop_after;
  o->batch = t.batch;
  o->accumulate = t.accumulate;
  o->lr = t.lr;
  o->min_lr_ratio = t.min_lr_ratio;
  o->warmup = t.warmup;
  o->beta1 = t.beta1;
  o->beta2 = t.beta2;
  o->epsilon = t.epsilon;
  o->weight_decay = t.weight_decay;
  o->clip = t.clip;
  o->seed = t.seed;
  o->val_fraction = t.val_fraction;
  o->eval_every = t.eval_every;
  o->eval_batches = t.eval_batches;
  o->save_every = t.save_every;
  return code;
}

// ---- data ----

// Each of --data is NAME=FILE, or several of them with commas between.
static int load_data(const command *cmd, const request *r, job *j) {
  size_t most = 0;
  for (size_t i = 0; i < r->data.count; i++) {
    most++;
    for (const char *c = r->data.items[i]; *c != '\0'; c++) most += *c == ',';
  }
  j->data = calloc(most, sizeof *j->data);
  j->arrays = calloc(most, sizeof *j->arrays);
  j->names = calloc(most, sizeof *j->names);
  if (!j->data || !j->arrays || !j->names) return fail_text("out of memory");
  for (size_t i = 0; i < r->data.count; i++)
    for (const char *at = r->data.items[i]; *at != '\0';) {
      const size_t bytes = strcspn(at, ",");
      char *name = strndup(at, bytes);
      if (!name) return fail_text("out of memory");
      j->names[j->count] = name;
      char *equals = strchr(name, '=');
      if (!equals || equals == name || equals[1] == '\0') {
        j->count++;
        return usage_error(cmd, "--data takes NAME=FILE,..., not '%s'", name);
      }
      *equals = '\0';
      const char *path = input_path(equals + 1);
      j->data[j->count] = (milo_fit_data){name, &j->arrays[j->count]};
      milo_array *array = &j->arrays[j->count++];
      if (!path) return EXIT_USAGE;
      const milo_status status = milo_npy_load(j->ctx, path, array);
      if (status != MILO_OK) return fail_with(j->ctx, status);
      at += bytes + (at[bytes] == ',');
    }
  return EXIT_OK;
}

static int fit(const request *r, job *j, milo_fit_options *options) {
  options->on_step = on_step;
  options->stop = stop_asked;
  options->user = j;
  milo_train_result result;
  if (!r->training.out) note("nothing is kept: no folder was given with --out DIR");
  progress_begin(&j->progress, 0);
  j->progress.unit = "rows";
  stop_on_signal(STOPPING_AFTER_STEP);
  const milo_status status =
      milo_fit(j->ctx, j->program, j->data, j->count, options, NULL, &result);
  stop_on_signal(STOPPING);
  const training_end end = {
      .status = status, .result = &result, .stepped = j->stepped, .unit = "rows"};
  return training_finish(j->ctx, &r->training, &end);
}

static int run(const command *cmd, const request *r, const char *path, job *j,
               milo_fit_options *options) {
  const milo_train_options folder = {.struct_bytes = sizeof folder,
                                     .out_dir = r->training.out,
                                     .resume = r->training.resume,
                                     .force = r->training.force};
  stop_on_signal(STOPPING);
  milo_status status = milo_train_check(j->ctx, &folder);
  if (status == MILO_OK) status = milo_program_load(j->ctx, path, &j->program);
  if (status != MILO_OK) return fail_with(j->ctx, status);
  const int code = load_data(cmd, r, j);
  return code == EXIT_OK ? fit(r, j, options) : code;
}

int cmd_fit(int argc, char **argv) {
  static const command cmd = {
      "fit",
      "fit FILE.mil --data NAME=FILE.npy,... --loss LOSS [options]",
      "Trains the floating-point constants of a MIL program (those above 64 elements, and those\n"
      "that --trainable names) to make a loss small. LOSS is an output of one number, or\n"
      "mse:OUTPUT=TARGET or cross_entropy:OUTPUT=TARGET, whose TARGET is data too. Batches are "
      "cut\n"
      "from the arrays' first axis in order, wrapping round. The folder --out gets program.mil\n"
      "with its weight file (the program with new constants), checkpoint.milo (to resume from) "
      "and\n"
      "metrics.jsonl (a line a step); one that holds a run needs --resume or --force. Ctrl-C "
      "saves\n"
      "and stops, with exit code 130.",
      "  milo fit net.mil --data x=x.npy,t=t.npy --loss mse:y=t --out out --steps 500\n"
      "  milo fit net.mil --data x=x.npy,t=t.npy --loss mse:y=t --out out --resume --steps 900\n"
      "  milo fit net.mil --data ids=x.npy --data t=t.npy --loss cross_entropy:logits=t \\\n"
      "    --trainable '*,!embedding*' --shuffle --val-fraction 0.1 --out out\n"
      "  milo run out/program.mil -i x=new.npy\n",
      1,
      1};
  request r = {.training = training_nothing_given()};
  const option options[] = {
      {"--data", NULL, OPTION_LIST, &r.data, "NAME=FILE,...",
       ".npy files for inputs and target; the first axis counts rows"},
      {"--cast", NULL, OPTION_FLAG, &r.cast, NULL, "round data that does not fit exactly"},
      {"--loss", "-l", OPTION_STRING, &r.loss, "LOSS",
       "OUTPUT, mse:OUTPUT=TARGET or cross_entropy:OUTPUT=TARGET"},
      {"--function", NULL, OPTION_STRING, &r.function, "NAME", "function (default: the first)"},
      {"--trainable", NULL, OPTION_STRING, &r.trainable, "PATTERN,...",
       "names to train too, '!PATTERN' not to; '*': all tensors"},
      {"--out", "-o", OPTION_STRING, &r.training.out, "DIR",
       "folder for the results (default: none kept)"},
      {"--resume", NULL, OPTION_FLAG, &r.training.resume, NULL, "go on from --out's checkpoint"},
      {"--force", NULL, OPTION_FLAG, &r.training.force, NULL, "replace the run that --out holds"},
      {"--steps", "-n", OPTION_COUNT, &r.training.steps, "N",
       "optimizer steps (default 1000); with --resume also more than before"},
      {"--stop-after", NULL, OPTION_COUNT, &r.training.stop_after, "N",
       "save and stop after step N"},
      {"--batch", "-b", OPTION_COUNT, &r.training.batch, "B",
       "rows at a time, where the inputs leave it open (default 8)"},
      {"--accumulate", NULL, OPTION_COUNT, &r.training.accumulate, "N",
       "batches a step (default 1)"},
      {"--shuffle", NULL, OPTION_FLAG, &r.shuffle, NULL, "rows in another order every epoch"},
      {"--optimizer", NULL, OPTION_STRING, &r.optimizer, "NAME", "adamw (default) or sgd"},
      {"--lr", NULL, OPTION_NUMBER, &r.training.lr, "R", "learning rate (default 1e-3)"},
      {"--schedule", NULL, OPTION_STRING, &r.schedule, "NAME", "constant (default) or cosine"},
      {"--min-lr-ratio", NULL, OPTION_NUMBER, &r.training.min_lr_ratio, "F",
       "end of the cosine over its start (default 0.1)"},
      {"--warmup", NULL, OPTION_COUNT, &r.training.warmup, "N", "steps of warm-up (default none)"},
      {"--beta1", NULL, OPTION_NUMBER, &r.training.beta1, "B", "AdamW (default 0.9)"},
      {"--beta2", NULL, OPTION_NUMBER, &r.training.beta2, "B", "AdamW (default 0.999)"},
      {"--epsilon", NULL, OPTION_NUMBER, &r.training.epsilon, "E", "AdamW (default 1e-8)"},
      {"--momentum", NULL, OPTION_NUMBER, &r.momentum, "M", "SGD (default 0)"},
      {"--weight-decay", NULL, OPTION_NUMBER, &r.training.weight_decay, "D",
       "of rank 2 and more (default 0.01, SGD 0)"},
      {"--clip", NULL, OPTION_NUMBER, &r.training.clip, "G",
       "largest gradient norm (default 0: off)"},
      {"--seed", "-s", OPTION_COUNT, &r.training.seed, "K", "of --shuffle (default 0)"},
      {"--val-fraction", NULL, OPTION_NUMBER, &r.training.val_fraction, "F",
       "last part of the rows held back (default none)"},
      {"--eval-every", NULL, OPTION_COUNT, &r.training.eval_every, "N", "steps (default 250)"},
      {"--eval-batches", NULL, OPTION_COUNT, &r.training.eval_batches, "N",
       "batches (default: all whole)"},
      {"--save-every", NULL, OPTION_COUNT, &r.training.save_every, "N",
       "steps (default: --eval-every)"},
      {"--precision", NULL, OPTION_STRING, &r.training.precision, "P", PRECISION_HELP},
      {"--loss-scale", NULL, OPTION_STRING, &r.training.loss_scale, "L", LOSS_SCALE_HELP},
      {"--device", "-d", OPTION_STRING, &r.training.device, "NAME", "cpu or ref (default cpu)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) {
    options_deinit(options);
    return code;
  }
  milo_fit_options fit_options = MILO_OPTIONS_INIT(milo_fit_options);
  if (r.data.count == 0)
    code = usage_error(&cmd, "--data NAME=FILE is needed");
  else if (!r.loss)
    code = usage_error(&cmd, "--loss is needed");
  else
    code = fill_options(&cmd, &r, &fit_options);
  job j = {0};
  r.training.json = common.json;
  if (code == EXIT_OK && !(j.ctx = open_ctx(&common))) code = EXIT_FAILED;
  if (code == EXIT_OK) code = run(&cmd, &r, argv[0], &j, &fit_options);
  for (size_t i = 0; i < j.count; i++) {
    milo_array_deinit(&j.arrays[i]);
    free(j.names[i]);
  }
  free(j.data);
  free(j.arrays);
  free(j.names);
  milo_program_destroy(j.program);
  milo_ctx_destroy(j.ctx);
  options_deinit(options);
  return code;
}
