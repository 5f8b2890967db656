// SPDX-License-Identifier: MIT
// Attention and its gradient by every row of the table of products, against sums in double. Bounds
// are carried through: u rounds an operand of the row's products, sums of n terms of fp32 lose
// (n + 4) 2^-23 of their magnitude, and exp turns what a score is off into a factor.
#include "kernels/attention.h"

#include "guard.h"

typedef struct shape {
  size_t batch, heads, kv_heads, queries, keys, head;
  bool causal;
  int64_t position;
} shape;

static const shape shapes[] = {
    {1, 1, 1, 1, 1, 1, false, 0},     {1, 2, 1, 3, 3, 5, true, 0},
    {2, 4, 2, 61, 61, 17, true, 0},   {1, 3, 3, 7, 70, 8, true, 63},
    {1, 2, 2, 130, 130, 64, true, 0}, {1, 6, 2, 33, 33, 1, false, 0},
    {1, 2, 1, 13, 33, 33, false, 0},  {1, 1, 1, 9, 5, 6, true, -4},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

// Dense: [batch, heads, rows, head].
static milo_heads dense(size_t heads, size_t rows, size_t head) {
  return (milo_heads){(ptrdiff_t)(heads * rows * head), (ptrdiff_t)(rows * head), (ptrdiff_t)head,
                      MILO_FP32};
}

static float *fill(size_t n, uint64_t stream) {
  float *x = calloc(n + 1, sizeof *x);
  if (x == NULL) abort();
  randomize(x, n, stream);
  return x;
}

static bool within(const float *got, const double *want, const double *bound, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!(fabs((double)got[i] - want[i]) <= bound[i])) {
      printf("# element %zu: %g, not %g (bound %g)\n", i, (double)got[i], want[i], bound[i]);
      return false;
    }
  return true;
}

typedef struct known {
  const shape *s;
  double scale, u;
  float *q, *k, *v, *grad;
  // Results and what they may be off.
  double *out, *lse, *dq, *dk, *dv, *out_off, *lse_off, *dq_off, *dk_off, *dv_off;
  size_t nq, nk, nl;
  float *out32, *lse32;
} known;

static double sum_off(size_t n) { return (double)(n + 4) * 0x1p-23; }

// One query of one head.
static void query(known *t, size_t b, size_t h, size_t i) {
  const shape *s = t->s;
  const size_t d = s->head, kv = h / (s->heads / s->kv_heads);
  const double eps = 2 * t->u + t->u * t->u + sum_off(d);
  const float *q = t->q + ((b * s->heads + h) * s->queries + i) * d;
  const float *g = t->grad + (size_t)(q - t->q);
  const float *keys = t->k + (b * s->kv_heads + kv) * s->keys * d;
  const float *values = t->v + (size_t)(keys - t->k);
  double *out = t->out + (size_t)(q - t->q), *out_off = t->out_off + (size_t)(q - t->q);
  double *dq = t->dq + (size_t)(q - t->q), *dq_off = t->dq_off + (size_t)(q - t->q);
  const int64_t end = (int64_t)i + s->position + 1;
  const size_t seen = !s->causal              ? s->keys
                      : end <= 0              ? 0
                      : (size_t)end > s->keys ? s->keys
                                              : (size_t)end;
  double score[256], most = -HUGE_VAL, off = 0, total = 0;
  for (size_t j = 0; j < seen; j++) {
    double terms = score[j] = 0;
    for (size_t c = 0; c < d; c++) {
      score[j] += t->scale * (double)q[c] * (double)keys[j * d + c];
      terms += t->scale * fabs((double)q[c] * (double)keys[j * d + c]);
    }
    most = fmax(most, score[j]);
    off = fmax(off, terms * eps);
  }
  for (size_t j = 0; j < seen; j++) total += exp(score[j] - most);
  const size_t at = (b * s->heads + h) * s->queries + i;
  t->lse[at] = seen > 0 ? most + log(total) : -HUGE_VAL;
  t->lse_off[at] = seen > 0 ? off + 1e-6 * (2 + fabs(t->lse[at])) : 0;
  t->lse32[at] = (float)t->lse[at];
  const double factor = exp(2 * off) * (1 + t->u) * (1 + t->u) * (1 + 2 * sum_off(seen)) - 1;
  double delta = 0, delta_terms = 0;
  for (size_t c = 0; c < d; c++) {
    double terms = 0;
    for (size_t j = 0; j < seen; j++) {
      const double term = exp(score[j] - t->lse[at]) * (double)values[j * d + c];
      out[c] += term;
      terms += fabs(term);
    }
    out_off[c] = factor * terms + 1e-30;
    t->out32[(size_t)(q - t->q) + c] = (float)out[c];
    delta += (double)g[c] * out[c];
    delta_terms += fabs((double)g[c] * out[c]);
  }
  const double p_off = exp(off + (fabs(t->lse[at]) + 8) * 0x1p-22) - 1;
  for (size_t j = 0; j < seen; j++) {
    const double p = exp(score[j] - t->lse[at]);
    double dp = 0, dp_terms = 0;
    for (size_t c = 0; c < d; c++) {
      dp += (double)g[c] * (double)values[j * d + c];
      dp_terms += fabs((double)g[c] * (double)values[j * d + c]);
    }
    const double ds = t->scale * p * (dp - delta);
    const double ds_off = t->scale * p *
                          ((1 + p_off) * (dp_terms * eps + delta_terms * sum_off(d)) +
                           (p_off + 0x1p-20) * fabs(dp - delta));
    const double rest = 2 * t->u + t->u * t->u + sum_off(s->keys + s->queries * s->heads);
    for (size_t c = 0; c < d; c++) {
      const size_t k = (size_t)(keys - t->k) + j * d + c;
      const double key = fabs((double)t->k[k]), qc = fabs((double)q[c]), gc = fabs((double)g[c]);
      dq[c] += ds * (double)t->k[k];
      dq_off[c] += (ds_off + rest * (fabs(ds) + ds_off)) * key;
      t->dk[k] += ds * (double)q[c];
      t->dk_off[k] += (ds_off + rest * (fabs(ds) + ds_off)) * qc;
      t->dv[k] += p * (double)g[c];
      t->dv_off[k] += (p_off + rest * (1 + p_off)) * p * gc;
    }
  }
}

static void work_out(known *t) {
  const shape *s = t->s;
  double **const all[] = {&t->out,     &t->lse,     &t->dq,     &t->dk,     &t->dv,
                          &t->out_off, &t->lse_off, &t->dq_off, &t->dk_off, &t->dv_off};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if ((*all[i] = calloc(t->nq + t->nk + t->nl, sizeof(double))) == NULL) abort();
  for (size_t b = 0; b < s->batch; b++)
    for (size_t h = 0; h < s->heads; h++)
      for (size_t i = 0; i < s->queries; i++) query(t, b, h, i);
}

static void forget(known *t) {
  double *const all[] = {t->out,     t->lse,     t->dq,     t->dk,     t->dv,
                         t->out_off, t->lse_off, t->dq_off, t->dk_off, t->dv_off};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
  float *const floats[] = {t->q, t->k, t->v, t->grad, t->out32, t->lse32};
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) free(floats[i]);
}

static milo_pool *pool;

static void check(const milo_product *row) {
  if (row->sum != MILO_FP32 || row->pack_fp32 == NULL) return;
  for (size_t n = 0; n < SHAPES; n++) {
    const shape *s = &shapes[n];
    known t = {.s = s, .scale = 0.3, .u = row->packed == MILO_BF16 ? 0x1p-8 : 0};
    t.nq = s->batch * s->heads * s->queries * s->head;
    t.nk = s->batch * s->kv_heads * s->keys * s->head;
    t.nl = s->batch * s->heads * s->queries;
    t.q = fill(t.nq, 1);
    t.k = fill(t.nk, 2);
    t.v = fill(t.nk, 3);
    t.grad = fill(t.nq, 4);
    t.out32 = fill(t.nq, 5);
    t.lse32 = fill(t.nl, 6);
    t.scale = (double)(float)t.scale;
    work_out(&t);
    const milo_heads q = dense(s->heads, s->queries, s->head);
    const milo_heads k = dense(s->kv_heads, s->keys, s->head);
    const milo_attention a = {.batch = s->batch,
                              .heads = s->heads,
                              .kv_heads = s->kv_heads,
                              .queries = s->queries,
                              .keys = s->keys,
                              .head = s->head,
                              .scale = 0.3f,
                              .causal = s->causal,
                              .mode = row->mode,
                              .q = q,
                              .k = k,
                              .v = k,
                              .out = q,
                              .grad = q,
                              .dq = q,
                              .dk = k,
                              .dv = k};
    float *got[2][5];
    for (int threads = 0; threads < 2; threads++) {
      milo_exec exec = milo_exec_select(milo_cpu_detect(), threads ? pool : NULL);
      exec.products[row->mode] = row;
      const size_t bytes[2] = {milo_attention_workspace_bytes(&exec, &a),
                               milo_attention_grad_workspace_bytes(&exec, &a)};
      const guarded room[2] = {guard_bytes((bytes[0] + 63) / 64 * 64),
                               guard_bytes((bytes[1] + 63) / 64 * 64)};
      float **r = got[threads];
      const size_t sizes[5] = {t.nq, t.nl, t.nq, t.nk, t.nk};
      for (int i = 0; i < 5; i++) r[i] = fill(sizes[i], 9);
      milo_attention_run(&exec, &a, s->position, t.q, t.k, t.v, r[0], r[1], room[0].data);
      milo_attention_grad_run(&exec, &a, s->position, t.grad, t.q, t.k, t.v, t.out32, t.lse32, r[2],
                              r[3], r[4], room[1].data);
      unguard(room[0]);
      unguard(room[1]);
    }
    float **r = got[0];
    bool good = CHECK(within(r[0], t.out, t.out_off, t.nq));
    for (size_t i = 0; i < t.nl; i++)
      good = CHECK(isinf(t.lse[i]) ? isinf(r[1][i]) != 0
                                   : fabs((double)r[1][i] - t.lse[i]) <= t.lse_off[i]) &&
             good;
    good = CHECK(within(r[2], t.dq, t.dq_off, t.nq)) && good;
    good = CHECK(within(r[3], t.dk, t.dk_off, t.nk)) && good;
    good = CHECK(within(r[4], t.dv, t.dv_off, t.nk)) && good;
    const size_t sizes[5] = {t.nq, t.nl, t.nq, t.nk, t.nk};
    for (int i = 0; i < 5; i++)
      good = CHECK(memcmp(got[0][i], got[1][i], sizes[i] * sizeof(float)) == 0) && good;
    if (!good) printf("# %s: shape %zu\n", row->name, n);
    for (int i = 0; i < 10; i++) free(got[i / 5][i % 5]);
    forget(&t);
  }
}

static void test_rows(void) { each_product(check); }

int main(void) {
  if (milo_pool_create(3, NULL, &pool) != MILO_OK) return 1;
  RUN(test_rows);
  milo_pool_destroy(pool);
  return tap_done();
}
