// SPDX-License-Identifier: MIT
// Products of bytes with AVX2: even and odd bytes widened to 16 bits, so that nothing saturates,
// multiplied and added in pairs; tiles of 4 x 16 int32 sums.
#if defined(__x86_64__)
#define MILO_SIMD 1
#define MILO_MR 4
#define MILO_MODE 2
#define MILO_ODD(x) _mm256_srai_epi16((__m256i)(x), 8)
#define MILO_EVEN(x) _mm256_srai_epi16(_mm256_slli_epi16((__m256i)(x), 8), 8)
#define MILO_DPINT8(c, a, b)                                                       \
  ((vf)_mm256_add_epi32(                                                           \
      _mm256_add_epi32((__m256i)(c), _mm256_madd_epi16(MILO_ODD(a), MILO_ODD(b))), \
      _mm256_madd_epi16(MILO_EVEN(a), MILO_EVEN(b))))
#define MILO_PRODUCT milo_product_avx2_int8
#define MILO_PRODUCT_NAME "avx2_int8"
#define MILO_PRODUCT_CAPS (MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx2_int8;  // ISO C forbids an empty file
#endif
