// SPDX-License-Identifier: MIT
// The table of products: the choice in it, and every row of it that this machine has.
#include "kernels/calibrate.h"
#include "product_checks.h"

static void test_packers(void) { each_product(check_packers); }
static void test_special(void) { each_product(check_special); }
static void test_tiles(void) { each_product(check_tiles); }
static void test_scales(void) { each_product(check_scales); }

// Each row is chosen where its capabilities are there; rows and products are chosen apart.
static void test_select(void) {
  CHECK(milo_product_select(MILO_NUMERIC_EXACT, 0) == milo_product_variants[0]);
  CHECK(milo_product_select(MILO_NUMERIC_BF16, 0) == NULL);
  CHECK(milo_product_select(MILO_NUMERIC_INT8, 0) == NULL);
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

static void slow_tile(size_t m, size_t n, size_t depth, const void *a, size_t a_panel,
                      const void *b, size_t b_panel, void *c, size_t ldc, bool add) {
  for (int i = 0; i < 20; i++)
    milo_product_variants[0]->tile(m, n, depth, a, a_panel, b, b_panel, c, ldc, add);
}

// A mode's row is left out where the exact one is faster, and only there; rates stay as measured.
static void test_choose(void) {
  for (unsigned caps = milo_cpu_detect(), mask = 0;; mask = caps) {
    for (int mode = 0; mode < MILO_NUMERIC_COUNT; mode++) {
      const milo_product *row = milo_product_select((milo_numeric)mode, mask);
      const milo_product *exact = milo_product_select(MILO_NUMERIC_EXACT, mask);
      const milo_product *chosen = milo_product_choose((milo_numeric)mode, mask);
      const bool slower = row != NULL && mode == MILO_NUMERIC_BF16 &&
                          milo_product_rate(row) < milo_product_rate(exact);
      CHECK(chosen == (slower ? NULL : row));
      if (row != NULL) {
        const double rate = milo_product_rate(row);
        CHECK(rate > 0 && milo_product_rate(row) == rate);
      }
    }
    if (mask == caps) break;
  }
  // One that is no row of the table, many times as slow, is measured too.
  milo_product slow = *milo_product_variants[0];
  slow.tile = slow_tile;
  CHECK(milo_product_rate(&slow) < milo_product_rate(milo_product_variants[0]));
}

int main(void) {
  RUN(test_select);
  RUN(test_choose);
  RUN(test_packers);
  RUN(test_special);
  RUN(test_tiles);
  RUN(test_scales);
  return tap_done();
}
