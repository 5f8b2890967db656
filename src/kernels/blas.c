// SPDX-License-Identifier: MIT
#include "kernels/blas.h"

#include <dlfcn.h>
#include <limits.h>

#include "kernels/blas_threads.h"
#include "kernels/epilogue.h"

enum {
  ROW_MAJOR = 101,  // CBLAS's own numbers
  NO_TRANSPOSE = 111,
  TRANSPOSE = 112,
  TILE_ROWS = 256,
  SUM_COLUMNS = 1024,  // of a tile whose sums are not in c
  MIN_FLOPS = 1 << 14,
};

milo_sgemm_fn *milo_blas_open(void) {
  static const char *const libraries[] = {
      "libopenblas.so.0", "libopenblas.so", "libopenblas.dylib",
      "/System/Library/Frameworks/Accelerate.framework/Accelerate"};
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    void *library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
    void *symbol = library == NULL ? NULL : dlsym(library, "cblas_sgemm");
    if (symbol == NULL) continue;
    // POSIX gives functions as object pointers; the copy is how both are of one size.
    milo_sgemm_fn *sgemm;
    *(void **)(void *)&sgemm = symbol;
    milo_blas_threads_find(library);
    return sgemm;
  }
  return NULL;
}

// Leading dimension of a rows x columns operand, 0 if BLAS cannot read it.
static size_t leading(const milo_matrix *x, size_t rows, size_t columns, bool *out_transposed) {
  *out_transposed = x->cs != 1;
  const ptrdiff_t unit = *out_transposed ? x->rs : x->cs, step = *out_transposed ? x->cs : x->rs;
  const size_t inner = *out_transposed ? rows : columns;
  const bool fits =
      x->dtype == MILO_FP32 && unit == 1 && step > 0 && (size_t)step >= inner && step <= INT_MAX;
  return fits ? (size_t)step : 0;
}

bool milo_blas_takes(const milo_exec *exec, const milo_gemm *g) {
  bool transposed;
  return exec->sgemm != NULL && g->packer == NULL && g->m <= INT_MAX && g->n <= INT_MAX &&
         g->k <= INT_MAX && g->ldc <= INT_MAX && g->ldc >= g->n && g->k > 0 && g->n > 0 &&
         (double)g->m * (double)g->n * (double)g->k >= MIN_FLOPS &&
         leading(&g->a, g->m, g->k, &transposed) != 0 &&
         leading(&g->b, g->k, g->n, &transposed) != 0;
}

typedef struct job {
  milo_sgemm_fn *sgemm;
  const milo_rows *rows;
  const milo_gemm *g;
  const float *a, *b;
  void *c;
  float *slots;            // TILE_ROWS x columns a worker, where sums are not in c
  size_t columns, across;  // of a tile; tiles of one product side by side
  size_t tiles;            // of one product
} job;

static size_t tile_columns(const milo_gemm *g) {
  return milo_epilogue_sums_in_c(g) || g->n < SUM_COLUMNS ? g->n : SUM_COLUMNS;
}

size_t milo_blas_workspace_bytes(const milo_exec *exec, const milo_gemm *g) {
  if (!milo_blas_takes(exec, g) || milo_epilogue_sums_in_c(g)) return 0;
  return sizeof(float) * TILE_ROWS * tile_columns(g) * (size_t)milo_pool_threads(exec->pool);
}

static void tile_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_gemm *g = w->g;
  const size_t z = t / w->tiles, tile = t % w->tiles;
  const size_t i = tile / w->across * TILE_ROWS, j = tile % w->across * w->columns;
  const size_t m = g->m - i < TILE_ROWS ? g->m - i : TILE_ROWS;
  const size_t n = g->n - j < w->columns ? g->n - j : w->columns;
  const bool in_c = milo_epilogue_sums_in_c(g);
  float *sums = w->slots + (size_t)worker * TILE_ROWS * w->columns;
  if (in_c) sums = (float *)w->c + (ptrdiff_t)z * g->c_step + (ptrdiff_t)(i * g->ldc + j);
  const size_t ld = in_c ? g->ldc : w->columns;
  bool turn_a, turn_b;
  const size_t lda = leading(&g->a, g->m, g->k, &turn_a), ldb = leading(&g->b, g->k, g->n, &turn_b);
  const int before = milo_blas_call_begin();
  w->sgemm(ROW_MAJOR, turn_a ? TRANSPOSE : NO_TRANSPOSE, turn_b ? TRANSPOSE : NO_TRANSPOSE, (int)m,
           (int)n, (int)g->k, 1.0f, w->a + (ptrdiff_t)z * g->a_step + (ptrdiff_t)i * g->a.rs,
           (int)lda, w->b + (ptrdiff_t)z * g->b_step + (ptrdiff_t)j * g->b.cs, (int)ldb,
           in_c && g->add ? 1.0f : 0.0f, sums, (int)ld);
  milo_blas_call_end(before);
  if (milo_epilogue_exists(g)) milo_epilogue_run(w->rows, g, z, i, m, j, n, sums, ld, w->c);
}

void milo_blas_run(const milo_exec *exec, const milo_gemm *g, const float *a, const float *b,
                   void *c, void *workspace) {
  job w = {.sgemm = exec->sgemm,
           .rows = exec->rows,
           .g = g,
           .a = a,
           .b = b,
           .c = c,
           .slots = workspace,
           .columns = tile_columns(g)};
  w.across = (g->n + w.columns - 1) / w.columns;
  w.tiles = (g->m + TILE_ROWS - 1) / TILE_ROWS * w.across;
  milo_blas_threads_begin();
  milo_pool_run(exec->pool, w.tiles * g->batch, tile_task, &w);
  milo_blas_threads_end();
}
