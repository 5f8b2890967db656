// SPDX-License-Identifier: MIT
// A hostile tokenizer.bin: it is read or refused, and what was read encodes and decodes any text.
#include <stdlib.h>
#include <string.h>

#include "tokens/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  milo_tokenizer *t;
  uint32_t *ids;
  size_t count, bytes;
  char *text;
  if (milo_tok_parse(data, size, "input", 0, NULL, &t) != MILO_OK) return 0;
  // The file's own bytes hold its pieces, so joins do happen.
  if (milo_tok_encode(t, (const char *)data, size, true, NULL, &ids, &count) != MILO_OK) abort();
  if (milo_tok_decode(t, ids, count, NULL, &text, &bytes) != MILO_OK) abort();
  bool exact = true;
  for (size_t i = 0; i < count; i++) exact = exact && ids[i] != MILO_TOK_UNKNOWN;
  if (exact && (bytes != size || memcmp(text, data, size) != 0)) abort();
  free(text);
  free(ids);
  milo_tok_destroy(t);
  return 0;
}
