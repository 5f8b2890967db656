// SPDX-License-Identifier: MIT
// Vocabulary compaction: the run that it is, without it, is the same to the bit; models and
// checkpoints stay whole.
#include <milo/milo.h>

#include "folder.h"
#include "model/model.h"
#include "tap.h"

enum { TOKENS = 700, VOCAB = 40, SOME = 13, STEPS = 6 };

static milo_ctx *ctx;
static double losses[STEPS + 1];

static bool on_step(void *user, const milo_train_report *r) {
  (void)user;
  losses[r->step] = r->loss;
  return true;
}

static milo_model_config config_of(bool untied, int64_t vocab) {
  milo_model_config c = MILO_OPTIONS_INIT(milo_model_config);
  c.dim = 12, c.hidden = 14, c.layers = 2, c.heads = 3, c.head_dim = 4, c.seq = 16;
  c.vocab = vocab, c.untied = untied;
  return c;
}

static milo_model *make(bool untied) {
  const milo_model_config c = config_of(untied, VOCAB);
  milo_model *model = NULL;
  CHECK(milo_model_create(ctx, &c, 5, &model) == MILO_OK);
  return model;
}

// Tokens 2, 5, 8, ... if there are SOME of them, else all.
static void fill(uint32_t *ids, bool some) {
  for (uint32_t i = 0; i < TOKENS; i++) {
    const uint32_t k = (i * i + i / 7) % (some ? SOME : VOCAB);
    ids[i] = some ? 2 + 3 * (i < SOME ? i : k) : i < VOCAB ? i : k;
  }
}

static milo_train_options options_of(const char *name) {
  milo_train_options o = MILO_OPTIONS_INIT(milo_train_options);
  o.steps = STEPS, o.batch = 2, o.accumulate = 2, o.eval_every = 2, o.lr = 1e-2;
  o.out_dir = name ? in_folder(name) : NULL;
  o.on_step = on_step;
  return o;
}

static void train(milo_model *model, const uint32_t *ids, const milo_train_options *o) {
  if (!CHECK(milo_train(ctx, model, ids, TOKENS, o, NULL) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
}

static const float *data_of(const milo_model *model, milo_tensor_id id, size_t layer) {
  return milo_buffer_map(milo_model_param(model, id, layer)->buffer, MILO_READ);
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

static void test_all_tokens_occur(void) {
  uint32_t ids[TOKENS];
  fill(ids, false);
  for (int untied = 0; untied < 2; untied++) {
    milo_model *plain = make(untied), *compact = make(untied);
    milo_train_options o = options_of(NULL);
    double wanted[STEPS + 1];
    train(plain, ids, &o);
    memcpy(wanted, losses, sizeof wanted);
    o.compact_vocab = true;
    train(compact, ids, &o);
    for (int i = 1; i <= STEPS; i++) CHECK(losses[i] == wanted[i]);
    CHECK(same_bits(plain, compact));
    milo_model_destroy(plain);
    milo_model_destroy(compact);
  }
}

// A model of these tokens alone, trained on their numbers, says what training in the compact
// vocabulary must say.
static void test_some_tokens_occur(void) {
  uint32_t ids[TOKENS], small_ids[TOKENS];
  fill(ids, true);
  for (size_t i = 0; i < TOKENS; i++) small_ids[i] = (ids[i] - 2) / 3;
  for (int untied = 0; untied < 2; untied++) {
    milo_model *before = make(untied), *compact = make(untied), *small = NULL;
    const milo_model_config c = config_of(untied, SOME);
    CHECK(milo_model_create(ctx, &c, 5, &small) == MILO_OK);
    for (size_t i = 0; i < small->params.count; i++) {
      const milo_parameter *from = &before->params.items[i], *to = &small->params.items[i];
      const size_t row = (size_t)to->type.dims[to->type.rank - 1];
      const size_t rows = milo_type_elements(&to->type) / row;
      const bool by_token = to->type.rank == 2 && from->type.dims[0] == VOCAB;
      const float *all = milo_buffer_map(from->buffer, MILO_READ);
      for (size_t k = 0; k < rows; k++)
        CHECK(milo_parameter_set(to, k * row, row, all + (by_token ? 2 + 3 * k : k) * row, NULL) ==
              MILO_OK);
    }
    milo_train_options o = options_of(NULL);
    double wanted[STEPS + 1];
    train(small, small_ids, &o);
    memcpy(wanted, losses, sizeof wanted);
    o = options_of(untied ? "whole1" : "whole0");
    o.compact_vocab = true;
    train(compact, ids, &o);
    for (int i = 1; i <= STEPS; i++) CHECK(losses[i] == wanted[i]);
    CHECK(losses[STEPS] < losses[1] && losses[1] < log(SOME) + 0.1);
    // What occurs was trained, what does not is as it was.
    for (int k = 0; k < 1 + untied; k++) {
      const milo_tensor_id id = k ? MILO_TENSOR_classifier : MILO_TENSOR_embedding;
      const float *was = data_of(before, id, 0), *is = data_of(compact, id, 0);
      const float *own = data_of(small, id, 0);
      for (size_t token = 0; token < VOCAB; token++) {
        const bool occurs = token >= 2 && (token - 2) % 3 == 0 && (token - 2) / 3 < SOME;
        CHECK((memcmp(is + token * 12, was + token * 12, 48) == 0) == !occurs);
        if (occurs) CHECK(memcmp(is + token * 12, own + (token - 2) / 3 * 12, 48) == 0);
      }
    }
    CHECK(memcmp(data_of(compact, MILO_TENSOR_w1, 1), data_of(small, MILO_TENSOR_w1, 1), 100) == 0);

    // In two parts it is the same run, and the folder holds the whole model.
    milo_model *parts = make(untied), *read = NULL;
    milo_train_options p = options_of(untied ? "parts1" : "parts0");
    p.compact_vocab = true;
    p.stop_after = 3;
    train(parts, ids, &p);
    CHECK(milo_model_load(ctx, p.out_dir, &read) == MILO_OK && same_bits(read, parts));
    milo_model_destroy(read);
    milo_model_destroy(parts);
    parts = make(untied);
    p.compact_vocab = false;  // the checkpoint knows
    p.stop_after = 0;
    p.resume = true;
    train(parts, ids, &p);
    CHECK(same_bits(parts, compact));
    char a[300], b[300];
    snprintf(a, sizeof a, "%s/checkpoint.milo", p.out_dir);
    snprintf(b, sizeof b, "%s/checkpoint.milo", in_folder(untied ? "whole1" : "whole0"));
    CHECK(same_file(a, b));
    CHECK(milo_model_load(ctx, p.out_dir, &read) == MILO_OK && same_bits(read, compact));

    // Through another program's form, with moments.
    if (!untied) {
      const char *blzt = in_folder("run.blzt");
      milo_model *rest = make(untied);
      milo_train_options q = options_of(NULL);
      q.compact_vocab = true;
      q.stop_after = 3;
      q.out_dir = in_folder("first");
      train(rest, ids, &q);
      if (!CHECK(milo_convert(ctx, q.out_dir, blzt, NULL, NULL) == MILO_OK))
        printf("# %s\n", milo_error(ctx));
      q.out_dir = NULL;
      q.stop_after = 0;
      q.resume_from = blzt;
      milo_model_destroy(rest);
      rest = make(untied);
      train(rest, ids, &q);
      CHECK(same_bits(rest, compact));
      milo_model_destroy(rest);
    }
    milo_model_destroy(read);
    milo_model_destroy(parts);
    milo_model_destroy(before);
    milo_model_destroy(compact);
    milo_model_destroy(small);
  }
}

static void test_tokens_beyond_the_vocabulary(void) {
  uint32_t ids[TOKENS];
  fill(ids, true);
  ids[TOKENS - 1] = VOCAB;
  milo_model *model = make(false);
  milo_train_options o = options_of(NULL);
  o.compact_vocab = true;
  CHECK(milo_train(ctx, model, ids, TOKENS, &o, NULL) == MILO_ERR_INVALID);
  CHECK(strstr(milo_error(ctx), "token 699 is 40, the model's vocabulary has 40") != NULL);
  milo_model_destroy(model);
}

int main(void) {
  if (!make_folder() || milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_all_tokens_occur);
  RUN(test_some_tokens_occur);
  RUN(test_tokens_beyond_the_vocabulary);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
