// SPDX-License-Identifier: MIT
// A growing string, and JSON writing into it.
#ifndef MILO_BASE_TEXT_H
#define MILO_BASE_TEXT_H

#include "base/status.h"

// Zero-initialised is empty. data is NUL-terminated once anything was added, NULL before.
typedef struct milo_text {
  char *data;
  size_t bytes, capacity;
} milo_text;

void milo_text_deinit(milo_text *text);
void milo_text_clear(milo_text *text);
void milo_text_add(milo_text *text, const char *data, size_t bytes);
void milo_text_puts(milo_text *text, const char *string);
void milo_text_putc(milo_text *text, char c);
void milo_text_printf(milo_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// A quoted JSON string; a JSON number (null if not finite).
void milo_text_json_string(milo_text *text, const char *string);
void milo_text_json_number(milo_text *text, double value);
// Hands the memory over (to free()); NULL becomes "".
char *milo_text_take(milo_text *text, size_t *out_bytes);

#endif
