// SPDX-License-Identifier: MIT
// The product row for AVX512-BF16 with its vectors, and the instruction that multiplies pairs of
// bf16, in plain C: packing by pairs and odd depths are tested where the instruction is missing.
#include "product_checks.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
extern const milo_product wide_bf16;
#define MILO_SIMD 2
#define MILO_ISA 0
#define MILO_MODE 1
#define MILO_PRODUCT wide_bf16
#define MILO_PRODUCT_NAME "wide bf16"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_product.h"

static void test_packers(void) { check_packers(&wide_bf16); }
static void test_special(void) { check_special(&wide_bf16); }
static void test_tiles(void) { check_tiles(&wide_bf16); }

int main(void) {
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  return tap_done();
}
