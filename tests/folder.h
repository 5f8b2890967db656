// SPDX-License-Identifier: MIT
// A test program's folder for files: made once, removed with all that is in it.
#ifndef MILO_TESTS_FOLDER_H
#define MILO_TESTS_FOLDER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[256];

static inline bool make_folder(void) {
  const char *parent = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/milo-test-XXXXXX", parent ? parent : "/tmp");
  const bool made = mkdtemp(folder) != NULL;
  if (!made) perror(folder);
  return made;
}

// The path of a file in it; valid for the next seven calls.
static inline const char *in_folder(const char *name) {
  static char path[8][512];
  static int turn;
  turn = (turn + 1) % 8;
  snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
  return path[turn];
}

static inline bool remove_folder(void) {
  char command[sizeof folder + 16];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command) == 0;
}

static inline bool same_file(const char *a, const char *b) {
  FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
  bool same = x && y;
  for (int c = 0; same && c != EOF;) same = (c = fgetc(x)) == fgetc(y);
  if (x) fclose(x);
  if (y) fclose(y);
  return same;
}

#endif
