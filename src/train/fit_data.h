// SPDX-License-Identifier: MIT
// The data of `milo fit`: arrays whose first axis is cut into batches.
#ifndef MILO_TRAIN_FIT_DATA_H
#define MILO_TRAIN_FIT_DATA_H

#include "base/checksum.h"
#include "device/device.h"

// What one input is fed with.
typedef struct milo_feed {
  milo_type type;    // of a batch
  milo_array array;  // the rows, in the input's element type; data may be the caller's
  bool owned;
  size_t row_bytes;
  milo_buffer *buffer;  // the present batch
} milo_feed;

typedef struct milo_feeds {
  milo_feed *items;
  size_t count, batch;
  size_t rows, val_rows;  // to train on; held back, behind them
  bool shuffle;
  uint64_t seed;
  uint64_t *order, epoch;  // order of the rows in that epoch
  char *staging;           // the largest batch
} milo_feeds;

// Takes an array for an input of that name and type (whose dims are known but for open ones, which
// the array settles; *type is then static). cast: elements may be rounded. MILO_ERR_INVALID says
// what does not fit.
MILO_MUST_USE milo_status milo_feed_take(milo_feed *feed, const char *name, const milo_array *array,
                                         size_t batch, bool cast, milo_type *type, milo_diag *diag);
// Once all feeds are taken: the same number of rows in each, the part held back, memory.
MILO_MUST_USE milo_status milo_feeds_begin(milo_feeds *feeds, milo_device *device,
                                           double val_fraction, const char *const *names,
                                           milo_diag *diag);
void milo_feeds_deinit(milo_feeds *feeds);
uint64_t milo_feeds_checksum(const milo_feeds *feeds);
// Batch number `index` since the first step: rows index * batch, ... of the epochs one after the
// other.
MILO_MUST_USE milo_status milo_feeds_load(milo_feeds *feeds, uint64_t index, milo_diag *diag);
// Rows index * batch, ... of those held back.
MILO_MUST_USE milo_status milo_feeds_load_validation(milo_feeds *feeds, size_t index,
                                                     milo_diag *diag);

#endif
