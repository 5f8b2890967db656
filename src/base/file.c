// SPDX-License-Identifier: MIT
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/memory.h"
#include "base/number.h"

// Largest single read or write: some systems refuse more than 2 GiB - 1.
enum { CHUNK = 1 << 30 };

static milo_status fail_errno(milo_diag *diag, const char *what, const char *path) {
  const int error = errno;
  const milo_status status = error == ENOENT || error == ENOTDIR ? MILO_ERR_NOT_FOUND
                             : error == ENOMEM                   ? MILO_ERR_NO_MEMORY
                                                                 : MILO_ERR_IO;
  const char *reason = strerror(error);  // NOLINT(concurrency-mt-unsafe): libcs keep it per thread
  milo_fail(diag, MILO_NO_LOC, status, "cannot %s '%s': %s", what, path, reason);
  return status;
}

bool milo_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0;
}

bool milo_file_is_dir(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int milo_file_descriptor(const char *path) {
  static const struct {
    const char *path;
    int descriptor;  // -1: its number follows
  } names[] = {{"/dev/stdin", 0},
               {"/dev/stdout", 1},
               {"/dev/stderr", 2},
               {"/dev/fd/", -1},
               {"/proc/self/fd/", -1}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const size_t bytes = strlen(names[i].path);
    if (strncmp(path, names[i].path, bytes) != 0) continue;
    const char *rest = path + bytes;
    if (names[i].descriptor >= 0) {
      if (*rest == '\0') return names[i].descriptor;
      continue;
    }
    char *end;
    const long number = strtol(rest, &end, 10);
    if (*rest >= '0' && *rest <= '9' && *end == '\0' && number <= INT_MAX) return (int)number;
  }
  return -1;
}

// open(), or one more descriptor for what the path names as open.
static int open_path(const char *path, int flags) {
  const int descriptor = milo_file_descriptor(path);
  return descriptor < 0 ? open(path, flags | O_CLOEXEC) : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
}

// Others may have set a pipe that we share not to block. True: try again.
static bool wait_until_ready(int fd, short events) {
  if (errno == EINTR) return true;
  if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
  struct pollfd waiting = {.fd = fd, .events = events};
  return poll(&waiting, 1, -1) >= 0 || errno == EINTR;
}

// ---- reading ------------------------------------------------------------------------------------

static milo_status open_for_reading(const char *path, milo_diag *diag, int *out_fd,
                                    struct stat *out_info) {
  const int fd = open_path(path, O_RDONLY);
  if (fd < 0) return fail_errno(diag, "open", path);
  milo_status status = MILO_OK;
  if (fstat(fd, out_info) != 0)
    status = fail_errno(diag, "read", path);
  else if (S_ISDIR(out_info->st_mode))
    status =
        milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "cannot read '%s': it is a folder", path);
  if (status != MILO_OK) {
    close(fd);
    return status;
  }
  *out_fd = fd;
  return MILO_OK;
}

static milo_status fail_too_large(const char *path, size_t max_bytes, milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "'%s' is larger than the %zu bytes allowed",
                   path, max_bytes);
}

// All of fd, from where it stands.
static milo_status read_all(int fd, const struct stat *info, const char *path, size_t max_bytes,
                            milo_diag *diag, void **out_data, size_t *out_bytes) {
  milo_status status = MILO_OK;
  char *data = NULL;
  size_t bytes = 0;
  // A regular file says how long it is; pipes and files of /proc do not, and any may grow
  // meanwhile.
  const bool has_size = S_ISREG(info->st_mode) && info->st_size > 0;
  size_t capacity = has_size ? (size_t)info->st_size + 2 : 65536;
  if (max_bytes && capacity > max_bytes + 2) capacity = max_bytes + 2;
  for (;;) {
    if (!data || bytes + 1 >= capacity) {
      if (data && !milo_size_mul(capacity, 2, &capacity)) capacity = SIZE_MAX;
      // What is read already is not asked for again. (/dev/zero has no end.)
      char what[320];
      snprintf(what, sizeof what, "what '%s' holds", path);
      status = milo_memory_ask(what, capacity - bytes, diag);
      if (status != MILO_OK) break;
      char *grown = realloc(data, capacity);
      if (!grown) {
        status = milo_memory_fail(what, capacity, diag);
        break;
      }
      data = grown;
    }
    size_t room = capacity - bytes - 1;
    if (room > CHUNK) room = CHUNK;
    const ssize_t got = read(fd, data + bytes, room);
    if (got < 0 && wait_until_ready(fd, POLLIN)) continue;
    if (got < 0) status = fail_errno(diag, "read", path);
    if (got <= 0) break;
    bytes += (size_t)got;
    if (max_bytes && bytes > max_bytes) {
      status = fail_too_large(path, max_bytes, diag);
      break;
    }
  }
  if (status != MILO_OK) {
    free(data);
    return status;
  }
  data[bytes] = '\0';
  *out_data = data;
  *out_bytes = bytes;
  return MILO_OK;
}

milo_status milo_file_read(const char *path, size_t max_bytes, milo_diag *diag, void **out_data,
                           size_t *out_bytes) {
  *out_data = NULL;
  *out_bytes = 0;
  int fd = -1;
  struct stat info = {0};
  MILO_TRY(open_for_reading(path, diag, &fd, &info));
  const milo_status status = read_all(fd, &info, path, max_bytes, diag, out_data, out_bytes);
  close(fd);
  return status;
}

milo_status milo_file_map(const char *path, milo_diag *diag, milo_mapping *out) {
  *out = (milo_mapping){0};
  int fd = -1;
  struct stat info = {0};
  MILO_TRY(open_for_reading(path, diag, &fd, &info));
  milo_status status = MILO_OK;
  void *data = NULL;
  // A descriptor may stand somewhere inside of its file.
  if (!S_ISREG(info.st_mode) || milo_file_descriptor(path) >= 0) {
    status = read_all(fd, &info, path, 0, diag, &data, &out->bytes);
    out->is_copy = status == MILO_OK;
  } else if (info.st_size > 0) {
    data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = fail_errno(diag, "map", path);
      data = NULL;
    } else {
      out->bytes = (size_t)info.st_size;
    }
  }
  out->data = data;
  close(fd);
  return status;
}

void milo_file_unmap(milo_mapping *mapping) {
  union {
    const void *readable;
    void *memory;
  } data = {mapping->data};
  if (mapping->is_copy)
    free(data.memory);
  else if (mapping->data)
    munmap(data.memory, mapping->bytes);
  *mapping = (milo_mapping){0};
}

// ---- writing ------------------------------------------------------------------------------------

struct milo_writer {
  int fd;  // -1 once committed
  bool failed;
  char *path;       // target, links resolved
  char *temporary;  // NULL: the target is written directly
  uint64_t offset;
};

// Several processes may write one target at a time; this many of a killed one are found again.
enum { MAX_TEMPORARIES = 1000, SWEPT_TEMPORARIES = 16 };

static void format_temporary(char *name, size_t bytes, const char *path, int attempt) {
  snprintf(name, bytes, "%s.milo-%d.tmp", path, attempt);
}

// Whoever holds the lock of the file that still has this name may remove it. A writer holds it, so
// that only what a dead one left can be taken. Where there are no locks nothing is taken.
static void remove_stale(const char *name) {
  struct stat info;
  const int fd = open(name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
      milo_lock_try(fd, name) == MILO_LOCK_TAKEN)
    unlink(name);
  close(fd);
}

// False: somebody took the new file for one that was left, before it was locked.
static bool lock_new(int fd, const char *name) {
  const milo_lock_result result = milo_lock_try(fd, name);
  return result == MILO_LOCK_TAKEN || result == MILO_LOCK_NONE;
}

void milo_file_sweep(const char *path) {
  char *target = realpath(path, NULL);
  const size_t bytes = strlen(target ? target : path) + 40;
  char *name = malloc(bytes);
  for (int i = 0; name && i < SWEPT_TEMPORARIES; i++) {
    format_temporary(name, bytes, target ? target : path, i);
    remove_stale(name);
  }
  free(name);
  free(target);
}

// A new file beside path, with path's permissions if it exists. errno on failure.
static int open_temporary(const char *path, const struct stat *existing, char **out_name) {
  const size_t bytes = strlen(path) + 40;
  char *name = malloc(bytes);
  if (!name) {
    errno = ENOMEM;
    return -1;
  }
  int fd = -1;
  for (int attempt = 0; attempt < MAX_TEMPORARIES; attempt++) {
    format_temporary(name, bytes, path, attempt);
    remove_stale(name);
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) break;
    if (fd >= 0 && lock_new(fd, name)) break;
    if (fd >= 0) close(fd);
    fd = -1;
    errno = EEXIST;
  }
  if (fd < 0) {
    const int error = errno;
    free(name);
    errno = error;
    return -1;
  }
  // Best effort: the file's content is right even where its mode cannot be kept.
  if (existing && fchmod(fd, existing->st_mode & 07777) != 0) errno = 0;
  *out_name = name;
  return fd;
}

milo_status milo_writer_open(const char *path, milo_diag *diag, milo_writer **out) {
  *out = NULL;
  struct stat info;
  const bool is_open = milo_file_descriptor(path) >= 0;
  const bool exists = !is_open && stat(path, &info) == 0;
  const bool is_regular = exists && S_ISREG(info.st_mode);
  milo_writer *writer = calloc(1, sizeof *writer);
  if (!writer || !(writer->path = is_regular ? realpath(path, NULL) : strdup(path))) {
    const milo_status status = fail_errno(diag, "write", path);
    free(writer);
    return status;
  }
  if (exists && S_ISDIR(info.st_mode)) {
    errno = EISDIR;
    writer->fd = -1;
  } else if (is_open || (exists && !is_regular)) {
    writer->fd = open_path(path, O_WRONLY);
  } else if (exists && access(path, W_OK) != 0) {
    writer->fd = -1;  // a read-only file is meant to stay, though its folder would let us
  } else {
    writer->fd = open_temporary(writer->path, exists ? &info : NULL, &writer->temporary);
  }
  if (writer->fd < 0) {
    const milo_status status = fail_errno(diag, "write", path);
    milo_writer_close(writer);
    return status;
  }
  *out = writer;
  return MILO_OK;
}

milo_status milo_writer_write(milo_writer *writer, const void *data, size_t bytes,
                              milo_diag *diag) {
  if (writer->failed || writer->fd < 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "cannot write '%s': an earlier write failed",
                     writer->path);
  const unsigned char *rest = data;
  size_t left = bytes;
  while (left > 0) {
    const ssize_t put = write(writer->fd, rest, left < CHUNK ? left : CHUNK);
    if (put < 0 && wait_until_ready(writer->fd, POLLOUT)) continue;
    if (put <= 0) {
      if (put == 0) errno = ENOSPC;
      writer->failed = true;
      return fail_errno(diag, "write", writer->path);
    }
    rest += put;
    left -= (size_t)put;
  }
  writer->offset += bytes;
  return MILO_OK;
}

// Makes the rename itself last. Not every file system can sync a folder: that is no failure.
static void sync_folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
  if (!folder) return;
  const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(folder);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

milo_status milo_writer_commit(milo_writer *writer, milo_diag *diag) {
  if (writer->failed || writer->fd < 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "cannot write '%s': an earlier write failed",
                     writer->path);
  writer->failed = true;
  if (writer->temporary) {
    // Renamed before it is closed, for closing gives up the lock that keeps others from removing
    // it. What was synced cannot fail to be written when it is closed.
    if (fsync(writer->fd) != 0 || rename(writer->temporary, writer->path) != 0)
      return fail_errno(diag, "write", writer->path);
    free(writer->temporary);
    writer->temporary = NULL;
    sync_folder_of(writer->path);
    close(writer->fd);
    writer->fd = -1;
  } else {
    const int fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0) return fail_errno(diag, "write", writer->path);
  }
  writer->failed = false;
  return MILO_OK;
}

void milo_writer_close(milo_writer *writer) {
  if (!writer) return;
  if (writer->temporary) unlink(writer->temporary);  // while its lock says that it is ours
  if (writer->fd >= 0) close(writer->fd);
  free(writer->temporary);
  free(writer->path);
  free(writer);
}

bool milo_writer_is_file(const milo_writer *writer) { return writer->temporary != NULL; }

uint64_t milo_writer_offset(const milo_writer *writer) { return writer->offset; }

milo_status milo_file_write(const char *path, const void *data, size_t bytes, milo_diag *diag) {
  milo_writer *writer;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  milo_status status = milo_writer_write(writer, data, bytes, diag);
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  return status;
}

milo_status milo_file_make_dir(const char *path, milo_diag *diag) {
  if (*path == '\0')
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "the name of the folder is empty");
  char *partial = strdup(path);
  if (!partial)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "out of memory creating '%s'", path);
  milo_status status = MILO_OK;
  for (char *end = partial; *end && status == MILO_OK;) {
    end += strspn(end, "/");
    end += strcspn(end, "/");
    const char kept = *end;
    *end = '\0';
    const int error = mkdir(partial, 0777) == 0 ? 0 : errno;
    if (error && !milo_file_is_dir(partial)) {
      errno = error;
      status = error == EEXIST
                   ? milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO,
                               "cannot create the folder '%s': a file has that name", partial)
                   : fail_errno(diag, "create the folder", partial);
    }
    *end = kept;
  }
  free(partial);
  return status;
}
