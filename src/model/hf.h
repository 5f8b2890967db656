// SPDX-License-Identifier: MIT
// Models as Hugging Face keeps them: a folder with config.json and the weights in
// model.safetensors, or in several files that model.safetensors.index.json lists.
#ifndef MILO_MODEL_HF_H
#define MILO_MODEL_HF_H

#include "model/model.h"

// Is there a config.json?
bool milo_hf_is_folder(const char *dir);

// path: the folder, or a *.safetensors file in it that has all weights.
MILO_MUST_USE milo_status milo_hf_config(const char *path, milo_diag *diag,
                                         milo_model_config *out_config);
// F32, F16 and BF16 tensors, converted to fp32. lm_head.weight beside a tied embedding must equal
// it; tables of RoPE that older files hold are not read.
//
// MILO_ERR_INVALID  a tensor is missing, has another shape, or is not part of the model; the index
//                   names a file that does not lie in the folder; a file is damaged
MILO_MUST_USE milo_status milo_hf_read(const char *path, milo_diag *diag, milo_model **out_model);

// Both files, the weights in fp32: path is a folder, which is made, or the *.safetensors file
// beside which config.json comes. Each is written atomically, and neither takes its place before
// both are there. MILO_ERR_UNSUPPORTED: there is an obstacle
// (model/hf_config.h). The model's RoPE pairs are halves.
MILO_MUST_USE milo_status milo_hf_write(const milo_model *model, const char *path, milo_diag *diag);

// Ends with .safetensors.
bool milo_hf_is_file_name(const char *path);

#endif
