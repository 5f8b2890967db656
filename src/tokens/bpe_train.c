// SPDX-License-Identifier: MIT
// Learns a byte-pair vocabulary. What is counted is not pairs of symbols but what they spell,
// since encoding joins any two neighbours that spell a piece, however the piece was first made.
// A join touches only the words that hold it, so the counts are kept up to date word by word.
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/number.h"
#include "tokens/tokenizer.h"
#include "tokens/vocab.h"

enum {
  MAX_PIECE_BYTES = 48,  // longer joins are not learnt
  MAX_WORD_BYTES = 192,  // longer runs are cut: keeps the work on a word bounded
  FIRST_LEARNT = MILO_TOK_CONTROLS + 256,
};

typedef struct span {
  const char *text;
  size_t bytes;
} span;

// A symbol of a word: its bytes; unknown: a character that is not in the vocabulary.
typedef struct part {
  uint8_t bytes;
  bool known;
} part;

typedef struct word {
  span span;
  uint64_t count;
  part *parts;
  size_t part_count;
  size_t seen;  // number of the last join that looked at this word
} word;

// A text that two neighbours spell somewhere, or did.
typedef struct candidate {
  span span;
  uint64_t count;   // occurrences now
  uint64_t queued;  // count in the heap's valid entry, 0: none
  size_t rank;      // order in which it became a piece, 0: not yet
  bool touched;
  size_t *words;  // where it occurred once; may repeat
  size_t word_count, word_capacity;
} candidate;

typedef struct queued {
  uint64_t count;
  size_t candidate;
} queued;

// Open addressing from text to an index.
typedef struct index_table {
  size_t *slots;  // index + 1, 0: empty
  size_t size;    // a power of two
} index_table;

typedef struct trainer {
  const milo_tokenizer_options *options;
  bool stopped;
  milo_arena arena;
  word *words;
  candidate *candidates;
  queued *heap;
  size_t *touched;
  size_t word_count, word_capacity, candidate_count, candidate_capacity, heap_count, heap_capacity,
      touched_count, touched_capacity;
  index_table word_table, candidate_table;
  milo_vocab_token *tokens;
  size_t vocab, token_count, token_capacity, joins;
} trainer;

// How much is done between two reports.
enum { REPORT_BYTES = 1 << 19, REPORT_WORDS = 1 << 12 };

static bool goes_on(trainer *t, const char *what, uint64_t done, uint64_t total) {
  if (!t->stopped) t->stopped = !milo_tok_goes_on(t->options, what, done, total);
  return !t->stopped;
}

// ---- words ---------------------------------------------------------------------------------

typedef enum char_class { LETTER, PUNCTUATION, LINE_FEED, SPACE, SINGLE } char_class;

static char_class classify(const char *text, size_t step) {
  const unsigned char c = (unsigned char)text[0];
  if (step > 1 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return LETTER;
  if (c == ' ') return SPACE;
  if (c == '\n') return LINE_FEED;
  const bool digit = c >= '0' && c <= '9';
  return c > ' ' && c < 0x7F && !digit ? PUNCTUATION : SINGLE;
}

// Bytes of the run of one class at text, at most MAX_WORD_BYTES.
static size_t run_bytes(const char *text, size_t left, char_class class) {
  size_t at = 0;
  while (at < left) {
    const size_t step = milo_vocab_code_point(text + at, left - at);
    if (classify(text + at, step) != class || at + step > MAX_WORD_BYTES) break;
    at += step;
  }
  return at;
}

static size_t word_bytes(const char *text, size_t left) {
  const size_t step = milo_vocab_code_point(text, left);
  const char_class class = classify(text, step);
  if (class == SINGLE) return step;
  if (class != SPACE) return run_bytes(text, left, class);
  size_t run = run_bytes(text + 1, left - 1, LETTER);
  if (!run) run = run_bytes(text + 1, left - 1, PUNCTUATION);
  return 1 + run;
}

static const span *item_span(const void *items, size_t item_bytes, size_t i) {
  return (const span *)((const char *)items + i * item_bytes);
}

// The slot of key, or the empty one where it belongs. Every item begins with its span.
static size_t *table_slot(const index_table *table, const void *items, size_t item_bytes,
                          span key) {
  size_t at = milo_vocab_hash(key.text, key.bytes) & (table->size - 1);
  for (;; at = (at + 1) & (table->size - 1)) {
    if (!table->slots[at]) return &table->slots[at];
    const span *other = item_span(items, item_bytes, table->slots[at] - 1);
    if (other->bytes == key.bytes && memcmp(other->text, key.text, key.bytes) == 0)
      return &table->slots[at];
  }
}

// Makes room for one more of count items.
static void table_grow(milo_arena *arena, index_table *table, const void *items, size_t item_bytes,
                       size_t count) {
  if (2 * (count + 1) <= table->size) return;
  table->size = table->size ? 4 * table->size : 1024;
  table->slots = MILO_NEW_ARRAY(arena, size_t, table->size);
  for (size_t i = 0; i < count; i++)
    *table_slot(table, items, item_bytes, *item_span(items, item_bytes, i)) = i + 1;
}

static void count_word(trainer *t, span key) {
  table_grow(&t->arena, &t->word_table, t->words, sizeof *t->words, t->word_count);
  size_t *slot = table_slot(&t->word_table, t->words, sizeof *t->words, key);
  if (!*slot) {
    const word w = {.span = {milo_arena_strndup(&t->arena, key.text, key.bytes), key.bytes}};
    MILO_PUSH(&t->arena, t->words, t->word_count, t->word_capacity, w);
    *slot = t->word_count;
  }
  t->words[*slot - 1].count++;
}

// False: no memory. Words of all documents, each with the space that encoding puts in front.
static bool count_words(trainer *t, const char *text, size_t bytes) {
  const char *document;
  size_t at = 0, document_bytes, reported = 0;
  char *prefixed = bytes < SIZE_MAX ? malloc(bytes + 1) : NULL;
  if (!prefixed) return false;
  prefixed[0] = ' ';
  while (!t->stopped && milo_tok_next_document(text, bytes, &at, &document, &document_bytes)) {
    const size_t begin = (size_t)(document - text);
    memcpy(prefixed + 1, document, document_bytes);
    for (size_t i = 0, step; i <= document_bytes; i += step) {
      if (begin + i - reported >= REPORT_BYTES) {
        reported = begin + i;
        if (!goes_on(t, "bytes read", reported, bytes)) break;
      }
      step = word_bytes(prefixed + i, document_bytes + 1 - i);
      count_word(t, (span){prefixed + i, step});
    }
  }
  free(prefixed);
  return true;
}

// ---- characters ------------------------------------------------------------------------------

typedef struct character {
  span span;
  uint64_t count;
} character;

static int compare_spans(span a, span b) {
  if (a.bytes != b.bytes) return a.bytes < b.bytes ? -1 : 1;
  return memcmp(a.text, b.text, a.bytes);
}

static int more_frequent(const void *a, const void *b) {
  const character *x = a, *y = b;
  if (x->count != y->count) return x->count > y->count ? -1 : 1;
  return compare_spans(x->span, y->span);
}

static void add_token(trainer *t, span piece) {
  const float score = t->token_count < FIRST_LEARNT ? 0 : -(float)(t->token_count - FIRST_LEARNT);
  const milo_vocab_token token = {
      .piece = piece.text, .bytes = (uint32_t)piece.bytes, .score = score};
  MILO_PUSH(&t->arena, t->tokens, t->token_count, t->token_capacity, token);
}

// A character can be a token if it is valid UTF-8 and not NUL, which C strings cannot hold.
static bool is_character(span c) {
  return c.bytes > 1 || ((unsigned char)c.text[0] < 0x80 && c.text[0] != 0);
}

static void add_characters(trainer *t, size_t vocab) {
  character *chars = NULL;
  size_t count = 0, capacity = 0;
  uint64_t total = 0, covered = 0;
  index_table table = {0};
  for (size_t i = 0; i < t->word_count; i++) {
    const word *w = &t->words[i];
    for (size_t at = 0, step; at < w->span.bytes; at += step) {
      step = milo_vocab_code_point(w->span.text + at, w->span.bytes - at);
      const span key = {w->span.text + at, step};
      if (!is_character(key)) continue;
      table_grow(&t->arena, &table, chars, sizeof *chars, count);
      size_t *slot = table_slot(&table, chars, sizeof *chars, key);
      if (!*slot) {
        const character c = {key, 0};
        MILO_PUSH(&t->arena, chars, count, capacity, c);
        *slot = count;
      }
      chars[*slot - 1].count += w->count;
      total += w->count;
    }
  }
  if (count) qsort(chars, count, sizeof *chars, more_frequent);
  const size_t most = (vocab - FIRST_LEARNT) / 2;
  for (size_t i = 0; i < count && i < most; i++) {
    // Rare characters are left to the byte tokens once the rest makes up 99.95 %.
    if ((double)covered >= 0.9995 * (double)total) break;
    add_token(t, chars[i].span);
    covered += chars[i].count;
  }
}

static void split_words(trainer *t) {
  index_table table = {0};
  const milo_vocab_token *first = t->tokens + FIRST_LEARNT;
  const size_t count = t->token_count - FIRST_LEARNT;
  span *known = MILO_NEW_ARRAY(&t->arena, span, count + 1);
  table_grow(&t->arena, &table, known, sizeof *known, 0);
  for (size_t i = 0; i < count; i++) {
    known[i] = (span){first[i].piece, first[i].bytes};
    table_grow(&t->arena, &table, known, sizeof *known, i);
    *table_slot(&table, known, sizeof *known, known[i]) = i + 1;
  }
  for (size_t i = 0; i < t->word_count; i++) {
    if (i % REPORT_WORDS == 0 && !goes_on(t, "words split", i, t->word_count)) return;
    word *w = &t->words[i];
    w->parts = MILO_NEW_ARRAY(&t->arena, part, w->span.bytes);
    for (size_t at = 0, step; at < w->span.bytes; at += step) {
      step = milo_vocab_code_point(w->span.text + at, w->span.bytes - at);
      const span key = {w->span.text + at, step};
      const bool is_known = *table_slot(&table, known, sizeof *known, key) != 0;
      w->parts[w->part_count++] = (part){(uint8_t)step, is_known};
    }
  }
}

// ---- candidates --------------------------------------------------------------------------------

static bool comes_before(const trainer *t, const queued *a, const queued *b) {
  if (a->count != b->count) return a->count > b->count;
  const candidate *x = &t->candidates[a->candidate], *y = &t->candidates[b->candidate];
  return compare_spans(x->span, y->span) < 0;
}

static void heap_push(trainer *t, queued item) {
  MILO_PUSH(&t->arena, t->heap, t->heap_count, t->heap_capacity, item);
  size_t i = t->heap_count - 1;
  for (; i && comes_before(t, &item, &t->heap[(i - 1) / 2]); i = (i - 1) / 2)
    t->heap[i] = t->heap[(i - 1) / 2];
  t->heap[i] = item;
}

static queued heap_pop(trainer *t) {
  const queued top = t->heap[0], last = t->heap[--t->heap_count];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < t->heap_count; i = child) {
    if (child + 1 < t->heap_count && comes_before(t, &t->heap[child + 1], &t->heap[child])) child++;
    if (!comes_before(t, &t->heap[child], &last)) break;
    t->heap[i] = t->heap[child];
  }
  t->heap[i] = last;
  return top;
}

// Whether parts k and k + 1 may be joined at all; how many bytes they have together.
static bool may_join(const word *w, size_t k, size_t *out_bytes) {
  *out_bytes = (size_t)w->parts[k].bytes + w->parts[k + 1].bytes;
  return w->parts[k].known && w->parts[k + 1].known && *out_bytes <= MAX_PIECE_BYTES;
}

// Adds the word's pairs to the counts, or takes them off.
static void count_pairs(trainer *t, size_t word_index, bool add) {
  const word *w = &t->words[word_index];
  for (size_t k = 0, at = 0, bytes; k + 1 < w->part_count; at += w->parts[k++].bytes) {
    if (!may_join(w, k, &bytes)) continue;
    table_grow(&t->arena, &t->candidate_table, t->candidates, sizeof *t->candidates,
               t->candidate_count);
    const span key = {w->span.text + at, bytes};
    size_t *slot = table_slot(&t->candidate_table, t->candidates, sizeof *t->candidates, key);
    if (!*slot) {
      const candidate fresh = {.span = key};
      MILO_PUSH(&t->arena, t->candidates, t->candidate_count, t->candidate_capacity, fresh);
      *slot = t->candidate_count;
    }
    const size_t index = *slot - 1;
    candidate *c = &t->candidates[index];
    c->count = add ? c->count + w->count : c->count - w->count;
    if (!c->touched) MILO_PUSH(&t->arena, t->touched, t->touched_count, t->touched_capacity, index);
    c->touched = true;
    if (add && (c->word_count == 0 || c->words[c->word_count - 1] != word_index))
      MILO_PUSH(&t->arena, c->words, c->word_count, c->word_capacity, word_index);
  }
}

// Queues every touched candidate whose count has risen; a fallen one is corrected when it is met.
static void queue_touched(trainer *t) {
  for (size_t i = 0; i < t->touched_count; i++) {
    candidate *c = &t->candidates[t->touched[i]];
    c->touched = false;
    if (c->count <= c->queued) continue;
    c->queued = c->count;
    heap_push(t, (queued){c->count, t->touched[i]});
  }
  t->touched_count = 0;
}

// The candidate with the highest count, SIZE_MAX if none is left.
static size_t best_candidate(trainer *t) {
  while (t->heap_count) {
    const queued top = heap_pop(t);
    candidate *c = &t->candidates[top.candidate];
    if (c->rank || top.count != c->queued) continue;
    if (c->count == top.count) return top.candidate;
    c->queued = c->count;
    if (c->count) heap_push(t, (queued){c->count, top.candidate});
  }
  return SIZE_MAX;
}

// The part with which the word's next join begins (lowest rank, leftmost), SIZE_MAX if none.
static size_t next_join(const trainer *t, const word *w) {
  size_t best = SIZE_MAX, best_rank = SIZE_MAX;
  for (size_t k = 0, at = 0, bytes; k + 1 < w->part_count; at += w->parts[k++].bytes) {
    if (!may_join(w, k, &bytes)) continue;
    const size_t *slot = table_slot(&t->candidate_table, t->candidates, sizeof *t->candidates,
                                    (span){w->span.text + at, bytes});
    if (!*slot) continue;
    const size_t rank = t->candidates[*slot - 1].rank;
    if (rank && rank < best_rank) {
      best = k;
      best_rank = rank;
    }
  }
  return best;
}

// Joins all that the pieces so far allow, as encoding would.
static void rejoin(trainer *t, size_t word_index) {
  word *w = &t->words[word_index];
  size_t k = next_join(t, w);
  if (k == SIZE_MAX) return;
  count_pairs(t, word_index, false);
  for (; k != SIZE_MAX; k = next_join(t, w)) {
    w->parts[k].bytes = (uint8_t)(w->parts[k].bytes + w->parts[k + 1].bytes);
    memmove(&w->parts[k + 1], &w->parts[k + 2], (w->part_count - k - 2) * sizeof *w->parts);
    w->part_count--;
  }
  count_pairs(t, word_index, true);
}

static void learn(trainer *t, size_t index) {
  candidate *c = &t->candidates[index];
  c->rank = ++t->joins;
  add_token(t, c->span);
  // count_pairs may move the candidates, and adds to other lists only: this one is a piece now.
  const size_t *words = c->words, count = c->word_count;
  for (size_t i = 0; i < count; i++) {
    if (i % REPORT_WORDS == REPORT_WORDS - 1 &&
        !goes_on(t, "tokens learnt", t->token_count, t->vocab))
      return;
    word *w = &t->words[words[i]];
    if (w->seen == t->joins) continue;
    w->seen = t->joins;
    rejoin(t, words[i]);
  }
  queue_touched(t);
}

// ---- all of it ----------------------------------------------------------------------------------

static void add_fixed_tokens(trainer *t) {
  static const char *const controls[MILO_TOK_CONTROLS] = {"<unk>", "\n<s>\n", "\n</s>\n"};
  for (size_t i = 0; i < MILO_TOK_CONTROLS; i++)
    add_token(t, (span){controls[i], strlen(controls[i])});
  for (unsigned i = 0; i < 256; i++)
    add_token(t, (span){milo_arena_printf(&t->arena, "<0x%02X>", i), 6});
}

milo_status milo_tok_train(const char *text, size_t bytes, size_t vocab,
                           const milo_tokenizer_options *options, milo_diag *diag,
                           milo_tokenizer **out_tokenizer) {
  *out_tokenizer = NULL;
  if (vocab < MILO_TOK_MIN_TRAINED_VOCAB || vocab > MILO_TOK_MAX_VOCAB)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a vocabulary of %zu tokens cannot be trained, expected %d to %d", vocab,
                     MILO_TOK_MIN_TRAINED_VOCAB, MILO_TOK_MAX_VOCAB);
  trainer t = {.options = options, .vocab = vocab};
  milo_status status;
  if (!count_words(&t, text, bytes)) {
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to read %zu bytes of text",
                       bytes);
    goto done;
  }
  add_fixed_tokens(&t);
  add_characters(&t, vocab);
  if (!t.stopped) split_words(&t);
  for (size_t i = 0; !t.stopped && i < t.word_count; i++) {
    if (i % REPORT_WORDS == 0 && !goes_on(&t, "words counted", i, t.word_count)) break;
    count_pairs(&t, i, true);
  }
  if (!t.stopped) queue_touched(&t);
  while (t.token_count < vocab && goes_on(&t, "tokens learnt", t.token_count, vocab)) {
    const size_t best = best_candidate(&t);
    if (best == SIZE_MAX) break;
    learn(&t, best);
  }
  if (t.stopped)
    status =
        milo_fail(diag, MILO_NO_LOC, MILO_ERR_INTERRUPTED, "learning the tokenizer was stopped");
  else if (t.token_count < vocab)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "the text is too small for a vocabulary of %zu tokens: it yields %zu", vocab,
                       t.token_count);
  else
    status = milo_vocab_create(t.tokens, t.token_count, "vocabulary", diag, out_tokenizer);
done:
  milo_arena_deinit(&t.arena);
  return status;
}
