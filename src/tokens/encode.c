// SPDX-License-Identifier: MIT
// Text to ids. The text is cut wherever no piece of the vocabulary could span (after most words),
// which changes nothing in the result; within each stretch the best join is taken from a heap.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "tokens/tokenizer.h"
#include "tokens/vocab.h"

// A stretch's symbols are a list linked by index: joining extends the left one over the right.
typedef struct symbol {
  size_t at, bytes;  // in the text; bytes 0: joined to the left
  size_t previous, next;
} symbol;

#define END SIZE_MAX

// A possible join of two neighbours. It is out of date when their sizes no longer add up.
typedef struct join {
  float score;
  size_t left, right;  // symbols
  size_t bytes;        // of both
} join;

// How much is done between two reports.
enum { REPORT_BYTES = 1 << 17, REPORT_JOINS = 1 << 15 };

typedef struct encoder {
  const milo_tokenizer *t;
  const milo_tokenizer_options *options;
  size_t begin, done, total;  // of the text, in bytes: the present document's, reported, in all
  bool stopped;
  symbol *symbols;
  join *heap;
  uint32_t *ids;
  size_t symbol_count, symbol_capacity, heap_count, heap_capacity, id_count, id_capacity;
} encoder;

static void encoder_deinit(encoder *e) {
  free(e->symbols);
  free(e->heap);
  free(e->ids);
}

// Makes room for one more item.
static bool reserve(void **items, size_t count, size_t *capacity, size_t item_bytes) {
  if (count < *capacity) return true;
  size_t wanted, bytes;
  if (!milo_size_mul(*capacity ? *capacity : 32, 2, &wanted)) return false;
  if (!milo_size_mul(wanted, item_bytes, &bytes)) return false;
  void *grown = realloc(*items, bytes);
  if (!grown) return false;
  *items = grown;
  *capacity = wanted;
  return true;
}

static bool push_id(encoder *e, uint32_t id) {
  void *items = e->ids;
  const bool ok = reserve(&items, e->id_count, &e->id_capacity, sizeof *e->ids);
  e->ids = items;
  if (ok) e->ids[e->id_count++] = id;
  return ok;
}

static bool push_symbol(encoder *e, size_t at, size_t bytes) {
  void *items = e->symbols;
  const bool ok = reserve(&items, e->symbol_count, &e->symbol_capacity, sizeof *e->symbols);
  e->symbols = items;
  if (!ok) return false;
  const size_t i = e->symbol_count++;
  e->symbols[i] = (symbol){at, bytes, i ? i - 1 : END, END};
  if (i) e->symbols[i - 1].next = i;
  return true;
}

static bool comes_before(const join *a, const join *b) {
  return a->score > b->score || (a->score == b->score && a->left < b->left);
}

static bool heap_push(encoder *e, join item) {
  void *items = e->heap;
  const bool ok = reserve(&items, e->heap_count, &e->heap_capacity, sizeof *e->heap);
  e->heap = items;
  if (!ok) return false;
  size_t i = e->heap_count++;
  for (; i && comes_before(&item, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
    e->heap[i] = e->heap[(i - 1) / 2];
  e->heap[i] = item;
  return true;
}

static join heap_pop(encoder *e) {
  const join top = e->heap[0], last = e->heap[--e->heap_count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < e->heap_count; i = child) {
    if (child + 1 < e->heap_count && comes_before(&e->heap[child + 1], &e->heap[child])) child++;
    if (!comes_before(&e->heap[child], &last)) break;
    e->heap[i] = e->heap[child];
  }
  e->heap[i] = last;
  return top;
}

static bool offer(encoder *e, const char *text, size_t left, size_t right) {
  if (left == END || right == END) return true;
  const symbol *a = &e->symbols[left];
  const size_t bytes = a->bytes + e->symbols[right].bytes;
  const uint32_t id = milo_vocab_find(e->t, text + a->at, bytes);
  if (id == MILO_VOCAB_NONE) return true;
  return heap_push(e, (join){e->t->tokens[id].score, left, right, bytes});
}

static bool goes_on(encoder *e) {
  if (!e->stopped) e->stopped = !milo_tok_goes_on(e->options, "bytes encoded", e->done, e->total);
  return !e->stopped;
}

static bool join_all(encoder *e, const char *text) {
  e->heap_count = 0;
  for (size_t i = 0; i + 1 < e->symbol_count; i++)
    if (!offer(e, text, i, i + 1)) return false;
  for (size_t joins = 1; e->heap_count; joins++) {
    if (joins % REPORT_JOINS == 0 && !goes_on(e)) return false;
    const join best = heap_pop(e);
    symbol *left = &e->symbols[best.left], *right = &e->symbols[best.right];
    if (!left->bytes || !right->bytes || left->bytes + right->bytes != best.bytes) continue;
    left->bytes = best.bytes;
    left->next = right->next;
    right->bytes = 0;
    if (left->next != END) e->symbols[left->next].previous = best.left;
    if (!offer(e, text, left->previous, best.left)) return false;
    if (!offer(e, text, best.left, left->next)) return false;
  }
  return true;
}

static bool emit(encoder *e, const char *text) {
  for (size_t i = 0; i != END; i = e->symbols[i].next) {
    const char *piece = text + e->symbols[i].at;
    const uint32_t id = milo_vocab_find(e->t, piece, e->symbols[i].bytes);
    if (id != MILO_VOCAB_NONE) {
      if (!push_id(e, id)) return false;
      continue;
    }
    for (size_t k = 0; k < e->symbols[i].bytes; k++)
      if (!push_id(e, e->t->byte_ids[(unsigned char)piece[k]])) return false;
  }
  return true;
}

// text has the space in front already.
static bool encode_prefixed(encoder *e, const char *text, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    e->symbol_count = 0;
    do {
      const size_t step = milo_vocab_code_point(text + at, bytes - at);
      if (!push_symbol(e, at, step)) return false;
      at += step;
    } while (at < bytes && milo_vocab_joins(e->t, text[at - 1], text[at]));
    if (!join_all(e, text) || !emit(e, text)) return false;
    if (e->begin + at - e->done < REPORT_BYTES) continue;
    e->done = e->begin + at;
    if (!goes_on(e)) return false;
  }
  return true;
}

static bool encode_text(encoder *e, const char *text, size_t bytes, bool bos) {
  if (bos && !push_id(e, MILO_TOK_BOS)) return false;
  if (bytes == 0) return true;
  char *prefixed = bytes < SIZE_MAX ? malloc(bytes + 1) : NULL;
  if (!prefixed) return false;
  prefixed[0] = ' ';
  memcpy(prefixed + 1, text, bytes);
  const bool ok = encode_prefixed(e, prefixed, bytes + 1);
  free(prefixed);
  return ok;
}

// Gives the ids away or, if ok is false, reports that memory ran out.
static milo_status finish(encoder *e, bool ok, size_t text_bytes, milo_diag *diag,
                          uint32_t **out_ids, size_t *out_count) {
  void *items = e->ids;
  if (ok && !e->ids) ok = reserve(&items, 0, &e->id_capacity, sizeof *e->ids);
  e->ids = items;
  if (ok) {
    *out_ids = e->ids;
    *out_count = e->id_count;
    e->ids = NULL;
  }
  encoder_deinit(e);
  if (ok) return MILO_OK;
  if (e->stopped) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INTERRUPTED, "encoding was stopped");
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to encode %zu bytes of text",
                   text_bytes);
}

milo_status milo_tok_encode(const milo_tokenizer *t, const char *text, size_t bytes, bool bos,
                            milo_diag *diag, uint32_t **out_ids, size_t *out_count) {
  encoder e = {.t = t};
  *out_ids = NULL;
  *out_count = 0;
  const bool ok = encode_text(&e, text, bytes, bos);
  return finish(&e, ok, bytes, diag, out_ids, out_count);
}

static const char *find_separator(const char *text, size_t bytes) {
  const size_t length = sizeof MILO_TOK_SEPARATOR - 1;
  for (const char *end = text + bytes; (size_t)(end - text) >= length; text++) {
    text = memchr(text, MILO_TOK_SEPARATOR[0], (size_t)(end - text) - length + 1);
    if (!text) return NULL;
    if (memcmp(text, MILO_TOK_SEPARATOR, length) == 0) return text;
  }
  return NULL;
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

bool milo_tok_next_document(const char *text, size_t bytes, size_t *at, const char **out_document,
                            size_t *out_bytes) {
  while (*at < bytes) {
    const size_t start = *at;
    const char *separator = find_separator(text + start, bytes - start);
    if (!separator && start == 0) {
      *at = bytes;
      *out_document = text;
      *out_bytes = bytes;
      return true;
    }
    const char *from = text + start, *to = separator ? separator : text + bytes;
    *at = separator ? (size_t)(separator - text) + sizeof MILO_TOK_SEPARATOR - 1 : bytes;
    while (from < to && is_space(*from)) from++;
    while (from < to && is_space(to[-1])) to--;
    if (from == to) continue;
    *out_document = from;
    *out_bytes = (size_t)(to - from);
    return true;
  }
  return false;
}

milo_status milo_tok_encode_documents(const milo_tokenizer *t, const char *text, size_t bytes,
                                      const milo_tokenizer_options *options, milo_diag *diag,
                                      uint32_t **out_ids, size_t *out_count) {
  encoder e = {.t = t, .options = options, .total = bytes};
  const char *document;
  size_t at = 0, document_bytes;
  bool ok = true;
  *out_ids = NULL;
  *out_count = 0;
  while (ok && milo_tok_next_document(text, bytes, &at, &document, &document_bytes)) {
    e.begin = (size_t)(document - text);
    ok = encode_text(&e, document, document_bytes, true);
  }
  if (ok && e.id_count == 0) {
    encoder_deinit(&e);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "the text is empty");
  }
  return finish(&e, ok, bytes, diag, out_ids, out_count);
}
