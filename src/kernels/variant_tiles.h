// SPDX-License-Identifier: MIT
// One row of the table of products made of AMX tiles: defines MILO_PRODUCT from MILO_PRODUCT_NAME,
// MILO_PRODUCT_CAPS, MILO_TARGET, MILO_MODE (1 bf16, 2 int8) and MILO_TILE_DP, the instruction that
// multiplies tiles. A test may put its own definitions in the place of the intrinsics.
//
// A step multiplies 32 x 16 units of the left side, two tiles, with 16 units x 32 columns of the
// right one, two tiles, into four tiles of sums: 4 loads of 1 KB for 4 products of 16 cycles each.
// A panel of the right side is two such widths, so that panels of both sides differ in width.
#define MILO_MR 32
#define MILO_NR 64
#define MILO_LEFT_UNITS 16
#include "kernels/variant_pack.h"

enum {
  SIDE = 16,    // rows and units of a tile
  SPAN = 32,    // rows and columns of four tiles of sums
  DEPTH = 256,  // units of a block: 32 columns of them, 32 KB, stay in 48 KB of L1
};

typedef struct tile_config {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_config;

// gcc 12 does not see that tile instructions read and write memory.
#define SYNC() __asm__ volatile("" ::: "memory")

TARGET static void configure(void) {
  tile_config config = {.palette = 1};
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = SIDE * 4;
    config.rows[i] = SIDE;
  }
  __asm__ volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
}

// The sums of `rows` x `columns`, at most SPAN each; c: row stride ldc units of 4 bytes.
FN void span(size_t rows, size_t columns, size_t units, const float *a, const float *b, float *c,
             size_t ldc, bool add) {
  const bool below = rows > SIDE, beside = columns > SIDE;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (add && rows == SPAN && columns == SPAN) {
    SYNC();
    _tile_loadd(0, c, ldc * 4);
    _tile_loadd(1, c + SIDE, ldc * 4);
    _tile_loadd(2, c + SIDE * ldc, ldc * 4);
    _tile_loadd(3, c + SIDE * ldc + SIDE, ldc * 4);
  }
  SYNC();
  for (size_t q = 0; q < units; q += SIDE, a += SIDE * MR, b += SIDE * NR) {
    _tile_loadd(4, a, SIDE * 4);
    _tile_loadd(6, b, NR * 4);
    MILO_TILE_DP(0, 4, 6);
    if (beside) {
      _tile_loadd(7, b + SIDE, NR * 4);
      MILO_TILE_DP(1, 4, 7);
    }
    if (below) {
      _tile_loadd(5, a + SIDE * SIDE, SIDE * 4);
      MILO_TILE_DP(2, 5, 6);
      if (beside) MILO_TILE_DP(3, 5, 7);
    }
  }
  if (rows == SPAN && columns == SPAN) {
    _tile_stored(0, c, ldc * 4);
    _tile_stored(1, c + SIDE, ldc * 4);
    _tile_stored(2, c + SIDE * ldc, ldc * 4);
    _tile_stored(3, c + SIDE * ldc + SIDE, ldc * 4);
    SYNC();
    return;
  }
  // Tiles are stored whole, so what is at the edge of c goes through memory of their size.
  float sums[SPAN * SPAN];
  _tile_stored(0, sums, SPAN * 4);
  _tile_stored(1, sums + SIDE, SPAN * 4);
  _tile_stored(2, sums + SIDE * SPAN, SPAN * 4);
  _tile_stored(3, sums + SIDE * SPAN + SIDE, SPAN * 4);
  SYNC();
  for (size_t i = 0; i < rows; ++i)
    for (size_t j = 0; j < columns; ++j) {
#if MILO_MODE == 2
      uint32_t x, y;
      memcpy(&x, sums + i * SPAN + j, sizeof x);
      memcpy(&y, c + i * ldc + j, sizeof y);
      if (add) x += y;
      memcpy(c + i * ldc + j, &x, sizeof x);
#else
      const float x = sums[i * SPAN + j];
      c[i * ldc + j] = add ? c[i * ldc + j] + x : x;
#endif
    }
}

TARGET static void tile(size_t m, size_t n, size_t depth, const void *a, size_t a_panel,
                        const void *b, size_t b_panel, void *c, size_t ldc, bool add) {
  configure();
  const float *right = b;
  float *sums = c;
  for (size_t j = 0; j < n; j += SPAN) {
    const float *left = a, *columns = right + j / NR * b_panel + j % NR;
    for (size_t i = 0; i < m; i += SPAN, left += a_panel)
      span(m - i < SPAN ? m - i : SPAN, n - j < SPAN ? n - j : SPAN, depth, left, columns,
           sums + i * ldc + j, ldc, add);
  }
  _tile_release();
}

const milo_product MILO_PRODUCT = {
    .name = MILO_PRODUCT_NAME,
    .caps = MILO_PRODUCT_CAPS,
    .mode = MILO_PRODUCT_MODE,
    .packed = MILO_PRODUCT_ELEMENT,
    .sum = MILO_PRODUCT_SUM,
    .mr = MR,
    .nr = NR,
    .group = GROUP,
    .left_units = LEFT_UNITS,
    .depth = DEPTH * GROUP,
    MILO_PRODUCT_PACKERS,
    .tile = tile,
};
