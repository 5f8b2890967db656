// SPDX-License-Identifier: MIT
// milo bench: times training steps on random tokens.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_generate.h"
#include "cmd.h"
#include "peak.h"
#include "plan.h"
#include "precision.h"
#include "progress.h"

typedef struct request {
  const char *model, *device, *precision, *plan_name;
  milo_precision stored;
  milo_train_plan plan;
  uint64_t batch, seq, steps, accumulate, seed;
  bool json;
} request;

typedef struct timing {
  double *seconds;
  size_t count, capacity;
  milo_train_report last;
} timing;

static bool on_step(void *user, const milo_train_report *report) {
  timing *t = user;
  if (t->count < t->capacity) t->seconds[t->count++] = report->step_s;
  t->last = *report;
  return !stop_requested();
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void print_result(const request *r, milo_ctx *ctx, uint64_t parameters, size_t tokens,
                         const timing *t, const milo_train_result *result) {
  // The first step warms caches and is not counted.
  double *seconds = t->seconds + 1;
  const size_t count = t->count - 1;
  qsort(seconds, count, sizeof *seconds, compare);
  const double median = (seconds[(count - 1) / 2] + seconds[count / 2]) / 2;
  const efficiency e = {result, (double)tokens / median, measure_peak(ctx, r->device, r->stored)};
  if (!r->json) {
    printf(
        "%s, %.1f M parameters, %s, %d threads, %s, plan %s\n"
        "%" PRIu64
        " tokens a step: median %.4f s (%.4f to %.4f), %.0f tokens/s\n"
        "peak memory %.2f GB, loss %.4f\n",
        r->model, (double)parameters / 1e6, r->device, milo_ctx_threads(ctx), r->precision,
        r->plan_name, (uint64_t)tokens, median, seconds[0], seconds[count - 1],
        (double)tokens / median, (double)result->peak_memory_bytes / 1e9, t->last.loss);
    char text[512];
    efficiency_text(text, sizeof text, &e);
    printf("%s\n", text);
    return;
  }
  printf("{\"model\": ");
  json_string(stdout, r->model);
  printf(", \"parameters\": %" PRIu64
         ", \"device\": \"%s\", \"cpu\": \"%s\", \"threads\": %d"
         ", \"precision\": \"%s\", \"plan\": \"%s\", \"tokens_per_step\": %zu, \"steps\": %zu"
         ", \"step_seconds\": %.6g, \"step_seconds_min\": %.6g, \"step_seconds_max\": %.6g"
         ", \"tokens_per_second\": %.6g, \"peak_memory_bytes\": %" PRIu64
         ", \"loss\": %.9g, \"grad_norm\": %.9g",
         parameters, r->device, milo_ctx_cpu(ctx), milo_ctx_threads(ctx), r->precision,
         r->plan_name, tokens, count, median, seconds[0], seconds[count - 1],
         (double)tokens / median, result->peak_memory_bytes, t->last.loss, t->last.grad_norm);
  efficiency_json(stdout, &e);
  printf("}\n");
}

static milo_status train(const request *r, milo_ctx *ctx) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_model *model = NULL;
  milo_status status = milo_model_config_load(ctx, r->model, &config);
  if (status != MILO_OK) return status;
  const size_t seq = r->seq ? (size_t)r->seq : (size_t)config.seq;
  if (config.seq < (int64_t)seq) config.seq = (int64_t)seq;
  status = milo_model_create(ctx, &config, r->seed, &model);
  if (status != MILO_OK) return status;

  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  timing t = {.capacity = (size_t)r->steps + 1};
  t.seconds = calloc(t.capacity, sizeof *t.seconds);
  const size_t count = seq + 65536;
  uint32_t *ids = calloc(count, sizeof *ids);
  uint64_t state = r->seed + 1;
  for (size_t i = 0; ids && i < count; i++) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    ids[i] = (uint32_t)((state >> 33) % (uint64_t)config.vocab);
  }
  options.device = r->device;
  options.steps = r->steps + 1;
  options.batch = (size_t)r->batch;
  options.seq = seq;
  options.accumulate = (size_t)r->accumulate;
  options.lr = 1e-4;
  options.precision = r->stored;
  options.plan = r->plan;
  options.val_fraction = -1;
  options.on_step = on_step;
  options.stop = stop_asked;
  options.user = &t;
  milo_train_result result;
  status =
      t.seconds && ids ? milo_train(ctx, model, ids, count, &options, &result) : MILO_ERR_NO_MEMORY;
  if (status == MILO_OK)
    print_result(r, ctx, milo_model_parameter_count(model),
                 (size_t)(r->batch * r->accumulate) * seq, &t, &result);
  free(ids);
  free(t.seconds);
  milo_model_destroy(model);
  return status;
}

#define UNSET UINT64_MAX

int cmd_bench(int argc, char **argv) {
  static const command cmd = {
      "bench",
      "bench train|generate MODEL [options]",
      "train: times optimizer steps (forward, backward, AdamW) on random tokens, after one step\n"
      "that is not counted. generate: times reading a prompt and then N tokens one by one, beside\n"
      "what reading weights and cache from memory allows, which is measured too. MODEL is a\n"
      "built-in model's name or a description file; its weights are random.",
      "  milo bench train stories110M --batch 8 --seq 256 --steps 3 --precision fp32 --json\n"
      "  milo bench generate stories110M --weights int8 --prompt 64 --steps 200 --json\n",
      2,
      2};
  request r = {.device = "cpu", .batch = UNSET, .seq = UNSET, .steps = UNSET, .accumulate = UNSET};
  generate_bench g = {.prompt = UNSET};
  const option options[] = {
      {"--batch", "-b", OPTION_COUNT, &r.batch, "B", "sequences a step (default 8)"},
      {"--seq", NULL, OPTION_COUNT, &r.seq, "S", "tokens a sequence (default: the model's)"},
      {"--steps", "-n", OPTION_COUNT, &r.steps, "N",
       "steps that are timed (default 3; of generate 100)"},
      {"--accumulate", NULL, OPTION_COUNT, &r.accumulate, "N", "micro-batches a step (default 1)"},
      {"--precision", NULL, OPTION_STRING, &r.precision, "P", PRECISION_HELP},
      {"--plan", NULL, OPTION_STRING, &r.plan_name, "P", PLAN_HELP},
      {"--seed", "-s", OPTION_COUNT, &r.seed, "S", "of weights and tokens (default 0)"},
      {"--prompt", NULL, OPTION_COUNT, &g.prompt, "N",
       "generate: tokens read at once (default 64)"},
      STORAGE_OPTIONS(&g.storage),
      CACHE_OPTION(&g.storage),
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "cpu or ref (default cpu)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  const bool generates = strcmp(argv[0], "generate") == 0;
  if (!generates && strcmp(argv[0], "train") != 0)
    return usage_error(&cmd, "'%s' cannot be timed, only train and generate", argv[0]);
  if (generates &&
      (r.batch != UNSET || r.seq != UNSET || r.accumulate != UNSET || r.precision || r.plan_name))
    return usage_error(&cmd, "--batch, --seq, --accumulate, --precision and --plan go with train");
  if (!generates && g.prompt != UNSET) return usage_error(&cmd, "--prompt goes with generate");
  if (r.steps == UNSET) r.steps = generates ? 100 : 3;
  if (r.batch == UNSET) r.batch = 8;
  if (r.seq == UNSET) r.seq = 0;
  if (r.accumulate == UNSET) r.accumulate = 1;
  if (!r.precision) r.precision = "fp32";
  if (!r.plan_name) r.plan_name = "fused";
  if (g.prompt == UNSET) g.prompt = 64;
  if (!g.prompt || g.prompt > 1000000)
    return usage_error(&cmd, "--prompt is a whole number from 1 to 1000000");
  if (storage_problem(&g.storage)) return usage_error(&cmd, "%s", storage_problem(&g.storage));
  if (!generates && (g.storage.weights || g.storage.cache))
    return usage_error(&cmd, "--weights and --cache go with generate");
  code = read_precision(&cmd, r.precision, &r.stored);
  if (code == EXIT_OK) code = read_plan(&cmd, r.plan_name, &r.plan);
  if (code != EXIT_OK) return code;
  if (!r.batch || !r.steps || !r.accumulate || r.steps > 100000 || r.batch > 1000000 ||
      r.accumulate > 1000000 || r.seq > 1000000)
    return usage_error(&cmd, "--batch, --seq, --steps and --accumulate are small whole numbers");
  r.model = argv[1];
  r.json = common.json;
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  stop_on_signal(STOPPING);
  g.model = r.model;
  g.device = r.device;
  g.steps = r.steps;
  g.seed = r.seed;
  g.json = r.json;
  const milo_status status = generates ? bench_generate(&g, ctx) : train(&r, ctx);
  code = status == MILO_OK ? finish_stdout() : fail_with(ctx, status);
  milo_ctx_destroy(ctx);
  return code;
}
