// SPDX-License-Identifier: MIT
// Products of few rows for AVX2 with FMA and F16C.
#if defined(__x86_64__)
#define MILO_SIMD 1
#define MILO_FEW milo_few_avx2
#define MILO_FEW_NAME "avx2"
#define MILO_FEW_CAPS (MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_few.h"
#else
typedef int milo_no_few_avx2;  // ISO C forbids an empty file
#endif
