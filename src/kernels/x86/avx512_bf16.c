// SPDX-License-Identifier: MIT
// Products in bf16 with AVX512-BF16: pairs of bf16 multiplied into fp32 sums, tiles of 12 x 32.
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"
#define MILO_MODE 1
#define MILO_DPBF16(c, a, b) ((vf)_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b)))
#define MILO_PRODUCT milo_product_avx512_bf16
#define MILO_PRODUCT_NAME "avx512_bf16"
#define MILO_PRODUCT_CAPS \
  (MILO_CPU_AVX512_BF16 | MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx512_bf16;  // ISO C forbids an empty file
#endif
