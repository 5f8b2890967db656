// SPDX-License-Identifier: MIT
// The product row for AMX in bf16 with its tiles, and its vectors, in plain C.
#include "emulate_tiles.h"
#include "product_checks.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
extern const milo_product tiles_bf16;
#define MILO_SIMD 2
#define MILO_ISA 0
#define MILO_MODE 1
#define MILO_TILE_DP _tile_dpbf16ps
#define MILO_PRODUCT tiles_bf16
#define MILO_PRODUCT_NAME "tiles bf16"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_tiles.h"

static void test_packers(void) { check_packers(&tiles_bf16); }
static void test_special(void) { check_special(&tiles_bf16); }
static void test_tiles(void) { check_tiles(&tiles_bf16); }
static void test_scales(void) { check_scales(&tiles_bf16); }

// Whole products: depths of several blocks, from either order, with rows and columns left over.
static void test_products(void) {
  enum { M = 70, N = 141, K = 1101 };
  static float a[M * K], b[N * K], c[M * N];
  randomize(a, M * K, 1);
  randomize(b, N * K, 2);
  milo_exec exec = milo_exec_select(0, NULL);
  exec.products[MILO_NUMERIC_BF16] = &tiles_bf16;
  for (int order = 0; order < 4; order++) {
    const bool ta = (order & 1) != 0, tb = (order & 2) != 0;
    const milo_gemm g = {.mode = MILO_NUMERIC_BF16,
                         .m = M,
                         .n = N,
                         .k = K,
                         .batch = 1,
                         .a = {a, MILO_FP32, ta ? 1 : K, ta ? M : 1},
                         .b = {b, MILO_FP32, tb ? 1 : N, tb ? K : 1},
                         .ldc = N};
    void *workspace = aligned_alloc(64, (milo_gemm_workspace_bytes(&exec, &g) + 63) / 64 * 64);
    milo_gemm_run(&exec, &g, NULL, NULL, c, workspace);
    free(workspace);
    bool good = true;
    for (size_t i = 0; i < M; i++)
      for (size_t j = 0; j < N; j++) {
        double sum = 0, terms = 0;
        for (size_t p = 0; p < K; p++) {
          const double v = rounded(&tiles_bf16, (double)a[ta ? p * M + i : i * K + p]) *
                           rounded(&tiles_bf16, (double)b[tb ? j * K + p : p * N + j]);
          sum += v;
          terms += fabs(v);
        }
        good = good && fabs((double)c[i * N + j] - sum) <= (K + 2) * 0x1p-24 * terms;
      }
    if (!CHECK(good)) printf("# order %d\n", order);
  }
}

int main(void) {
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  RUN(test_scales);
  RUN(test_products);
  return tap_done();
}
