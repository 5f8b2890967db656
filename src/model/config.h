// SPDX-License-Identifier: MIT
// Model descriptions: the shape of a Llama-style transformer as data.
#ifndef MILO_MODEL_CONFIG_H
#define MILO_MODEL_CONFIG_H

#include "base/status.h"
#include "base/str.h"

// Name of a built-in model; NULL past the end.
const char *milo_model_config_name(size_t index);

// A built-in model by name, or a JSON description file:
//   {"dim": 64, "hidden": 172, "layers": 5, "heads": 8, "kv_heads": 4, "head_dim": 8, "seq": 512,
//    "vocab": 512, "rope_theta": 10000, "norm_epsilon": 1e-5, "rope_half": false,
//    "qk_norm": false, "untied": false, "residual_scale": 1, "stop_tokens": [1, 2]}
// kv_heads (heads), head_dim (dim / heads, where that is whole), the numbers and flags from
// rope_theta on, and "name" may be left out. The result is complete and valid.
MILO_MUST_USE milo_status milo_model_config_read(const char *name_or_path, milo_diag *diag,
                                                 milo_model_config *out_config);
// Parses such a description; name is shown in messages.
MILO_MUST_USE milo_status milo_model_config_parse(const char *text, const char *name,
                                                  milo_diag *diag, milo_model_config *out_config);
// Appends the description, one field a line. Numbers read back exactly.
void milo_model_config_print(const milo_model_config *config, milo_str *out);

// Copies config (struct_bytes may be smaller than ours: an older client), fills in the defaults of
// fields that are 0, and checks all of them.
MILO_MUST_USE milo_status milo_model_config_complete(const milo_model_config *config,
                                                     milo_diag *diag,
                                                     milo_model_config *out_config);
// The same of a file's model: what is wrong is said with the file and what it then is not
// ("not a llama2.c model").
MILO_MUST_USE milo_status milo_model_config_complete_at(const milo_model_config *config,
                                                        const char *what, milo_loc loc,
                                                        milo_diag *diag,
                                                        milo_model_config *out_config);
// Does generation end before this token? config: complete.
bool milo_model_config_stops(const milo_model_config *config, uint32_t token);
// Both complete. The names of the first field that differs, NULL if there is none.
const char *milo_model_config_difference(const milo_model_config *a, const milo_model_config *b);

#endif
