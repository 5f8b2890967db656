// SPDX-License-Identifier: MIT
#include "package/beside.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "package/blob.h"

static const char FIRST[] = ".weights.bin", NUMBERED[] = ".weights.";

const char *milo_path_folder(milo_arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash || milo_file_descriptor(path) >= 0) return ".";
  return slash == path ? "/" : milo_arena_strndup(arena, path, (size_t)(slash - path));
}

const char *milo_path_stem(milo_arena *arena, const char *path) {
  const char *slash = strrchr(path, '/');
  const char *base = slash ? slash + 1 : path;
  const char *dot = strrchr(base, '.');
  return milo_arena_strndup(arena, base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

static bool is_first(const char *stem, const char *name) {
  const size_t bytes = strlen(stem);
  return strncmp(name, stem, bytes) == 0 && strcmp(name + bytes, FIRST) == 0;
}

bool milo_beside_is_name(const char *stem, const char *name) {
  if (is_first(stem, name)) return true;
  const size_t bytes = strlen(stem), middle = sizeof NUMBERED - 1;
  if (strncmp(name, stem, bytes) != 0 || strncmp(name + bytes, NUMBERED, middle) != 0) return false;
  const char *number = name + bytes + middle;
  const size_t digits = strspn(number, "0123456789");
  return digits > 0 && number[0] != '0' && strcmp(number + digits, ".bin") == 0;
}

// ---- who refers to it ----

// Does the text at path hold "@model_path/<name>" as a string? unread: the answer where there is a
// text that cannot be read.
static bool text_refers(const char *path, const char *name, bool unread) {
  milo_mapping text;
  if (milo_file_map(path, NULL, &text) != MILO_OK) return unread && milo_file_exists(path);
  milo_arena arena = {0};
  const char *string = milo_arena_printf(&arena, "\"%s%s\"", MILO_BLOB_PREFIX, name);
  const bool refers =
      text.bytes > 0 && memmem(text.data, text.bytes, string, strlen(string)) != NULL;
  milo_file_unmap(&text);
  milo_arena_deinit(&arena);
  return refers;
}

static bool is_text_name(const char *name) {
  const size_t bytes = strlen(name);
  return bytes > 4 && strcmp(name + bytes - 4, ".mil") == 0;
}

// Any text of the folder, and the one at text_path whatever its name. A folder that cannot be
// listed hides texts.
static bool folder_refers(const milo_beside *b, const char *name) {
  if (text_refers(b->text_path, name, true)) return true;
  DIR *dir = opendir(b->folder);
  if (!dir) return true;
  bool refers = false;
  milo_arena arena = {0};
  for (const struct dirent *e;
       !refers && (e = readdir(dir)) != NULL;)  // NOLINT(concurrency-mt-unsafe)
    refers = is_text_name(e->d_name) &&
             text_refers(milo_arena_printf(&arena, "%s/%s", b->folder, e->d_name), name, true);
  milo_arena_deinit(&arena);
  closedir(dir);
  return refers;
}

// ---- choosing ----

typedef struct search {
  const char *path;
  bool found;
} search;

static milo_status find_path(void *user, const milo_literal *literal) {
  search *s = user;
  s->found |= literal->kind == MILO_LITERAL_BLOB && strcmp(literal->blob_path, s->path) == 0;
  return MILO_OK;
}

static bool is_free(const milo_beside *b, const milo_program *program, const char *name) {
  search s = {milo_arena_printf(b->arena, "%s%s", MILO_BLOB_PREFIX, name), false};
  (void)milo_blob_visit(program, find_path, &s);
  if (s.found) return false;
  if (!milo_file_exists(milo_arena_printf(b->arena, "%s/%s", b->folder, name))) return true;
  // Files of the first name may be anybody's.
  return !is_first(b->stem, name) && !folder_refers(b, name);
}

void milo_beside_begin(milo_beside *b, milo_arena *arena, const milo_program *program,
                       const char *text_path) {
  *b = (milo_beside){.arena = arena, .text_path = text_path};
  b->folder = milo_path_folder(arena, text_path);
  b->stem = milo_path_stem(arena, text_path);
  b->name = milo_arena_printf(arena, "%s%s", b->stem, FIRST);
  b->first_was_ours = text_refers(text_path, b->name, false);
  for (unsigned n = 1; !is_free(b, program, b->name); n++)
    b->name = milo_arena_printf(arena, "%s%s%u.bin", b->stem, NUMBERED, n);
}

// ---- sweeping ----

// The target of a temporary file's name (see base/file.h), or the name itself.
static const char *without_temporary(milo_arena *arena, const char *name) {
  const char *mark = strstr(name, ".bin.milo-");
  return mark ? milo_arena_strndup(arena, name, (size_t)(mark - name) + 4) : name;
}

void milo_beside_sweep(const milo_beside *b) {
  DIR *dir = opendir(b->folder);
  if (!dir) return;
  const char **names = NULL;
  size_t count = 0, capacity = 0;
  for (const struct dirent *e; (e = readdir(dir)) != NULL;) {  // NOLINT(concurrency-mt-unsafe)
    const char *name = milo_arena_strdup(b->arena, e->d_name);
    if (milo_beside_is_name(b->stem, without_temporary(b->arena, name)))
      MILO_PUSH(b->arena, names, count, capacity, name);
  }
  closedir(dir);
  for (size_t i = 0; i < count; i++) {
    const char *target = without_temporary(b->arena, names[i]);
    const char *path = milo_arena_printf(b->arena, "%s/%s", b->folder, target);
    if (target != names[i]) {
      milo_file_sweep(path);
      continue;
    }
    const bool is_ours = b->first_was_ours || !is_first(b->stem, target);
    if (is_ours && !folder_refers(b, target)) (void)unlink(path);
  }
}
