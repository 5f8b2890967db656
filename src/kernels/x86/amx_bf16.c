// SPDX-License-Identifier: MIT
// Products in bf16 with AMX: tiles of 16 x 16 fp32 sums, pairs of bf16 multiplied into them.
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_TARGET "amx-tile,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define MILO_MODE 1
#define MILO_TILE_DP _tile_dpbf16ps
#define MILO_PRODUCT milo_product_amx_bf16
#define MILO_PRODUCT_NAME "amx_bf16"
#define MILO_PRODUCT_CAPS \
  (MILO_CPU_AMX_BF16 | MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_tiles.h"
#else
typedef int milo_no_amx_bf16;  // ISO C forbids an empty file
#endif
