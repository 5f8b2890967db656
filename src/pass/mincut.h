// SPDX-License-Identifier: MIT
// Minimum cut of a directed graph with capacities.
#ifndef MILO_PASS_MINCUT_H
#define MILO_PASS_MINCUT_H

#include "base/arena.h"
#include "base/status.h"

#define MILO_MINCUT_INFINITE (INT64_MAX / 4)

typedef struct milo_mincut_edge {
  size_t to;
  int64_t capacity;  // left
  size_t next;       // edge of the same node, 0: none
} milo_mincut_edge;

// Nodes 0 and 1 are source and sink.
typedef struct milo_mincut {
  milo_arena *arena;
  size_t nodes;
  size_t *first;  // a node's first edge; edges are numbered from 2, e ^ 1 runs the other way
  milo_mincut_edge *edges;
  size_t count, capacity;
} milo_mincut;

milo_mincut milo_mincut_create(milo_arena *arena, size_t nodes);
void milo_mincut_add(milo_mincut *cut, size_t from, size_t to, int64_t capacity);
// Finds the minimum cut nearest to the sink: out_sink_side[node] says which nodes lie behind it.
// Every path must have an edge of finite capacity, and those must sum to less than infinity.
//
// Nobody knows how to do that in n log n for every graph. Returns the work it took (edges and nodes
// looked at); if that is more than most_work, the cut is one through edges of finite capacity, but
// not the least: the cheaper of the ones nearest to source and sink.
size_t milo_mincut_solve(milo_mincut *cut, size_t most_work, bool *out_sink_side);

#endif
