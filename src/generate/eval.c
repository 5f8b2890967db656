// SPDX-License-Identifier: MIT
#include "generate/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "generate/forward.h"

enum { BATCH_TOKENS = 4096 };  // as many chunks at a time as have about so many tokens

typedef struct scoring {
  const uint32_t *ids;
  size_t total;  // predictions
  size_t batch, seq;
  double sum;
  int32_t *memory;  // tokens and targets of a batch
  float *losses;
} scoring;

// Fills the batch with the predictions from begin on. What is past the end is filled with token 0:
// the model is causal, so it changes nothing before it.
static void fill_batch(const scoring *s, size_t begin, int32_t *tokens, int32_t *targets) {
  const size_t room = s->batch * s->seq;
  const size_t count = s->total - begin < room ? s->total - begin : room;
  for (size_t i = 0; i < count; i++) {
    tokens[i] = (int32_t)s->ids[begin + i];
    targets[i] = (int32_t)s->ids[begin + i + 1];
  }
  memset(tokens + count, 0, (room - count) * sizeof *tokens);
  memset(targets + count, 0, (room - count) * sizeof *targets);
}

static milo_status stopped(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INTERRUPTED, "evaluation was stopped");
}

static milo_status score(scoring *s, milo_forward *forward, const milo_eval_options *o,
                         milo_diag *diag) {
  const size_t room = s->batch * s->seq;
  int32_t *tokens = s->memory, *targets = tokens + room;
  float *losses = s->losses;
  for (size_t begin = 0; begin < s->total; begin += room) {
    fill_batch(s, begin, tokens, targets);
    const milo_status status = milo_forward_run(forward, tokens, targets, losses, diag);
    if (status == MILO_ERR_INTERRUPTED) return stopped(diag);
    MILO_TRY(status);
    const size_t count = s->total - begin < room ? s->total - begin : room;
    for (size_t i = 0; i < count; i++) {
      if (!isfinite(losses[i]))
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                         "the cross-entropy of token %zu is not finite", begin + i + 1);
      s->sum += (double)losses[i];
    }
    for (size_t i = 0; o->on_losses && i < count; i += s->seq)
      o->on_losses(o->user, losses + i, count - i < s->seq ? count - i : s->seq);
    if (o->on_progress && !o->on_progress(o->user, begin + count, s->total)) return stopped(diag);
  }
  return MILO_OK;
}

milo_status milo_eval_run(milo_device *device, const milo_model *model, const uint32_t *ids,
                          size_t count, const milo_eval_options *options, milo_diag *diag,
                          milo_eval_result *out_result) {
  memset(out_result, 0, sizeof *out_result);
  const milo_model_config *c = &model->config;
  if (options->max_tokens && options->max_tokens < count - 1 && count > 1)
    count = options->max_tokens + 1;
  if (count < 2)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%zu tokens to evaluate, at least 2 are needed", count);
  if (options->seq > (size_t)c->seq)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "sequence of %zu tokens, longer than the model's %lld", options->seq,
                     (long long)c->seq);
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= (uint64_t)c->vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "token %zu is %u, the model's vocabulary has %lld", i, ids[i],
                       (long long)c->vocab);
  scoring s = {.ids = ids, .total = count - 1, .seq = options->seq ? options->seq : (size_t)c->seq};
  if (s.seq > s.total) s.seq = s.total;
  const size_t chunks = s.total / s.seq;
  s.total = chunks * s.seq;
  s.batch = BATCH_TOKENS / s.seq;
  if (s.batch < 1) s.batch = 1;
  if (s.batch > chunks) s.batch = chunks;
  const double start = milo_clock_s();
  s.memory = calloc(s.batch * s.seq, 2 * sizeof *s.memory);
  s.losses = calloc(s.batch * s.seq, sizeof *s.losses);
  milo_forward *forward = NULL;
  milo_status status =
      s.memory && s.losses
          ? milo_forward_create(device, model, s.batch, s.seq, diag, &forward)
          : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a batch");
  if (status == MILO_OK) milo_forward_set_stop(forward, (milo_stop){options->stop, options->user});
  if (status == MILO_OK) status = score(&s, forward, options, diag);
  milo_forward_destroy(forward);
  free(s.memory);
  free(s.losses);
  if (status != MILO_OK) return status;
  const double loss = s.sum / (double)s.total;
  *out_result = (milo_eval_result){loss, exp(loss), s.total, milo_clock_s() - start};
  return MILO_OK;
}
