// SPDX-License-Identifier: MIT
// A MIL text mutated token by token: each mutant is refused with a message, or parsed to a program
// that prints and parses again to the same text.
#ifndef MILO_TESTS_MUTATE_MIL_H
#define MILO_TESTS_MUTATE_MIL_H

#include "base/file.h"
#include "ir/op.h"
#include "tap.h"
#include "text/lexer.h"
#include "text/text.h"

typedef struct mutation_counts {
  size_t tried, valid;
} mutation_counts;

// Refused with a message, or parsed to a program that prints and parses again to the same text.
static inline void try_text(const char *text, size_t bytes, mutation_counts *counts) {
  milo_diag diag = {0};
  milo_program *first = NULL, *second = NULL;
  milo_str once = {0}, twice = {0};
  counts->tried++;
  if (milo_text_parse(text, bytes, "mutant", &diag, &first) != MILO_OK) {
    if (first || diag.errors == 0) CHECK(!"an error without a message");
  } else {
    counts->valid++;
    if (milo_text_print(first, &once) != MILO_OK ||
        milo_text_parse(once.data, once.bytes, "printed", &diag, &second) != MILO_OK ||
        milo_text_print(second, &twice) != MILO_OK || strcmp(once.data, twice.data) != 0)
      CHECK(!"print, parse, print is not stable");
    const milo_status verified = milo_ir_verify(first, &diag);  // any outcome but a crash
    if (verified != MILO_OK && diag.errors == 0) CHECK(!"a refusal without a message");
  }
  milo_program_destroy(first);
  milo_program_destroy(second);
  milo_str_deinit(&once);
  milo_str_deinit(&twice);
  milo_diag_deinit(&diag);
}

static inline void join(milo_str *out, const char *text, size_t from, size_t to) {
  milo_str_add(out, text + from, to - from);
  milo_str_putc(out, ' ');
}

// Every stride-th token of a text: cut there, dropped, doubled, swapped with the next, replaced by
// three others in turn.
static inline void mutate(const char *text, size_t bytes, size_t stride, mutation_counts *counts) {
  static const char *const others[] = {"(",      "]",     "}",  ";",    "=",
                                       "->",     "0",     "-1", "name", "\"s\"",
                                       "tensor", "int32", "?",  "inf",  "99999999999999999999"};
  enum { OTHERS = sizeof others / sizeof *others, KINDS = 7 };
  const milo_source source = {"text", text, bytes};
  milo_lexer lexer;
  milo_str mutant = {0};
  milo_lexer_init(&lexer, &source, NULL);
  milo_token token = milo_lexer_next(&lexer);
  for (size_t n = 0; token.kind != MILO_TOKEN_END; n++) {
    const milo_token next = milo_lexer_next(&lexer);
    const size_t start = token.offset, end = start + token.bytes,
                 next_end = next.offset + next.bytes;
    for (int kind = 0; kind < KINDS && n % stride == 0; kind++) {
      milo_str_clear(&mutant);
      join(&mutant, text, 0, start);
      if (kind == 1) join(&mutant, text, start, end);
      if (kind == 1) join(&mutant, text, start, end);
      if (kind == 2) join(&mutant, text, next.offset, next_end);
      if (kind == 2) join(&mutant, text, start, end);
      if (kind >= 4) milo_str_puts(&mutant, others[(3 * n + (size_t)kind) % OTHERS]);
      if (kind >= 4) milo_str_putc(&mutant, ' ');
      if (kind != 3)
        milo_str_add(&mutant, text + (kind == 2 ? next_end : end),
                     bytes - (kind == 2 ? next_end : end));
      try_text(mutant.data, mutant.bytes, counts);
    }
    token = next;
  }
  milo_str_deinit(&mutant);
}

static inline void mutate_file(const char *path, size_t stride) {
  milo_diag diag = {0};
  void *text;
  size_t bytes;
  mutation_counts counts = {0};
  if (!CHECK(milo_file_read(path, 0, &diag, &text, &bytes) == MILO_OK)) return;
  try_text(text, bytes, &counts);
  CHECK(counts.valid == 1);
  mutate(text, bytes, stride, &counts);
  printf("# %s: %zu mutants, %zu of them valid\n", path, counts.tried, counts.valid);
  CHECK(counts.valid < counts.tried / 2);
  free(text);
  milo_diag_deinit(&diag);
}

#endif
