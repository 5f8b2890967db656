// SPDX-License-Identifier: MIT
// Pieces that the composites' definitions and gradients share.
#ifndef MILO_IR_OPS_COMPOSITE_H
#define MILO_IR_OPS_COMPOSITE_H

#include "ir/op.h"

// attention's heads are grouped as [B, kv heads, heads of a group * S, ...], so that a group is one
// matrix product with its key or value and nothing is repeated.
typedef struct milo_attention_graph {
  milo_builder *b;
  milo_value *query;  // scaled, grouped: [B, NKV, G * S, HD]
  milo_value *key, *value;
  milo_value *scores;      // [B, NH, S, T], masked with -inf
  milo_value *sees;        // bool [S, 1]: does the query see a key? NULL: all do
  const milo_type *q, *k;  // of query and key as given
} milo_attention_graph;

// op: attention or attention_grad.
milo_attention_graph milo_attention_scores(milo_builder *b, const milo_op *op);
// [B, NH, S, n] as [B, NKV, G * S, n], and back.
milo_value *milo_attention_group(const milo_attention_graph *a, milo_value *x);
milo_value *milo_attention_ungroup(const milo_attention_graph *a, milo_value *x);

// softmax(scores), 0 where a query sees no key: [B, NH, S, T].
milo_value *milo_attention_softmax(const milo_attention_graph *a);
// x [..., S, n] where the query sees a key, else a number.
milo_value *milo_attention_seen(const milo_attention_graph *a, milo_value *x, double otherwise);

// The two halves of each pair that rope rotates: [..., S, HD/2]; and x from them.
void milo_rope_split(milo_builder *b, const milo_op *op, milo_value *x, milo_value **out_first,
                     milo_value **out_second);
milo_value *milo_rope_join(milo_builder *b, const milo_op *op, milo_value *first,
                           milo_value *second);

#endif
