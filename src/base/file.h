// SPDX-License-Identifier: MIT
// Files: read whole, map, and write atomically (temporary file beside the target, fsync, rename,
// fsync of the folder), so that a crash or a full disk leaves the old file. A target that exists
// and is no regular file (a pipe, a device) is written directly; a symbolic link is followed.
// /dev/stdin, /dev/stdout, /dev/stderr, /dev/fd/N and /proc/self/fd/N are the open descriptors
// themselves: they are read and written from where they stand, whatever they lead to (a shell's
// `>>` keeps what is there, `< file` goes on behind what was read).
// Temporary files are called <target>.milo-<n>.tmp and locked while they are written: what a killed
// process leaves is recognized by its lock being free, and removed when the target is written next.
//
// MILO_ERR_NOT_FOUND: no such file or folder. MILO_ERR_INVALID: not a file of the kind asked for,
// or larger than allowed. MILO_ERR_IO: the system's reason stands in the message.
#ifndef MILO_BASE_FILE_H
#define MILO_BASE_FILE_H

#include "base/status.h"

// Whole file in malloc'ed memory with a NUL after the end. Refuses folders and files larger than
// max_bytes (0: no limit). Works on pipes too.
MILO_MUST_USE milo_status milo_file_read(const char *path, size_t max_bytes, milo_diag *diag,
                                         void **out_data, size_t *out_bytes);

// Read-only mapping; a file of 0 bytes maps to data NULL. What cannot be mapped, such as a pipe, is
// read whole instead.
typedef struct milo_mapping {
  const void *data;
  size_t bytes;
  bool is_copy;
} milo_mapping;
MILO_MUST_USE milo_status milo_file_map(const char *path, milo_diag *diag, milo_mapping *out);
void milo_file_unmap(milo_mapping *mapping);

// An atomic write in parts. After a failed write or without commit, close removes the temporary
// file and the target is as before.
typedef struct milo_writer milo_writer;
MILO_MUST_USE milo_status milo_writer_open(const char *path, milo_diag *diag, milo_writer **out);
MILO_MUST_USE milo_status milo_writer_write(milo_writer *writer, const void *data, size_t bytes,
                                            milo_diag *diag);
// Flushes, syncs, renames. The writer must still be closed.
MILO_MUST_USE milo_status milo_writer_commit(milo_writer *writer, milo_diag *diag);
void milo_writer_close(milo_writer *writer);  // NULL allowed
// Removes what killed processes left of writes to path. Temporary files in use stay, others' too.
void milo_file_sweep(const char *path);
// False for a target that is no regular file: it has no folder of its own for files beside it.
bool milo_writer_is_file(const milo_writer *writer);
uint64_t milo_writer_offset(const milo_writer *writer);

// open, write, commit, close.
MILO_MUST_USE milo_status milo_file_write(const char *path, const void *data, size_t bytes,
                                          milo_diag *diag);
// Creates a folder and its parents; fine if it exists.
MILO_MUST_USE milo_status milo_file_make_dir(const char *path, milo_diag *diag);
bool milo_file_exists(const char *path);
// N of a path that names an open descriptor (/dev/stdin is 0), -1 for other paths.
int milo_file_descriptor(const char *path);
bool milo_file_is_dir(const char *path);

#endif
