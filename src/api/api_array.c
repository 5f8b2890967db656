// SPDX-License-Identifier: MIT
// Arrays and .npy files.
#include "api/ctx.h"
#include "base/array.h"
#include "base/npy.h"

milo_status milo_array_create(milo_ctx *ctx, milo_dtype dtype, int rank, const int64_t *shape,
                              milo_array *out_array) {
  return milo_array_alloc(dtype, rank, shape, milo_ctx_begin(ctx), out_array);
}

milo_status milo_array_cast(milo_ctx *ctx, const milo_array *array, milo_dtype dtype,
                            milo_array *out_array) {
  return milo_array_convert(array, dtype, milo_ctx_begin(ctx), out_array);
}

milo_status milo_npy_load(milo_ctx *ctx, const char *path, milo_array *out_array) {
  return milo_npy_read(path, milo_ctx_begin(ctx), out_array);
}

milo_status milo_npy_save(milo_ctx *ctx, const char *path, const milo_array *array) {
  return milo_npy_write(path, array, milo_ctx_begin(ctx));
}
