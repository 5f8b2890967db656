// SPDX-License-Identifier: MIT
// 50 training steps against PyTorch's numbers (tests/oracle/train_parity.py, which says the same of
// model, data and options), on every device: loss and gradient norm within 1e-4.
#include <milo/milo.h>

#include "base/rng.h"
#include "tap.h"

enum { STEPS = 50, TOKENS = 5000, VOCAB = 50 };

typedef struct curve {
  double loss[STEPS], norm[STEPS];
  size_t count;
} curve;

static const char *const model_names[] = {"tied", "untied", "scaled", "qwen3"};

static milo_model_config model_config(size_t i) {
  const milo_model_config configs[] = {
      {.struct_bytes = sizeof(milo_model_config),
       .dim = 24,
       .hidden = 40,
       .layers = 3,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 6,
       .seq = 32,
       .vocab = VOCAB},
      {.struct_bytes = sizeof(milo_model_config),
       .dim = 16,
       .hidden = 20,
       .layers = 1,
       .heads = 2,
       .kv_heads = 2,
       .head_dim = 8,
       .seq = 24,
       .vocab = VOCAB,
       .untied = true},
      {.struct_bytes = sizeof(milo_model_config),
       .dim = 24,
       .hidden = 40,
       .layers = 3,
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 6,
       .seq = 32,
       .vocab = VOCAB,
       .residual_scale = 0.408248290463863},
  };
  return configs[i];
}

static void make_tokens(uint32_t *ids) {
  uint32_t last = 0;
  for (uint64_t i = 0; i < TOKENS; i++) {
    last = milo_rng_below(77, 5, 2 * i, 4) == 0 ? (uint32_t)milo_rng_below(77, 5, 2 * i + 1, VOCAB)
                                                : (3 * last + 1) % VOCAB;
    ids[i] = last;
  }
}

static bool read_fixture(const char *model, curve *out) {
  FILE *file = fopen("tests/oracle/train_parity.tsv", "r");
  char line[256], name[64];
  int step;
  double loss, norm;
  out->count = 0;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, "%63s %d %lf %lf", name, &step, &loss, &norm) == 4 &&
        strcmp(name, model) == 0 && out->count < STEPS && step == (int)out->count + 1) {
      out->loss[out->count] = loss;
      out->norm[out->count++] = norm;
    }
  if (file) fclose(file);
  return out->count == STEPS;
}

static bool keep(void *user, const milo_train_report *r) {
  curve *c = user;
  c->loss[c->count] = r->loss;
  c->norm[c->count++] = r->grad_norm;
  return true;
}

static void check_device(const char *device, size_t i) {
  static uint32_t ids[TOKENS];
  curve wanted, got = {.count = 0};
  make_tokens(ids);
  if (!CHECK(read_fixture(model_names[i], &wanted))) return;
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  if (i == 3) {  // transformers' own model
    CHECK(milo_model_load(ctx, "tests/oracle/hf/qwen3_tied", &model) == MILO_OK);
  } else {
    const milo_model_config config = model_config(i);
    CHECK(milo_model_create(ctx, &config, 9, &model) == MILO_OK);
  }
  const milo_train_options options = {.struct_bytes = sizeof options,
                                      .device = device,
                                      .steps = STEPS,
                                      .batch = 4,
                                      .seq = 24,
                                      .lr = 1e-2,
                                      .warmup = 10,
                                      .seed = 9,
                                      .on_step = keep,
                                      .user = &got};
  if (!CHECK(milo_train(ctx, model, ids, TOKENS, &options, NULL) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  // Seen: 2e-7; of qwen3, whose weights are larger, 1.5e-5.
  const double bound = i == 3 ? 5e-5 : 1e-6;
  double worst[2] = {0, 0};
  for (size_t step = 0; step < got.count; step++) {
    CHECK_NEAR(got.loss[step], wanted.loss[step], bound * wanted.loss[step]);
    CHECK_NEAR(got.norm[step], wanted.norm[step], bound * wanted.norm[step]);
    worst[0] = fmax(worst[0], fabs(got.loss[step] / wanted.loss[step] - 1));
    worst[1] = fmax(worst[1], fabs(got.norm[step] / wanted.norm[step] - 1));
  }
  CHECK(got.count == STEPS && got.loss[STEPS - 1] < 0.75 * got.loss[0]);
  printf("# %s, %s: worst relative difference of loss %.1e, of the gradient norm %.1e\n", device,
         model_names[i], worst[0], worst[1]);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

static void test_first_50_steps(void) {
  for (size_t i = 0; i < sizeof model_names / sizeof *model_names; i++)
    for (size_t d = 0; milo_device_name(d); d++) check_device(milo_device_name(d), i);
}

int main(void) {
  RUN(test_first_50_steps);
  return tap_done();
}
