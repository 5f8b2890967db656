// SPDX-License-Identifier: MIT
// The product row for AVX-VNNI with its vectors, and the instruction that multiplies fours of
// bytes, in plain C.
#include "product_checks.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
extern const milo_product wide_vnni;
#define MILO_SIMD 1
#define MILO_MR 4
#define MILO_ISA 0
#define MILO_MODE 2
#define MILO_LEFT_BIAS 128
#define MILO_PRODUCT wide_vnni
#define MILO_PRODUCT_NAME "wide vnni"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_product.h"

static void test_packers(void) { check_packers(&wide_vnni); }
static void test_special(void) { check_special(&wide_vnni); }
static void test_tiles(void) { check_tiles(&wide_vnni); }
static void test_scales(void) { check_scales(&wide_vnni); }

int main(void) {
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  RUN(test_scales);
  return tap_done();
}
