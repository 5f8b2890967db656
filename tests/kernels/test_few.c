// SPDX-License-Identifier: MIT
// Products of few rows: every variant against sums in double, at odd sizes, on memory that ends at
// an unmapped page.
#include "guard.h"
#include "kernels/few.h"

enum { SIZES = 13 };
static const size_t depths[SIZES] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33, 64, 131};

typedef enum form { FORM_FP32, FORM_FP16, FORM_BF16, FORMS } form;
static const milo_dtype types[FORMS] = {MILO_FP32, MILO_FP16, MILO_BF16};

// n elements of the type, ending at the guard, and what they are in fp32.
static guarded make(form f, float *flat, size_t n, uint64_t stream) {
  const size_t bytes = milo_dtype_bits(types[f]) / 8;
  const guarded g = guard_bytes(n * bytes);
  randomize(flat, n, stream);
  for (size_t i = 0; i < n; i++) {
    milo_number_store(types[f], g.data, i, (double)flat[i]);
    flat[i] = (float)milo_number_load(types[f], g.data, i);
  }
  return g;
}

// steps x eps x sum of |terms|; NaN fails.
static bool near(double got, double wanted, double terms, size_t k) {
  return fabs(got - wanted) <= (double)(k + 8) * 0x1p-24 * terms + 1e-37;
}

static float flat[200 * 200];

static void check_dot(const milo_few *few, form f, size_t m, size_t n, size_t k) {
  const size_t ldw = k + 3, lda = k + 1, ldc = n + 2;
  const guarded w = make(f, flat, n > 0 ? (n - 1) * ldw + k : 0, 1);
  const guarded a = guard(m > 0 ? (m - 1) * lda + k : 0), c = guard(m > 0 ? (m - 1) * ldc + n : 0);
  randomize(a.data, m > 0 ? (m - 1) * lda + k : 0, 2);
  for (size_t i = 0; m > 0 && i < (m - 1) * ldc + n; i++) c.data[i] = 77;
  milo_few_dot(few, types[f])(m, n, k, a.data, lda, w.data, ldw, c.data, ldc);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      double sum = 0, terms = 0;
      for (size_t p = 0; p < k; p++) {
        const double t = (double)a.data[i * lda + p] * (double)flat[j * ldw + p];
        sum += t;
        terms += fabs(t);
      }
      CHECK(near((double)c.data[i * ldc + j], sum, terms, k));
    }
    for (size_t j = n; i + 1 < m && j < ldc; j++) CHECK(c.data[i * ldc + j] == 77);
  }
  // A row alone has the same bits.
  if (m > 1 && n > 0) {
    const guarded one = guard(n);
    milo_few_dot(few, types[f])(1, n, k, a.data + (m - 1) * lda, lda, w.data, ldw, one.data, n);
    CHECK(memcmp(one.data, c.data + (m - 1) * ldc, n * sizeof(float)) == 0);
    unguard(one);
  }
  unguard(w);
  unguard(a);
  unguard(c);
}

static void check_mix(const milo_few *few, form f, size_t m, size_t n, size_t k) {
  const size_t ldw = n + 3, lda = k + 1, ldc = n + 2;
  const guarded w = make(f, flat, k > 0 ? (k - 1) * ldw + n : 0, 3);
  const guarded a = guard(m > 0 ? (m - 1) * lda + k : 0), c = guard(m > 0 ? (m - 1) * ldc + n : 0);
  randomize(a.data, m > 0 ? (m - 1) * lda + k : 0, 4);
  for (size_t i = 0; m > 0 && i < (m - 1) * ldc + n; i++) c.data[i] = 77;
  milo_few_mix(few, types[f])(m, n, k, a.data, lda, w.data, ldw, c.data, ldc);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) {
      double sum = 0, terms = 0;
      for (size_t p = 0; p < k; p++) {
        const double t = (double)a.data[i * lda + p] * (double)flat[p * ldw + j];
        sum += t;
        terms += fabs(t);
      }
      CHECK(near((double)c.data[i * ldc + j], sum, terms, k));
    }
    for (size_t j = n; i + 1 < m && j < ldc; j++) CHECK(c.data[i * ldc + j] == 77);
  }
  unguard(w);
  unguard(a);
  unguard(c);
}

static void check_int8(const milo_few *few, size_t m, size_t n, size_t k, size_t group) {
  const size_t ldw = k + 3, lda = k + 1, ldc = n + 2, lds = (k + group - 1) / group;
  const size_t weights = n > 0 ? (n - 1) * ldw + k : 0;
  const guarded w = guard_bytes(weights), s = guard(n * lds);
  const guarded a = guard(m > 0 ? (m - 1) * lda + k : 0), c = guard(m > 0 ? (m - 1) * ldc + n : 0);
  int8_t *q = (int8_t *)(void *)w.data;
  for (size_t i = 0; i < weights; i++) q[i] = (int8_t)(milo_rng_below(5, 0, i, 256));
  randomize(s.data, n * lds, 6);
  randomize(a.data, m > 0 ? (m - 1) * lda + k : 0, 7);
  few->dot_int8(m, n, k, a.data, lda, q, ldw, s.data, lds, group, c.data, ldc);
  const guarded row = guard(k);
  for (size_t j = 0; j < n; j++) {
    few->scale_int8(row.data, q + j * ldw, s.data + j * lds, group, k);
    for (size_t p = 0; p < k; p++)
      CHECK(row.data[p] == (float)q[j * ldw + p] * s.data[j * lds + p / group]);
    for (size_t i = 0; i < m; i++) {
      double sum = 0, terms = 0;
      for (size_t p = 0; p < k; p++) {
        const double t = (double)a.data[i * lda + p] * (double)q[j * ldw + p] *
                         (double)s.data[j * lds + p / group];
        sum += t;
        terms += fabs(t);
      }
      CHECK(near((double)c.data[i * ldc + j], sum, terms, k));
    }
  }
  unguard(row);
  unguard(w);
  unguard(s);
  unguard(a);
  unguard(c);
}

static void test_variants(void) {
  static const size_t rows[] = {0, 1, 3, 8}, columns[] = {0, 1, 3, 4, 5, 18, 67};
  static const size_t groups[] = {1, 2, 5, 16, 32, 131};
  const unsigned caps = milo_cpu_detect();
  for (const milo_few *const *few = milo_few_variants; *few; few++) {
    if (((*few)->caps & ~caps) != 0) {
      printf("# %s is not run: this processor lacks it\n", (*few)->name);
      continue;
    }
    for (size_t m = 0; m < 4; m++)
      for (size_t n = 0; n < 7; n++)
        for (size_t k = 0; k < SIZES; k++) {
          for (int f = 0; f < FORMS; f++) {
            check_dot(*few, (form)f, rows[m], columns[n], depths[k]);
            check_mix(*few, (form)f, rows[m], columns[n], depths[k]);
          }
          for (size_t g = 0; g < 6; g++)
            check_int8(*few, rows[m], columns[n], depths[k], groups[g]);
        }
  }
}

static void test_choice(void) {
  CHECK(milo_few_select(0) == milo_few_variants[0]);
  for (const milo_few *const *few = milo_few_variants; *few; few++)
    CHECK(milo_few_select((*few)->caps)->caps == (*few)->caps);
  CHECK(milo_few_dot(milo_few_variants[0], MILO_INT32) == NULL);
}

int main(void) {
  RUN(test_variants);
  RUN(test_choice);
  return tap_done();
}
