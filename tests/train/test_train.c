// SPDX-License-Identifier: MIT
// Training through the public header, on every device: resuming, threads, accumulation, what is
// refused, memory.
#include <dirent.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <milo/milo.h>
#include <sys/stat.h>

#include "folder.h"
#include "tap.h"

enum { VOCAB = 40, TOKENS = 3000 };

static uint32_t ids[TOKENS];

// Something to learn: a noisy cycle.
static void make_ids(void) {
  uint32_t state = 1;
  for (size_t i = 0; i < TOKENS; i++) {
    state = state * 1664525u + 1013904223u;
    ids[i] = state >> 30 ? (uint32_t)(i * 7 % VOCAB) : (state >> 8) % VOCAB;
  }
}

static milo_model_config tiny(void) {
  return (milo_model_config){.struct_bytes = sizeof(milo_model_config),
                             .dim = 12,
                             .hidden = 20,
                             .layers = 2,
                             .heads = 2,
                             .kv_heads = 1,
                             .head_dim = 6,
                             .seq = 10,
                             .vocab = VOCAB};
}

static milo_train_options options_for(const char *device) {
  return (milo_train_options){.struct_bytes = sizeof(milo_train_options),
                              .device = device,
                              .steps = 20,
                              .batch = 3,
                              .seq = 9,
                              .lr = 1e-2,
                              .seed = 11,
                              .eval_every = 5,
                              .eval_batches = 2,
                              .save_every = 4};
}

static milo_ctx *context(int threads) {
  const milo_ctx_options options = {.struct_bytes = sizeof options, .threads = threads};
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(&options, &ctx) == MILO_OK);
  return ctx;
}

// Trains a new model; the result's status is returned, and a line of the message if it failed.
static milo_status train(milo_ctx *ctx, const milo_model_config *config,
                         const milo_train_options *options, milo_train_result *out_result) {
  milo_model *model = NULL;
  if (!CHECK(milo_model_create(ctx, config, 5, &model) == MILO_OK)) return MILO_ERR_INVALID;
  const milo_status status = milo_train(ctx, model, ids, TOKENS, options, out_result);
  milo_model_destroy(model);
  return status;
}

// Every file of a is in b and equal, and b has no other.
static bool same_folder(const char *a, const char *b) {
  size_t counts[2] = {0};
  bool same = true;
  for (int i = 0; i < 2; i++) {
    DIR *dir = opendir(i ? b : a);
    for (struct dirent *e; dir && (e = readdir(dir));) {
      if (e->d_name[0] == '.') continue;
      counts[i]++;
      char x[1024], y[1024];
      snprintf(x, sizeof x, "%s/%s", a, e->d_name);
      snprintf(y, sizeof y, "%s/%s", b, e->d_name);
      if (i == 0 && !same_file(x, y)) {
        printf("# %s differs from %s\n", x, y);
        same = false;
      }
    }
    if (dir) closedir(dir);
  }
  return same && counts[0] == counts[1] && counts[0] >= 3;
}

static bool stop_at_13(void *user, const milo_train_report *report) {
  (void)user;
  return report->step != 13;
}

static void check_resume(const char *device, const milo_model_config *config,
                         milo_train_options options, const char *name) {
  milo_ctx *one = context(1), *three = context(3);
  char whole[64], parts[64];
  snprintf(whole, sizeof whole, "%s-%s-whole", device, name);
  snprintf(parts, sizeof parts, "%s-%s-parts", device, name);
  milo_train_result result;
  options.out_dir = in_folder(whole);
  if (!CHECK(train(one, config, &options, &result) == MILO_OK)) printf("# %s\n", milo_error(one));
  CHECK(result.last.step == 20 && result.last.loss < 3.6);
  CHECK(!isnan(result.last.val_loss) && result.best_val_loss <= result.last.val_loss);

  options.out_dir = in_folder(parts);
  milo_train_options part = options;
  part.stop_after = 7;
  CHECK(train(three, config, &part, &result) == MILO_OK && result.last.step == 7);
  part = options;
  part.resume = true;
  part.on_step = stop_at_13;
  CHECK(train(one, config, &part, &result) == MILO_ERR_INTERRUPTED);
  CHECK(strstr(milo_error(one), "after step 13 of 20, the state is saved") != NULL);
  // What the run is made of comes from the checkpoint.
  part = (milo_train_options){
      .struct_bytes = sizeof part, .device = device, .resume = true, .out_dir = options.out_dir};
  if (!CHECK(train(three, config, &part, &result) == MILO_OK && result.last.step == 20))
    printf("# %s\n", milo_error(three));
  CHECK(same_folder(in_folder(whole), in_folder(parts)));
  CHECK(train(one, config, &part, &result) == MILO_OK && result.last.step == 20);  // nothing to do
  CHECK(same_folder(in_folder(whole), in_folder(parts)));
  milo_ctx_destroy(one);
  milo_ctx_destroy(three);
}

static void test_resume_is_exact_whatever_the_threads(void) {
  for (size_t i = 0; milo_device_name(i); i++) {
    milo_model_config config = tiny();
    check_resume(milo_device_name(i), &config, options_for(milo_device_name(i)), "plain");
    config.qk_norm = config.rope_half = config.untied = true;
    milo_train_options options = options_for(milo_device_name(i));
    options.accumulate = 2;
    options.clip = options.weight_decay = -1;
    check_resume(milo_device_name(i), &config, options, "all");
  }
}

static void refuse(milo_ctx *ctx, const milo_model_config *config, milo_train_options options,
                   const char *words) {
  milo_train_result result;
  CHECK(train(ctx, config, &options, &result) == MILO_ERR_INVALID);
  if (!CHECK(strstr(milo_error(ctx), words) != NULL)) printf("# %s\n", milo_error(ctx));
}

typedef struct scaling {
  uint64_t skipped[21];
  double losses[21], scales[21];
} scaling;

static bool note_scaling(void *user, const milo_train_report *r) {
  scaling *s = user;
  s->skipped[r->step] = r->skipped;
  s->losses[r->step] = r->loss;
  s->scales[r->step] = r->loss_scale;
  CHECK(isnan(r->grad_norm) == (r->skipped > s->skipped[r->step - 1]));
  return true;
}

// A power of two changes no digit of a gradient in fp32, and so nothing.
static void test_scaled_losses_train_alike(void) {
  for (size_t i = 0; milo_device_name(i); i++) {
    milo_ctx *ctx = context(2);
    const milo_model_config config = tiny();
    milo_train_options options = options_for(milo_device_name(i));
    options.val_fraction = -1;
    options.on_step = note_scaling;
    static scaling plain, constant, dynamic;
    const double scales[] = {0, 256, -1024};
    scaling *notes[] = {&plain, &constant, &dynamic};
    for (int k = 0; k < 3; k++) {
      options.loss_scale = scales[k];
      options.accumulate = 2;
      options.user = notes[k];
      CHECK(train(ctx, &config, &options, NULL) == MILO_OK);
    }
    CHECK(memcmp(plain.losses, constant.losses, sizeof plain.losses) == 0);
    CHECK(memcmp(plain.losses, dynamic.losses, sizeof plain.losses) == 0);
    CHECK(constant.scales[20] == 256 && dynamic.scales[20] == 1024 && plain.scales[20] == 1);
    CHECK(constant.skipped[20] == 0 && dynamic.skipped[20] == 0);
    milo_ctx_destroy(ctx);
  }
}

// The squares of gradients times 2^70 are beyond fp32: steps are skipped until the factor is small
// enough, and a run that is stopped in the middle of that goes on bit for bit.
static void test_overflow_skips_steps(void) {
  for (size_t i = 0; milo_device_name(i); i++) {
    milo_ctx *one = context(1), *three = context(3);
    const milo_model_config config = tiny();
    milo_train_options options = options_for(milo_device_name(i));
    static scaling notes;
    options.loss_scale = -0x1p70;
    options.on_step = note_scaling;
    options.user = &notes;
    options.out_dir = in_folder(i == 0 ? "ref-overflow" : "cpu-overflow");
    milo_train_result result;
    CHECK(train(one, &config, &options, &result) == MILO_OK && result.last.step == 20);
    const uint64_t skipped = result.last.skipped;
    CHECK(skipped >= 4 && skipped <= 10 && notes.skipped[4] == 4);
    CHECK(result.last.loss_scale == ldexp(0x1p70, -(int)skipped));
    CHECK(result.last.loss < 3.65);  // it learns after that
    char whole[512];
    snprintf(whole, sizeof whole, "%s", options.out_dir);
    options.out_dir = in_folder(i == 0 ? "ref-overflow-parts" : "cpu-overflow-parts");
    options.stop_after = 3;
    CHECK(train(three, &config, &options, &result) == MILO_OK && result.last.skipped == 3);
    milo_train_options rest = {.struct_bytes = sizeof rest,
                               .device = options.device,
                               .resume = true,
                               .out_dir = options.out_dir};
    CHECK(train(three, &config, &rest, &result) == MILO_OK && result.last.skipped == skipped);
    CHECK(same_folder(whole, options.out_dir));
    rest.loss_scale = 256;
    CHECK(train(one, &config, &rest, &result) == MILO_ERR_INVALID);
    CHECK(strstr(milo_error(one), "loss_scale was -1.18059e+21 in that run and is 256 now"));
    milo_ctx_destroy(one);
    milo_ctx_destroy(three);
  }
}

// Weights stay as they were, and a constant factor that never fits ends the run.
static void test_overflow_has_an_end(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("cpu");
  static scaling notes;
  options.loss_scale = 0x1p100;
  options.steps = 20;
  options.on_step = note_scaling;
  options.user = &notes;
  milo_model *model = NULL, *same = NULL;
  CHECK(milo_model_create(ctx, &config, 5, &model) == MILO_OK);
  CHECK(milo_model_create(ctx, &config, 5, &same) == MILO_OK);
  milo_train_result result;
  CHECK(milo_train(ctx, model, ids, TOKENS, &options, &result) == MILO_OK);
  CHECK(result.last.skipped == 20 && result.last.step == 20);
  float a[VOCAB], b[VOCAB];
  CHECK(milo_model_logits(ctx, model, "cpu", ids, 1, a) == MILO_OK);
  CHECK(milo_model_logits(ctx, same, "cpu", ids, 1, b) == MILO_OK);
  CHECK(memcmp(a, b, sizeof a) == 0);
  milo_model_destroy(model);
  milo_model_destroy(same);
  options.steps = 40;
  options.on_step = NULL;
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_NUMERIC);
  CHECK(strstr(milo_error(ctx), "the gradient is not finite at step 26") != NULL);
  options.loss_scale = -8;  // three times too large, then at 1: no overflow there
  CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.last.skipped == 0);
  options.loss_scale = (double)NAN;
  refuse(ctx, &config, options, "loss_scale is nan");
  options.loss_scale = -0.5;
  refuse(ctx, &config, options, "a dynamic one begins at 1 or more");
  options.loss_scale = 0;
  options.precision = (milo_precision)4;
  refuse(ctx, &config, options, "there is no precision 4");
  milo_ctx_destroy(ctx);
}

// Two micro-batches of 2 see the windows that one batch of 4 sees.
static void test_accumulation(void) {
  for (size_t i = 0; milo_device_name(i); i++) {
    milo_ctx *ctx = context(2);
    const milo_model_config config = tiny();
    milo_train_options options = options_for(milo_device_name(i));
    options.batch = 4;
    options.steps = 5;
    milo_train_result once, twice;
    CHECK(train(ctx, &config, &options, &once) == MILO_OK);
    options.batch = 2;
    options.accumulate = 2;
    CHECK(train(ctx, &config, &options, &twice) == MILO_OK);
    CHECK_NEAR(twice.last.loss, once.last.loss, 1e-5);
    CHECK_NEAR(twice.last.grad_norm, once.last.grad_norm, 1e-5 * once.last.grad_norm);
    milo_ctx_destroy(ctx);
  }
}

static void test_folder_holds_the_model(void) {
  milo_ctx *ctx = context(2);
  for (int odd = 0; odd < 2; odd++) {
    milo_model_config config = tiny(), loaded;
    config.qk_norm = odd;  // a .bin file cannot hold that
    milo_train_options options = options_for("ref");
    options.out_dir = in_folder(odd ? "odd" : "even");
    milo_model *model = NULL, *back = NULL;
    CHECK(milo_model_create(ctx, &config, 5, &model) == MILO_OK);
    CHECK(milo_train(ctx, model, ids, TOKENS, &options, NULL) == MILO_OK);
    if (CHECK(milo_model_load(ctx, options.out_dir, &back) == MILO_OK)) {
      milo_model_get_config(back, &loaded);
      CHECK(loaded.qk_norm == odd && loaded.head_dim == 6);
      const milo_eval_options eval = {
          .struct_bytes = sizeof eval, .device = "ref", .max_tokens = 100};
      milo_eval_result a, b;
      CHECK(milo_eval(ctx, model, ids, TOKENS, &eval, &a) == MILO_OK);
      CHECK(milo_eval(ctx, back, ids, TOKENS, &eval, &b) == MILO_OK && a.loss == b.loss);
    }
    milo_model_destroy(model);
    milo_model_destroy(back);
  }
  CHECK(access(in_folder("even/model.bin"), F_OK) == 0);
  CHECK(access(in_folder("odd/model.bin"), F_OK) != 0);
  milo_ctx_destroy(ctx);
}

static void test_what_resuming_refuses(void) {
  milo_ctx *ctx = context(1);
  milo_model_config config = tiny();
  milo_train_options options = options_for("ref");
  options.out_dir = in_folder("refuse");
  options.stop_after = 3;
  milo_train_result result;
  CHECK(train(ctx, &config, &options, &result) == MILO_OK);
  options.stop_after = 0;
  options.resume = true;
  milo_train_options o = options;
  o.lr = 2e-2;
  refuse(ctx, &config, o, "lr was 0.01 in that run and is 0.02 now");
  o = options, o.seed = 12;
  refuse(ctx, &config, o, "seed was 11");
  o = options, o.steps = 19;
  refuse(ctx, &config, o, "steps was 20 in that run and is 19 now; a run can be made longer");
  o = options, o.weight_decay = -1;
  refuse(ctx, &config, o, "weight_decay was 0.1 in that run and is 0 now");
  o = options, o.clip = -1;
  refuse(ctx, &config, o, "clip was 1 in that run and is inf now");
  config.hidden = 24;
  refuse(ctx, &config, options, "another model (model.hidden)");
  config = tiny();
  ids[0] ^= 1;
  refuse(ctx, &config, options, "other training data");
  ids[0] ^= 1;
  o = options, o.out_dir = NULL;
  refuse(ctx, &config, o, "out_dir is not given");
  o = options, o.out_dir = in_folder("nowhere");
  CHECK(train(ctx, &config, &o, &result) == MILO_ERR_NOT_FOUND);
  const char *checkpoint = in_folder("refuse/checkpoint.milo");
  CHECK(truncate(checkpoint, 5000) == 0);
  refuse(ctx, &config, options, "truncated");
  CHECK(truncate(checkpoint, 0) == 0);
  refuse(ctx, &config, options, "the file is empty");
  milo_ctx_destroy(ctx);
}

// Trains into the folder that is being trained into, from a context of its own.
static bool intrude(void *user, const milo_train_report *report) {
  milo_ctx *other = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("ref");
  options.out_dir = user;
  for (int i = 0; i < 3 && report->step == 2; i++) {
    options.force = i == 1;
    options.resume = i == 2;
    milo_train_result result;
    CHECK(train(other, &config, &options, &result) == MILO_ERR_IO);
    char words[64];
    snprintf(words, sizeof words, "process %ld is training into '", (long)getpid());
    if (!CHECK(strstr(milo_error(other), words) != NULL)) printf("# %s\n", milo_error(other));
    CHECK(milo_train_check(other, &options) == MILO_ERR_IO);
  }
  milo_ctx_destroy(other);
  return true;
}

static void test_a_folder_with_a_run(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("ref");
  options.steps = 4;
  char dir[512];
  snprintf(dir, sizeof dir, "%s", in_folder("taken"));
  options.out_dir = dir;
  CHECK(milo_train_check(ctx, &options) == MILO_OK && access(dir, F_OK) != 0);
  options.resume = true;
  CHECK(milo_train_check(ctx, &options) == MILO_ERR_NOT_FOUND);
  options.resume = false;
  milo_train_options guarded = options;
  guarded.on_step = intrude;
  guarded.user = dir;
  if (!CHECK(train(ctx, &config, &guarded, NULL) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  CHECK(access(in_folder("taken/run.lock"), F_OK) != 0);
  options.seed++;
  refuse(ctx, &config, options, "holds a training run (");
  CHECK(milo_train_check(ctx, &options) == MILO_ERR_INVALID);
  // Any part of a run is one.
  CHECK(remove(in_folder("taken/checkpoint.milo")) == 0);
  refuse(ctx, &config, options, "taken/metrics.jsonl)");
  CHECK(remove(in_folder("taken/metrics.jsonl")) == 0);
  refuse(ctx, &config, options, "taken/model.bin)");
  options.force = true;
  CHECK(milo_train_check(ctx, &options) == MILO_OK);
  milo_model_config other = tiny();
  other.qk_norm = true;  // the old run's model.bin is none of this one's
  CHECK(train(ctx, &other, &options, NULL) == MILO_OK);
  CHECK(access(in_folder("taken/model.bin"), F_OK) != 0);
  milo_ctx_destroy(ctx);
}

static size_t count_lines(const char *path, const char *part) {
  FILE *file = fopen(path, "r");
  char line[512];
  size_t count = 0;
  while (file && fgets(line, sizeof line, file)) count += strstr(line, part) != NULL;
  if (file) fclose(file);
  return count;
}

typedef struct patience {
  size_t asked, limit;
} patience;

static bool lose_patience(void *user) {
  patience *p = user;
  return p->asked++ >= p->limit;
}

// Stopped at every place where that is possible, between any two layers of steps and evaluations,
// with and without micro-batches: nothing is lost, and resumed it is the same run.
static void test_stopped_anywhere(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("cpu");
  options.steps = 4;
  options.batch = 1;
  options.eval_every = 3;
  options.save_every = 2;
  options.accumulate = 2;
  char whole[512], parts[512];
  snprintf(whole, sizeof whole, "%s", in_folder("whole"));
  snprintf(parts, sizeof parts, "%s", in_folder("stopped"));
  patience p = {0, SIZE_MAX};
  options.stop = lose_patience;
  options.user = &p;
  options.out_dir = whole;
  CHECK(train(ctx, &config, &options, NULL) == MILO_OK);
  const size_t places = p.asked;
  CHECK(places == 4 * 2 * (2 + 1 + 2) + 2 * 2 * (2 + 1));  // steps and evaluations
  size_t in_evaluation = 0;
  milo_train_result result;
  for (size_t limit = 0; limit < places; limit++) {
    options.out_dir = parts;
    options.resume = false;
    options.force = true;
    p = (patience){0, limit};
    const milo_status status = train(ctx, &config, &options, &result);
    if (!CHECK(status == MILO_ERR_INTERRUPTED)) printf("# at %zu: %s\n", limit, milo_error(ctx));
    if (!CHECK(strstr(milo_error(ctx), "training was stopped after step ") != NULL)) break;
    // At once, or when the forward part of a micro-batch is over: 2 layers and the head.
    CHECK(p.asked - limit <= 4);
    if (strstr(milo_error(ctx), "the state is saved") == NULL) {
      CHECK(result.last.step == 0);
      continue;
    }
    in_evaluation += count_lines(in_folder("stopped/metrics.jsonl"), "step") < result.last.step;
    p = (patience){0, SIZE_MAX};
    options.resume = true;
    options.force = false;
    if (!CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.last.step == 4))
      printf("# at %zu: %s\n", limit, milo_error(ctx));
    if (!CHECK(same_folder(whole, parts))) printf("# stopped at place %zu of %zu\n", limit, places);
  }
  CHECK(in_evaluation > 5);
  options.out_dir = NULL;  // nothing to save: at once
  options.resume = false;
  p = (patience){0, 33};
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_INTERRUPTED && p.asked == 34);
  milo_ctx_destroy(ctx);
}

static void test_evaluation_and_generation_stop(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_model *model = NULL;
  CHECK(milo_model_create(ctx, &config, 5, &model) == MILO_OK);
  for (size_t limit = 0; limit < 3; limit++) {  // 2 layers and the head
    patience p = {0, limit};
    milo_eval_options eval = MILO_OPTIONS_INIT(milo_eval_options);
    eval.stop = lose_patience;
    eval.user = &p;
    milo_eval_result scored;
    CHECK(milo_eval(ctx, model, ids, TOKENS, &eval, &scored) == MILO_ERR_INTERRUPTED);
    CHECK(p.asked == limit + 1 && strstr(milo_error(ctx), "evaluation was stopped") != NULL);
    p = (patience){0, limit};
    milo_generate_options generate = MILO_OPTIONS_INIT(milo_generate_options);
    generate.stop = lose_patience;
    generate.user = &p;
    generate.steps = 8;
    size_t count = 0;
    CHECK(milo_generate(ctx, model, ids, 3, &generate, NULL, &count, NULL) == MILO_OK);
    CHECK(p.asked == limit + 1 && count == 3 + limit / 2);  // 2 layers a token
  }
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

// Keeps the last rate in *user.
static bool note_rate(void *user, const milo_train_report *report) {
  *(double *)user = report->learning_rate;
  return true;
}

static void test_a_run_is_made_longer(void) {
  milo_ctx *ctx = context(2);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("cpu");
  milo_train_result result;
  double straight = 0, extended = 0;
  options.on_step = note_rate;
  for (int constant = 0; constant < 2; constant++) {
    options.min_lr_ratio = constant ? 1 : 0.1;
    options.warmup = 3;
    options.out_dir = in_folder(constant ? "long-c" : "long");
    options.steps = 20;
    options.user = &straight;
    CHECK(train(ctx, &config, &options, &result) == MILO_OK);
    milo_train_options o = options;
    o.out_dir = in_folder(constant ? "grown-c" : "grown");
    o.steps = 10;
    o.user = &extended;
    CHECK(train(ctx, &config, &o, &result) == MILO_OK && result.last.step == 10);
    CHECK(constant || extended < 2e-3);  // the end of a cosine
    o = (milo_train_options){.struct_bytes = sizeof o,
                             .device = "cpu",
                             .out_dir = o.out_dir,
                             .resume = true,
                             .steps = 20,
                             .stop_after = 11,
                             .on_step = note_rate,
                             .user = &extended};
    if (!CHECK(train(ctx, &config, &o, &result) == MILO_OK && result.last.step == 11))
      printf("# %s\n", milo_error(ctx));
    o.steps = o.stop_after = 0;  // the new length is part of the run
    CHECK(train(ctx, &config, &o, &result) == MILO_OK && result.last.step == 20);
    CHECK(result.last.steps == 20 && extended == straight);
    CHECK(count_lines(in_folder(constant ? "grown-c/metrics.jsonl" : "grown/metrics.jsonl"),
                      "\"step\":") == 20);
    if (constant) CHECK(same_folder(options.out_dir, o.out_dir));
  }
  milo_ctx_destroy(ctx);
}

// What is gone from metrics.jsonl does not come back, is told, and costs no other line.
static void test_lost_metrics(void) {
  const milo_model_config config = tiny();
  milo_ctx *ctx = context(1);
  milo_train_options options = options_for("cpu");
  milo_train_result result;
  options.out_dir = in_folder("lost");
  options.stop_after = 7;
  CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.lost_metrics == 0);
  char path[1024];
  snprintf(path, sizeof path, "%s/metrics.jsonl", options.out_dir);
  FILE *file = fopen(path, "r+");
  for (int line = 0; file && line < 3;) line += fgetc(file) == '\n';
  CHECK(file && ftruncate(fileno(file), ftell(file)) == 0);
  if (file) fclose(file);
  options.resume = true;
  options.stop_after = 9;
  CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.lost_metrics == 4);
  CHECK(count_lines(path, "\"step\":") == 5 && count_lines(path, "\"step\":8,") == 1);
  // As if the process had been killed after step 11, whose checkpoint was never written.
  file = fopen(path, "a");
  CHECK(file && fputs("{\"step\":10,\"loss\":1}\n{\"step\":11,\"lo", file) >= 0);
  if (file) fclose(file);
  options.stop_after = 11;
  CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.lost_metrics == 4);
  CHECK(count_lines(path, "\"step\":") == 7 && count_lines(path, "\"step\":10,") == 1);
  CHECK(remove(path) == 0);
  options.stop_after = 0;
  CHECK(train(ctx, &config, &options, &result) == MILO_OK && result.lost_metrics == 11);
  CHECK(count_lines(path, "\"step\":") == 9);
  milo_ctx_destroy(ctx);
}

// A model.bin of an earlier run that cannot be removed would look like this run's.
static void test_old_model_that_stays(void) {
  milo_model_config config = tiny();
  config.qk_norm = true;  // no model.bin holds it
  milo_ctx *ctx = context(1);
  milo_train_options options = options_for("cpu");
  milo_train_result result;
  options.out_dir = in_folder("stays");
  options.steps = 2;
  options.force = true;
  char path[1024];
  snprintf(path, sizeof path, "%s/model.bin", options.out_dir);
  CHECK(mkdir(options.out_dir, 0777) == 0 && mkdir(path, 0777) == 0);
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_IO);
  CHECK(strstr(milo_error(ctx), "model.bin") != NULL);
  milo_ctx_destroy(ctx);
}

static void test_bad_data_and_folders(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("ref");
  ids[1234] = VOCAB;
  refuse(ctx, &config, options, "token 1234 is 40, the model's vocabulary has 40");
  ids[1234] = 0;
  options.seq = 11;
  refuse(ctx, &config, options, "longer than the model's 10");
  options = options_for("no such device");
  milo_train_result result;
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_NOT_FOUND);
  FILE *file = fopen(in_folder("a-file"), "w");
  if (file) fclose(file);
  options = options_for("ref");
  options.out_dir = in_folder("a-file/below");
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_IO);
  CHECK(strstr(milo_error(ctx), "a-file") != NULL);
  milo_ctx_destroy(ctx);
}

// A rate that explodes: training says at which step and leaves the last good checkpoint.
static void test_a_loss_that_is_not_finite(void) {
  milo_ctx *ctx = context(1);
  const milo_model_config config = tiny();
  milo_train_options options = options_for("ref");
  options.lr = 1e3;
  options.warmup = 1;
  options.epsilon = 1e-30;
  options.weight_decay = 1e3;
  options.save_every = 1;
  options.out_dir = in_folder("explodes");
  milo_train_result result;
  CHECK(train(ctx, &config, &options, &result) == MILO_ERR_NUMERIC);
  char words[64];
  snprintf(words, sizeof words, "is not finite at step %d: training stops",
           (int)result.last.step + 1);
  if (!CHECK(strstr(milo_error(ctx), words) != NULL)) printf("# %s\n", milo_error(ctx));
  snprintf(words, sizeof words, "checkpoint of step %d is kept", (int)result.last.step - 1);
  if (!CHECK(strstr(milo_error(ctx), words) != NULL)) printf("# %s\n", milo_error(ctx));
  milo_model *model = NULL;
  if (!CHECK(milo_model_load(ctx, options.out_dir, &model) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

// Bytes of the heap in use; 0 if that cannot be known here.
static size_t heap_bytes(void) {
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

enum { SETTLED = 60, LAST = 300 };

static bool note_heap(void *user, const milo_train_report *report) {
  size_t *bytes = user;
  if (report->step == SETTLED) bytes[0] = heap_bytes();
  if (report->step == LAST) bytes[1] = heap_bytes();
  return true;
}

// Steps, evaluations and checkpoints leave not a byte behind.
static void test_memory_does_not_grow(void) {
  if (heap_bytes() == 0)
    SKIP("the heap in use is known to glibc 2.33 and later only, without sanitizers");
  for (size_t i = 0; milo_device_name(i); i++) {
    milo_ctx *ctx = context(2);
    const milo_model_config config = tiny();
    milo_train_options options = options_for(milo_device_name(i));
    size_t bytes[2] = {0};
    options.steps = LAST;
    options.eval_every = options.save_every = 10;
    options.out_dir = in_folder("memory");
    options.force = true;
    options.on_step = note_heap;
    options.user = bytes;
    if (!CHECK(train(ctx, &config, &options, NULL) == MILO_OK)) printf("# %s\n", milo_error(ctx));
    if (!CHECK(bytes[0] != 0 && bytes[1] == bytes[0]))
      printf("# %s: from %zu to %zu bytes\n", options.device, bytes[0], bytes[1]);
    milo_ctx_destroy(ctx);
  }
}

int main(void) {
  if (!make_folder()) return 1;
  make_ids();
  RUN(test_resume_is_exact_whatever_the_threads);
  RUN(test_scaled_losses_train_alike);
  RUN(test_overflow_skips_steps);
  RUN(test_overflow_has_an_end);
  RUN(test_accumulation);
  RUN(test_folder_holds_the_model);
  RUN(test_what_resuming_refuses);
  RUN(test_a_folder_with_a_run);
  RUN(test_a_run_is_made_longer);
  RUN(test_stopped_anywhere);
  RUN(test_evaluation_and_generation_stop);
  RUN(test_lost_metrics);
  RUN(test_old_model_that_stays);
  RUN(test_bad_data_and_folders);
  RUN(test_a_loss_that_is_not_finite);
  RUN(test_memory_does_not_grow);
  if (!remove_folder()) return 1;
  return tap_done();
}
