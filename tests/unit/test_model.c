// SPDX-License-Identifier: MIT
#include <stdint.h>

#include "base/file.h"
#include "model/config.h"
#include "model/llama2c.h"
#include "model/model.h"
#include "tap.h"
#include "train/store.h"

static char folder[256];

static const char *in_folder(const char *name) {
  static char path[2][512];
  static int turn;
  turn = !turn;
  snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
  return path[turn];
}

static const char *in_shared(const char *name) {
  static char path[2][512];
  static int turn;
  turn = !turn;
  const char *shared = getenv("MILO_SHARED");
  snprintf(path[turn], sizeof path[turn], "%s/%s", shared ? shared : "", name);
  return shared && milo_file_exists(path[turn]) ? path[turn] : NULL;
}

static milo_model_config tiny_config(void) {
  return (milo_model_config){.struct_bytes = sizeof(milo_model_config),
                             .dim = 6,
                             .hidden = 10,
                             .layers = 2,
                             .heads = 3,
                             .kv_heads = 1,
                             .seq = 5,
                             .vocab = 11};
}

static bool fails_with(milo_status status, milo_status wanted, milo_diag *diag, const char *words) {
  const bool ok = CHECK(status == wanted) & CHECK(strstr(milo_diag_text(diag), words) != NULL);
  if (!ok) printf("# status %d: %s\n", (int)status, milo_diag_text(diag));
  milo_diag_clear(diag);
  return ok;
}

static void test_builtin_models(void) {
  milo_model_config c;
  CHECK(milo_model_config_read("stories260K", NULL, &c) == MILO_OK);
  CHECK(c.dim == 64 && c.hidden == 172 && c.layers == 5 && c.heads == 8 && c.kv_heads == 4);
  CHECK(c.head_dim == 8 && c.vocab == 512 && c.seq == 512 && !c.untied);
  CHECK(c.rope_theta == 10000 && c.norm_epsilon == 1e-5);
  milo_weight weights[MILO_WEIGHT_COUNT];
  size_t elements;
  CHECK(milo_model_config_read("stories110M", NULL, &c) == MILO_OK);
  CHECK(milo_model_layout(&c, NULL, weights, &elements) == MILO_OK && elements == 109529856);
  size_t count = 0;
  for (const char *name; (name = milo_model_config_name(count)); count++)
    CHECK(milo_model_config_read(name, NULL, &c) == MILO_OK);
  CHECK(count == 4);
  milo_diag diag = {0};
  fails_with(milo_model_config_read("stories9T", &diag, &c), MILO_ERR_NOT_FOUND, &diag,
             "stories260K, stories15M");
  milo_diag_deinit(&diag);
}

static void test_descriptions(void) {
  milo_model_config a, b;
  milo_diag diag = {0};
  const char *text =
      "{\"name\": \"x\", \"dim\": 8, \"hidden\": 24, \"layers\": 3, \"heads\": 2, \"kv_heads\": 1,"
      "\"head_dim\": 6, \"seq\": 7, \"vocab\": 300, \"rope_theta\": 1e6, \"norm_epsilon\": 1e-6,"
      "\"rope_half\": true, \"qk_norm\": true, \"untied\": true}";
  CHECK(milo_model_config_parse(text, "x.json", &diag, &a) == MILO_OK);
  CHECK(a.head_dim == 6 && a.kv_heads == 1 && a.rope_theta == 1e6 && a.norm_epsilon == 1e-6);
  CHECK(a.rope_half && a.qk_norm && a.untied);
  milo_str printed = {0};
  milo_model_config_print(&a, &printed);
  CHECK(milo_model_config_parse(printed.data, "y.json", &diag, &b) == MILO_OK);
  CHECK(milo_model_config_difference(&a, &b) == NULL);
  b.hidden++;
  CHECK_STR(milo_model_config_difference(&a, &b), "hidden");
  milo_str_deinit(&printed);

  static const struct {
    const char *text, *words;
  } bad[] = {
      {"", "x.json:1:1: error: not a JSON"},
      {"[1]", "is a JSON object"},
      {"{\"dim\": 8", "not a JSON"},
      {"{} x", "not a JSON"},
      {"{\"dim\": 8}", "\"hidden\" is missing"},
      {"{\"dim\": 8, \"dim\": 9}", "given twice"},
      {"{\"dims\": 8}", "unknown field \"dims\""},
      {"{\"dim\": 8.5}", "not a whole number"},
      {"{\"dim\": 1e300}", "not a whole number"},
      {"{\"dim\": \"8\"}", "not a whole number"},
      {"{\"untied\": 1}", "not true or false"},
      {"{\"rope_theta\": true}", "not a number"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    fails_with(milo_model_config_parse(bad[i].text, "x.json", &diag, &a), MILO_ERR_INVALID, &diag,
               bad[i].words);
  CHECK(a.dim == 0);
  milo_diag_deinit(&diag);
}

static void test_configs_are_checked(void) {
  milo_diag diag = {0};
  milo_model_config out;
  milo_model_config c = tiny_config();
  CHECK(milo_model_config_complete(&c, &diag, &out) == MILO_OK);
  CHECK(out.head_dim == 2 && out.kv_heads == 1);
  c.layers = 0;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "layers is 0");
  c = tiny_config(), c.kv_heads = 2;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag,
             "not a multiple");
  c = tiny_config(), c.dim = 9;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "even number");
  c = tiny_config(), c.dim = 30, c.heads = 7;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag,
             "dim (30) is not a multiple of heads (7), so that head_dim must be given");
  c.head_dim = 4;
  CHECK(milo_model_config_complete(&c, &diag, &out) == MILO_OK && out.head_dim == 4);
  c = tiny_config(), c.norm_epsilon = -1;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "norm_epsilon");
  c = tiny_config(), c.rope_theta = -1;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "rope_theta");
  c = tiny_config(), c.vocab = INT64_MAX;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "vocab is");
  milo_diag_deinit(&diag);
}

static void test_random_weights(void) {
  milo_model_config c;
  CHECK(milo_model_config_read("stories260K", NULL, &c) == MILO_OK);
  milo_model *a = NULL, *b = NULL;
  milo_pool *pool = NULL;
  if (!CHECK(milo_model_alloc(&c, NULL, &a) == MILO_OK)) return;
  if (!CHECK(milo_model_alloc(&c, NULL, &b) == MILO_OK)) return;
  CHECK(milo_pool_create(3, NULL, &pool) == MILO_OK);
  CHECK(milo_model_elements(a) == 260032);
  milo_model_randomize(a, 7, NULL);
  milo_model_randomize(b, 7, pool);
  CHECK(memcmp(a->block, b->block, a->block_elements * sizeof(float)) == 0);
  milo_model_randomize(b, 8, pool);
  CHECK(memcmp(a->block, b->block, a->block_elements * sizeof(float)) != 0);
  double sums[3] = {0};
  const float *wq = milo_model_weight(a, MILO_WEIGHT_wq, 1);
  const float *w2 = milo_model_weight(a, MILO_WEIGHT_w2, 4);
  for (size_t i = 0; i < 4096; i++) sums[0] += (double)wq[i] * (double)wq[i];
  for (size_t i = 0; i < 11008; i++) sums[1] += (double)w2[i] * (double)w2[i];
  CHECK_NEAR(sqrt(sums[0] / 4096), 0.02, 0.001);
  CHECK_NEAR(sqrt(sums[1] / 11008), 0.02 / sqrt(10.0), 0.0003);
  CHECK(milo_model_weight(a, MILO_WEIGHT_ffn_norm, 3)[63] == 1);
  CHECK(milo_model_weight(a, MILO_WEIGHT_classifier, 0) == NULL);
  CHECK(milo_model_find_nonfinite(a) == NULL);
  milo_model_weight(a, MILO_WEIGHT_w3, 4)[11007] = NAN;
  CHECK_STR(milo_model_find_nonfinite(a), "w3");
  milo_pool_destroy(pool);
  milo_model_destroy(a);
  milo_model_destroy(b);
}

static bool same_weights(const milo_model *a, const milo_model *b) {
  return a->block_elements == b->block_elements &&
         memcmp(a->block, b->block, a->block_elements * sizeof(float)) == 0;
}

static void test_llama2c_round_trip(void) {
  for (int untied = 0; untied < 2; untied++)
    for (int version1 = 0; version1 < 2; version1++) {
      milo_model_config c = tiny_config();
      c.untied = untied;
      milo_model *a = NULL, *b = NULL;
      if (!CHECK(milo_model_alloc(&c, NULL, &a) == MILO_OK)) return;
      milo_model_randomize(a, 3, NULL);
      const char *path = in_folder("m.bin");
      CHECK(milo_llama2c_write(a, path, version1, NULL) == MILO_OK);
      milo_diag diag = {0};
      if (CHECK(milo_llama2c_read(path, &diag, &b) == MILO_OK)) {
        CHECK(same_weights(a, b));
        CHECK(milo_model_config_difference(&a->config, &b->config) == NULL);
      } else {
        printf("# %s\n", milo_diag_text(&diag));
      }
      milo_diag_deinit(&diag);
      milo_model_destroy(a);
      milo_model_destroy(b);
    }
}

static void test_llama2c_obstacles(void) {
  milo_model_config c = tiny_config();
  c.qk_norm = true;
  milo_model *model = NULL;
  if (!CHECK(milo_model_alloc(&c, NULL, &model) == MILO_OK)) return;
  milo_diag diag = {0};
  const char *path = in_folder("q.bin");
  fails_with(milo_llama2c_write(model, path, false, &diag), MILO_ERR_UNSUPPORTED, &diag, "qk_norm");
  CHECK(!milo_file_exists(path));
  milo_diag_deinit(&diag);
  milo_model_destroy(model);
}

// Every length of a small file, and a byte too many: one message each, nothing allocated is lost.
static void test_llama2c_bad_files(void) {
  milo_diag diag = {0};
  milo_model *model = NULL;
  fails_with(milo_llama2c_read(in_folder("none.bin"), &diag, &model), MILO_ERR_NOT_FOUND, &diag,
             "none.bin");
  for (int version1 = 0; version1 < 2; version1++) {
    const milo_model_config c = tiny_config();
    if (!CHECK(milo_model_alloc(&c, NULL, &model) == MILO_OK)) return;
    const char *path = in_folder("m.bin"), *cut = in_folder("cut.bin");
    CHECK(milo_llama2c_write(model, path, version1, NULL) == MILO_OK);
    milo_model_destroy(model);
    void *data;
    size_t bytes;
    if (!CHECK(milo_file_read(path, 0, NULL, &data, &bytes) == MILO_OK)) return;
    for (size_t n = 0; n <= bytes + 1; n += n < 300 || n + 8 > bytes ? 1 : 61) {
      if (n == bytes) continue;  // file_read leaves a NUL after the end: n may be bytes + 1
      CHECK(milo_file_write(cut, data, n, NULL) == MILO_OK);
      const milo_status status = milo_llama2c_read(cut, &diag, &model);
      if (!CHECK(status == MILO_ERR_INVALID && !model && diag.errors == 1)) printf("# at %zu\n", n);
      milo_diag_clear(&diag);
    }
    const float nan_value = NAN;
    memcpy((char *)data + bytes - 4 * 6, &nan_value, sizeof nan_value);
    if (version1) {
      CHECK(milo_file_write(cut, data, bytes, NULL) == MILO_OK);
      fails_with(milo_llama2c_read(cut, &diag, &model), MILO_ERR_INVALID, &diag, "holds a NaN");
      ((char *)data)[4] = 2;
      CHECK(milo_file_write(cut, data, bytes, NULL) == MILO_OK);
      fails_with(milo_llama2c_read(cut, &diag, &model), MILO_ERR_UNSUPPORTED, &diag, "version 2");
    } else {
      const int32_t huge[7] = {INT32_MAX, 1, 1, 1, 1, INT32_MIN, 1};
      memcpy(data, huge, sizeof huge);
      CHECK(milo_file_write(cut, data, bytes, NULL) == MILO_OK);
      fails_with(milo_llama2c_read(cut, &diag, &model), MILO_ERR_INVALID, &diag, "llama2.c model");
    }
    free(data);
  }
  milo_diag_deinit(&diag);
}

static void test_llama2c_real_files(void) {
  const char *v0 = in_shared("data/checkpoints/stories260K.bin");
  const char *v1 = in_shared("data/checkpoints/stories260K-v1.bin");
  if (!v0 || !v1) SKIP("shared reference data is not here");
  milo_model *a = NULL, *b = NULL;
  milo_diag diag = {0};
  if (!CHECK(milo_llama2c_read(v0, &diag, &a) == MILO_OK)) return;
  if (!CHECK(milo_llama2c_read(v1, &diag, &b) == MILO_OK)) return;
  CHECK(same_weights(a, b));
  // Written back, all but the two RoPE tables is as it was.
  const char *copy = in_folder("copy.bin");
  CHECK(milo_llama2c_write(a, copy, false, &diag) == MILO_OK);
  void *wanted, *got;
  size_t wanted_bytes, got_bytes;
  if (!CHECK(milo_file_read(v0, 0, NULL, &wanted, &wanted_bytes) == MILO_OK)) return;
  if (!CHECK(milo_file_read(copy, 0, NULL, &got, &got_bytes) == MILO_OK)) return;
  CHECK(wanted_bytes == got_bytes && memcmp(wanted, got, 28 + 4 * 260032) == 0);
  const float *old_table = (const float *)wanted + 7 + 260032;
  const float *new_table = (const float *)got + 7 + 260032;
  double worst = 0;
  for (size_t i = 0; i < 2 * 512 * 4; i++) {
    // Not fmax(): gcc 12 for AArch64 breaks down over that maximum at -O3.
    const double difference = fabs((double)old_table[i] - (double)new_table[i]);
    if (!(difference <= worst)) worst = difference;
  }
  CHECK_NEAR(worst, 0, 1e-4);
  CHECK(milo_llama2c_write(a, copy, true, &diag) == MILO_OK);
  free(wanted);
  free(got);
  if (!CHECK(milo_file_read(v1, 0, NULL, &wanted, &wanted_bytes) == MILO_OK)) return;
  if (!CHECK(milo_file_read(copy, 0, NULL, &got, &got_bytes) == MILO_OK)) return;
  CHECK(wanted_bytes == got_bytes && memcmp(wanted, got, got_bytes) == 0);
  free(wanted);
  free(got);
  milo_model_destroy(a);
  milo_model_destroy(b);
  fails_with(milo_llama2c_read(in_shared("data/checkpoints/stories260K-q8.bin"), &diag, &a),
             MILO_ERR_UNSUPPORTED, &diag, "quantised");
  fails_with(milo_llama2c_read(in_shared("data/checkpoints/stories260K.gguf"), &diag, &a),
             MILO_ERR_INVALID, &diag, "llama2.c model");
  milo_diag_deinit(&diag);
}

static void test_store_round_trip(void) {
  const float data[2][5] = {{1, 2, 3, 4, 99}, {5, 6, 7, 8, 99}};
  const milo_store_field fields[] = {
      {.name = "step", .kind = MILO_FIELD_COUNT, .count = UINT64_MAX - 1},
      {.name = "lr", .kind = MILO_FIELD_NUMBER, .number = 0.1},
  };
  const milo_store_tensor tensors[] = {{"wq", data[0], 2, 4, 5}, {"odd", data[1], 1, 3, 3}};
  const char *path = in_folder("s.milo"), *bad = in_folder("bad.milo");
  CHECK(milo_store_write(path, fields, 2, tensors, 2, NULL) == MILO_OK);
  milo_store *store = NULL;
  milo_diag diag = {0};
  if (!CHECK(milo_store_open(path, &diag, &store) == MILO_OK)) return;
  milo_store_field field;
  CHECK(milo_store_find_field(store, "step", MILO_FIELD_COUNT, &field) &&
        field.count == UINT64_MAX - 1);
  CHECK(milo_store_find_field(store, "lr", MILO_FIELD_NUMBER, &field) && field.number == 0.1);
  CHECK(!milo_store_find_field(store, "lr", MILO_FIELD_COUNT, &field));
  float back[2][6] = {{0}};
  CHECK(milo_store_read_tensor(store, "wq", back[0], 2, 4, 6, &diag) == MILO_OK);
  CHECK(back[0][3] == 4 && back[0][4] == 0 && back[1][0] == 5 && back[1][3] == 8);
  fails_with(milo_store_read_tensor(store, "odd", back[0], 2, 4, 6, &diag), MILO_ERR_INVALID, &diag,
             "'odd' has 3 elements, expected 8");
  fails_with(milo_store_read_tensor(store, "none", back[0], 2, 4, 6, &diag), MILO_ERR_INVALID,
             &diag, "'none' is missing");
  milo_store_close(store);

  void *bytes;
  size_t count;
  if (!CHECK(milo_file_read(path, 0, NULL, &bytes, &count) == MILO_OK)) return;
  for (size_t i = 0; i < count; i++) {  // a flipped bit anywhere is noticed
    ((char *)bytes)[i] ^= 0x10;
    CHECK(milo_file_write(bad, bytes, count, NULL) == MILO_OK);
    const milo_status status = milo_store_open(bad, &diag, &store);
    if (!CHECK((status == MILO_ERR_INVALID || status == MILO_ERR_UNSUPPORTED) && !store))
      printf("# byte %zu\n", i);
    CHECK(diag.errors == 1);
    milo_diag_clear(&diag);
    ((char *)bytes)[i] ^= 0x10;
  }
  for (size_t n = 0; n <= count + 1; n++) {
    if (n == count) continue;
    CHECK(milo_file_write(bad, bytes, n, NULL) == MILO_OK);
    CHECK(milo_store_open(bad, &diag, &store) == MILO_ERR_INVALID && diag.errors == 1);
    milo_diag_clear(&diag);
  }
  free(bytes);
  milo_diag_deinit(&diag);
}

int main(void) {
  snprintf(folder, sizeof folder, "%s/milo-test-model-XXXXXX",
           getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(folder)) return 1;
  RUN(test_builtin_models);
  RUN(test_descriptions);
  RUN(test_configs_are_checked);
  RUN(test_random_weights);
  RUN(test_llama2c_round_trip);
  RUN(test_llama2c_obstacles);
  RUN(test_llama2c_bad_files);
  RUN(test_llama2c_real_files);
  RUN(test_store_round_trip);
  char command[300];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0) return 1;
  return tap_done();
}
