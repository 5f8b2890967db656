// SPDX-License-Identifier: MIT
// ctest: LABELS native TIMEOUT 600
// Tokenizers, training, generation and evaluation where every call of the system fails once
// (scenario.h).
#include "faults/scenario.h"

enum { VOCAB = 24, TOKENS = 400 };

static void copy_file(const char *from, const char *to) {
  static char data[1 << 16];
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  bool right = in && out;
  for (size_t bytes; right && (bytes = fread(data, 1, sizeof data, in)) > 0;)
    right = fwrite(data, 1, bytes, out) == bytes;
  if (in) fclose(in);
  if (out && fclose(out) != 0) right = false;
  if (!right) printf("# cannot copy %s to %s\n", from, to);
  CHECK(right);
}

// ---- tokens -------------------------------------------------------------------------------------

static const char sentence[] =
    "the cat sat on the mat<|endoftext|>the dog lay by the door, the cat sat on the dog, and a "
    "little mouse, who had seen it all from under the cupboard, went home to tell her sisters";

static void save_tokens(uint32_t first) {
  milo_ctx *ctx = NULL;
  const uint32_t ids[] = {first, 5, 6, 7};
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  CHECK(milo_tokens_save(ctx, in_folder("ids.bin"), 300, ids, 4) == MILO_OK);
  milo_ctx_destroy(ctx);
}

static void set_up_tokens(void) {
  each_file(folder, remove_file);
  milo_ctx *ctx = NULL;
  milo_tokenizer *tokenizer = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  if (!CHECK(milo_tokenizer_train(ctx, sentence, sizeof sentence - 1, 301, NULL, &tokenizer) ==
             MILO_OK))
    printf("# %s\n", milo_error(ctx));
  CHECK(milo_tokenizer_save(ctx, tokenizer, in_folder("t.bin")) == MILO_OK);
  CHECK(milo_file_save(ctx, in_folder("text"), sentence, sizeof sentence - 1) == MILO_OK);
  milo_tokenizer_destroy(tokenizer);
  milo_ctx_destroy(ctx);
  save_tokens(4);
}

static milo_status tokenize(milo_ctx *ctx) {
  milo_tokenizer *learnt = NULL, *loaded = NULL;
  uint32_t *ids = NULL, *again = NULL;
  char *text = NULL, *spoken = NULL;
  size_t bytes = 0, spoken_bytes = 0, count = 0, again_count = 0;
  milo_status status = milo_file_load(ctx, in_folder("text"), &text, &bytes);
  if (status == MILO_OK) status = milo_tokenizer_train(ctx, text, bytes, 300, NULL, &learnt);
  if (status == MILO_OK) status = milo_tokenizer_save(ctx, learnt, in_folder("t.bin"));
  if (status == MILO_OK) status = milo_tokenizer_load(ctx, in_folder("t.bin"), 0, &loaded);
  if (status == MILO_OK)
    status = milo_tokenizer_encode_documents(ctx, loaded, text, bytes, NULL, &ids, &count);
  if (status == MILO_OK) status = milo_tokens_save(ctx, in_folder("ids.bin"), 300, ids, count);
  if (status == MILO_OK)
    status = milo_tokens_load(ctx, in_folder("ids.bin"), 300, &again, &again_count);
  if (status == MILO_OK)
    status = milo_tokenizer_decode(ctx, loaded, again, again_count, &spoken, &spoken_bytes);
  milo_tokenizer_destroy(learnt);
  milo_tokenizer_destroy(loaded);
  milo_free(text);
  milo_free(spoken);
  milo_free(ids);
  milo_free(again);
  return status;
}

static bool tokens_hold(bool succeeded) {
  milo_ctx *ctx = NULL;
  milo_tokenizer *tokenizer = NULL;
  uint32_t *ids = NULL;
  size_t count = 0;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  const bool loads = milo_tokenizer_load(ctx, in_folder("t.bin"), 0, &tokenizer) == MILO_OK &&
                     milo_tokens_load(ctx, in_folder("ids.bin"), 301, &ids, &count) == MILO_OK;
  const size_t vocab = loads ? milo_tokenizer_vocab(tokenizer) : 0;
  const bool old = vocab == 301 && count == 4, new = vocab == 300 && count > 10;
  milo_free(ids);
  milo_tokenizer_destroy(tokenizer);
  milo_ctx_destroy(ctx);
  return new || (!succeeded && (old || (vocab == 300 && count == 4)));
}

static void test_tokens(void) {
  const scenario s = {.calls = "read mmap write fsync rename malloc realloc",
                      .set_up = set_up_tokens,
                      .run = tokenize,
                      .holds = tokens_hold};
  run_scenario(&s);
  print_counts();
}

// ---- models -------------------------------------------------------------------------------------

static uint32_t ids[TOKENS];
static char kept[256];  // finished and interrupted runs, made once

static const char *in_kept(const char *name) {
  static char path[4][512];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(path[turn], sizeof path[turn], "%s/%s", kept, name);
  return path[turn];
}

static milo_status train(milo_ctx *ctx, const char *out_dir, bool resume, uint64_t stop_after) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = 8,
                                    .hidden = 12,
                                    .layers = 1,
                                    .heads = 2,
                                    .kv_heads = 1,
                                    .head_dim = 4,
                                    .seq = 6,
                                    .vocab = VOCAB};
  const milo_train_options options = {.struct_bytes = sizeof options,
                                      .out_dir = out_dir,
                                      .resume = resume,
                                      .steps = 4,
                                      .stop_after = stop_after,
                                      .batch = 2,
                                      .eval_every = 2,
                                      .eval_batches = 1,
                                      .save_every = 1};
  milo_model *model = NULL;
  milo_train_result result;
  milo_status status = milo_model_create(ctx, &config, 5, &model);
  if (status == MILO_OK) status = milo_train(ctx, model, ids, TOKENS, &options, &result);
  milo_model_destroy(model);
  return status;
}

static const char *const run_files[] = {"checkpoint.milo", "metrics.jsonl", "model.bin",
                                        "model.json"};

static void make_runs(void) {
  for (size_t i = 0; i < TOKENS; i++) ids[i] = (uint32_t)(3 + i * i % 7 * 3 % (VOCAB - 3));
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  if (!CHECK(train(ctx, in_kept("half"), false, 2) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  CHECK(train(ctx, in_kept("whole"), false, 0) == MILO_OK);
  milo_ctx_destroy(ctx);
}

static void set_up_nothing(void) { each_file(folder, remove_file); }

static void set_up_half(void) {
  each_file(folder, remove_file);
  for (size_t i = 0; i < 4; i++) {
    char from[64];
    snprintf(from, sizeof from, "half/%s", run_files[i]);
    copy_file(in_kept(from), in_folder(run_files[i]));
  }
}

static bool model_loads(const char *path) {
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  const bool loads = milo_model_load(ctx, path, &model) == MILO_OK;
  if (!loads) printf("# %s\n", milo_error(ctx));
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return loads;
}

static bool is_finished_run(void) {
  bool same = same_file(in_folder("checkpoint.milo"), in_kept("whole/checkpoint.milo"));
  same = same && same_file(in_folder("model.bin"), in_kept("whole/model.bin"));
  return same && same_file(in_folder("model.json"), in_kept("whole/model.json"));
}

// What is there loads; a run that was cut short goes on, to the same bits.
static bool run_holds(bool succeeded) {
  if (succeeded) return is_finished_run();
  if (access(in_folder("model.bin"), F_OK) == 0 && !model_loads(in_folder("model.bin")))
    return false;
  if (access(in_folder("checkpoint.milo"), F_OK) != 0) return true;
  if (!model_loads(folder)) return false;
  if (same_file(in_folder("checkpoint.milo"), in_kept("half/checkpoint.milo"))) return true;
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  const milo_status status = train(ctx, folder, true, 0);
  if (status != MILO_OK) printf("# %s\n", milo_error(ctx));
  milo_ctx_destroy(ctx);
  return status == MILO_OK && is_finished_run();
}

static bool resumed_holds(bool succeeded) {
  return access(in_folder("checkpoint.milo"), F_OK) == 0 && run_holds(succeeded);
}

static milo_status train_anew(milo_ctx *ctx) { return train(ctx, folder, false, 0); }
static milo_status train_on(milo_ctx *ctx) { return train(ctx, folder, true, 0); }

static void test_train(void) {
  const scenario s = {.calls = "calloc posix_memalign aligned_alloc write fsync rename fopen",
                      .set_up = set_up_nothing,
                      .run = train_anew,
                      .holds = run_holds};
  run_scenario(&s);
  print_counts();
}

static void test_resume(void) {
  const scenario s = {.calls = "mmap read write fsync rename fopen",
                      .set_up = set_up_half,
                      .run = train_on,
                      .holds = resumed_holds};
  run_scenario(&s);
  print_counts();
}

static milo_status generate(milo_ctx *ctx) {
  const milo_generate_options options = {
      .struct_bytes = sizeof options, .steps = 6, .temperature = 1, .top_p = 0.9, .seed = 3};
  milo_model *model = NULL, *again = NULL;
  milo_model_config config;
  uint32_t *out = NULL;
  size_t count = 0;
  milo_eval_result result;
  const milo_eval_options eval = {.struct_bytes = sizeof eval, .max_tokens = 40};
  milo_status status = milo_model_config_load(ctx, in_kept("whole/model.json"), &config);
  if (status == MILO_OK) status = milo_model_load(ctx, in_kept("whole"), &model);
  if (status == MILO_OK) status = milo_generate(ctx, model, ids, 2, &options, &out, &count, NULL);
  if (status == MILO_OK) status = milo_eval(ctx, model, ids, TOKENS, &eval, &result);
  if (status == MILO_OK) status = milo_model_save(ctx, model, in_folder("model.bin"), true);
  if (status == MILO_OK) status = milo_model_load(ctx, in_folder("model.bin"), &again);
  milo_model_destroy(again);
  milo_model_destroy(model);
  milo_free(out);
  return status;
}

static bool model_holds(bool succeeded) {
  (void)succeeded;
  return model_loads(in_folder("model.bin"));
}

static void test_generate(void) {
  const scenario s = {.calls = "mmap read write fsync rename calloc posix_memalign",
                      .set_up = set_up_half,
                      .run = generate,
                      .holds = model_holds};
  run_scenario(&s);
  print_counts();
}

int main(void) {
  snprintf(kept, sizeof kept, "/tmp/milo-faults-kept-XXXXXX");
  threads = 1;  // thousands of runs: with more, they would wait for each other on a busy machine
  if (!make_folder() || !mkdtemp(kept)) return 1;
  RUN(make_runs);
  RUN(test_tokens);
  RUN(test_train);
  RUN(test_resume);
  RUN(test_generate);
  each_file(folder, remove_file);
  rmdir(folder);
  each_file(in_kept("half"), remove_file);
  each_file(in_kept("whole"), remove_file);
  rmdir(in_kept("half"));
  rmdir(in_kept("whole"));
  rmdir(kept);
  return tap_done();
}
