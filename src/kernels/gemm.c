// SPDX-License-Identifier: MIT
// The outer loops of matrix products. The right side is packed once for all threads, a strip of
// columns at a time; then each task packs blocks of the left side that stay in its L2 and goes over
// one tile of the output.
#include "kernels/gemm.h"

#include <string.h>

#include "kernels/blas.h"
#include "kernels/convert.h"

enum {
  PANEL_FLOATS = 6144,     // of a right panel: depth x nr stay in L1
  MC = 144,                // rows of a block: MC x depth of the left side stay in L2
  STRIP_FLOATS = 2 << 20,  // of the packed right side
  PACK_COLUMNS = 64,       // columns of one packing task
  DOT_ROWS = 4,            // up to so many rows, dot products without packing
  MIN_TASKS = 12,
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t divide_up(size_t n, size_t d) { return (n + d - 1) / d; }

// How a product is cut, from its sizes alone.
typedef struct shape {
  bool dot;       // few rows, right side transposed and dense
  bool direct;    // left side's rows read in place: too few columns to pay for packing
  size_t kc;      // depth of a block
  size_t strip;   // columns of a strip
  size_t mc, nc;  // tile of a task
  size_t slot;    // floats of a worker's workspace
} shape;

static shape plan(const milo_kernels *kernels, const milo_gemm *g) {
  shape s = {0};
  const size_t mr = kernels->mr, nr = kernels->nr;
  s.kc = PANEL_FLOATS / nr;
  s.dot = g->m <= DOT_ROWS && g->b.rs == 1 && g->a.cs == 1 && g->a.dtype == MILO_FP32;
  if (s.dot) {
    s.nc = g->n * g->k < 65536 ? g->n : 64;
    s.slot = g->b.dtype == MILO_FP32 ? 0 : 4 * g->k;
    return s;
  }
  size_t strip = STRIP_FLOATS / (g->k ? g->k : 1);
  strip = strip < 4 * nr ? 4 * nr : strip;
  const size_t strips = divide_up(g->n, strip);
  s.strip = strips ? round_up(divide_up(g->n, strips), nr) : nr;
  s.direct = g->a.dtype == MILO_FP32 && g->n <= 192 && g->a.cs == 1;
  // Equal shares, so that no thread is left with a whole block at the end.
  s.mc = g->m ? round_up(divide_up(g->m, divide_up(g->m, MC)), mr) : mr;
  s.nc = s.strip;
  while (s.nc > 4 * nr && divide_up(g->m, s.mc) * divide_up(s.strip, s.nc) * g->batch < MIN_TASKS)
    s.nc = round_up(s.nc / 2, nr);
  while (s.mc > 2 * mr && divide_up(g->m, s.mc) * divide_up(s.strip, s.nc) * g->batch < MIN_TASKS)
    s.mc = round_up(s.mc / 2, mr);
  const size_t kc = min_size(g->k, s.kc);
  if (!s.direct) s.slot += s.mc * kc;
  if (g->a.dtype != MILO_FP32) s.slot += s.mc * kc;
  if (g->b.dtype != MILO_FP32) {
    const size_t pack = PACK_COLUMNS * kc;
    s.slot = pack > s.slot ? pack : s.slot;
  }
  s.slot = round_up(s.slot, 16);
  return s;
}

static size_t strip_floats(const milo_gemm *g, const shape *s) {
  return s->dot ? 0 : round_up(s->strip * g->k, 16);
}

size_t milo_gemm_workspace_bytes(const milo_exec *exec, const milo_gemm *g) {
  const shape s = plan(exec->kernels, g);
  const size_t workers = (size_t)milo_pool_threads(exec->pool);
  // A batch of small products packs each product's strip on its own.
  return sizeof(float) * (s.slot * workers + strip_floats(g, &s) * (g->batch > 1 ? workers : 1));
}

typedef struct job {
  const milo_kernels *kernels;
  const milo_gemm *g;
  shape s;
  const char *a, *b;
  float *c;
  float *slots, *packed;
  size_t j0, columns;  // the strip
} job;

static size_t element_bytes(milo_dtype dtype) { return dtype == MILO_FP32 ? 4 : 2; }

// Packs columns [j, j + n) of b, all k rows, by blocks of kc rows, converting when need be.
static void pack_right(const job *w, const char *b, size_t j, size_t n, float *out, float *slot) {
  const milo_gemm *g = w->g;
  const milo_kernels *k = w->kernels;
  const size_t nr = k->nr, bytes = element_bytes(g->b.dtype), panel = nr * g->k;
  for (size_t j0 = 0; j0 < n; j0 += PACK_COLUMNS) {
    const size_t width = min_size(PACK_COLUMNS, n - j0);
    for (size_t p = 0; p < g->k; p += w->s.kc) {
      const size_t depth = min_size(w->s.kc, g->k - p);
      const char *from =
          b + ((ptrdiff_t)p * g->b.rs + (ptrdiff_t)(j + j0) * g->b.cs) * (ptrdiff_t)bytes;
      float *to = out + j0 * g->k + p * nr;
      if (g->b.dtype == MILO_FP32) {
        k->pack(to, panel, (const float *)(const void *)from, depth, width, g->b.rs, g->b.cs, nr);
      } else if (g->b.cs == 1) {
        milo_convert_rows(k, slot, from, g->b.dtype, depth, width, g->b.rs, 1);
        k->pack(to, panel, slot, depth, width, (ptrdiff_t)width, 1, nr);
      } else {
        milo_convert_rows(k, slot, from, g->b.dtype, width, depth, g->b.cs, g->b.rs);
        k->pack(to, panel, slot, depth, width, 1, (ptrdiff_t)depth, nr);
      }
    }
  }
}

// One tile of the output: rows [i, i + m), columns [j, j + n) of the packed strip.
static void multiply(const job *w, const char *a, const float *packed, float *c, size_t i, size_t m,
                     size_t j, size_t n, float *slot) {
  const milo_gemm *g = w->g;
  const size_t nr = w->kernels->nr, mr = w->kernels->mr, bytes = element_bytes(g->a.dtype);
  const float *b = packed + j * g->k;
  float *to = c + i * g->ldc + j;
  if (g->k == 0 && !g->add)
    for (size_t r = 0; r < m; ++r) memset(to + r * g->ldc, 0, n * sizeof *to);
  for (size_t p = 0; p < g->k; p += w->s.kc) {
    const size_t depth = min_size(w->s.kc, g->k - p);
    const bool add = g->add || p > 0;
    const char *from = a + ((ptrdiff_t)i * g->a.rs + (ptrdiff_t)p * g->a.cs) * (ptrdiff_t)bytes;
    if (w->s.direct) {
      w->kernels->tile(m, n, depth, (const float *)(const void *)from, g->a.rs, g->a.cs, b + p * nr,
                       nr * g->k, to, g->ldc, add);
      continue;
    }
    const float *block = (const float *)(const void *)from;
    ptrdiff_t rs = g->a.rs, cs = g->a.cs;
    if (g->a.dtype != MILO_FP32) {
      float *flat = slot + w->s.mc * min_size(g->k, w->s.kc);
      if (g->a.cs == 1) {
        milo_convert_rows(w->kernels, flat, from, g->a.dtype, m, depth, g->a.rs, 1);
        rs = (ptrdiff_t)depth;
        cs = 1;
      } else {
        milo_convert_rows(w->kernels, flat, from, g->a.dtype, depth, m, g->a.cs, g->a.rs);
        rs = 1;
        cs = (ptrdiff_t)m;
      }
      block = flat;
    }
    w->kernels->pack(slot, depth * mr, block, depth, m, cs, rs, mr);
    w->kernels->tile_packed(m, n, depth, slot, b + p * nr, nr * g->k, to, g->ldc, add);
  }
}

static void pack_task(void *user, size_t i, int worker) {
  const job *w = user;
  const size_t j = i * PACK_COLUMNS, n = min_size(PACK_COLUMNS, w->columns - j);
  pack_right(w, w->b, w->j0 + j, n, w->packed + j * w->g->k, w->slots + (size_t)worker * w->s.slot);
}

static void multiply_task(void *user, size_t t, int worker) {
  const job *w = user;
  const size_t across = divide_up(w->columns, w->s.nc);
  const size_t i = t / across * w->s.mc, j = t % across * w->s.nc;
  multiply(w, w->a, w->packed, w->c + w->j0, i, min_size(w->s.mc, w->g->m - i), j,
           min_size(w->s.nc, w->columns - j), w->slots + (size_t)worker * w->s.slot);
}

// All of one product in one task.
static void whole_task(void *user, size_t z, int worker) {
  const job *w = user;
  const milo_gemm *g = w->g;
  float *slot = w->slots + (size_t)worker * w->s.slot;
  float *packed = w->packed + (size_t)worker * strip_floats(g, &w->s);
  const char *a = w->a + (ptrdiff_t)z * g->a_step * (ptrdiff_t)element_bytes(g->a.dtype);
  const char *b = w->b + (ptrdiff_t)z * g->b_step * (ptrdiff_t)element_bytes(g->b.dtype);
  for (size_t j0 = 0; j0 < g->n; j0 += w->s.strip) {
    const size_t columns = min_size(w->s.strip, g->n - j0);
    pack_right(w, b, j0, columns, packed, slot);
    for (size_t j = 0; j < columns; j += w->s.nc)
      for (size_t i = 0; i < g->m; i += w->s.mc)
        multiply(w, a, packed, w->c + (ptrdiff_t)z * g->c_step + j0, i, min_size(w->s.mc, g->m - i),
                 j, min_size(w->s.nc, columns - j), slot);
  }
}

// Few rows: dot products of rows of a with rows of b transposed.
static void dot_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_gemm *g = w->g;
  const size_t across = divide_up(g->n, w->s.nc);
  const size_t z = t / across, j0 = t % across * w->s.nc, n = min_size(w->s.nc, g->n - j0);
  const float *a = (const float *)(const void *)w->a + (ptrdiff_t)z * g->a_step;
  const size_t bytes = element_bytes(g->b.dtype);
  const char *b = w->b + ((ptrdiff_t)z * g->b_step + (ptrdiff_t)j0 * g->b.cs) * (ptrdiff_t)bytes;
  float *c = w->c + (ptrdiff_t)z * g->c_step + j0;
  float *slot = w->slots + (size_t)worker * w->s.slot;
  for (size_t j = 0; j < n; j += 4) {
    const size_t width = min_size(4, n - j);
    const float *rows = (const float *)(const void *)b;
    size_t ldb = (size_t)g->b.cs;
    if (g->b.dtype != MILO_FP32) {
      milo_convert_rows(w->kernels, slot, b, g->b.dtype, width, g->k, g->b.cs, 1);
      rows = slot;
      ldb = g->k;
    }
    float sums[4 * DOT_ROWS];
    w->kernels->tile_dot(g->m, width, g->k, a, (size_t)g->a.rs, rows, ldb, sums, 4);
    for (size_t i = 0; i < g->m; ++i)
      for (size_t q = 0; q < width; ++q) {
        float *to = c + i * g->ldc + j + q;
        *to = g->add ? *to + sums[i * 4 + q] : sums[i * 4 + q];
      }
    b += (ptrdiff_t)(4 * bytes) * g->b.cs;
  }
}

void milo_gemm_run(const milo_exec *exec, const milo_gemm *g, const void *a, const void *b,
                   float *c, void *workspace) {
  if (g->m == 0 || g->n == 0 || g->batch == 0) return;
  job w = {.kernels = exec->kernels, .g = g, .s = plan(exec->kernels, g), .c = c};
  w.a = a ? a : g->a.data;
  w.b = b ? b : g->b.data;
  if (milo_blas_takes(exec, g)) {
    milo_blas_run(exec, g, (const float *)(const void *)w.a, (const float *)(const void *)w.b, c);
    return;
  }
  w.slots = workspace;
  w.packed = w.slots + w.s.slot * (size_t)milo_pool_threads(exec->pool);
  if (w.s.dot) {
    milo_pool_run(exec->pool, divide_up(g->n, w.s.nc) * g->batch, dot_task, &w);
    return;
  }
  // Many small products: one a task. The tiles, and so the sums, are the same either way.
  if (g->batch >= MIN_TASKS) {
    milo_pool_run(exec->pool, g->batch, whole_task, &w);
    return;
  }
  for (size_t z = 0; z < g->batch; ++z) {
    for (w.j0 = 0; w.j0 < g->n; w.j0 += w.s.strip) {
      w.columns = min_size(w.s.strip, g->n - w.j0);
      milo_pool_run(exec->pool, divide_up(w.columns, PACK_COLUMNS), pack_task, &w);
      const size_t down = divide_up(g->m, w.s.mc), across = divide_up(w.columns, w.s.nc);
      milo_pool_run(exec->pool, down * across, multiply_task, &w);
    }
    w.a += g->a_step * (ptrdiff_t)element_bytes(g->a.dtype);
    w.b += g->b_step * (ptrdiff_t)element_bytes(g->b.dtype);
    w.c += g->c_step;
  }
}
