// SPDX-License-Identifier: MIT
#include "base/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SMALL = 4 << 20, MAX_PATH = 4096 };

uint64_t milo_peak_memory_bytes(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
  return (uint64_t)usage.ru_maxrss;
#else
  return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

// ---- what is available ----

static FILE *open_file(const char *root, const char *folder, const char *name) {
  char path[MAX_PATH];
  const int bytes = snprintf(path, sizeof path, "%s%s%s", root, folder, name);
  return bytes > 0 && (size_t)bytes < sizeof path ? fopen(path, "r") : NULL;
}

// The number that a file holds; fallback if there is none ("max"), or no such file.
static uint64_t read_number(const char *root, const char *folder, const char *name,
                            uint64_t fallback) {
  FILE *file = open_file(root, folder, name);
  unsigned long long number;
  if (file == NULL) return fallback;
  if (fscanf(file, "%llu", &number) == 1) fallback = number;
  fclose(file);
  return fallback;
}

// The sum of the lines "key number" of two keys.
static uint64_t read_keys(const char *root, const char *folder, const char *name,
                          const char *const keys[2]) {
  FILE *file = open_file(root, folder, name);
  uint64_t sum = 0;
  char line[256], key[128];
  unsigned long long number;
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file))
    if (sscanf(line, "%127s %llu", key, &number) == 2 &&
        (strcmp(key, keys[0]) == 0 || strcmp(key, keys[1]) == 0))
      sum += number;
  fclose(file);
  return sum;
}

typedef struct group_files {
  const char *limits[2];  // names of files; "": none
  const char *usage;
  const char *cache[2];  // keys of memory.stat: what can be given back
} group_files;

static const group_files version1 = {
    {"/memory.limit_in_bytes", ""},
    "/memory.usage_in_bytes",
    {"total_inactive_file", "total_active_file"},
};
static const group_files version2 = {
    {"/memory.max", "/memory.high"},
    "/memory.current",
    {"inactive_file", "active_file"},
};

// What one group has left.
static uint64_t group_left(const char *root, const char *folder, const group_files *files) {
  uint64_t limit = UINT64_MAX;
  for (int i = 0; i < 2; i++) {
    if (files->limits[i][0] == '\0') continue;
    const uint64_t one = read_number(root, folder, files->limits[i], UINT64_MAX);
    if (one < limit) limit = one;
  }
  if (limit >= UINT64_C(1) << 60) return UINT64_MAX;  // version 1 writes "none" as a large number
  const uint64_t usage = read_number(root, folder, files->usage, 0);
  const uint64_t cache = read_keys(root, folder, "/memory.stat", files->cache);
  const uint64_t held = usage > cache ? usage - cache : 0;
  return limit > held ? limit - held : 0;
}

// The least of a group and those above it, up to the mount. In a container the group's name may be
// the host's: then only the groups that are there count, and the container's own is the mount.
static uint64_t groups_left(const char *root, const char *mount, const char *group,
                            const group_files *files) {
  char folder[MAX_PATH];
  uint64_t least = UINT64_MAX;
  const int bytes = snprintf(folder, sizeof folder, "%s%s", mount, group);
  if (bytes < 0 || (size_t)bytes >= sizeof folder) return least;
  for (;;) {
    const uint64_t left = group_left(root, folder, files);
    if (left < least) least = left;
    char *slash = strrchr(folder, '/');
    if (strlen(folder) <= strlen(mount) || slash == NULL) return least;
    *slash = '\0';
  }
}

// A line of /proc/self/cgroup: "0::/path" (version 2) or "4:cpu,memory:/path" (version 1).
static uint64_t line_left(const char *root, char *line) {
  char *controllers = strchr(line, ':');
  char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
  if (group == NULL) return UINT64_MAX;
  *group++ = '\0';
  controllers++;
  group[strcspn(group, "\n")] = '\0';
  if (*controllers == '\0') {
    const uint64_t left = groups_left(root, "/sys/fs/cgroup", group, &version2);
    const uint64_t hybrid = groups_left(root, "/sys/fs/cgroup/unified", group, &version2);
    return left < hybrid ? left : hybrid;
  }
  for (char *name; (name = strsep(&controllers, ",")) != NULL;)
    if (strcmp(name, "memory") == 0)
      return groups_left(root, "/sys/fs/cgroup/memory", group, &version1);
  return UINT64_MAX;
}

uint64_t milo_available_memory_under(const char *root) {
  uint64_t available = UINT64_MAX;
  static const char *const keys[2] = {"MemAvailable:", "MemAvailable:"};
  const uint64_t kib = read_keys(root, "/proc", "/meminfo", keys);
  if (kib > 0) available = kib * 1024;
  FILE *file = open_file(root, "/proc", "/self/cgroup");
  char line[MAX_PATH];
  while (file != NULL && fgets(line, sizeof line, file)) {
    const uint64_t left = line_left(root, line);
    if (left < available) available = left;
  }
  if (file != NULL) fclose(file);
  return available;
}

uint64_t milo_available_memory_bytes(void) { return milo_available_memory_under(""); }

// ---- asking ----

static milo_status refuse(const char *what, uint64_t bytes, uint64_t available, milo_diag *diag) {
  char has[64] = "the system does not say how much is available";
  if (available != UINT64_MAX)
    snprintf(has, sizeof has, "%llu bytes (%.3g GB) available", (unsigned long long)available,
             (double)available / 1e9);
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY,
                   "no memory for %s: %llu bytes (%.3g GB) needed, %s", what,
                   (unsigned long long)bytes, (double)bytes / 1e9, has);
}

milo_status milo_memory_ask(const char *what, uint64_t bytes, milo_diag *diag) {
  if (bytes < SMALL) return MILO_OK;
  const uint64_t available = milo_available_memory_bytes();
  return bytes <= available ? MILO_OK : refuse(what, bytes, available, diag);
}

milo_status milo_memory_fail(const char *what, uint64_t bytes, milo_diag *diag) {
  return refuse(what, bytes, milo_available_memory_bytes(), diag);
}
