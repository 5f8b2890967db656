// SPDX-License-Identifier: MIT
// The product row for AMX in bf16 with its tiles in plain C and the vectors of AVX-512, which
// packs: for machines that have those only.
#include "emulate_tiles.h"
#include "product_checks.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
#if defined(__x86_64__)
extern const milo_product tiles_vectors;
#define MILO_SIMD 2
#define MILO_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define MILO_MODE 1
#define MILO_TILE_DP _tile_dpbf16ps
#define MILO_PRODUCT tiles_vectors
#define MILO_PRODUCT_NAME "tiles vectors"
#define MILO_PRODUCT_CAPS (MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_tiles.h"

static void test_packers(void) { check_packers(&tiles_vectors); }
static void test_special(void) { check_special(&tiles_vectors); }
static void test_tiles(void) { check_tiles(&tiles_vectors); }
static void test_scales(void) { check_scales(&tiles_vectors); }

int main(void) {
  if ((tiles_vectors.caps & ~milo_cpu_detect()) != 0) {
    printf("1..0 # SKIP no AVX-512\n");
    return 0;
  }
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  RUN(test_scales);
  return tap_done();
}
#else
int main(void) {
  printf("1..0 # SKIP no x86\n");
  return 0;
}
#endif
