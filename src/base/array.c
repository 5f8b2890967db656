// SPDX-License-Identifier: MIT
#include "base/array.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "base/str.h"

milo_status milo_array_alloc(milo_dtype dtype, int rank, const int64_t *shape, milo_diag *diag,
                             milo_array *out_array) {
  *out_array = (milo_array){0};
  if (milo_dtype_bits(dtype) == 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "arrays hold numbers, not type %d",
                     (int)dtype);
  if (rank < 0 || rank > MILO_MAX_RANK)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "rank %d is not in 0..%d", rank,
                     MILO_MAX_RANK);
  size_t bytes;
  if (!milo_tensor_bytes(dtype, rank, shape, &bytes) || bytes > PTRDIFF_MAX)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "this shape is negative or too large");
  MILO_TRY(milo_memory_ask("an array", bytes, diag));
  void *data = calloc(1, bytes ? bytes : 1);
  if (!data) return milo_memory_fail("an array", bytes, diag);
  *out_array = (milo_array){.dtype = dtype, .rank = rank, .data = data, .bytes = bytes};
  for (int i = 0; i < rank; i++) out_array->shape[i] = shape[i];
  return MILO_OK;
}

void milo_array_deinit(milo_array *array) {
  if (!array) return;
  free(array->data);
  *array = (milo_array){0};
}

// ---- conversion ----

// An integer of any dtype: `bits` as a uint64 if is_large (above INT64_MAX), else as an int64.
typedef struct integer {
  int64_t bits;
  bool is_large;
} integer;

static bool is_whole(milo_dtype dtype) { return dtype == MILO_BOOL || !milo_dtype_is_float(dtype); }

static bool fits(integer value, milo_dtype dtype) {
  if (dtype == MILO_BOOL) return !value.is_large && (value.bits == 0 || value.bits == 1);
  if (value.is_large || value.bits >= 0) return (uint64_t)value.bits <= milo_dtype_max(dtype);
  return milo_dtype_is_signed(dtype) && value.bits >= milo_dtype_min(dtype);
}

// False for what is no whole number, or none of 64 bits.
static bool integer_of(double value, integer *out) {
  if (!(value == floor(value)) || value < -0x1p63 || value >= 0x1p64) return false;
  out->is_large = value >= 0x1p63;
  out->bits = out->is_large ? (int64_t)(uint64_t)value : (int64_t)value;
  return true;
}

// Element i of from as element i of to; false if to cannot hold it.
static bool convert(const milo_array *from, const milo_array *to, size_t i) {
  integer whole = {0, false};
  if (is_whole(from->dtype)) {
    whole.bits = milo_number_load_int(from->dtype, from->data, i);
    whole.is_large = from->dtype == MILO_UINT64 && whole.bits < 0;
  }
  if (is_whole(to->dtype)) {
    if (!is_whole(from->dtype) && !integer_of(milo_number_load(from->dtype, from->data, i), &whole))
      return false;
    if (!fits(whole, to->dtype)) return false;
    milo_number_store_int(to->dtype, to->data, i, whole.bits);
    return true;
  }
  const double value = milo_number_load(from->dtype, from->data, i);
  milo_number_store(to->dtype, to->data, i, value);
  const double stored = milo_number_load(to->dtype, to->data, i);
  return isnan(value) || stored == value || isfinite(stored);
}

static milo_status fail_at(const milo_array *from, milo_dtype dtype, size_t i, milo_diag *diag) {
  int64_t index[MILO_MAX_RANK];
  size_t rest = i;
  for (int d = from->rank - 1; d >= 0; d--) {
    index[d] = (int64_t)(rest % (size_t)from->shape[d]);
    rest /= (size_t)from->shape[d];
  }
  milo_str place = {0};
  for (int d = 0; d < from->rank; d++)
    milo_str_printf(&place, "%s%lld", d > 0 ? ", " : "", (long long)index[d]);
  char number[40];
  const int64_t bits = is_whole(from->dtype) ? milo_number_load_int(from->dtype, from->data, i) : 0;
  if (from->dtype == MILO_UINT64)
    snprintf(number, sizeof number, "%llu", (unsigned long long)bits);
  else if (is_whole(from->dtype))
    snprintf(number, sizeof number, "%lld", (long long)bits);
  else
    snprintf(number, sizeof number, "%.9g", milo_number_load(from->dtype, from->data, i));
  const milo_status status =
      milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "element [%s] is %s, which %s cannot hold",
                place.data ? place.data : "", number, milo_dtype_name(dtype));
  milo_str_deinit(&place);
  return status;
}

milo_status milo_array_convert(const milo_array *array, milo_dtype dtype, milo_diag *diag,
                               milo_array *out_array) {
  *out_array = (milo_array){0};
  size_t bytes;
  if (milo_dtype_bits(array->dtype) == 0 || array->rank < 0 || array->rank > MILO_MAX_RANK ||
      !milo_tensor_bytes(array->dtype, array->rank, array->shape, &bytes) || bytes > array->bytes)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "the array's type, shape and size in bytes disagree");
  MILO_TRY(milo_array_alloc(dtype, array->rank, array->shape, diag, out_array));
  size_t count = 1;
  for (int d = 0; d < array->rank; d++) count *= (size_t)array->shape[d];
  for (size_t i = 0; i < count; i++) {
    if (convert(array, out_array, i)) continue;
    milo_array_deinit(out_array);
    return fail_at(array, dtype, i, diag);
  }
  return MILO_OK;
}
