// SPDX-License-Identifier: MIT
// The innermost parts of matrix products: how operands are packed and tiles of sums made from them.
// One row a way to multiply; which one is used goes by numeric mode and by what the processor has.
// The loops around them are gemm.h's.
//
// A packed operand is made of units of 4 bytes: `group` consecutive elements along the depth (1 of
// fp32, 2 of bf16, 4 of int8). A panel holds mr rows of the left side or nr columns of the right
// side: unit q of all of them, then unit q + 1. With w the panel's width, element p (depth) of row
// or column j is number p % group of unit
//     (j / w) * panel + (p / group) * w + j % w
// where panel is the number of units from one panel to the next. Rows that multiply whole tiles at
// a time have other left sides: left_units units of a row lie side by side, and depths are filled
// up to a multiple of them, so that with d = left_units unit q of row j is number
//     (j / w) * panel + q / d * d * w + j % w * d + q % d
// What is missing at the end of the depth and in the last panel is 0, and is multiplied: an
// infinity there would give NaN.
#ifndef MILO_KERNELS_PRODUCT_H
#define MILO_KERNELS_PRODUCT_H

#include "base/number.h"

// How products may read their operands; sums are never narrower than fp32 or int32.
typedef enum milo_numeric {
  MILO_NUMERIC_EXACT,  // as fp32
  MILO_NUMERIC_BF16,   // rounded to bf16
  MILO_NUMERIC_INT8,   // as 8-bit integers that the caller has scaled
  MILO_NUMERIC_COUNT,
} milo_numeric;

const char *milo_numeric_name(milo_numeric mode);  // "exact"

// Packs x[p * rs + j * cs], 0 <= p < k, 0 <= j < n, elements of the packer's type, into panels of w
// columns (w: mr for the left side, nr for the right one), panel units apart. Writes
// round_up(n, w) columns of milo_product_units each, nothing else. Any strides.
typedef void milo_pack_fn(void *out, size_t panel, const void *x, size_t k, size_t n, ptrdiff_t rs,
                          ptrdiff_t cs, size_t w);

typedef struct milo_product {
  const char *name;
  unsigned caps;  // what the processor must have
  milo_numeric mode;
  milo_dtype packed, sum;  // elements of packed operands; of sums
  size_t mr, nr, group;
  size_t left_units;  // see above; 1 or more
  uint8_t left_bias;  // is added to the left side's int8, which then are unsigned: 0 or 128
  size_t depth;       // of a block: what the tile reads of a right panel stays in L1

  // By element type of the source; NULL where the mode has no way to read it.
  milo_pack_fn *pack_fp32, *pack_fp16, *pack_bf16, *pack_int8;

  // c[i][j] = (add: +=) sum over the depth of left(i) * right(j), 0 <= i < m, 0 <= j < n. a, b:
  // packed, panels a_panel and b_panel units apart; depth units. c: elements of `sum`, row stride
  // ldc. The order of a sum depends on the depth alone, not on m, n or the place in a panel.
  void (*tile)(size_t m, size_t n, size_t depth, const void *a, size_t a_panel, const void *b,
               size_t b_panel, void *c, size_t ldc, bool add);

  // Only where operands are fp32 (mode exact), else NULL; the sums have the bits that tile gives.
  // The left side in place: a[i * rsa + p * csa].
  void (*tile_strided)(size_t m, size_t n, size_t k, const float *a, ptrdiff_t rsa, ptrdiff_t csa,
                       const float *b, size_t b_panel, float *c, size_t ldc, bool add);
  // c[i * ldc + j] = sum over p of a[i * lda + p] * b[j * ldb + p]: few rows, right side
  // transposed. In an order of its own.
  void (*tile_dot)(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b,
                   size_t ldb, float *c, size_t ldc);

  // Where sums are not fp32, else NULL: out[j] = sums[j] * row * columns[j] in fp32. columns may be
  // NULL: 1. out may be sums.
  void (*scale_sums)(float *out, const void *sums, size_t n, float row, const float *columns);
} milo_product;

// Slowest first within a mode, ends with NULL; the first is exact and needs no capabilities.
extern const milo_product *const milo_product_variants[];
// The last row of the mode that caps allow; NULL if there is none.
const milo_product *milo_product_select(milo_numeric mode, unsigned caps);

static inline size_t milo_product_units(const milo_product *product, size_t k) {
  const size_t units = (k + product->group - 1) / product->group, step = product->left_units;
  return (units + step - 1) / step * step;
}
// NULL: the row cannot read this type.
milo_pack_fn *milo_product_packer(const milo_product *product, milo_dtype source);

#endif
