// SPDX-License-Identifier: MIT
// Hugging Face's folders: logits as PyTorch has them (tests/oracle/make_hf.py), and whatever is
// wrong with a folder, one message.
#include "base/file.h"
#include "base/number.h"
#include "failed_with.h"
#include "folder.h"
#include "model/config.h"
#include "model/hf.h"
#include "model/hf_config.h"
#include "model/safetensors.h"

enum { LENGTH = 24, MOST_VOCAB = 256 };

static milo_ctx *ctx;

typedef struct fixture {
  uint32_t ids[LENGTH];
  float logits[LENGTH][MOST_VOCAB];
  size_t vocab;
} fixture;

static bool read_fixture(const char *path, fixture *out) {
  FILE *file = fopen(path, "r");
  static char line[1 << 16];
  size_t rows = 0;
  while (file && rows < LENGTH && fgets(line, sizeof line, file)) {
    char *at = line, *end;
    out->ids[rows] = (uint32_t)strtoul(at, &at, 10);
    for (out->vocab = 0; out->vocab < MOST_VOCAB; out->vocab++, at = end) {
      const double value = strtod(at, &end);
      if (end == at) break;
      out->logits[rows][out->vocab] = (float)value;
    }
    rows++;
  }
  if (file) fclose(file);
  return rows == LENGTH && out->vocab > 0;
}

// Of a model at path, on every device; the wanted logits are at least `least` in the mean.
static void check_logits(const char *path, const char *wanted_path, double least) {
  static fixture wanted;
  static float got[LENGTH * MOST_VOCAB];
  milo_model *model = NULL;
  if (!CHECK(read_fixture(wanted_path, &wanted))) return;
  if (!CHECK(milo_model_load(ctx, path, &model) == MILO_OK)) {
    printf("# %s\n", milo_error(ctx));
    return;
  }
  for (size_t d = 0; milo_device_name(d); d++) {
    const milo_status status =
        milo_model_logits(ctx, model, milo_device_name(d), wanted.ids, LENGTH, got);
    if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_error(ctx));
    double worst = 0, mean = 0;  // seen: at most 8e-6 where logits are about 2
    for (size_t i = 0; i < LENGTH; i++)
      for (size_t k = 0; k < wanted.vocab; k++) {
        const double difference =
            fabs((double)got[i * wanted.vocab + k] - (double)wanted.logits[i][k]);
        if (!(difference <= worst)) worst = difference;
        mean += fabs((double)wanted.logits[i][k]) / (double)(LENGTH * wanted.vocab);
      }
    CHECK(worst <= 1e-4 && mean > least);
    printf("# %s, %s: worst difference %.1e, mean logit %.2f\n", path, milo_device_name(d), worst,
           mean);
  }
  milo_model_destroy(model);
}

static void test_logits_of_pytorch(void) {
  check_logits("tests/oracle/hf/llama", "tests/oracle/hf/llama/logits.tsv", 0.5);
  check_logits("tests/oracle/hf/llama/model.safetensors", "tests/oracle/hf/llama/logits.tsv", 0.5);
  check_logits("tests/oracle/hf/llama_gqa_tied", "tests/oracle/hf/llama_gqa_tied/logits.tsv", 0.5);
  check_logits("tests/oracle/hf/qwen3_sharded", "tests/oracle/hf/qwen3_sharded/logits.tsv", 0.5);
  check_logits("tests/oracle/hf/qwen3_tied", "tests/oracle/hf/qwen3_tied/logits.tsv", 0.5);
}

static void test_descriptions(void) {
  milo_model_config c;
  CHECK(milo_model_config_load(ctx, "tests/oracle/hf/llama", &c) == MILO_OK);
  CHECK(c.dim == 24 && c.hidden == 40 && c.layers == 2 && c.heads == 3 && c.kv_heads == 3);
  CHECK(c.head_dim == 8 && c.vocab == 61 && c.seq == 64 && c.norm_epsilon == 1e-5 && c.rope_half);
  CHECK(!c.qk_norm && c.untied && c.rope_theta == 10000 && c.stop_count == 2);
  CHECK(c.stop_tokens[0] == 3 && c.stop_tokens[1] == 5);
  CHECK(milo_model_config_load(ctx, "tests/oracle/hf/llama_gqa_tied", &c) == MILO_OK);
  CHECK(!c.untied && c.kv_heads == 2 && c.stop_count == 1 && c.stop_tokens[0] == 7);
  CHECK(milo_model_config_load(ctx, "tests/oracle/hf/qwen3_sharded", &c) == MILO_OK);
  CHECK(c.qk_norm && c.head_dim == 6 && c.rope_theta == 1e6 && c.norm_epsilon == 1e-6);
  CHECK(c.stop_count == 2 && c.stop_tokens[0] == 52 && c.stop_tokens[1] == 50);
  CHECK(milo_model_config_load(ctx, "tests/oracle/hf/qwen3_tied", &c) == MILO_OK);
  CHECK(c.stop_count == -1 && !c.untied && c.rope_theta == 5e5);
}

// ---- a folder to spoil ----

static char config_text[1 << 16];

static void put(const char *name, const char *text) {
  CHECK(milo_file_write(in_folder(name), text, strlen(text), NULL) == MILO_OK);
}

// config.json with one passage replaced, which must be there.
static void put_config(const char *old, const char *new) {
  static char text[1 << 16];
  const char *at = strstr(config_text, old);
  if (!CHECK(at != NULL)) return;
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - config_text), config_text, new,
           at + strlen(old));
  put("config.json", text);
}

typedef struct change {
  const char *drop;            // left out
  const char *reshape;         // gets one row less
  const char *duplicate, *as;  // once more, under another name
  const char *ruin;            // its first element becomes a NaN
  milo_dtype dtype;            // all, if not 0
  const char *only;            // names that contain it, if not NULL
  const char *without;         // names that do not
} change;

static milo_buffer *converted(const milo_stored_tensor *t, milo_dtype to, size_t count, bool ruin) {
  milo_buffer *buffer = NULL;
  const size_t from_bytes = milo_dtype_bits(t->type.dtype) / 8, to_bytes = milo_dtype_bits(to) / 8;
  char *data = calloc(count + 1, to_bytes), *copy = malloc(t->bytes + 1);
  if (!data || !copy || milo_buffer_alloc(count * to_bytes, NULL, &buffer) != MILO_OK) abort();
  memcpy(copy, t->data, count * from_bytes);
  for (size_t i = 0; i < count; i++)
    milo_number_store(to, data, i, milo_number_load(t->type.dtype, copy, i));
  if (ruin) milo_number_store(to, data, 0, (double)NAN);
  if (milo_buffer_write(buffer, 0, data, count * to_bytes) != MILO_OK) abort();
  free(data);
  free(copy);
  return buffer;
}

// The tensors of a file, changed, to a file of the folder.
static void put_weights(const char *from, const char *name, change c) {
  enum { MOST = 128 };
  milo_named_tensor out[MOST];
  size_t count = 0;
  milo_safetensors *file = NULL;
  milo_writer *writer = NULL;
  const milo_stored_tensor *t;
  if (!CHECK(milo_safetensors_open(from, NULL, &file) == MILO_OK)) return;
  for (size_t i = 0; (t = milo_safetensors_get(file, i)) != NULL; i++) {
    if (c.drop && strcmp(t->name, c.drop) == 0) continue;
    if (c.only && !strstr(t->name, c.only)) continue;
    if (c.without && strstr(t->name, c.without)) continue;
    const milo_dtype dtype = c.dtype != MILO_DTYPE_NONE ? c.dtype : t->type.dtype;
    milo_named_tensor n = {.name = t->name, .dtype = dtype, .rank = t->type.rank};
    memcpy(n.dims, t->type.dims, sizeof n.dims);
    if (c.reshape && strcmp(t->name, c.reshape) == 0) n.dims[0]--;
    size_t elements = 1;
    for (int d = 0; d < n.rank; d++) elements *= (size_t)n.dims[d];
    n.buffer = converted(t, dtype, elements, c.ruin && strcmp(t->name, c.ruin) == 0);
    out[count++] = n;
    if (c.duplicate && strcmp(t->name, c.duplicate) == 0) {
      n.name = c.as;
      n.buffer = converted(t, dtype, elements, false);
      out[count++] = n;
    }
  }
  CHECK(milo_writer_open(in_folder(name), NULL, &writer) == MILO_OK);
  CHECK(milo_safetensors_put(writer, NULL, 0, out, count, false, NULL) == MILO_OK);
  CHECK(milo_writer_commit(writer, NULL) == MILO_OK);
  milo_writer_close(writer);
  for (size_t i = 0; i < count; i++) milo_buffer_release(out[i].buffer);
  milo_safetensors_close(file);
}

#define FROM "tests/oracle/hf/qwen3_tied/"
#define ONE "tests/oracle/hf/llama/model.safetensors"

static void load_config_text(const char *path) {
  void *data = NULL;
  size_t bytes = 0;
  if (!CHECK(milo_file_read(path, sizeof config_text - 1, NULL, &data, &bytes) == MILO_OK)) return;
  memcpy(config_text, data, bytes + 1);
  free(data);
}

static bool refused(milo_status wanted, const char *words) {
  milo_model *model = NULL;
  const milo_status status = milo_hf_read(folder, &diag, &model);
  CHECK(status == MILO_OK || (!model && diag.errors == 1));
  milo_model_destroy(model);
  return failed_with(status, wanted, words);
}

static void test_configs_that_are_refused(void) {
  static const struct {
    const char *old, *new;
    milo_status status;
    const char *words;
  } cases[] = {
      {"\"LlamaForCausalLM\"", "\"MistralForCausalLM\"", MILO_ERR_UNSUPPORTED,
       "config.json: error: architecture \"MistralForCausalLM\" is not supported"},
      {"\"LlamaForCausalLM\"", "\"LlamaForCausalLM\", \"X\"", MILO_ERR_INVALID,
       "a list of one name"},
      {"\"architectures\"", "\"other\"", MILO_OK, ""},  // model_type says it too
      {"\"model_type\"", "\"hidden_size\": 24, \"model_type\"", MILO_ERR_INVALID,
       "\"hidden_size\" is given twice"},
      {"\"attention_bias\": false", "\"attention_bias\": true", MILO_ERR_UNSUPPORTED,
       "\"attention_bias\": true"},
      {"\"mlp_bias\": false", "\"mlp_bias\": true", MILO_ERR_UNSUPPORTED, "\"mlp_bias\": true"},
      {"\"mlp_bias\": false", "\"mlp_bias\": 1", MILO_ERR_INVALID, "is not true or false"},
      {"\"silu\"", "\"gelu\"", MILO_ERR_UNSUPPORTED, "\"hidden_act\": \"gelu\""},
      {"\"rope_type\": \"default\"", "\"rope_type\": \"llama3\", \"factor\": 8",
       MILO_ERR_UNSUPPORTED, "\"rope_parameters\" of type \"llama3\""},
      {"\"mlp_bias\"", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, \"mlp_bias\"",
       MILO_ERR_UNSUPPORTED, "\"rope_scaling\" of type \"linear\""},
      {"\"mlp_bias\"", "\"rope_scaling\": null, \"mlp_bias\"", MILO_OK, ""},
      {"\"mlp_bias\"", "\"rope_scaling\": 8, \"mlp_bias\"", MILO_ERR_INVALID, "is not an object"},
      {"\"mlp_bias\"", "\"partial_rotary_factor\": 0.5, \"mlp_bias\"", MILO_ERR_UNSUPPORTED,
       "\"partial_rotary_factor\": 0.5"},
      {"\"mlp_bias\"", "\"use_sliding_window\": true, \"mlp_bias\"", MILO_ERR_UNSUPPORTED,
       "\"use_sliding_window\": true"},
      {"\"mlp_bias\"", "\"layer_types\": [\"full_attention\", \"sliding_attention\"], \"mlp_bias\"",
       MILO_ERR_UNSUPPORTED, "sliding_attention is not supported"},
      {"\"mlp_bias\"", "\"quantization_config\": {\"bits\": 4}, \"mlp_bias\"", MILO_ERR_UNSUPPORTED,
       "\"quantization_config\": quantised weights"},
      {"\"hidden_size\": 24", "\"hidden_size\": 24.5", MILO_ERR_INVALID, "\"hidden_size\" is not"},
      {"\"hidden_size\": 24", "\"hidden_size\": \"24\"", MILO_ERR_INVALID,
       "\"hidden_size\" is not"},
      {"\"hidden_size\": 24", "\"hidden_size\": 1e300", MILO_ERR_INVALID, "\"hidden_size\" is not"},
      {"\"hidden_size\"", "\"size\"", MILO_ERR_INVALID, "\"hidden_size\" is missing"},
      {"\"head_dim\": 8", "\"head_dim\": 7", MILO_ERR_INVALID,
       "config.json: error: not a model (model: head_dim is 7"},
      {"\"num_key_value_heads\": 3", "\"num_key_value_heads\": 2", MILO_ERR_INVALID,
       "not a multiple of kv_heads"},
      {"1e-05", "0", MILO_ERR_INVALID, "\"rms_norm_eps\" is 0"},
      {"10000.0", "-1", MILO_ERR_INVALID, "\"rope_theta\" is -1"},
      {"\"vocab_size\": 61", "\"vocab_size\": 60", MILO_ERR_INVALID,
       "model.embed_tokens.weight is tensor<fp32, [61, 24]>, config.json asks for "
       "tensor<fp32, [60, 24]>"},
      {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", MILO_ERR_INVALID,
       "tensor model.layers.2."},
      {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", MILO_ERR_INVALID,
       "is not part of the model"},
      {"\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", MILO_ERR_INVALID,
       "lm_head.weight is not the embedding"},
      {"\"eos_token_id\": [\n    3,\n    5\n  ]", "\"eos_token_id\": [3, \"5\"]", MILO_ERR_INVALID,
       "\"eos_token_id\" is not a token"},
      {"\"eos_token_id\": [\n    3,\n    5\n  ]", "\"eos_token_id\": 61", MILO_ERR_INVALID,
       "stop token 61 is not in the vocabulary"},
      {"\"eos_token_id\": [\n    3,\n    5\n  ]", "\"eos_token_id\": [1,2,3,4,5,6,7,8,9]",
       MILO_ERR_INVALID, "more than 8"},
      {"}", "", MILO_ERR_INVALID, "not JSON"},
  };
  load_config_text("tests/oracle/hf/llama/config.json");
  put_weights(ONE, "model.safetensors", (change){0});
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    put_config(cases[i].old, cases[i].new);
    if (cases[i].status != MILO_OK) {
      if (!CHECK(refused(cases[i].status, cases[i].words))) printf("# case %zu\n", i);
      continue;
    }
    milo_model *model = NULL;
    if (!CHECK(milo_hf_read(folder, &diag, &model) == MILO_OK))
      printf("# case %zu: %s\n", i, milo_diag_text(&diag));
    milo_model_destroy(model);
  }
  put("config.json", "[1]");
  CHECK(refused(MILO_ERR_INVALID, "not a JSON object"));
  CHECK(milo_file_write(in_folder("config.json"), "{\0}", 3, NULL) == MILO_OK);
  CHECK(refused(MILO_ERR_INVALID, "not JSON"));
  put("config.json", config_text);
  put("generation_config.json", "{\"eos_token_id\": 99}");
  CHECK(refused(MILO_ERR_INVALID, "stop token 99"));
  put("generation_config.json", "{\"eos_token_id\": 9}");
  milo_model *model = NULL;
  CHECK(milo_hf_read(folder, &diag, &model) == MILO_OK);
  CHECK(model && model->config.stop_count == 1 && model->config.stop_tokens[0] == 9);
  milo_model_destroy(model);
  unlink(in_folder("generation_config.json"));
}

#define Q0 "model.layers.0.self_attn.q_proj.weight"

static void test_weights_that_are_refused(void) {
  load_config_text("tests/oracle/hf/llama/config.json");
  put("config.json", config_text);
  put_weights(ONE, "model.safetensors", (change){.drop = Q0});
  CHECK(refused(MILO_ERR_INVALID, "model.safetensors: tensor " Q0 " is missing"));
  put_weights(ONE, "model.safetensors", (change){.reshape = Q0});
  CHECK(refused(MILO_ERR_INVALID, "tensor " Q0 " is tensor<fp32, [23, 24]>"));
  put_weights(ONE, "model.safetensors", (change){.duplicate = Q0, .as = "model.layers.0.extra"});
  CHECK(refused(MILO_ERR_INVALID, "tensor model.layers.0.extra is not part of the model"));
  put_weights(ONE, "model.safetensors", (change){.ruin = Q0});
  CHECK(refused(MILO_ERR_INVALID, "parameter " Q0 " holds a NaN"));
  put_weights(ONE, "model.safetensors", (change){.dtype = MILO_FP64});
  CHECK(refused(MILO_ERR_UNSUPPORTED, "has elements of type fp64"));
  put_weights(ONE, "model.safetensors",
              (change){.duplicate = Q0, .as = "model.layers.0.self_attn.rotary_emb.inv_freq"});
  milo_model *model = NULL;
  CHECK(milo_hf_read(folder, &diag, &model) == MILO_OK);
  milo_model_destroy(model);
  // Two tensors in the same place, one that leaves the file, a file cut anywhere.
  void *data = NULL;
  size_t bytes = 0;
  put_weights(ONE, "model.safetensors", (change){0});
  if (!CHECK(milo_file_read(in_folder("model.safetensors"), 0, NULL, &data, &bytes) == MILO_OK))
    return;
  char *offsets = strstr((char *)data + 8, "\"data_offsets\":[5856,");
  if (CHECK(offsets != NULL)) {
    memcpy(offsets, "\"data_offsets\":[0000,", 21);
    CHECK(milo_file_write(in_folder("model.safetensors"), data, bytes, NULL) == MILO_OK);
    milo_model *none = NULL;
    CHECK(milo_hf_read(folder, &diag, &none) == MILO_ERR_INVALID && !none && diag.errors == 1);
    milo_diag_clear(&diag);
    memcpy(offsets, "\"data_offsets\":[5856,", 21);
  }
  for (size_t n = 0; n < bytes; n += n < 16 ? 1 : 977) {
    CHECK(milo_file_write(in_folder("model.safetensors"), data, n, NULL) == MILO_OK);
    CHECK(refused(MILO_ERR_INVALID, "model.safetensors"));
  }
  free(data);
  unlink(in_folder("model.safetensors"));
  CHECK(refused(MILO_ERR_NOT_FOUND, "neither model.safetensors nor model.safetensors.index.json"));
  unlink(in_folder("config.json"));
  CHECK(refused(MILO_ERR_NOT_FOUND, "config.json"));
}

// An lm_head beside a tied embedding is fine where it says the same.
static void test_tied_twice(void) {
  load_config_text(FROM "config.json");
  put("config.json", config_text);
  for (int shard = 1; shard <= 3; shard++) {
    char from[100], name[100];
    snprintf(from, sizeof from, FROM "model-0000%d-of-00003.safetensors", shard);
    snprintf(name, sizeof name, "s%d.safetensors", shard);
    put_weights(from, name,
                (change){.duplicate = "model.embed_tokens.weight", .as = "lm_head.weight"});
  }
  char index[8192];
  size_t at = (size_t)snprintf(index, sizeof index, "{\"weight_map\": {");
  for (int shard = 1; shard <= 3; shard++) {
    char name[100];
    snprintf(name, sizeof name, "s%d.safetensors", shard);
    milo_safetensors *file = NULL;
    const milo_stored_tensor *t;
    if (!CHECK(milo_safetensors_open(in_folder(name), NULL, &file) == MILO_OK)) return;
    for (size_t i = 0; (t = milo_safetensors_get(file, i)) != NULL; i++)
      at += (size_t)snprintf(index + at, sizeof index - at, "%s\"%s\": \"%s\"",
                             index[at - 1] == '{' ? "" : ", ", t->name, name);
    milo_safetensors_close(file);
  }
  snprintf(index + at, sizeof index - at, "}}");
  put("model.safetensors.index.json", index);
  check_logits(folder, FROM "logits.tsv", 0.5);

  static const struct {
    const char *old, *new;
    milo_status status;
    const char *words;
  } cases[] = {
      {"s1.safetensors", "../s1.safetensors", MILO_ERR_INVALID, "is not a name in this folder"},
      {"s1.safetensors", "/etc/passwd", MILO_ERR_INVALID, "is not a name in this folder"},
      {"s1.safetensors", "..", MILO_ERR_INVALID, "is not a name in this folder"},
      {"s1.safetensors", "", MILO_ERR_INVALID, "is not a name in this folder"},
      {"s1.safetensors", "none.safetensors", MILO_ERR_NOT_FOUND, "none.safetensors"},
      {"s1.safetensors", "s2.safetensors", MILO_ERR_INVALID, "where the index has it"},
      {"\"s1.safetensors\"", "1", MILO_ERR_INVALID, "gives no file for"},
      {"weight_map", "map", MILO_ERR_INVALID, "is not an object of file names"},
      {"}}", "}", MILO_ERR_INVALID, "not JSON"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[9000];
    const char *place = strstr(index, cases[i].old);
    if (!CHECK(place != NULL)) continue;
    snprintf(text, sizeof text, "%.*s%s%s", (int)(place - index), index, cases[i].new,
             place + strlen(cases[i].old));
    put("model.safetensors.index.json", text);
    if (!CHECK(refused(cases[i].status, cases[i].words))) printf("# case %zu\n", i);
  }
  // A tensor in two files, and an lm_head that says something else.
  put("model.safetensors.index.json", index);
  put_weights(FROM "model-00002-of-00003.safetensors", "s2.safetensors",
              (change){.duplicate = "model.layers.1.input_layernorm.weight",
                       .as = "model.embed_tokens.weight"});
  CHECK(refused(MILO_ERR_INVALID, "tensor model.embed_tokens.weight is in"));
  put_weights(FROM "model-00002-of-00003.safetensors", "s2.safetensors", (change){0});
  put_weights(FROM "model-00001-of-00003.safetensors", "s1.safetensors",
              (change){.duplicate = "model.embed_tokens.weight",
                       .as = "lm_head.weight",
                       .ruin = "model.embed_tokens.weight"});
  CHECK(refused(MILO_ERR_INVALID, "lm_head.weight is not the embedding"));
}

// What is written is read as it was, and PyTorch's numbers with it.
static void test_round_trip(void) {
  static const char *const cases[] = {"llama", "llama_gqa_tied", "qwen3_sharded", "qwen3_tied"};
  for (size_t i = 0; i < 4; i++) {
    char from[64], wanted[128];
    snprintf(from, sizeof from, "tests/oracle/hf/%s", cases[i]);
    snprintf(wanted, sizeof wanted, "%s/logits.tsv", from);
    milo_model *a = NULL, *b = NULL;
    const char *dir = in_folder("written");
    CHECK(milo_file_make_dir(dir, NULL) == MILO_OK);
    if (!CHECK(milo_hf_read(from, &diag, &a) == MILO_OK)) return;
    if (!CHECK(milo_hf_write(a, dir, &diag) == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
    if (!CHECK(milo_hf_read(dir, &diag, &b) == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
    CHECK(b && milo_model_config_difference(&a->config, &b->config) == NULL);
    CHECK(b && a->config.stop_count == b->config.stop_count);
    for (size_t p = 0; b && p < a->params.count; p++) {
      milo_buffer *x = a->params.items[p].buffer, *y = b->params.items[p].buffer;
      const void *left = milo_buffer_map(x, MILO_READ), *right = milo_buffer_map(y, MILO_READ);
      CHECK(memcmp(left, right, milo_buffer_bytes(x)) == 0);
    }
    check_logits(dir, wanted, 0.5);
    milo_model_destroy(a);
    milo_model_destroy(b);
  }
}

static const char *in_shared(const char *name) {
  static char path[2][512];
  static int turn;
  turn = !turn;
  const char *shared = getenv("MILO_SHARED");
  snprintf(path[turn], sizeof path[turn], "%s/data/qwen3_tiny/%s", shared ? shared : "", name);
  return shared && milo_file_exists(path[turn]) ? path[turn] : NULL;
}

// A checkpoint from elsewhere, in each element type, in one file and in two.
static void test_qwen3_tiny(void) {
  static const milo_dtype dtypes[] = {MILO_BF16, MILO_FP32, MILO_FP16};
  static const char wanted[] = "tests/oracle/hf/qwen3_tiny.tsv";
  if (!in_shared("model.safetensors")) SKIP("shared reference data is not here");
  check_logits(in_shared("."), wanted, 0.1);
  load_config_text(in_shared("config.json"));
  put("config.json", config_text);
  unlink(in_folder("model.safetensors.index.json"));
  for (size_t i = 0; i < 3; i++) {
    put_weights(in_shared("model.safetensors"), "model.safetensors", (change){.dtype = dtypes[i]});
    check_logits(folder, wanted, 0.1);
  }
  unlink(in_folder("model.safetensors"));
  put_weights(in_shared("model.safetensors"), "a.safetensors", (change){.only = ".mlp."});
  put_weights(in_shared("model.safetensors"), "b.safetensors",
              (change){.without = ".mlp.", .dtype = MILO_FP32});
  char index[8192];
  size_t at = (size_t)snprintf(index, sizeof index, "{\"metadata\": {}, \"weight_map\": {");
  milo_safetensors *file = NULL;
  const milo_stored_tensor *t;
  if (!CHECK(milo_safetensors_open(in_shared("model.safetensors"), NULL, &file) == MILO_OK)) return;
  for (size_t i = 0; (t = milo_safetensors_get(file, i)) != NULL; i++)
    at += (size_t)snprintf(index + at, sizeof index - at, "%s\"%s\": \"%s.safetensors\"",
                           i ? ", " : "", t->name, strstr(t->name, ".mlp.") ? "a" : "b");
  milo_safetensors_close(file);
  snprintf(index + at, sizeof index - at, "}}");
  put("model.safetensors.index.json", index);
  check_logits(folder, wanted, 0.1);
  // Its sister has 4-bit weights.
  load_config_text(in_shared("tied_config.json"));
  put("config.json", config_text);
  CHECK(refused(MILO_ERR_UNSUPPORTED, "\"quantization\": quantised weights"));
}

int main(void) {
  if (!make_folder() || milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_logits_of_pytorch);
  RUN(test_descriptions);
  RUN(test_configs_that_are_refused);
  RUN(test_weights_that_are_refused);
  RUN(test_tied_twice);
  RUN(test_round_trip);
  RUN(test_qwen3_tiny);
  milo_diag_deinit(&diag);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
