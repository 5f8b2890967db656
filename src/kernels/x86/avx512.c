// SPDX-License-Identifier: MIT
// Kernels for AVX-512 (F, BW, DQ, VL): tiles of 12 x 32 sums in 24 of 32 registers.
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_VARIANT milo_kernels_avx512
#define MILO_VARIANT_NAME "avx512"
#define MILO_VARIANT_CAPS (MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant.h"
#else
typedef int milo_no_avx512;  // ISO C forbids an empty file
#endif
