// SPDX-License-Identifier: MIT
// A host program that shares OpenBLAS with us: how many threads it uses is the host's to say.
#include "kernels/blas.h"

#include <dlfcn.h>
#include <milo/milo.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tap.h"

enum { M = 300, N = 64, K = 70 };

static milo_sgemm_fn *sgemm;
static int (*get_threads)(void);
static void (*set_threads)(int);
static atomic_int seen_most;  // threads of OpenBLAS during a product

// What our products call.
static void watch(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                  const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc) {
  const int now = get_threads();
  if (now > atomic_load(&seen_most)) atomic_store(&seen_most, now);
  sgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static bool open_library(void) {
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return false;
  *(void **)(void *)&get_threads = dlsym(library, "openblas_get_num_threads");
  *(void **)(void *)&set_threads = dlsym(library, "openblas_set_num_threads");
  if (get_threads == NULL || set_threads == NULL) return false;
  set_threads(3);
  return get_threads() == 3;
}

// A product through BLAS on a pool of its own; false if a number is wrong.
static bool multiply(int threads) {
  static float a[M * K], b[K * N];
  float *c = calloc(M * N, sizeof *c);
  milo_pool *pool;
  if (milo_pool_create(threads, NULL, &pool) != MILO_OK) return false;
  milo_exec exec = milo_exec_select(0, pool);
  exec.sgemm = watch;
  const milo_gemm g = {.m = M,
                       .n = N,
                       .k = K,
                       .batch = 1,
                       .a = {.dtype = MILO_FP32, .rs = K, .cs = 1},
                       .b = {.dtype = MILO_FP32, .rs = N, .cs = 1},
                       .ldc = N};
  bool right = milo_blas_takes(&exec, &g);
  void *workspace = malloc(milo_blas_workspace_bytes(&exec, &g) + 1);
  for (size_t i = 0; i < M * K; i++) a[i] = 1;
  for (size_t i = 0; i < K * N; i++) b[i] = 2;
  for (int round = 0; round < 20 && right; round++) {
    milo_blas_run(&exec, &g, a, b, c, workspace);
    for (size_t i = 0; i < M * N; i++) right = right && c[i] == 2.0f * K;
  }
  milo_pool_destroy(pool);
  free(workspace);
  free(c);
  return right;
}

static void test_the_hosts_number_of_threads_stays(void) {
  if (!open_library()) SKIP("no OpenBLAS with threads here");
  sgemm = milo_blas_open();
  if (!CHECK(sgemm != NULL)) return;
  CHECK(get_threads() == 3);
  atomic_store(&seen_most, 0);
  CHECK(multiply(2));
  CHECK(get_threads() == 3);
  CHECK(atomic_load(&seen_most) == 1);
  set_threads(1);
  CHECK(multiply(2));
  CHECK(get_threads() == 1);
}

static void *multiply_in_thread(void *right) {
  *(bool *)right = multiply(2);
  return NULL;
}

static void test_contexts_at_the_same_time(void) {
  if (!open_library()) SKIP("no OpenBLAS with threads here");
  sgemm = milo_blas_open();
  enum { CONTEXTS = 4 };
  pthread_t others[CONTEXTS];
  bool right[CONTEXTS];
  atomic_store(&seen_most, 0);
  for (int i = 0; i < CONTEXTS; i++)
    CHECK(pthread_create(&others[i], NULL, multiply_in_thread, &right[i]) == 0);
  for (int i = 0; i < CONTEXTS; i++) {
    pthread_join(others[i], NULL);
    CHECK(right[i]);
  }
  CHECK(atomic_load(&seen_most) == 1);
  CHECK(get_threads() == 3);
}

// On the processors that go through BLAS, and where a context is told to.
static void test_a_context_leaves_it_too(void) {
  if (!open_library()) SKIP("no OpenBLAS with threads here");
  static const char text[] =
      "program(1.3) { func main<ios17>(tensor<fp32, [64, 64]> x) {\n"
      "tensor<fp32, [64, 64]> y = matmul(x = x, y = x); } -> (y); }";
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = 2;
  options.cpu_mask = "none";
  milo_ctx *ctx;
  milo_program *program;
  milo_kernel *kernel;
  milo_buffer *x;
  CHECK(milo_ctx_create(&options, &ctx) == MILO_OK);
  CHECK(milo_program_parse(ctx, text, strlen(text), NULL, NULL, &program) == MILO_OK);
  CHECK(milo_compile(ctx, program, NULL, &kernel) == MILO_OK);
  CHECK(milo_buffer_create(ctx, 64 * 64 * 4, &x) == MILO_OK);
  CHECK(milo_kernel_bind(kernel, "x", x) == MILO_OK);
  CHECK(milo_kernel_run(kernel) == MILO_OK);
  CHECK(get_threads() == 3);
  milo_buffer_release(x);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
  CHECK(get_threads() == 3);
}

int main(void) {
  RUN(test_the_hosts_number_of_threads_stays);
  RUN(test_contexts_at_the_same_time);
  RUN(test_a_context_leaves_it_too);
  return tap_done();
}
