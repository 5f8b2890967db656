// SPDX-License-Identifier: MIT
// Tokenizers and token streams on what the test makes itself. Encoding and training are compared
// with plain versions that do everything anew at each step.
#include <stdint.h>

#include "base/file.h"
#include "base/rng.h"
#include "tap.h"
#include "tokens/stream.h"
#include "tokens/tokenizer.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

enum { VOCAB = 420, FIRST_LEARNT = 259 };

// Words drawn so that few are frequent and many rare; letters only, so that the plain trainer can
// tell words apart by spaces.
static char *make_words(size_t words, size_t *out_bytes) {
  static const char *const parts[] = {"a", "ba", "na", "the", "se", "lo", "mi", "ing", "tu", "abc"};
  char *text = malloc(words * 16);
  size_t bytes = 0;
  for (size_t i = 0; i < words; i++) {
    const uint64_t length = 1 + milo_rng_below(1, 1, i, 4);
    if (i) text[bytes++] = ' ';
    for (uint64_t k = 0; k < length; k++) {
      const uint64_t r = milo_rng_below(1, 2, 4 * i + k, 100);
      const char *part = parts[r * r / 1000];
      memcpy(text + bytes, part, strlen(part));
      bytes += strlen(part);
    }
  }
  text[bytes] = 0;
  *out_bytes = bytes;
  return text;
}

static const char story[] =
    "Once upon a time, there was a small boat. \"Where do I go?\" it asked.\n\nThe sea said: "
    "\"Come!\" and the boat went. It saw 12 ships, 345 birds; a caf\xC3\xA9 on the shore, and "
    "more caf\xC3\xA9s.\n\nThe boat was happy. The sea was happy. The birds were not.\n";

static milo_tokenizer *train(const char *text, size_t bytes, size_t vocab) {
  milo_diag diag = {0};
  milo_tokenizer *t = NULL;
  const milo_status status = milo_tok_train(text, bytes, vocab, NULL, &diag, &t);
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  return t;
}

static milo_tokenizer *train_mixed(void) {
  size_t bytes;
  char *words = make_words(4000, &bytes);
  char *text = malloc(bytes + 20 * sizeof story + 1);
  memcpy(text, words, bytes);
  for (int i = 0; i < 20; i++, bytes += sizeof story - 1)
    memcpy(text + bytes, story, sizeof story - 1);
  milo_tokenizer *t = train(text, bytes, VOCAB);
  free(words);
  free(text);
  return t;
}

// ---- encoding
// ------------------------------------------------------------------------------------

static int find_piece(const milo_tokenizer *t, const char *text, size_t bytes) {
  for (uint32_t id = FIRST_LEARNT; id < milo_tok_vocab(t); id++) {
    size_t piece_bytes;
    const char *piece = milo_tok_piece(t, id, &piece_bytes);
    if (piece_bytes == bytes && memcmp(piece, text, bytes) == 0) return (int)id;
  }
  return -1;
}

// The definition: search all neighbours for the best join until there is none. For trained
// vocabularies only, whose best piece is the one with the lowest id. Valid UTF-8 only.
static size_t encode_plainly(const milo_tokenizer *t, const char *text, size_t bytes,
                             uint32_t *ids) {
  char *all = malloc(bytes + 2);
  size_t *sizes = malloc((bytes + 1) * sizeof *sizes), count = 0, out = 0;
  all[0] = ' ';
  memcpy(all + 1, text, bytes + 1);
  for (size_t i = 0; bytes && i <= bytes; i += sizes[count++]) {
    sizes[count] = 1;
    while (((unsigned char)all[i + sizes[count]] & 0xC0) == 0x80) sizes[count]++;
  }
  for (;;) {
    size_t best = 0;
    int best_id = -1;
    for (size_t k = 0, at = 0; k + 1 < count; at += sizes[k++]) {
      const int id = find_piece(t, all + at, sizes[k] + sizes[k + 1]);
      if (id < 0 || (best_id >= 0 && id >= best_id)) continue;
      best = k;
      best_id = id;
    }
    if (best_id < 0) break;
    sizes[best] += sizes[best + 1];
    memmove(&sizes[best + 1], &sizes[best + 2], (count - best - 2) * sizeof *sizes);
    count--;
  }
  for (size_t k = 0, at = 0; k < count; at += sizes[k++]) {
    const int id = find_piece(t, all + at, sizes[k]);
    if (id >= 0) ids[out++] = (uint32_t)id;
    for (size_t i = 0; id < 0 && i < sizes[k]; i++) ids[out++] = 3u + (unsigned char)all[at + i];
  }
  free(all);
  free(sizes);
  return out;
}

static bool encodes_plainly(const milo_tokenizer *t, const char *text, size_t bytes) {
  uint32_t *wanted = malloc((bytes + 1) * sizeof *wanted), *ids;
  size_t count;
  const size_t wanted_count = encode_plainly(t, text, bytes, wanted);
  if (milo_tok_encode(t, text, bytes, false, NULL, &ids, &count) != MILO_OK) return false;
  const bool same =
      count == wanted_count && (!count || memcmp(ids, wanted, count * sizeof *ids) == 0);
  free(ids);
  free(wanted);
  return same;
}

static void test_encode_is_the_plain_one(void) {
  static const char *const alphabet[] = {"a", "b",  "n",  "s", "e",        "t",
                                         "h", " ",  "i",  "g", " the",     "ing",
                                         ".", "\"", "\n", "1", "\xC3\xA9", "\xE4\xB8\xAD"};
  milo_tokenizer *t = train_mixed();
  if (!t) return;
  CHECK(encodes_plainly(t, story, sizeof story - 1));
  for (uint64_t i = 0; i < 300; i++) {
    char text[256];
    size_t bytes = 0;
    const uint64_t length = milo_rng_below(2, 0, i, 40);
    for (uint64_t k = 0; k < length; k++) {
      const char *part = alphabet[milo_rng_below(2, 1 + i, k, COUNT(alphabet))];
      memcpy(text + bytes, part, strlen(part) + 1);
      bytes += strlen(part);
    }
    text[bytes] = 0;
    if (!CHECK(encodes_plainly(t, text, bytes))) printf("# text: %s\n", text);
  }
  milo_tok_destroy(t);
}

static bool round_trips(const milo_tokenizer *t, const char *text, size_t bytes) {
  uint32_t *ids;
  size_t count, back_bytes;
  char *back;
  if (milo_tok_encode(t, text, bytes, true, NULL, &ids, &count) != MILO_OK) return false;
  bool same = count >= 1 && ids[0] == MILO_TOK_BOS;
  if (milo_tok_decode(t, ids, count, NULL, &back, &back_bytes) != MILO_OK) return false;
  same = same && back_bytes == bytes && memcmp(back, text, bytes) == 0 && back[bytes] == 0;
  free(ids);
  free(back);
  return same;
}

static void test_decode_gives_the_text_back(void) {
  static const char *const texts[] = {"",
                                      " ",
                                      "  ",
                                      "\n",
                                      " a",
                                      "a ",
                                      "<s>",
                                      "<unk></s>",
                                      "<0x41>",
                                      "\xF0\x9F\xA6\x99",
                                      "\xC3",
                                      "\xC3\xA9\xA9",
                                      "\xFF\xFE",
                                      "\xE4\xB8",
                                      "\xF0\x9F\xA6",
                                      story};
  milo_tokenizer *t = train_mixed();
  if (!t) return;
  for (size_t i = 0; i < COUNT(texts); i++)
    if (!CHECK(round_trips(t, texts[i], strlen(texts[i])))) printf("# text %zu\n", i);
  CHECK(round_trips(t, "a\0b", 3));
  for (uint64_t i = 0; i < 200; i++) {
    char bytes[64];
    for (uint64_t k = 0; k < sizeof bytes; k++) bytes[k] = (char)milo_rng_below(3, i, k, 256);
    CHECK(round_trips(t, bytes, sizeof bytes));
  }
  milo_tok_destroy(t);
}

static void test_control_tokens_spell_nothing(void) {
  milo_tokenizer *t = train_mixed();
  if (!t) return;
  uint32_t *ids;
  size_t count, bytes;
  char *text;
  CHECK(milo_tok_encode(t, "<s>", 3, false, NULL, &ids, &count) == MILO_OK);
  for (size_t i = 0; i < count; i++) CHECK(ids[i] >= MILO_TOK_CONTROLS);
  free(ids);
  // The space that encoding puts first is taken off at the start and after token 1 only.
  const int the = find_piece(t, " the", 4);
  if (!CHECK(the > 0)) return;
  const uint32_t sequence[] = {1, (uint32_t)the, (uint32_t)the, 2, (uint32_t)the, 0, 1,
                               1, (uint32_t)the, 3 + 'x'};
  CHECK(milo_tok_decode(t, sequence, COUNT(sequence), NULL, &text, &bytes) == MILO_OK);
  CHECK_STR(text, "the the thethex");
  free(text);
  milo_diag diag = {0};
  const uint32_t outside[] = {1, VOCAB};
  CHECK(milo_tok_decode(t, outside, 2, &diag, &text, &bytes) == MILO_ERR_INVALID && !text);
  CHECK(strstr(milo_diag_text(&diag), "token 420 at position 1") != NULL);
  milo_diag_deinit(&diag);
  milo_tok_destroy(t);
}

// A long run of one letter would take hours if joining were quadratic.
static void test_long_runs_are_quick(void) {
  milo_tokenizer *t = train_mixed();
  if (!t) return;
  const size_t bytes = 1 << 20;
  char *text = malloc(bytes);
  memset(text, 'a', bytes);
  CHECK(round_trips(t, text, bytes));
  free(text);
  milo_tok_destroy(t);
}

// ---- training -------------------------------------------------------------------------------

typedef struct seen {
  char text[64];
  size_t bytes;
  unsigned count;
} seen;

static void count_seen(seen *list, size_t *count, const char *text, size_t bytes, unsigned times) {
  size_t i = 0;
  while (i < *count && (list[i].bytes != bytes || memcmp(list[i].text, text, bytes) != 0)) i++;
  if (i == *count) {
    memcpy(list[i].text, text, bytes);
    list[i].bytes = bytes;
    list[i].count = 0;
    ++*count;
  }
  list[i].count += times;
}

// Trains on words between spaces and checks t against it: before every join all words are encoded
// anew with the pieces so far, and all neighbours counted.
static void check_joins(const milo_tokenizer *t, const char *text, size_t text_bytes) {
  enum { MOST = 4000 };
  seen *words = calloc(MOST, sizeof *words), *pairs = calloc(MOST, sizeof *pairs);
  size_t word_count = 0, first = FIRST_LEARNT, bytes;
  for (size_t at = 0, end; at < text_bytes; at = end + 1) {
    char word[64];
    for (end = at; end < text_bytes && text[end] != ' ';) end++;
    const int length = snprintf(word, sizeof word, " %.*s", (int)(end - at), text + at);
    count_seen(words, &word_count, word, (size_t)length, 1);
    if (!CHECK(word_count < MOST)) goto done;
  }
  while (first < milo_tok_vocab(t) && milo_tok_piece(t, (uint32_t)first, &bytes) && bytes == 1)
    first++;
  for (size_t join = first; join < milo_tok_vocab(t); join++) {
    size_t pair_count = 0, best = 0;
    for (size_t w = 0; w < word_count; w++) {
      size_t sizes[64], count = words[w].bytes;
      for (size_t k = 0; k < count; k++) sizes[k] = 1;
      for (;;) {  // encode with the pieces below join
        size_t best_part = 0, best_id = join;
        for (size_t k = 0, at = 0; k + 1 < count; at += sizes[k++]) {
          const int id = find_piece(t, words[w].text + at, sizes[k] + sizes[k + 1]);
          if (id < 0 || (size_t)id >= best_id) continue;
          best_part = k;
          best_id = (size_t)id;
        }
        if (best_id == join) break;
        sizes[best_part] += sizes[best_part + 1];
        for (size_t k = best_part + 1; k + 1 < count; k++) sizes[k] = sizes[k + 1];
        count--;
      }
      for (size_t k = 0, at = 0; k + 1 < count; at += sizes[k++])
        count_seen(pairs, &pair_count, words[w].text + at, sizes[k] + sizes[k + 1], words[w].count);
      if (!CHECK(pair_count < MOST - 64)) goto done;
    }
    for (size_t i = 1; i < pair_count; i++) {
      const seen *a = &pairs[i], *b = &pairs[best];
      if (a->count > b->count ||
          (a->count == b->count &&
           (a->bytes < b->bytes ||
            (a->bytes == b->bytes && memcmp(a->text, b->text, a->bytes) < 0))))
        best = i;
    }
    const char *piece = milo_tok_piece(t, (uint32_t)join, &bytes);
    if (!CHECK(bytes == pairs[best].bytes && memcmp(piece, pairs[best].text, bytes) == 0)) {
      printf("# join %zu is <%.*s>, expected <%.*s>\n", join, (int)bytes, piece,
             (int)pairs[best].bytes, pairs[best].text);
      goto done;
    }
  }
done:
  free(words);
  free(pairs);
}

static void test_training_takes_the_most_frequent_join(void) {
  size_t bytes;
  char *text = make_words(3000, &bytes);
  milo_tokenizer *t = train(text, bytes, 380);
  if (t) check_joins(t, text, bytes);
  milo_tok_destroy(t);
  free(text);
}

static void test_training_repeats_itself(void) {
  milo_tokenizer *a = train_mixed(), *b = train_mixed();
  if (!a || !b) return;
  CHECK(milo_tok_vocab(a) == VOCAB && milo_tok_vocab(b) == VOCAB);
  for (uint32_t id = 0; id < VOCAB; id++) {
    size_t a_bytes, b_bytes;
    const char *piece = milo_tok_piece(a, id, &a_bytes);
    CHECK(memcmp(piece, milo_tok_piece(b, id, &b_bytes), a_bytes) == 0 && a_bytes == b_bytes);
    if (id >= 3 && id < FIRST_LEARNT) {
      char name[8];
      snprintf(name, sizeof name, "<0x%02X>", id - 3);
      CHECK(a_bytes == 6 && memcmp(piece, name, 6) == 0);
    }
    // No piece reaches over a word's end.
    for (size_t i = 1; id >= FIRST_LEARNT && i < a_bytes; i++)
      CHECK(piece[i] != ' ' && !(piece[i] >= '0' && piece[i] <= '9'));
  }
  size_t none;
  CHECK(milo_tok_piece(a, VOCAB, &none) == NULL && none == 0);
  milo_tok_destroy(a);
  milo_tok_destroy(b);
}

static void test_training_refuses(void) {
  milo_diag diag = {0};
  milo_tokenizer *t;
  CHECK(milo_tok_train(story, sizeof story - 1, 299, NULL, &diag, &t) == MILO_ERR_INVALID && !t);
  CHECK(strstr(milo_diag_text(&diag), "299 tokens cannot be trained") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_tok_train("a b", 3, 300, NULL, &diag, &t) == MILO_ERR_INVALID && !t);
  CHECK(strstr(milo_diag_text(&diag), "too small for a vocabulary of 300 tokens") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_tok_train("", 0, 300, NULL, &diag, &t) == MILO_ERR_INVALID && !t);
  milo_diag_deinit(&diag);
}

// ---- files ------------------------------------------------------------------------------------

// A path in the system's folder for temporary files; the file does not exist yet.
static const char *temporary_path(void) {
  static char path[512];
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/milo_test_tokenizer_%ld", folder ? folder : "/tmp",
           (long)getpid());
  unlink(path);
  return path;
}

static void test_save_and_load(void) {
  milo_tokenizer *a = train_mixed(), *b = NULL;
  const char *path = temporary_path();
  milo_diag diag = {0};
  if (!a) return;
  CHECK(milo_tok_load(path, 0, &diag, &b) == MILO_ERR_NOT_FOUND && !b && diag.errors == 1);
  milo_diag_clear(&diag);
  CHECK(milo_tok_save(a, path, &diag) == MILO_OK);
  CHECK(milo_tok_load(path, VOCAB - 1, &diag, &b) == MILO_ERR_INVALID && !b);
  CHECK(strstr(milo_diag_text(&diag), "holds 420 tokens, expected 419") != NULL);
  milo_diag_clear(&diag);
  if (!CHECK(milo_tok_load(path, VOCAB, &diag, &b) == MILO_OK)) return;
  for (uint32_t id = 0; id < VOCAB; id++) {
    size_t a_bytes, b_bytes;
    const char *piece = milo_tok_piece(a, id, &a_bytes);
    CHECK(memcmp(piece, milo_tok_piece(b, id, &b_bytes), a_bytes) == 0 && a_bytes == b_bytes);
  }
  CHECK(encodes_plainly(b, story, sizeof story - 1));  // scores came back too
  CHECK(milo_tok_save(a, "/nonexistent/folder/t.bin", &diag) != MILO_OK && diag.errors == 1);
  unlink(path);
  milo_diag_deinit(&diag);
  milo_tok_destroy(a);
  milo_tok_destroy(b);
}

// A file of few tokens: header 5, then {score, bytes, piece}.
typedef struct file_bytes {
  unsigned char data[128];
  size_t count;
} file_bytes;

static void put_u32(file_bytes *f, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; i++) f->data[at + i] = (unsigned char)(value >> (8 * i));
}

static file_bytes small_file(void) {
  static const char *const pieces[] = {"<unk>", "<s>", "</s>", "a", "b", "ab"};
  file_bytes f = {.count = 4};
  put_u32(&f, 0, 5);
  for (size_t i = 0; i < COUNT(pieces); i++) {
    put_u32(&f, f.count + 4, (uint32_t)strlen(pieces[i]));
    memcpy(f.data + f.count + 8, pieces[i], strlen(pieces[i]));
    f.count += 8 + strlen(pieces[i]);
  }
  return f;
}

static void test_bad_tokenizers(void) {
  // Token 3 ("a") is at byte 40, token 4 ("b") at 49, token 5 ("ab") at 58; 68 bytes in all.
  static const struct {
    size_t at;
    uint32_t value;
    const char *message;
  } cases[] = {
      {0, 0, "longest token is given as 0 bytes"},
      {0, UINT32_MAX, "longest token is given as -1 bytes"},
      {0, 0x7FFFFFFF, "longest token is given as 2147483647 bytes"},
      {0, 4, "token 0 is 5 bytes long, expected 1 to 4"},
      {40, 0x7FC00000, "the score of token 3 is not finite"},
      {40, 0x7F800000, "the score of token 3 is not finite"},
      {44, UINT32_MAX, "token 3 is -1 bytes long"},
      {44, 0, "token 3 is 0 bytes long"},
      {44, 6, "token 3 is 6 bytes long, expected 1 to 5"},
      {62, 3, "cut short in token 5, at byte 66"},
      {57, 'a', "token 4 repeats token 3"},
  };
  milo_tokenizer *t;
  file_bytes good = small_file();
  if (!CHECK(good.count == 68)) return;
  if (CHECK(milo_tok_parse(good.data, good.count, "f", 6, NULL, &t) == MILO_OK))
    milo_tok_destroy(t);
  for (size_t i = 0; i < COUNT(cases); i++) {
    file_bytes bad = good;
    milo_diag diag = {0};
    if (cases[i].at == 57)
      bad.data[57] = (unsigned char)cases[i].value;
    else
      put_u32(&bad, cases[i].at, cases[i].value);
    CHECK(milo_tok_parse(bad.data, bad.count, "f", 0, &diag, &t) == MILO_ERR_INVALID && !t);
    CHECK(diag.errors == 1);
    if (!CHECK(strstr(milo_diag_text(&diag), cases[i].message) != NULL))
      printf("# expected <%s>, got <%s>\n", cases[i].message, milo_diag_text(&diag));
    milo_diag_deinit(&diag);
  }
  for (size_t bytes = 0; bytes < good.count; bytes++) {
    milo_diag diag = {0};
    CHECK(milo_tok_parse(good.data, bytes, "f", 6, &diag, &t) == MILO_ERR_INVALID && !t);
    CHECK(diag.errors == 1);
    milo_diag_deinit(&diag);
  }
}

// Bytes without tokens of their own become token 0.
static void test_vocabulary_without_bytes(void) {
  const file_bytes f = small_file();
  milo_tokenizer *t;
  uint32_t *ids;
  size_t count;
  if (!CHECK(milo_tok_parse(f.data, f.count, "f", 0, NULL, &t) == MILO_OK)) return;
  CHECK(milo_tok_encode(t, "abax", 4, true, NULL, &ids, &count) == MILO_OK);
  const uint32_t wanted[] = {1, 0, 5, 3, 0};
  CHECK(count == 5 && memcmp(ids, wanted, sizeof wanted) == 0);
  free(ids);
  milo_tok_destroy(t);
}

// ---- documents and streams -------------------------------------------------------------------

static void check_documents(const char *text, const char *wanted) {
  char got[256] = "";
  size_t at = 0, bytes;
  const char *document;
  while (milo_tok_next_document(text, strlen(text), &at, &document, &bytes))
    snprintf(got + strlen(got), sizeof got - strlen(got), "[%.*s]", (int)bytes, document);
  CHECK_STR(got, wanted);
}

static void test_documents(void) {
  check_documents("", "");
  check_documents("one\n\ntwo\n", "[one\n\ntwo\n]");
  check_documents("one\n<|endoftext|>\n two\nlines \n<|endoftext|>\n", "[one][two\nlines]");
  check_documents("one.<|endoftext|>two.<|endoftext|>", "[one.][two.]");
  check_documents("<|endoftext|><|endoftext|> \n<|endoftext|>x", "[x]");
  check_documents("a<|endoftext|", "[a<|endoftext|]");
  milo_tokenizer *t = train_mixed();
  if (!t) return;
  milo_diag diag = {0};
  uint32_t *ids, *one, *two;
  size_t count, one_count, two_count;
  static const char text[] = "The sea\n<|endoftext|>\nThe boat\n<|endoftext|>\n";
  CHECK(milo_tok_encode_documents(t, text, sizeof text - 1, NULL, &diag, &ids, &count) == MILO_OK);
  CHECK(milo_tok_encode(t, "The sea", 7, true, &diag, &one, &one_count) == MILO_OK);
  CHECK(milo_tok_encode(t, "The boat", 8, true, &diag, &two, &two_count) == MILO_OK);
  CHECK(count == one_count + two_count && memcmp(ids, one, one_count * sizeof *ids) == 0 &&
        memcmp(ids + one_count, two, two_count * sizeof *ids) == 0);
  free(ids);
  free(one);
  free(two);
  CHECK(milo_tok_encode_documents(t, "<|endoftext|>", 13, NULL, &diag, &ids, &count) ==
        MILO_ERR_INVALID);
  CHECK(!ids && count == 0 && diag.errors == 1);
  milo_diag_deinit(&diag);
  milo_tok_destroy(t);
}

static void check_bad_stream(const char *path, const void *data, size_t bytes, size_t vocab,
                             const char *message) {
  milo_diag diag = {0};
  uint32_t *ids;
  size_t count;
  CHECK(milo_file_write(path, data, bytes, &diag) == MILO_OK);
  CHECK(milo_stream_load(path, vocab, &diag, &ids, &count) == MILO_ERR_INVALID);
  CHECK(!ids && count == 0 && diag.errors == 1);
  if (!CHECK(strstr(milo_diag_text(&diag), message) != NULL))
    printf("# expected <%s>, got <%s>\n", message, milo_diag_text(&diag));
  milo_diag_deinit(&diag);
}

static void test_streams(void) {
  const char *path = temporary_path();
  static const uint32_t narrow[] = {0, 1, 511, 258, 65535}, wide[] = {65536, 0, 151935, 7};
  static const unsigned char narrow_bytes[] = {0, 0, 1, 0, 255, 1, 2, 1, 255, 255};
  milo_diag diag = {0};
  uint32_t *ids;
  size_t count, bytes;
  void *data;
  CHECK(milo_stream_load(path, 512, &diag, &ids, &count) == MILO_ERR_NOT_FOUND && !ids);
  CHECK(milo_stream_save(path, 65536, narrow, 5, NULL) == MILO_OK);
  if (CHECK(milo_file_read(path, 0, NULL, &data, &bytes) == MILO_OK)) {
    CHECK(bytes == sizeof narrow_bytes && memcmp(data, narrow_bytes, bytes) == 0);
    free(data);
  }
  if (CHECK(milo_stream_load(path, 65536, NULL, &ids, &count) == MILO_OK)) {
    CHECK(count == 5 && memcmp(ids, narrow, sizeof narrow) == 0);
    free(ids);
  }
  CHECK(milo_stream_save(path, 151936, wide, 4, NULL) == MILO_OK);
  if (CHECK(milo_stream_load(path, 151936, NULL, &ids, &count) == MILO_OK)) {
    CHECK(count == 4 && memcmp(ids, wide, sizeof wide) == 0);
    free(ids);
  }
  milo_diag_clear(&diag);
  CHECK(milo_stream_save(path, 512, narrow, 5, &diag) == MILO_ERR_INVALID && diag.errors == 1);
  CHECK(strstr(milo_diag_text(&diag), "token 65535 at position 4") != NULL);
  milo_diag_deinit(&diag);
  check_bad_stream(path, "", 0, 512, "holds no tokens");
  check_bad_stream(path, narrow_bytes, 5, 512, "5 bytes are no whole number of 2-byte tokens");
  check_bad_stream(path, narrow_bytes, 6, 70000, "6 bytes are no whole number of 4-byte tokens");
  check_bad_stream(path, narrow_bytes, 10, 512, "token 65535 at byte 8");
  check_bad_stream(path, narrow_bytes, 8, 70000, "token 16908799 at byte 4");
  unlink(path);
}

// The name of a file, where it says how wide ids are, counts more than the vocabulary.
static void test_streams_by_name(void) {
  static const uint32_t ids[] = {258, 7, 65535};
  const struct {
    const char *ending;
    size_t vocab, bytes;  // 0: refused
  } cases[] = {{".u16", 512 << 7, 6},  {".u32", 512 << 7, 12},  {".tokens", 512 << 7, 6},
               {".u16", 512 << 10, 0}, {".u32", 512 << 10, 12}, {".tokens", 512 << 10, 12}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[300];
    uint32_t *back;
    size_t count, bytes;
    void *data;
    milo_diag diag = {0};
    snprintf(path, sizeof path, "%s%s", temporary_path(), cases[i].ending);
    const milo_status status = milo_stream_save(path, cases[i].vocab, ids, 3, &diag);
    if (cases[i].bytes == 0) {
      CHECK(status == MILO_ERR_INVALID && strstr(milo_diag_text(&diag), "16 bits do not hold"));
      CHECK(!milo_file_exists(path));
    } else if (CHECK(status == MILO_OK &&
                     milo_file_read(path, 0, NULL, &data, &bytes) == MILO_OK)) {
      CHECK(bytes == cases[i].bytes);
      free(data);
      // Read for any vocabulary they are the same tokens.
      for (size_t vocab = 65536; vocab <= 151936; vocab += 86400) {
        if (strcmp(cases[i].ending, ".tokens") == 0 && (vocab > 65536) != (cases[i].vocab > 65536))
          continue;
        if (!CHECK(milo_stream_load(path, vocab, &diag, &back, &count) == MILO_OK)) continue;
        CHECK(count == 3 && memcmp(back, ids, sizeof ids) == 0);
        free(back);
      }
    }
    milo_diag_deinit(&diag);
    unlink(path);
  }
}

typedef struct heard {
  size_t calls, limit, kinds;
  const char *what;
  uint64_t done;
  bool falls, past_the_end;
} heard;

static bool listen(void *user, const milo_progress *p) {
  heard *h = user;
  if (h->what == NULL || strcmp(h->what, p->what) != 0) {
    h->what = p->what;
    h->done = 0;
    h->kinds++;
  }
  h->falls |= p->done < h->done;
  h->past_the_end |= p->done > p->total;
  h->done = p->done;
  return ++h->calls <= h->limit;
}

// Learning and encoding say how far they are, and stop wherever they are told to.
static void test_progress_and_stopping(void) {
  enum { BYTES = 3 << 20 };
  char *text = malloc(BYTES);
  uint32_t state = 7;
  for (size_t i = 0; i < BYTES; i++) {
    state = state * 1664525u + 1013904223u;
    text[i] = (state >> 24) % 6 ? (char)('a' + (state >> 16) % 26) : ' ';
  }
  memset(text + (1 << 20), 'a', 1 << 20);  // one stretch without a place to cut
  milo_diag diag = {0};
  milo_tokenizer *t = NULL, *none = NULL;
  uint32_t *ids = NULL;
  size_t count;
  heard h = {.limit = SIZE_MAX};
  milo_tokenizer_options options = MILO_OPTIONS_INIT(milo_tokenizer_options);
  options.on_progress = listen;
  options.user = &h;
  if (!CHECK(milo_tok_train(text, BYTES, 400, &options, &diag, &t) == MILO_OK)) return;
  CHECK(h.kinds == 4 && h.calls > 100 && !h.falls && !h.past_the_end);
  const size_t calls = h.calls;
  for (size_t limit = 0; limit < calls; limit += 1 + limit / 2) {
    h = (heard){.limit = limit};
    CHECK(milo_tok_train(text, BYTES, 400, &options, &diag, &none) == MILO_ERR_INTERRUPTED);
    CHECK(!none && h.calls == limit + 1);
  }
  CHECK(strstr(milo_diag_text(&diag), "learning the tokenizer was stopped") != NULL);
  h = (heard){.limit = SIZE_MAX};
  CHECK(milo_tok_encode_documents(t, text, BYTES, &options, &diag, &ids, &count) == MILO_OK);
  free(ids);
  CHECK(h.kinds == 1 && h.calls > 30 && !h.falls && !h.past_the_end);
  const size_t encoded = h.calls;
  for (size_t limit = 0; limit < encoded; limit += 1 + limit / 2) {
    h = (heard){.limit = limit};
    CHECK(milo_tok_encode_documents(t, text, BYTES, &options, &diag, &ids, &count) ==
          MILO_ERR_INTERRUPTED);
    CHECK(!ids && count == 0 && h.calls == limit + 1);
  }
  milo_diag_deinit(&diag);
  milo_tok_destroy(t);
  free(text);
}

int main(void) {
  RUN(test_encode_is_the_plain_one);
  RUN(test_decode_gives_the_text_back);
  RUN(test_control_tokens_spell_nothing);
  RUN(test_long_runs_are_quick);
  RUN(test_training_takes_the_most_frequent_join);
  RUN(test_training_repeats_itself);
  RUN(test_training_refuses);
  RUN(test_save_and_load);
  RUN(test_bad_tokenizers);
  RUN(test_vocabulary_without_bytes);
  RUN(test_documents);
  RUN(test_streams);
  RUN(test_streams_by_name);
  RUN(test_progress_and_stopping);
  return tap_done();
}
