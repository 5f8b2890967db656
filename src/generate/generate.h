// SPDX-License-Identifier: MIT
// Text from a model: the prompt at once, then token by token with a cache of keys and values.
#ifndef MILO_GENERATE_GENERATE_H
#define MILO_GENERATE_GENERATE_H

#include "base/stop.h"
#include "device/device.h"
#include "model/model.h"

// A sequence under way: what the model has read so far.
typedef struct milo_session milo_session;

// prompt: tokens that the first read will have (>= 1). model is borrowed.
MILO_MUST_USE milo_status milo_session_create(milo_device *device, const milo_model *model,
                                              size_t prompt, milo_diag *diag,
                                              milo_session **out_session);
// Asked between layers: a read then ends with MILO_ERR_INTERRUPTED, which nothing reports, and the
// session can only be destroyed.
void milo_session_set_stop(milo_session *session, milo_stop stop);
void milo_session_destroy(milo_session *session);
// Reads count tokens (the prompt the first time, then one at a time) and gives the logits [vocab]
// for what comes next: borrowed, valid until the next read. MILO_ERR_NUMERIC if one is not finite.
MILO_MUST_USE milo_status milo_session_read(milo_session *session, const uint32_t *tokens,
                                            size_t count, milo_diag *diag,
                                            const float **out_logits);

// See milo_generate in milo.h. options: all fields of this version present. ids: room for the
// tokens wanted (milo_generate_steps), the prompt included.
MILO_MUST_USE milo_status milo_generate_run(milo_device *device, const milo_model *model,
                                            const uint32_t *prompt, size_t prompt_count,
                                            const milo_generate_options *options, milo_diag *diag,
                                            uint32_t *ids, size_t *out_count,
                                            milo_generate_stats *out_stats);
// How many tokens a run can give at most; checks prompt and options against the model.
MILO_MUST_USE milo_status milo_generate_steps(const milo_model *model, const uint32_t *prompt,
                                              size_t prompt_count,
                                              const milo_generate_options *options, milo_diag *diag,
                                              size_t *out_steps);

#endif
