// SPDX-License-Identifier: MIT
#include "api/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/config.h"
#include "model/hf.h"
#include "model/llama2c.h"
#include "train/folder.h"
#include "train/train.h"

void milo_model_state_deinit(milo_model_state *state) {
  milo_moments_deinit(&state->moments);
  milo_model_destroy(state->model);
  *state = (milo_model_state){0};
}

static bool ends_with(const char *path, const char *ending) {
  const size_t length = strlen(path), end = strlen(ending);
  return length > end && strcmp(path + length - end, ending) == 0;
}

// ---- a run's folder ----

static milo_status is_milo(const char *path, milo_diag *diag, bool *out) {
  (void)diag;
  char *checkpoint = milo_folder_path(path, MILO_TRAIN_CHECKPOINT);
  *out = milo_file_exists(checkpoint);
  free(checkpoint);
  return MILO_OK;
}

static milo_status read_milo_run(const char *path, milo_diag *diag, milo_model_state *out) {
  milo_train_position at;
  MILO_TRY(milo_train_load_run(path, diag, &out->model, &out->moments, &at));
  const uint64_t most = INT32_MAX, micro = at.accumulate > 0 ? at.accumulate : 1;
  if (at.step > most / micro || at.steps > most / micro) {
    milo_moments_deinit(&out->moments);  // such a run has no place in a BLZT header
    return MILO_OK;
  }
  out->run = (milo_blzt_run){.step = (uint32_t)(at.step * micro),
                             .total_steps = (uint32_t)(at.steps * micro),
                             .updates = (uint32_t)at.updates,
                             .all_steps = (uint32_t)(at.step * micro),
                             .batches = (uint32_t)at.step,
                             .lr = (float)at.lr,
                             .loss = isfinite(at.loss) ? (float)at.loss : 0};
  return MILO_OK;
}

static milo_status write_milo(const milo_model_state *s, const char *path, bool force,
                              milo_diag *diag) {
  return milo_train_save_model(s->model, path, force, diag);
}

// ---- Hugging Face ----

static milo_status is_hf(const char *path, milo_diag *diag, bool *out) {
  (void)diag;
  *out = milo_hf_is_file_name(path) || (milo_file_is_dir(path) && milo_hf_is_folder(path));
  return MILO_OK;
}

static bool suits_hf(const char *path) {
  const char *name = strrchr(path, '/');
  return milo_hf_is_file_name(path) || milo_file_is_dir(path) ||
         strchr(name ? name : path, '.') == NULL;
}

static milo_status write_hf(const milo_model_state *s, const char *path, bool force,
                            milo_diag *diag) {
  (void)force;
  return milo_hf_write(s->model, path, diag);
}

// ---- files ----

static bool suits_blzt(const char *path) { return ends_with(path, ".blzt"); }

static milo_status blzt_config(const char *path, milo_diag *diag, milo_model_config *out_config) {
  milo_model *model = NULL;
  memset(out_config, 0, sizeof *out_config);
  MILO_TRY(milo_blzt_read(path, diag, &model, NULL, NULL));
  *out_config = model->config;
  milo_model_destroy(model);
  return MILO_OK;
}

static milo_status read_blzt(const char *path, milo_diag *diag, milo_model **out_model) {
  return milo_blzt_read(path, diag, out_model, NULL, NULL);
}

static milo_status read_blzt_run(const char *path, milo_diag *diag, milo_model_state *out) {
  return milo_blzt_read(path, diag, &out->model, &out->moments, &out->run);
}

static milo_status write_blzt_version(const milo_model_state *s, uint32_t version, const char *path,
                                      milo_diag *diag) {
  milo_blzt_run run = s->run;
  run.version = version;
  return milo_blzt_write(s->model, s->moments.of[0] ? &s->moments : NULL, &run, path, diag);
}

static milo_status write_blzt4(const milo_model_state *s, const char *path, bool force,
                               milo_diag *diag) {
  (void)force;
  return write_blzt_version(s, 4, path, diag);
}

static milo_status write_blzt2(const milo_model_state *s, const char *path, bool force,
                               milo_diag *diag) {
  (void)force;
  return write_blzt_version(s, 2, path, diag);
}

// The version that can hold it: each has a residual_scale of its own.
static milo_status write_blzt(const milo_model_state *s, const char *path, bool force,
                              milo_diag *diag) {
  (void)force;
  return write_blzt_version(s, s->model->config.residual_scale == 1 ? 2 : 4, path, diag);
}

static milo_status is_file(const char *path, milo_diag *diag, bool *out) {
  (void)diag;
  *out = !milo_file_is_dir(path);
  return MILO_OK;
}

static bool suits_bin(const char *path) { return ends_with(path, ".bin"); }

static milo_status write_llama2c(const milo_model_state *s, const char *path, bool force,
                                 milo_diag *diag) {
  (void)force;
  return milo_llama2c_write(s->model, path, false, diag);
}

static milo_status write_llama2c_v1(const milo_model_state *s, const char *path, bool force,
                                    milo_diag *diag) {
  (void)force;
  return milo_llama2c_write(s->model, path, true, diag);
}

static const char *const milo_files[] = {MILO_TRAIN_CHECKPOINT, MILO_TRAIN_CONFIG, MILO_TRAIN_MODEL,
                                         NULL};
static const char *const hf_files[] = {"config.json", "model.safetensors",
                                       "model.safetensors.index.json", NULL};

// The first that says yes.
static const milo_model_form forms[] = {
    {"milo", "a folder of Milo's", is_milo, NULL, milo_train_load_config, milo_train_load_model,
     read_milo_run, -1, milo_files, write_milo},
    {"hf", "a folder of Hugging Face's", is_hf, suits_hf, milo_hf_config, milo_hf_read, NULL, 1,
     hf_files, write_hf},
    {"blzt", "a BLZT checkpoint", milo_blzt_is, suits_blzt, blzt_config, read_blzt, read_blzt_run,
     0, NULL, write_blzt},
    {"blzt-v2", "a BLZT checkpoint", NULL, NULL, NULL, NULL, NULL, 0, NULL, write_blzt2},
    {"blzt-v4", "a BLZT checkpoint", NULL, NULL, NULL, NULL, NULL, 0, NULL, write_blzt4},
    {"llama2c", "a llama2.c file", is_file, suits_bin, milo_model_config_read, milo_llama2c_read,
     NULL, 0, NULL, write_llama2c},
    {"llama2c-v1", "a llama2.c file of version 1", NULL, NULL, NULL, NULL, NULL, 0, NULL,
     write_llama2c_v1},
};
enum { FORMS = sizeof forms / sizeof *forms };

const milo_model_form *milo_model_form_get(size_t index) {
  return index < FORMS ? &forms[index] : NULL;
}

milo_status milo_model_form_of(const char *path, milo_diag *diag, const milo_model_form **out) {
  bool is = false;
  *out = NULL;
  for (size_t i = 0; i < FORMS; i++) {
    if (forms[i].is) MILO_TRY(forms[i].is(path, diag, &is));
    if (!is) continue;
    *out = &forms[i];
    return MILO_OK;
  }
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND,
                   "the folder '%s' holds no model: no '%s/" MILO_TRAIN_CHECKPOINT
                   "' and no config.json",
                   path, path);
}

milo_status milo_model_file_read(const char *path, milo_diag *diag, milo_model **out_model) {
  const milo_model_form *form;
  *out_model = NULL;
  MILO_TRY(milo_model_form_of(path, diag, &form));
  return form->read(path, diag, out_model);
}

milo_status milo_model_file_config(const char *name_or_path, milo_diag *diag,
                                   milo_model_config *out_config) {
  const milo_model_form *form;
  memset(out_config, 0, sizeof *out_config);
  MILO_TRY(milo_model_form_of(name_or_path, diag, &form));
  return form->config(name_or_path, diag, out_config);
}
