// SPDX-License-Identifier: MIT
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
  bool counting, lasting;
  long nth;
  fault_weather weather;
  atomic_size_t calls;
  atomic_long blocks, files, mappings, transfers;
  bool injected;
  fault_call failed;
  fault_call log[FAULT_MAX_CALLS];
} state;

void fault_start(long nth, bool lasting, fault_weather weather) {
  state.nth = nth;
  state.lasting = lasting;
  state.weather = weather;
  state.injected = false;
  state.failed = (fault_call){0};
  atomic_store(&state.calls, 0);
  atomic_store(&state.blocks, 0);
  atomic_store(&state.files, 0);
  atomic_store(&state.mappings, 0);
  atomic_store(&state.transfers, 0);
  state.counting = true;
}

fault_record fault_stop(void) {
  state.counting = false;
  return (fault_record){atomic_load(&state.calls),
                        state.injected,
                        state.failed,
                        atomic_load(&state.blocks),
                        atomic_load(&state.files),
                        atomic_load(&state.mappings)};
}

size_t fault_counted(void) { return atomic_load(&state.calls); }

const fault_call *fault_calls(void) { return state.log; }

// Counts a call; whether it is to fail. errno is set for it.
static bool fails(const char *name, fault_kind kind, const void *site, size_t bytes, int error) {
  if (!state.counting) return false;
  const size_t n = atomic_fetch_add(&state.calls, 1);
  const fault_call call = {name, kind, site, bytes};
  if (n < FAULT_MAX_CALLS) state.log[n] = call;
  const bool again = state.lasting && state.injected && site == state.failed.site;
  if ((long)n != state.nth && !again) return false;
  if (!again) state.failed = call;
  state.injected = true;
  errno = error;
  return true;
}

#define SITE __builtin_return_address(0)

static void *keep_block(void *memory) {
  if (memory && state.counting) atomic_fetch_add(&state.blocks, 1);
  return memory;
}

static int keep_file(int fd) {
  if (fd >= 0 && state.counting) atomic_fetch_add(&state.files, 1);
  return fd;
}

// ---- memory -------------------------------------------------------------------------------------
// WRAP declares the linker's names of a function: the one that Milo calls and the system's own.

#define WRAP(type, name, ...)      \
  type __real_##name(__VA_ARGS__); \
  type __wrap_##name(__VA_ARGS__); \
  type __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t bytes) {
  if (fails("malloc", FAULT_MEMORY, SITE, bytes, ENOMEM)) return NULL;
  return keep_block(__real_malloc(bytes));
}

WRAP(void *, calloc, size_t count, size_t bytes) {
  if (fails("calloc", FAULT_MEMORY, SITE, count * bytes, ENOMEM)) return NULL;
  return keep_block(__real_calloc(count, bytes));
}

WRAP(void *, realloc, void *memory, size_t bytes) {
  if (fails("realloc", FAULT_MEMORY, SITE, bytes, ENOMEM)) return NULL;
  void *moved = __real_realloc(memory, bytes);
  return memory ? moved : keep_block(moved);
}

WRAP(void *, aligned_alloc, size_t alignment, size_t bytes) {
  if (fails("aligned_alloc", FAULT_MEMORY, SITE, bytes, ENOMEM)) return NULL;
  return keep_block(__real_aligned_alloc(alignment, bytes));
}

WRAP(int, posix_memalign, void **out, size_t alignment, size_t bytes) {
  if (fails("posix_memalign", FAULT_MEMORY, SITE, bytes, ENOMEM)) return ENOMEM;
  const int error = __real_posix_memalign(out, alignment, bytes);
  if (error == 0) keep_block(*out);
  return error;
}

WRAP(char *, strdup, const char *text) {
  if (fails("strdup", FAULT_MEMORY, SITE, strlen(text) + 1, ENOMEM)) return NULL;
  return keep_block(__real_strdup(text));
}

WRAP(char *, strndup, const char *text, size_t bytes) {
  if (fails("strndup", FAULT_MEMORY, SITE, bytes + 1, ENOMEM)) return NULL;
  return keep_block(__real_strndup(text, bytes));
}

WRAP(char *, realpath, const char *path, char *out) {
  if (fails("realpath", FAULT_MEMORY, SITE, strlen(path) + 1, ENOMEM)) return NULL;
  char *resolved = __real_realpath(path, out);
  return out ? resolved : keep_block(resolved);
}

WRAP(void, free, void *memory) {
  if (memory && state.counting) atomic_fetch_sub(&state.blocks, 1);
  __real_free(memory);
}

WRAP(void *, mmap, void *at, size_t bytes, int access, int flags, int fd, off_t offset) {
  if (fails("mmap", fd >= 0 ? FAULT_OTHER : FAULT_MEMORY, SITE, bytes, ENOMEM)) return MAP_FAILED;
  void *mapped = __real_mmap(at, bytes, access, flags, fd, offset);
  if (mapped != MAP_FAILED && state.counting) atomic_fetch_add(&state.mappings, 1);
  return mapped;
}

WRAP(int, munmap, void *at, size_t bytes) {
  if (state.counting) atomic_fetch_sub(&state.mappings, 1);
  return __real_munmap(at, bytes);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
     void *(*start)(void *), void *argument) {
  if (fails("pthread_create", FAULT_MEMORY, SITE, 0, EAGAIN)) return EAGAIN;
  return __real_pthread_create(thread, attributes, start, argument);
}

// ---- files --------------------------------------------------------------------------------------

// What the system says of itself may be missing: Milo then takes what it can.
static bool is_of_system(const char *path) {
  return strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list args;
    va_start(args, flags);
    mode = (mode_t)va_arg(args, unsigned);
    va_end(args);
  }
  // What is only looked at may be done without; so may locks, which do not follow links.
  const bool optional = (flags & O_ACCMODE) == O_RDONLY || (flags & O_NOFOLLOW);
  if (fails("open", optional ? FAULT_OTHER : FAULT_FILE, SITE, 0, EMFILE)) return -1;
  return keep_file(__real_open(path, flags, mode));
}

WRAP(FILE *, fopen, const char *path, const char *mode) {
  if (fails("fopen", is_of_system(path) ? FAULT_OTHER : FAULT_FILE, SITE, 0, EMFILE)) return NULL;
  FILE *file = __real_fopen(path, mode);
  if (file) keep_file(0);
  return file;
}

WRAP(int, fclose, FILE *file) {
  if (state.counting) atomic_fetch_sub(&state.files, 1);
  const bool broken = fails("fclose", FAULT_OTHER, SITE, 0, EIO);
  const int result = __real_fclose(file);
  if (broken) errno = EIO;
  return broken ? EOF : result;
}

WRAP(size_t, fwrite, const void *data, size_t bytes, size_t count, FILE *file) {
  if (fails("fwrite", FAULT_FILE, SITE, 0, ENOSPC)) return 0;
  return __real_fwrite(data, bytes, count, file);
}

WRAP(int, fflush, FILE *file) {
  if (fails("fflush", FAULT_FILE, SITE, 0, ENOSPC)) return EOF;
  return __real_fflush(file);
}

// The descriptor is gone even where closing reports an error; what was synced is on the disk.
WRAP(int, close, int fd) {
  if (state.counting) atomic_fetch_sub(&state.files, 1);
  const bool broken = fails("close", FAULT_OTHER, SITE, 0, EIO);
  const int result = __real_close(fd);
  if (broken) errno = EIO;
  return broken ? -1 : result;
}

// Bytes that this transfer may move, or -1 if it is broken off.
static ssize_t weather_allows(size_t bytes) {
  if (!state.counting || state.weather == FAULT_CALM || bytes == 0) return (ssize_t)bytes;
  const long turn = atomic_fetch_add(&state.transfers, 1);
  if (state.weather == FAULT_SHORT) return (ssize_t)(turn % 3 == 0 ? 1 : bytes - bytes / 3);
  if (turn % 2 == 1) return (ssize_t)bytes;
  errno = EINTR;
  return -1;
}

WRAP(ssize_t, read, int fd, void *data, size_t bytes) {
  if (fails("read", FAULT_FILE, SITE, 0, EIO)) return -1;
  const ssize_t allowed = weather_allows(bytes);
  return allowed < 0 ? -1 : __real_read(fd, data, (size_t)allowed);
}

WRAP(ssize_t, write, int fd, const void *data, size_t bytes) {
  if (fails("write", FAULT_FILE, SITE, 0, ENOSPC)) return -1;
  const ssize_t allowed = weather_allows(bytes);
  return allowed < 0 ? -1 : __real_write(fd, data, (size_t)allowed);
}

WRAP(ssize_t, pread, int fd, void *data, size_t bytes, off_t offset) {
  if (fails("pread", FAULT_FILE, SITE, 0, EIO)) return -1;
  const ssize_t allowed = weather_allows(bytes);
  return allowed < 0 ? -1 : __real_pread(fd, data, (size_t)allowed, offset);
}

WRAP(ssize_t, pwrite, int fd, const void *data, size_t bytes, off_t offset) {
  if (fails("pwrite", FAULT_FILE, SITE, 0, ENOSPC)) return -1;
  const ssize_t allowed = weather_allows(bytes);
  return allowed < 0 ? -1 : __real_pwrite(fd, data, (size_t)allowed, offset);
}

WRAP(int, stat, const char *path, struct stat *out) {
  if (fails("stat", FAULT_OTHER, SITE, 0, EACCES)) return -1;
  return __real_stat(path, out);
}

WRAP(int, fstat, int fd, struct stat *out) {
  if (fails("fstat", FAULT_OTHER, SITE, 0, EIO)) return -1;
  return __real_fstat(fd, out);
}

int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
  struct stat info;
  const bool folder = __real_fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
  if (fails("fsync", folder ? FAULT_OTHER : FAULT_FILE, SITE, 0, EIO)) return -1;
  return 0;  // no power is lost here, and the disk is slow
}

WRAP(int, flock, int fd, int operation) {
  if (fails("flock", FAULT_OTHER, SITE, 0, ENOLCK)) return -1;
  return __real_flock(fd, operation);
}

// Of lock files, whose content nothing depends on.
WRAP(int, ftruncate, int fd, off_t bytes) {
  if (fails("ftruncate", FAULT_OTHER, SITE, 0, EIO)) return -1;
  return __real_ftruncate(fd, bytes);
}

WRAP(int, rename, const char *from, const char *to) {
  if (fails("rename", FAULT_FILE, SITE, 0, EIO)) return -1;
  return __real_rename(from, to);
}

WRAP(int, mkdir, const char *path, mode_t mode) {
  struct stat info;
  const bool exists = __real_stat(path, &info) == 0;
  if (fails("mkdir", exists ? FAULT_OTHER : FAULT_FILE, SITE, 0, ENOSPC)) return -1;
  return __real_mkdir(path, mode);
}

WRAP(int, fchmod, int fd, mode_t mode) {
  if (fails("fchmod", FAULT_OTHER, SITE, 0, EPERM)) return -1;
  return __real_fchmod(fd, mode);
}
