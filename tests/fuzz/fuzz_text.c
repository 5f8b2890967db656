// SPDX-License-Identifier: MIT
// Hostile MIL text: it is refused with a message, or parsed to a program whose text parses again to
// the same text; and the verifier says something about it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ir/op.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_and_parse(const milo_program *program) {
  milo_str once = {0}, twice = {0};
  milo_program *again;
  if (milo_text_print(program, &once) != MILO_OK) abort();
  if (milo_text_parse(once.data, once.bytes, "printed", NULL, &again) != MILO_OK) abort();
  if (milo_text_print(again, &twice) != MILO_OK) abort();
  if (once.bytes != twice.bytes || memcmp(once.data, twice.data, once.bytes) != 0) abort();
  milo_program_destroy(again);
  milo_str_deinit(&once);
  milo_str_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  milo_diag diag = {0};
  milo_program *program;
  if (milo_text_parse((const char *)data, size, "input", &diag, &program) != MILO_OK) {
    if (program || diag.errors == 0) abort();
  } else {
    print_and_parse(program);
    if (milo_ir_verify(program, &diag) != MILO_OK && diag.errors == 0) abort();
    milo_program_destroy(program);
  }
  milo_diag_deinit(&diag);
  return 0;
}
