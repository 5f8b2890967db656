// SPDX-License-Identifier: MIT
// ctest: LABELS shared
// The trained model of the reference data, on every device: greedy tokens and cross-entropies are
// those that llama2.c gives.
#include <milo/milo.h>

#include "tap.h"

static char model_path[512];

static char *in_shared(const char *name, char *path, size_t bytes) {
  const char *shared = getenv("MILO_SHARED");
  snprintf(path, bytes, "%s/data/%s", shared ? shared : "", name);
  return shared && access(path, R_OK) == 0 ? path : NULL;
}

// The first number of each line of a text, after `skip` others; # begins a comment line.
static size_t read_column(const char *path, int skip, double *out, size_t max) {
  FILE *file = fopen(path, "r");
  char line[65536];
  size_t count = 0;
  while (file && fgets(line, sizeof line, file)) {
    if (line[0] == '#') continue;
    char *at = line;
    for (int i = 0; i < skip; i++) strtod(at, &at);
    if (count < max) out[count++] = strtod(at, &at);
  }
  if (file) fclose(file);
  return count;
}

static void check_greedy(milo_ctx *ctx, const milo_model *model, const char *device) {
  char path[512];
  FILE *file = fopen(in_shared("expected/stories260K.greedy_tokens.txt", path, sizeof path), "r");
  const uint32_t prompt[] = {1};
  uint32_t *ids = NULL;
  size_t count = 0;
  milo_generate_options options = {.struct_bytes = sizeof options, .device = device, .steps = 257};
  if (!CHECK(file && milo_generate(ctx, model, prompt, 1, &options, &ids, &count, NULL) == MILO_OK))
    printf("# %s: %s\n", device, milo_error(ctx));
  unsigned wanted;
  size_t i = 0;
  for (; file && i < count && fscanf(file, "%u", &wanted) == 1; i++)
    if (!CHECK(ids[i] == wanted)) break;
  CHECK(i == 257);
  if (file) fclose(file);
  milo_free(ids);
}

static float got[512];
static size_t got_count;
static void keep_losses(void *user, const float *losses, size_t count) {
  (void)user;
  for (size_t i = 0; i < count && got_count < 512; i++) got[got_count++] = losses[i];
}

static void check_losses(milo_ctx *ctx, const milo_model *model, const char *device) {
  char path[512];
  double wanted[512];
  const char *table = in_shared("expected/stories260K.ce_seq0.tsv", path, sizeof path);
  if (!CHECK(table && read_column(table, 3, wanted, 512) == 512)) return;
  uint32_t *ids = NULL;
  size_t count = 0;
  char *tokens = in_shared("tinystories/tinystories_a.tok512.u16", path, sizeof path);
  if (!CHECK(milo_tokens_load(ctx, tokens, 512, &ids, &count) == MILO_OK)) return;
  milo_eval_options options = {.struct_bytes = sizeof options,
                               .device = device,
                               .max_tokens = 512,
                               .on_losses = keep_losses};
  milo_eval_result result;
  got_count = 0;
  if (!CHECK(milo_eval(ctx, model, ids, count, &options, &result) == MILO_OK))
    printf("# %s: %s\n", device, milo_error(ctx));
  CHECK(got_count == 512 && result.tokens == 512);
  double mean = 0;
  for (size_t i = 0; i < got_count; i++) {
    CHECK_NEAR((double)got[i], wanted[i], 1e-3);
    mean += wanted[i] / 512;
  }
  CHECK_NEAR(result.loss, mean, 1e-5);
  milo_free(ids);
}

static void on_each_device(void (*check)(milo_ctx *, const milo_model *, const char *)) {
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  if (CHECK(milo_model_load(ctx, model_path, &model) == MILO_OK))
    for (size_t i = 0; milo_device_name(i); i++) check(ctx, model, milo_device_name(i));
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

static bool have_data(void) {
  return in_shared("checkpoints/stories260K.bin", model_path, sizeof model_path) != NULL;
}

static void test_greedy_tokens(void) {
  if (!have_data()) SKIP("shared reference data is not here");
  on_each_device(check_greedy);
}

static void test_cross_entropy_by_position(void) {
  if (!have_data()) SKIP("shared reference data is not here");
  on_each_device(check_losses);
}

int main(void) {
  RUN(test_greedy_tokens);
  RUN(test_cross_entropy_by_position);
  return tap_done();
}
