// SPDX-License-Identifier: MIT
// Whole files.
#include "api/ctx.h"
#include "base/file.h"

milo_status milo_file_load(milo_ctx *ctx, const char *path, char **out_data, size_t *out_bytes) {
  void *data = NULL;
  const milo_status status = milo_file_read(path, 0, milo_ctx_begin(ctx), &data, out_bytes);
  *out_data = data;
  return status;
}

milo_status milo_file_save(milo_ctx *ctx, const char *path, const void *data, size_t bytes) {
  return milo_file_write(path, data, bytes, milo_ctx_begin(ctx));
}
