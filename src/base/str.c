// SPDX-License-Identifier: MIT
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

void milo_str_deinit(milo_str *text) {
  free(text->data);
  *text = (milo_str){0};
}

void milo_str_clear(milo_str *text) {
  text->bytes = 0;
  if (text->data) text->data[0] = '\0';
}

// Room for bytes more and the NUL.
static void reserve(milo_str *text, size_t bytes) {
  if (text->capacity - text->bytes > bytes) return;
  size_t needed;
  if (!milo_size_add(text->bytes, bytes, &needed) || needed > SIZE_MAX / 4)
    milo_out_of_memory(bytes);
  size_t capacity = text->capacity ? text->capacity : 64;
  while (capacity <= needed) capacity *= 2;
  char *data = realloc(text->data, capacity);
  if (!data) milo_out_of_memory(capacity);
  text->data = data;
  text->capacity = capacity;
}

void milo_str_add(milo_str *text, const char *data, size_t bytes) {
  reserve(text, bytes);
  if (bytes) memcpy(text->data + text->bytes, data, bytes);
  text->bytes += bytes;
  text->data[text->bytes] = '\0';
}

void milo_str_puts(milo_str *text, const char *string) {
  milo_str_add(text, string, strlen(string));
}

void milo_str_putc(milo_str *text, char c) { milo_str_add(text, &c, 1); }

void milo_str_printf(milo_str *text, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  reserve(text, 63);
  const size_t room = text->capacity - text->bytes;
  const int bytes = vsnprintf(text->data + text->bytes, room, format, args);
  va_end(args);
  if (bytes < 0) {
    text->data[text->bytes] = '\0';
  } else {
    if ((size_t)bytes >= room) {
      reserve(text, (size_t)bytes);
      vsnprintf(text->data + text->bytes, (size_t)bytes + 1, format, again);
    }
    text->bytes += (size_t)bytes;
  }
  va_end(again);
}

// Bytes of the UTF-8 character at string (NUL-terminated), 0 if it is not one: overlong forms,
// surrogates and values past U+10FFFF are none.
static size_t utf8_bytes(const char *string) {
  const unsigned char *s = (const unsigned char *)string;
  const unsigned char first = s[0];
  if (first < 0x80) return 1;
  const size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return 0;
  for (size_t i = 1; i < bytes; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((first == 0xE0 && s[1] < 0xA0) || (first == 0xED && s[1] > 0x9F) ||
      (first == 0xF0 && s[1] < 0x90) || (first == 0xF4 && s[1] > 0x8F))
    return 0;
  return bytes;
}

void milo_str_json_string(milo_str *text, const char *string) {
  static const char *const escapes[256] = {
      ['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
      ['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t",
  };
  milo_str_putc(text, '"');
  while (*string) {
    const unsigned char c = (unsigned char)*string;
    const size_t bytes = utf8_bytes(string);
    if (escapes[c])
      milo_str_puts(text, escapes[c]);
    else if (c < 0x20)
      milo_str_printf(text, "\\u%04x", c);
    else if (bytes == 0)
      milo_str_puts(text, "\xEF\xBF\xBD");  // U+FFFD, the replacement character
    else
      milo_str_add(text, string, bytes);
    string += bytes ? bytes : 1;
  }
  milo_str_putc(text, '"');
}

void milo_str_json_number(milo_str *text, double value) {
  if (!isfinite(value)) {
    milo_str_puts(text, "null");
    return;
  }
  char number[40];
  for (int digits = 15; digits <= 17; digits++) {  // the fewest that read back the same
    snprintf(number, sizeof number, "%.*g", digits, value);
    if (strtod(number, NULL) == value) break;
  }
  char *comma = strchr(number, ',');  // the host's locale may have put one
  if (comma) *comma = '.';
  milo_str_puts(text, number);
}

char *milo_str_take(milo_str *text, size_t *out_bytes) {
  reserve(text, 0);
  text->data[text->bytes] = '\0';
  char *data = text->data;
  *out_bytes = text->bytes;
  *text = (milo_str){0};
  return data;
}
