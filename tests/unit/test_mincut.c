// SPDX-License-Identifier: MIT
// Minimum cuts of random graphs against all cuts there are.
#include "base/rng.h"
#include "pass/mincut.h"
#include "tap.h"

enum { NODES = 9, EDGES = 20 };

typedef struct edge {
  size_t from, to;
  int64_t capacity;
} edge;

// What the edges from the other nodes into `sink_side` can carry.
static int64_t cut_cost(const edge *edges, const bool *sink_side) {
  int64_t cost = 0;
  for (int i = 0; i < EDGES; i++)
    if (!sink_side[edges[i].from] && sink_side[edges[i].to]) cost += edges[i].capacity;
  return cost;
}

static void test_random_graphs(void) {
  for (uint64_t graph = 0; graph < 200; graph++) {
    milo_arena arena = {0};
    milo_mincut cut = milo_mincut_create(&arena, NODES);
    edge edges[EDGES];
    for (uint64_t i = 0; i < EDGES; i++) {
      edges[i] =
          (edge){milo_rng_below(3, graph, 3 * i, NODES), milo_rng_below(3, graph, 3 * i + 1, NODES),
                 (int64_t)milo_rng_below(3, graph, 3 * i + 2, 6)};
      milo_mincut_add(&cut, edges[i].from, edges[i].to, edges[i].capacity);
    }
    bool side[NODES];
    milo_mincut_solve(&cut, side);
    CHECK(!side[0] && side[1]);
    int64_t best = INT64_MAX;
    size_t fewest = NODES;  // behind a minimum cut
    for (unsigned set = 0; set < 1u << NODES; set++) {
      if ((set & 1u) != 0 || (set & 2u) == 0) continue;
      bool other[NODES];
      size_t members = 0;
      for (int i = 0; i < NODES; i++) {
        other[i] = (set >> i & 1u) != 0;
        members += other[i];
      }
      const int64_t cost = cut_cost(edges, other);
      if (cost < best) fewest = NODES;
      if (cost <= best && members < fewest) fewest = members;
      if (cost < best) best = cost;
    }
    size_t members = 0;
    for (int i = 0; i < NODES; i++) members += side[i];
    if (!CHECK(cut_cost(edges, side) == best && members == fewest))
      printf("#   graph %d\n", (int)graph);
    milo_arena_deinit(&arena);
  }
}

int main(void) {
  RUN(test_random_graphs);
  return tap_done();
}
