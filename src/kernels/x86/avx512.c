// SPDX-License-Identifier: MIT
// Kernels for AVX-512 (F, BW, DQ, VL): tiles of 12 x 32 sums in 24 of 32 registers.
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_ROWS milo_rows_avx512
#define MILO_ROWS_NAME "avx512"
#define MILO_ROWS_CAPS (MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_rows_table.h"

#define MILO_PRODUCT milo_product_avx512
#define MILO_PRODUCT_NAME "avx512"
#define MILO_PRODUCT_CAPS MILO_ROWS_CAPS
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx512;  // ISO C forbids an empty file
#endif
