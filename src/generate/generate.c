// SPDX-License-Identifier: MIT
#include "generate/generate.h"

#include <string.h>

#include "base/clock.h"
#include "generate/sample.h"
#include "generate/session.h"
#include "model/config.h"

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

static milo_status continue_prompt(run *r, milo_reader *session, milo_sampler *sampler,
                                   milo_diag *diag, milo_generate_stats *stats) {
  double start = milo_clock_s();
  size_t unread = r->count;
  bool go_on = true;
  for (size_t i = 1; i < r->count && go_on; i++) go_on = announce(r, r->ids[i]);
  while (go_on && r->count < r->steps) {
    const milo_status status =
        milo_reader_feed(session, r->ids + r->count - unread, unread, NULL, NULL, diag);
    if (status == MILO_ERR_INTERRUPTED) break;
    MILO_TRY(status);
    const uint32_t next = milo_sampler_draw(sampler, milo_reader_logits(session), r->count);
    const double now = milo_clock_s();
    *(r->count == stats->prompt_tokens ? &stats->prefill_s : &stats->decode_s) += now - start;
    start = now;
    if (milo_model_config_stops(&milo_reader_model(session)->config, next)) break;
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
  milo_reader *session = NULL;
  milo_status status = milo_reader_create(device, model, r.steps, options->cache, diag, &session);
  if (status == MILO_OK) milo_reader_set_stop(session, (milo_stop){options->stop, options->user});
  if (status == MILO_OK) status = continue_prompt(&r, session, &sampler, diag, out_stats);
  milo_reader_destroy(session);
  milo_sampler_deinit(&sampler);
  if (status == MILO_OK) *out_count = r.count;
  return status;
}
