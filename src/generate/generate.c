// SPDX-License-Identifier: MIT
#include "generate/generate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "generate/forward.h"
#include "generate/sample.h"
#include "generate/views.h"
#include "model/blocks.h"

enum { TOKEN_BOS = 1, TOKEN_EOS = 2 };

// The programs that read a fixed number of tokens, and their buffers.
typedef struct reader {
  size_t count;
  milo_executable *embed, *layer;
  milo_buffer *tokens, *positions, *x[2];
} reader;

struct milo_session {
  milo_stop stop;
  const milo_model *model;
  milo_views weights;
  milo_buffer **caches;  // keys of layer i at 2 i, values at 2 i + 1
  milo_buffer *position, *logits;
  milo_executable *head;
  reader prefill, decode;  // prefill is empty if the prompt is one token
  size_t used;             // tokens read
};

static void reader_deinit(reader *r) {
  milo_executable_destroy(r->embed);
  milo_executable_destroy(r->layer);
  milo_buffer_release(r->tokens);
  milo_buffer_release(r->positions);
  milo_buffer_release(r->x[0]);
  milo_buffer_release(r->x[1]);
}

static milo_status reader_init(reader *r, milo_device *device, const milo_model_config *c,
                               size_t count, milo_diag *diag) {
  static const milo_alias caches[] = {{1, 1}, {2, 2}};
  const milo_executable_options options = {.aliases = caches, .alias_count = 2};
  r->count = count;
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  milo_status status = milo_block_embed(program, c, (int64_t)count, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, NULL, diag, &r->embed));
  program = milo_program_create();
  status = milo_block_layer_cached(program, c, (int64_t)count, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, &options, diag, &r->layer));
  const size_t x_bytes = count * (size_t)c->dim * sizeof(float);
  MILO_TRY(milo_buffer_alloc(count * sizeof(int32_t), diag, &r->tokens));
  MILO_TRY(milo_buffer_alloc(count * sizeof(int32_t), diag, &r->positions));
  MILO_TRY(milo_buffer_alloc(x_bytes, diag, &r->x[0]));
  return milo_buffer_alloc(x_bytes, diag, &r->x[1]);
}

static milo_status fill(milo_session *s, milo_device *device, size_t prompt, milo_diag *diag) {
  const milo_model_config *c = &s->model->config;
  MILO_TRY(milo_views_init(&s->weights, s->model->weights, s->model->block, diag));
  const size_t cache_bytes = (size_t)(c->kv_heads * c->seq * c->head_dim) * sizeof(float);
  s->caches = calloc(2 * (size_t)c->layers, sizeof *s->caches);
  if (!s->caches) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for caches");
  for (int64_t i = 0; i < 2 * c->layers; i++)
    MILO_TRY(milo_buffer_alloc(cache_bytes, diag, &s->caches[i]));
  MILO_TRY(milo_buffer_alloc(sizeof(int32_t), diag, &s->position));
  MILO_TRY(milo_buffer_alloc((size_t)c->vocab * sizeof(float), diag, &s->logits));
  milo_func *func = NULL;
  milo_program *program = milo_program_create();
  const milo_status status = milo_block_logits(program, c, 1, diag, &func);
  MILO_TRY(milo_forward_compile(device, program, status, func, NULL, diag, &s->head));
  if (prompt > 1) MILO_TRY(reader_init(&s->prefill, device, c, prompt, diag));
  return reader_init(&s->decode, device, c, 1, diag);
}

milo_status milo_session_create(milo_device *device, const milo_model *model, size_t prompt,
                                milo_diag *diag, milo_session **out_session) {
  *out_session = NULL;
  milo_session *s = calloc(1, sizeof *s);
  if (!s) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to generate");
  s->model = model;
  const milo_status status = fill(s, device, prompt, diag);
  if (status == MILO_OK)
    *out_session = s;
  else
    milo_session_destroy(s);
  return status;
}

void milo_session_set_stop(milo_session *s, milo_stop stop) { s->stop = stop; }

void milo_session_destroy(milo_session *s) {
  if (!s) return;
  for (int64_t i = 0; s->caches && i < 2 * s->model->config.layers; i++)
    milo_buffer_release(s->caches[i]);
  free(s->caches);
  reader_deinit(&s->prefill);
  reader_deinit(&s->decode);
  milo_executable_destroy(s->head);
  milo_buffer_release(s->position);
  milo_buffer_release(s->logits);
  milo_views_deinit(&s->weights);
  free(s);
}

// Runs the layers over r's tokens; the result is in r->x[layers % 2].
static milo_status read_layers(milo_session *s, reader *r, milo_diag *diag) {
  milo_buffer *inputs[5 + MILO_WEIGHT_COUNT] = {
      r->tokens, milo_views_get(&s->weights, MILO_WEIGHT_embedding, 0)};
  MILO_TRY(milo_executable_run(r->embed, inputs, &r->x[0], diag));
  inputs[3] = s->position;
  inputs[4] = r->positions;
  for (size_t layer = 0; layer < (size_t)s->model->config.layers; layer++) {
    if (milo_stop_asked(s->stop)) return MILO_ERR_INTERRUPTED;
    inputs[0] = r->x[layer % 2];
    inputs[1] = s->caches[2 * layer];
    inputs[2] = s->caches[2 * layer + 1];
    milo_views_layer(&s->weights, layer, inputs + 5);
    milo_buffer *const outputs[] = {r->x[(layer + 1) % 2], inputs[1], inputs[2]};
    MILO_TRY(milo_executable_run(r->layer, inputs, outputs, diag));
  }
  return MILO_OK;
}

milo_status milo_session_read(milo_session *s, const uint32_t *tokens, size_t count,
                              milo_diag *diag, const float **out_logits) {
  *out_logits = NULL;
  const milo_model_config *c = &s->model->config;
  reader *r = count == 1 ? &s->decode : &s->prefill;
  assert(count == r->count && s->used + count <= (size_t)c->seq);
  int32_t *ids = r->tokens->data, *positions = r->positions->data;
  for (size_t i = 0; i < count; i++) {
    ids[i] = (int32_t)tokens[i];
    positions[i] = (int32_t)(s->used + i);
  }
  *(int32_t *)s->position->data = (int32_t)s->used;
  MILO_TRY(read_layers(s, r, diag));
  s->used += count;
  const size_t dim = (size_t)c->dim;
  float *x = r->x[c->layers % 2]->data;
  milo_buffer last = milo_buffer_view(x + (count - 1) * dim, dim * sizeof *x);
  milo_buffer *const head[] = {&last, milo_views_get(&s->weights, MILO_WEIGHT_final_norm, 0),
                               milo_views_get(&s->weights, milo_classifier_id(c), 0)};
  MILO_TRY(milo_executable_run(s->head, head, &s->logits, diag));
  const float *logits = s->logits->data;
  for (int64_t i = 0; i < c->vocab; i++)
    if (!isfinite(logits[i]))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                       "a logit is not finite after %zu tokens", s->used);
  *out_logits = logits;
  return MILO_OK;
}

milo_status milo_generate_steps(const milo_model *model, const uint32_t *prompt,
                                size_t prompt_count, const milo_generate_options *options,
                                milo_diag *diag, size_t *out_steps) {
  const size_t seq = (size_t)model->config.seq;
  *out_steps = 0;
  const size_t steps = options->steps ? options->steps : seq;
  if (steps > seq)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%zu tokens wanted, the model's sequences have at most %zu", steps, seq);
  if (prompt_count < 1)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "the prompt is empty");
  if (prompt_count > seq)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "the prompt has %zu tokens, the model's sequences at most %zu", prompt_count,
                     seq);
  for (size_t i = 0; i < prompt_count; i++)
    if (prompt[i] >= (uint64_t)model->config.vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "token %zu of the prompt is %u, the model's vocabulary has %lld", i,
                       prompt[i], (long long)model->config.vocab);
  *out_steps = steps > prompt_count ? steps : prompt_count;
  return MILO_OK;
}

typedef struct run {
  const milo_generate_options *options;
  uint32_t *ids;
  size_t count, steps;
} run;

static bool announce(const run *r, uint32_t id) {
  return !r->options->on_token || r->options->on_token(r->options->user, id);
}

static milo_status continue_prompt(run *r, milo_session *session, milo_sampler *sampler,
                                   milo_diag *diag, milo_generate_stats *stats) {
  double start = milo_clock_s();
  size_t unread = r->count;
  bool go_on = true;
  for (size_t i = 1; i < r->count && go_on; i++) go_on = announce(r, r->ids[i]);
  while (go_on && r->count < r->steps) {
    const float *logits;
    const milo_status status =
        milo_session_read(session, r->ids + r->count - unread, unread, diag, &logits);
    if (status == MILO_ERR_INTERRUPTED) break;
    MILO_TRY(status);
    const uint32_t next = milo_sampler_draw(sampler, logits, r->count);
    const double now = milo_clock_s();
    *(r->count == stats->prompt_tokens ? &stats->prefill_s : &stats->decode_s) += now - start;
    start = now;
    if (next == TOKEN_BOS || next == TOKEN_EOS) break;
    unread = 1;
    r->ids[r->count++] = next;
    stats->generated_tokens++;
    go_on = announce(r, next);
  }
  return MILO_OK;
}

milo_status milo_generate_run(milo_device *device, const milo_model *model, const uint32_t *prompt,
                              size_t prompt_count, const milo_generate_options *options,
                              milo_diag *diag, uint32_t *ids, size_t *out_count,
                              milo_generate_stats *out_stats) {
  *out_count = 0;
  *out_stats = (milo_generate_stats){.prompt_tokens = prompt_count};
  run r = {.options = options, .ids = ids, .count = prompt_count};
  MILO_TRY(milo_generate_steps(model, prompt, prompt_count, options, diag, &r.steps));
  memcpy(ids, prompt, prompt_count * sizeof *ids);
  milo_sampler sampler;
  MILO_TRY(milo_sampler_init(&sampler, (size_t)model->config.vocab, options->temperature,
                             options->top_p, options->seed, diag));
  milo_session *session = NULL;
  milo_status status = milo_session_create(device, model, prompt_count, diag, &session);
  if (status == MILO_OK) milo_session_set_stop(session, (milo_stop){options->stop, options->user});
  if (status == MILO_OK) status = continue_prompt(&r, session, &sampler, diag, out_stats);
  milo_session_destroy(session);
  milo_sampler_deinit(&sampler);
  if (status == MILO_OK) *out_count = r.count;
  return status;
}
