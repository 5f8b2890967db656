// SPDX-License-Identifier: MIT
#include <stdint.h>

#include "base/number.h"
#include "base/rng.h"
#include "tap.h"

// A narrow float format, its values written out: pattern p >= 0 stands for value_of(p), ascending.
typedef struct slow_format {
  int exponent_bits, mantissa_bits;
  unsigned greatest_finite, overflow;  // patterns
} slow_format;

static const slow_format fp16 = {5, 10, 0x7BFF, 0x7C00};
static const slow_format bf16 = {8, 7, 0x7F7F, 0x7F80};
static const slow_format e4m3 = {4, 3, 0x7E, 0x7F};
static const slow_format e5m2 = {5, 2, 0x7B, 0x7C};

static double value_of(slow_format f, unsigned pattern) {
  const unsigned exponent = pattern >> f.mantissa_bits;
  const unsigned mantissa = pattern - (exponent << f.mantissa_bits);
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  const double fraction = mantissa / (double)(1 << f.mantissa_bits);
  return exponent == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, (int)exponent - bias);
}

// The definition: the nearest value, at a tie the even pattern; past the greatest as if there were
// one more value.
static unsigned slow_narrow(slow_format f, double d) {
  unsigned low = 0, high = f.greatest_finite + 1;
  const double magnitude = fabs(d);
  const unsigned sign = signbit(d) ? 1u << (f.exponent_bits + f.mantissa_bits) : 0;
  if (magnitude >= value_of(f, high)) return sign | f.overflow;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    *(value_of(f, middle) <= magnitude ? &low : &high) = middle;
  }
  const double below = magnitude - value_of(f, low), above = value_of(f, high) - magnitude;
  const unsigned nearest = below < above || (below == above && low % 2 == 0) ? low : high;
  return sign | (nearest > f.greatest_finite ? f.overflow : nearest);
}

static bool is_nan16(unsigned h) { return (h & 0x7FFF) > 0x7C00; }

static void test_fp16_round_trips(void) {
  size_t wrong = 0;
  for (unsigned h = 0; h <= 0xFFFF; h++) {
    const float f = milo_fp16_to_f32((milo_fp16)h);
    if (is_nan16(h)) {
      wrong +=
          !isnan(f) || !is_nan16(milo_f32_to_fp16(f)) || !is_nan16(milo_f64_to_fp16((double)f));
      continue;
    }
    const double value = (h & 0x7FFF) == 0x7C00 ? (double)INFINITY : value_of(fp16, h & 0x7FFF);
    wrong += (double)f != (h & 0x8000 ? -value : value);
    wrong += milo_f32_to_fp16(f) != h || milo_f64_to_fp16((double)f) != h;
  }
  CHECK(wrong == 0);
}

// Every pattern's value, every midpoint to the next, and both neighbours of those.
static void check_rounding(slow_format f, unsigned (*from_f64)(double),
                           unsigned (*from_f32)(float)) {
  size_t wrong = 0;
  for (unsigned p = 0; p <= f.greatest_finite; p++) {
    const double value = value_of(f, p), middle = (value + value_of(f, p + 1)) / 2;
    const double points[] = {value,  nextafter(value, 0),  nextafter(value, INFINITY),
                             middle, nextafter(middle, 0), nextafter(middle, INFINITY)};
    for (int i = 0; i < 6; i++) {
      wrong += from_f64(points[i]) != slow_narrow(f, points[i]);
      wrong += from_f64(-points[i]) != slow_narrow(f, -points[i]);
    }
    const float narrow_points[] = {(float)value, (float)middle, nextafterf((float)middle, 0),
                                   nextafterf((float)middle, INFINITY)};
    for (int i = 0; from_f32 && i < 4; i++) {
      wrong += from_f32(narrow_points[i]) != slow_narrow(f, (double)narrow_points[i]);
      wrong += from_f32(-narrow_points[i]) != slow_narrow(f, (double)-narrow_points[i]);
    }
  }
  CHECK(wrong == 0);
  CHECK(from_f64((double)INFINITY) == f.overflow);
  CHECK(from_f64(1e308) == f.overflow);
  CHECK(from_f64(5e-324) == 0);
}

static unsigned f64_to_fp16(double d) { return milo_f64_to_fp16(d); }
static unsigned f32_to_fp16(float f) { return milo_f32_to_fp16(f); }
static unsigned f64_to_bf16(double d) { return milo_f64_to_bf16(d); }
static unsigned f32_to_bf16(float f) { return milo_f32_to_bf16(f); }

static unsigned store_byte(milo_dtype dtype, double d) {
  uint8_t byte = 0xAA;
  milo_number_store(dtype, &byte, 0, d);
  return byte;
}
static unsigned f64_to_e4m3(double d) { return store_byte(MILO_FP8E4M3FN, d); }
static unsigned f64_to_e5m2(double d) { return store_byte(MILO_FP8E5M2, d); }

static void test_fp16_rounding(void) { check_rounding(fp16, f64_to_fp16, f32_to_fp16); }
static void test_bf16_rounding(void) { check_rounding(bf16, f64_to_bf16, f32_to_bf16); }
static void test_fp8_rounding(void) {
  check_rounding(e4m3, f64_to_e4m3, NULL);
  check_rounding(e5m2, f64_to_e5m2, NULL);
}

static void test_rounds_once(void) {
  // Just above a tie: through float it would become the tie and round to even, down.
  const double d = 1 + 0x1p-11 + 0x1p-40;
  CHECK(milo_f64_to_fp16(d) == 0x3C01);
  CHECK(milo_f32_to_fp16((float)d) == 0x3C00);
  const double b = 1 + 0x1p-8 + 0x1p-40;
  CHECK(milo_f64_to_bf16(b) == 0x3F81);
  CHECK(milo_f32_to_bf16((float)b) == 0x3F80);
}

static void test_bf16_and_fp8_round_trips(void) {
  size_t wrong = 0;
  for (unsigned b = 0; b <= 0xFFFF; b++) {
    const float f = milo_bf16_to_f32((milo_bf16)b);
    const bool nan = (b & 0x7FFF) > 0x7F80;
    wrong += nan != (bool)isnan(f);
    if (nan)
      wrong += !isnan(milo_bf16_to_f32(milo_f32_to_bf16(f)));
    else
      wrong += milo_f32_to_bf16(f) != b || milo_f64_to_bf16((double)f) != b;
  }
  CHECK(wrong == 0);
  for (unsigned p = 0; p < 256; p++) {
    const uint8_t byte = (uint8_t)p;
    const double a = milo_number_load(MILO_FP8E4M3FN, &byte, 0);
    const double b = milo_number_load(MILO_FP8E5M2, &byte, 0);
    wrong += isnan(a) ? (p & 0x7F) != 0x7F : store_byte(MILO_FP8E4M3FN, a) != p;
    wrong += isnan(b) ? (p & 0x7F) <= 0x7C : store_byte(MILO_FP8E5M2, b) != p;
  }
  CHECK(wrong == 0);
  const uint8_t greatest = 0x7E, least = 0x01;
  CHECK(milo_number_load(MILO_FP8E4M3FN, &greatest, 0) == 448);
  CHECK(milo_number_load(MILO_FP8E4M3FN, &least, 0) == 0x1p-9);
  CHECK(isnan(milo_bf16_to_f32(milo_f64_to_bf16((double)NAN))));
  // The payload's top bits are all that is kept: a NaN with low bits only must stay one.
  const uint32_t low_payload = 0x7F800001;
  float nan;
  memcpy(&nan, &low_payload, 4);
  CHECK(isnan(milo_bf16_to_f32(milo_f32_to_bf16(nan))));
  CHECK(isnan(milo_fp16_to_f32(milo_f32_to_fp16(nan))));
}

static void test_integers_round_and_saturate(void) {
  int8_t i8;
  const struct {
    double value;
    int expected;
  } cases[] = {{0.5, 0},     {1.5, 2},       {2.5, 2},       {-0.5, 0},
               {-1.5, -2},   {126.5, 126},   {127.49, 127},  {127.5, 127},
               {1e300, 127}, {-1e300, -128}, {-128.5, -128}, {(double)NAN, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    milo_number_store(MILO_INT8, &i8, 0, cases[i].value);
    CHECK(i8 == cases[i].expected);
  }
  int64_t i64;
  milo_number_store(MILO_INT64, &i64, 0, 0x1p63);
  CHECK(i64 == INT64_MAX);
  milo_number_store(MILO_INT64, &i64, 0, -0x1p64);
  CHECK(i64 == INT64_MIN);
  uint64_t u64;
  milo_number_store(MILO_UINT64, &u64, 0, 0x1p63);
  CHECK(u64 == UINT64_C(1) << 63);
  CHECK(milo_number_load(MILO_UINT64, &u64, 0) == 0x1p63);
  milo_number_store(MILO_UINT64, &u64, 0, 1e30);
  CHECK(u64 == UINT64_MAX);
  CHECK(milo_number_load_int(MILO_UINT64, &u64, 0) == -1);
  milo_number_store(MILO_UINT64, &u64, 0, -1);
  CHECK(u64 == 0);
  uint8_t byte = 7;
  milo_number_store(MILO_BOOL, &byte, 0, -0.25);
  CHECK(byte == 1);
  milo_number_store_int(MILO_UINT8, &byte, 0, -3);
  CHECK(byte == 0);
  milo_number_store_int(MILO_UINT8, &byte, 0, 256);
  CHECK(byte == 255);
  const double d = -1.9;
  CHECK(milo_number_load_int(MILO_FP64, &d, 0) == -1);
}

// Every integer type: its least, greatest and random values, neighbours left alone.
static void test_packed_elements(void) {
  enum { COUNT = 37 };
  for (int dtype = 1; dtype < MILO_DTYPE_COUNT; dtype++) {
    if (!milo_dtype_is_int(dtype)) continue;
    uint8_t data[COUNT * 8 + 1];
    memset(data, 0x5A, sizeof data);
    size_t bytes;
    const int64_t dims[] = {COUNT};
    CHECK(milo_tensor_bytes(dtype, 1, dims, &bytes));
    int64_t expected[COUNT];
    const int64_t least = milo_dtype_min(dtype);
    const uint64_t span = milo_dtype_max(dtype) - (uint64_t)least;
    for (int round = 0; round < 3; round++) {  // overwriting must work as well
      for (size_t i = 0; i < COUNT; i++) {
        const size_t at = i * 5 % COUNT;
        const uint64_t random = milo_rng_u64(1, (uint64_t)round, i);
        const uint64_t offset = at == 0 ? 0 : at == 1 ? span : ~span ? random % (span + 1) : random;
        expected[at] = (int64_t)((uint64_t)least + offset);
        milo_number_store_int(dtype, data, at, expected[at]);
      }
      size_t wrong = 0;
      for (size_t i = 0; i < COUNT; i++) {
        wrong += milo_number_load_int(dtype, data, i) != expected[i];
        if (dtype != MILO_UINT64) wrong += milo_number_load(dtype, data, i) != (double)expected[i];
      }
      if (!CHECK(wrong == 0)) printf("# %s\n", milo_dtype_name(dtype));
    }
    CHECK(data[bytes] == 0x5A);
  }
}

static void test_dtype_table(void) {
  for (int dtype = 1; dtype < MILO_DTYPE_COUNT; dtype++) {
    CHECK(milo_dtype_name(dtype) != NULL);
    CHECK((int)milo_dtype_find(milo_dtype_name(dtype)) == dtype);
    CHECK((milo_dtype_bits(dtype) == 0) == (dtype == MILO_STRING));
  }
  CHECK(milo_dtype_find("float") == MILO_DTYPE_NONE);
  CHECK(milo_dtype_name(MILO_DTYPE_NONE) == NULL);
  CHECK(milo_dtype_name(MILO_DTYPE_COUNT) == NULL);
  CHECK(milo_dtype_min(MILO_INT4) == -8 && milo_dtype_max(MILO_INT4) == 7);
  CHECK(milo_dtype_min(MILO_INT64) == INT64_MIN && milo_dtype_max(MILO_INT64) == INT64_MAX);
  CHECK(milo_dtype_min(MILO_UINT64) == 0 && milo_dtype_max(MILO_UINT64) == UINT64_MAX);
  CHECK(!milo_dtype_is_int(MILO_BOOL) && !milo_dtype_is_float(MILO_BOOL));
}

static void test_sizes(void) {
  size_t out = 7;
  CHECK(milo_size_mul(1u << 20, 1u << 20, &out) && out == (size_t)1 << 40);
  out = 7;
  CHECK(!milo_size_mul(SIZE_MAX / 2 + 1, 2, &out) && out == 7);
  CHECK(!milo_size_add(SIZE_MAX, 1, &out) && out == 7);
  const int64_t odd[] = {3, 5};
  CHECK(milo_tensor_bytes(MILO_UINT3, 2, odd, &out) && out == 6);  // 45 bits
  CHECK(milo_tensor_bytes(MILO_FP16, 2, odd, &out) && out == 30);
  CHECK(milo_tensor_bytes(MILO_FP32, 0, NULL, &out) && out == 4);
  const int64_t negative[] = {2, -1}, huge[] = {INT64_MAX, 4}, empty[] = {1 << 20, 4, 0};
  const int64_t empty_huge[] = {0, INT64_C(1) << 40, INT64_C(1) << 40}, wide[] = {0, INT64_MAX};
  CHECK(!milo_tensor_bytes(MILO_FP16, 2, negative, &out));
  CHECK(!milo_tensor_bytes(MILO_FP16, 2, huge, &out));
  CHECK(milo_tensor_bytes(MILO_FP16, 3, empty, &out) && out == 0);
  // Nothing in it, but no strides reach over it.
  CHECK(!milo_tensor_bytes(MILO_FP16, 3, empty_huge, &out));
  CHECK(!milo_tensor_bytes(MILO_FP16, 2, wide, &out));
  const int64_t bits[] = {INT64_MAX};
  CHECK(milo_tensor_bytes(MILO_UINT1, 1, bits, &out) && out == (size_t)1 << 60);
}

int main(void) {
  RUN(test_fp16_round_trips);
  RUN(test_fp16_rounding);
  RUN(test_bf16_rounding);
  RUN(test_fp8_rounding);
  RUN(test_rounds_once);
  RUN(test_bf16_and_fp8_round_trips);
  RUN(test_integers_round_and_saturate);
  RUN(test_packed_elements);
  RUN(test_dtype_table);
  RUN(test_sizes);
  return tap_done();
}
