// SPDX-License-Identifier: MIT
#include "api/model_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/config.h"
#include "model/hf.h"
#include "model/llama2c.h"
#include "train/folder.h"
#include "train/train.h"

typedef struct form {
  bool (*is)(const char *path);
  milo_status (*config)(const char *path, milo_diag *diag, milo_model_config *out_config);
  milo_status (*read)(const char *path, milo_diag *diag, milo_model **out_model);
} form;

static bool has_checkpoint(const char *path) {
  char *checkpoint = milo_folder_path(path, MILO_TRAIN_CHECKPOINT);
  const bool has = milo_file_exists(checkpoint);
  free(checkpoint);
  return has;
}

static bool is_safetensors(const char *path) {
  static const char ending[] = ".safetensors";
  const size_t length = strlen(path), end = sizeof ending - 1;
  return (length > end && strcmp(path + length - end, ending) == 0) ||
         (milo_file_is_dir(path) && milo_hf_is_folder(path));
}

// A folder without either file is refused as one that holds no run.
static bool is_folder(const char *path) { return milo_file_is_dir(path); }
static bool is_any(const char *path) {
  (void)path;
  return true;
}

// The first that says yes.
static const form forms[] = {
    {has_checkpoint, milo_train_load_config, milo_train_load_model},
    {is_safetensors, milo_hf_config, milo_hf_read},
    {is_folder, milo_train_load_config, milo_train_load_model},
    {is_any, milo_model_config_read, milo_llama2c_read},
};

static const form *form_of(const char *path) {
  const form *f = forms;
  while (!f->is(path)) f++;
  return f;
}

milo_status milo_model_file_read(const char *path, milo_diag *diag, milo_model **out_model) {
  return form_of(path)->read(path, diag, out_model);
}

milo_status milo_model_file_config(const char *name_or_path, milo_diag *diag,
                                   milo_model_config *out_config) {
  return form_of(name_or_path)->config(name_or_path, diag, out_config);
}
