// SPDX-License-Identifier: MIT
#include "plan/surface.h"

#include <string.h>

#include "kernels/convert.h"

// Channels a task, so that a transposed source is read a cache line at a time; columns in between.
enum { BAND = 16, STRIP = 256 };

// A rectangle on its way: rows of the packed side, each of `columns` elements.
typedef struct job {
  const milo_rows *kernels;
  milo_dtype dtype;
  char *packed;
  size_t packed_stride;  // bytes
  const char *other;     // copy: the other packed side
  size_t other_stride;
  const float *in;
  float *out;
  size_t stride;  // elements, of in or out
  size_t rows, columns;
} job;

static size_t band_rows(const job *j, size_t band) {
  const size_t first = band * BAND;
  return j->rows - first < BAND ? j->rows - first : BAND;
}

static void write_rows(void *user, size_t band, int worker) {
  (void)worker;
  const job *j = user;
  for (size_t r = band * BAND, end = r + band_rows(j, band); r < end; r++)
    milo_store_f32(j->kernels, j->packed + r * j->packed_stride, j->dtype, 1, j->in + r * j->stride,
                   j->columns);
}

static void write_transposed(void *user, size_t band, int worker) {
  (void)worker;
  const job *j = user;
  const size_t rows = band_rows(j, band), bytes = milo_dtype_bits(j->dtype) / 8;
  float block[BAND][STRIP];
  for (size_t first = 0; first < j->columns; first += STRIP) {
    const size_t count = j->columns - first < STRIP ? j->columns - first : STRIP;
    for (size_t c = 0; c < count; c++) {
      const float *from = j->in + (first + c) * j->stride + band * BAND;
      for (size_t r = 0; r < rows; r++) block[r][c] = from[r];
    }
    for (size_t r = 0; r < rows; r++)
      milo_store_f32(j->kernels, j->packed + (band * BAND + r) * j->packed_stride + first * bytes,
                     j->dtype, 1, block[r], count);
  }
}

static void read_rows(void *user, size_t band, int worker) {
  (void)worker;
  const job *j = user;
  for (size_t r = band * BAND, end = r + band_rows(j, band); r < end; r++)
    milo_load_f32(j->kernels, j->out + r * j->stride, j->packed + r * j->packed_stride, j->dtype, 1,
                  j->columns);
}

static void copy_rows(void *user, size_t band, int worker) {
  (void)worker;
  const job *j = user;
  const size_t bytes = j->columns * milo_dtype_bits(j->dtype) / 8;
  for (size_t r = band * BAND, end = r + band_rows(j, band); r < end; r++)
    memcpy(j->packed + r * j->packed_stride, j->other + r * j->other_stride, bytes);
}

static void run(milo_pool *pool, milo_pool_task *task, job *j) {
  const size_t bands = (j->rows + BAND - 1) / BAND;
  milo_pool_run(j->rows * j->columns < 1u << 14 ? NULL : pool, bands, task, j);
}

void milo_surface_pack(const milo_rows *kernels, milo_pool *pool, void *out, milo_dtype dtype,
                       size_t rows, size_t columns, const float *data, size_t stride,
                       bool transposed) {
  job j = {.kernels = kernels,
           .dtype = dtype,
           .packed = out,
           .packed_stride = columns * milo_dtype_bits(dtype) / 8,
           .in = data,
           .stride = stride,
           .rows = rows,
           .columns = columns};
  run(pool, transposed ? write_transposed : write_rows, &j);
}

milo_status milo_surface_create(milo_device *device, milo_dtype dtype, size_t channels,
                                size_t columns, milo_diag *diag, milo_surface *out) {
  *out = (milo_surface){.dtype = dtype,
                        .channels = channels,
                        .columns = columns,
                        .kernels = milo_rows_select(device->host.cpu_caps),
                        .pool = device->host.pool};
  size_t bytes = 0;
  if (!milo_size_mul(channels, columns, &bytes) ||
      !milo_size_mul(bytes, milo_dtype_bits(dtype) / 8, &bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a surface of %zu channels and %zu columns is too large", channels, columns);
  return milo_device_alloc(device, bytes, diag, &out->buffer);
}

void milo_surface_destroy(milo_surface *surface) {
  milo_buffer_release(surface->buffer);
  *surface = (milo_surface){0};
}

// ---- access ----

static milo_status check(const milo_surface *s, const milo_region *r, milo_diag *diag) {
  if (r->channel <= s->channels && r->channels <= s->channels - r->channel &&
      r->column <= s->columns && r->columns <= s->columns - r->column)
    return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "channels %zu to %zu, columns %zu to %zu are not inside a surface of %zu "
                   "channels and %zu columns",
                   r->channel, r->channel + r->channels, r->column, r->column + r->columns,
                   s->channels, s->columns);
}

static milo_status unreachable(milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a surface cannot be reached");
}

static size_t element_bytes(const milo_surface *s) { return milo_dtype_bits(s->dtype) / 8; }

static job job_for(const milo_surface *s, const milo_region *r, char *data) {
  return (job){.kernels = s->kernels,
               .dtype = s->dtype,
               .packed = data + (r->channel * s->columns + r->column) * element_bytes(s),
               .packed_stride = s->columns * element_bytes(s),
               .rows = r->channels,
               .columns = r->columns};
}

milo_status milo_surface_write(const milo_surface *surface, milo_region region, const float *data,
                               size_t stride, bool transposed, milo_diag *diag) {
  MILO_TRY(check(surface, &region, diag));
  char *mapped = milo_buffer_map(surface->buffer, MILO_READ_WRITE);
  if (!mapped) return unreachable(diag);
  job j = job_for(surface, &region, mapped);
  j.in = data;
  j.stride = stride;
  run(surface->pool, transposed ? write_transposed : write_rows, &j);
  return milo_buffer_unmap(surface->buffer, mapped, MILO_READ_WRITE);
}

milo_status milo_surface_read(const milo_surface *surface, milo_region region, float *out,
                              size_t stride, milo_diag *diag) {
  MILO_TRY(check(surface, &region, diag));
  char *mapped = milo_buffer_map(surface->buffer, MILO_READ);
  if (!mapped) return unreachable(diag);
  job j = job_for(surface, &region, mapped);
  j.out = out;
  j.stride = stride;
  run(surface->pool, read_rows, &j);
  return milo_buffer_unmap(surface->buffer, mapped, MILO_READ);
}

milo_status milo_surface_copy(const milo_surface *to, milo_region to_region,
                              const milo_surface *from, milo_region from_region, milo_diag *diag) {
  MILO_TRY(check(to, &to_region, diag));
  MILO_TRY(check(from, &from_region, diag));
  if (to->dtype != from->dtype || to_region.channels != from_region.channels ||
      to_region.columns != from_region.columns)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "regions of two surfaces differ: %zu channels by %zu columns of %s, %zu by "
                     "%zu of %s",
                     from_region.channels, from_region.columns, milo_dtype_name(from->dtype),
                     to_region.channels, to_region.columns, milo_dtype_name(to->dtype));
  char *source = milo_buffer_map(from->buffer, MILO_READ);
  if (!source) return unreachable(diag);
  char *target = milo_buffer_map(to->buffer, MILO_READ_WRITE);
  milo_status status = target ? MILO_OK : unreachable(diag);
  if (target) {
    job j = job_for(to, &to_region, target);
    const job other = job_for(from, &from_region, source);
    j.other = other.packed;
    j.other_stride = other.packed_stride;
    run(to->pool, copy_rows, &j);
    status = milo_buffer_unmap(to->buffer, target, MILO_READ_WRITE);
  }
  const milo_status unmapped = milo_buffer_unmap(from->buffer, source, MILO_READ);
  return status == MILO_OK ? unmapped : status;
}
