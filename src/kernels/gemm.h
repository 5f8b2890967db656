// SPDX-License-Identifier: MIT
// Matrix products of any size, strides and floating-point format, over a pool of threads: operands
// as they lie, packed ahead, or brought by the caller's own packer; results rounded, with bias,
// activation and residual, while a tile is in cache.
#ifndef MILO_KERNELS_GEMM_H
#define MILO_KERNELS_GEMM_H

#include "base/pool.h"
#include "kernels/product.h"
#include "kernels/rows.h"

// cblas_sgemm.
typedef void milo_sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k,
                           float alpha, const float *a, int lda, const float *b, int ldb,
                           float beta, float *c, int ldc);

// What a kernel driver runs on: a choice from each table. pool may be NULL; sgemm is NULL unless
// BLAS is to be used where it can (kernels/blas.h).
typedef struct milo_exec {
  const milo_rows *rows;
  const milo_product *products[MILO_NUMERIC_COUNT];  // NULL: the mode's products are exact
  milo_pool *pool;
  milo_sgemm_fn *sgemm;
} milo_exec;

// The best rows that caps allow (kernels/calibrate.h), without BLAS.
milo_exec milo_exec_select(unsigned caps, milo_pool *pool);
// The row that a milo_gemm of this mode uses: exact where the mode has none, or sums integers.
const milo_product *milo_exec_product(const milo_exec *exec, milo_numeric mode);

// An operand: fp32, fp16 or bf16; row i, column j at data + (i * rs + j * cs) elements. Strides may
// be 0 or negative.
typedef struct milo_matrix {
  const void *data;
  milo_dtype dtype;
  ptrdiff_t rs, cs;
} milo_matrix;

// ---- operands packed ahead ----

typedef enum milo_side { MILO_LEFT, MILO_RIGHT } milo_side;

// A left operand of `count` rows or a right one of `count` columns, k deep, in product's layout
// (product.h; panels milo_product_units(product, k) * mr or nr units apart). Worth its memory where
// an operand is used more often than it changes: parameters.
typedef struct milo_packed {
  const milo_product *product;
  milo_side side;
  size_t count, k;
  const void *data;  // milo_packed_bytes, 64-byte aligned
} milo_packed;

// The layout for products of this mode; data is NULL.
milo_packed milo_packed_layout(const milo_exec *exec, milo_numeric mode, milo_side side,
                               size_t count, size_t k);
size_t milo_packed_bytes(const milo_packed *packed);
// Packs x, which is count x k (left) or k x count (right), into out over the pool; then
// packed->data is out.
void milo_packed_fill(const milo_exec *exec, milo_packed *packed, const milo_matrix *x, void *out);

// ---- the caller's own packer of the right side ----

// A right side that nowhere lies as a matrix (a convolution's patches). Writes rows [p, p + k) and
// columns [j, j + n) of matrix z of the batch to out as a milo_pack_fn of product with w = nr
// would: panels `panel` units apart, missing columns and a missing half of a unit 0. j is a
// multiple of nr, n <= MILO_PACKER_COLUMNS; p is a multiple of 4, k <= MILO_PACKER_DEPTH. b: as
// given to milo_gemm_run. scratch: n * k floats for the packer's use, so that it may gather the
// block there and pass it to one of product's packers. Called by any thread of the pool, each block
// once.
typedef void milo_packer_fn(const void *user, const milo_product *product, const void *b, size_t z,
                            size_t p, size_t k, size_t j, size_t n, void *out, size_t panel,
                            float *scratch);
enum { MILO_PACKER_COLUMNS = 64, MILO_PACKER_DEPTH = 1536 };

// ---- what happens to a sum ----

// v = activation(scale * sum + bias) + residual, in fp32; all zero: v = sum.
typedef struct milo_epilogue {
  bool scaled;  // scale is there
  float scale;
  milo_unary activation;  // MILO_UNARY_copy: none
  float params[2];        // of the activation
  // As matrices with c's rows and columns (strides of 0 where they repeat); dtype MILO_DTYPE_NONE:
  // none. The same for all of a batch, and residual_step elements apart.
  milo_matrix bias, residual;
  ptrdiff_t residual_step;
} milo_epilogue;

typedef struct milo_gemm {
  milo_numeric mode;
  size_t m, n, k, batch;
  milo_matrix a, b;                  // m x k, k x n
  ptrdiff_t a_step, b_step, c_step;  // elements from one matrix of the batch to the next
  size_t ldc;
  milo_dtype c_dtype;  // fp32, fp16 or bf16; MILO_DTYPE_NONE: fp32
  bool add;            // c += instead of c =
  milo_epilogue epilogue;
  // One of the operands packed ahead for exec and mode, or NULL; its step is 0. The operand itself
  // should be there too: products of few rows read b in place, and give other bits packed (a
  // different order of sums). Else the bits are those of the unpacked product.
  const milo_packed *packed_a, *packed_b;
  // Brings b instead of strides; b.dtype, b.rs and b.cs are then not used.
  milo_packer_fn *packer;
  const void *packer_user;
} milo_gemm;

// c[z][i][j] = (add: c +) epilogue(sum over p of a[z][i][p] * b[z][p][j]), rounded once to c's
// type; z < batch; unit column stride, c must not overlap what is read. Sums run over p in blocks,
// in an order that depends on sizes only; with add to fp32 and neither scale nor activation, c is
// the first term. m, n, batch may be 0; k = 0 gives sums of 0. a, b: NULL takes g's pointers.
// workspace: milo_gemm_workspace_bytes, 64-byte aligned; it depends on all of g but pointers (only
// on whether packed_a, packed_b and packer are there), and on the threads.
//
// The right side is packed once, the left side once or, where the right one takes more than 8 MB,
// once a strip of as many columns as that holds; neither where it is read in place or was packed
// ahead.
void milo_gemm_run(const milo_exec *exec, const milo_gemm *g, const void *a, const void *b, void *c,
                   void *workspace);
size_t milo_gemm_workspace_bytes(const milo_exec *exec, const milo_gemm *g);
// Would packing that side ahead spare work? Not where it is read in place, or by BLAS.
bool milo_gemm_packs(const milo_exec *exec, const milo_gemm *g, milo_side side);

#endif
