// SPDX-License-Identifier: MIT
// One task is one key/value head of one sequence, with all the query heads that read it: its keys
// and values are packed once, then blocks of queries go over all keys that they see. Scores of a
// block (about 60 rows) stay in L2.
#include "kernels/attention.h"

#include <math.h>
#include <string.h>

enum { BLOCK_ROWS = 60 };

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

// Floats of a worker's memory.
typedef struct layout {
  size_t block;         // queries at a time
  size_t ld;            // of scores: an odd number of cache lines, so that columns spread over sets
  size_t keys_floats;   // panels of keys as columns: [keys / nr][head][nr]
  size_t rows_floats;   // panels of keys as rows: [head / nr][keys][nr]
  size_t block_floats;  // panels of a block of queries as rows: [head / nr][block][nr]
  size_t scores;
} layout;

static layout plan(const milo_product *k, const milo_attention *a) {
  layout l = {.block = round_up(BLOCK_ROWS, k->mr)};
  l.ld = round_up(a->keys, k->nr);
  l.ld = round_up(l.ld, 32) + 16;
  l.keys_floats = round_up(a->keys, k->nr) * a->head;
  l.rows_floats = round_up(a->head, k->nr) * a->keys;
  l.block_floats = round_up(a->head, k->nr) * l.block;
  l.scores = l.block * l.ld;
  return l;
}

size_t milo_attention_workspace_bytes(const milo_exec *exec, const milo_attention *a) {
  const layout l = plan(exec->products[MILO_NUMERIC_EXACT], a);
  return (size_t)milo_pool_threads(exec->pool) * sizeof(float) *
         round_up(l.keys_floats + l.rows_floats + l.scores, 16);
}

size_t milo_attention_grad_workspace_bytes(const milo_exec *exec, const milo_attention *a) {
  const layout l = plan(exec->products[MILO_NUMERIC_EXACT], a);
  return (size_t)milo_pool_threads(exec->pool) * sizeof(float) *
         round_up(2 * l.keys_floats + l.rows_floats + 2 * l.block_floats + 2 * l.scores, 16);
}

typedef struct job {
  const milo_rows *rows;
  const milo_product *product;
  const milo_attention *a;
  layout l;
  int64_t position;
  const float *q, *k, *v, *grad, *out_in, *lse_in;
  float *out, *lse, *dq, *dk, *dv;
  float *workspace;
  size_t worker_floats;
} job;

static job start(const milo_exec *exec, const milo_attention *a, int64_t position) {
  const milo_product *product = exec->products[MILO_NUMERIC_EXACT];
  return (job){
      .rows = exec->rows, .product = product, .a = a, .l = plan(product, a), .position = position};
}

// Keys that query i sees: [0, result).
static size_t visible(const job *w, size_t i) {
  if (!w->a->causal) return w->a->keys;
  const int64_t end = (int64_t)i + w->position + 1;
  return end < 0 ? 0 : (uint64_t)end < w->a->keys ? (size_t)end : w->a->keys;
}

static ptrdiff_t at(milo_heads h, size_t batch, size_t head, size_t row) {
  return (ptrdiff_t)batch * h.batch + (ptrdiff_t)head * h.head + (ptrdiff_t)row * h.row;
}

// Keys as columns, scaled when asked: what scores are made with.
static void pack_columns(const job *w, float *to, const float *from, milo_heads h, size_t keys,
                         float scale) {
  const milo_product *k = w->product;
  k->pack_fp32(to, w->a->head * k->nr, from, w->a->head, keys, 1, h.row, k->nr);
  const size_t n = round_up(keys, k->nr) * w->a->head;
  if (scale != 1.0f)
    for (size_t i = 0; i < n; ++i) to[i] *= scale;
}

static void attention_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_attention *a = w->a;
  const milo_product *k = w->product;
  const size_t b = t / a->kv_heads, kv = t % a->kv_heads, group = a->heads / a->kv_heads;
  const size_t nr = k->nr, all = visible(w, a->queries - 1);
  float *columns = w->workspace + (size_t)worker * w->worker_floats;
  float *rows = columns + w->l.keys_floats, *scores = rows + w->l.rows_floats;
  pack_columns(w, columns, w->k + at(a->k, b, kv, 0), a->k, all, a->scale);
  k->pack_fp32(rows, nr * all, w->v + at(a->v, b, kv, 0), all, a->head, a->v.row, 1, nr);
  for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
    for (size_t i = 0; i < a->queries; i += w->l.block) {
      const size_t m = min_size(w->l.block, a->queries - i), seen = visible(w, i + m - 1);
      float *out = w->out + at(a->out, b, h, i);
      k->tile_strided(m, seen, a->head, w->q + at(a->q, b, h, i), a->q.row, 1, columns,
                      nr * a->head, scores, w->l.ld, false);
      double totals[128];
      for (size_t r = 0; r < m; ++r) {
        float *row = scores + r * w->l.ld;
        const size_t own = visible(w, i + r);
        const float max = own > 0 ? w->rows->max(row, own) : 0.0f;
        totals[r] = own > 0 ? w->rows->exp_sum(row, row, own, max) : 0.0;
        memset(row + own, 0, (seen - own) * sizeof *row);
        w->lse[(b * a->heads + h) * a->queries + i + r] = (float)((double)max + log(totals[r]));
      }
      k->tile_strided(m, a->head, seen, scores, (ptrdiff_t)w->l.ld, 1, rows, nr * all, out,
                      (size_t)a->out.row, false);
      for (size_t r = 0; r < m; ++r) {
        const float inverse = totals[r] == 0.0 ? 0.0f : (float)(1.0 / totals[r]);
        float *row = out + (ptrdiff_t)r * a->out.row;
        for (size_t d = 0; d < a->head; ++d) row[d] *= inverse;
      }
    }
  }
}

void milo_attention_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                        const float *q, const float *k, const float *v, float *out, float *lse,
                        void *workspace) {
  if (a->batch * a->heads * a->queries == 0) return;
  job w = start(exec, a, position);
  w.q = q;
  w.k = k;
  w.v = v;
  w.out = out;
  w.lse = lse;
  w.workspace = workspace;
  w.worker_floats = milo_attention_workspace_bytes(exec, a) / sizeof(float) /
                    (size_t)milo_pool_threads(exec->pool);
  milo_pool_run(exec->pool, a->batch * a->kv_heads, attention_task, &w);
}

// With p = exp(scores - lse), delta = sum(grad out): ds = p (grad v^T - delta) scale, then
// dq = ds k, dk += ds^T q, dv += p^T grad.
static void grad_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_attention *a = w->a;
  const milo_product *k = w->product;
  const size_t b = t / a->kv_heads, kv = t % a->kv_heads, group = a->heads / a->kv_heads;
  const size_t nr = k->nr, ld = w->l.ld, all = visible(w, a->queries - 1);
  float *keys = w->workspace + (size_t)worker * w->worker_floats;
  float *values = keys + w->l.keys_floats, *key_rows = values + w->l.keys_floats;
  float *q_rows = key_rows + w->l.rows_floats, *grad_rows = q_rows + w->l.block_floats;
  float *p = grad_rows + w->l.block_floats, *ds = p + w->l.scores;
  const float *key = w->k + at(a->k, b, kv, 0);
  pack_columns(w, keys, key, a->k, all, a->scale);
  pack_columns(w, values, w->v + at(a->v, b, kv, 0), a->v, all, 1.0f);
  k->pack_fp32(key_rows, nr * all, key, all, a->head, a->k.row, 1, nr);
  float *dk = w->dk + at(a->dk, b, kv, 0), *dv = w->dv + at(a->dv, b, kv, 0);
  for (size_t i = 0; i < a->keys; ++i) {
    memset(dk + (ptrdiff_t)i * a->dk.row, 0, a->head * sizeof *dk);
    memset(dv + (ptrdiff_t)i * a->dv.row, 0, a->head * sizeof *dv);
  }
  for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
    for (size_t i = 0; i < a->queries; i += w->l.block) {
      const size_t m = min_size(w->l.block, a->queries - i), seen = visible(w, i + m - 1);
      const float *q = w->q + at(a->q, b, h, i), *grad = w->grad + at(a->grad, b, h, i);
      const float *out = w->out_in + at(a->out, b, h, i);
      k->tile_strided(m, seen, a->head, q, a->q.row, 1, keys, nr * a->head, p, ld, false);
      k->tile_strided(m, seen, a->head, grad, a->grad.row, 1, values, nr * a->head, ds, ld, false);
      for (size_t r = 0; r < m; ++r) {
        const size_t own = visible(w, i + r);
        const float lse = w->lse_in[(b * a->heads + h) * a->queries + i + r];
        const double delta = w->rows->dot(grad + (ptrdiff_t)r * a->grad.row,
                                          out + (ptrdiff_t)r * a->out.row, a->head);
        w->rows->attention_ds(p + r * ld, ds + r * ld, own, lse, (float)delta, a->scale);
        memset(p + r * ld + own, 0, (seen - own) * sizeof *p);
        memset(ds + r * ld + own, 0, (seen - own) * sizeof *ds);
      }
      k->pack_fp32(grad_rows, nr * m, grad, m, a->head, a->grad.row, 1, nr);
      k->pack_fp32(q_rows, nr * m, q, m, a->head, a->q.row, 1, nr);
      k->tile_strided(seen, a->head, m, p, 1, (ptrdiff_t)ld, grad_rows, nr * m, dv,
                      (size_t)a->dv.row, true);
      k->tile_strided(seen, a->head, m, ds, 1, (ptrdiff_t)ld, q_rows, nr * m, dk, (size_t)a->dk.row,
                      true);
      k->tile_strided(m, a->head, seen, ds, (ptrdiff_t)ld, 1, key_rows, nr * all,
                      w->dq + at(a->dq, b, h, i), (size_t)a->dq.row, false);
    }
  }
}

void milo_attention_grad_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                             const float *grad, const float *q, const float *k, const float *v,
                             const float *out, const float *lse, float *dq, float *dk, float *dv,
                             void *workspace) {
  if (a->batch * a->kv_heads == 0) return;
  job w = start(exec, a, position);
  w.q = q;
  w.k = k;
  w.v = v;
  w.grad = grad;
  w.out_in = out;
  w.lse_in = lse;
  w.dq = dq;
  w.dk = dk;
  w.dv = dv;
  w.workspace = workspace;
  w.worker_floats = milo_attention_grad_workspace_bytes(exec, a) / sizeof(float) /
                    (size_t)milo_pool_threads(exec->pool);
  milo_pool_run(exec->pool, a->batch * a->kv_heads, grad_task, &w);
}
