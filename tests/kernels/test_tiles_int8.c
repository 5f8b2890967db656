// SPDX-License-Identifier: MIT
// The product row for AMX in int8 with its tiles, and its vectors, in plain C.
#include "emulate_tiles.h"
#include "product_checks.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only
extern const milo_product tiles_int8;
#define MILO_SIMD 2
#define MILO_ISA 0
#define MILO_MODE 2
#define MILO_TILE_DP _tile_dpbssd
#define MILO_PRODUCT tiles_int8
#define MILO_PRODUCT_NAME "tiles int8"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_tiles.h"

static void test_packers(void) { check_packers(&tiles_int8); }
static void test_special(void) { check_special(&tiles_int8); }
static void test_tiles(void) { check_tiles(&tiles_int8); }
static void test_scales(void) { check_scales(&tiles_int8); }

int main(void) {
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  RUN(test_scales);
  return tap_done();
}
