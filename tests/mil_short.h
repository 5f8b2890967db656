// SPDX-License-Identifier: MIT
// MIL texts of tests, written shorter: f[2,3] is tensor<fp32, [2,3]>; h, b and i are fp16, bf16 and
// int32.
#ifndef MILO_TESTS_MIL_SHORT_H
#define MILO_TESTS_MIL_SHORT_H

#include <ctype.h>
#include <string.h>

#include "base/str.h"

static inline void mil_short_expand(milo_str *text, const char *from) {
  static const char letters[] = "fhbi";
  static const char *const types[] = {"fp32", "fp16", "bf16", "int32"};
  for (const char *p = from; *p != '\0'; p++) {
    const char *letter = strchr(letters, *p);
    const bool begins = p == from || (!isalnum((unsigned char)p[-1]) && p[-1] != '_');
    if (letter == NULL || p[1] != '[' || !begins) {
      milo_str_putc(text, *p);
      continue;
    }
    const size_t shape = strcspn(p + 1, "]") + 1;
    milo_str_printf(text, "tensor<%s, %.*s>", types[letter - letters], (int)shape, p + 1);
    p += shape;
  }
}

// A program of one function main, to be freed.
static inline char *mil_short(const char *inputs, const char *body, const char *outputs) {
  milo_str text = {0};
  milo_str_puts(&text, "program(1.3) {\n  func main<ios18>(");
  mil_short_expand(&text, inputs);
  milo_str_puts(&text, ") {\n");
  mil_short_expand(&text, body);
  milo_str_printf(&text, "} -> (%s);\n}\n", outputs);
  return text.data;
}

#endif
