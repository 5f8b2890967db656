// SPDX-License-Identifier: MIT
// Sessions: whatever the parts, the same numbers as a model that reads the whole sequence at once.
#include <milo/milo.h>

#include "model/model.h"
#include "tap.h"

enum { SEQ = 600, VOCAB = 50, MANY = 530 };

static milo_ctx *ctx;

static milo_model_config config_of(int variant) {
  milo_model_config c = MILO_OPTIONS_INIT(milo_model_config);
  c.dim = 16, c.hidden = 24, c.layers = 2, c.heads = 4, c.seq = SEQ, c.vocab = VOCAB;
  if (variant == 1) c.kv_heads = 2, c.head_dim = 6, c.rope_half = true;
  if (variant == 2) c.kv_heads = 1, c.qk_norm = true, c.untied = true, c.layers = 3;
  if (variant == 3)
    c.dim = 6, c.heads = 1, c.head_dim = 2, c.layers = 1, c.qk_norm = c.rope_half = c.untied = true;
  return c;
}
enum { VARIANTS = 4 };

// Random weights are small: a model with them says much the same whatever it reads.
static milo_model *make_model(const milo_model_config *config) {
  milo_model *model = NULL;
  if (!CHECK(milo_model_create(ctx, config, 5, &model) == MILO_OK)) return NULL;
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    const size_t elements = milo_buffer_bytes(p->buffer) / sizeof(float);
    float *data = milo_buffer_map(p->buffer, MILO_READ_WRITE);
    for (size_t k = 0; p->type.rank == 2 && k < elements; k++) data[k] *= 20;
    CHECK(milo_buffer_unmap(p->buffer, data, MILO_READ_WRITE) == MILO_OK);
  }
  return model;
}

static milo_session *open_session(milo_model *model, const char *device) {
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  milo_session *session = NULL;
  options.device = device;
  CHECK(milo_session_create(ctx, model, &options, &session) == MILO_OK);
  return session;
}

static void fill_ids(uint32_t *ids, size_t count) {
  for (size_t i = 0; i < count; i++) ids[i] = (uint32_t)((i * i * 7 + i * 13 + 3) % VOCAB);
}

static bool near_all(const float *got, const float *wanted, size_t count) {
  if (!CHECK(got && wanted)) return false;
  for (size_t i = 0; i < count; i++)
    if (!CHECK_NEAR((double)got[i], (double)wanted[i], 2e-5)) return false;
  return true;
}

static bool same_bits(const float *a, const float *b, size_t count) {
  return CHECK(a && b && memcmp(a, b, count * sizeof *a) == 0);
}

static bool fails_with(milo_status status, milo_status wanted, const char *words) {
  const bool ok = CHECK(status == wanted) & CHECK(strstr(milo_error(ctx), words) != NULL);
  if (!ok) printf("# status %d: %s\n", (int)status, milo_error(ctx));
  return ok;
}

// ---- the numbers ----

typedef struct collected {
  float losses[SEQ];
  size_t count;
} collected;

static void collect(void *user, const float *losses, size_t count) {
  collected *c = user;
  memcpy(c->losses + c->count, losses, count * sizeof *losses);
  c->count += count;
}

// Evaluation runs other programs, without a cache.
static void check_losses(const milo_model *model, const char *device, const uint32_t *ids,
                         size_t count, const float *logits) {
  static collected whole;
  static float losses[SEQ];
  whole.count = 0;
  milo_eval_options options = MILO_OPTIONS_INIT(milo_eval_options);
  options.device = device;
  options.on_losses = collect;
  options.user = &whole;
  milo_eval_result result;
  CHECK(milo_eval(ctx, model, ids, count, &options, &result) == MILO_OK);
  CHECK(milo_model_losses(ctx, model, device, ids, count, losses) == MILO_OK);
  if (!CHECK(whole.count == count - 1)) return;
  double least = 1e9, greatest = 0;
  for (size_t i = 0; i + 1 < count; i++) {
    if (!CHECK_NEAR((double)losses[i], (double)whole.losses[i], 1e-5)) return;
    const float *row = logits + i * VOCAB;
    double sum = 0;
    for (size_t k = 0; k < VOCAB; k++) sum += exp((double)row[k]);
    if (!CHECK_NEAR((double)losses[i], log(sum) - (double)row[ids[i + 1]], 1e-6)) return;
    least = fmin(least, (double)losses[i]);
    greatest = fmax(greatest, (double)losses[i]);
  }
  CHECK(greatest - least > 0.5);  // a model that says the same everywhere would prove nothing
}

static void test_any_parts(void) {
  static const char *const devices[] = {"ref", "cpu"};
  static const size_t ways[][4] = {{1}, {7, 1, 30}, {256, 1, 64}, {300, 9, 2, 256}, {5, 255, 257}};
  uint32_t ids[MANY];
  fill_ids(ids, MANY);
  for (int variant = 0; variant < VARIANTS; variant++)
    for (int device = 0; device < 2; device++) {
      const milo_model_config config = config_of(variant);
      milo_model *model = make_model(&config);
      // ref is slow: less of it, but past the first room of the cache.
      const size_t count = device == 1 ? MANY : 270;
      float *all = malloc(count * VOCAB * sizeof *all);
      CHECK(milo_model_logits(ctx, model, devices[device], ids, count, all) == MILO_OK);
      check_losses(model, devices[device], ids, count, all);
      for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        milo_session *s = open_session(model, devices[device]);
        CHECK(milo_session_logits(s) == NULL && milo_session_length(s) == 0);
        CHECK(milo_session_limit(s) == SEQ);
        bool good = true;
        for (size_t turn = 0, read = 0; good && read < count; turn++) {
          size_t part = ways[way][turn % 4] ? ways[way][turn % 4] : 1;
          if (part > count - read) part = count - read;
          good = CHECK(milo_session_feed(s, ids + read, part) == MILO_OK);
          read += part;
          good = good && CHECK(milo_session_length(s) == read) &&
                 near_all(milo_session_logits(s), all + (read - 1) * VOCAB, VOCAB);
        }
        if (!good) printf("# variant %d, %s, way %zu\n", variant, devices[device], way);
        milo_session_destroy(s);
      }
      free(all);
      milo_model_destroy(model);
    }
}

static void test_one_token_model(void) {
  milo_model_config config = config_of(2);
  config.seq = 1;
  milo_model *model = make_model(&config);
  const uint32_t ids[] = {3, 4, 5}, outside[] = {3, VOCAB};
  float logits[VOCAB], loss;
  CHECK(milo_model_logits(ctx, model, NULL, ids, 1, logits) == MILO_OK);
  CHECK(milo_model_losses(ctx, model, NULL, ids, 2, &loss) == MILO_OK && loss > 0);
  fails_with(milo_model_logits(ctx, model, NULL, ids, 2, logits), MILO_ERR_INVALID, "at most 1");
  fails_with(milo_model_losses(ctx, model, NULL, ids, 3, logits), MILO_ERR_INVALID, "at most 1");
  fails_with(milo_model_losses(ctx, model, NULL, ids, 1, &loss), MILO_ERR_INVALID, "at least 2");
  fails_with(milo_model_losses(ctx, model, NULL, outside, 2, &loss), MILO_ERR_INVALID,
             "token 1 is 50");
  fails_with(milo_model_logits(ctx, model, NULL, outside + 1, 1, logits), MILO_ERR_INVALID,
             "token 0 is 50");
  CHECK(milo_model_logits(ctx, model, "npu", ids, 1, logits) == MILO_ERR_NOT_FOUND);
  milo_session *s = open_session(model, "cpu");
  CHECK(milo_session_limit(s) == 1 && milo_session_feed(s, ids, 1) == MILO_OK);
  near_all(milo_session_logits(s), logits, VOCAB);
  CHECK(milo_session_feed(s, ids, 1) == MILO_ERR_INVALID);
  CHECK(milo_session_rewind(s, 0) == MILO_OK && milo_session_feed(s, ids, 1) == MILO_OK);
  near_all(milo_session_logits(s), logits, VOCAB);
  milo_session_destroy(s);
  milo_model_destroy(model);
}

// ---- rewinding and failures ----

// A branch times a power of two is the same bits as its last matrix times it.
static void test_residual_scale(void) {
  static float got[SEQ * VOCAB], wanted[SEQ * VOCAB];
  uint32_t ids[40];
  fill_ids(ids, 40);
  milo_model_config config = config_of(1);
  milo_model *plain = make_model(&config);
  for (size_t layer = 0; layer < 2; layer++)
    for (int i = 0; i < 2; i++) {
      const milo_parameter *p = milo_model_param(plain, i ? MILO_TENSOR_w2 : MILO_TENSOR_wo, layer);
      const size_t elements = milo_buffer_bytes(p->buffer) / sizeof(float);
      float *data = milo_buffer_map(p->buffer, MILO_READ_WRITE);
      for (size_t k = 0; k < elements; k++) data[k] /= 4;
      CHECK(milo_buffer_unmap(p->buffer, data, MILO_READ_WRITE) == MILO_OK);
    }
  config.residual_scale = 0.25;
  milo_model *scaled = make_model(&config);
  for (size_t d = 0; milo_device_name(d); d++) {
    const char *device = milo_device_name(d);
    CHECK(milo_model_logits(ctx, plain, device, ids, 40, wanted) == MILO_OK);
    CHECK(milo_model_logits(ctx, scaled, device, ids, 40, got) == MILO_OK);
    same_bits(got, wanted, 40 * VOCAB);
    CHECK(milo_model_losses(ctx, plain, device, ids, 40, wanted) == MILO_OK);
    CHECK(milo_model_losses(ctx, scaled, device, ids, 40, got) == MILO_OK);
    same_bits(got, wanted, 39);
    milo_eval_result a, b;
    milo_eval_options options = MILO_OPTIONS_INIT(milo_eval_options);
    options.device = device;
    CHECK(milo_eval(ctx, plain, ids, 40, &options, &a) == MILO_OK);
    CHECK(milo_eval(ctx, scaled, ids, 40, &options, &b) == MILO_OK);
    CHECK(a.loss == b.loss && isfinite(a.loss));
  }
  // A model that ignored it would say something else.
  config.residual_scale = 0;
  milo_model *other = make_model(&config);
  CHECK(milo_model_logits(ctx, other, NULL, ids, 40, wanted) == MILO_OK);
  CHECK(milo_model_logits(ctx, scaled, NULL, ids, 40, got) == MILO_OK);
  CHECK(fabsf(got[39 * VOCAB] - wanted[39 * VOCAB]) > 1e-3f);
  milo_model_destroy(plain);
  milo_model_destroy(scaled);
  milo_model_destroy(other);
}

static void test_rewind(void) {
  uint32_t ids[MANY];
  fill_ids(ids, MANY);
  const milo_model_config config = config_of(1);
  milo_model *model = make_model(&config);
  const uint32_t other[] = {9, 8, 7};
  milo_session *s = open_session(model, "cpu"), *fresh = open_session(model, "cpu");
  CHECK(milo_session_feed(s, ids, 12) == MILO_OK && milo_session_feed(s, ids, 9) == MILO_OK);
  CHECK(milo_session_rewind(s, 12) == MILO_OK && milo_session_length(s) == 12);
  CHECK(milo_session_logits(s) == NULL);
  fails_with(milo_session_rewind(s, 13), MILO_ERR_INVALID, "cannot rewind to 13 tokens, 12");
  CHECK(milo_session_feed(fresh, ids, 12) == MILO_OK);
  CHECK(milo_session_feed(s, other, 3) == MILO_OK && milo_session_feed(fresh, other, 3) == MILO_OK);
  same_bits(milo_session_logits(s), milo_session_logits(fresh), VOCAB);
  CHECK(milo_session_rewind(s, 15) == MILO_OK);  // nothing is forgotten
  same_bits(milo_session_logits(s), milo_session_logits(fresh), VOCAB);
  // From beyond the first room to its middle: more room, so other programs.
  CHECK(milo_session_feed(s, ids, 500) == MILO_OK && milo_session_rewind(s, 15) == MILO_OK);
  CHECK(milo_session_feed(s, ids, 20) == MILO_OK && milo_session_feed(fresh, ids, 20) == MILO_OK);
  near_all(milo_session_logits(s), milo_session_logits(fresh), VOCAB);
  CHECK(milo_session_rewind(s, 0) == MILO_OK && milo_session_feed(s, other, 3) == MILO_OK);
  CHECK(milo_session_rewind(fresh, 0) == MILO_OK && milo_session_feed(fresh, other, 3) == MILO_OK);
  near_all(milo_session_logits(s), milo_session_logits(fresh), VOCAB);
  milo_session_destroy(s);
  milo_session_destroy(fresh);
  milo_model_destroy(model);
}

static bool stop_at_zero(void *user) { return (*(int *)user)-- == 0; }

static void test_failures_leave_it(void) {
  uint32_t ids[MANY];
  fill_ids(ids, MANY);
  for (size_t i = 0; i < MANY; i++) ids[i] = ids[i] == 11 ? 12 : ids[i];
  const milo_model_config config = config_of(2);
  milo_model *model = make_model(&config);
  const float nan_value = NAN;  // in what token 11 becomes
  CHECK(milo_parameter_set(milo_model_param(model, MILO_TENSOR_embedding, 0), 11 * 16, 1,
                           &nan_value, NULL) == MILO_OK);
  const uint32_t outside[] = {4, 5, VOCAB}, bad[] = {4, 11};
  for (int device = 0; device < 2; device++) {
    int countdown = -1;
    milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
    options.device = device ? "cpu" : "ref";
    options.stop = stop_at_zero;
    options.user = &countdown;
    options.limit = 299;
    milo_session *s = NULL, *fresh = open_session(model, options.device);
    CHECK(milo_session_create(ctx, model, &options, &s) == MILO_OK);
    CHECK(milo_session_feed(s, ids, 6) == MILO_OK && milo_session_feed(fresh, ids, 6) == MILO_OK);
    float before[VOCAB];
    memcpy(before, milo_session_logits(s), sizeof before);
    fails_with(milo_session_feed(s, ids, 0), MILO_ERR_INVALID, "no tokens");
    fails_with(milo_session_feed(s, outside, 3), MILO_ERR_INVALID, "token 2 is 50");
    fails_with(milo_session_feed(s, ids, 294), MILO_ERR_INVALID,
               "294 tokens after 6: the sequence has at most 299");
    fails_with(milo_session_feed(s, bad, 2), MILO_ERR_NUMERIC, "not finite after 8 tokens");
    CHECK(milo_session_length(s) == 6);
    same_bits(milo_session_logits(s), before, VOCAB);
    // Stopped at every place, in the second part of a feed that needed more room, too.
    int stops = 0;
    for (int at = 0; at < 20; at++) {
      countdown = at;
      const milo_status status = milo_session_feed(s, ids, 280);
      if (status == MILO_OK) break;
      fails_with(status, MILO_ERR_INTERRUPTED, "reading tokens was stopped");
      stops++;
      CHECK(milo_session_length(s) == 6);
      same_bits(milo_session_logits(s), before, VOCAB);
    }
    CHECK(stops == 6);  // before each of three layers, twice
    CHECK(milo_session_feed(fresh, ids, 280) == MILO_OK);
    near_all(milo_session_logits(s), milo_session_logits(fresh), VOCAB);
    milo_session_destroy(s);
    milo_session_destroy(fresh);
  }
  milo_model_destroy(model);
}

static void test_creation(void) {
  const milo_model_config config = config_of(0);
  milo_model *model = make_model(&config);
  milo_session *s = NULL;
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  options.limit = SEQ + 1;
  fails_with(milo_session_create(ctx, model, &options, &s), MILO_ERR_INVALID, "601 tokens wanted");
  CHECK(s == NULL);
  options.limit = SEQ;
  options.device = "npu";
  CHECK(milo_session_create(ctx, model, &options, &s) == MILO_ERR_NOT_FOUND && s == NULL);
  options = (milo_session_options){.limit = 3};
  fails_with(milo_session_create(ctx, model, &options, &s), MILO_ERR_INVALID, "MILO_OPTIONS_INIT");
  CHECK(milo_session_create(ctx, model, NULL, &s) == MILO_OK);
  milo_session_destroy(s);
  milo_session_destroy(NULL);
  milo_model_destroy(model);
}

// What a session was made from may go before it.
static void test_lifetimes(void) {
  milo_ctx *mine = NULL;
  milo_model *model = NULL;
  milo_session *a = NULL, *b = NULL;
  const milo_model_config config = config_of(0);
  const uint32_t ids[] = {1, 2, 3};
  CHECK(milo_ctx_create(NULL, &mine) == MILO_OK);
  CHECK(milo_model_create(mine, &config, 3, &model) == MILO_OK);
  CHECK(milo_session_create(mine, model, NULL, &a) == MILO_OK);
  CHECK(milo_session_create(mine, model, NULL, &b) == MILO_OK);
  CHECK(milo_session_feed(a, ids, 2) == MILO_OK);
  milo_model_destroy(model);
  milo_ctx_destroy(mine);
  CHECK(milo_session_feed(a, ids + 2, 1) == MILO_OK);
  milo_session_destroy(a);
  uint32_t token;
  CHECK(milo_session_feed(b, ids, 3) == MILO_OK);
  CHECK(milo_session_sample(b, 1, 0, 1, &token) == MILO_OK && token < VOCAB);
  milo_session_destroy(b);
}

// ---- what a model's description says ----

static uint64_t cache_for(const milo_model_config *c, uint64_t tokens) {
  return (uint64_t)(2 * c->layers * c->heads * (c->dim / c->heads)) * tokens * sizeof(float);
}

static void test_memory_follows_what_is_read(void) {
  milo_model_config config = config_of(0);
  config.seq = 40960;
  milo_model *model = make_model(&config);
  uint32_t ids[MANY];
  fill_ids(ids, MANY);
  milo_session *s = open_session(model, "cpu");
  CHECK(milo_session_limit(s) == 40960 && milo_session_cache_bytes(s) == 0);
  CHECK(milo_session_feed(s, ids, 3) == MILO_OK);
  CHECK(milo_session_cache_bytes(s) == cache_for(&config, 256));
  for (size_t read = 3; read < 2003; read += 500) {
    CHECK(milo_session_feed(s, ids, 500) == MILO_OK);
    const size_t bytes = milo_session_cache_bytes(s);
    CHECK(bytes >= cache_for(&config, read + 500) && bytes < cache_for(&config, 2 * (read + 500)));
  }
  milo_session_destroy(s);
  milo_session_options options = MILO_OPTIONS_INIT(milo_session_options);
  options.limit = 10;
  CHECK(milo_session_create(ctx, model, &options, &s) == MILO_OK);
  CHECK(milo_session_feed(s, ids, 3) == MILO_OK);
  CHECK(milo_session_cache_bytes(s) == cache_for(&config, 10));
  milo_session_destroy(s);
  milo_model_destroy(model);
}

enum { DRAWN = 40 };

static size_t generated(const milo_model *model, uint32_t *out) {
  milo_generate_options options = MILO_OPTIONS_INIT(milo_generate_options);
  options.steps = DRAWN;
  options.temperature = 1;
  options.top_p = 0.95;
  options.seed = 6;
  const uint32_t prompt[] = {3, 1, 4};
  uint32_t *ids = NULL;
  size_t count = 0;
  if (!CHECK(milo_generate(ctx, model, prompt, 3, &options, &ids, &count, NULL) == MILO_OK))
    return 0;
  memcpy(out, ids, count * sizeof *ids);
  milo_free(ids);
  return count;
}

static void test_sampling(void) {
  milo_model_config config = config_of(1);
  config.stop_count = -1;
  milo_model *model = make_model(&config);
  milo_session *s = open_session(model, "cpu");
  uint32_t ids[DRAWN], token = 99, again;
  fails_with(milo_session_sample(s, 0, 0, 0, &token), MILO_ERR_INVALID, "no token was read");
  CHECK(token == 0);
  CHECK(generated(model, ids) == DRAWN);
  // The same draws as generation's.
  CHECK(milo_session_feed(s, ids, 3) == MILO_OK);
  for (size_t i = 3; i < DRAWN; i++) {
    CHECK(milo_session_sample(s, 1, 0.95, 6, &token) == MILO_OK);
    if (!CHECK(token == ids[i])) break;
    CHECK(milo_session_feed(s, &token, 1) == MILO_OK);
  }
  const float *logits = milo_session_logits(s);
  CHECK(milo_session_sample(s, 0, 0, 0, &token) == MILO_OK);
  for (size_t k = 0; k < VOCAB; k++) CHECK(logits[k] < logits[token] || k == token);
  CHECK(milo_session_sample(s, 1, 1e-9, 3, &again) == MILO_OK && again == token);
  bool seen[VOCAB] = {false};
  size_t kinds = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    CHECK(milo_session_sample(s, 3, 0, seed, &token) == MILO_OK);
    CHECK(milo_session_sample(s, 3, 1, seed, &again) == MILO_OK && again == token);
    kinds += !seen[token];
    seen[token] = true;
  }
  CHECK(kinds > 10);
  const double wrong[] = {-1, INFINITY, NAN, 0, 0, 0}, wrong_p[] = {0, 0, 0, -0.1, 1.1, NAN};
  for (size_t i = 0; i < 6; i++)
    fails_with(milo_session_sample(s, wrong[i], wrong_p[i], 0, &token), MILO_ERR_INVALID,
               i < 3 ? "temperature is" : "top_p is");
  CHECK(milo_session_length(s) == DRAWN && milo_session_rewind(s, 5) == MILO_OK);
  fails_with(milo_session_sample(s, 0, 0, 0, &token), MILO_ERR_INVALID, "was rewound");
  milo_session_destroy(s);
  milo_model_destroy(model);
}

// Generation ends before the first stop token.
static void test_stop_tokens(void) {
  milo_model_config config = config_of(0);
  uint32_t free_ids[DRAWN], ids[DRAWN];
  config.stop_count = -1;
  milo_model *model = make_model(&config);
  CHECK(generated(model, free_ids) == DRAWN);
  for (uint32_t k = 0; k < VOCAB; k++) CHECK(!milo_model_stops(model, k));
  milo_model_destroy(model);
  for (int32_t count = 1; count <= MILO_MAX_STOP_TOKENS; count++) {
    // The last of them ends it; tokens that do not come fill the list.
    config.stop_count = count;
    uint32_t unused = 0;
    for (int32_t i = 0; i < count - 1; i++, unused++) {
      for (size_t k = 3; k < DRAWN; k++)
        if (free_ids[k] == unused) unused++, k = 2;
      config.stop_tokens[i] = unused % VOCAB;
    }
    config.stop_tokens[count - 1] = free_ids[20];
    size_t end = 3;
    while (free_ids[end] != free_ids[20]) end++;
    model = make_model(&config);
    for (int32_t i = 0; i < count; i++) CHECK(milo_model_stops(model, config.stop_tokens[i]));
    CHECK(end > 3 && generated(model, ids) == end);
    CHECK(memcmp(ids, free_ids, end * sizeof *ids) == 0);
    milo_model_destroy(model);
  }
  config.stop_count = 0;  // those of llama2.c
  model = make_model(&config);
  CHECK(milo_model_stops(model, 1) && milo_model_stops(model, 2) && !milo_model_stops(model, 0));
  milo_model_destroy(model);
  static const struct {
    int32_t count;
    uint32_t token;
    const char *words;
  } bad[] = {{-2, 0, "-2 stop tokens"}, {9, 0, "9 stop tokens"}, {1, VOCAB, "stop token 50"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    config.stop_count = bad[i].count;
    config.stop_tokens[0] = bad[i].token;
    fails_with(milo_model_create(ctx, &config, 1, &model), MILO_ERR_INVALID, bad[i].words);
  }
}

int main(void) {
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_any_parts);
  RUN(test_one_token_model);
  RUN(test_residual_scale);
  RUN(test_rewind);
  RUN(test_failures_leave_it);
  RUN(test_creation);
  RUN(test_lifetimes);
  RUN(test_memory_follows_what_is_read);
  RUN(test_sampling);
  RUN(test_stop_tokens);
  milo_ctx_destroy(ctx);
  return tap_done();
}
