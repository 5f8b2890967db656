// SPDX-License-Identifier: MIT
// Packing, tiles and whole matrix products against sums in double: odd sizes, any strides, all
// formats, batches; rows of mode exact (all rows: test_product.c, test_gemm.c). Bound: (k + 2) *
// 2^-24 * sum of |terms|; what lies between rows stays.
#include "base/pool.h"
#include "guard.h"
#include "kernels/attention.h"
#include "kernels/blas.h"
#include "kernels/gemm.h"

enum { CANARY = 0x7fc0dead };

static void canary(float *x, size_t n) {
  const uint32_t bits = CANARY;
  for (size_t i = 0; i < n; i++) memcpy(&x[i], &bits, 4);
}
static bool is_canary(const float *x) {
  uint32_t bits;
  memcpy(&bits, x, 4);
  return bits == CANARY;
}

static void check_pack(const milo_product *k) {
  if (k->mode != MILO_NUMERIC_EXACT) return;
  static float x[64 * 64];
  randomize(x, 64 * 64, 1);
  for (size_t side = 0; side < 2; side++) {
    const size_t w = side ? k->nr : k->mr;
    static const size_t sizes[] = {0, 1, 3, 5, 6, 7, 8, 9, 12, 13, 16, 17, 31, 33};
    for (size_t a = 0; a < 14; a++)
      for (size_t b = 0; b < 14; b++)
        for (int order = 0; order < 3; order++) {
          const size_t depth = sizes[a], n = sizes[b], panels = (n + w - 1) / w;
          const ptrdiff_t rs = order == 0 ? 64 : order == 1 ? 1 : 2;
          const ptrdiff_t cs = order == 0 ? 1 : order == 1 ? 64 : 35;
          const guarded out = guard(panels * w * depth);
          k->pack_fp32(out.data, w * depth, x, depth, n, rs, cs, w);
          bool good = true;
          for (size_t p = 0; p < depth; p++)
            for (size_t j = 0; j < panels * w; j++) {
              const float wanted = j < n ? x[(ptrdiff_t)p * rs + (ptrdiff_t)j * cs] : 0.0f;
              good = good && out.data[j / w * depth * w + p * w + j % w] == wanted;
            }
          if (!CHECK(good)) printf("# w %zu, %zu x %zu, order %d\n", w, depth, n, order);
          unguard(out);
        }
  }
}

static void test_pack(void) { each_product(check_pack); }

// Tiles in place, packed and by dot products.
static void check_tiles(const milo_product *k) {
  if (k->mode != MILO_NUMERIC_EXACT) return;
  static const size_t ms[] = {0, 1, 2, 5, 6, 7, 11, 12, 13, 25}, ns[] = {1, 7, 8, 9, 16, 17, 33};
  static const size_t ks[] = {0, 1, 8, 33};
  for (size_t a = 0; a < 10; a++)
    for (size_t b = 0; b < 7; b++)
      for (size_t d = 0; d < 4; d++) {
        const size_t m = ms[a], n = ns[b], depth = ks[d], ldc = n + 3;
        const size_t panels = (n + k->nr - 1) / k->nr, strips = (m + k->mr - 1) / k->mr;
        const guarded x = guard(m * depth), y = guard(n * depth);
        const guarded c = guard(m ? (m - 1) * ldc + n : 0);
        const guarded right = guard(panels * k->nr * depth), left = guard(strips * k->mr * depth);
        randomize(x.data, m * depth, 1);
        randomize(y.data, n * depth, 2);
        // Every other time the left side lies transposed, read in place.
        const bool turned = (a + b + d) % 2 == 1;
        const ptrdiff_t rsa = turned ? 1 : (ptrdiff_t)depth, csa = turned ? (ptrdiff_t)m : 1;
        k->pack_fp32(right.data, k->nr * depth, y.data, depth, n, 1, (ptrdiff_t)depth, k->nr);
        k->pack_fp32(left.data, k->mr * depth, x.data, depth, m, csa, rsa, k->mr);
        for (int mode = 0; mode < 5; mode++) {
          const bool add = mode % 2 == 1 && mode < 4;
          canary(c.data, m ? (m - 1) * ldc + n : 0);
          for (size_t i = 0; i < m; i++)
            for (size_t j = 0; add && j < n; j++) c.data[i * ldc + j] = 1.0f;
          if (mode < 2)
            k->tile_strided(m, n, depth, x.data, rsa, csa, right.data, k->nr * depth, c.data, ldc,
                            add);
          else if (mode < 4)
            k->tile(m, n, depth, left.data, k->mr * depth, right.data, k->nr * depth, c.data, ldc,
                    add);
          else if (turned)
            break;  // dot products need rows
          else
            k->tile_dot(m, n, depth, x.data, depth, y.data, depth, c.data, ldc);
          bool good = true;
          for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < (i + 1 < m ? ldc : n); j++) {
              double sum = add, terms = add;
              for (size_t p = 0; j < n && p < depth; p++) {
                const double t = (double)x.data[(ptrdiff_t)i * rsa + (ptrdiff_t)p * csa] *
                                 (double)y.data[j * depth + p];
                sum += t;
                terms += fabs(t);
              }
              const float got = c.data[i * ldc + j];
              good =
                  good && (j < n ? fabs((double)got - sum) <= (double)(depth + 2) * 0x1p-24 * terms
                                 : is_canary(&c.data[i * ldc + j]));
            }
          if (!CHECK(good)) printf("# %zu x %zu x %zu, mode %d\n", m, n, depth, mode);
        }
        unguard(x);
        unguard(y);
        unguard(c);
        unguard(right);
        unguard(left);
      }
}

static void test_tiles(void) { each_product(check_tiles); }

// ---- whole products ----

typedef struct product {
  size_t m, n, k, batch;
  bool ta, tb, add;
  milo_dtype dtype;
} product;

// Random numbers into x, which holds n of dtype; returns what it then holds.
static double *fill(milo_dtype dtype, void *x, size_t n, uint64_t stream) {
  double *values = malloc((n + 1) * sizeof *values);
  for (size_t i = 0; i < n; i++) {
    milo_number_store(dtype, x, i, 4 * milo_rng_uniform(1, stream, i) - 2);
    values[i] = milo_number_load(dtype, x, i);
  }
  return values;
}

static milo_sgemm_fn *blas;  // NULL: our own kernels
static size_t blas_products;

static void check_product(const milo_product *k, milo_pool *pool, const product *p) {
  milo_exec exec = milo_exec_select(k->caps, pool);
  exec.sgemm = blas;
  const size_t bytes = p->dtype == MILO_FP32 ? 4 : 2, ldc = p->n + 5;
  const guarded a = guard_bytes(p->m * p->k * p->batch * bytes);
  const guarded b = guard_bytes(p->k * p->n * p->batch * bytes);
  const size_t out = p->batch * p->m * ldc;
  float *c = malloc((out + 1) * sizeof *c);
  double *x = fill(p->dtype, a.data, p->m * p->k * p->batch, 1);
  double *y = fill(p->dtype, b.data, p->n * p->k * p->batch, 2);
  const milo_gemm g = {
      .m = p->m,
      .n = p->n,
      .k = p->k,
      .batch = p->batch,
      .a = {a.data, p->dtype, (ptrdiff_t)(p->ta ? 1 : p->k), (ptrdiff_t)(p->ta ? p->m : 1)},
      .b = {b.data, p->dtype, (ptrdiff_t)(p->tb ? 1 : p->n), (ptrdiff_t)(p->tb ? p->k : 1)},
      .a_step = (ptrdiff_t)(p->m * p->k),
      .b_step = (ptrdiff_t)(p->k * p->n),
      .c_step = (ptrdiff_t)(p->m * ldc),
      .ldc = ldc,
      .add = p->add};
  const size_t room = milo_gemm_workspace_bytes(&exec, &g);
  void *workspace = aligned_alloc(64, (room + 64) / 64 * 64);
  blas_products += milo_blas_takes(&exec, &g);
  canary(c, out + 1);
  for (size_t r = 0; r < p->batch * p->m; r++)
    for (size_t j = 0; p->add && j < p->n; j++) c[r * ldc + j] = 0.5f;
  milo_gemm_run(&exec, &g, NULL, NULL, c, workspace);
  bool good = true;
  for (size_t r = 0; r < p->batch * p->m; r++) {
    const size_t z = r / (p->m ? p->m : 1), i = r % (p->m ? p->m : 1);
    for (size_t j = 0; j < ldc; j++) {
      if (j >= p->n) {
        good = good && is_canary(&c[r * ldc + j]);
        continue;
      }
      if ((i * 31 + j * 17) % 7 != 0 && p->m * p->n > 20000) continue;  // a sample of large ones
      double sum = p->add ? 0.5 : 0, terms = sum;
      for (size_t q = 0; q < p->k; q++) {
        const size_t ia = z * p->m * p->k + (p->ta ? q * p->m + i : i * p->k + q);
        const size_t ib = z * p->k * p->n + (p->tb ? j * p->k + q : q * p->n + j);
        const double t = x[ia] * y[ib];
        sum += t;
        terms += fabs(t);
      }
      good = good && fabs((double)c[r * ldc + j] - sum) <= (double)(p->k + 2) * 0x1p-24 * terms;
    }
  }
  if (!CHECK(good))
    printf("# %s%s: %zu x %zu x %zu, batch %zu, %d %d %d, %s\n", k->name, blas ? " with BLAS" : "",
           p->m, p->n, p->k, p->batch, p->ta, p->tb, p->add, milo_dtype_name(p->dtype));
  free(x);
  free(y);
  free(c);
  free(workspace);
  unguard(a);
  unguard(b);
}

static milo_pool *pool_of_2;

static void check_products(const milo_product *k) {
  if (k->mode != MILO_NUMERIC_EXACT) return;
  static const size_t sizes[][3] = {{0, 3, 4},     {1, 1, 1},      {1, 40, 70},
                                    {4, 65, 300},  {5, 17, 0},     {5, 130, 257},
                                    {97, 65, 300}, {30, 1100, 20}, {200, 33, 513}};
  for (size_t s = 0; s < 9; s++)
    for (int t = 0; t < 8; t++) {
      product p = {sizes[s][0], sizes[s][1], sizes[s][2], 1, t & 1, t & 2, t & 4, MILO_FP32};
      check_product(k, pool_of_2, &p);
      if (t >= 4) continue;
      p.dtype = MILO_FP16;
      check_product(k, pool_of_2, &p);
      p.dtype = MILO_BF16;
      check_product(k, NULL, &p);
      p.dtype = MILO_FP32;
      p.batch = t & 1 ? 3 : 9;
      if (p.m * p.n * p.k < 2000000) check_product(k, pool_of_2, &p);
    }
}

static void test_products(void) { each_product(check_products); }

static void test_blas(void) {
  blas = milo_blas_open();
  if (blas == NULL) SKIP("no CBLAS on this machine");
  blas_products = 0;
  check_products(milo_product_variants[0]);
  CHECK(blas_products > 0);
  blas = NULL;
}

int main(void) {
  if (milo_pool_create(2, NULL, &pool_of_2) != MILO_OK) abort();
  RUN(test_pack);
  RUN(test_tiles);
  RUN(test_products);
  RUN(test_blas);
  milo_pool_destroy(pool_of_2);
  return tap_done();
}
