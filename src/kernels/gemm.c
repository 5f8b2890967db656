// SPDX-License-Identifier: MIT
// The outer loops of matrix products. The right side is packed once for all threads, a strip of
// columns at a time. So is the left side: ahead of the tiles where several side by side read it,
// else by the one task that does, block by block into its L2. Then each task goes over one tile of
// the output. Strips are thousands of columns wide: packing the left side anew for each costs less
// than fetching it from memory packed.
#include "kernels/gemm.h"

#include "kernels/blas.h"
#include "kernels/calibrate.h"
#include "kernels/convert.h"
#include "kernels/epilogue.h"
#include "kernels/packed.h"

enum {
  MC = 144,              // rows of a block: MC x depth of the left side stay in L2
  SIDE_UNITS = 2 << 20,  // of a packed side held at a time
  SUM_COLUMNS = 512,     // of a tile whose sums are not in c: they stay in L2
  // Of a tile that is added to for each block of the depth: 144 x 1,024 sums, 576 KB, stay in an L2
  // of 1 MB beside 110 KB of the left side and a panel of the right one.
  ADDED_COLUMNS = 1024,
  DIRECT_COLUMNS = 192,  // up to so many columns, the left side is not worth packing
  DOT_ROWS = 4,          // up to so many rows, dot products without packing
  DOT_COLUMNS = 64,      // of one task of them
  MIN_TASKS = 12,
};

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
static size_t divide_up(size_t n, size_t d) { return (n + d - 1) / d; }

// How a product is cut, from its sizes alone.
typedef struct shape {
  const milo_product *product;
  bool dot;      // few rows, right side transposed and dense
  bool direct;   // left side's rows read in place: too few columns to pay for packing
  bool whole;    // many small products: one a task
  bool shared;   // left side packed ahead, `chunk` rows at a time; else by the task that reads it
  bool in_c;     // sums add up in c
  size_t units;  // of the whole depth
  size_t kc;     // depth of a block
  size_t strip;  // columns of the right side packed at a time
  size_t chunk;
  size_t mc, nc;             // tile of a task
  size_t block, ld;          // a worker's floats: left block; row stride of its sums
  size_t slot, right, left;  // floats: a worker's; packed right side; packed left side
} shape;

static void cut_tiles(shape *s, const milo_gemm *g) {
  const size_t mr = s->product->mr, nr = s->product->nr;
  // Equal shares, so that no thread is left with a whole block at the end.
  s->mc = g->m ? round_up(divide_up(g->m, divide_up(g->m, MC)), mr) : mr;
  s->nc = min_size(s->strip, round_up(max_size(g->n, 1), nr));
  if (g->k > s->kc) {
    const size_t tiles = divide_up(s->nc, s->in_c ? ADDED_COLUMNS : SUM_COLUMNS);
    s->nc = round_up(divide_up(s->nc, tiles), nr);
  }
  const size_t width = min_size(s->strip, g->n);
  while (s->nc > 4 * nr && divide_up(g->m, s->mc) * divide_up(width, s->nc) * g->batch < MIN_TASKS)
    s->nc = round_up(s->nc / 2, nr);
  while (s->mc > 2 * mr && divide_up(g->m, s->mc) * divide_up(width, s->nc) * g->batch < MIN_TASKS)
    s->mc = round_up(s->mc / 2, mr);
}

static shape plan(const milo_exec *exec, const milo_gemm *g) {
  const milo_product *product = milo_exec_product(exec, g->mode);
  const milo_product *exact = exec->products[MILO_NUMERIC_EXACT];
  const size_t nr = product->nr;
  shape s = {.product = product,
             .units = milo_product_units(product, g->k),
             .kc = milo_packing_depth(product),
             .in_c = milo_epilogue_sums_in_c(g),
             .whole = g->batch >= MIN_TASKS};
  s.dot = g->m <= DOT_ROWS && g->b.rs == 1 && g->a.cs == 1 && g->a.dtype == MILO_FP32 &&
          g->packer == NULL && g->b.dtype != MILO_DTYPE_NONE;
  if (s.dot) {
    s.product = exact;
    s.nc = DOT_COLUMNS;
    s.slot = DOT_ROWS * DOT_COLUMNS + (g->b.dtype == MILO_FP32 ? 0 : 4 * g->k);
    s.slot = round_up(s.slot, 16);
    return s;
  }
  const size_t held = SIDE_UNITS / max_size(s.units, 1);
  const size_t strips = divide_up(g->n, max_size(held, 4 * nr));
  s.strip = g->packed_b != NULL || strips <= 1 ? round_up(max_size(g->n, 1), nr)
                                               : round_up(divide_up(g->n, strips), nr);
  s.direct = g->packed_a == NULL && product->tile_strided != NULL && g->a.dtype == MILO_FP32 &&
             g->n <= DIRECT_COLUMNS && g->a.cs == 1;
  cut_tiles(&s, g);
  const bool fits = g->m <= held;
  s.chunk = fits ? g->m : max_size(held / s.mc, 1) * s.mc;
  if (g->packed_a == NULL && !s.direct) {
    const bool again = g->batch > 1 && g->a_step == 0 && fits;
    s.shared = again || (!s.whole && s.nc < min_size(s.strip, g->n));
    if (s.shared)
      s.left = round_up(s.chunk, product->mr) * s.units;
    else
      s.block = round_up(s.mc * milo_product_units(product, min_size(g->k, s.kc)), 16);
  }
  s.slot = s.block;
  if (!s.in_c) {
    s.ld = (g->k > s.kc ? s.nc : min_size(s.nc, MILO_EPILOGUE_COLUMNS)) + 16;
    s.slot += s.mc * s.ld;
  }
  if (g->packer != NULL) s.slot = max_size(s.slot, MILO_PACKER_COLUMNS * min_size(g->k, s.kc));
  s.slot = round_up(s.slot, 16);
  s.left = round_up(s.left, 16);
  if (g->packed_b == NULL) s.right = round_up(s.strip * s.units, 16);
  return s;
}

size_t milo_gemm_workspace_bytes(const milo_exec *exec, const milo_gemm *g) {
  const shape s = plan(exec, g);
  const size_t workers = (size_t)milo_pool_threads(exec->pool);
  const size_t own =
      sizeof(float) * (s.slot * workers + s.right * (s.whole ? workers : 1) + s.left);
  return max_size(own, milo_blas_workspace_bytes(exec, g));
}

bool milo_gemm_packs(const milo_exec *exec, const milo_gemm *g, milo_side side) {
  if (g->m == 0 || g->n == 0 || g->k == 0 || milo_blas_takes(exec, g)) return false;
  const shape s = plan(exec, g);
  return !s.dot && (side == MILO_RIGHT ? g->packer == NULL : !s.direct);
}

typedef struct job {
  const milo_rows *rows;
  const milo_gemm *g;
  shape s;
  const char *a, *b;
  void *c;
  float *slots, *right_room, *left_room;
  const float *right, *left;  // packed; left NULL: not yet
  size_t z;
  size_t j0, columns;  // the strip
  size_t i0, height;   // the chunk, which left begins with
} job;

static size_t element_bytes(milo_dtype dtype) { return milo_dtype_bits(dtype) / 8; }

static float *slot_of(const job *w, int worker) { return w->slots + (size_t)worker * w->s.slot; }

static const char *left_of(const job *w, size_t z) {
  return w->a + (ptrdiff_t)z * w->g->a_step * (ptrdiff_t)element_bytes(w->g->a.dtype);
}

static milo_packing right_of(const job *w, size_t z) {
  const milo_gemm *g = w->g;
  const char *b = w->b;
  if (g->packer == NULL) b += (ptrdiff_t)z * g->b_step * (ptrdiff_t)element_bytes(g->b.dtype);
  milo_packing x = milo_packing_right(w->s.product, g->n, g->k, &g->b, b);
  x.packer = g->packer;
  x.user = g->packer_user;
  x.z = z;
  return x;
}

// One tile of the output: rows [i, i + m), columns [j, j + n) of the strip that begins at j0 and is
// packed at right.
static void multiply(const job *w, size_t z, size_t i, size_t m, size_t j0, size_t j, size_t n,
                     const float *right, float *slot) {
  const milo_gemm *g = w->g;
  const shape *s = &w->s;
  const milo_product *k = s->product;
  const bool finish = milo_epilogue_exists(g);
  const milo_packing side = milo_packing_left(k, g->m, g->k, &g->a, left_of(w, z));
  const float *b = right + j * s->units;
  float *c = w->c;
  if (s->in_c) c += (ptrdiff_t)z * g->c_step + (ptrdiff_t)(i * g->ldc + j0 + j);
  size_t p = 0;
  do {
    const size_t depth = min_size(s->kc, g->k - p), units = milo_product_units(k, depth);
    const bool last = p + depth == g->k, add = p > 0 || (s->in_c && g->add);
    const size_t at = milo_packing_offset(k, p, k->mr);
    const float *a = slot;
    size_t a_panel = units * k->mr;
    if (w->left != NULL) {
      a = w->left + (i - w->i0) * s->units + at;
      a_panel = s->units * k->mr;
    } else if (!s->direct) {
      milo_packing_block(&side, p, depth, i, m, slot, a_panel, NULL);
    }
    const size_t step = last && finish ? MILO_EPILOGUE_COLUMNS : n;
    for (size_t q = 0; q < n; q += step) {
      const size_t width = min_size(step, n - q), ld = s->in_c ? g->ldc : s->ld;
      const float *panels = b + q * s->units + milo_packing_offset(k, p, k->nr);
      float *sums = s->in_c ? c + q : slot + s->block + (g->k > s->kc ? q : 0);
      if (s->direct) {
        const float *rows = (const float *)side.data + (ptrdiff_t)i * g->a.rs + (ptrdiff_t)p;
        k->tile_strided(m, width, depth, rows, g->a.rs, 1, panels, s->units * k->nr, sums, ld, add);
      } else {
        k->tile(m, width, units, a, a_panel, panels, s->units * k->nr, sums, ld, add);
      }
      if (last && finish) milo_epilogue_run(w->rows, g, z, i, m, j0 + j + q, width, sums, ld, w->c);
    }
    p += depth;
  } while (p < g->k);
}

static void multiply_task(void *user, size_t t, int worker) {
  const job *w = user;
  const size_t across = divide_up(w->columns, w->s.nc);
  const size_t i = t / across * w->s.mc, j = t % across * w->s.nc;
  multiply(w, w->z, w->i0 + i, min_size(w->s.mc, w->height - i), w->j0, j,
           min_size(w->s.nc, w->columns - j), w->right, slot_of(w, worker));
}

// All of one product in one task.
static void whole_task(void *user, size_t z, int worker) {
  const job *w = user;
  const milo_gemm *g = w->g;
  float *slot = slot_of(w, worker), *room = w->right_room + (size_t)worker * w->s.right;
  const milo_packing side = right_of(w, z);
  for (size_t j0 = 0; j0 < g->n; j0 += w->s.strip) {
    const size_t columns = min_size(w->s.strip, g->n - j0);
    const float *right = g->packed_b != NULL ? g->packed_b->data : room;
    if (g->packed_b == NULL) milo_packing_serial(&side, j0, columns, room, slot);
    for (size_t i = 0; i < g->m; i += w->s.mc)
      for (size_t j = 0; j < columns; j += w->s.nc)
        multiply(w, z, i, min_size(w->s.mc, g->m - i), j0, j, min_size(w->s.nc, columns - j), right,
                 slot);
  }
}

// Few rows: dot products of rows of a with rows of b transposed.
static void dot_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_gemm *g = w->g;
  const size_t across = divide_up(g->n, w->s.nc);
  const size_t z = t / across, j0 = t % across * w->s.nc, n = min_size(w->s.nc, g->n - j0);
  const float *a = (const float *)(const void *)left_of(w, z);
  const ptrdiff_t bytes = (ptrdiff_t)element_bytes(g->b.dtype);
  const char *b = w->b + ((ptrdiff_t)z * g->b_step + (ptrdiff_t)j0 * g->b.cs) * bytes;
  float *sums = slot_of(w, worker), *flat = sums + DOT_ROWS * DOT_COLUMNS;
  for (size_t j = 0; j < n; j += 4) {
    const size_t width = min_size(4, n - j);
    const char *from = b + (ptrdiff_t)j * g->b.cs * bytes;
    const float *rows = (const float *)(const void *)from;
    size_t ldb = (size_t)g->b.cs;
    if (g->b.dtype != MILO_FP32) {
      milo_convert_rows(w->rows, flat, from, g->b.dtype, width, g->k, g->b.cs, 1);
      rows = flat;
      ldb = g->k;
    }
    w->s.product->tile_dot(g->m, width, g->k, a, (size_t)g->a.rs, rows, ldb, sums + j, DOT_COLUMNS);
  }
  milo_epilogue_run(w->rows, g, z, 0, g->m, j0, n, sums, DOT_COLUMNS, w->c);
}

static void run_strip(job *w, const milo_exec *exec) {
  const milo_gemm *g = w->g;
  const size_t chunk = w->s.shared ? w->s.chunk : g->m;
  for (w->i0 = 0; w->i0 < g->m; w->i0 += chunk) {
    w->height = min_size(chunk, g->m - w->i0);
    if (w->s.shared && w->left == NULL) {
      const milo_packing side =
          milo_packing_left(w->s.product, g->m, g->k, &g->a, left_of(w, w->z));
      milo_packing_run(&side, exec->pool, w->i0, w->height, w->left_room, NULL, 0);
      w->left = w->left_room;
    }
    const size_t down = divide_up(w->height, w->s.mc), across = divide_up(w->columns, w->s.nc);
    milo_pool_run(exec->pool, down * across, multiply_task, w);
    if (w->s.shared && chunk < g->m) w->left = NULL;
  }
}

void milo_gemm_run(const milo_exec *exec, const milo_gemm *g, const void *a, const void *b, void *c,
                   void *workspace) {
  if (g->m == 0 || g->n == 0 || g->batch == 0) return;
  job w = {.rows = exec->rows, .g = g, .s = plan(exec, g), .c = c};
  w.a = a ? a : g->a.data;
  w.b = b ? b : g->b.data;
  if (milo_blas_takes(exec, g)) {
    milo_blas_run(exec, g, (const float *)(const void *)w.a, (const float *)(const void *)w.b, c,
                  workspace);
    return;
  }
  const size_t workers = (size_t)milo_pool_threads(exec->pool);
  w.slots = workspace;
  w.right_room = w.slots + w.s.slot * workers;
  w.left_room = w.right_room + w.s.right * (w.s.whole ? workers : 1);
  if (w.s.dot) {
    milo_pool_run(exec->pool, divide_up(g->n, w.s.nc) * g->batch, dot_task, &w);
    return;
  }
  if (g->packed_a != NULL) w.left = g->packed_a->data;
  if (w.s.whole) {
    // The tiles, and so the sums, are the same either way.
    if (w.s.shared) {
      const milo_packing side = milo_packing_left(w.s.product, g->m, g->k, &g->a, w.a);
      milo_packing_run(&side, exec->pool, 0, g->m, w.left_room, NULL, 0);
      w.left = w.left_room;
    }
    milo_pool_run(exec->pool, g->batch, whole_task, &w);
    return;
  }
  for (w.z = 0; w.z < g->batch; ++w.z) {
    const milo_packing side = right_of(&w, w.z);
    if (w.s.shared && g->a_step != 0) w.left = NULL;
    for (w.j0 = 0; w.j0 < g->n; w.j0 += w.s.strip) {
      w.columns = min_size(w.s.strip, g->n - w.j0);
      w.right = g->packed_b != NULL ? g->packed_b->data : w.right_room;
      const bool there = w.z > 0 && g->b_step == 0 && g->packer == NULL && g->n <= w.s.strip;
      if (g->packed_b == NULL && !there)
        milo_packing_run(&side, exec->pool, w.j0, w.columns, w.right_room, w.slots,
                         w.s.slot * sizeof(float));
      run_strip(&w, exec);
    }
  }
}

// ---- what a product runs on ----

milo_exec milo_exec_select(unsigned caps, milo_pool *pool) {
  milo_exec exec = {.rows = milo_rows_select(caps), .pool = pool};
  for (int mode = 0; mode < MILO_NUMERIC_COUNT; ++mode)
    exec.products[mode] = milo_product_choose((milo_numeric)mode, caps);
  return exec;
}

const milo_product *milo_exec_product(const milo_exec *exec, milo_numeric mode) {
  const milo_product *product = exec->products[mode];
  return product != NULL && product->sum == MILO_FP32 ? product
                                                      : exec->products[MILO_NUMERIC_EXACT];
}
