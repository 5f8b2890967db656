// SPDX-License-Identifier: MIT
// One task is one key/value head of one sequence. A lone query of each head of its group is a row,
// so that a key is read once for all of them; of several queries, those of one head are.
#include "kernels/attention_few.h"

#include <math.h>
#include <string.h>

typedef struct job {
  const milo_rows *rows;
  const milo_attention *a;
  milo_dot_fn *dot;
  milo_mix_fn *mix;
  size_t kv_bytes;  // of an element
  int64_t position;
  const float *q;
  const char *k, *v;
  float *out, *lse;
  float *scores;  // of all workers
  size_t ld;
} job;

static size_t rows_of(const milo_attention *a) {
  return a->queries == 1 ? a->heads / a->kv_heads : a->queries;
}

size_t milo_attention_few_workspace_bytes(const milo_exec *exec, const milo_attention *a) {
  const size_t ld = (a->keys + 15) / 16 * 16;
  return (size_t)milo_pool_threads(exec->pool) * rows_of(a) * ld * sizeof(float);
}

// Keys that query i sees: [0, result).
static size_t visible(const job *w, size_t i) {
  if (!w->a->causal) return w->a->keys;
  const int64_t end = (int64_t)i + w->position + 1;
  return end < 0 ? 0 : (uint64_t)end < w->a->keys ? (size_t)end : w->a->keys;
}

static ptrdiff_t at(milo_heads h, size_t batch, size_t head) {
  return (ptrdiff_t)batch * h.batch + (ptrdiff_t)head * h.head;
}

// Scores of a row, of which it sees `own`, to weights; returns the log of the sum.
static float weigh(const milo_rows *rows, float *scores, size_t own, size_t all, float scale) {
  rows->scale(scores, scores, own, scale, 0.0f);
  const float max = own > 0 ? rows->max(scores, own) : 0.0f;
  const double total = own > 0 ? rows->exp_sum(scores, scores, own, max) : 0.0;
  if (total != 0.0) rows->scale(scores, scores, own, (float)(1.0 / total), 0.0f);
  memset(scores + own, 0, (all - own) * sizeof *scores);
  return (float)((double)max + log(total));
}

static void task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_attention *a = w->a;
  const size_t b = t / a->kv_heads, kv = t % a->kv_heads, group = a->heads / a->kv_heads;
  const bool lone = a->queries == 1;
  const size_t m = rows_of(a), passes = lone ? 1 : group, all = visible(w, a->queries - 1);
  float *scores = w->scores + (size_t)worker * m * w->ld;
  const char *k = w->k + at(a->k, b, kv) * (ptrdiff_t)w->kv_bytes;
  const char *v = w->v + at(a->v, b, kv) * (ptrdiff_t)w->kv_bytes;
  for (size_t pass = 0; pass < passes; ++pass) {
    const size_t h = kv * group + pass;
    w->dot(m, all, a->head, w->q + at(a->q, b, h), (size_t)(lone ? a->q.head : a->q.row), k,
           (size_t)a->k.row, scores, w->ld);
    for (size_t r = 0; r < m; ++r)
      w->lse[(b * a->heads + h) * a->queries + r] =
          weigh(w->rows, scores + r * w->ld, lone ? all : visible(w, r), all, a->scale);
    w->mix(m, a->head, all, scores, w->ld, v, (size_t)a->v.row, w->out + at(a->out, b, h),
           (size_t)(lone ? a->out.head : a->out.row));
  }
}

void milo_attention_few_run(const milo_exec *exec, const milo_few *few, const milo_attention *a,
                            milo_dtype kv, int64_t position, const float *q, const void *k,
                            const void *v, float *out, float *lse, void *workspace) {
  if (a->batch * a->heads * a->queries == 0) return;
  job w = {.rows = exec->rows,
           .a = a,
           .dot = milo_few_dot(few, kv),
           .mix = milo_few_mix(few, kv),
           .kv_bytes = milo_dtype_bits(kv) / 8,
           .position = position,
           .q = q,
           .k = k,
           .v = v,
           .out = out,
           .lse = lse,
           .scores = workspace,
           .ld = (a->keys + 15) / 16 * 16};
  milo_pool_run(exec->pool, a->batch * a->kv_heads, task, &w);
}
