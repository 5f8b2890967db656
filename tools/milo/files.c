// SPDX-License-Identifier: MIT
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

static char *read_all(FILE *file, const char *path, size_t *out_bytes) {
  size_t bytes = 0, capacity = 1 << 16;
  char *data = malloc(capacity);
  while (data != NULL) {
    const size_t got = fread(data + bytes, 1, capacity - bytes - 1, file);
    bytes += got;
    if (got == 0) break;
    if (bytes + 1 < capacity) continue;
    char *grown = capacity > SIZE_MAX / 2 ? NULL : realloc(data, 2 * capacity);
    if (grown == NULL) free(data);
    data = grown;
    capacity *= 2;
  }
  if (data == NULL) {
    fail_text("%s: out of memory", path);
    return NULL;
  }
  if (ferror(file)) {
    fail_text("%s: cannot be read: %s", path, strerror(errno));
    free(data);
    return NULL;
  }
  data[bytes] = '\0';
  *out_bytes = bytes;
  return data;
}

char *read_file(const char *path, size_t *out_bytes) {
  *out_bytes = 0;
  if (strcmp(path, "-") == 0) return read_all(stdin, "standard input", out_bytes);
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    fail_text("%s: cannot be opened: %s", path, strerror(errno));
    return NULL;
  }
  char *data = read_all(file, path, out_bytes);
  fclose(file);
  return data;
}

bool write_file(const char *path, const char *data, size_t bytes) {
  const size_t length = strlen(path);
  char *temporary = malloc(length + 8);
  if (temporary == NULL) {
    fail_text("%s: out of memory", path);
    return false;
  }
  memcpy(temporary, path, length);
  memcpy(temporary + length, ".XXXXXX", 8);
  const int descriptor = mkstemp(temporary);
  FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
  bool ok = file != NULL && fwrite(data, 1, bytes, file) == bytes && fflush(file) == 0 &&
            fchmod(descriptor, 0644) == 0 && fsync(descriptor) == 0;
  int error = errno;
  if (file != NULL && fclose(file) != 0 && ok) {
    ok = false;
    error = errno;
  }
  if (ok && rename(temporary, path) != 0) {
    ok = false;
    error = errno;
  }
  if (!ok) {
    fail_text("%s: cannot be written: %s", path, strerror(error));
    if (descriptor >= 0) unlink(temporary);
  }
  free(temporary);
  return ok;
}
