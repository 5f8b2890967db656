// SPDX-License-Identifier: MIT
// Text from a model: the prompt at once, then token by token.
#ifndef MILO_GENERATE_GENERATE_H
#define MILO_GENERATE_GENERATE_H

#include "device/device.h"
#include "model/model.h"

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
