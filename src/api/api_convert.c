// SPDX-License-Identifier: MIT
// Models from one form on disk to another, through the public header.
#include <stdlib.h>
#include <string.h>

#include "api/ctx.h"
#include "api/model_file.h"
#include "base/file.h"
#include "base/option_struct.h"
#include "base/str.h"
#include "model/hf.h"
#include "train/folder.h"

const char *milo_form_name(size_t index) {
  const milo_model_form *form = milo_model_form_get(index);
  return form ? form->name : NULL;
}

static milo_status find_target(const char *to, const char *path, milo_diag *diag,
                               const milo_model_form **out) {
  milo_str names = {0};
  *out = NULL;
  for (size_t i = 0; !*out && milo_model_form_get(i); i++) {
    const milo_model_form *form = milo_model_form_get(i);
    milo_str_printf(&names, "%s%s", i ? ", " : "", form->name);
    if (to ? strcmp(form->name, to) == 0 : form->suits && form->suits(path)) *out = form;
  }
  if (!*out && to)
    milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "there is no form '%s', only %s", to,
              names.data);
  else if (!*out)
    milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
              "'%s' does not say what is to be written\n.bin, .safetensors, .blzt and a folder do, "
              "or --to %s",
              path, names.data);
  milo_str_deinit(&names);
  return *out ? MILO_OK : MILO_ERR_INVALID;
}

static milo_status check_absent(const char *path, milo_diag *diag) {
  if (milo_file_descriptor(path) >= 0 || !milo_file_exists(path)) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "'%s' is there and would be replaced: --force does that", path);
}

// Everything that would be replaced stays unless force is set.
static milo_status check_free(const milo_model_form *form, const char *path, milo_diag *diag) {
  milo_str folder = {0};
  const char *slash = strrchr(path, '/');
  const bool is_file = !form->files || milo_hf_is_file_name(path);
  if (is_file)
    milo_str_add(&folder, slash ? path : ".", slash ? (size_t)(slash - path) : 1);
  else
    milo_str_puts(&folder, path);
  milo_status status = is_file ? check_absent(path, diag) : MILO_OK;
  for (size_t i = 0; status == MILO_OK && form->files && form->files[i]; i++) {
    if (is_file && i > 0) break;  // the first is what comes beside a file
    char *file = milo_folder_path(folder.data, form->files[i]);
    status = check_absent(file, diag);
    free(file);
  }
  milo_str_deinit(&folder);
  return status;
}

// A folder has one model: of two, readers would take the one of the form that they know first.
static milo_status check_alone(const milo_model_form *form, const char *path, milo_diag *diag) {
  const milo_model_form *there = NULL;
  if (!form->files || milo_hf_is_file_name(path) || !milo_file_is_dir(path)) return MILO_OK;
  const milo_status status = milo_model_form_of(path, NULL, &there);
  if (status == MILO_ERR_NOT_FOUND || (status == MILO_OK && there == form)) return MILO_OK;
  if (status != MILO_OK) return milo_model_form_of(path, diag, &there);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "'%s' holds a model of another form: %s\nwrite to another folder", path,
                   there->text);
}

// The tokenizer goes with the model from folder to folder, where none is in its place.
static milo_status copy_tokenizer(const char *from, const char *path, bool force, milo_diag *diag) {
  if (!milo_file_is_dir(from) || !milo_file_is_dir(path)) return MILO_OK;
  char *a = milo_folder_path(from, "tokenizer.bin"), *b = milo_folder_path(path, "tokenizer.bin");
  void *data = NULL;
  size_t bytes = 0;
  milo_status status = MILO_OK;
  if (milo_file_exists(a) && (force || !milo_file_exists(b))) {
    status = milo_file_read(a, 0, diag, &data, &bytes);
    if (status == MILO_OK) status = milo_file_write(b, data, bytes, diag);
  }
  free(data);
  free(a);
  free(b);
  return status;
}

milo_status milo_convert(milo_ctx *ctx, const char *from, const char *path,
                         const milo_convert_options *given, milo_convert_result *out_result) {
  milo_diag *diag = milo_ctx_begin(ctx);
  milo_convert_options options;
  milo_model_state state = {0};
  const milo_model_form *target = NULL;
  if (out_result) *out_result = (milo_convert_result){0};
  MILO_TRY(milo_take_options(milo_convert_options, given, diag, &options));
  MILO_TRY(find_target(options.to, path, diag, &target));
  MILO_TRY(check_alone(target, path, diag));
  if (!options.force) MILO_TRY(check_free(target, path, diag));
  const milo_model_form *source = NULL;
  MILO_TRY(milo_model_form_of(from, diag, &source));
  milo_status status = source->read_run ? source->read_run(from, diag, &state)
                                        : source->read(from, diag, &state.model);
  if (status == MILO_OK && target->half_pairs >= 0)
    status = milo_model_set_pairs(state.model, state.moments.of[0] ? &state.moments : NULL,
                                  target->half_pairs, diag);
  if (status == MILO_OK) status = target->write(&state, path, options.force, diag);
  if (status == MILO_OK) status = copy_tokenizer(from, path, options.force, diag);
  if (status == MILO_OK && out_result)
    *out_result = (milo_convert_result){
        .from = source->text,
        .to = target->text,
        .parameters = milo_params_elements(&state.model->params),
        .has_moments = state.moments.of[0] && target->read_run && target->half_pairs >= 0};
  milo_model_state_deinit(&state);
  return status;
}
