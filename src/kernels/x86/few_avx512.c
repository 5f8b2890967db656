// SPDX-License-Identifier: MIT
// Products of few rows for AVX-512 (F, BW, DQ, VL).
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_FEW milo_few_avx512
#define MILO_FEW_NAME "avx512"
#define MILO_FEW_CAPS (MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_few.h"
#else
typedef int milo_no_few_avx512;  // ISO C forbids an empty file
#endif
