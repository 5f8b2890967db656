// SPDX-License-Identifier: MIT
#include "train/loader.h"

#include "base/checksum.h"
#include "base/rng.h"

enum { DATA_STREAM = 1 };

milo_status milo_loader_init(milo_loader *loader, const uint32_t *ids, size_t count, size_t vocab,
                             const milo_train_options *o, milo_diag *diag) {
  *loader =
      (milo_loader){.ids = ids, .seq = o->seq, .rows = o->batch * o->accumulate, .seed = o->seed};
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "training data: token %zu is %u, the model's vocabulary has %zu", i, ids[i],
                       vocab);
  loader->train_count = (size_t)((double)count * (1 - o->val_fraction));
  if (loader->train_count <= o->seq)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "training data: %zu tokens to train on, a window needs %zu",
                     loader->train_count, o->seq + 1);
  loader->val_count = count - loader->train_count;
  if (loader->val_count <= o->seq) loader->val_count = 0;
  loader->val_rows = loader->val_count ? o->batch * o->eval_batches : 0;
  loader->checksum = milo_checksum_of(ids, count * sizeof *ids);
  return MILO_OK;
}

static void copy_window(const uint32_t *from, size_t seq, int32_t *tokens, int32_t *targets) {
  for (size_t i = 0; i < seq; i++) {
    tokens[i] = (int32_t)from[i];
    targets[i] = (int32_t)from[i + 1];
  }
}

void milo_loader_batch(const milo_loader *loader, uint64_t step, size_t row, size_t count,
                       int32_t *tokens, int32_t *targets) {
  const size_t seq = loader->seq;
  for (size_t i = 0; i < count; i++) {
    const uint64_t at = milo_rng_below(loader->seed, DATA_STREAM, step * loader->rows + row + i,
                                       loader->train_count - seq);
    copy_window(loader->ids + at, seq, tokens + i * seq, targets + i * seq);
  }
}

void milo_loader_validation(const milo_loader *loader, size_t row, size_t count, int32_t *tokens,
                            int32_t *targets) {
  const size_t seq = loader->seq;
  const size_t places = loader->val_count - seq;
  for (size_t i = 0; i < count; i++) {
    const double part = (double)((row + i) % loader->val_rows) / (double)loader->val_rows;
    const size_t at = loader->train_count + (size_t)(part * (double)places);
    copy_window(loader->ids + at, seq, tokens + i * seq, targets + i * seq);
  }
}
