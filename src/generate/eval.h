// SPDX-License-Identifier: MIT
// Mean cross-entropy of a model over a token stream, see milo_eval in milo.h.
#ifndef MILO_GENERATE_EVAL_H
#define MILO_GENERATE_EVAL_H

#include "device/device.h"
#include "model/model.h"

// options: all fields of this version present, may be zero. MILO_ERR_INTERRUPTED if on_progress
// returned false; MILO_ERR_NUMERIC if a loss is not finite (says where).
MILO_MUST_USE milo_status milo_eval_run(milo_device *device, const milo_model *model,
                                        const uint32_t *ids, size_t count,
                                        const milo_eval_options *options, milo_diag *diag,
                                        milo_eval_result *out_result);

#endif
