// SPDX-License-Identifier: MIT
// The tables of row functions and of products, and the choice in each.
#include "kernels/product.h"
#include "kernels/rows.h"
#include "kernels/variants.h"

const milo_rows *const milo_rows_variants[] = {
    &milo_rows_generic,
#if defined(__x86_64__)
    &milo_rows_avx2,
    &milo_rows_avx512,
#endif
    NULL,
};

const milo_product *const milo_product_variants[] = {
    &milo_product_generic,
#if defined(__x86_64__)
    &milo_product_avx2,
    &milo_product_avx512,
    &milo_product_avx512_bf16,
    &milo_product_amx_bf16,
    &milo_product_avx2_int8,
    &milo_product_avx_vnni,
    &milo_product_avx512_vnni,
    &milo_product_amx_int8,
#endif
    NULL,
};

const milo_rows *milo_rows_select(unsigned caps) {
  const milo_rows *best = NULL;
  for (size_t i = 0; milo_rows_variants[i]; ++i)
    if ((milo_rows_variants[i]->caps & ~caps) == 0) best = milo_rows_variants[i];
  return best;
}

const milo_product *milo_product_select(milo_numeric mode, unsigned caps) {
  const milo_product *best = NULL;
  for (size_t i = 0; milo_product_variants[i]; ++i) {
    const milo_product *row = milo_product_variants[i];
    if (row->mode == mode && (row->caps & ~caps) == 0) best = row;
  }
  return best;
}

const char *milo_numeric_name(milo_numeric mode) {
  static const char *const names[MILO_NUMERIC_COUNT] = {"exact", "bf16", "int8"};
  return names[mode];
}

milo_pack_fn *milo_product_packer(const milo_product *product, milo_dtype source) {
  switch (source) {
    case MILO_FP32:
      return product->pack_fp32;
    case MILO_FP16:
      return product->pack_fp16;
    case MILO_BF16:
      return product->pack_bf16;
    case MILO_INT8:
      return product->pack_int8;
    default:
      return NULL;
  }
}
