// SPDX-License-Identifier: MIT
// Models on disk: which form a path has, and its reader.
//
//   a folder with checkpoint.milo   a run of Milo's
//   a folder with config.json       Hugging Face's
//   *.safetensors                   the same, of one file, with config.json beside it
//   any other file                  llama2.c's
#ifndef MILO_API_MODEL_FILE_H
#define MILO_API_MODEL_FILE_H

#include "model/model.h"

MILO_MUST_USE milo_status milo_model_file_read(const char *path, milo_diag *diag,
                                               milo_model **out_model);
// The shape alone: of a folder, a *.safetensors file, a built-in name or a description file.
MILO_MUST_USE milo_status milo_model_file_config(const char *name_or_path, milo_diag *diag,
                                                 milo_model_config *out_config);

#endif
