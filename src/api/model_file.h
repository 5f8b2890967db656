// SPDX-License-Identifier: MIT
// Models on disk: the forms, as a table, and what reads and writes each.
#ifndef MILO_API_MODEL_FILE_H
#define MILO_API_MODEL_FILE_H

#include "model/blzt.h"

// A model, and where the run stands that it comes from.
typedef struct milo_model_state {
  milo_model *model;
  milo_moments moments;  // none if it is the model alone
  milo_blzt_run run;     // version 0: only the fields that are known
} milo_model_state;
void milo_model_state_deinit(milo_model_state *state);

typedef struct milo_model_form {
  const char *name;  // as milo convert --to takes it
  const char *text;  // for people
  // Is a file or folder of this form there? NULL: found by another row of the same reader.
  milo_status (*is)(const char *path, milo_diag *diag, bool *out);
  // Is that a path to write this form to? NULL: only where it is asked for by name.
  bool (*suits)(const char *path);
  milo_status (*config)(const char *path, milo_diag *diag, milo_model_config *out_config);
  milo_status (*read)(const char *path, milo_diag *diag, milo_model **out_model);
  // With moments and position; NULL: the form has none.
  milo_status (*read_run)(const char *path, milo_diag *diag, milo_model_state *out_state);
  // The pairing that files of the form have: 0 adjacent, 1 half, -1 any.
  int half_pairs;
  const char *const
      *files;  // what it writes: names in a folder, ending with NULL; NULL: path itself
  milo_status (*write)(const milo_model_state *state, const char *path, bool force,
                       milo_diag *diag);
} milo_model_form;

// NULL past the end.
const milo_model_form *milo_model_form_get(size_t index);
// Of what is there. MILO_ERR_NOT_FOUND: a folder with no model in it.
MILO_MUST_USE milo_status milo_model_form_of(const char *path, milo_diag *diag,
                                             const milo_model_form **out);

MILO_MUST_USE milo_status milo_model_file_read(const char *path, milo_diag *diag,
                                               milo_model **out_model);
// The shape alone: of a folder, a file of weights, a built-in name or a description file.
MILO_MUST_USE milo_status milo_model_file_config(const char *name_or_path, milo_diag *diag,
                                                 milo_model_config *out_config);

#endif
