// SPDX-License-Identifier: MIT
// Products of bytes with AVX-VNNI, the instruction of AVX512-VNNI on vectors of 8: tiles of 4 x 16
// (see avx512_vnni.c), which leave registers for what is subtracted.
#if defined(__x86_64__)
#define MILO_SIMD 1
#define MILO_MR 4
#define MILO_TARGET "avx2,fma,f16c,avxvnni"
#define MILO_MODE 2
#define MILO_LEFT_BIAS 128
#define MILO_DPINT8(c, a, b) ((vf)_mm256_dpbusd_avx_epi32((__m256i)(c), (__m256i)(a), (__m256i)(b)))
#define MILO_PRODUCT milo_product_avx_vnni
#define MILO_PRODUCT_NAME "avx_vnni"
#define MILO_PRODUCT_CAPS (MILO_CPU_AVX_VNNI | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx_vnni;  // ISO C forbids an empty file
#endif
