// SPDX-License-Identifier: MIT
#include "device/ref/call.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static milo_ref_tensor tensor_of(const milo_type *type, const void *data, void *out) {
  assert(type->kind == MILO_TYPE_TENSOR && milo_type_is_static(type));
  milo_ref_tensor t = {.dtype = type->dtype, .rank = type->rank, .data = data, .out = out};
  memcpy(t.dims, type->dims, sizeof t.dims);
  t.count = milo_type_elements(type);
  return t;
}

// Position of value i of the argument in call->inputs; the argument itself in *out_arg.
static size_t input_index(const milo_ref_call *call, const char *name, const milo_arg **out_arg) {
  size_t index = 0;
  for (size_t i = 0; i < call->op->arg_count; ++i) {
    const milo_arg *arg = &call->op->args[i];
    if (strcmp(arg->name, name) == 0) {
      *out_arg = arg;
      return index;
    }
    index += arg->count;
  }
  *out_arg = NULL;
  return 0;
}

static milo_ref_tensor input_at(const milo_ref_call *call, const milo_value *value, size_t index) {
  const void *data = call->inputs != NULL ? call->inputs[index] : NULL;
  if (data == NULL) {  // a constant, or nothing to read
    const milo_literal *literal = milo_value_constant(value);
    assert(literal != NULL || milo_type_elements(&value->type) == 0);
    if (literal != NULL) data = literal->data;
  }
  return tensor_of(&value->type, data, NULL);
}

bool milo_ref_in(const milo_ref_call *call, const char *name, milo_ref_tensor *out) {
  const milo_arg *arg;
  const size_t index = input_index(call, name, &arg);
  *out = (milo_ref_tensor){0};
  if (arg == NULL || arg->count == 0) return false;
  *out = input_at(call, arg->values[0], index);
  return true;
}

milo_ref_tensor milo_ref_in_at(const milo_ref_call *call, const char *name, size_t i) {
  const milo_arg *arg;
  const size_t index = input_index(call, name, &arg);
  assert(arg != NULL && i < arg->count);
  return input_at(call, arg->values[i], index + i);
}

milo_ref_tensor milo_ref_out(const milo_ref_call *call, size_t result) {
  assert(result < call->op->result_count);
  void *out = call->outputs[result];
  return tensor_of(&call->op->results[result]->type, out, out);
}

double milo_ref_get(const milo_ref_tensor *t, size_t i) {
  return milo_number_load(t->dtype, t->data, i);
}

int64_t milo_ref_get_int(const milo_ref_tensor *t, size_t i) {
  return milo_number_load_int(t->dtype, t->data, i);
}

bool milo_ref_is_int(const milo_ref_tensor *t) {
  return t->dtype == MILO_BOOL || milo_dtype_is_int(t->dtype);
}

void milo_ref_set(const milo_ref_tensor *t, size_t i, double value) {
  milo_number_store(t->dtype, t->out, i, milo_dtype_is_int(t->dtype) ? trunc(value) : value);
}

void milo_ref_set_int(const milo_ref_tensor *t, size_t i, int64_t value) {
  const size_t bits = milo_dtype_bits(t->dtype);
  if (milo_dtype_is_int(t->dtype) && bits < 64) {
    const uint64_t low = (uint64_t)value & ((UINT64_C(1) << bits) - 1);
    const uint64_t sign = UINT64_C(1) << (bits - 1);
    value = (int64_t)low;
    if (milo_dtype_is_signed(t->dtype) && (low & sign) != 0) value -= INT64_C(1) << bits;
  }
  if (t->dtype == MILO_UINT64 || t->dtype == MILO_INT64)
    memcpy((char *)t->out + 8 * i, &value, sizeof value);
  else
    milo_number_store_int(t->dtype, t->out, i, value);
}

void milo_ref_copy(const milo_ref_tensor *out, size_t i, const milo_ref_tensor *x, size_t j) {
  const size_t bits = milo_dtype_bits(x->dtype);
  assert(out->dtype == x->dtype);
  if (bits < 8)
    milo_number_store_int(out->dtype, out->out, i, milo_number_load_int(x->dtype, x->data, j));
  else
    memcpy((char *)out->out + i * (bits / 8), (const char *)x->data + j * (bits / 8), bits / 8);
}

int64_t milo_ref_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
int64_t milo_ref_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
int64_t milo_ref_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

void milo_ref_coords(const milo_ref_tensor *t, size_t i, int64_t *coords) {
  for (int axis = t->rank - 1; axis >= 0; --axis) {
    coords[axis] = (int64_t)(i % (size_t)t->dims[axis]);
    i /= (size_t)t->dims[axis];
  }
}

size_t milo_ref_index(const milo_ref_tensor *t, const int64_t *coords) {
  size_t index = 0;
  for (int axis = 0; axis < t->rank; ++axis)
    index = index * (size_t)t->dims[axis] + (size_t)coords[axis];
  return index;
}

size_t milo_ref_broadcast(const milo_ref_tensor *out, size_t i, const milo_ref_tensor *x) {
  if (x->count == out->count && x->rank == out->rank) return i;
  if (x->count == 1) return 0;
  size_t index = 0, stride = 1;
  for (int axis = 1; axis <= x->rank; ++axis) {  // counted from the last
    const size_t coord = i % (size_t)out->dims[out->rank - axis];
    const size_t dim = (size_t)x->dims[x->rank - axis];
    i /= (size_t)out->dims[out->rank - axis];
    if (dim != 1) index += coord * stride;
    stride *= dim;
  }
  return index;
}

size_t milo_ref_product(const milo_ref_tensor *t, int from, int to) {
  size_t product = 1;
  for (int axis = from; axis < to; ++axis) product *= (size_t)t->dims[axis];
  return product;
}

milo_ref_split milo_ref_split_at(const milo_ref_tensor *t, int axis) {
  return (milo_ref_split){milo_ref_product(t, 0, axis), (size_t)t->dims[axis],
                          milo_ref_product(t, axis + 1, t->rank)};
}

milo_status milo_ref_ints(const milo_ref_call *call, const char *name, int64_t *out, int max,
                          int *out_count) {
  milo_ref_tensor t;
  *out_count = -1;
  if (!milo_ref_in(call, name, &t)) return MILO_OK;
  if (t.count > (size_t)max)
    return milo_ref_fail(call, "%s has %zu elements, expected at most %d", name, t.count, max);
  for (size_t i = 0; i < t.count; ++i) out[i] = milo_ref_get_int(&t, i);
  *out_count = (int)t.count;
  return MILO_OK;
}

double milo_ref_epsilon(const milo_ref_call *call, const char *name, milo_dtype dtype) {
  const double value = milo_op_float(call->op, name);
  if (milo_op_in(call->op, name) != NULL) return value;
  uint64_t rounded = 0;
  milo_number_store(dtype, &rounded, 0, value);
  return milo_number_load(dtype, &rounded, 0);
}

void milo_ref_axes(const milo_ref_call *call, const char *name, int rank, bool *out_is_axis) {
  int64_t axes[MILO_MAX_RANK];
  const int count = milo_op_ints(call->op, name, axes, MILO_MAX_RANK);
  for (int axis = 0; axis < rank; ++axis) out_is_axis[axis] = count < 0;
  for (int i = 0; i < count; ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + rank : axes[i];
    assert(axis >= 0 && axis < rank);
    out_is_axis[axis] = true;
  }
}

milo_status milo_ref_alloc(const milo_ref_call *call, size_t count, size_t bytes, void **out) {
  *out = calloc(count > 0 ? count : 1, bytes);
  if (*out != NULL) return MILO_OK;
  return milo_fail(call->diag, call->op->loc, MILO_ERR_NO_MEMORY,
                   "%s: no memory for %zu elements of %zu bytes", call->op->name, count, bytes);
}

milo_status milo_ref_doubles(const milo_ref_call *call, const milo_ref_tensor *t, double **out) {
  void *memory;
  *out = NULL;
  MILO_TRY(milo_ref_alloc(call, t->count, sizeof **out, &memory));
  *out = memory;
  for (size_t i = 0; i < t->count; ++i) (*out)[i] = milo_ref_get(t, i);
  return MILO_OK;
}

milo_status milo_ref_fail(const milo_ref_call *call, const char *format, ...) {
  char message[256];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return milo_fail(call->diag, call->op->loc, MILO_ERR_INVALID, "%s: %s", call->op->name, message);
}
