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
    milo_mincut_solve(&cut, SIZE_MAX, side);
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

// Where the work allowed does not suffice, no edge that is infinite is cut, and the sides are
// right.
static void test_little_work(void) {
  for (uint64_t graph = 0; graph < 200; graph++) {
    milo_arena arena = {0};
    milo_mincut cut = milo_mincut_create(&arena, NODES);
    edge edges[EDGES];
    // From low numbers to high ones, and infinite only where neither source nor sink is.
    for (uint64_t i = 0; i < EDGES; i++) {
      const size_t a = milo_rng_below(4, graph, 3 * i, NODES - 1);
      const size_t b = a + 1 + milo_rng_below(4, graph, 3 * i + 1, NODES - 1 - a);
      edges[i] = (edge){a == 0 ? 0 : a + 1, b == NODES - 1 ? 1 : b + 1, 1 + (int64_t)(i % 5)};
      if (edges[i].from != 0 && edges[i].to != 1 && i % 3 == 0)
        edges[i].capacity = MILO_MINCUT_INFINITE;
      milo_mincut_add(&cut, edges[i].from, edges[i].to, edges[i].capacity);
    }
    bool side[NODES], least[NODES];
    milo_mincut_solve(&cut, 0, side);
    CHECK(!side[0] && side[1]);
    milo_mincut again = milo_mincut_create(&arena, NODES);
    for (uint64_t i = 0; i < EDGES; i++)
      milo_mincut_add(&again, edges[i].from, edges[i].to, edges[i].capacity);
    milo_mincut_solve(&again, SIZE_MAX, least);
    const int64_t cost = cut_cost(edges, side);
    CHECK(cost < MILO_MINCUT_INFINITE && cost >= cut_cost(edges, least));
    milo_arena_deinit(&arena);
  }
}

// A chain into which something flows at every link, each on a way of its own length: as many as
// links were the rounds of an algorithm that goes by distances.
static size_t work_of_chain(size_t links) {
  milo_arena arena = {0};
  milo_mincut cut = milo_mincut_create(&arena, 2 + 2 * links);
  for (size_t i = 0; i < links; i++) {
    const size_t link = 2 + 2 * i;
    milo_mincut_add(&cut, 0, link + 1, 1);
    milo_mincut_add(&cut, link + 1, link, MILO_MINCUT_INFINITE);
    milo_mincut_add(&cut, link, i + 1 < links ? link + 2 : 1, (int64_t)(2 * links));
  }
  bool *side = MILO_NEW_ARRAY(&arena, bool, cut.nodes);
  const size_t work = milo_mincut_solve(&cut, SIZE_MAX, side);
  for (size_t i = 2; i < cut.nodes; i++) CHECK(side[i]);  // the sources' own edges are the cut
  milo_arena_deinit(&arena);
  return work;
}

static void test_work(void) {
  const size_t little = work_of_chain(1000), much = work_of_chain(100000);
  if (!CHECK(much <= 150 * little)) printf("# %zu, then %zu\n", little, much);
}

int main(void) {
  RUN(test_random_graphs);
  RUN(test_little_work);
  RUN(test_work);
  return tap_done();
}
