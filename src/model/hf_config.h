// SPDX-License-Identifier: MIT
// config.json and generation_config.json of Hugging Face's models, as far as they describe what
// Milo computes: LlamaForCausalLM and Qwen3ForCausalLM. What they say beyond that and would change
// the numbers (scaled RoPE, biases, sliding windows, quantised weights) is refused by name.
#ifndef MILO_MODEL_HF_CONFIG_H
#define MILO_MODEL_HF_CONFIG_H

#include "base/status.h"
#include "base/str.h"

// The description in a folder's config.json. Stop tokens are those of generation_config.json, if
// there is one and it names some, else config.json's eos_token_id.
MILO_MUST_USE milo_status milo_hf_config_read(const char *dir, milo_diag *diag,
                                              milo_model_config *out_config);
// NULL if such a file can describe the model; else what stands against it.
const char *milo_hf_obstacle(const milo_model_config *config);
// Appends config.json's text. There is no obstacle.
void milo_hf_config_print(const milo_model_config *config, milo_str *out);

#endif
