// SPDX-License-Identifier: MIT
// Placing buffers in memory: never two that live together in one place, as small as the plain way
// of doing it, and in n log n where that would look at every pair.
#include "base/arrange.h"
#include "base/rng.h"
#include "tap.h"

enum { ALL_ALIVE, IN_TURN, NESTED, SHINGLES, SHORT_AND_LONG, RANDOM, KINDS };

static milo_slot *make(milo_arena *arena, int kind, size_t n, uint64_t seed) {
  milo_slot *slots = MILO_NEW_ARRAY(arena, milo_slot, n);
  for (size_t i = 0; i < n; i++) {
    milo_slot *s = &slots[i];
    s->bytes = 64 * milo_rng_below(seed, 1, i, 100);
    switch (kind) {
      case ALL_ALIVE:
        *s = (milo_slot){s->bytes, i, n + i, 0};
        break;
      case IN_TURN:
        *s = (milo_slot){s->bytes, i, i + 1, 0};
        break;
      case NESTED:
        *s = (milo_slot){s->bytes, i, 2 * n - i, 0};
        break;
      case SHINGLES:
        *s = (milo_slot){s->bytes, i, i + 30, 0};
        break;
      case SHORT_AND_LONG:
        *s = (milo_slot){s->bytes, i, i % 3 == 0 ? i + n / 2 : i + 3, 0};
        break;
      default:
        s->first = milo_rng_below(seed, 2, i, n);
        s->last = s->first + milo_rng_below(seed, 3, i, seed % 2 == 0 ? n : 20);
        break;
    }
  }
  return slots;
}

static bool together(const milo_slot *a, const milo_slot *b) {
  return a->first <= b->last && b->first <= a->last;
}

static bool apart(const milo_slot *a, const milo_slot *b) {
  return a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset;
}

static bool is_valid(const milo_slot *slots, size_t n, size_t bytes) {
  for (size_t i = 0; i < n; i++) {
    if (slots[i].offset + slots[i].bytes > bytes) return false;
    for (size_t k = 0; k < i; k++)
      if (slots[i].bytes > 0 && slots[k].bytes > 0 && together(&slots[i], &slots[k]) &&
          !apart(&slots[i], &slots[k]))
        return false;
  }
  return true;
}

// The plain way: largest first, each at the lowest offset that is free, tried one after another.
static size_t plain(const milo_slot *given, size_t n) {
  milo_slot *slots = malloc((n + 1) * sizeof *slots);
  size_t total = 0;
  for (size_t i = 0; i < n; i++) slots[i] = given[i];
  for (size_t i = 1; i < n; i++) {  // stable
    const milo_slot s = slots[i];
    size_t k = i;
    for (; k > 0 && slots[k - 1].bytes < s.bytes; k--) slots[k] = slots[k - 1];
    slots[k] = s;
  }
  for (size_t i = 0; i < n; i++) {
    slots[i].offset = 0;
    for (size_t k = 0; k < i; k++) {
      if (slots[k].bytes == 0 || !together(&slots[i], &slots[k]) || apart(&slots[i], &slots[k]))
        continue;
      slots[i].offset = slots[k].offset + slots[k].bytes;
      k = SIZE_MAX;  // from the beginning
    }
    if (slots[i].offset + slots[i].bytes > total) total = slots[i].offset + slots[i].bytes;
  }
  free(slots);
  return total;
}

static void test_small(void) {
  static const size_t counts[] = {0, 1, 2, 3, 7, 16, 33, 100, 250};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
    for (int kind = 0; kind < KINDS; kind++)
      for (uint64_t seed = 0; seed < 6; seed++) {
        milo_arena arena = {0};
        const size_t n = counts[c];
        milo_slot *slots = make(&arena, kind, n, seed);
        const milo_arrangement a = milo_arrange(slots, n, &arena);
        const size_t wanted = plain(slots, n);
        if (!CHECK(is_valid(slots, n, a.bytes) && a.bytes <= wanted && a.bytes >= a.least_bytes))
          printf("# kind %d, %zu slots, seed %d: %zu bytes, plain %zu, least %zu\n", kind, n,
                 (int)seed, a.bytes, wanted, a.least_bytes);
        milo_arena_deinit(&arena);
      }
}

// Too many pairs to look at: still right, and not much larger than what is alive at a time.
static void test_many_pairs(void) {
  enum { N = 3000 };
  for (int kind = 0; kind < KINDS; kind++) {
    milo_arena arena = {0};
    milo_slot *slots = make(&arena, kind, N, 4);
    const milo_arrangement a = milo_arrange(slots, N, &arena);
    const double ratio = (double)a.bytes / (double)a.least_bytes;
    if (!CHECK(is_valid(slots, N, a.bytes) && ratio < 1.35))
      printf("# kind %d: %.3f\n", kind, ratio);
    milo_arena_deinit(&arena);
  }
}

// Work counted, not timed: n^2 / 2 pairs would be 500 times what is allowed.
static void test_work(void) {
  enum { N = 100000, LOG = 17 };
  for (int kind = 0; kind < KINDS; kind++) {
    milo_arena arena = {0};
    milo_slot *slots = make(&arena, kind, N, 2);
    const milo_arrangement a = milo_arrange(slots, N, &arena);
    if (!CHECK(a.work <= (size_t)N * LOG * 100)) printf("# kind %d: %zu steps\n", kind, a.work);
    milo_arena_deinit(&arena);
  }
}

int main(void) {
  RUN(test_small);
  RUN(test_many_pairs);
  RUN(test_work);
  return tap_done();
}
