// SPDX-License-Identifier: MIT
// One task is one key/value head of one sequence, with all the query heads that read it: its keys
// and values are packed once, then blocks of queries go over all keys that they see. Scores of a
// block (about 60 rows) stay in L2.
#include "kernels/attention.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/convert.h"

enum { BLOCK_ROWS = 60, HEAD_PART = 256 };

static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

// Floats of a worker's memory. A packed unit takes one.
typedef struct layout {
  size_t block;       // queries at a time
  size_t ld;          // of scores: an odd number of cache lines, so that columns spread over sets
  size_t head_units;  // of a head's width, as depth
  size_t keys;        // panels of keys as columns: [keys / nr][head][nr]
  size_t rows;        // panels of keys as rows: [head / nr][keys][nr]
  size_t block_rows;  // panels of a block of queries as rows: [head / nr][block][nr]
  size_t left;        // panels of a left side: a block of queries, or all keys
  size_t scores, result, sums;
} layout;

static layout plan(const milo_product *k, const milo_attention *a) {
  layout l = {.block = round_up(BLOCK_ROWS, k->mr)};
  l.ld = round_up(a->keys, k->nr);
  l.ld = round_up(l.ld, 32) + 16;
  l.head_units = milo_product_units(k, a->head);
  const size_t columns = round_up(a->head, k->nr), units = milo_product_units(k, a->keys);
  l.keys = round_up(a->keys, k->nr) * l.head_units;
  l.rows = columns * units;
  l.block_rows = columns * milo_product_units(k, l.block);
  l.left = max_size(l.block * max_size(l.head_units, units),
                    round_up(a->keys, k->mr) * milo_product_units(k, l.block));
  l.left = round_up(l.left, 16);
  l.scores = l.block * l.ld;
  l.result = l.block * a->head;
  l.sums = a->keys * a->head;
  return l;
}

static size_t forward_floats(const layout *l) {
  return round_up(l->keys + l->rows + l->left + l->scores + l->result, 16);
}

static size_t grad_floats(const layout *l) {
  return round_up(
      2 * l->keys + l->rows + 2 * l->block_rows + l->left + 2 * l->scores + l->result + 2 * l->sums,
      16);
}

size_t milo_attention_workspace_bytes(const milo_exec *exec, const milo_attention *a) {
  const layout l = plan(milo_exec_product(exec, a->mode), a);
  return (size_t)milo_pool_threads(exec->pool) * sizeof(float) * forward_floats(&l);
}

size_t milo_attention_grad_workspace_bytes(const milo_exec *exec, const milo_attention *a) {
  const layout l = plan(milo_exec_product(exec, a->mode), a);
  return (size_t)milo_pool_threads(exec->pool) * sizeof(float) * grad_floats(&l);
}

typedef struct job {
  const milo_rows *rows;
  const milo_product *product;
  const milo_attention *a;
  layout l;
  int64_t position;
  const void *q, *k, *v, *grad, *out_in;
  const float *lse_in;
  void *out, *dq, *dk, *dv;
  float *lse, *workspace;
} job;

static job start(const milo_exec *exec, const milo_attention *a, int64_t position) {
  const milo_product *product = milo_exec_product(exec, a->mode);
  return (job){
      .rows = exec->rows, .product = product, .a = a, .l = plan(product, a), .position = position};
}

// Keys that query i sees: [0, result).
static size_t visible(const job *w, size_t i) {
  if (!w->a->causal) return w->a->keys;
  const int64_t end = (int64_t)i + w->position + 1;
  return end < 0 ? 0 : (uint64_t)end < w->a->keys ? (size_t)end : w->a->keys;
}

// A row of heads.
static void *at(const milo_heads *h, const void *data, size_t batch, size_t head, size_t row) {
  const ptrdiff_t elements =
      (ptrdiff_t)batch * h->batch + (ptrdiff_t)head * h->head + (ptrdiff_t)row * h->row;
  const char *to = (const char *)data + elements * (ptrdiff_t)(milo_dtype_bits(h->dtype) / 8);
  void *out = NULL;
  memcpy(&out, &to, sizeof out);
  return out;
}

// ---- operands ----

// Rows as columns: what scores are made with.
static void pack_columns(const job *w, float *to, const void *from, const milo_heads *h,
                         size_t count) {
  const milo_product *k = w->product;
  milo_product_packer(k, h->dtype)(to, w->l.head_units * k->nr, from, w->a->head, count, 1, h->row,
                                   k->nr);
}

// Rows as rows: depth is their number.
static void pack_rows(const job *w, float *to, const void *from, const milo_heads *h,
                      size_t count) {
  const milo_product *k = w->product;
  milo_product_packer(k, h->dtype)(to, milo_product_units(k, count) * k->nr, from, count,
                                   w->a->head, h->row, 1, k->nr);
}

// c = (add: +=) left right: left m x depth, element (i, p) at i * rs + p * cs.
static void multiply(const job *w, size_t m, size_t n, size_t depth, const void *left,
                     milo_dtype dtype, ptrdiff_t rs, ptrdiff_t cs, const float *right,
                     size_t right_panel, float *c, size_t ldc, bool add, float *room) {
  const milo_product *k = w->product;
  if (k->tile_strided != NULL && dtype == MILO_FP32) {
    k->tile_strided(m, n, depth, left, rs, cs, right, right_panel, c, ldc, add);
    return;
  }
  const size_t units = milo_product_units(k, depth);
  milo_product_packer(k, dtype)(room, units * k->mr, left, depth, m, cs, rs, k->mr);
  k->tile(m, n, units, room, units * k->mr, right, right_panel, c, ldc, add);
}

// Scores of m rows of heads and the keys packed as columns, times the scale.
static void score(const job *w, size_t m, size_t seen, const void *rows, const milo_heads *h,
                  const float *columns, float *scores, float scale, float *room) {
  multiply(w, m, seen, w->a->head, rows, h->dtype, h->row, 1, columns,
           w->l.head_units * w->product->nr, scores, w->l.ld, false, room);
  if (scale == 1.0f) return;
  for (size_t r = 0; r < m; ++r)
    w->rows->scale(scores + r * w->l.ld, scores + r * w->l.ld, seen, scale, -0.0f);
}

// m rows of width head to where they belong, times one factor each (NULL: 1).
static void store(const job *w, const milo_heads *h, void *to, size_t m, float *from,
                  const float *factors) {
  const size_t head = w->a->head;
  for (size_t r = 0; r < m; ++r) {
    float *row = from + r * head;
    if (factors) w->rows->scale(row, row, head, factors[r], -0.0f);
    milo_store_f32(w->rows, at(h, to, 0, 0, r), h->dtype, 1, row, head);
  }
}

// ---- forward ----

static void attention_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_attention *a = w->a;
  const milo_product *k = w->product;
  const layout *l = &w->l;
  const size_t b = t / a->kv_heads, kv = t % a->kv_heads, group = a->heads / a->kv_heads;
  const size_t all = visible(w, a->queries - 1);
  float *columns = w->workspace + (size_t)worker * forward_floats(l);
  float *rows = columns + l->keys, *room = rows + l->rows, *scores = room + l->left;
  float *result = scores + l->scores;
  pack_columns(w, columns, at(&a->k, w->k, b, kv, 0), &a->k, all);
  pack_rows(w, rows, at(&a->v, w->v, b, kv, 0), &a->v, all);
  for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
    for (size_t i = 0; i < a->queries; i += l->block) {
      const size_t m = min_size(l->block, a->queries - i), seen = visible(w, i + m - 1);
      float inverse[128];
      assert(m <= sizeof inverse / sizeof *inverse);
      score(w, m, seen, at(&a->q, w->q, b, h, i), &a->q, columns, scores, a->scale, room);
      for (size_t r = 0; r < m; ++r) {
        float *row = scores + r * l->ld;
        const size_t own = visible(w, i + r);
        const float max = own > 0 ? w->rows->max(row, own) : 0.0f;
        const double total = own > 0 ? w->rows->exp_sum(row, row, own, max) : 0.0;
        memset(row + own, 0, (seen - own) * sizeof *row);
        w->lse[(b * a->heads + h) * a->queries + i + r] = (float)((double)max + log(total));
        inverse[r] = total == 0.0 ? 0.0f : (float)(1.0 / total);
      }
      multiply(w, m, a->head, seen, scores, MILO_FP32, (ptrdiff_t)l->ld, 1, rows,
               milo_product_units(k, all) * k->nr, result, a->head, false, room);
      store(w, &a->out, at(&a->out, w->out, b, h, i), m, result, inverse);
    }
  }
}

void milo_attention_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                        const void *q, const void *k, const void *v, void *out, float *lse,
                        void *workspace) {
  if (a->batch * a->heads * a->queries == 0) return;
  job w = start(exec, a, position);
  w.q = q;
  w.k = k;
  w.v = v;
  w.out = out;
  w.lse = lse;
  w.workspace = workspace;
  milo_pool_run(exec->pool, a->batch * a->kv_heads, attention_task, &w);
}

// ---- gradient ----

// Sum of grad * out over a row.
static double row_dot(const job *w, const void *grad, const void *out) {
  const milo_attention *a = w->a;
  float x[HEAD_PART], y[HEAD_PART];
  double total = 0;
  for (size_t d = 0; d < a->head; d += HEAD_PART) {
    const size_t n = min_size(HEAD_PART, a->head - d);
    const milo_heads part = {0, 0, (ptrdiff_t)d, a->grad.dtype};
    const milo_heads out_part = {0, 0, (ptrdiff_t)d, a->out.dtype};
    milo_load_f32(w->rows, x, at(&part, grad, 0, 0, 1), a->grad.dtype, 1, n);
    milo_load_f32(w->rows, y, at(&out_part, out, 0, 0, 1), a->out.dtype, 1, n);
    total += w->rows->dot(x, y, n);
  }
  return total;
}

// With p = exp(scores - lse), delta = sum(grad out): ds = p (grad v^T - delta) scale, then
// dq = ds k, dk += ds^T q, dv += p^T grad.
static void grad_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_attention *a = w->a;
  const milo_product *k = w->product;
  const layout *l = &w->l;
  const size_t b = t / a->kv_heads, kv = t % a->kv_heads, group = a->heads / a->kv_heads;
  const size_t ld = l->ld, all = visible(w, a->queries - 1);
  float *keys = w->workspace + (size_t)worker * grad_floats(l);
  float *values = keys + l->keys, *key_rows = values + l->keys, *q_rows = key_rows + l->rows;
  float *grad_rows = q_rows + l->block_rows, *room = grad_rows + l->block_rows;
  float *p = room + l->left, *ds = p + l->scores, *result = ds + l->scores;
  float *dk = result + l->result, *dv = dk + l->sums;
  const void *key = at(&a->k, w->k, b, kv, 0);
  pack_columns(w, keys, key, &a->k, all);
  pack_columns(w, values, at(&a->v, w->v, b, kv, 0), &a->v, all);
  pack_rows(w, key_rows, key, &a->k, all);
  memset(dk, 0, 2 * l->sums * sizeof *dk);
  for (size_t h = kv * group; h < (kv + 1) * group; ++h) {
    for (size_t i = 0; i < a->queries; i += l->block) {
      const size_t m = min_size(l->block, a->queries - i), seen = visible(w, i + m - 1);
      const void *q = at(&a->q, w->q, b, h, i), *grad = at(&a->grad, w->grad, b, h, i);
      score(w, m, seen, q, &a->q, keys, p, a->scale, room);
      score(w, m, seen, grad, &a->grad, values, ds, 1.0f, room);
      for (size_t r = 0; r < m; ++r) {
        const size_t own = visible(w, i + r);
        const float lse = w->lse_in[(b * a->heads + h) * a->queries + i + r];
        const double delta =
            row_dot(w, at(&a->grad, grad, 0, 0, r), at(&a->out, w->out_in, b, h, i + r));
        w->rows->attention_ds(p + r * ld, ds + r * ld, own, lse, (float)delta, a->scale);
        memset(p + r * ld + own, 0, (seen - own) * sizeof *p);
        memset(ds + r * ld + own, 0, (seen - own) * sizeof *ds);
      }
      const size_t panel = milo_product_units(k, m) * k->nr;
      pack_rows(w, grad_rows, grad, &a->grad, m);
      pack_rows(w, q_rows, q, &a->q, m);
      multiply(w, seen, a->head, m, p, MILO_FP32, 1, (ptrdiff_t)ld, grad_rows, panel, dv, a->head,
               true, room);
      multiply(w, seen, a->head, m, ds, MILO_FP32, 1, (ptrdiff_t)ld, q_rows, panel, dk, a->head,
               true, room);
      multiply(w, m, a->head, seen, ds, MILO_FP32, (ptrdiff_t)ld, 1, key_rows,
               milo_product_units(k, all) * k->nr, result, a->head, false, room);
      store(w, &a->dq, at(&a->dq, w->dq, b, h, i), m, result, NULL);
    }
  }
  store(w, &a->dk, at(&a->dk, w->dk, b, kv, 0), a->keys, dk, NULL);
  store(w, &a->dv, at(&a->dv, w->dv, b, kv, 0), a->keys, dv, NULL);
}

void milo_attention_grad_run(const milo_exec *exec, const milo_attention *a, int64_t position,
                             const void *grad, const void *q, const void *k, const void *v,
                             const void *out, const float *lse, void *dq, void *dk, void *dv,
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
  milo_pool_run(exec->pool, a->batch * a->kv_heads, grad_task, &w);
}
