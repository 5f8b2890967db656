// SPDX-License-Identifier: MIT
// Contexts: diagnostics, threads, processor, devices.
#include "api/ctx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/option_struct.h"
#include "kernels/calibrate.h"
#include "kernels/read_speed.h"

enum { MAX_THREADS = 1024 };

// Why the last context of this thread could not be made: there is none that could hold it.
static _Thread_local char create_error[512];

static milo_status configure(milo_ctx *ctx, const milo_ctx_options *given) {
  milo_ctx_options options;
  MILO_TRY(milo_take_options(milo_ctx_options, given, &ctx->diag, &options));
  unsigned caps = milo_cpu_detect();
  if (options.cpu_mask != NULL) {
    unsigned mask = 0;
    MILO_TRY(milo_cpu_parse_mask(options.cpu_mask, &ctx->diag, &mask));
    caps &= mask;
  }
  if (options.threads < 0 || options.threads > MAX_THREADS)
    return milo_fail(&ctx->diag, MILO_NO_LOC, MILO_ERR_INVALID, "threads is %d, not in 0..%d",
                     options.threads, MAX_THREADS);
  ctx->host.cpu_caps = caps;
  MILO_TRY(milo_dump_init(&ctx->dump, &ctx->diag));
  if (ctx->dump.folder != NULL) {
    ctx->host.after_pass = milo_dump_after;
    ctx->host.after_pass_user = &ctx->dump;
  }
  milo_cpu_format(caps, ctx->cpu, sizeof ctx->cpu);
  return milo_pool_create(options.threads > 0 ? options.threads : milo_cpu_count(), &ctx->diag,
                          &ctx->host.pool);
}

milo_status milo_ctx_create(const milo_ctx_options *given, milo_ctx **out_ctx) {
  *out_ctx = NULL;
  create_error[0] = '\0';
  milo_ctx *ctx = calloc(1, sizeof *ctx);
  if (ctx == NULL) return MILO_ERR_NO_MEMORY;
  ctx->refs = 1;
  const milo_status status = configure(ctx, given);
  if (status != MILO_OK) {
    snprintf(create_error, sizeof create_error, "%s", milo_diag_text(&ctx->diag));
    milo_ctx_destroy(ctx);
    return status;
  }
  *out_ctx = ctx;
  return MILO_OK;
}

void milo_ctx_retain(milo_ctx *ctx) { ctx->refs++; }

void milo_ctx_destroy(milo_ctx *ctx) {
  if (ctx == NULL || --ctx->refs > 0) return;
  for (size_t i = 0; i < MILO_CTX_MAX_DEVICES; i++) milo_device_close(ctx->devices[i]);
  milo_pool_destroy(ctx->host.pool);
  milo_dump_deinit(&ctx->dump);
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

const char *milo_error(const milo_ctx *ctx) {
  return ctx != NULL ? milo_diag_text(&ctx->diag) : create_error;
}
const char *milo_version(void) { return MILO_VERSION; }
const char *milo_ctx_cpu(const milo_ctx *ctx) { return ctx->cpu; }
int milo_ctx_threads(const milo_ctx *ctx) { return milo_pool_threads(ctx->host.pool); }
milo_status milo_ctx_read_speed(milo_ctx *ctx, double *out_bytes_per_second) {
  milo_diag *diag = milo_ctx_begin(ctx);
  enum { BLOCK = 256 << 20, TIMES = 5 };
  milo_buffer *block = NULL;
  *out_bytes_per_second = 0;
  MILO_TRY(milo_buffer_alloc(BLOCK, diag, &block));
  void *data = milo_buffer_map(block, MILO_READ_WRITE);
  if (data != NULL) {
    memset(data, 1, BLOCK);  // pages that nobody wrote to may all be one page of zeros
    *out_bytes_per_second = milo_read_speed(ctx->host.pool, data, BLOCK, TIMES);
  }
  const milo_status status = data ? milo_buffer_unmap(block, data, MILO_READ_WRITE)
                                  : milo_memory_fail("a measurement", BLOCK, diag);
  milo_buffer_release(block);
  return status;
}

size_t milo_ctx_cpu_rows(const milo_ctx *ctx, milo_cpu_row *out, size_t max) {
  const unsigned caps = ctx->host.cpu_caps;
  size_t count = 0;
  for (; milo_product_variants[count] != NULL; count++) {
    const milo_product *row = milo_product_variants[count];
    if (count >= max) continue;
    const bool available = (row->caps & ~caps) == 0;
    out[count] = (milo_cpu_row){.mode = milo_numeric_name(row->mode),
                                .name = row->name,
                                .available = available,
                                .chosen = milo_product_choose(row->mode, caps) == row,
                                .gops = available ? milo_product_rate(row) : 0};
  }
  return count;
}

void milo_free(void *memory) { free(memory); }

const char *milo_device_name(size_t index) {
  for (size_t i = 0; milo_device_types[i] != NULL; i++)
    if (i == index) return milo_device_types[i]->name;
  return NULL;
}
