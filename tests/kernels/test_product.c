// SPDX-License-Identifier: MIT
// The table of products: the choice in it, and every row of it that this machine has.
#include "product_checks.h"

static void test_packers(void) { each_product(check_packers); }
static void test_special(void) { each_product(check_special); }
static void test_tiles(void) { each_product(check_tiles); }

// Each row is chosen where its capabilities are there; rows and products are chosen apart.
static void test_select(void) {
  CHECK(milo_product_select(MILO_NUMERIC_EXACT, 0) == milo_product_variants[0]);
  CHECK(milo_product_select(MILO_NUMERIC_BF16, 0) == NULL);
  CHECK(milo_product_select(MILO_NUMERIC_INT8, ~0u) == NULL);  // no such row yet
  for (size_t v = 0; milo_product_variants[v] != NULL; v++) {
    const milo_product *k = milo_product_variants[v];
    CHECK(milo_product_select(k->mode, k->caps) == k);
    CHECK(k->group * milo_dtype_bits(k->packed) == 32);
    if (k->mode == MILO_NUMERIC_EXACT) CHECK(k->tile_strided != NULL && k->tile_dot != NULL);
  }
  milo_exec exec = milo_exec_select(0, NULL);
  CHECK(exec.rows == milo_rows_variants[0]);
  CHECK(milo_exec_product(&exec, MILO_NUMERIC_BF16) == milo_product_variants[0]);
}

int main(void) {
  RUN(test_select);
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  return tap_done();
}
