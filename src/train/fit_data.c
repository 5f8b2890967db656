// SPDX-License-Identifier: MIT
#include "train/fit_data.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/memory.h"
#include "base/rng.h"

enum { ORDER_STREAM = 21 };
#define FAIL(...) milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, __VA_ARGS__)

static const char *shape_of(milo_arena *arena, const milo_array *array) {
  const milo_type type = milo_type_tensor(array->dtype, array->rank, array->shape);
  return milo_type_format(arena, &type, true);
}

// The array in the input's element type; exact unless cast allows rounding.
static milo_status convert(milo_feed *feed, const char *name, const milo_array *array,
                           milo_dtype dtype, bool cast, milo_diag *diag) {
  if (array->dtype == dtype) {
    feed->array = *array;
    return MILO_OK;
  }
  MILO_TRY(milo_array_convert(array, dtype, diag, &feed->array));
  feed->owned = true;
  if (cast) return MILO_OK;
  milo_array back = {0};
  MILO_TRY(milo_array_convert(&feed->array, array->dtype, diag, &back));
  const bool exact = memcmp(back.data, array->data, array->bytes) == 0;
  milo_array_deinit(&back);
  if (exact) return MILO_OK;
  return FAIL(
      "data %s is %s, which %s does not hold exactly\n--cast rounds it "
      "(milo_fit_options.cast)",
      name, milo_dtype_name(array->dtype), milo_dtype_name(dtype));
}

static milo_status check_shape(const char *name, const milo_array *array, size_t batch,
                               milo_type *type, milo_arena *arena, milo_diag *diag) {
  bool fits = type->rank < 0 || array->rank == type->rank;
  if (type->rank < 0) *type = milo_type_tensor(type->dtype, array->rank, array->shape);
  for (int i = 1; fits && i < type->rank; i++) {
    if (type->dims[i] == MILO_DIM_UNKNOWN) type->dims[i] = array->shape[i];
    fits = type->dims[i] == array->shape[i];
  }
  if (fits && array->rank > 0) {
    type->dims[0] = (int64_t)batch;
    return MILO_OK;
  }
  if (type->rank > 0) type->dims[0] = MILO_DIM_UNKNOWN;
  return FAIL("data %s is %s, expected %s: rows of what the program takes", name,
              shape_of(arena, array), milo_type_format(arena, type, true));
}

milo_status milo_feed_take(milo_feed *feed, const char *name, const milo_array *array, size_t batch,
                           bool cast, milo_type *type, milo_diag *diag) {
  milo_arena arena = {0};
  milo_status status = check_shape(name, array, batch, type, &arena, diag);
  milo_arena_deinit(&arena);
  MILO_TRY(status);
  if (array->shape[0] == 0) return FAIL("data %s has no rows", name);
  MILO_TRY(convert(feed, name, array, type->dtype, cast, diag));
  feed->type = *type;
  feed->row_bytes = feed->array.bytes / (size_t)array->shape[0];
  if (feed->row_bytes * batch != milo_type_bytes(type))
    return FAIL("data %s: rows of %s are no whole bytes", name, milo_dtype_name(type->dtype));
  return MILO_OK;
}

milo_status milo_feeds_begin(milo_feeds *feeds, milo_device *device, double val_fraction,
                             const char *const *names, milo_diag *diag) {
  size_t most = 1;
  const int64_t rows = feeds->items[0].array.shape[0];
  for (size_t i = 0; i < feeds->count; i++) {
    milo_feed *feed = &feeds->items[i];
    if (feed->array.shape[0] != rows)
      return FAIL("data %s has %lld rows, data %s %lld", names[0], (long long)rows, names[i],
                  (long long)feed->array.shape[0]);
    const size_t bytes = milo_type_bytes(&feed->type);
    if (bytes > most) most = bytes;
    MILO_TRY(milo_device_alloc(device, bytes, diag, &feed->buffer));
  }
  feeds->val_rows = (size_t)((double)rows * val_fraction);
  feeds->rows = (size_t)rows - feeds->val_rows;
  if (val_fraction > 0 && feeds->val_rows < feeds->batch)
    return FAIL("%g of %lld rows are %zu: too few to hold back, a batch is %zu", val_fraction,
                (long long)rows, feeds->val_rows, feeds->batch);
  feeds->staging = malloc(most);
  if (!feeds->staging) return milo_memory_fail("a batch", most, diag);
  if (!feeds->shuffle) return MILO_OK;
  feeds->epoch = UINT64_MAX;
  feeds->order = calloc(feeds->rows, sizeof *feeds->order);
  return feeds->order ? MILO_OK
                      : milo_memory_fail("the order of rows", feeds->rows * sizeof(uint64_t), diag);
}

void milo_feeds_deinit(milo_feeds *feeds) {
  for (size_t i = 0; i < feeds->count; i++) {
    milo_feed *feed = &feeds->items[i];
    if (feed->owned) milo_array_deinit(&feed->array);
    milo_buffer_release(feed->buffer);
  }
  free(feeds->order);
  free(feeds->staging);
}

uint64_t milo_feeds_checksum(const milo_feeds *feeds) {
  milo_checksum sum;
  milo_checksum_begin(&sum);
  for (size_t i = 0; i < feeds->count; i++) {
    const milo_array *array = &feeds->items[i].array;
    milo_checksum_add(&sum, array->shape, (size_t)array->rank * sizeof *array->shape);
    milo_checksum_add(&sum, array->data, array->bytes);
  }
  return milo_checksum_value(&sum);
}

// Fisher and Yates' shuffle, made anew from seed and epoch.
static void shuffle(milo_feeds *feeds, uint64_t epoch) {
  const uint64_t rows = feeds->rows;
  for (uint64_t i = 0; i < rows; i++) feeds->order[i] = i;
  for (uint64_t i = rows - 1; i > 0; i--) {
    const uint64_t k = milo_rng_below(feeds->seed, ORDER_STREAM, epoch * rows + i, i + 1);
    const uint64_t row = feeds->order[i];
    feeds->order[i] = feeds->order[k];
    feeds->order[k] = row;
  }
  feeds->epoch = epoch;
}

static size_t row_at(milo_feeds *feeds, uint64_t position) {
  const uint64_t epoch = position / feeds->rows, place = position % feeds->rows;
  if (!feeds->shuffle) return (size_t)place;
  if (epoch != feeds->epoch) shuffle(feeds, epoch);
  return (size_t)feeds->order[place];
}

static milo_status send(milo_feeds *feeds, const milo_feed *feed, milo_diag *diag) {
  if (milo_buffer_write(feed->buffer, 0, feeds->staging, feed->row_bytes * feeds->batch) == MILO_OK)
    return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a batch cannot be loaded");
}

milo_status milo_feeds_load(milo_feeds *feeds, uint64_t index, milo_diag *diag) {
  for (size_t f = 0; f < feeds->count; f++) {
    const milo_feed *feed = &feeds->items[f];
    for (size_t i = 0; i < feeds->batch; i++)
      memcpy(feeds->staging + i * feed->row_bytes,
             (const char *)feed->array.data +
                 row_at(feeds, index * feeds->batch + i) * feed->row_bytes,
             feed->row_bytes);
    MILO_TRY(send(feeds, feed, diag));
  }
  return MILO_OK;
}

milo_status milo_feeds_load_validation(milo_feeds *feeds, size_t index, milo_diag *diag) {
  for (size_t f = 0; f < feeds->count; f++) {
    const milo_feed *feed = &feeds->items[f];
    memcpy(feeds->staging,
           (const char *)feed->array.data + (feeds->rows + index * feeds->batch) * feed->row_bytes,
           feeds->batch * feed->row_bytes);
    MILO_TRY(send(feeds, feed, diag));
  }
  return MILO_OK;
}
