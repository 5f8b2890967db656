// SPDX-License-Identifier: MIT
// Dynamic storage allocation with lives known beforehand. Finding the smallest block is NP-hard;
// two ways that come close are tried, and the smaller result is taken:
//
// By size    The largest first, each at the lowest offset that is free during its life. Best in
//            practice (Pisarchyk and Lee 2020 compare it with others), but it looks at every pair
//            of slots that are alive together: n^2 / 2 where all are.
// By time    As a heap would do it that sees the steps pass, forwards and backwards: at each step
//            what has died is given back, what begins gets the lowest gap it fits in. n log n.
//
// The pairs are counted beforehand, in n log n. Up to PAIRS a slot, and always up to FREE_PAIRS,
// the first way is taken; it ends the search if it reaches the bound that no block can beat. So the
// whole is O(n log n), and programs of up to some thousand buffers, which all models here are, get
// the best that is known.
#include "base/arrange.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS = 64, FREE_PAIRS = 1 << 19, NONE = 0 };

typedef struct entry {
  size_t key, second;
  size_t slot;
} entry;

static int by_key(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->key != y->key) return x->key < y->key ? -1 : 1;
  if (x->second != y->second) return x->second < y->second ? -1 : 1;
  return x->slot < y->slot ? -1 : x->slot > y->slot;
}

static void sort(entry *entries, size_t count) {
  if (count > 1) qsort(entries, count, sizeof *entries, by_key);
}

// ---- what is alive ----

typedef struct lives {
  const milo_slot *slots;
  size_t count;
  entry *starts, *ends;  // sorted by step; among equals the largest start first
} lives;

static lives sort_lives(const milo_slot *slots, size_t count, milo_arena *scratch) {
  lives l = {slots, count, MILO_NEW_ARRAY(scratch, entry, count),
             MILO_NEW_ARRAY(scratch, entry, count)};
  for (size_t i = 0; i < count; ++i) {
    l.starts[i] = (entry){slots[i].first, SIZE_MAX - slots[i].bytes, i};
    l.ends[i] = (entry){slots[i].last, SIZE_MAX - slots[i].bytes, i};
  }
  sort(l.starts, count);
  sort(l.ends, count);
  return l;
}

// The most bytes alive at one step; *out_pairs: pairs of slots that are alive together.
static size_t most_alive(const lives *l, size_t *out_pairs) {
  size_t bytes = 0, most = 0, ended = 0;
  *out_pairs = 0;
  for (size_t i = 0; i < l->count; ++i) {
    const milo_slot *s = &l->slots[l->starts[i].slot];
    for (; ended < l->count && l->ends[ended].key < s->first; ++ended)
      bytes -= l->slots[l->ends[ended].slot].bytes;
    *out_pairs += i - ended;
    bytes += s->bytes;
    if (bytes > most) most = bytes;
  }
  return most;
}

// ---- by size ----

// A tree over all slots by their first step, in an array: the leaves of a node lie next to each
// other. A node holds the last step of those slots in it that have their place.
typedef struct life_tree {
  const lives *l;
  size_t *latest;  // last + 1; 0: none has its place
  size_t *leaf;    // of a slot
  size_t width;    // leaves, a power of two
} life_tree;

static void place_in_tree(life_tree *t, size_t slot) {
  const size_t last = t->l->slots[slot].last + 1;
  for (size_t node = t->width + t->leaf[slot]; node > 0 && t->latest[node] < last; node /= 2)
    t->latest[node] = last;
}

// Lists the placed slots below node that live from before end and into first or later.
static size_t list_alive(const life_tree *t, size_t node, size_t first, size_t end, entry *out,
                         size_t *work) {
  // An explicit stack: at most one sibling a level.
  size_t stack[2 * sizeof(size_t) * 8], depth = 0, found = 0;
  stack[depth++] = node;
  while (depth > 0) {
    node = stack[--depth];
    ++*work;
    if (t->latest[node] <= first) continue;
    if (node < t->width) {
      // Leaves right of end begin later: the leftmost leaf of the right child tells.
      size_t left = 2 * node + 1;
      while (left < t->width) left *= 2;
      if (left - t->width < end) stack[depth++] = 2 * node + 1;
      stack[depth++] = 2 * node;
      continue;
    }
    const size_t slot = t->l->starts[node - t->width].slot;
    out[found++] = (entry){t->l->slots[slot].offset, 0, slot};
  }
  return found;
}

// Where the first leaf stands that begins after step last.
static size_t first_after(const lives *l, size_t last) {
  size_t low = 0, high = l->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (l->starts[middle].key <= last)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static size_t arrange_by_size(milo_slot *slots, const lives *l, milo_arena *scratch, size_t *work) {
  const size_t count = l->count;
  life_tree t = {.l = l, .width = 1};
  while (t.width < count) t.width *= 2;
  t.latest = MILO_NEW_ARRAY(scratch, size_t, 2 * t.width);
  t.leaf = MILO_NEW_ARRAY(scratch, size_t, count);
  for (size_t i = 0; i < count; ++i) t.leaf[l->starts[i].slot] = i;
  entry *order = MILO_NEW_ARRAY(scratch, entry, count);
  entry *alive = MILO_NEW_ARRAY(scratch, entry, count);
  for (size_t i = 0; i < count; ++i) order[i] = (entry){SIZE_MAX - slots[i].bytes, 0, i};
  sort(order, count);
  size_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    milo_slot *s = &slots[order[i].slot];
    const size_t found = list_alive(&t, 1, s->first, first_after(l, s->last), alive, work);
    sort(alive, found);
    *work += found;
    s->offset = 0;
    for (size_t k = 0; k < found; ++k) {
      const milo_slot *other = &slots[alive[k].slot];
      if (other->offset >= s->offset + s->bytes) break;
      if (other->offset + other->bytes > s->offset) s->offset = other->offset + other->bytes;
    }
    if (s->offset + s->bytes > total) total = s->offset + s->bytes;
    place_in_tree(&t, order[i].slot);
  }
  return total;
}

// ---- by time ----

// The gaps below the end of what is in use: a treap by offset whose nodes know the widest gap below
// them. Priorities come from the node's number, mixed, so that results are the same everywhere.
typedef struct gap {
  size_t offset, bytes, widest;
  uint32_t left, right, priority;
} gap;

typedef struct gaps {
  gap *nodes;                   // [0] is none
  uint32_t root, used, unused;  // unused: list through left
  size_t end;                   // all above is free
  size_t *work;
} gaps;

static void update(const gaps *g, uint32_t n) {
  gap *node = &g->nodes[n];
  node->widest = node->bytes;
  if (g->nodes[node->left].widest > node->widest) node->widest = g->nodes[node->left].widest;
  if (g->nodes[node->right].widest > node->widest) node->widest = g->nodes[node->right].widest;
}

// Into those below offset and the others. The depth of a treap of n is O(log n) but for luck.
static void cut(gaps *g, uint32_t n, size_t offset, uint32_t *low, uint32_t *high) {
  ++*g->work;
  if (n == NONE) {
    *low = *high = NONE;
  } else if (g->nodes[n].offset < offset) {
    cut(g, g->nodes[n].right, offset, &g->nodes[n].right, high);
    *low = n;
    update(g, n);
  } else {
    cut(g, g->nodes[n].left, offset, low, &g->nodes[n].left);
    *high = n;
    update(g, n);
  }
}

static uint32_t join(gaps *g, uint32_t low, uint32_t high) {
  ++*g->work;
  if (low == NONE || high == NONE) return low != NONE ? low : high;
  if (g->nodes[low].priority > g->nodes[high].priority) {
    g->nodes[low].right = join(g, g->nodes[low].right, high);
    update(g, low);
    return low;
  }
  g->nodes[high].left = join(g, low, g->nodes[high].left);
  update(g, high);
  return high;
}

static void add_gap(gaps *g, size_t offset, size_t bytes) {
  uint32_t n = g->unused, low, high;
  if (n != NONE)
    g->unused = g->nodes[n].left;
  else
    n = ++g->used;
  const uint32_t mixed = n * UINT32_C(0x9e3779b1);
  g->nodes[n] = (gap){offset, bytes, bytes, NONE, NONE, (mixed ^ mixed >> 15) * 0x85ebca6bu};
  cut(g, g->root, offset, &low, &high);
  g->root = join(g, join(g, low, n), high);
}

// Takes out the gap at offset.
static void remove_gap(gaps *g, size_t offset) {
  uint32_t low, rest, one, high;
  cut(g, g->root, offset, &low, &rest);
  cut(g, rest, offset + 1, &one, &high);
  g->nodes[one].left = g->unused;
  g->unused = one;
  g->root = join(g, low, high);
}

// Makes the first gap of at least bytes smaller by them, or goes beyond the end.
static size_t take(gaps *g, size_t bytes) {
  uint32_t n = g->root;
  if (g->nodes[n].widest < bytes || n == NONE) {
    const size_t offset = g->end;
    g->end += bytes;
    return offset;
  }
  for (;;) {
    ++*g->work;
    const gap *node = &g->nodes[n];
    if (node->left != NONE && g->nodes[node->left].widest >= bytes)
      n = node->left;
    else if (node->bytes >= bytes)
      break;
    else
      n = node->right;
  }
  const size_t offset = g->nodes[n].offset, left = g->nodes[n].bytes - bytes;
  remove_gap(g, offset);
  if (left > 0) add_gap(g, offset + bytes, left);
  return offset;
}

// The gap that ends where offset is, or that begins there; NONE if there is none.
static uint32_t gap_before(const gaps *g, size_t offset) {
  uint32_t n = g->root, found = NONE;
  while (n != NONE) {
    ++*g->work;
    const bool below = g->nodes[n].offset < offset;
    if (below) found = n;
    n = below ? g->nodes[n].right : g->nodes[n].left;
  }
  return found != NONE && g->nodes[found].offset + g->nodes[found].bytes == offset ? found : NONE;
}

static uint32_t gap_at(const gaps *g, size_t offset) {
  uint32_t n = g->root;
  while (n != NONE && g->nodes[n].offset != offset) {
    ++*g->work;
    n = g->nodes[n].offset < offset ? g->nodes[n].right : g->nodes[n].left;
  }
  return n;
}

static void give_back(gaps *g, size_t offset, size_t bytes) {
  const uint32_t before = gap_before(g, offset), after = gap_at(g, offset + bytes);
  if (after != NONE) {
    const size_t more = g->nodes[after].bytes;
    remove_gap(g, offset + bytes);
    bytes += more;
  }
  if (before != NONE) {
    const size_t more = g->nodes[before].bytes;
    remove_gap(g, offset - more);
    offset -= more;
    bytes += more;
  }
  if (offset + bytes == g->end)
    g->end = offset;
  else
    add_gap(g, offset, bytes);
}

// Forwards in time, or backwards. Offsets go to out.
static size_t arrange_by_time(const lives *l, bool backwards, size_t *out, milo_arena *scratch,
                              size_t *work) {
  const size_t count = l->count;
  gaps g = {.nodes = MILO_NEW_ARRAY(scratch, gap, count + 2), .work = work};
  size_t total = 0, given = 0;
  for (size_t i = 0; i < count; ++i) {
    // Backwards a life begins with its last step; equals come smallest first there.
    const size_t slot = backwards ? l->ends[count - 1 - i].slot : l->starts[i].slot;
    const milo_slot *s = &l->slots[slot];
    for (; given < count; ++given) {
      const size_t dead = backwards ? l->starts[count - 1 - given].slot : l->ends[given].slot;
      const milo_slot *d = &l->slots[dead];
      if (backwards ? d->first <= s->last : d->last >= s->first) break;
      if (d->bytes > 0) give_back(&g, out[dead], d->bytes);
    }
    out[slot] = s->bytes > 0 ? take(&g, s->bytes) : 0;
    if (g.end > total) total = g.end;
  }
  return total;
}

// ---- all together ----

milo_arrangement milo_arrange(milo_slot *slots, size_t count, milo_arena *scratch) {
  milo_arrangement a = {0};
  if (count == 0) return a;
  const lives l = sort_lives(slots, count, scratch);
  size_t pairs;
  a.least_bytes = most_alive(&l, &pairs);
  a.bytes = SIZE_MAX;
  if (pairs <= FREE_PAIRS || pairs / count <= PAIRS)
    a.bytes = arrange_by_size(slots, &l, scratch, &a.work);
  size_t *offsets = MILO_NEW_ARRAY(scratch, size_t, count);
  for (int backwards = 0; backwards < 2 && a.bytes > a.least_bytes; ++backwards) {
    const size_t bytes = arrange_by_time(&l, backwards != 0, offsets, scratch, &a.work);
    if (bytes >= a.bytes) continue;
    a.bytes = bytes;
    for (size_t i = 0; i < count; ++i) slots[i].offset = offsets[i];
  }
  return a;
}
