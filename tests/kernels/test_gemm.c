// SPDX-License-Identifier: MIT
// Whole products beyond plain ones (those: test_matrix.c): sides packed ahead, the caller's packer,
// every epilogue and type of result, against sums in double; the same bits however a side came and
// for any number of threads.
#include "guard.h"
#include "kernels/blas.h"

static milo_pool *pools[4];  // [t]: of t threads; [0], [1]: none

typedef struct operands {
  float *a, *b;  // as dtype says
  size_t m, n, k, batch;
  milo_dtype dtype;
} operands;

static void *room(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (p == NULL) abort();
  memset(p, 0xff, bytes);
  return p;
}

static operands make(size_t m, size_t n, size_t k, size_t batch, milo_dtype dtype) {
  operands o = {room(m * k * batch * 4), room(n * k * batch * 4), m, n, k, batch, dtype};
  for (size_t i = 0; i < m * k * batch; i++)
    milo_number_store(dtype, o.a, i, 4 * milo_rng_uniform(1, 1, i) - 2);
  for (size_t i = 0; i < n * k * batch; i++)
    milo_number_store(dtype, o.b, i, 4 * milo_rng_uniform(1, 2, i) - 2);
  return o;
}

static void unmake(operands o) {
  free(o.a);
  free(o.b);
}

static milo_gemm product_of(const operands *o, milo_numeric mode, bool ta, bool tb) {
  return (milo_gemm){.mode = mode,
                     .m = o->m,
                     .n = o->n,
                     .k = o->k,
                     .batch = o->batch,
                     .a = {o->a, o->dtype, (ptrdiff_t)(ta ? 1 : o->k), (ptrdiff_t)(ta ? o->m : 1)},
                     .b = {o->b, o->dtype, (ptrdiff_t)(tb ? 1 : o->n), (ptrdiff_t)(tb ? o->k : 1)},
                     .a_step = (ptrdiff_t)(o->m * o->k),
                     .b_step = (ptrdiff_t)(o->n * o->k),
                     .c_step = (ptrdiff_t)(o->m * (o->n + 3)),
                     .ldc = o->n + 3};
}

// Runs g with memory of exactly its size; c: all batches.
static void run(const milo_exec *exec, const milo_gemm *g, void *c) {
  const size_t bytes = milo_gemm_workspace_bytes(exec, g);
  // 64-byte aligned, and the page after it is not there.
  const guarded workspace = guard_bytes((bytes + 63) / 64 * 64);
  milo_gemm_run(exec, g, NULL, NULL, c, workspace.data);
  unguard(workspace);
}

// With what each cut has at least two of: rows, columns and depths of blocks, strips of columns (n
// k above 2 M), chunks of rows.
static const size_t shapes[][3] = {
    {1, 1, 1},       {1, 70, 33},      {4, 130, 65},      {5, 33, 0},    {6, 200, 31},
    {13, 257, 200},  {64, 300, 40},    {150, 600, 77},    {97, 65, 900}, {300, 193, 1603},
    {1021, 251, 19}, {30, 1300, 2000}, {1420, 200, 1501},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

// Gathers columns of b, which lies transposed, through the row's own packer.
static void packer(const void *user, const milo_product *product, const void *b, size_t z, size_t p,
                   size_t k, size_t j, size_t n, void *out, size_t panel, float *scratch) {
  const milo_gemm *g = user;
  CHECK(j % product->nr == 0 && p % 4 == 0 && n <= MILO_PACKER_COLUMNS && k <= MILO_PACKER_DEPTH);
  for (size_t q = 0; q < n; q++)
    for (size_t i = 0; i < k; i++)
      scratch[q * k + i] =
          (float)milo_number_load(g->b.dtype, b,
                                  (size_t)((ptrdiff_t)z * g->b_step + (ptrdiff_t)(p + i) * g->b.rs +
                                           (ptrdiff_t)(j + q) * g->b.cs));
  product->pack_fp32(out, panel, scratch, k, n, 1, (ptrdiff_t)k, product->nr);
}

// However a side comes, the bits are the same; so they are for 1, 2 and 3 threads.
static void check_sides(const milo_product *row) {
  if (row->sum != MILO_FP32) return;  // integers are their callers' matter
  static const milo_dtype dtypes[] = {MILO_FP32, MILO_FP16, MILO_BF16};
  for (size_t t = 0; t < SHAPES * 4 * 3; t++) {
    const size_t *size = shapes[t / 12];
    const bool ta = t & 1, tb = t & 2;
    // Of large ones, one layout and type each.
    if (size[0] * size[1] * size[2] > 3000000 && t % 12 != t / 12 % 12) continue;
    // Batches share a packed side; 13 of them are one a task.
    const size_t batch = size[0] * size[1] * size[2] < 50000 ? (t % 5 == 0 ? 13 : 3) : 1;
    const operands o = make(size[0], size[1], size[2], batch, dtypes[t / 4 % 3]);
    const size_t bytes = batch * o.m * (o.n + 3) * 4;
    for (int shared = 0; shared < (batch > 1 ? 4 : 1); shared++) {
      milo_exec exec = milo_exec_select(row->caps, pools[2]);
      exec.products[row->mode] = row;  // fast here or not
      CHECK(milo_exec_product(&exec, row->mode) == row);
      milo_gemm g = product_of(&o, row->mode, ta, tb);
      if (shared & 1) g.a_step = 0;
      if (shared & 2) g.b_step = 0;
      float *wanted = room(bytes), *got = room(bytes);
      run(&exec, &g, wanted);
      for (int how = 0; how < 7; how++) {
        milo_gemm h = g;
        milo_exec other = exec;
        milo_packed a = milo_packed_layout(&exec, row->mode, MILO_LEFT, o.m, o.k);
        milo_packed b = milo_packed_layout(&exec, row->mode, MILO_RIGHT, o.n, o.k);
        const guarded pa = guard_bytes(milo_packed_bytes(&a)),
                      pb = guard_bytes(milo_packed_bytes(&b));
        if (how < 2) other.pool = pools[how == 0 ? 1 : 3];
        if ((how == 2 || how == 4) && (g.a_step == 0 || batch == 1)) {
          milo_packed_fill(&exec, &a, &g.a, pa.data);
          h.packed_a = &a;
        }
        if ((how == 3 || how == 4) && (g.b_step == 0 || batch == 1)) {
          milo_packed_fill(&exec, &b, &g.b, pb.data);
          h.packed_b = &b;
        }
        // The packer is never asked for dot products, which have an order of their own.
        const bool dot = g.m <= 4 && tb && !ta && o.dtype == MILO_FP32;
        if (how == 5 && !dot && !(g.m <= 4 && g.a.cs == 1 && g.b.rs == 1)) {
          h.packer = packer;
          h.packer_user = &g;
        }
        if (how == 6) {  // and twice with the same workspace: nothing stays in it
          run(&other, &h, got);
        }
        memset(got, 0xff, bytes);
        run(&other, &h, got);
        if (!CHECK(memcmp(got, wanted, bytes) == 0))
          printf("# %s: %zu x %zu x %zu, batch %zu, %d %d, %s, way %d, shared %d\n", row->name, o.m,
                 o.n, o.k, batch, ta, tb, milo_dtype_name(o.dtype), how, shared);
        unguard(pa);
        unguard(pb);
      }
      free(wanted);
      free(got);
    }
    unmake(o);
  }
}

static void test_sides(void) { each_product(check_sides); }

// ---- epilogues ----

static double activated(milo_unary f, double x) {
  return f == MILO_UNARY_relu ? (x < 0 ? 0 : x) : f == MILO_UNARY_silu ? x / (1 + exp(-x)) : x;
}

static double rounded(const milo_product *k, double x) {
  return k->packed == MILO_BF16 ? (double)milo_bf16_to_f32(milo_f32_to_bf16((float)x)) : x;
}

typedef struct ending {
  bool scaled, add;
  milo_unary activation;
  int bias, residual;  // 0: none, 1: a row for all rows, 2: a column for all columns, 3: a matrix
  milo_dtype c, extra;
} ending;

static const ending endings[] = {
    {false, false, MILO_UNARY_copy, 0, 0, MILO_FP16, MILO_FP32},
    {false, true, MILO_UNARY_copy, 0, 0, MILO_BF16, MILO_FP32},
    {false, false, MILO_UNARY_copy, 1, 0, MILO_FP32, MILO_FP32},
    {false, true, MILO_UNARY_copy, 1, 0, MILO_FP32, MILO_FP16},
    {false, false, MILO_UNARY_copy, 2, 0, MILO_FP32, MILO_BF16},
    {false, false, MILO_UNARY_copy, 2, 3, MILO_FP16, MILO_FP16},
    {true, false, MILO_UNARY_copy, 0, 0, MILO_FP32, MILO_FP32},
    {true, true, MILO_UNARY_copy, 0, 0, MILO_FP32, MILO_FP32},
    {true, true, MILO_UNARY_silu, 3, 3, MILO_FP32, MILO_FP32},
    {false, false, MILO_UNARY_relu, 1, 0, MILO_BF16, MILO_BF16},
    {false, true, MILO_UNARY_relu, 1, 3, MILO_FP16, MILO_FP32},
    {false, false, MILO_UNARY_silu, 0, 3, MILO_FP32, MILO_FP32},
};

// Units in the last place of the rounding to c: half of one.
static double half_ulp(milo_dtype dtype, double x) {
  if (dtype == MILO_FP32) return 0;
  const int bits = dtype == MILO_FP16 ? 11 : 8, least = dtype == MILO_FP16 ? -24 : -133;
  int exponent;
  frexp(x, &exponent);
  return ldexp(0.5, exponent - bits > least ? exponent - bits : least);
}

// milo_exec with BLAS or a row of products.
static void check_ending(const milo_exec *exec, const milo_product *row, const size_t *size,
                         const ending *e, size_t t) {
  const size_t batch = size[0] * size[1] * size[2] < 50000 ? (t % 2 ? 13 : 2) : 1;
  const operands o = make(size[0], size[1], size[2], batch, t % 3 ? MILO_FP32 : MILO_FP16);
  milo_gemm g = product_of(&o, row->mode, t & 1, t & 2);
  const size_t plane = o.m * (o.n + 3);
  float *bias = room(plane * 4), *residual = room(plane * batch * 4);
  for (size_t i = 0; i < plane; i++)
    milo_number_store(e->extra, bias, i, 4 * milo_rng_uniform(1, 3, i) - 2);
  for (size_t i = 0; i < plane * batch; i++)
    milo_number_store(e->extra, residual, i, 4 * milo_rng_uniform(1, 4, i) - 2);
  const ptrdiff_t rs[] = {0, 0, 1, (ptrdiff_t)(o.n + 3)}, cs[] = {0, 1, 0, 1};
  g.epilogue = (milo_epilogue){.scaled = e->scaled,
                               .scale = e->scaled ? 0.375f : 77.0f,
                               .activation = e->activation,
                               .residual_step = e->residual == 3 ? (ptrdiff_t)plane : 0};
  if (e->bias) g.epilogue.bias = (milo_matrix){bias, e->extra, rs[e->bias], cs[e->bias]};
  if (e->residual)
    g.epilogue.residual = (milo_matrix){residual, e->extra, rs[e->residual], cs[e->residual]};
  g.c_dtype = e->c;
  g.add = e->add;
  const size_t bytes = milo_dtype_bits(e->c) / 8;
  const guarded c = guard_bytes(batch * plane * bytes);
  for (size_t i = 0; i < batch * plane; i++) milo_number_store(e->c, c.data, i, 0.75);
  run(exec, &g, c.data);
  bool good = true;
  for (size_t i = 0; i < batch * plane; i++) {
    const size_t z = i / plane, r = i % plane / (o.n + 3), j = i % (o.n + 3);
    const double got = milo_number_load(e->c, c.data, i);
    if (j >= o.n) {
      good = good && got == 0.75;
      continue;
    }
    if (plane > 20000 && (r * 31 + j * 17) % (plane / 600) != 0) continue;
    double sum = 0, terms = 0;
    for (size_t p = 0; p < o.k; p++) {
      const double x = milo_number_load(
          o.dtype, o.a,
          (size_t)((ptrdiff_t)z * g.a_step + (ptrdiff_t)r * g.a.rs + (ptrdiff_t)p * g.a.cs));
      const double y = milo_number_load(
          o.dtype, o.b,
          (size_t)((ptrdiff_t)z * g.b_step + (ptrdiff_t)p * g.b.rs + (ptrdiff_t)j * g.b.cs));
      const bool dot = row->tile_dot == NULL && g.m <= 4 && g.b.rs == 1 && g.a.cs == 1 &&
                       o.dtype == MILO_FP32;  // few rows are always exact
      sum += dot ? x * y : rounded(row, x) * rounded(row, y);
      terms += fabs(x * y);
    }
    const ptrdiff_t at_bias = (ptrdiff_t)r * rs[e->bias] + (ptrdiff_t)j * cs[e->bias];
    const ptrdiff_t at_residual = (ptrdiff_t)z * g.epilogue.residual_step +
                                  (ptrdiff_t)r * rs[e->residual] + (ptrdiff_t)j * cs[e->residual];
    double v = sum * (e->scaled ? 0.375 : 1), more = 0;
    if (e->bias) v += milo_number_load(e->extra, bias, (size_t)at_bias), more += 2;
    v = activated(e->activation, v);
    if (e->residual) v += milo_number_load(e->extra, residual, (size_t)at_residual), more += 2;
    if (e->add) v += 0.75, more += 0.75;
    // Roundings: k + 2 of the sum, one for each part that follows (activations: slope at most 1.1,
    // 4 units of their own), one to c.
    const double fp32 = ((double)(o.k + 2) * terms * 1.1 + 8 * (more + terms)) * 0x1p-24;
    good = good && fabs(got - v) <= fp32 + half_ulp(e->c, fabs(v) + fp32);
  }
  if (!CHECK(good))
    printf("# %s: %zu x %zu x %zu, batch %zu, ending %zu, layout %zu\n", row->name, o.m, o.n, o.k,
           batch, (size_t)(e - endings), t);
  free(bias);
  free(residual);
  unguard(c);
  unmake(o);
}

// All endings for small products, some for larger ones.
static bool is_asked(const size_t *size, size_t s, size_t e) {
  const size_t terms = size[0] * size[1] * size[2];
  return terms < 3000000 || (terms < 100000000 ? e % 4 == s % 4 : e == 0);
}

static void check_endings(const milo_product *row) {
  if (row->sum != MILO_FP32) return;  // integers are their callers' matter
  const milo_exec exec = milo_exec_select(row->caps, pools[2]);
  for (size_t s = 0; s < SHAPES; s++)
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
      if (is_asked(shapes[s], s, e)) check_ending(&exec, row, shapes[s], &endings[e], s + e);
}

static void test_endings(void) { each_product(check_endings); }

static void test_blas(void) {
  milo_exec exec = milo_exec_select(0, pools[2]);
  exec.sgemm = milo_blas_open();
  if (exec.sgemm == NULL) SKIP("no CBLAS on this machine");
  for (size_t s = 0; s < SHAPES; s++)
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++)
      if (is_asked(shapes[s], s, e))
        check_ending(&exec, milo_product_variants[0], shapes[s], &endings[e], 1);
}

// What is held at a time stays small whatever the size: a megabyte a thread and two packed sides.
static void check_memory(const milo_product *row) {
  if (row->sum != MILO_FP32) return;  // integers are their callers' matter
  const milo_exec exec = milo_exec_select(row->caps, pools[2]);
  static const size_t sizes[][3] = {
      {1 << 16, 64, 768}, {64, 1 << 18, 768}, {1 << 16, 1 << 16, 2048}, {144, 4096, 4096}};
  for (size_t s = 0; s < 4; s++)
    for (int half = 0; half < 2; half++) {
      milo_gemm g = {.mode = row->mode,
                     .m = sizes[s][0],
                     .n = sizes[s][1],
                     .k = sizes[s][2],
                     .batch = 1,
                     .a = {NULL, MILO_BF16, (ptrdiff_t)sizes[s][2], 1},
                     .b = {NULL, MILO_BF16, (ptrdiff_t)sizes[s][1], 1},
                     .ldc = sizes[s][1],
                     .c_dtype = half ? MILO_BF16 : MILO_FP32};
      CHECK(milo_gemm_workspace_bytes(&exec, &g) <= (size_t)24 << 20);
    }
}

static void test_memory(void) { each_product(check_memory); }

int main(void) {
  for (int t = 2; t < 4; t++)
    if (milo_pool_create(t, NULL, &pools[t]) != MILO_OK) abort();
  RUN(test_sides);
  RUN(test_endings);
  RUN(test_blas);
  RUN(test_memory);
  milo_pool_destroy(pools[2]);
  milo_pool_destroy(pools[3]);
  return tap_done();
}
