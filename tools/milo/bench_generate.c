// SPDX-License-Identifier: MIT
// milo bench generate: times reading a prompt and generating token by token.
#include "bench_generate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "progress.h"

typedef struct timing {
  double prefill_s, *steps;  // of each token
  size_t count;
} timing;

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

// Bytes of weights that a token reads: all but the rows of an embedding that is no classifier.
static double weight_bytes(const milo_model *model, const milo_model_config *c) {
  const double bytes = (double)milo_model_weight_bytes(model);
  if (!c->untied) return bytes;
  size_t group = 0;
  const milo_dtype dtype = milo_model_stored(model, &group);
  const double numbers = (double)c->vocab * (double)c->dim;
  const double each = dtype == MILO_FP32 ? 4 : dtype == MILO_INT8 ? 1 : 2;
  const double scales = dtype == MILO_INT8 ? numbers / (group ? (double)group : (double)c->dim) : 0;
  return bytes - numbers * each - scales * 4;
}

// Of keys and values of one token.
static double cache_bytes(const milo_model_config *c, milo_dtype cache) {
  const double each = cache == MILO_FP16 || cache == MILO_BF16 ? 2 : 4;
  return 2.0 * (double)(c->layers * c->kv_heads * c->head_dim) * each;
}

// Multiplications and additions of products, a token: two for each weight that multiplies, and
// scores and values over the mean of the sequence.
static double flops(const milo_model *model, const milo_model_config *c, double length) {
  const double weights =
      (double)milo_model_parameter_count(model) -
      (c->untied ? (double)c->vocab * (double)c->dim : 0) -
      (double)c->vocab * (double)c->dim;  // the classifier sees the last row only
  return 2 * weights + 4 * length * (double)(c->layers * c->heads * c->head_dim);
}

static milo_status measure(const generate_bench *r, milo_ctx *ctx, milo_model *model,
                           const milo_model_config *c, timing *t) {
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  options.device = r->device;
  options.cache = storage_cache(&r->storage);
  options.limit = (size_t)(r->prompt + r->steps + 1);
  options.stop = stop_asked;
  milo_session *session = NULL;
  milo_status status = milo_session_create(ctx, model, &options, &session);
  uint32_t *ids = calloc((size_t)r->prompt, sizeof *ids);
  if (status == MILO_OK && !ids) status = MILO_ERR_NO_MEMORY;
  for (size_t i = 0; ids && i < r->prompt; i++)
    ids[i] = (uint32_t)((i * 7919 + 13) % (uint64_t)c->vocab);
  // Once for the caches of the machine and the programs, then timed.
  for (int pass = 0; status == MILO_OK && pass < 2; pass++) {
    status = milo_session_rewind(session, 0);
    const double start = now_s();
    if (status == MILO_OK) status = milo_session_feed(session, ids, (size_t)r->prompt);
    t->prefill_s = now_s() - start;
  }
  uint32_t next = 0;
  for (size_t i = 0; status == MILO_OK && i < r->steps + 1; i++) {
    status = milo_session_sample(session, 0, 0, 0, &next);
    const double start = now_s();
    if (status == MILO_OK) status = milo_session_feed(session, &next, 1);
    // The first one compiles the program for one token.
    if (i > 0) t->steps[t->count++] = now_s() - start;
  }
  free(ids);
  milo_session_destroy(session);
  return status;
}

static void print_result(const generate_bench *r, milo_ctx *ctx, const milo_model *model,
                         const milo_model_config *c, const timing *t, double read_speed) {
  qsort(t->steps, t->count, sizeof *t->steps, compare);
  const double median = (t->steps[(t->count - 1) / 2] + t->steps[t->count / 2]) / 2;
  const double length = (double)r->prompt + (double)r->steps / 2;
  const double bytes = weight_bytes(model, c) + cache_bytes(c, storage_cache(&r->storage)) * length;
  const double bound = read_speed / bytes, speed = 1 / median;
  const double prefill = (double)r->prompt / t->prefill_s;
  const double prefill_flops = prefill * flops(model, c, (double)r->prompt / 2);
  const char *weights = r->storage.weights ? r->storage.weights : "fp32";
  const char *cache = r->storage.cache ? r->storage.cache : "fp32";
  if (!r->json) {
    printf(
        "%s, %.1f M parameters in %s, cache in %s, %s, %d threads\n"
        "prompt of %" PRIu64
        " tokens: %.0f tokens/s, %.1f GFLOP/s\n"
        "then %zu tokens: median %.3f ms (%.3f to %.3f), %.1f tokens/s\n"
        "%.1f MB a token, memory is read at %.2f GB/s: %.1f tokens/s at most, %.0f %% of it\n",
        r->model, (double)milo_model_parameter_count(model) / 1e6, weights, cache, r->device,
        milo_ctx_threads(ctx), r->prompt, prefill, prefill_flops / 1e9, t->count, median * 1e3,
        t->steps[0] * 1e3, t->steps[t->count - 1] * 1e3, speed, bytes / 1e6, read_speed / 1e9,
        bound, 100 * speed / bound);
    return;
  }
  printf("{\"model\": ");
  json_string(stdout, r->model);
  printf(", \"parameters\": %" PRIu64 ", \"weights\": \"%s\", \"group\": %" PRIu64
         ", \"cache\": \"%s\", \"device\": \"%s\", \"cpu\": \"%s\", \"threads\": %d, \"prompt\": "
         "%" PRIu64
         ", \"steps\": %zu, \"tokens_per_second\": %.6g, \"step_seconds\": %.6g, "
         "\"step_seconds_min\": %.6g, \"step_seconds_max\": %.6g, "
         "\"prefill_tokens_per_second\": %.6g, \"prefill_flops_per_second\": %.6g, "
         "\"bytes_per_token\": %.9g, \"read_bytes_per_second\": %.6g, \"share_of_bound\": %.4g}\n",
         milo_model_parameter_count(model), weights, r->storage.group, cache, r->device,
         milo_ctx_cpu(ctx), milo_ctx_threads(ctx), r->prompt, t->count, speed, median, t->steps[0],
         t->steps[t->count - 1], prefill, prefill_flops, bytes, read_speed, speed / bound);
}

milo_status bench_generate(const generate_bench *r, milo_ctx *ctx) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  milo_model *model = NULL;
  milo_status status = milo_model_config_load(ctx, r->model, &config);
  if (status != MILO_OK) return status;
  const int64_t tokens = (int64_t)(r->prompt + r->steps + 1);
  if (config.seq < tokens) config.seq = tokens;
  config.stop_count = -1;
  status = milo_model_create(ctx, &config, r->seed, &model);
  if (status == MILO_OK) status = store_model(ctx, model, &r->storage);
  timing t = {.steps = calloc((size_t)r->steps, sizeof *t.steps)};
  if (status == MILO_OK && !t.steps) status = MILO_ERR_NO_MEMORY;
  double before = 0, after = 0;
  if (status == MILO_OK) status = milo_ctx_read_speed(ctx, &before);
  if (status == MILO_OK) status = measure(r, ctx, model, &config, &t);
  if (status == MILO_OK) status = milo_ctx_read_speed(ctx, &after);
  if (status == MILO_OK) print_result(r, ctx, model, &config, &t, before > after ? before : after);
  free(t.steps);
  milo_model_destroy(model);
  return status;
}
