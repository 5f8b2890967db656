// SPDX-License-Identifier: MIT
#include "train/folder.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"

// What training writes and cannot make again. (The description of a model may be a person's.)
static const char *const results[] = {MILO_TRAIN_CHECKPOINT, MILO_TRAIN_METRICS, MILO_TRAIN_MODEL,
                                      MILO_TRAIN_PROGRAM};
static const char *const written[] = {MILO_TRAIN_CHECKPOINT, MILO_TRAIN_METRICS, MILO_TRAIN_MODEL,
                                      MILO_TRAIN_CONFIG,     MILO_TRAIN_PROGRAM, "tokenizer.bin"};

char *milo_folder_path(const char *dir, const char *name) {
  milo_str path = {0};
  size_t bytes;
  milo_str_printf(&path, "%s/%s", dir, name);
  return milo_str_take(&path, &bytes);
}

static milo_status holds_no_run(const char *dir, milo_diag *diag) {
  milo_status status = MILO_OK;
  for (size_t i = 0; status == MILO_OK && i < sizeof results / sizeof *results; i++) {
    char *path = milo_folder_path(dir, results[i]);
    if (milo_file_exists(path))
      status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                         "'%s' holds a training run (%s)\n--resume goes on with it, --force "
                         "replaces it",
                         dir, path);
    free(path);
  }
  return status;
}

static milo_status holds_checkpoint(const char *dir, milo_diag *diag) {
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  const milo_status status = milo_file_exists(path)
                                 ? MILO_OK
                                 : milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND,
                                             "there is nothing to resume: no '%s'", path);
  free(path);
  return status;
}

static milo_status can_be_written(const char *dir, milo_diag *diag) {
  char *path = milo_folder_path(dir, MILO_TRAIN_CHECKPOINT);
  milo_writer *writer;
  const milo_status status = milo_writer_open(path, diag, &writer);
  milo_writer_close(writer);
  free(path);
  return status;
}

static milo_status lock(const char *dir, milo_diag *diag, milo_lock **out_lock) {
  milo_str doing = {0};
  char *path = milo_folder_path(dir, MILO_TRAIN_LOCK);
  milo_str_printf(&doing, "training into '%s'", dir);
  const milo_status status = milo_lock_take(path, doing.data, diag, out_lock);
  milo_str_deinit(&doing);
  free(path);
  return status;
}

milo_status milo_folder_claim(const milo_train_options *options, milo_diag *diag,
                              milo_lock **out_lock) {
  const char *dir = options->out_dir;
  *out_lock = NULL;
  if (*dir == '\0')
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "the name of the folder is empty");
  MILO_TRY(options->resume ? holds_checkpoint(dir, diag) : milo_file_make_dir(dir, diag));
  MILO_TRY(lock(dir, diag, out_lock));
  milo_status status = options->resume || options->force ? MILO_OK : holds_no_run(dir, diag);
  if (status == MILO_OK) status = can_be_written(dir, diag);
  for (size_t i = 0; status == MILO_OK && i < sizeof written / sizeof *written; i++) {
    char *path = milo_folder_path(dir, written[i]);
    milo_file_sweep(path);
    free(path);
  }
  if (status == MILO_OK) return MILO_OK;
  milo_lock_release(*out_lock);
  *out_lock = NULL;
  return status;
}

milo_status milo_folder_check(const milo_train_options *options, milo_diag *diag) {
  milo_lock *taken = NULL;
  if (!options->out_dir) return MILO_OK;
  const bool made = !milo_file_exists(options->out_dir);
  MILO_TRY(milo_folder_claim(options, diag, &taken));
  milo_lock_release(taken);
  if (made) rmdir(options->out_dir);  // as it was; its parents may stay
  return MILO_OK;
}
