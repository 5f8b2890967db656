// SPDX-License-Identifier: MIT
// Number formats and checked sizes.
//
// Conversions to a narrower float round to nearest even, overflow to infinity, keep NaN a NaN
// (fp8e4m3fn has no infinity: overflow and infinity become NaN).
#ifndef MILO_BASE_NUMBER_H
#define MILO_BASE_NUMBER_H

#include <milo/milo.h>

typedef uint16_t milo_fp16;  // IEEE 754 binary16 bits
typedef uint16_t milo_bf16;  // upper half of binary32 bits

uint32_t milo_f32_bits(float f);
float milo_f32_of_bits(uint32_t bits);

float milo_fp16_to_f32(milo_fp16 h);
milo_fp16 milo_f32_to_fp16(float f);
// Rounded once from double (through float would round twice).
milo_fp16 milo_f64_to_fp16(double d);
float milo_bf16_to_f32(milo_bf16 b);
milo_bf16 milo_f32_to_bf16(float f);
milo_bf16 milo_f64_to_bf16(double d);

// Element i of a dense array of any numeric dtype (sub-byte ones packed from the least significant
// bit) as a double, and back: floats round to nearest even; integers round half to even and
// saturate, NaN becomes 0; bool is value != 0. 64-bit integers beyond 2^53 lose low bits: use
// milo_number_load_int for those. Strings have no number: they assert.
double milo_number_load(milo_dtype dtype, const void *data, size_t i);
void milo_number_store(milo_dtype dtype, void *data, size_t i, double value);
// Floats truncate and saturate, NaN becomes 0. uint64 above INT64_MAX come back as their bits, that
// is negative: cast to uint64_t.
int64_t milo_number_load_int(milo_dtype dtype, const void *data, size_t i);
// Saturates, except that uint64 takes the bits of value as they are.
void milo_number_store_int(milo_dtype dtype, void *data, size_t i, int64_t value);

bool milo_dtype_is_float(milo_dtype dtype);
bool milo_dtype_is_int(milo_dtype dtype);     // signed or unsigned, bool not counted
bool milo_dtype_is_signed(milo_dtype dtype);  // signed integers
// Least and greatest value of an integer dtype.
int64_t milo_dtype_min(milo_dtype dtype);
uint64_t milo_dtype_max(milo_dtype dtype);

// False, and *out untouched, if a * b (a + b) does not fit.
bool milo_size_mul(size_t a, size_t b, size_t *out);
bool milo_size_add(size_t a, size_t b, size_t *out);
// Bytes of a dense tensor; false on overflow or a negative dim. Sub-byte types round up. Empty
// tensors too must fit with ones for their zeros: strides are then computed without overflow.
bool milo_tensor_bytes(milo_dtype dtype, int rank, const int64_t *dims, size_t *out_bytes);

#endif
