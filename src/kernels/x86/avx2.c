// SPDX-License-Identifier: MIT
// Kernels for AVX2 with FMA and F16C: tiles of 6 x 16 sums in 12 of 16 registers.
#if defined(__x86_64__)
#define MILO_SIMD 1
#define MILO_ROWS milo_rows_avx2
#define MILO_ROWS_NAME "avx2"
#define MILO_ROWS_CAPS (MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_rows_table.h"

#define MILO_PRODUCT milo_product_avx2
#define MILO_PRODUCT_NAME "avx2"
#define MILO_PRODUCT_CAPS MILO_ROWS_CAPS
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx2;  // ISO C forbids an empty file
#endif
