// SPDX-License-Identifier: MIT
// The rows of both tables that this build has.
#ifndef MILO_KERNELS_VARIANTS_H
#define MILO_KERNELS_VARIANTS_H

#include "kernels/product.h"
#include "kernels/rows.h"

extern const milo_rows milo_rows_generic, milo_rows_avx2, milo_rows_avx512;
extern const milo_product milo_product_generic, milo_product_avx2, milo_product_avx512;
extern const milo_product milo_product_avx512_bf16, milo_product_amx_bf16;
extern const milo_product milo_product_avx2_int8, milo_product_avx_vnni;
extern const milo_product milo_product_avx512_vnni, milo_product_amx_int8;

#endif
