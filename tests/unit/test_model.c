// SPDX-License-Identifier: MIT
#include <stdint.h>

#include "base/file.h"
#include "folder.h"
#include "model/config.h"
#include "model/llama2c.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "tap.h"

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

static uint64_t elements_of(const milo_model_config *c) {
  uint64_t elements = 0;
  for (int id = 0; id < MILO_TENSOR_COUNT; id++) {
    milo_tensor t;
    CHECK(milo_model_tensor(c, (milo_tensor_id)id, NULL, &t) == MILO_OK);
    if (t.present) elements += t.layers * milo_type_elements(&t.type);
  }
  return elements;
}

static void test_builtin_models(void) {
  milo_model_config c;
  CHECK(milo_model_config_read("stories260K", NULL, &c) == MILO_OK);
  CHECK(c.dim == 64 && c.hidden == 172 && c.layers == 5 && c.heads == 8 && c.kv_heads == 4);
  CHECK(c.head_dim == 8 && c.vocab == 512 && c.seq == 512 && !c.untied);
  CHECK(c.rope_theta == 10000 && c.norm_epsilon == 1e-5);
  CHECK(milo_model_config_read("stories110M", NULL, &c) == MILO_OK);
  CHECK(elements_of(&c) == 109529856);
  size_t count = 0;
  for (const char *name; (name = milo_model_config_name(count)); count++)
    CHECK(milo_model_config_read(name, NULL, &c) == MILO_OK);
  CHECK(count == 5);
  CHECK(milo_model_config_read("qwen3-0.6b", NULL, &c) == MILO_OK);
  CHECK(c.rope_half && c.qk_norm && !c.untied && c.rope_theta == 1e6 && c.norm_epsilon == 1e-6);
  CHECK(c.head_dim == 128 && c.kv_heads == 8 && milo_model_config_stops(&c, 151645));
  CHECK(elements_of(&c) == 596049920);
  milo_diag diag = {0};
  fails_with(milo_model_config_read("stories9T", &diag, &c), MILO_ERR_NOT_FOUND, &diag,
             "stories260K, stories15M");
  milo_diag_deinit(&diag);
}

#define OTHERS "\"dim\": 6, \"hidden\": 10, \"layers\": 2, \"heads\": 3, \"seq\": 5, "
#define SMALL "{\"vocab\": 11, " OTHERS

static void test_descriptions(void) {
  milo_model_config a, b;
  milo_diag diag = {0};
  const char *text =
      "{\"name\": \"x\", \"dim\": 8, \"hidden\": 24, \"layers\": 3, \"heads\": 2, \"kv_heads\": 1,"
      "\"head_dim\": 6, \"seq\": 7, \"vocab\": 300, \"rope_theta\": 1e6, \"norm_epsilon\": 1e-6,"
      "\"rope_half\": true, \"qk_norm\": true, \"untied\": true, \"residual_scale\": 0.1}";
  CHECK(milo_model_config_parse(text, "x.json", &diag, &a) == MILO_OK);
  CHECK(a.head_dim == 6 && a.kv_heads == 1 && a.rope_theta == 1e6 && a.norm_epsilon == 1e-6);
  CHECK(a.rope_half && a.qk_norm && a.untied && a.residual_scale == 0.1);
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
      {"{\"stop_tokens\": 1}", "not a list of at most 8"},
      {"{\"stop_tokens\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}", "not a list of at most 8"},
      {"{\"stop_tokens\": [1, -1]}", "holds no tokens"},
      {"{\"stop_tokens\": [1.5]}", "holds no tokens"},
      {"{\"stop_tokens\": [\"1\"]}", "holds no tokens"},
      {"{\"stop_tokens\": [1e300]}", "holds no tokens"},
      {"{\"stop_tokens\": [], \"stop_tokens\": [1]}", "\"stop_tokens\" is given twice"},
      {SMALL "\"stop_tokens\": [3, 11]}", "stop token 11 is not in the vocabulary, which has 11"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    fails_with(milo_model_config_parse(bad[i].text, "x.json", &diag, &a), MILO_ERR_INVALID, &diag,
               bad[i].words);
  CHECK(a.dim == 0);
  milo_diag_deinit(&diag);
}

// A description and what is printed of it say the same tokens; how many: as in the C struct.
static void test_stop_tokens(void) {
  static const struct {
    const char *text;
    int32_t count;
    uint32_t first, last;
  } good[] = {
      {SMALL "\"untied\": false}", 2, 1, 2},
      {SMALL "\"stop_tokens\": []}", -1, 0, 0},
      {SMALL "\"stop_tokens\": [0]}", 1, 0, 0},
      {SMALL "\"stop_tokens\": [10, 3, 4, 5, 6, 7, 8, 9]}", 8, 10, 9},
      {"{\"vocab\": 2," OTHERS "\"untied\": false}", 1, 1, 1},
      {"{\"vocab\": 1," OTHERS "\"untied\": false}", -1, 0, 0},
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    milo_diag diag = {0};
    milo_model_config a, b;
    milo_str printed = {0};
    CHECK(milo_model_config_parse(good[i].text, "x.json", &diag, &a) == MILO_OK);
    milo_model_config_print(&a, &printed);
    if (!CHECK(milo_model_config_parse(printed.data, "y.json", &diag, &b) == MILO_OK))
      printf("# %s\n", milo_diag_text(&diag));
    CHECK(a.stop_count == good[i].count && b.stop_count == good[i].count);
    if (a.stop_count > 0) {
      const size_t last = (size_t)a.stop_count - 1;
      CHECK(a.stop_tokens[0] == good[i].first && b.stop_tokens[0] == good[i].first);
      CHECK(a.stop_tokens[last] == good[i].last && b.stop_tokens[last] == good[i].last);
    }
    milo_str_deinit(&printed);
    milo_diag_deinit(&diag);
  }
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
  c = tiny_config(), c.residual_scale = -1;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag,
             "residual_scale is -1");
  c = tiny_config(), c.vocab = INT64_MAX;
  fails_with(milo_model_config_complete(&c, &diag, &out), MILO_ERR_INVALID, &diag, "vocab is");
  milo_diag_deinit(&diag);
}

static bool same_weights(const milo_model *a, const milo_model *b) {
  bool same = a->params.count == b->params.count;
  for (size_t i = 0; same && i < a->params.count; i++) {
    const milo_parameter *p = &a->params.items[i], *q = &b->params.items[i];
    const size_t bytes = milo_buffer_bytes(p->buffer);
    const void *x = milo_buffer_map(p->buffer, MILO_READ),
               *y = milo_buffer_map(q->buffer, MILO_READ);
    same = strcmp(p->name, q->name) == 0 && bytes == milo_buffer_bytes(q->buffer) &&
           memcmp(x, y, bytes) == 0;
  }
  return same;
}

static void test_random_weights(void) {
  milo_model_config c;
  CHECK(milo_model_config_read("stories260K", NULL, &c) == MILO_OK);
  milo_model *a = NULL, *b = NULL;
  milo_pool *pool = NULL;
  if (!CHECK(milo_model_alloc(&c, NULL, &a) == MILO_OK)) return;
  if (!CHECK(milo_model_alloc(&c, NULL, &b) == MILO_OK)) return;
  CHECK(milo_pool_create(3, NULL, &pool) == MILO_OK);
  CHECK(milo_params_elements(&a->params) == 260032);
  CHECK(milo_model_randomize(a, MILO_INIT_NORMAL, 7, NULL, NULL) == MILO_OK);
  CHECK(milo_model_randomize(b, MILO_INIT_NORMAL, 7, pool, NULL) == MILO_OK);
  CHECK(same_weights(a, b));
  CHECK(milo_model_randomize(b, MILO_INIT_NORMAL, 8, pool, NULL) == MILO_OK);
  CHECK(!same_weights(a, b));
  double sums[3] = {0};
  static float wq[4096], w2[11008];
  CHECK(milo_parameter_get(milo_model_param(a, MILO_TENSOR_wq, 1), 0, 4096, wq, NULL) == MILO_OK);
  CHECK(milo_parameter_get(milo_model_param(a, MILO_TENSOR_w2, 4), 0, 11008, w2, NULL) == MILO_OK);
  for (size_t i = 0; i < 4096; i++) sums[0] += (double)wq[i] * (double)wq[i];
  for (size_t i = 0; i < 11008; i++) sums[1] += (double)w2[i] * (double)w2[i];
  CHECK_NEAR(sqrt(sums[0] / 4096), 0.02, 0.001);
  CHECK_NEAR(sqrt(sums[1] / 11008), 0.02 / sqrt(10.0), 0.0003);
  const milo_parameter *norm = milo_model_param(a, MILO_TENSOR_ffn_norm, 3);
  CHECK_STR(norm->name, "model.layers.3.post_attention_layernorm.weight");
  CHECK(milo_parameter_get(norm, 63, 1, wq, NULL) == MILO_OK && wq[0] == 1);
  CHECK(!norm->decays && milo_model_param(a, MILO_TENSOR_wq, 0)->decays);
  CHECK(milo_params_index(&a->params, norm->name) == (size_t)(norm - a->params.items));
  CHECK(milo_params_index(&a->params, "model.layers.5.mlp.up_proj.weight") == a->params.count);
  CHECK(milo_model_param(a, MILO_TENSOR_classifier, 0) == NULL);
  milo_diag diag = {0};
  CHECK(milo_params_check_finite(&a->params, MILO_NO_LOC, &diag) == MILO_OK);
  const float nan_value = NAN;
  const milo_parameter *last = milo_model_param(a, MILO_TENSOR_w3, 4);
  const uint64_t version = milo_buffer_version(last->buffer);
  CHECK(milo_parameter_set(last, 11007, 1, &nan_value, NULL) == MILO_OK);
  CHECK(milo_buffer_version(last->buffer) > version);
  fails_with(milo_params_check_finite(&a->params, MILO_NO_LOC, &diag), MILO_ERR_INVALID, &diag,
             "model.layers.4.mlp.up_proj.weight");
  milo_diag_deinit(&diag);
  milo_pool_destroy(pool);
  milo_model_destroy(a);
  milo_model_destroy(b);
}

// Uniform weights: their bounds are kept and nearly reached, their variance is width^2 / 3.
static void test_uniform_weights(void) {
  milo_model_config c;
  milo_model *m = NULL;
  CHECK(milo_model_config_read("stories260K", NULL, &c) == MILO_OK);
  if (!CHECK(milo_model_alloc(&c, NULL, &m) == MILO_OK)) return;
  CHECK(milo_model_randomize(m, MILO_INIT_UNIFORM, 7, NULL, NULL) == MILO_OK);
  const double out = 1 / sqrt(2.0 * 5);
  const struct {
    milo_tensor_id id;
    double width;
  } cases[] = {{MILO_TENSOR_embedding, 0.02},     {MILO_TENSOR_wq, 1 / sqrt(64)},
               {MILO_TENSOR_wo, out / sqrt(64)},  {MILO_TENSOR_w1, 1 / sqrt(64)},
               {MILO_TENSOR_w2, out / sqrt(172)}, {MILO_TENSOR_w3, 1 / sqrt(64)}};
  static float values[512 * 64];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const milo_parameter *p = milo_model_param(m, cases[i].id, cases[i].id ? 4 : 0);
    const size_t count = milo_type_elements(&p->type);
    double most = 0, squares = 0, sum = 0;
    CHECK(milo_parameter_get(p, 0, count, values, NULL) == MILO_OK);
    for (size_t k = 0; k < count; k++) {
      most = fmax(most, fabs((double)values[k]));
      squares += (double)values[k] * (double)values[k];
      sum += (double)values[k];
    }
    CHECK(most <= cases[i].width * (1 + 1e-7) && most > 0.99 * cases[i].width);
    CHECK_NEAR(squares / (double)count * 3 / (cases[i].width * cases[i].width), 1, 0.05);
    CHECK_NEAR(sum / (double)count / cases[i].width, 0, 0.05);
  }
  const milo_parameter *norm = milo_model_param(m, MILO_TENSOR_att_norm, 4);
  CHECK(milo_parameter_get(norm, 0, 64, values, NULL) == MILO_OK && values[63] == 1);
  milo_model_destroy(m);
}

static void test_llama2c_round_trip(void) {
  for (int untied = 0; untied < 2; untied++)
    for (int version1 = 0; version1 < 2; version1++) {
      milo_model_config c = tiny_config();
      c.untied = untied;
      milo_model *a = NULL, *b = NULL;
      if (!CHECK(milo_model_alloc(&c, NULL, &a) == MILO_OK)) return;
      CHECK(milo_model_randomize(a, MILO_INIT_NORMAL, 3, NULL, NULL) == MILO_OK);
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
  milo_model_destroy(model);
  c = tiny_config(), c.residual_scale = 0.5;
  if (!CHECK(milo_model_alloc(&c, NULL, &model) == MILO_OK)) return;
  fails_with(milo_llama2c_write(model, path, true, &diag), MILO_ERR_UNSUPPORTED, &diag,
             "residual_scale");
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

// ---- safetensors ----

static milo_buffer *buffer_of(const void *data, size_t bytes) {
  milo_buffer *buffer = NULL;
  if (milo_buffer_alloc(bytes, NULL, &buffer) != MILO_OK) abort();
  if (milo_buffer_write(buffer, 0, data, bytes) != MILO_OK) abort();
  return buffer;
}

static void test_safetensors_round_trip(void) {
  const float wq[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const uint16_t odd[3] = {0x3f80, 0x4000, 0x4040};
  const int8_t bytes5[5] = {-1, 2, -3, 4, -5};
  const milo_metadata metadata[] = {{"step", "18446744073709551614"}, {"te\"xt", "a\nb \xc3\xa9"}};
  const milo_named_tensor tensors[] = {
      {"a.b/c", MILO_FP32, 2, {2, 4}, buffer_of(wq, sizeof wq)},
      {"odd", MILO_BF16, 1, {3}, buffer_of(odd, sizeof odd)},
      {"i8", MILO_INT8, 1, {5}, buffer_of(bytes5, sizeof bytes5)},
      {"none", MILO_FP32, 2, {0, 7}, buffer_of("", 0)},
      {"one", MILO_FP32, 0, {0}, buffer_of(wq, 4)},
  };
  enum { COUNT = sizeof tensors / sizeof *tensors };
  const char *path = in_folder("s.safetensors"), *bad = in_folder("bad.safetensors");
  CHECK(milo_safetensors_write(path, metadata, 2, tensors, COUNT, NULL) == MILO_OK);
  milo_safetensors *file = NULL;
  milo_diag diag = {0};
  if (!CHECK(milo_safetensors_open(path, &diag, &file) == MILO_OK)) return;
  CHECK(milo_safetensors_has_checksum(file));
  CHECK_STR(milo_safetensors_text(file, "step"), "18446744073709551614");
  CHECK_STR(milo_safetensors_text(file, "te\"xt"), "a\nb \xc3\xa9");
  CHECK(milo_safetensors_text(file, "odd") == NULL);
  for (size_t i = 0; i < COUNT; i++) {
    const milo_named_tensor *t = &tensors[i];
    const milo_type type = milo_type_tensor(t->dtype, t->rank, t->dims);
    milo_buffer *back = NULL;
    char got[64], wanted[64];
    const size_t size = milo_buffer_bytes(t->buffer);
    CHECK(milo_buffer_alloc(size, NULL, &back) == MILO_OK);
    CHECK(milo_safetensors_read(file, t->name, &type, back, &diag) == MILO_OK);
    CHECK(milo_buffer_read(back, 0, got, size) == MILO_OK);
    CHECK(milo_buffer_read(t->buffer, 0, wanted, size) == MILO_OK);
    CHECK(memcmp(got, wanted, size) == 0);
    milo_buffer_release(back);
  }
  const milo_type other = milo_type_tensor(MILO_FP32, 1, (const int64_t[]){8});
  fails_with(milo_safetensors_read(file, "a.b/c", &other, tensors[0].buffer, &diag),
             MILO_ERR_INVALID, &diag, "tensor a.b/c is tensor<fp32, [2, 4]>");
  fails_with(milo_safetensors_read(file, "a", &other, tensors[0].buffer, &diag), MILO_ERR_INVALID,
             &diag, "no tensor a");
  milo_safetensors_close(file);
  const milo_named_tensor half = {"x", MILO_INT4, 1, {2}, tensors[4].buffer};
  fails_with(milo_safetensors_write(bad, NULL, 0, &half, 1, &diag), MILO_ERR_UNSUPPORTED, &diag,
             "no element type int4");

  void *bytes;
  size_t count;
  if (!CHECK(milo_file_read(path, 0, NULL, &bytes, &count) == MILO_OK)) return;
  // A flipped bit anywhere, and a second one elsewhere, is noticed: the file is refused, or its
  // checksum is no longer found.
  for (size_t i = 0; i < 8 * count; i++) {
    const size_t k = (i * 31 + 17) % (8 * count);
    ((unsigned char *)bytes)[i / 8] ^= (unsigned char)(1 << i % 8);
    if (i % 2) ((unsigned char *)bytes)[k / 8] ^= (unsigned char)(1 << k % 8);
    if (i % 2 && k == i) continue;
    CHECK(milo_file_write(bad, bytes, count, NULL) == MILO_OK);
    file = NULL;
    const milo_status status = milo_safetensors_open(bad, &diag, &file);
    if (!CHECK(status == MILO_OK ? !milo_safetensors_has_checksum(file) : diag.errors == 1))
      printf("# bit %zu\n", i);
    milo_safetensors_close(file);
    milo_diag_clear(&diag);
    ((unsigned char *)bytes)[i / 8] ^= (unsigned char)(1 << i % 8);
    if (i % 2) ((unsigned char *)bytes)[k / 8] ^= (unsigned char)(1 << k % 8);
  }
  for (size_t n = 0; n <= count + 1; n++) {
    if (n == count) continue;
    CHECK(milo_file_write(bad, bytes, n, NULL) == MILO_OK);
    const milo_status status = milo_safetensors_open(bad, &diag, &file);
    if (!CHECK(status == MILO_ERR_INVALID && diag.errors == 1 && !file)) printf("# at %zu\n", n);
    milo_diag_clear(&diag);
  }
  free(bytes);
  for (size_t i = 0; i < COUNT; i++) milo_buffer_release(tensors[i].buffer);
  milo_diag_deinit(&diag);
}

// Headers that lie.
static void test_safetensors_bad_headers(void) {
  static const struct {
    const char *header;
    size_t data;
    const char *words;
  } bad[] = {
      {"[]", 0, "not a safetensors file"},
      {"{\"a\":1}", 0, "tensor a is not described"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor a is not described"},
      {"{\"a\":{\"dtype\":\"Q4\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "element type Q4"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole numbers"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "its shape asks"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
       "does not lie inside"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4,
       "does not lie inside"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "does not follow"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "describes 4"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1099511627776,1099511627776],"
       "\"data_offsets\":[0,4]}}",
       4, "its shape asks"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
       "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
       8, "two tensors"},
      {"{\"__metadata__\":{\"a\":1}}", 0, "object of texts"},
  };
  milo_diag diag = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char text[512] = {0};
    const uint64_t length = strlen(bad[i].header);
    memcpy(text, &length, sizeof length);
    memcpy(text + 8, bad[i].header, length);
    const char *path = in_folder("h.safetensors");
    CHECK(milo_file_write(path, text, 8 + length + bad[i].data, NULL) == MILO_OK);
    milo_safetensors *file = NULL;
    const milo_status status = milo_safetensors_open(path, &diag, &file);
    CHECK(status != MILO_OK && file == NULL);
    fails_with(status, status, &diag, bad[i].words);
  }
  milo_diag_deinit(&diag);
}

int main(void) {
  if (!make_folder()) return 1;
  RUN(test_builtin_models);
  RUN(test_descriptions);
  RUN(test_stop_tokens);
  RUN(test_configs_are_checked);
  RUN(test_random_weights);
  RUN(test_uniform_weights);
  RUN(test_llama2c_round_trip);
  RUN(test_llama2c_obstacles);
  RUN(test_llama2c_bad_files);
  RUN(test_llama2c_real_files);
  RUN(test_safetensors_round_trip);
  RUN(test_safetensors_bad_headers);
  if (!remove_folder()) return 1;
  return tap_done();
}
