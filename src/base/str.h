// SPDX-License-Identifier: MIT
// A growing string, and JSON writing into it.
#ifndef MILO_BASE_STR_H
#define MILO_BASE_STR_H

#include "base/status.h"

// Zero-initialised is empty. data is NUL-terminated once anything was added, NULL before.
typedef struct milo_str {
  char *data;
  size_t bytes, capacity;
} milo_str;

void milo_str_deinit(milo_str *text);
void milo_str_clear(milo_str *text);
void milo_str_add(milo_str *text, const char *data, size_t bytes);
void milo_str_puts(milo_str *text, const char *string);
void milo_str_putc(milo_str *text, char c);
void milo_str_printf(milo_str *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A quoted JSON string; a JSON number (null if not finite).
void milo_str_json_string(milo_str *text, const char *string);
void milo_str_json_number(milo_str *text, double value);
// Hands the memory over (to free()); NULL becomes "".
char *milo_str_take(milo_str *text, size_t *out_bytes);

#endif
