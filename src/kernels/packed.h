// SPDX-License-Identifier: MIT
// Packing one side of a product: as tasks of a pool, or block by block within a task.
#ifndef MILO_KERNELS_PACKED_H
#define MILO_KERNELS_PACKED_H

#include "kernels/gemm.h"

// One side: `count` rows (left) or columns (right) of depth k, into panels of w. Element p of row
// or column j lies at data + (p * ps + j * js) elements.
typedef struct milo_packing {
  const milo_product *product;
  size_t w, count, k;
  const void *data;
  milo_dtype dtype;
  ptrdiff_t ps, js;
  // The caller's packer, if it has one: data and z are passed on.
  milo_packer_fn *packer;
  const void *user;
  size_t z;
} milo_packing;

milo_packing milo_packing_left(const milo_product *product, size_t m, size_t k,
                               const milo_matrix *a, const void *data);
milo_packing milo_packing_right(const milo_product *product, size_t n, size_t k,
                                const milo_matrix *b, const void *data);

// Units of depth p's place in a panel, and of n rows' or columns' (n a multiple of w).
static inline size_t milo_packing_offset(const milo_product *product, size_t p, size_t w) {
  return p / product->group * w;
}

// The depth of one block of a product: a panel of it stays in L1.
size_t milo_packing_depth(const milo_product *product);

// Packs depth [p, p + k) of rows or columns [j, j + n), j a multiple of w, to out, panels `panel`
// units apart. scratch: for the caller's packer, MILO_PACKER_COLUMNS * milo_packing_depth floats.
void milo_packing_block(const milo_packing *x, size_t p, size_t k, size_t j, size_t n, float *out,
                        size_t panel, float *scratch);
// All rows or columns [j, j + n) to out, in panels of the whole depth. worker's scratch begins
// slot_bytes after the one before.
void milo_packing_run(const milo_packing *x, milo_pool *pool, size_t j, size_t n, float *out,
                      void *slots, size_t slot_bytes);
// The same within a task.
void milo_packing_serial(const milo_packing *x, size_t j, size_t n, float *out, float *scratch);

#endif
