// SPDX-License-Identifier: MIT
#include "kernels/packed.h"

#include <assert.h>

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t divide_up(size_t n, size_t d) { return (n + d - 1) / d; }

size_t milo_packing_depth(const milo_product *product) { return product->depth; }

milo_packing milo_packing_left(const milo_product *product, size_t m, size_t k,
                               const milo_matrix *a, const void *data) {
  return (milo_packing){.product = product,
                        .w = product->mr,
                        .count = m,
                        .k = k,
                        .data = data,
                        .dtype = a->dtype,
                        .ps = a->cs,
                        .js = a->rs};
}

milo_packing milo_packing_right(const milo_product *product, size_t n, size_t k,
                                const milo_matrix *b, const void *data) {
  return (milo_packing){.product = product,
                        .w = product->nr,
                        .count = n,
                        .k = k,
                        .data = data,
                        .dtype = b->dtype,
                        .ps = b->rs,
                        .js = b->cs};
}

void milo_packing_block(const milo_packing *x, size_t p, size_t k, size_t j, size_t n, float *out,
                        size_t panel, float *scratch) {
  if (x->packer != NULL) {
    x->packer(x->user, x->product, x->data, x->z, p, k, j, n, out, panel, scratch);
    return;
  }
  milo_pack_fn *pack = milo_product_packer(x->product, x->dtype);
  assert(pack != NULL);
  const ptrdiff_t bytes = (ptrdiff_t)(milo_dtype_bits(x->dtype) / 8);
  pack(out, panel, (const char *)x->data + ((ptrdiff_t)p * x->ps + (ptrdiff_t)j * x->js) * bytes, k,
       n, x->ps, x->js, x->w);
}

// Columns of one task: whole panels, for 32 columns' panels two.
static size_t task_columns(const milo_packing *x) {
  return x->w > MILO_PACKER_COLUMNS ? x->w : MILO_PACKER_COLUMNS / x->w * x->w;
}

// Block t of columns [j, j + n): by depth, then by columns.
static void pack_block(const milo_packing *x, size_t t, size_t j, size_t n, float *out,
                       float *scratch) {
  const size_t depth = milo_packing_depth(x->product), columns = task_columns(x);
  const size_t down = x->k > depth ? divide_up(x->k, depth) : 1;
  const size_t p = t % down * depth, q = t / down * columns;
  const size_t units = milo_product_units(x->product, x->k);
  milo_packing_block(x, p, min_size(depth, x->k - p), j + q, min_size(columns, n - q),
                     out + q * units + milo_packing_offset(x->product, p, x->w), units * x->w,
                     scratch);
}

static size_t blocks(const milo_packing *x, size_t n) {
  const size_t depth = milo_packing_depth(x->product);
  return divide_up(n, task_columns(x)) * (x->k > depth ? divide_up(x->k, depth) : 1);
}

void milo_packing_serial(const milo_packing *x, size_t j, size_t n, float *out, float *scratch) {
  for (size_t t = 0; t < blocks(x, n); ++t) pack_block(x, t, j, n, out, scratch);
}

typedef struct job {
  const milo_packing *x;
  size_t j, n;
  float *out;
  char *slots;
  size_t slot_bytes;
} job;

static void pack_task(void *user, size_t t, int worker) {
  const job *w = user;
  float *scratch = (float *)(void *)(w->slots + (size_t)worker * w->slot_bytes);
  pack_block(w->x, t, w->j, w->n, w->out, scratch);
}

void milo_packing_run(const milo_packing *x, milo_pool *pool, size_t j, size_t n, float *out,
                      void *slots, size_t slot_bytes) {
  job w = {x, j, n, out, slots, slot_bytes};
  milo_pool_run(pool, blocks(x, n), pack_task, &w);
}

// ---- operands packed ahead ----

milo_packed milo_packed_layout(const milo_exec *exec, milo_numeric mode, milo_side side,
                               size_t count, size_t k) {
  return (milo_packed){milo_exec_product(exec, mode), side, count, k, NULL};
}

size_t milo_packed_bytes(const milo_packed *packed) {
  const milo_product *product = packed->product;
  const size_t w = packed->side == MILO_LEFT ? product->mr : product->nr;
  return divide_up(packed->count, w) * w * milo_product_units(product, packed->k) * sizeof(float);
}

void milo_packed_fill(const milo_exec *exec, milo_packed *packed, const milo_matrix *x, void *out) {
  const milo_packing packing =
      packed->side == MILO_LEFT
          ? milo_packing_left(packed->product, packed->count, packed->k, x, x->data)
          : milo_packing_right(packed->product, packed->count, packed->k, x, x->data);
  milo_packing_run(&packing, exec->pool, 0, packed->count, out, NULL, 0);
  packed->data = out;
}
