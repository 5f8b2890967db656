// SPDX-License-Identifier: MIT
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct milo_lock {
  int fd;
  char *path;
};

milo_lock_result milo_lock_try(int fd, const char *path) {
  const bool locked = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno == EWOULDBLOCK) return MILO_LOCK_BUSY;
  struct stat opened, named;
  if (fstat(fd, &opened) != 0 || lstat(path, &named) != 0 || opened.st_dev != named.st_dev ||
      opened.st_ino != named.st_ino)
    return MILO_LOCK_GONE;
  return locked ? MILO_LOCK_TAKEN : MILO_LOCK_NONE;
}

static milo_status cannot_lock(const char *path, int error, milo_diag *diag) {
  char reason[128];
  return milo_fail(diag, MILO_NO_LOC, error == ENOENT ? MILO_ERR_NOT_FOUND : MILO_ERR_IO,
                   "cannot write '%s': %s", path, strerror_r(error, reason, sizeof reason));
}

static milo_status busy(int fd, const char *doing, milo_diag *diag) {
  char text[32] = "";
  const ssize_t bytes = pread(fd, text, sizeof text - 1, 0);
  const long process = bytes > 0 ? strtol(text, NULL, 10) : 0;
  if (process <= 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "another process is %s already", doing);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "process %ld is %s already", process, doing);
}

milo_status milo_lock_take(const char *path, const char *doing, milo_diag *diag,
                           milo_lock **out_lock) {
  *out_lock = NULL;
  // A holder that ends between our opening and locking takes the file away: again.
  milo_lock_result result = MILO_LOCK_GONE;
  int fd = -1;
  for (int attempt = 0; result == MILO_LOCK_GONE && attempt < 100; attempt++) {
    fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return cannot_lock(path, errno, diag);
    result = milo_lock_try(fd, path);
    if (result == MILO_LOCK_GONE) close(fd);
  }
  if (result == MILO_LOCK_GONE) return cannot_lock(path, EAGAIN, diag);
  if (result == MILO_LOCK_BUSY) {
    const milo_status status = busy(fd, doing, diag);
    close(fd);
    return status;
  }
  milo_lock *lock = calloc(1, sizeof *lock);
  if (lock) lock->path = strdup(path);
  if (!lock || !lock->path) {
    free(lock);
    close(fd);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to lock '%s'", path);
  }
  lock->fd = fd;
  // For messages only.
  if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0) errno = 0;
  *out_lock = lock;
  return MILO_OK;
}

void milo_lock_release(milo_lock *lock) {
  if (!lock) return;
  unlink(lock->path);  // while it is ours
  close(lock->fd);
  free(lock->path);
  free(lock);
}
