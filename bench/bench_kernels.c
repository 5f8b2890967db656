// SPDX-License-Identifier: MIT
// Times kernels, one JSON line each: best of several runs in ns, what that makes in GFLOP/s or
// GB/s, and the ratio to the peak that the same run measures (a register tile on operands in L1 for
// arithmetic, a long sum for memory). Matrix products also by BLAS, if it is there. Arguments:
// threads (default 1), a part of a name to choose ("": all), a set.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/pool.h"
#include "kernels/attention.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"

enum { MAX_PRODUCTS = 32 };

typedef struct bench {
  milo_exec exec;
  int threads;
  const char *only, *only_set;
  const char *set;       // of the table that is walked
  milo_sgemm_fn *sgemm;  // the system's BLAS or NULL
  double peak_gflops, peak_gbytes;
  double row_gflops;  // of the row of products at hand
  double row_peaks[MAX_PRODUCTS];
  float *x, *y, *z;  // FLOATS each
} bench;

enum { FLOATS = 1 << 24 };

static void *memory(size_t bytes) {
  void *data = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (data == NULL) {
    fprintf(stderr, "bench_kernels: out of memory\n");
    exit(1);
  }
  memset(data, 0, bytes);
  return data;
}

typedef void work_fn(const bench *b, const void *args);

// One thread: processor time, so that others on the machine disturb less. More: time on the clock.
static double now_s(const bench *b) {
  struct timespec t;
  if (b->threads > 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) return milo_clock_s();
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Best time of one call, over about a third of a second and at least 3 rounds.
static double best_s(const bench *b, work_fn *work, const void *args) {
  work(b, args);
  double best = INFINITY;
  const double start = now_s(b);
  for (int round = 0; round < 3 || now_s(b) - start < 0.3; round++) {
    const double before = now_s(b);
    work(b, args);
    best = fmin(best, now_s(b) - before);
  }
  return best;
}

// "row+packed" too where "row" is asked for.
static bool chosen(const bench *b, const char *set) {
  if (b->only_set == NULL) return true;
  const size_t n = strlen(b->only_set);
  return strncmp(set, b->only_set, n) == 0 && (set[n] == '\0' || set[n] == '+');
}

static void report(const bench *b, const char *name, work_fn *work, const void *args, double flops,
                   double bytes) {
  if (b->only != NULL && strstr(name, b->only) == NULL) return;
  if (!chosen(b, b->set)) return;
  const double s = best_s(b, work, args);
  printf("{\"kernel\": \"%s\", \"set\": \"%s\", \"threads\": %d, \"ns\": %.0f", name, b->set,
         b->threads, s * 1e9);
  if (flops > 0)
    printf(", \"gflops\": %.1f, \"of_peak\": %.3f", flops / s * 1e-9,
           flops / s * 1e-9 / b->row_gflops);
  if (bytes > 0)
    printf(", \"gbytes\": %.1f, \"of_memory\": %.3f", bytes / s * 1e-9,
           bytes / s * 1e-9 / b->peak_gbytes);
  printf("}\n");
  fflush(stdout);
}

// ---- peaks ----

enum { TILE_DEPTH = 256, TILE_ROUNDS = 2000 };

typedef struct tiles {
  const bench *b;
  const milo_product *row;
} tiles;

static void peak_task(void *user, size_t i, int worker) {
  const tiles *t = user;
  (void)worker;
  const milo_product *k = t->row;
  float *c = t->b->z + i * 65536;
  for (int round = 0; round < TILE_ROUNDS; round++)
    k->tile(k->mr, k->nr, TILE_DEPTH, t->b->x, k->mr * TILE_DEPTH, t->b->y, k->nr * TILE_DEPTH, c,
            k->nr, false);
}

static void peak(const bench *b, const void *args) {
  tiles t = {b, args};
  milo_pool_run(b->exec.pool, (size_t)b->threads, peak_task, &t);
}

// Of a row's tile: operands and sums stay in L1.
static double peak_gflops(const bench *b, const milo_product *row) {
  const double flops = 2.0 * (double)(row->mr * row->nr * row->group) * TILE_DEPTH * TILE_ROUNDS;
  return flops * b->threads / best_s(b, peak, row) * 1e-9;
}

static void sum_task(void *user, size_t i, int worker) {
  (void)worker;
  const bench *b = user;
  const size_t n = FLOATS / (size_t)b->threads;
  b->z[i * 16] = (float)b->exec.rows->sum(b->x + i * n, n);
}

static void long_sum(const bench *b, const void *args) {
  (void)args;
  bench copy = *b;
  milo_pool_run(b->exec.pool, (size_t)b->threads, sum_task, &copy);
}

// ---- matrix products and attention ----

typedef struct product {
  milo_gemm g;
  void *workspace;
} product;

static void run_product(const bench *b, const void *args) {
  const product *p = args;
  milo_gemm_run(&b->exec, &p->g, NULL, NULL, b->z, p->workspace);
}

// Every row of the table of products that this machine has, also with the right side packed ahead
// ("+packed"), then BLAS, where it is installed and the product large enough to be asked.
static void matrix(bench *b, size_t m, size_t n, size_t k, bool ta, bool tb) {
  char name[64], set[64];
  product p = {.g = {.m = m, .n = n, .k = k, .batch = 1, .ldc = n}};
  p.g.a = (milo_matrix){b->x, MILO_FP32, (ptrdiff_t)(ta ? 1 : k), (ptrdiff_t)(ta ? m : 1)};
  p.g.b = (milo_matrix){b->y, MILO_FP32, (ptrdiff_t)(tb ? 1 : n), (ptrdiff_t)(tb ? k : 1)};
  snprintf(name, sizeof name, "gemm_%c%c_%zux%zux%zu", ta ? 't' : 'n', tb ? 't' : 'n', m, n, k);
  if (b->only != NULL && strstr(name, b->only) == NULL) return;
  const double flops = 2.0 * (double)m * (double)n * (double)k, peak_before = b->row_gflops;
  const milo_exec best = b->exec;
  for (size_t v = 0; milo_product_variants[v] != NULL; v++) {
    const milo_product *row = milo_product_variants[v];
    if ((row->caps & ~milo_cpu_detect()) != 0 || milo_product_packer(row, MILO_FP32) == NULL)
      continue;
    if (!chosen(b, row->name)) continue;
    p.g.mode = row->mode;
    b->exec.products[row->mode] = row;
    b->row_gflops = b->row_peaks[v];
    for (int ahead = 0; ahead < 2; ahead++) {
      milo_packed packed = milo_packed_layout(&b->exec, row->mode, MILO_RIGHT, n, k);
      void *room = ahead ? memory(milo_packed_bytes(&packed)) : NULL;
      if (ahead) milo_packed_fill(&b->exec, &packed, &p.g.b, room);
      p.g.packed_b = ahead ? &packed : NULL;
      snprintf(set, sizeof set, "%s%s", row->name, ahead ? "+packed" : "");
      b->set = set;
      p.workspace = memory(milo_gemm_workspace_bytes(&b->exec, &p.g));
      report(b, name, run_product, &p, flops, 0);
      free(p.workspace);
      free(room);
    }
    p.g.packed_b = NULL;
    b->exec = best;
  }
  b->row_gflops = peak_before;
  p.g.mode = MILO_NUMERIC_EXACT;
  b->set = "blas";
  b->exec.sgemm = b->sgemm;
  p.workspace = memory(milo_gemm_workspace_bytes(&b->exec, &p.g));
  if (milo_blas_takes(&b->exec, &p.g)) report(b, name, run_product, &p, flops, 0);
  free(p.workspace);
  b->exec = best;
}

typedef struct filling {
  milo_packed packed;
  milo_matrix x;
  void *room;
} filling;

static void run_filling(const bench *b, const void *args) {
  filling f = *(const filling *)args;
  milo_packed_fill(&b->exec, &f.packed, &f.x, f.room);
}

// A weight, packed for x W^T or for dy W.
static void pack(bench *b, size_t out, size_t in, bool transposed) {
  char name[64];
  snprintf(name, sizeof name, "pack_%c_%zux%zu", transposed ? 't' : 'n', out, in);
  for (int mode = 0; mode < MILO_NUMERIC_COUNT; mode++) {
    if (b->exec.products[mode] == NULL || b->exec.products[mode]->pack_fp32 == NULL) continue;
    const size_t n = transposed ? out : in, k = transposed ? in : out;
    filling f = {.packed = milo_packed_layout(&b->exec, (milo_numeric)mode, MILO_RIGHT, n, k)};
    f.x = (milo_matrix){b->x, MILO_FP32, (ptrdiff_t)(transposed ? 1 : in),
                        (ptrdiff_t)(transposed ? in : 1)};
    f.room = memory(milo_packed_bytes(&f.packed));
    b->set = b->exec.products[mode]->name;
    report(b, name, run_filling, &f, 0, (double)(n * k * 4) + (double)milo_packed_bytes(&f.packed));
    free(f.room);
  }
}

typedef struct heads {
  milo_attention a;
  float *lse;
  void *workspace;
  bool grad;
} heads;

static void run_heads(const bench *b, const void *args) {
  const heads *h = args;
  const size_t n = h->a.batch * h->a.heads * h->a.queries * h->a.head;
  float *out = b->z, *dq = b->z + n, *dk = dq + n, *dv = dk + n;
  if (h->grad)
    milo_attention_grad_run(&b->exec, &h->a, 0, b->x, b->x, b->y, b->y, out, h->lse, dq, dk, dv,
                            h->workspace);
  else
    milo_attention_run(&b->exec, &h->a, 0, b->x, b->y, b->y, out, h->lse, h->workspace);
}

static void attention(bench *b, size_t batch, size_t nh, size_t kv, size_t head) {
  enum { S = 256 };
  const milo_heads q = {(ptrdiff_t)(S * nh * head), (ptrdiff_t)head, (ptrdiff_t)(nh * head),
                        MILO_FP32};
  const milo_heads k = {(ptrdiff_t)(S * kv * head), (ptrdiff_t)head, (ptrdiff_t)(kv * head),
                        MILO_FP32};
  heads h = {
      .a = {batch, nh, kv, S, S, head, 0.125f, true, MILO_NUMERIC_EXACT, q, k, k, q, q, q, k, k}};
  h.lse = memory(batch * nh * S * sizeof(float));
  // Multiplications and additions of the half of the scores that is seen.
  const double pairs = (double)(batch * nh) * S * (S + 1) / 2;
  char name[64];
  for (int mode = MILO_NUMERIC_EXACT; mode <= MILO_NUMERIC_BF16; mode++) {
    if (b->exec.products[mode] == NULL) continue;
    b->set = b->exec.products[mode]->name;
    h.a.mode = (milo_numeric)mode;
    h.workspace = memory(milo_attention_grad_workspace_bytes(&b->exec, &h.a));
    for (int grad = 0; grad < 2; grad++) {
      h.grad = grad;
      snprintf(name, sizeof name, "attention%s_%zux%zux%dx%zu", grad ? "_grad" : "", batch, nh, S,
               head);
      report(b, name, run_heads, &h, pairs * (double)head * (grad ? 10 : 4), 0);
    }
    free(h.workspace);
  }
  free(h.lse);
}

// ---- rows ----

enum { ROW = 768, ROWS = FLOATS / 4 / ROW };

static void run_unary(const bench *b, const void *args) {
  const int *code = args;
  b->exec.rows->unary[*code](b->z, b->x, 16384, (const float[2]){0, 0});
}
static void run_rms(const bench *b, const void *args) {
  (void)args;
  for (size_t i = 0; i < ROWS; i++)
    b->exec.rows->rms_norm(b->z + i * ROW, b->x + i * ROW, b->y, ROW, 1e-5f);
}
static void run_add(const bench *b, const void *args) {
  (void)args;
  b->exec.rows->binary[MILO_BINARY_add](b->z, b->x, b->y, FLOATS);
}
static void run_adamw(const bench *b, const void *args) {
  (void)args;
  const milo_adamw step = {1e-4f, 1, 0.1f, 0.05f, 0.9f, 0.95f, 1e-8f, 0.1f};
  const size_t n = FLOATS / 4;
  b->exec.rows->adamw(b->z, b->z + n, b->z + 2 * n, b->x, n, &step);
}
static void run_exp_sum(const bench *b, const void *args) {
  (void)args;
  b->exec.rows->exp_sum(b->z, b->x, 16384, 2);
}

int main(int argc, char **argv) {
  bench b = {.threads = argc > 1 ? atoi(argv[1]) : 1, .only = argc > 2 ? argv[2] : NULL};
  b.only_set = argc > 3 ? argv[3] : NULL;
  if (b.threads < 1) {
    fprintf(stderr, "usage: bench_kernels [THREADS [NAME [SET]]]\n");
    return 2;
  }
  milo_pool *pool;
  if (milo_pool_create(b.threads, NULL, &pool) != MILO_OK) return 1;
  b.exec = milo_exec_select(milo_cpu_detect(), pool);
  b.sgemm = milo_blas_open();
  b.x = memory(FLOATS * sizeof(float));
  b.y = memory(FLOATS * sizeof(float));
  b.z = memory(2 * (size_t)FLOATS * sizeof(float));
  for (size_t i = 0; i < FLOATS; i++) {
    b.x[i] = (float)((i * 7919) % 2001) / 1000.0f - 1.0f;
    b.y[i] = (float)((i * 104729) % 2001) / 1000.0f - 1.0f;
  }
  for (size_t v = 0; milo_product_variants[v] != NULL; v++) {
    const milo_product *row = milo_product_variants[v];
    if ((row->caps & ~milo_cpu_detect()) != 0) continue;
    b.row_peaks[v] = peak_gflops(&b, row);
    printf("{\"row\": \"%s\", \"peak_gflops\": %.1f}\n", row->name, b.row_peaks[v]);
  }
  b.row_gflops = b.peak_gflops = peak_gflops(&b, b.exec.products[MILO_NUMERIC_EXACT]);
  b.peak_gbytes = (double)FLOATS * 4 / best_s(&b, long_sum, NULL) * 1e-9;
  printf("{\"peak_gflops\": %.1f, \"peak_gbytes\": %.1f, \"threads\": %d}\n", b.peak_gflops,
         b.peak_gbytes, b.threads);

  // A step of the 110M model at 2,048 tokens: forward, gradients of activations, of weights. Of the
  // classifier a quarter.
  static const size_t layers[][2] = {{768, 768}, {2048, 768}, {768, 2048}, {8000, 768}};
  for (int direction = 0; direction < 3; direction++)
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
      const size_t out = layers[i][0], in = layers[i][1], rows = 2048;
      if (direction == 0) matrix(&b, rows, out, in, false, true);
      if (direction == 1) matrix(&b, rows, in, out, false, false);
      if (direction == 2) matrix(&b, out, in, rows, true, false);
    }
  matrix(&b, 256, 2048, 768, false, true);  // one sequence
  matrix(&b, 256, 768, 2048, false, false);
  matrix(&b, 4096, 64, 64, false, true);  // the 260K model
  matrix(&b, 4096, 172, 64, false, true);
  matrix(&b, 64, 64, 4096, true, false);
  matrix(&b, 172, 64, 4096, true, false);
  matrix(&b, 1, 8000, 768, false, true);   // a token at a time
  matrix(&b, 96, 8000, 768, false, true);  // few rows, many columns
  for (int transposed = 0; transposed < 2; transposed++) {
    pack(&b, 2048, 768, transposed);
    pack(&b, 768, 2048, transposed);
  }
  attention(&b, 8, 12, 12, 64);
  attention(&b, 16, 8, 4, 8);
  static const struct {
    const char *name;
    int code;
  } unaries[] = {{"exp", MILO_UNARY_exp},   {"log", MILO_UNARY_log},
                 {"tanh", MILO_UNARY_tanh}, {"sigmoid", MILO_UNARY_sigmoid},
                 {"erf", MILO_UNARY_erf},   {"silu", MILO_UNARY_silu}};
  for (size_t v = 0; milo_rows_variants[v] != NULL; v++) {
    if ((milo_rows_variants[v]->caps & ~milo_cpu_detect()) != 0) continue;
    b.exec.rows = milo_rows_variants[v];
    b.set = b.exec.rows->name;
    for (size_t i = 0; i < sizeof unaries / sizeof *unaries; i++)
      report(&b, unaries[i].name, run_unary, &unaries[i].code, 0, 16384.0 * 8);
    report(&b, "exp_sum", run_exp_sum, NULL, 0, 16384.0 * 8);
    report(&b, "rms_norm", run_rms, NULL, 0, (double)ROWS * ROW * 8);
    report(&b, "add", run_add, NULL, 0, (double)FLOATS * 12);
    report(&b, "adamw", run_adamw, NULL, 0, FLOATS / 4.0 * 28);
  }
  free(b.x);
  free(b.y);
  free(b.z);
  milo_pool_destroy(b.exec.pool);
  return 0;
}
