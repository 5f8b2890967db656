// SPDX-License-Identifier: MIT
// Minimum cut, see mincut.h: the first phase of push-relabel (Goldberg and Tarjan 1988), highest
// label first, with gaps and exact labels from time to time (Cherkassky and Goldberg 1997).
//
// Flows that meet run on as one, so a chain into which something flows at every link takes one walk
// (augmenting paths, one a source, are quadratic there).
#include "pass/mincut.h"

#include <string.h>

enum { SOURCE = 0, SINK = 1, NONE = 0 };

// Of a node; lists are chained through nodes, 0 (the source, which is in none) ends them.
typedef struct label {
  size_t height;        // at most the distance to the sink; nodes: there is no way
  size_t edge;          // to try next
  int64_t excess;       // arrived and not passed on; at most ENOUGH
  size_t next, before;  // nodes of this height
  size_t next_active;   // those of them that have excess
} label;

typedef struct solver {
  milo_mincut *cut;
  label *labels;
  size_t *at_height, *active;  // by height: the lists' first nodes
  size_t highest;              // no active node is higher
  size_t *queue;
  size_t work;
} solver;

// More than all finite capacities together: as good as infinite, and sums of two do not overflow.
#define ENOUGH (INT64_MAX / 2)

milo_mincut milo_mincut_create(milo_arena *arena, size_t nodes) {
  milo_mincut cut = {.arena = arena, .nodes = nodes};
  cut.first = MILO_NEW_ARRAY(arena, size_t, nodes);
  // Edge 0 means "none"; 1 keeps pairs even.
  for (int i = 0; i < 2; i++)
    MILO_PUSH(arena, cut.edges, cut.count, cut.capacity, (milo_mincut_edge){0});
  return cut;
}

void milo_mincut_add(milo_mincut *cut, size_t from, size_t to, int64_t capacity) {
  const milo_mincut_edge forth = {to, capacity, cut->first[from]};
  MILO_PUSH(cut->arena, cut->edges, cut->count, cut->capacity, forth);
  cut->first[from] = cut->count - 1;
  const milo_mincut_edge back = {from, 0, cut->first[to]};
  MILO_PUSH(cut->arena, cut->edges, cut->count, cut->capacity, back);
  cut->first[to] = cut->count - 1;
}

// ---- lists ----

static void enter(solver *s, size_t node, size_t height) {
  label *l = &s->labels[node];
  l->height = height;
  l->edge = s->cut->first[node];
  l->before = NONE;
  l->next = s->at_height[height];
  if (l->next != NONE) s->labels[l->next].before = node;
  s->at_height[height] = node;
}

static void leave(solver *s, size_t node) {
  const label *l = &s->labels[node];
  if (l->next != NONE) s->labels[l->next].before = l->before;
  *(l->before != NONE ? &s->labels[l->before].next : &s->at_height[l->height]) = l->next;
}

static void activate(solver *s, size_t node) {
  label *l = &s->labels[node];
  l->next_active = s->active[l->height];
  s->active[l->height] = node;
  if (l->height > s->highest) s->highest = l->height;
}

// ---- labels ----

// Distances to the sink along edges with capacity left, by walking back from it; where there is no
// way, the number of nodes.
static void measure(solver *s) {
  const milo_mincut *cut = s->cut;
  const size_t nodes = cut->nodes;
  memset(s->at_height, 0, nodes * sizeof *s->at_height);
  memset(s->active, 0, nodes * sizeof *s->active);
  for (size_t i = 0; i < nodes; i++) s->labels[i].height = nodes;
  s->highest = 0;
  size_t head = 0, tail = 0;
  s->queue[tail++] = SINK;
  s->labels[SINK].height = 0;
  while (head < tail) {
    const size_t node = s->queue[head++];
    s->work++;
    for (size_t e = cut->first[node]; e != 0; e = cut->edges[e].next, s->work++) {
      const size_t from = cut->edges[e].to;
      if (cut->edges[e ^ 1].capacity == 0 || from == SOURCE || s->labels[from].height != nodes)
        continue;
      enter(s, from, s->labels[node].height + 1);
      if (s->labels[from].excess > 0) activate(s, from);
      s->queue[tail++] = from;
    }
  }
}

// Nobody is left at this height: from above there is no way down to the sink any more.
static void close_gap(solver *s, size_t height) {
  for (size_t h = height + 1; h < s->cut->nodes && s->at_height[h] != NONE; h++) {
    for (size_t node = s->at_height[h]; node != NONE; node = s->labels[node].next, s->work++)
      s->labels[node].height = s->cut->nodes;
    s->at_height[h] = s->active[h] = NONE;
  }
}

static void push(solver *s, size_t node, size_t e) {
  milo_mincut_edge *edges = s->cut->edges;
  label *from = &s->labels[node], *to = &s->labels[edges[e].to];
  const int64_t amount = from->excess < edges[e].capacity ? from->excess : edges[e].capacity;
  edges[e].capacity -= amount;
  edges[e ^ 1].capacity += amount;
  from->excess -= amount;
  if (edges[e].to == SINK) return;
  const bool was_idle = to->excess == 0;
  to->excess = to->excess < ENOUGH - amount ? to->excess + amount : ENOUGH;
  if (was_idle) activate(s, edges[e].to);
}

// Passes the node's excess on to lower nodes, raising it when there are none; until it has none
// left or no way to the sink.
static void discharge(solver *s, size_t node) {
  const milo_mincut *cut = s->cut;
  label *l = &s->labels[node];
  while (l->excess > 0) {
    for (; l->edge != 0 && l->excess > 0; s->work++) {
      const milo_mincut_edge *e = &cut->edges[l->edge];
      if (e->capacity > 0 && e->to != SOURCE && s->labels[e->to].height + 1 == l->height) {
        push(s, node, l->edge);
        if (l->excess == 0) return;
      }
      l->edge = e->next;
    }
    size_t lowest = cut->nodes;
    for (size_t e = cut->first[node]; e != 0; e = cut->edges[e].next, s->work++) {
      const size_t to = cut->edges[e].to;
      if (cut->edges[e].capacity > 0 && to != SOURCE && s->labels[to].height + 1 < lowest)
        lowest = s->labels[to].height + 1;
    }
    const size_t height = l->height;
    leave(s, node);
    if (s->at_height[height] == NONE) {
      close_gap(s, height);
      l->height = cut->nodes;
      return;
    }
    if (lowest >= cut->nodes) {
      l->height = cut->nodes;
      return;
    }
    enter(s, node, lowest);
  }
}

// ---- cuts ----

// The nodes from which infinite edges alone lead to the sink (or those that they do not lead to
// from the source): cuts through finite edges only, cheap to find. Returns what the cut costs.
static int64_t simple_cut(const solver *s, bool from_source, bool *out_sink_side) {
  const milo_mincut *cut = s->cut;
  for (size_t i = 0; i < cut->nodes; i++) out_sink_side[i] = from_source;
  size_t head = 0, tail = 0;
  s->queue[tail++] = from_source ? SOURCE : SINK;
  out_sink_side[s->queue[0]] = !from_source;
  while (head < tail)
    for (size_t e = cut->first[s->queue[head++]]; e != 0; e = cut->edges[e].next) {
      const size_t to = cut->edges[e].to;
      const bool leads = from_source == (e % 2 == 0);  // even edges run forth
      const int64_t capacity = cut->edges[e].capacity + cut->edges[e ^ 1].capacity;
      if (!leads || capacity < MILO_MINCUT_INFINITE || out_sink_side[to] != from_source) continue;
      out_sink_side[to] = !from_source;
      s->queue[tail++] = to;
    }
  int64_t cost = 0;
  for (size_t e = 2; e < cut->count; e += 2)
    if (!out_sink_side[cut->edges[e ^ 1].to] && out_sink_side[cut->edges[e].to])
      cost += cut->edges[e].capacity + cut->edges[e ^ 1].capacity;
  return cost;
}

static void cheaper_simple_cut(solver *s, bool *out_sink_side) {
  const int64_t late = simple_cut(s, false, out_sink_side);
  if (simple_cut(s, true, out_sink_side) > late) (void)simple_cut(s, false, out_sink_side);
}

size_t milo_mincut_solve(milo_mincut *cut, size_t most_work, bool *out_sink_side) {
  milo_arena scratch = {0};
  solver s = {.cut = cut,
              .labels = MILO_NEW_ARRAY(&scratch, label, cut->nodes),
              .at_height = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes + 1),
              .active = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes + 1),
              .queue = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes)};
  for (size_t e = cut->first[SOURCE]; e != 0; e = cut->edges[e].next) {
    milo_mincut_edge *edge = &cut->edges[e];
    label *to = &s.labels[edge->to];
    to->excess = to->excess < ENOUGH - edge->capacity ? to->excess + edge->capacity : ENOUGH;
    cut->edges[e ^ 1].capacity += edge->capacity;
    edge->capacity = 0;
  }
  const size_t round = 6 * cut->nodes + cut->count;
  size_t measured = 0;
  measure(&s);
  while (s.work <= most_work) {
    while (s.highest > 0 && s.active[s.highest] == NONE) s.highest--;
    if (s.highest == 0) break;
    const size_t node = s.active[s.highest];
    s.active[s.highest] = s.labels[node].next_active;
    discharge(&s, node);
    if (s.work - measured <= round) continue;
    measure(&s);
    measured = s.work;
  }
  if (s.work > most_work) {
    cheaper_simple_cut(&s, out_sink_side);
  } else {
    measure(&s);
    for (size_t i = 0; i < cut->nodes; i++) out_sink_side[i] = s.labels[i].height < cut->nodes;
  }
  milo_arena_deinit(&scratch);
  return s.work;
}
