// SPDX-License-Identifier: MIT
// Models from form to form: the same weights bit for bit where one goes there and back, the same
// logits where RoPE's pairs are reordered, and BLZT checkpoints byte by byte.
#include <milo/milo.h>

#include "base/file.h"
#include "failed_with.h"
#include "folder.h"
#include "model/blzt.h"

enum { COUNT = 20 };

static milo_ctx *ctx;

static milo_model_config tiny(void) {
  milo_model_config c = MILO_OPTIONS_INIT(milo_model_config);
  c.dim = 12, c.hidden = 14, c.layers = 2, c.heads = 3, c.head_dim = 4, c.seq = 24, c.vocab = 31;
  return c;
}

// Random weights are small: with these, logits tell models apart.
static milo_model *make(milo_model_config c) {
  milo_model *model = NULL;
  if (!CHECK(milo_model_create(ctx, &c, 3, &model) == MILO_OK)) return NULL;
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    float *data = milo_buffer_map(p->buffer, MILO_READ_WRITE);
    for (size_t k = 0; k < milo_buffer_bytes(p->buffer) / sizeof(float); k++)
      data[k] = p->type.rank == 2 ? 20 * data[k] : 1 + 0.1f * (float)(k % 7);
    CHECK(milo_buffer_unmap(p->buffer, data, MILO_READ_WRITE) == MILO_OK);
  }
  return model;
}

static const float *logits_of(milo_model *model) {
  static float out[2][COUNT * 64];
  static int turn;
  uint32_t ids[COUNT];
  turn = !turn;
  for (uint32_t i = 0; i < COUNT; i++)
    ids[i] = (i * i * 7 + i * 13 + 3) % (uint32_t)model->config.vocab;
  if (!CHECK(milo_model_logits(ctx, model, NULL, ids, COUNT, out[turn]) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  return out[turn];
}

static bool same_bits(const milo_model *a, const milo_model *b) {
  bool same = a && b && a->params.count == b->params.count;
  for (size_t i = 0; same && i < a->params.count; i++) {
    milo_buffer *x = a->params.items[i].buffer, *y = b->params.items[i].buffer;
    same = milo_buffer_bytes(x) == milo_buffer_bytes(y) &&
           memcmp(milo_buffer_map(x, MILO_READ), milo_buffer_map(y, MILO_READ),
                  milo_buffer_bytes(x)) == 0;
  }
  return same;
}

static milo_model *load(const char *path) {
  milo_model *model = NULL;
  if (!CHECK(milo_model_load(ctx, path, &model) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  return model;
}

static milo_status convert(const char *from, const char *path, const char *to, bool force) {
  milo_convert_options options = MILO_OPTIONS_INIT(milo_convert_options);
  options.to = to;
  options.force = force;
  return milo_convert(ctx, from, path, &options, NULL);
}

static bool refused(milo_status status, milo_status wanted, const char *words) {
  const bool ok = CHECK(status == wanted) & CHECK(strstr(milo_error(ctx), words) != NULL);
  if (!ok) printf("# status %d: %s\n", (int)status, milo_error(ctx));
  return ok;
}

// ---- pairs ----

// The greatest |a - b|; NaN if there is one.
static double furthest(const float *a, const float *b, size_t count) {
  double off = 0;
  for (size_t i = 0; i < count; i++) {
    const double apart = fabs((double)a[i] - (double)b[i]);
    if (!(apart <= off)) off = apart;
  }
  return off;
}

static void test_pairs_change_no_logit(void) {
  for (int variant = 0; variant < 4; variant++) {
    milo_model_config c = tiny();
    if (variant == 1) c.heads = 4, c.kv_heads = 2, c.head_dim = 6;
    if (variant == 2) c.qk_norm = true;
    if (variant == 3) c.qk_norm = c.untied = true, c.kv_heads = 1, c.head_dim = 2;
    milo_model *model = make(c), *other = make(c);
    static float before[COUNT * 64];
    memcpy(before, logits_of(model), sizeof before);
    CHECK(milo_model_set_pairs(model, NULL, true, &diag) == MILO_OK && model->config.rope_half);
    if (c.head_dim > 2) CHECK(!same_bits(model, other));
    const float *after = logits_of(model);
    static const float zeros[COUNT * 64];
    CHECK(furthest(after, before, COUNT * (size_t)c.vocab) <= 1e-5);  // seen: 1.4e-6
    CHECK(furthest(before, zeros, COUNT * (size_t)c.vocab) > 1);
    // The flag alone makes it another model, but for heads of one pair.
    other->config.rope_half = true;
    const float *wrong = logits_of(other);
    const double off = furthest(wrong, before, COUNT * (size_t)c.vocab);
    CHECK(c.head_dim > 2 ? off > 0.01 : off == 0);
    other->config.rope_half = false;
    CHECK(milo_model_set_pairs(model, NULL, false, &diag) == MILO_OK && same_bits(model, other));
    milo_model_destroy(model);
    milo_model_destroy(other);
  }
}

// ---- forms ----

static void test_there_and_back(void) {
  static const char *const ways[][4] = {
      // to, its path, and the way back
      {NULL, "hf", "llama2c", "b.bin"},    {NULL, "one.safetensors", NULL, "b.bin"},
      {"milo", "own", NULL, "b.bin"},      {"llama2c-v1", "v1", NULL, "b.bin"},
      {NULL, "c.blzt", NULL, "b.bin"},     {"blzt-v2", "c2", NULL, "b.bin"},
      {NULL, "b.bin", "llama2c", "b.bin"},
  };
  milo_model *model = make(tiny());
  CHECK(milo_model_save(ctx, model, in_folder("a.bin"), false) == MILO_OK);
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    const char *path = in_folder(ways[i][1]), *back = in_folder(ways[i][3]);
    if (!CHECK(convert(in_folder("a.bin"), path, ways[i][0], true) == MILO_OK))
      printf("# %zu: %s\n", i, milo_error(ctx));
    milo_model *read = load(path);
    if (!CHECK(convert(path, back, ways[i][2], true) == MILO_OK))
      printf("# %zu: %s\n", i, milo_error(ctx));
    if (!CHECK(same_file(back, in_folder("a.bin")))) printf("# way %zu\n", i);
    for (size_t k = 0; read && k < COUNT * 31; k++)
      if (!CHECK_NEAR((double)logits_of(read)[k], (double)logits_of(model)[k], 1e-5)) break;
    milo_model_destroy(read);
  }
  milo_model_destroy(model);
}

static void test_what_is_refused(void) {
  milo_model_config c = tiny();
  milo_model *model = make(c);
  CHECK(milo_model_save(ctx, model, in_folder("a.bin"), false) == MILO_OK);
  milo_model_destroy(model);
  char a[300];
  snprintf(a, sizeof a, "%s", in_folder("a.bin"));
  refused(convert(a, in_folder("x.txt"), NULL, false), MILO_ERR_INVALID, "does not say what");
  refused(convert(a, in_folder("x"), "gguf", false), MILO_ERR_INVALID, "there is no form 'gguf'");
  refused(convert(in_folder("none"), in_folder("x"), NULL, false), MILO_ERR_NOT_FOUND, "none");
  refused(convert(a, in_folder("no/folder/x.bin"), NULL, false), MILO_ERR_NOT_FOUND, "x.bin");
  refused(convert(folder, in_folder("x"), NULL, false), MILO_ERR_NOT_FOUND, "config.json");
  refused(convert(a, in_folder("v4"), "blzt-v4", false), MILO_ERR_UNSUPPORTED,
          "residual_scale is not 1/sqrt(2 layers)");
  CHECK(!milo_file_exists(in_folder("x")) && !milo_file_exists(in_folder("v4")));
  // Nothing that is there is replaced, whatever the form.
  static const char *const targets[][3] = {{"r.bin", NULL, "r.bin"},
                                           {"r.blzt", NULL, "r.blzt"},
                                           {"rh", NULL, "rh/config.json"},
                                           {"rm", "milo", "rm/checkpoint.milo"},
                                           {"rs/r.safetensors", NULL, "rs/r.safetensors"}};
  CHECK(milo_file_make_dir(in_folder("rs"), NULL) == MILO_OK);
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    char path[300];
    snprintf(path, sizeof path, "%s", in_folder(targets[i][0]));
    CHECK(convert(a, path, targets[i][1], false) == MILO_OK);
    refused(convert(a, path, targets[i][1], false), MILO_ERR_INVALID, targets[i][2]);
    CHECK(strstr(milo_error(ctx), "--force does that") != NULL);
    CHECK(convert(a, path, targets[i][1], true) == MILO_OK);
  }
  // The config.json beside a new file of weights belongs to others.
  refused(convert(a, in_folder("rs/other.safetensors"), NULL, false), MILO_ERR_INVALID,
          "rs/config.json");
  CHECK(!milo_file_exists(in_folder("rs/other.safetensors")));
  // What a form cannot say is no reason to say something else.
  refused(convert("tests/oracle/hf/qwen3_tied", in_folder("q.bin"), NULL, false),
          MILO_ERR_UNSUPPORTED, "qk_norm is set");
  refused(convert("tests/oracle/hf/llama", in_folder("q.blzt"), NULL, false), MILO_ERR_UNSUPPORTED,
          "the classifier is not tied");
  CHECK(!milo_file_exists(in_folder("q.bin")) && !milo_file_exists(in_folder("q.blzt")));
}

static void test_a_tokenizer_goes_along(void) {
  static const char bytes[] = "any bytes";
  CHECK(convert(in_folder("a.bin"), in_folder("t1"), "milo", true) == MILO_OK);
  CHECK(milo_file_save(ctx, in_folder("t1/tokenizer.bin"), bytes, sizeof bytes) == MILO_OK);
  CHECK(convert(in_folder("t1"), in_folder("t2"), NULL, false) == MILO_OK);
  CHECK(same_file(in_folder("t1/tokenizer.bin"), in_folder("t2/tokenizer.bin")));
  CHECK(convert(in_folder("t1"), in_folder("t.bin"), NULL, false) == MILO_OK);
}

// ---- BLZT ----

// The n-th float of a file whose parts have these many, in the order of the specification.
enum { LAYERS = 2, DIM = 8, HIDDEN = 6, VOCAB = 5, MOST_FLOATS = 1 << 14 };

typedef struct blzt_file {
  char bytes[96 + 4 * MOST_FLOATS];
  size_t size;
} blzt_file;

static void put_i32(blzt_file *f, size_t at, int32_t value) { memcpy(f->bytes + at, &value, 4); }

// The value of element i of a tensor: of weights w, and of both moments.
static float value_of(int tensor, int layer, int order, size_t i) {
  const float base = (float)(tensor * 100 + layer * 10 + order) + (float)(i % 97) / 128;
  return order == 2 ? base / 4096 : order == 1 ? -base / 64 : base / 256;
}

static void append_tensor(blzt_file *f, int tensor, int layer, int order, size_t count) {
  for (size_t i = 0; i < count; i++, f->size += 4) {
    const float value = value_of(tensor, layer, order, i);
    memcpy(f->bytes + f->size, &value, 4);
  }
}

static void build_blzt(blzt_file *f, int version) {
  const int heads = 2, kv_heads = version == 4 ? 1 : 2, head_dim = version == 4 ? 6 : 4;
  const size_t q = (size_t)(heads * head_dim) * DIM, kv = (size_t)(kv_heads * head_dim) * DIM;
  const size_t ffn = HIDDEN * DIM;
  const size_t sizes[9] = {q, kv, kv, q, ffn, ffn, ffn, DIM, DIM};
  const int32_t head[10] = {0x424C5A54, version, 70, 1000, LAYERS, VOCAB, DIM, HIDDEN, heads, 16};
  const float rates[2] = {3e-4f, 2.5f};
  const double times[3] = {1.5, 2.25, 1e6};
  memset(f, 0, sizeof *f);
  memcpy(f->bytes, head, sizeof head);
  memcpy(f->bytes + 40, rates, sizeof rates);
  memcpy(f->bytes + 48, times, sizeof times);
  put_i32(f, 72, 71);
  put_i32(f, 76, 72);
  put_i32(f, 80, 7);
  if (version == 4) put_i32(f, 84, kv_heads), put_i32(f, 88, head_dim), put_i32(f, 92, 12);
  f->size = 96;
  for (int layer = 0; layer < LAYERS; layer++) {
    for (int t = 0; t < 9; t++) append_tensor(f, t, layer, 0, sizes[t]);
    for (int t = 0; t < 9; t++)
      for (int order = 1; order < 3; order++) append_tensor(f, t, layer, order, sizes[t]);
  }
  for (int order = 0; order < 3; order++) append_tensor(f, 9, 0, order, DIM);
  for (int order = 0; order < 3; order++) append_tensor(f, 10, 0, order, VOCAB * DIM);
}

static bool holds(milo_buffer *buffer, int tensor, int layer, int order) {
  const float *data = milo_buffer_map(buffer, MILO_READ);
  for (size_t i = 0; i < milo_buffer_bytes(buffer) / sizeof *data; i++)
    if (!CHECK(data[i] == value_of(tensor, layer, order, i))) return false;
  return true;
}

static blzt_file file;

static void test_blzt_byte_by_byte(void) {
  static const milo_tensor_id order[9] = {
      MILO_TENSOR_wq, MILO_TENSOR_wk, MILO_TENSOR_wv,       MILO_TENSOR_wo,      MILO_TENSOR_w1,
      MILO_TENSOR_w2, MILO_TENSOR_w3, MILO_TENSOR_att_norm, MILO_TENSOR_ffn_norm};
  for (int version = 2; version <= 4; version += 2) {
    const char *path = in_folder("b.blzt"), *copy = in_folder("copy.blzt");
    build_blzt(&file, version);
    CHECK(milo_file_write(path, file.bytes, file.size, NULL) == MILO_OK);
    milo_model *m = NULL;
    milo_moments moments;
    milo_blzt_run run;
    bool is = false;
    CHECK(milo_blzt_is(path, &diag, &is) == MILO_OK && is);
    if (!CHECK(milo_blzt_read(path, &diag, &m, &moments, &run) == MILO_OK)) {
      printf("# %s\n", milo_diag_text(&diag));
      return;
    }
    const milo_model_config *c = &m->config;
    CHECK(c->dim == DIM && c->hidden == HIDDEN && c->layers == LAYERS && c->heads == 2);
    CHECK(c->kv_heads == (version == 4 ? 1 : 2) && c->head_dim == (version == 4 ? 6 : 4));
    CHECK(c->seq == 16 && c->vocab == VOCAB && !c->untied && !c->rope_half && !c->qk_norm);
    CHECK_NEAR(c->residual_scale, version == 4 ? 0.5 : 1, 1e-12);
    CHECK(run.version == (uint32_t)version && run.step == 70 && run.total_steps == 1000);
    CHECK(run.updates == 7 && run.all_steps == 71 && run.batches == 72 && run.lr == 3e-4f);
    CHECK(run.loss == 2.5f && run.compile_ms == 1.5 && run.train_ms == 2.25 && run.wall_ms == 1e6);
    for (int t = 0; t < 9; t++)
      for (size_t layer = 0; layer < LAYERS; layer++) {
        const milo_parameter *p = milo_model_param(m, order[t], layer);
        holds(p->buffer, t, (int)layer, 0);
        for (int k = 0; k < 2; k++) holds(moments.of[k][p - m->params.items], t, (int)layer, 1 + k);
      }
    holds(milo_model_param(m, MILO_TENSOR_final_norm, 0)->buffer, 9, 0, 0);
    holds(milo_model_param(m, MILO_TENSOR_embedding, 0)->buffer, 10, 0, 0);
    holds(moments.of[1][m->first[MILO_TENSOR_embedding]], 10, 0, 2);
    CHECK(milo_blzt_write(m, &moments, &run, copy, &diag) == MILO_OK && same_file(path, copy));
    // Through the pairing of others and back, moments too.
    CHECK(milo_model_set_pairs(m, &moments, true, NULL) == MILO_OK);
    failed_with(milo_blzt_write(m, &moments, &run, copy, &diag), MILO_ERR_UNSUPPORTED,
                "rope_half is set");
    CHECK(milo_model_set_pairs(m, &moments, false, NULL) == MILO_OK);
    CHECK(milo_blzt_write(m, &moments, &run, copy, &diag) == MILO_OK && same_file(path, copy));
    CHECK(convert(path, copy, NULL, true) == MILO_OK && same_file(path, copy));
    milo_moments_deinit(&moments);
    milo_model_destroy(m);
  }
}

static bool bad_blzt(const blzt_file *f, size_t size, milo_status wanted, const char *words) {
  const char *path = in_folder("bad.blzt");
  milo_model *m = NULL;
  CHECK(milo_file_write(path, f->bytes, size, NULL) == MILO_OK);
  const milo_status status = milo_blzt_read(path, &diag, &m, NULL, NULL);
  CHECK(!m && diag.errors == 1);
  return CHECK(failed_with(status, wanted, words));
}

static void test_blzt_that_are_refused(void) {
  static const struct {
    size_t at;
    int32_t value;
    milo_status status;
    const char *words;
  } cases[] = {
      {0, 1, MILO_ERR_INVALID, "it begins with 00000001"},
      {4, 3, MILO_ERR_UNSUPPORTED, "of version 3, only 2 and 4"},
      {8, -1, MILO_ERR_INVALID, "step -1"},
      {12, -5, MILO_ERR_INVALID, "total_steps -5"},
      {16, 0, MILO_ERR_INVALID, "n_layers 0"},
      {16, 3, MILO_ERR_INVALID, "truncated"},
      {16, 1, MILO_ERR_INVALID, "over-long"},
      {16, INT32_MAX, MILO_ERR_INVALID, "layers is 2147483647"},
      {20, -32000, MILO_ERR_INVALID, "vocab -32000"},
      {24, INT32_MAX, MILO_ERR_INVALID, "dim is 2147483647"},
      {28, 7, MILO_ERR_INVALID, "truncated"},
      {32, 3, MILO_ERR_INVALID, "3 heads do not fit query_dim 12"},
      {36, 0, MILO_ERR_INVALID, "seq 0"},
      {40, 0x7fc00000, MILO_ERR_INVALID, "its header holds a NaN"},
      {44, 0x7f800000, MILO_ERR_INVALID, "its header holds a NaN or an infinity"},
      {52, 0x7ff80000, MILO_ERR_INVALID, "its header holds a NaN"},
      {80, -1, MILO_ERR_INVALID, "adam_t -1"},
      {84, 0, MILO_ERR_INVALID, "kv_heads 0"},
      {84, 3, MILO_ERR_INVALID, "not a multiple of kv_heads"},
      {92, 13, MILO_ERR_INVALID, "do not fit query_dim 13"},
      {96, 0x7fc00000, MILO_ERR_INVALID, "the weight of model.layers.0.self_attn.q_proj.weight"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    build_blzt(&file, 4);
    put_i32(&file, cases[i].at, cases[i].value);
    if (!bad_blzt(&file, file.size, cases[i].status, cases[i].words)) printf("# case %zu\n", i);
  }
  build_blzt(&file, 4);
  put_i32(&file, file.size - 4, INT32_MIN + 0x3f800000);  // -1
  bad_blzt(&file, file.size, MILO_ERR_INVALID, "the second moment of model.embed_tokens.weight");
  put_i32(&file, file.size - 4 - 4 * VOCAB * DIM, 0x7f800000);
  bad_blzt(&file, file.size, MILO_ERR_INVALID, "the first moment of model.embed_tokens.weight");
  build_blzt(&file, 2);
  put_i32(&file, 32, 3);
  bad_blzt(&file, file.size, MILO_ERR_INVALID, "3 heads do not fit dim 8");
  build_blzt(&file, 4);
  for (size_t n = 0; n < file.size; n += n < 100 ? 1 : 997)
    bad_blzt(&file, n, MILO_ERR_INVALID, "BLZT checkpoint: ");
  bad_blzt(&file, file.size + 4, MILO_ERR_INVALID, "over-long");
}

// A run that goes through a BLZT file is the run that never stopped, bit for bit.
static void test_a_run_goes_on(void) {
  enum { TOKENS = 900 };
  uint32_t ids[TOKENS];
  for (uint32_t i = 0; i < TOKENS; i++) ids[i] = (i * i * 7 + i * 13 + 3) % 31;
  for (int variant = 0; variant < 2; variant++) {
    milo_model_config c = tiny();
    if (variant == 1) c.residual_scale = 0.5, c.head_dim = 6, c.heads = 4, c.kv_heads = 2;
    milo_train_options o = MILO_OPTIONS_INIT(milo_train_options);
    o.steps = 8, o.batch = 2, o.seq = 16, o.accumulate = 2, o.eval_every = 3, o.lr = 1e-2;
    o.out_dir = in_folder(variant ? "whole4" : "whole2");
    milo_model *whole = make(c), *part = make(c);
    CHECK(milo_train(ctx, whole, ids, TOKENS, &o, NULL) == MILO_OK);
    char half[300], blzt[300];
    snprintf(half, sizeof half, "%s", in_folder(variant ? "half4" : "half2"));
    snprintf(blzt, sizeof blzt, "%s", in_folder(variant ? "run4.blzt" : "run2.blzt"));
    o.out_dir = half;
    o.stop_after = 3;
    CHECK(milo_train(ctx, part, ids, TOKENS, &o, NULL) == MILO_OK);
    milo_convert_result result;
    if (!CHECK(milo_convert(ctx, o.out_dir, blzt, NULL, &result) == MILO_OK && result.has_moments))
      printf("# %s\n", milo_error(ctx));
    milo_model *read = NULL;
    milo_blzt_run run;
    CHECK(milo_blzt_read(blzt, &diag, &read, NULL, &run) == MILO_OK);
    CHECK(run.version == (variant ? 4 : 2) && run.updates == 3 && run.step == 6);
    CHECK(run.total_steps == 16 && same_bits(read, part));
    milo_model_destroy(read);

    milo_model *other = make(c);  // its weights are replaced
    CHECK(milo_model_set_pairs(other, NULL, true, NULL) == MILO_OK);
    CHECK(milo_model_set_pairs(other, NULL, false, NULL) == MILO_OK);
    o.stop_after = 0;
    o.resume_from = blzt;
    char rest[300];
    snprintf(rest, sizeof rest, "%s", in_folder(variant ? "rest4" : "rest2"));
    o.out_dir = rest;
    o.stop_after = 6;
    milo_train_result done;
    if (!CHECK(milo_train(ctx, other, ids, TOKENS, &o, &done) == MILO_OK))
      printf("# %s\n", milo_error(ctx));
    o.resume_from = NULL;
    o.resume = true;
    o.stop_after = 0;
    if (!CHECK(milo_train(ctx, other, ids, TOKENS, &o, &done) == MILO_OK))
      printf("# %s\n", milo_error(ctx));
    CHECK(same_bits(other, whole) && done.last.step == 8 && done.lost_metrics == 0);
    // The last lines of metrics are those of the whole run.
    void *a = NULL, *b = NULL;
    size_t an = 0, bn = 0;
    char name[64];
    snprintf(name, sizeof name, "rest%d/metrics.jsonl", variant ? 4 : 2);
    CHECK(milo_file_read(in_folder(name), 0, NULL, &a, &an) == MILO_OK);
    snprintf(name, sizeof name, "whole%d/metrics.jsonl", variant ? 4 : 2);
    CHECK(milo_file_read(in_folder(name), 0, NULL, &b, &bn) == MILO_OK);
    CHECK(an > 0 && an < bn && memcmp(a, (char *)b + bn - an, an) == 0);
    CHECK(an > 10 && strncmp(a, "{\"step\":4,", 10) == 0);
    free(a);
    free(b);

    // Another model, too few steps, both ways at once.
    o.resume_from = blzt;
    refused(milo_train(ctx, other, ids, TOKENS, &o, NULL), MILO_ERR_INVALID, "exclude each other");
    o.resume = false;
    o.out_dir = NULL;
    o.steps = 2;
    refused(milo_train(ctx, other, ids, TOKENS, &o, NULL), MILO_ERR_INVALID,
            "stands after 3 steps of the optimizer");
    o.steps = 8;
    c.hidden++;
    milo_model *wrong = make(c);
    refused(milo_train(ctx, wrong, ids, TOKENS, &o, NULL), MILO_ERR_INVALID, "(model.hidden)");
    milo_model_destroy(wrong);
    milo_model_destroy(whole);
    milo_model_destroy(part);
    milo_model_destroy(other);
  }
}

// A folder that holds a model and no run is none to resume.
static void test_a_folder_without_a_run(void) {
  uint32_t ids[100] = {0};
  milo_model *model = make(tiny());
  milo_train_options o = MILO_OPTIONS_INIT(milo_train_options);
  CHECK(convert(in_folder("a.bin"), in_folder("alone"), "milo", false) == MILO_OK);
  o.out_dir = in_folder("alone");
  o.resume = true;
  refused(milo_train(ctx, model, ids, 100, &o, NULL), MILO_ERR_INVALID, "holds a model and no run");
  milo_model_destroy(model);
}

int main(void) {
  if (!make_folder() || milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_pairs_change_no_logit);
  RUN(test_there_and_back);
  RUN(test_what_is_refused);
  RUN(test_a_tokenizer_goes_along);
  RUN(test_blzt_byte_by_byte);
  RUN(test_blzt_that_are_refused);
  RUN(test_a_run_goes_on);
  RUN(test_a_folder_without_a_run);
  milo_diag_deinit(&diag);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
