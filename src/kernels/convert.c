// SPDX-License-Identifier: MIT
#include "kernels/convert.h"

#include <math.h>
#include <string.h>

bool milo_convert_supports(milo_dtype dtype) {
  switch (dtype) {
    case MILO_FP32:
    case MILO_FP16:
    case MILO_BF16:
    case MILO_BOOL:
    case MILO_INT8:
    case MILO_UINT8:
    case MILO_INT16:
    case MILO_UINT16:
    case MILO_INT32:
    case MILO_UINT32:
      return true;
    default:
      return false;
  }
}

#define LOAD(type, convert)                                                       \
  {                                                                               \
    const type *from = x;                                                         \
    for (size_t i = 0; i < n; ++i) out[i] = convert(from[(ptrdiff_t)i * stride]); \
    break;                                                                        \
  }

void milo_load_f32(const milo_rows *kernels, float *out, const void *x, milo_dtype dtype,
                   ptrdiff_t stride, size_t n) {
  if (stride == 1) {
    if (dtype == MILO_FP32) {
      memcpy(out, x, n * sizeof *out);
      return;
    }
    if (dtype == MILO_FP16) {
      kernels->fp16_to_f32(out, x, n);
      return;
    }
    if (dtype == MILO_BF16) {
      kernels->bf16_to_f32(out, x, n);
      return;
    }
  }
  switch (dtype) {
    case MILO_FP32:
      LOAD(float, )
    case MILO_FP16:
      LOAD(milo_fp16, milo_fp16_to_f32)
    case MILO_BF16:
      LOAD(milo_bf16, milo_bf16_to_f32)
    case MILO_BOOL:
      LOAD(uint8_t, 0 !=)
    case MILO_INT8:
      LOAD(int8_t, (float))
    case MILO_UINT8:
      LOAD(uint8_t, (float))
    case MILO_INT16:
      LOAD(int16_t, (float))
    case MILO_UINT16:
      LOAD(uint16_t, (float))
    case MILO_INT32:
      LOAD(int32_t, (float))
    case MILO_UINT32:
      LOAD(uint32_t, (float))
    default:
      break;
  }
}

// x truncated and clamped to [low, high]; the bounds are exact in fp32 or just outside.
static int64_t clamp(float x, double low, double high) {
  if (x != x) return 0;
  const double d = (double)x;
  return (int64_t)(d < low ? low : d > high ? high : d);
}

#define STORE(type, value)                       \
  {                                              \
    type *to = out;                              \
    for (size_t i = 0; i < n; ++i) {             \
      const float v = x[i];                      \
      to[(ptrdiff_t)i * stride] = (type)(value); \
    }                                            \
    break;                                       \
  }

void milo_store_f32(const milo_rows *kernels, void *out, milo_dtype dtype, ptrdiff_t stride,
                    const float *x, size_t n) {
  if (stride == 1) {
    if (dtype == MILO_FP32) {
      memcpy(out, x, n * sizeof *x);
      return;
    }
    if (dtype == MILO_FP16) {
      kernels->f32_to_fp16(out, x, n);
      return;
    }
    if (dtype == MILO_BF16) {
      kernels->f32_to_bf16(out, x, n);
      return;
    }
  }
  switch (dtype) {
    case MILO_FP32:
      STORE(float, v)
    case MILO_FP16:
      STORE(milo_fp16, milo_f32_to_fp16(v))
    case MILO_BF16:
      STORE(milo_bf16, milo_f32_to_bf16(v))
    case MILO_BOOL:
      STORE(uint8_t, v != 0.0f)
    case MILO_INT8:
      STORE(int8_t, clamp(v, -128, 127))
    case MILO_UINT8:
      STORE(uint8_t, clamp(v, 0, 255))
    case MILO_INT16:
      STORE(int16_t, clamp(v, -32768, 32767))
    case MILO_UINT16:
      STORE(uint16_t, clamp(v, 0, 65535))
    case MILO_INT32:
      STORE(int32_t, clamp(v, -2147483648.0, 2147483647.0))
    case MILO_UINT32:
      STORE(uint32_t, clamp(v, 0, 4294967295.0))
    default:
      break;
  }
}

void milo_convert_rows(const milo_rows *kernels, float *out, const void *x, milo_dtype dtype,
                       size_t rows, size_t columns, ptrdiff_t rs, ptrdiff_t cs) {
  const size_t bytes = milo_dtype_bits(dtype) / 8;
  for (size_t i = 0; i < rows; ++i)
    milo_load_f32(kernels, out + i * columns,
                  (const char *)x + (ptrdiff_t)i * rs * (ptrdiff_t)bytes, dtype, cs, columns);
}
