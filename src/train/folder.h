// SPDX-License-Identifier: MIT
// The folder of a run: who may write into it.
#ifndef MILO_TRAIN_FOLDER_H
#define MILO_TRAIN_FOLDER_H

#include "base/lock.h"

// Files of a run.
#define MILO_TRAIN_CHECKPOINT "checkpoint.milo"
#define MILO_TRAIN_METRICS "metrics.jsonl"
#define MILO_TRAIN_MODEL "model.bin"  // llama2.c version 0, if that can hold the model
#define MILO_TRAIN_CONFIG "model.json"
#define MILO_TRAIN_PROGRAM "program.mil"  // of milo fit, with its blob file
#define MILO_TRAIN_LOCK "run.lock"        // there while a process trains

// "dir/name", to be freed.
char *milo_folder_path(const char *dir, const char *name);

// Makes options->out_dir (unless a run in it is resumed), locks it for this process, and removes
// what killed ones left half-written. *out_lock: to be released when the run is over.
//
// MILO_ERR_INVALID  it holds a run, and neither resume nor force is set
// MILO_ERR_IO       another process trains there, or it cannot be written
MILO_MUST_USE milo_status milo_folder_claim(const milo_train_options *options, milo_diag *diag,
                                            milo_lock **out_lock);
// Whether it could be claimed; a folder that is not there could.
MILO_MUST_USE milo_status milo_folder_check(const milo_train_options *options, milo_diag *diag);

#endif
