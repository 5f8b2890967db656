// SPDX-License-Identifier: MIT
// Contexts: diagnostics, threads, processor, devices.
#include "api/ctx.h"

#include <stdlib.h>

#include "base/cpu.h"

milo_status milo_ctx_create(const milo_ctx_options *given, milo_ctx **out_ctx) {
  *out_ctx = NULL;
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  MILO_COPY_OPTIONS(options, given);
  milo_ctx *ctx = calloc(1, sizeof *ctx);
  if (ctx == NULL) return MILO_ERR_NO_MEMORY;
  unsigned caps = milo_cpu_detect();
  milo_status status = MILO_OK;
  if (options.cpu_mask != NULL) {
    unsigned mask = 0;
    status = milo_cpu_parse_mask(options.cpu_mask, NULL, &mask);
    caps &= mask;
  }
  if (options.threads < 0 || options.threads > 1024) status = MILO_ERR_INVALID;
  if (status == MILO_OK)
    status = milo_pool_create(options.threads > 0 ? options.threads : milo_cpu_count(), NULL,
                              &ctx->host.pool);
  if (status != MILO_OK) {
    milo_ctx_destroy(ctx);
    return status;
  }
  ctx->host.cpu_caps = caps;
  milo_cpu_format(caps, ctx->cpu, sizeof ctx->cpu);
  *out_ctx = ctx;
  return MILO_OK;
}

void milo_ctx_destroy(milo_ctx *ctx) {
  if (ctx == NULL) return;
  for (size_t i = 0; i < MILO_CTX_MAX_DEVICES; i++) milo_device_close(ctx->devices[i]);
  milo_pool_destroy(ctx->host.pool);
  milo_diag_deinit(&ctx->diag);
  free(ctx);
}

milo_diag *milo_ctx_begin(milo_ctx *ctx) {
  milo_diag_clear(&ctx->diag);
  return &ctx->diag;
}

milo_status milo_ctx_device(milo_ctx *ctx, const char *name, milo_device **out_device) {
  *out_device = NULL;
  if (name == NULL) name = "cpu";
  for (size_t i = 0; milo_device_types[i] != NULL && i < MILO_CTX_MAX_DEVICES; i++) {
    if (strcmp(milo_device_types[i]->name, name) != 0) continue;
    if (ctx->devices[i] == NULL)
      MILO_TRY(milo_device_open(name, &ctx->host, &ctx->diag, &ctx->devices[i]));
    *out_device = ctx->devices[i];
    return MILO_OK;
  }
  return milo_device_open(name, &ctx->host, &ctx->diag, out_device);  // reports the unknown name
}

const char *milo_error(const milo_ctx *ctx) { return milo_diag_text(&ctx->diag); }
const char *milo_version(void) { return MILO_VERSION; }
const char *milo_ctx_cpu(const milo_ctx *ctx) { return ctx->cpu; }
int milo_ctx_threads(const milo_ctx *ctx) { return milo_pool_threads(ctx->host.pool); }
void milo_free(void *memory) { free(memory); }

const char *milo_device_name(size_t index) {
  for (size_t i = 0; milo_device_types[i] != NULL; i++)
    if (i == index) return milo_device_types[i]->name;
  return NULL;
}
