// SPDX-License-Identifier: MIT
// Products at sizes that enter every loop around the tiles at least twice: strips of columns,
// blocks of rows, chunks of the depth, matrices of a batch; primes, so that every last part is a
// rest.
//
// Two checks. Small integers, whose sums fp32 holds exactly in any order: all elements of the
// result at once, as C v against A (B v) in integers modulo 2^64 (a wrong element escapes with
// probability 2^-63). Random numbers against sums in double, some elements, within the bound for
// fp32 sums.
#include "base/pool.h"
#include "guard.h"
#include "kernels/gemm.h"

typedef struct product {
  size_t m, n, k, batch;
  bool ta, tb, add;
  milo_dtype dtype;
} product;

static const product products[] = {
    {157, 521, 8209, 1, false, false, false, MILO_FP32},  // narrow strips, much depth
    {53, 521, 8209, 1, true, true, true, MILO_FP32},
    {79, 5501, 769, 1, false, true, false, MILO_FP32},  // wide strips
    {13, 11003, 397, 1, true, false, true, MILO_FP32},
    {313, 191, 1543, 1, false, false, true, MILO_FP32},  // few columns
    {1009, 37, 47, 1, true, true, false, MILO_FP32},     // blocks of rows alone
    {3, 331, 4099, 2, false, true, false, MILO_FP32},    // few rows
    {4, 331, 4099, 2, false, true, true, MILO_FP16},
    {151, 1409, 769, 2, false, false, false, MILO_FP32},
    {5, 521, 8209, 13, false, true, true, MILO_FP32},  // many matrices
    {29, 521, 8209, 1, false, true, false, MILO_BF16},
    {151, 2749, 797, 1, true, false, true, MILO_FP16},
};
enum { PRODUCTS = sizeof products / sizeof *products };

static size_t a_index(const product *p, size_t z, size_t i, size_t q) {
  return z * p->m * p->k + (p->ta ? q * p->m + i : i * p->k + q);
}

static size_t b_index(const product *p, size_t z, size_t q, size_t j) {
  return z * p->k * p->n + (p->tb ? j * p->k + q : q * p->n + j);
}

static void run(const milo_product *row, milo_pool *pool, const product *p, const void *a,
                const void *b, float *c, size_t ldc) {
  const milo_exec exec = milo_exec_select(row->caps, pool);
  const milo_gemm g = {
      .m = p->m,
      .n = p->n,
      .k = p->k,
      .batch = p->batch,
      .a = {a, p->dtype, (ptrdiff_t)(p->ta ? 1 : p->k), (ptrdiff_t)(p->ta ? p->m : 1)},
      .b = {b, p->dtype, (ptrdiff_t)(p->tb ? 1 : p->n), (ptrdiff_t)(p->tb ? p->k : 1)},
      .a_step = (ptrdiff_t)(p->m * p->k),
      .b_step = (ptrdiff_t)(p->k * p->n),
      .c_step = (ptrdiff_t)(p->m * ldc),
      .ldc = ldc,
      .add = p->add,
      .mode = row->mode};
  const size_t room = milo_gemm_workspace_bytes(&exec, &g);
  void *workspace = aligned_alloc(64, (room + 64) / 64 * 64);
  if (workspace == NULL) abort();
  milo_gemm_run(&exec, &g, NULL, NULL, c, workspace);
  free(workspace);
}

static void canary(float *x, size_t n) { memset(x, 0xa5, n * sizeof *x); }

static bool is_canary(const float *x) {
  static const unsigned char was[sizeof *x] = {0xa5, 0xa5, 0xa5, 0xa5};
  return memcmp(x, was, sizeof was) == 0;
}

// What of C is not the result is as it was.
static bool is_untouched(const product *p, const float *c, size_t ldc) {
  bool good = true;
  for (size_t r = 0; r < p->batch * p->m; r++)
    for (size_t j = p->n; j < ldc; j++) good = good && is_canary(&c[r * ldc + j]);
  return good;
}

static int64_t integer(uint64_t stream, size_t i) {
  return (int64_t)milo_rng_below(6, stream, i, 7) - 3;
}

// C v against A (B v): v random.
static bool check_integers(const product *p, const float *c, size_t ldc) {
  bool good = true;
  uint64_t *v = malloc(p->n * sizeof *v), *bv = malloc(p->k * sizeof *bv);
  if (v == NULL || bv == NULL) abort();
  for (size_t z = 0; z < p->batch; z++) {
    for (size_t j = 0; j < p->n; j++)
      v[j] = milo_rng_below(7, z, j, UINT64_MAX) | 1;  // odd: no element is lost
    for (size_t q = 0; q < p->k; q++) {
      bv[q] = 0;
      for (size_t j = 0; j < p->n; j++) bv[q] += (uint64_t)integer(2, b_index(p, z, q, j)) * v[j];
    }
    for (size_t i = 0; i < p->m; i++) {
      uint64_t got = 0, wanted = 0;
      for (size_t j = 0; j < p->n; j++) {
        const float x = c[(z * p->m + i) * ldc + j];
        good = good && fabsf(x) < 1e6f && x == rintf(x);
        got += (uint64_t)(good ? (int64_t)x - (p->add ? 5 : 0) : 0) * v[j];
      }
      for (size_t q = 0; q < p->k; q++) wanted += (uint64_t)integer(1, a_index(p, z, i, q)) * bv[q];
      good = good && got == wanted;
    }
  }
  free(v);
  free(bv);
  return good;
}

// Some elements, the corners among them. The error of a sum of k products in fp32, in any order, is
// at most (k + 1) 2^-24 times the sum of their magnitudes, to first order.
static bool check_reals(const product *p, const void *a, const void *b, const float *c,
                        size_t ldc) {
  enum { SAMPLES = 400 };
  bool good = true;
  for (size_t s = 0; s < SAMPLES; s++) {
    const size_t z = milo_rng_below(8, 1, s, p->batch);
    const size_t i = s < 4 ? (s & 1 ? p->m - 1 : 0) : milo_rng_below(8, 2, s, p->m);
    const size_t j = s < 4 ? (s & 2 ? p->n - 1 : 0) : milo_rng_below(8, 3, s, p->n);
    double sum = p->add ? 5 : 0, terms = sum;
    for (size_t q = 0; q < p->k; q++) {
      const double t = milo_number_load(p->dtype, a, a_index(p, z, i, q)) *
                       milo_number_load(p->dtype, b, b_index(p, z, q, j));
      sum += t;
      terms += fabs(t);
    }
    const double got = (double)c[(z * p->m + i) * ldc + j];
    good = good && fabs(got - sum) <= (double)(p->k + 2) * 0x1p-24 * terms;
  }
  return good;
}

static milo_pool *pool_of_2;

static void check_product(const milo_product *row, const product *p, bool integers) {
  const size_t bytes = milo_dtype_bits(p->dtype) / 8, ldc = p->n + 3;
  const size_t out = p->batch * p->m * ldc;
  const guarded a = guard_bytes(p->m * p->k * p->batch * bytes);
  const guarded b = guard_bytes(p->k * p->n * p->batch * bytes);
  float *c = malloc(out * sizeof *c);
  if (c == NULL) abort();
  for (size_t i = 0; i < p->m * p->k * p->batch; i++)
    milo_number_store(p->dtype, a.data, i,
                      integers ? (double)integer(1, i) : 4 * milo_rng_uniform(9, 1, i) - 2);
  for (size_t i = 0; i < p->k * p->n * p->batch; i++)
    milo_number_store(p->dtype, b.data, i,
                      integers ? (double)integer(2, i) : 4 * milo_rng_uniform(9, 2, i) - 2);
  canary(c, out);
  for (size_t r = 0; r < p->batch * p->m; r++)
    for (size_t j = 0; p->add && j < p->n; j++) c[r * ldc + j] = 5;
  run(row, pool_of_2, p, a.data, b.data, c, ldc);
  const bool right = integers ? check_integers(p, c, ldc) : check_reals(p, a.data, b.data, c, ldc);
  if (!CHECK(right && is_untouched(p, c, ldc)))
    printf("# %zu x %zu x %zu, batch %zu, %d %d %d, %s\n", p->m, p->n, p->k, p->batch, p->ta, p->tb,
           p->add, milo_dtype_name(p->dtype));
  free(c);
  unguard(a);
  unguard(b);
}

// Integers this small are exact in bf16 too. Rows for int8 take operands of their own.
static void integers_of(const milo_product *row) {
  if (row->mode != MILO_NUMERIC_EXACT && row->mode != MILO_NUMERIC_BF16) return;
  for (size_t i = 0; i < PRODUCTS; i++) check_product(row, &products[i], true);
}

static void reals_of(const milo_product *row) {
  if (row->mode != MILO_NUMERIC_EXACT) return;
  for (size_t i = 1; i < PRODUCTS; i += 2) check_product(row, &products[i], false);
}

static void test_integers(void) { each_product(integers_of); }
static void test_reals(void) { each_product(reals_of); }

int main(void) {
  if (milo_pool_create(2, NULL, &pool_of_2) != MILO_OK) abort();
  RUN(test_integers);
  RUN(test_reals);
  milo_pool_destroy(pool_of_2);
  return tap_done();
}
