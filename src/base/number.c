// SPDX-License-Identifier: MIT
#include "base/number.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Milo reads and writes memory as little-endian"
#endif

// ---- the types --------------------------------------------------------------------------------

typedef enum kind { KIND_OTHER, KIND_FLOAT, KIND_SIGNED, KIND_UNSIGNED } kind;

static const struct {
  const char *name;
  uint8_t bits;
  uint8_t kind;
} dtypes[MILO_DTYPE_COUNT] = {
    [MILO_BOOL] = {"bool", 8, KIND_OTHER},           [MILO_STRING] = {"string", 0, KIND_OTHER},
    [MILO_FP16] = {"fp16", 16, KIND_FLOAT},          [MILO_FP32] = {"fp32", 32, KIND_FLOAT},
    [MILO_FP64] = {"fp64", 64, KIND_FLOAT},          [MILO_BF16] = {"bf16", 16, KIND_FLOAT},
    [MILO_INT4] = {"int4", 4, KIND_SIGNED},          [MILO_INT8] = {"int8", 8, KIND_SIGNED},
    [MILO_INT16] = {"int16", 16, KIND_SIGNED},       [MILO_INT32] = {"int32", 32, KIND_SIGNED},
    [MILO_INT64] = {"int64", 64, KIND_SIGNED},       [MILO_UINT1] = {"uint1", 1, KIND_UNSIGNED},
    [MILO_UINT2] = {"uint2", 2, KIND_UNSIGNED},      [MILO_UINT3] = {"uint3", 3, KIND_UNSIGNED},
    [MILO_UINT4] = {"uint4", 4, KIND_UNSIGNED},      [MILO_UINT6] = {"uint6", 6, KIND_UNSIGNED},
    [MILO_UINT8] = {"uint8", 8, KIND_UNSIGNED},      [MILO_UINT16] = {"uint16", 16, KIND_UNSIGNED},
    [MILO_UINT32] = {"uint32", 32, KIND_UNSIGNED},   [MILO_UINT64] = {"uint64", 64, KIND_UNSIGNED},
    [MILO_FP8E4M3FN] = {"fp8e4m3fn", 8, KIND_FLOAT}, [MILO_FP8E5M2] = {"fp8e5m2", 8, KIND_FLOAT},
};

static bool is_valid(milo_dtype dtype) {
  return (unsigned)dtype < MILO_DTYPE_COUNT && dtype != MILO_DTYPE_NONE;
}

static int kind_of(milo_dtype dtype) { return is_valid(dtype) ? dtypes[dtype].kind : KIND_OTHER; }

const char *milo_dtype_name(milo_dtype dtype) {
  return is_valid(dtype) ? dtypes[dtype].name : NULL;
}

size_t milo_dtype_bits(milo_dtype dtype) { return is_valid(dtype) ? dtypes[dtype].bits : 0; }

milo_dtype milo_dtype_find(const char *name) {
  for (int i = MILO_DTYPE_NONE + 1; i < MILO_DTYPE_COUNT; i++)
    if (name[0] == dtypes[i].name[0] && strcmp(name, dtypes[i].name) == 0) return (milo_dtype)i;
  return MILO_DTYPE_NONE;
}

bool milo_dtype_is_float(milo_dtype dtype) { return kind_of(dtype) == KIND_FLOAT; }

bool milo_dtype_is_int(milo_dtype dtype) {
  return kind_of(dtype) == KIND_SIGNED || kind_of(dtype) == KIND_UNSIGNED;
}

bool milo_dtype_is_signed(milo_dtype dtype) { return kind_of(dtype) == KIND_SIGNED; }

int64_t milo_dtype_min(milo_dtype dtype) {
  assert(milo_dtype_is_int(dtype));
  return milo_dtype_is_signed(dtype) ? -(INT64_MAX >> (64 - dtypes[dtype].bits)) - 1 : 0;
}

uint64_t milo_dtype_max(milo_dtype dtype) {
  assert(milo_dtype_is_int(dtype));
  const int unused = 64 - dtypes[dtype].bits;
  return milo_dtype_is_signed(dtype) ? (uint64_t)INT64_MAX >> unused : UINT64_MAX >> unused;
}

// ---- narrow floats ------------------------------------------------------------------------------

// A binary format narrower than double: sign, exponent, mantissa from the top.
typedef struct format {
  int exponent_bits, mantissa_bits;
  bool has_infinity;  // if not, the greatest pattern is the only NaN
} format;

static const format fp16 = {5, 10, true}, bf16 = {8, 7, true};
static const format fp8e4m3fn = {4, 3, false}, fp8e5m2 = {5, 2, true};

static uint64_t bits_of_f64(double d) {
  uint64_t bits;
  memcpy(&bits, &d, sizeof bits);
  return bits;
}

uint32_t milo_f32_bits(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

float milo_f32_of_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

// value / 2^drop, ties to even; 0 < drop < 64.
static uint64_t shift_round(uint64_t value, int drop) {
  const uint64_t quotient = value >> drop;
  const uint64_t rest = value & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1)));
}

static unsigned narrow(format f, double d) {
  const uint64_t mantissa_mask = (UINT64_C(1) << 52) - 1;
  const uint64_t magnitude = bits_of_f64(d) & ~(UINT64_C(1) << 63);
  const unsigned sign = signbit(d) ? 1u << (f.exponent_bits + f.mantissa_bits) : 0;
  const unsigned greatest = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
  const unsigned infinity = f.has_infinity ? greatest - ((1u << f.mantissa_bits) - 1) : greatest;
  if (isnan(d)) {
    if (!f.has_infinity) return sign | greatest;
    const unsigned payload = (unsigned)((magnitude & mantissa_mask) >> (52 - f.mantissa_bits));
    return sign | infinity | (1u << (f.mantissa_bits - 1)) | payload;
  }
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  const int exponent = (int)(magnitude >> 52) - 1023;
  const int drop = 52 - f.mantissa_bits;
  if (exponent > bias + 1) return sign | infinity;
  const uint64_t mantissa = magnitude & mantissa_mask;
  uint64_t rounded;
  if (exponent >= 1 - bias) {
    // A carry out of the mantissa runs into the exponent, as it must.
    rounded = shift_round(((uint64_t)(exponent + bias) << 52) | mantissa, drop);
  } else {
    const int deeper = drop + 1 - bias - exponent;  // subnormal: the leading 1 is written out
    rounded = deeper > 53 ? 0 : shift_round(mantissa | (UINT64_C(1) << 52), deeper);
  }
  return sign | (rounded < infinity ? (unsigned)rounded : infinity);
}

static double widen(format f, unsigned bits) {
  const unsigned mantissa = bits & ((1u << f.mantissa_bits) - 1);
  const unsigned exponent = (bits >> f.mantissa_bits) & ((1u << f.exponent_bits) - 1);
  const unsigned greatest = (1u << (f.exponent_bits + f.mantissa_bits)) - 1;
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  double d;
  if (f.has_infinity ? exponent == (1u << f.exponent_bits) - 1 : (bits & greatest) == greatest)
    d = f.has_infinity && mantissa == 0 ? (double)INFINITY : (double)NAN;
  else if (exponent == 0)
    d = ldexp(mantissa, 1 - bias - f.mantissa_bits);
  else
    d = ldexp(mantissa | (1u << f.mantissa_bits), (int)exponent - bias - f.mantissa_bits);
  return bits >> (f.exponent_bits + f.mantissa_bits) & 1 ? -d : d;
}

milo_fp16 milo_f64_to_fp16(double d) { return (milo_fp16)narrow(fp16, d); }
milo_bf16 milo_f64_to_bf16(double d) { return (milo_bf16)narrow(bf16, d); }

float milo_fp16_to_f32(milo_fp16 h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7FFF;
  if (magnitude >= 0x7C00) return milo_f32_of_bits(sign | 0x7F800000 | (magnitude & 0x3FF) << 13);
  if (magnitude >= 0x400) return milo_f32_of_bits(sign | ((magnitude << 13) + (112u << 23)));
  const float f = (float)magnitude * 0x1p-24f;
  return milo_f32_of_bits(sign | milo_f32_bits(f));
}

milo_fp16 milo_f32_to_fp16(float f) {
  const uint32_t bits = milo_f32_bits(f), magnitude = bits & 0x7FFFFFFF;
  const uint32_t sign = (bits >> 16) & 0x8000;
  uint32_t h;
  if (magnitude > 0x7F800000) {
    h = 0x7E00 | ((magnitude >> 13) & 0x3FF);
  } else if (magnitude >= 0x477FF000) {  // 65520: rounds up past the greatest, 65504
    h = 0x7C00;
  } else if (magnitude >= 0x38800000) {  // 2^-14: normal
    const uint32_t rebiased = magnitude - (112u << 23);
    h = (rebiased + 0xFFF + ((rebiased >> 13) & 1)) >> 13;
  } else {
    // Beside 0.5 a float's last bit is 2^-24, the step of subnormal fp16: the addition rounds.
    h = milo_f32_bits(milo_f32_of_bits(magnitude) + 0.5f) - 0x3F000000;
  }
  return (milo_fp16)(sign | h);
}

float milo_bf16_to_f32(milo_bf16 b) { return milo_f32_of_bits((uint32_t)b << 16); }

milo_bf16 milo_f32_to_bf16(float f) {
  const uint32_t bits = milo_f32_bits(f);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return (milo_bf16)((bits >> 16) | 0x40);
  return (milo_bf16)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// ---- elements -----------------------------------------------------------------------------------

// Sub-byte elements run on across bytes, from the least significant bit.
static unsigned load_packed(const uint8_t *bytes, size_t i, unsigned bits) {
  const size_t byte = i / 8 * bits + i % 8 * bits / 8;
  const unsigned shift = (unsigned)(i % 8) * bits % 8;
  unsigned value = bytes[byte] >> shift;
  if (shift + bits > 8) value |= (unsigned)bytes[byte + 1] << (8 - shift);
  return value & ((1u << bits) - 1);
}

static void store_packed(uint8_t *bytes, size_t i, unsigned bits, unsigned value) {
  const size_t byte = i / 8 * bits + i % 8 * bits / 8;
  const unsigned shift = (unsigned)(i % 8) * bits % 8;
  const unsigned mask = ((1u << bits) - 1) << shift;
  bytes[byte] = (uint8_t)((bytes[byte] & ~mask) | ((value << shift) & mask));
  if (shift + bits > 8)
    bytes[byte + 1] =
        (uint8_t)((bytes[byte + 1] & ~(mask >> 8)) | (((value << shift) & mask) >> 8));
}

// Data from files need not be aligned.
#define DEFINE_GET(type)                                                 \
  static type get_##type(const void *data, size_t i) {                   \
    type value;                                                          \
    memcpy(&value, (const char *)data + i * sizeof value, sizeof value); \
    return value;                                                        \
  }
#define DEFINE_PUT(type)                                           \
  static void put_##type(void *data, size_t i, type value) {       \
    memcpy((char *)data + i * sizeof value, &value, sizeof value); \
  }
DEFINE_GET(uint8_t)
DEFINE_GET(int8_t)
DEFINE_GET(uint16_t)
DEFINE_GET(int16_t)
DEFINE_GET(uint32_t)
DEFINE_GET(int32_t)
DEFINE_GET(uint64_t)
DEFINE_GET(int64_t)
DEFINE_GET(float)
DEFINE_GET(double)
DEFINE_PUT(uint8_t)
DEFINE_PUT(uint16_t)
DEFINE_PUT(uint32_t)
DEFINE_PUT(uint64_t)
DEFINE_PUT(float)
DEFINE_PUT(double)
#undef DEFINE_GET
#undef DEFINE_PUT

static double load_float(milo_dtype dtype, const void *data, size_t i) {
  switch (dtype) {
    case MILO_FP16:
      return (double)milo_fp16_to_f32(get_uint16_t(data, i));
    case MILO_BF16:
      return (double)milo_bf16_to_f32(get_uint16_t(data, i));
    case MILO_FP32:
      return (double)get_float(data, i);
    case MILO_FP64:
      return get_double(data, i);
    case MILO_FP8E4M3FN:
      return widen(fp8e4m3fn, get_uint8_t(data, i));
    case MILO_FP8E5M2:
      return widen(fp8e5m2, get_uint8_t(data, i));
    default:
      assert(!"a floating-point type");
      return 0;
  }
}

static int64_t load_int(milo_dtype dtype, const void *data, size_t i) {
  switch (dtype) {
    case MILO_BOOL:
      return get_uint8_t(data, i) != 0;
    case MILO_INT4:
      return (int64_t)(load_packed(data, i, 4) ^ 8) - 8;
    case MILO_INT8:
      return get_int8_t(data, i);
    case MILO_INT16:
      return get_int16_t(data, i);
    case MILO_INT32:
      return get_int32_t(data, i);
    case MILO_INT64:
      return get_int64_t(data, i);
    case MILO_UINT1:
    case MILO_UINT2:
    case MILO_UINT3:
    case MILO_UINT4:
    case MILO_UINT6:
      return load_packed(data, i, dtypes[dtype].bits);
    case MILO_UINT8:
      return get_uint8_t(data, i);
    case MILO_UINT16:
      return get_uint16_t(data, i);
    case MILO_UINT32:
      return get_uint32_t(data, i);
    case MILO_UINT64:
      return (int64_t)get_uint64_t(data, i);
    default:
      assert(!"an integer type");
      return 0;
  }
}

// value fits the type.
static void store_int(milo_dtype dtype, void *data, size_t i, uint64_t value) {
  switch (dtype) {
    case MILO_INT4:
    case MILO_UINT1:
    case MILO_UINT2:
    case MILO_UINT3:
    case MILO_UINT4:
    case MILO_UINT6:
      store_packed(data, i, dtypes[dtype].bits, (unsigned)value);
      break;
    case MILO_BOOL:
    case MILO_INT8:
    case MILO_UINT8:
      put_uint8_t(data, i, (uint8_t)value);
      break;
    case MILO_INT16:
    case MILO_UINT16:
      put_uint16_t(data, i, (uint16_t)value);
      break;
    case MILO_INT32:
    case MILO_UINT32:
      put_uint32_t(data, i, (uint32_t)value);
      break;
    case MILO_INT64:
    case MILO_UINT64:
      put_uint64_t(data, i, value);
      break;
    default:
      assert(!"an integer type");
  }
}

// Rounded already; saturates, NaN becomes 0.
static int64_t f64_to_int64(double d) {
  if (isnan(d)) return 0;
  if (d >= 0x1p63) return INT64_MAX;
  if (d < -0x1p63) return INT64_MIN;
  return (int64_t)d;
}

double milo_number_load(milo_dtype dtype, const void *data, size_t i) {
  if (milo_dtype_is_float(dtype)) return load_float(dtype, data, i);
  if (dtype == MILO_UINT64) return (double)get_uint64_t(data, i);
  return (double)load_int(dtype, data, i);
}

void milo_number_store(milo_dtype dtype, void *data, size_t i, double value) {
  switch (dtype) {
    case MILO_FP16:
      put_uint16_t(data, i, milo_f64_to_fp16(value));
      return;
    case MILO_BF16:
      put_uint16_t(data, i, milo_f64_to_bf16(value));
      return;
    case MILO_FP32:
      put_float(data, i, (float)value);
      return;
    case MILO_FP64:
      put_double(data, i, value);
      return;
    case MILO_FP8E4M3FN:
      put_uint8_t(data, i, (uint8_t)narrow(fp8e4m3fn, value));
      return;
    case MILO_FP8E5M2:
      put_uint8_t(data, i, (uint8_t)narrow(fp8e5m2, value));
      return;
    case MILO_BOOL:
      put_uint8_t(data, i, value != 0);
      return;
    default:
      break;
  }
  const double rounded = rint(value);
  if (dtype == MILO_UINT64 && rounded >= 0x1p63)
    put_uint64_t(data, i, rounded >= 0x1p64 ? UINT64_MAX : (uint64_t)rounded);
  else if (dtype == MILO_UINT64 && rounded < 0)
    put_uint64_t(data, i, 0);
  else
    milo_number_store_int(dtype, data, i, f64_to_int64(rounded));
}

int64_t milo_number_load_int(milo_dtype dtype, const void *data, size_t i) {
  if (milo_dtype_is_float(dtype)) return f64_to_int64(trunc(load_float(dtype, data, i)));
  return load_int(dtype, data, i);
}

void milo_number_store_int(milo_dtype dtype, void *data, size_t i, int64_t value) {
  if (dtype == MILO_BOOL) {
    put_uint8_t(data, i, value != 0);
  } else if (milo_dtype_is_float(dtype)) {
    milo_number_store(dtype, data, i, (double)value);
  } else {
    if (dtype != MILO_UINT64) {
      const int64_t least = milo_dtype_min(dtype), greatest = (int64_t)milo_dtype_max(dtype);
      value = value < least ? least : value > greatest ? greatest : value;
    }
    store_int(dtype, data, i, (uint64_t)value);
  }
}

// ---- sizes --------------------------------------------------------------------------------------

bool milo_size_mul(size_t a, size_t b, size_t *out) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product)) return false;
  *out = product;
  return true;
}

bool milo_size_add(size_t a, size_t b, size_t *out) {
  size_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return false;
  *out = sum;
  return true;
}

bool milo_tensor_bytes(milo_dtype dtype, int rank, const int64_t *dims, size_t *out_bytes) {
  size_t count = 1;
  bool empty = false;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0 || (uint64_t)dims[i] > SIZE_MAX) return false;
    empty |= dims[i] == 0;
  }
  for (int i = 0; i < rank; i++)
    if (dims[i] != 0 && !milo_size_mul(count, (size_t)dims[i], &count)) return false;
  const size_t bits = milo_dtype_bits(dtype);
  size_t bytes;
  if (bits % 8 == 0) {
    if (!milo_size_mul(count, bits / 8, &bytes)) return false;
  } else {
    // Eight elements take `bits` bytes: no product overflows that does not have to.
    if (!milo_size_mul(count / 8, bits, &bytes)) return false;
    if (!milo_size_add(bytes, (count % 8 * bits + 7) / 8, &bytes)) return false;
  }
  if (count > INT64_MAX || (empty && bytes > PTRDIFF_MAX)) return false;
  *out_bytes = empty ? 0 : bytes;
  return true;
}
