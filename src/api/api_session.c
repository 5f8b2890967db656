// SPDX-License-Identifier: MIT
// Sessions, and logits and losses of whole sequences.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctx.h"
#include "base/option_struct.h"
#include "generate/sample.h"
#include "generate/session.h"

struct milo_session {
  milo_ctx *ctx;
  milo_model *model;
  milo_reader *reader;
  milo_sampler sampler;
};

// MILO_ERR_INTERRUPTED comes without a message.
static milo_status reported(milo_status status, milo_diag *diag) {
  return status == MILO_ERR_INTERRUPTED
             ? milo_fail(diag, MILO_NO_LOC, status, "reading tokens was stopped")
             : status;
}

milo_status milo_session_create(milo_ctx *ctx, milo_model *model, const milo_session_options *given,
                                milo_session **out_session) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_session_options options;
  milo_device *device = NULL;
  *out_session = NULL;
  MILO_TRY(milo_take_options(milo_session_options, given, diag, &options));
  MILO_TRY(milo_ctx_device(ctx, options.device, &device));
  milo_session *s = calloc(1, sizeof *s);
  if (!s) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a session");
  milo_ctx_retain(ctx);
  milo_model_retain(model);
  s->ctx = ctx;
  s->model = model;
  milo_status status =
      milo_reader_create(device, model, options.limit, options.cache, diag, &s->reader);
  if (status == MILO_OK) {
    milo_reader_set_stop(s->reader, (milo_stop){options.stop, options.user});
    status = milo_sampler_init(&s->sampler, (size_t)model->config.vocab, 0, 0, 0, diag);
  }
  if (status == MILO_OK)
    *out_session = s;
  else
    milo_session_destroy(s);
  return status;
}

void milo_session_destroy(milo_session *s) {
  if (!s) return;
  milo_reader_destroy(s->reader);
  milo_sampler_deinit(&s->sampler);
  milo_model_destroy(s->model);
  milo_ctx_destroy(s->ctx);
  free(s);
}

size_t milo_session_length(const milo_session *s) { return milo_reader_length(s->reader); }
size_t milo_session_limit(const milo_session *s) { return milo_reader_limit(s->reader); }
size_t milo_session_cache_bytes(const milo_session *s) {
  return milo_reader_cache_bytes(s->reader);
}
const float *milo_session_logits(const milo_session *s) { return milo_reader_logits(s->reader); }

milo_status milo_session_feed(milo_session *s, const uint32_t *tokens, size_t count) {
  milo_diag *diag = milo_ctx_begin(s->ctx);
  return reported(milo_reader_feed(s->reader, tokens, count, NULL, NULL, diag), diag);
}

milo_status milo_session_sample(milo_session *s, double temperature, double top_p, uint64_t seed,
                                uint32_t *out_token) {
  milo_diag *diag = milo_ctx_begin(s->ctx);
  const float *logits = milo_reader_logits(s->reader);
  *out_token = 0;
  MILO_TRY(milo_sampler_set(&s->sampler, temperature, top_p, seed, diag));
  if (!logits)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: there is nothing to draw from",
                     milo_reader_length(s->reader) == 0
                         ? "no token was read"
                         : "no token was read since the session was rewound");
  *out_token = milo_sampler_draw(&s->sampler, logits, milo_reader_length(s->reader));
  return MILO_OK;
}

milo_status milo_session_rewind(milo_session *s, size_t length) {
  milo_diag *diag = milo_ctx_begin(s->ctx);
  const size_t read = milo_reader_length(s->reader);
  if (length > read)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "cannot rewind to %zu tokens, %zu were read", length, read);
  milo_reader_rewind(s->reader, length);
  return MILO_OK;
}

// ---- whole sequences ----

typedef struct wanted {
  size_t vocab;
  const uint32_t *targets;  // of losses
  float *out;
} wanted;

static milo_status read_once(milo_ctx *ctx, const milo_model *model, const char *device_name,
                             const uint32_t *ids, size_t count, milo_logits_fn *each,
                             wanted *user) {
  milo_device *device = NULL;
  milo_reader *reader = NULL;
  MILO_TRY(milo_ctx_device(ctx, device_name, &device));
  MILO_TRY(milo_reader_create(device, model, 0, MILO_FP32, &ctx->diag, &reader));
  const milo_status status = milo_reader_feed(reader, ids, count, each, user, &ctx->diag);
  milo_reader_destroy(reader);
  return status;
}

static void take_logits(void *user, size_t index, const float *logits) {
  const wanted *w = user;
  memcpy(w->out + index * w->vocab, logits, w->vocab * sizeof *logits);
}

milo_status milo_model_logits(milo_ctx *ctx, const milo_model *model, const char *device,
                              const uint32_t *ids, size_t count, float *out) {
  milo_ctx_begin(ctx);
  wanted w = {.vocab = (size_t)model->config.vocab, .out = out};
  return read_once(ctx, model, device, ids, count, take_logits, &w);
}

// log(sum(exp(logits))) - logits[target]
static void take_loss(void *user, size_t index, const float *logits) {
  const wanted *w = user;
  double most = (double)logits[0], sum = 0;
  for (size_t i = 1; i < w->vocab; i++)
    if ((double)logits[i] > most) most = (double)logits[i];
  for (size_t i = 0; i < w->vocab; i++) sum += exp((double)logits[i] - most);
  w->out[index] = (float)(log(sum) + (most - (double)logits[w->targets[index]]));
}

milo_status milo_model_losses(milo_ctx *ctx, const milo_model *model, const char *device,
                              const uint32_t *ids, size_t count, float *out) {
  milo_diag *diag = milo_ctx_begin(ctx);
  wanted w = {.vocab = (size_t)model->config.vocab, .targets = ids + 1, .out = out};
  if (count < 2)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a sequence of %zu tokens has no losses, at least 2 are needed", count);
  // The last one is a target only: the others are checked where they are read.
  if (ids[count - 1] >= w.vocab)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "token %zu is %u, the model's vocabulary has %zu", count - 1, ids[count - 1],
                     w.vocab);
  return read_once(ctx, model, device, ids, count - 1, take_loss, &w);
}
