// SPDX-License-Identifier: MIT
// Tokenizers against the reference data: SentencePiece's ids of 47 awkward texts, and stories with
// the streams that other tools made of them.
// ctest: LABELS shared
#include "base/file.h"
#include "tap.h"
#include "tokens/stream.h"
#include "tokens/tokenizer.h"

// A file of the reference data, false if it is not there.
static bool find_data(const char *name, char path[512]) {
  const char *shared = getenv("MILO_SHARED");
  snprintf(path, 512, "%s/data/%s", shared ? shared : "../shared", name);
  return milo_file_exists(path);
}

static milo_tokenizer *load(const char *name, size_t vocab) {
  char path[512];
  milo_diag diag = {0};
  milo_tokenizer *t = NULL;
  if (!find_data(name, path)) return NULL;
  if (!CHECK(milo_tok_load(path, vocab, &diag, &t) == MILO_OK))
    printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  return t;
}

static char *read_text(const char *name, size_t *out_bytes) {
  char path[512];
  void *data = NULL;
  if (find_data(name, path)) CHECK(milo_file_read(path, 0, NULL, &data, out_bytes) == MILO_OK);
  return data;
}

static void test_cases(void) {
  static const char mark[] = "\n__ggml_vocab_test__\n";
  size_t bytes, wanted_bytes;
  milo_tokenizer *t = load("tokenizers/tokenizer.bin", 32000);
  if (!t) SKIP("shared data: tokenizers/tokenizer.bin is not there");
  char *text = read_text("tokenizer_cases/ggml-vocab-llama-spm.gguf.inp", &bytes);
  char *wanted = read_text("tokenizer_cases/ggml-vocab-llama-spm.gguf.out", &wanted_bytes);
  if (!CHECK(text && wanted)) return;
  int cases = 0, right = 0;
  char *line = wanted;
  for (char *from = text; from;) {
    char *end = strstr(from, mark), *next = end ? end + sizeof mark - 1 : NULL;
    uint32_t *ids;
    size_t count;
    const size_t length = end ? (size_t)(end - from) : strlen(from);
    // The last case, after the last mark, is the empty text, and its line has no line feed.
    char *line_end = line + strcspn(line, "\n");
    const bool last = *line_end == 0;
    *line_end = 0;
    if (!CHECK(milo_tok_encode(t, from, length, false, NULL, &ids, &count) == MILO_OK)) break;
    bool same = true;
    char *p = line;
    for (size_t i = 0; i < count && same; i++) same = strtoul(p, &p, 10) == ids[i];
    while (*p == ' ') p++;
    same = same && *p == 0;
    cases++;
    right += same;
    if (!CHECK(same)) printf("# case %d: <%.*s>, expected%s\n", cases, (int)length, from, line);
    char *back;
    size_t back_bytes;
    CHECK(milo_tok_decode(t, ids, count, NULL, &back, &back_bytes) == MILO_OK &&
          back_bytes == length && memcmp(back, from, length) == 0);
    free(ids);
    free(back);
    if (last != !next) break;
    line = last ? line_end : line_end + 1;
    from = next;
  }
  printf("# %d of %d cases\n", right, cases);
  CHECK(cases == 47 && *line == 0);
  free(text);
  free(wanted);
  milo_tok_destroy(t);
}

// Encoding the text story by story gives the stream; decoding the stream gives the text.
static void check_stream(const char *tokenizer, size_t vocab, const char *text_name,
                         const char *stream_name) {
  char path[512];
  milo_tokenizer *t = load(tokenizer, vocab);
  size_t bytes, count, wanted_count;
  uint32_t *ids = NULL, *wanted = NULL;
  if (!t) SKIP("shared data: tokenizers are not there");
  char *text = read_text(text_name, &bytes);
  if (!CHECK(text != NULL) || !CHECK(find_data(stream_name, path))) return;
  CHECK(milo_stream_load(path, vocab, NULL, &wanted, &wanted_count) == MILO_OK);
  CHECK(milo_tok_encode_documents(t, text, bytes, NULL, NULL, &ids, &count) == MILO_OK);
  if (!ids || !wanted) return;
  size_t same = 0;
  while (same < count && same < wanted_count && ids[same] == wanted[same]) same++;
  if (!CHECK(same == count && same == wanted_count))
    printf("# %zu of %zu ids, differing from %zu\n", count, wanted_count, same);
  const char *document;
  size_t at = 0, document_bytes, start = 0, documents = 0;
  while (milo_tok_next_document(text, bytes, &at, &document, &document_bytes)) {
    size_t end = start + 1, back_bytes;
    char *back;
    while (end < wanted_count && wanted[end] != MILO_TOK_BOS) end++;
    if (!CHECK(start < wanted_count && wanted[start] == MILO_TOK_BOS)) break;
    if (!CHECK(milo_tok_decode(t, wanted + start, end - start, NULL, &back, &back_bytes) ==
               MILO_OK))
      break;
    CHECK(back_bytes == document_bytes && memcmp(back, document, back_bytes) == 0);
    free(back);
    start = end;
    documents++;
  }
  CHECK(start == wanted_count && documents > 1000);
  printf("# %zu tokens, %zu stories\n", wanted_count, documents);
  free(text);
  free(ids);
  free(wanted);
  milo_tok_destroy(t);
}

static void test_tok512(void) {
  check_stream("tokenizers/tok512.bin", 512, "tinystories/tinystories_a.txt",
               "tinystories/tinystories_a.tok512.u16");
}

static void test_llama_a(void) {
  check_stream("tokenizers/tokenizer.bin", 32000, "tinystories/tinystories_a.txt",
               "tinystories/tinystories_a.llama32k.u16");
}

static void test_llama_b(void) {
  check_stream("tokenizers/tokenizer.bin", 32000, "tinystories/tinystories_b.txt",
               "tinystories/tinystories_b.llama32k.u16");
}

int main(void) {
  RUN(test_cases);
  RUN(test_tok512);
  RUN(test_llama_a);
  RUN(test_llama_b);
  return tap_done();
}
