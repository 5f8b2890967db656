// SPDX-License-Identifier: MIT
// Runs a fuzz target over saved inputs, without libFuzzer: replay_<t> FILE|FOLDER... The empty
// input is always tried too. Fails if a file cannot be read or a folder holds none.
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

// False after a message.
static bool replay_file(const char *path) {
  printf("# %s\n", path);
  fflush(stdout);  // stands there if the target crashes
  FILE *file = fopen(path, "rb");
  struct stat info;
  if (!file || stat(path, &info) != 0) {
    perror(path);
    if (file) fclose(file);
    return false;
  }
  const size_t bytes = (size_t)info.st_size;
  uint8_t *data = malloc(bytes ? bytes : 1);  // its own block: sanitizers see reads past the end
  const bool whole = data && fread(data, 1, bytes, file) == bytes;
  fclose(file);
  if (whole)
    LLVMFuzzerTestOneInput(data, bytes);
  else
    fprintf(stderr, "%s: cannot be read\n", path);
  free(data);
  return whole;
}

static bool replay_folder(const char *path, size_t *count) {
  DIR *dir = opendir(path);
  if (!dir) {
    perror(path);
    return false;
  }
  bool right = true;
  for (const struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') continue;
    char name[4096];
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    right = replay_file(name) && right;
    (*count)++;
  }
  closedir(dir);
  return right;
}

int main(int argc, char **argv) {
  uint8_t *nothing = calloc(1, 1);
  if (nothing) LLVMFuzzerTestOneInput(nothing, 0);
  free(nothing);
  size_t count = 0;
  bool right = true;
  for (int i = 1; i < argc; i++) {
    struct stat info;
    if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode)) {
      right = replay_folder(argv[i], &count) && right;
    } else {
      right = replay_file(argv[i]) && right;
      count++;
    }
  }
  printf("%zu inputs\n", count);
  return right && count > 0 ? 0 : 1;
}
