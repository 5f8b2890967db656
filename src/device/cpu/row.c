// SPDX-License-Identifier: MIT
// Rows of floats in any type that they are stored in, for steps that compute in fp32: what is fp32
// is used where it lies, the rest goes through memory of the step's own that stays in L1.
#include "device/cpu/code.h"
#include "kernels/convert.h"

static void *place(const void *data, milo_dtype dtype, ptrdiff_t at) {
  void *out = NULL;
  const char *to = (const char *)data + at * (ptrdiff_t)(milo_dtype_bits(dtype) / 8);
  memcpy(&out, &to, sizeof out);
  return out;
}

const float *milo_row_load(const milo_rows *rows, const void *data, milo_dtype dtype, ptrdiff_t at,
                           size_t n, float *room) {
  const void *from = place(data, dtype, at);
  if (dtype == MILO_FP32) return from;
  milo_load_f32(rows, room, from, dtype, 1, n);
  return room;
}

float *milo_row_target(void *data, milo_dtype dtype, ptrdiff_t at, float *room) {
  return dtype == MILO_FP32 ? place(data, dtype, at) : room;
}

void milo_row_store(const milo_rows *rows, void *data, milo_dtype dtype, ptrdiff_t at, size_t n,
                    const float *from) {
  if (dtype != MILO_FP32) milo_store_f32(rows, place(data, dtype, at), dtype, 1, from, n);
}

size_t milo_row_rooms(const milo_code *c, size_t n) {
  return (size_t)milo_pool_threads(c->device->base.host.pool) * n * sizeof(float);
}
