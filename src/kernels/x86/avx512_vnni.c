// SPDX-License-Identifier: MIT
// Products of bytes with AVX512-VNNI, tiles of 12 x 32 int32 sums. The instruction takes unsigned
// bytes from the left: 128 is added to them, and 128 times the right side's sums subtracted.
#if defined(__x86_64__)
#define MILO_SIMD 2
#define MILO_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
#define MILO_MODE 2
#define MILO_LEFT_BIAS 128
#define MILO_DPINT8(c, a, b) ((vf)_mm512_dpbusd_epi32((__m512i)(c), (__m512i)(a), (__m512i)(b)))
#define MILO_PRODUCT milo_product_avx512_vnni
#define MILO_PRODUCT_NAME "avx512_vnni"
#define MILO_PRODUCT_CAPS \
  (MILO_CPU_AVX512_VNNI | MILO_CPU_AVX512 | MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C)
#include "kernels/variant_product.h"
#else
typedef int milo_no_avx512_vnni;  // ISO C forbids an empty file
#endif
