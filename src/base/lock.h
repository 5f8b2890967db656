// SPDX-License-Identifier: MIT
// Locks that die with the process that holds them, however it ends. They are advisory and guard
// against Milo alone; on a file system that has none, everything is free.
#ifndef MILO_BASE_LOCK_H
#define MILO_BASE_LOCK_H

#include "base/status.h"

typedef enum milo_lock_result {
  MILO_LOCK_TAKEN,  // fd is the file of that name, and ours until it is closed
  MILO_LOCK_BUSY,   // somebody else holds it
  MILO_LOCK_GONE,   // the name stands for another file by now, or for none
  MILO_LOCK_NONE,   // fd is the file of that name; there are no locks here
} milo_lock_result;

// Tries to lock an open file, without waiting.
milo_lock_result milo_lock_try(int fd, const char *path);

// A lock file: made by take, removed by release, and by the next taker's release if the process was
// killed.
typedef struct milo_lock milo_lock;
// doing: what a holder does, for the message "process 71 is <doing> already" (MILO_ERR_IO).
MILO_MUST_USE milo_status milo_lock_take(const char *path, const char *doing, milo_diag *diag,
                                         milo_lock **out_lock);
void milo_lock_release(milo_lock *lock);  // NULL allowed

#endif
