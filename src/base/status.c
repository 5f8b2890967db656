// SPDX-License-Identifier: MIT
#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A source line is shown around its place: lines of generated programs run to thousands of bytes.
enum { LINE_BEFORE = 70, LINE_AFTER = 30 };

// One for the process: an allocation that fails has no context at hand.
static struct {
  milo_out_of_memory_fn *fn;
  void *user;
} hook;

void milo_set_out_of_memory(milo_out_of_memory_fn *fn, void *user) {
  hook.fn = fn;
  hook.user = user;
}

void milo_out_of_memory(size_t bytes) {
  if (hook.fn != NULL) hook.fn(hook.user, bytes);
  fprintf(stderr, "milo: out of memory (%zu bytes wanted)\n", bytes);
  abort();
}

const char *milo_status_name(milo_status status) {
  static const char *const names[] = {
      [MILO_OK] = "ok",
      [MILO_ERR_INVALID] = "invalid input",
      [MILO_ERR_UNSUPPORTED] = "unsupported",
      [MILO_ERR_NO_MEMORY] = "out of memory",
      [MILO_ERR_IO] = "input/output error",
      [MILO_ERR_NOT_FOUND] = "not found",
      [MILO_ERR_INTERRUPTED] = "interrupted",
      [MILO_ERR_NUMERIC] = "not a finite number",
  };
  const size_t count = sizeof names / sizeof names[0];
  return (size_t)status < count ? names[status] : "unknown status";
}

void milo_diag_deinit(milo_diag *diag) {
  free(diag->text);
  *diag = (milo_diag){0};
}

void milo_diag_clear(milo_diag *diag) {
  diag->bytes = 0;
  diag->errors = 0;
  if (diag->text) diag->text[0] = '\0';
}

const char *milo_diag_text(const milo_diag *diag) { return diag->text ? diag->text : ""; }

static void add(milo_diag *diag, const char *data, size_t bytes) {
  if (bytes >= diag->capacity - diag->bytes) {
    size_t capacity = diag->capacity ? diag->capacity : 256;
    while (capacity - diag->bytes <= bytes) capacity *= 2;
    char *text = realloc(diag->text, capacity);
    if (!text) milo_out_of_memory(capacity);
    diag->text = text;
    diag->capacity = capacity;
  }
  if (bytes) memcpy(diag->text + diag->bytes, data, bytes);
  diag->bytes += bytes;
  diag->text[diag->bytes] = '\0';
}

static void add_string(milo_diag *diag, const char *string) { add(diag, string, strlen(string)); }

// Bounds of the line that holds offset, without its newline.
static void find_line(const milo_source *source, size_t offset, size_t *out_begin,
                      size_t *out_end) {
  size_t begin = offset, end = offset;
  while (begin > 0 && source->text[begin - 1] != '\n') begin--;
  while (end < source->bytes && source->text[end] != '\n') end++;
  if (end > begin && source->text[end - 1] == '\r' && end > offset) end--;
  *out_begin = begin;
  *out_end = end;
}

static size_t clamp_offset(milo_loc loc) {
  return loc.offset < loc.source->bytes ? loc.offset : loc.source->bytes;
}

void milo_loc_resolve(milo_loc loc, size_t *out_line, size_t *out_column) {
  *out_line = *out_column = 0;
  if (!loc.source || !loc.source->text) return;
  const size_t offset = clamp_offset(loc);
  size_t line = 1, begin = 0;
  for (size_t i = 0; i < offset; i++) {
    if (loc.source->text[i] == '\n') {
      line++;
      begin = i + 1;
    }
  }
  *out_line = line;
  *out_column = offset - begin + 1;
}

static bool continues_character(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

// The source line and a caret under the place, clipped around it.
static void add_source_line(milo_diag *diag, milo_loc loc) {
  const char *text = loc.source->text;
  const size_t offset = clamp_offset(loc);
  size_t begin, end;
  find_line(loc.source, offset, &begin, &end);
  const bool clip_left = offset - begin > LINE_BEFORE + LINE_AFTER;
  if (clip_left) begin = offset - LINE_BEFORE;
  while (begin < offset && continues_character(text[begin])) begin++;
  const bool clip_right = end > offset && end - offset > LINE_AFTER + LINE_BEFORE;
  if (clip_right) end = offset + LINE_AFTER;
  while (end > offset && end < loc.source->bytes && continues_character(text[end])) end--;

  add_string(diag, clip_left ? "\n  ..." : "\n  ");
  for (size_t i = begin; i < end; i++) {  // terminals must not see control characters
    const unsigned char c = (unsigned char)text[i];
    add(diag, (c < 0x20 && c != '\t') || c == 0x7F ? "?" : &text[i], 1);
  }
  add_string(diag, clip_right ? "...\n  " : "\n  ");
  if (clip_left) add_string(diag, "   ");
  for (size_t i = begin; i < offset; i++) {
    if (text[i] == '\t')
      add(diag, "\t", 1);
    else if (!continues_character(text[i]))
      add(diag, " ", 1);
  }
  add(diag, "^", 1);
}

milo_status milo_vfail(milo_diag *diag, milo_loc loc, milo_status status, const char *format,
                       va_list args) {
  if (!diag) return status;
  diag->errors++;
  if (diag->errors > MILO_DIAG_MAX_ERRORS) {
    if (diag->errors == MILO_DIAG_MAX_ERRORS + 1)
      add_string(diag, diag->warnings ? "\nwarning: too many warnings, the rest are not shown"
                                      : "\nerror: too many errors, the rest are not shown");
    return status;
  }
  if (diag->bytes) add(diag, "\n", 1);

  if (loc.source) {
    add_string(diag, loc.source->name);
    if (loc.source->text) {
      size_t line, column;
      milo_loc_resolve(loc, &line, &column);
      char place[64];
      snprintf(place, sizeof place, ":%zu:%zu", line, column);
      add_string(diag, place);
    }
    add_string(diag, ": ");
  }
  add_string(diag, diag->warnings ? "warning: " : "error: ");

  char buffer[512];
  va_list again;
  va_copy(again, args);
  const int bytes = vsnprintf(buffer, sizeof buffer, format, args);
  char *message = buffer;
  if (bytes >= (int)sizeof buffer) {
    message = malloc((size_t)bytes + 1);
    if (!message) milo_out_of_memory((size_t)bytes + 1);
    vsnprintf(message, (size_t)bytes + 1, format, again);
  }
  va_end(again);

  const char *line = bytes < 0 ? format : message;
  const char *end = strchr(line, '\n');
  add(diag, line, end ? (size_t)(end - line) : strlen(line));
  if (loc.source && loc.source->text) add_source_line(diag, loc);
  while (end) {
    line = end + 1;
    end = strchr(line, '\n');
    add_string(diag, "\nhint: ");
    add(diag, line, end ? (size_t)(end - line) : strlen(line));
  }
  if (message != buffer) free(message);
  return status;
}

milo_status milo_fail(milo_diag *diag, milo_loc loc, milo_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  milo_vfail(diag, loc, status, format, args);
  va_end(args);
  return status;
}
