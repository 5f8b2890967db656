// SPDX-License-Identifier: MIT
// Minimum cut, see mincut.h.
#include "pass/mincut.h"

#include <string.h>

enum { SOURCE = 0, SINK = 1 };

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

// Distances to the sink along edges with capacity left; SIZE_MAX where there is no way.
static void measure(const milo_mincut *cut, size_t *distance, size_t *queue) {
  for (size_t i = 0; i < cut->nodes; i++) distance[i] = SIZE_MAX;
  size_t head = 0, tail = 0;
  distance[SINK] = 0;
  queue[tail++] = SINK;
  while (head < tail) {
    const size_t node = queue[head++];
    for (size_t e = cut->first[node]; e != 0; e = cut->edges[e].next) {
      const size_t from = cut->edges[e].to;
      if (cut->edges[e ^ 1].capacity == 0 || distance[from] != SIZE_MAX) continue;
      distance[from] = distance[node] + 1;
      queue[tail++] = from;
    }
  }
}

// Sends what one path can take from source to sink; false if no path is left at these distances.
// at[node] is the edge to try next; path the edges taken, so that deep graphs need no deep stack.
static bool push_path(milo_mincut *cut, const size_t *distance, size_t *at, size_t *path) {
  size_t length = 0, node = SOURCE;
  while (node != SINK) {
    size_t *e = &at[node];
    while (*e != 0 && (cut->edges[*e].capacity == 0 || distance[cut->edges[*e].to] == SIZE_MAX ||
                       distance[cut->edges[*e].to] + 1 != distance[node]))
      *e = cut->edges[*e].next;
    if (*e != 0) {
      path[length++] = *e;
      node = cut->edges[*e].to;
    } else if (length == 0) {
      return false;
    } else {
      node = cut->edges[path[--length] ^ 1].to;
      at[node] = cut->edges[at[node]].next;
    }
  }
  int64_t amount = INT64_MAX;
  for (size_t i = 0; i < length; i++)
    if (cut->edges[path[i]].capacity < amount) amount = cut->edges[path[i]].capacity;
  for (size_t i = 0; i < length; i++) {
    cut->edges[path[i]].capacity -= amount;
    cut->edges[path[i] ^ 1].capacity += amount;
  }
  return true;
}

void milo_mincut_solve(milo_mincut *cut, bool *out_sink_side) {
  milo_arena scratch = {0};
  size_t *distance = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes);
  size_t *work = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes);
  size_t *at = MILO_NEW_ARRAY(&scratch, size_t, cut->nodes);
  measure(cut, distance, work);
  while (distance[SOURCE] != SIZE_MAX) {
    memcpy(at, cut->first, cut->nodes * sizeof *at);
    while (push_path(cut, distance, at, work)) {
    }
    measure(cut, distance, work);
  }
  for (size_t i = 0; i < cut->nodes; i++) out_sink_side[i] = distance[i] != SIZE_MAX;
  milo_arena_deinit(&scratch);
}
