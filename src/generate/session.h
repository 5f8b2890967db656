// SPDX-License-Identifier: MIT
// A sequence that a model reads token by token or many at once, with a cache of keys and values
// that grows as it is needed.
#ifndef MILO_GENERATE_SESSION_H
#define MILO_GENERATE_SESSION_H

#include "base/stop.h"
#include "model/model.h"

typedef struct milo_reader milo_reader;

// model is borrowed; its weights are read at every feed, and stay stored as they are. limit: tokens
// at most; 0: the model's seq. cache: what keys and values are kept in: MILO_FP32 (MILO_DTYPE_NONE
// too), MILO_FP16, MILO_BF16.
MILO_MUST_USE milo_status milo_reader_create(milo_device *device, const milo_model *model,
                                             size_t limit, milo_dtype cache, milo_diag *diag,
                                             milo_reader **out_reader);
void milo_reader_destroy(milo_reader *reader);  // NULL allowed
// Asked between layers: a feed then ends with MILO_ERR_INTERRUPTED, which nothing reports, and the
// length is as before.
void milo_reader_set_stop(milo_reader *reader, milo_stop stop);
size_t milo_reader_length(const milo_reader *reader);  // tokens read
size_t milo_reader_limit(const milo_reader *reader);
const milo_model *milo_reader_model(const milo_reader *reader);
// Bytes of the cache of keys and values: in proportion to the tokens read, not to the limit.
size_t milo_reader_cache_bytes(const milo_reader *reader);
// The logits after the index-th token of a feed: [vocab], valid during the call.
typedef void milo_logits_fn(void *user, size_t index, const float *logits);
// Reads count more tokens (>= 1). each: gets the logits after every one of them, in order; NULL:
// only the last ones are computed. MILO_ERR_INVALID: a token is not in the vocabulary, or there
// would be more than the limit. MILO_ERR_NUMERIC: a logit is not finite. A failure leaves length
// and logits as they were. The same tokens in other parts give the same logits but for rounding.
MILO_MUST_USE milo_status milo_reader_feed(milo_reader *reader, const uint32_t *tokens,
                                           size_t count, milo_logits_fn *each, void *user,
                                           milo_diag *diag);
// What comes after the last token read: [vocab], valid until the next feed. NULL: nothing was read
// yet, or since tokens were forgotten.
const float *milo_reader_logits(const milo_reader *reader);
// Forgets all but the first length tokens (at most what was read).
void milo_reader_rewind(milo_reader *reader, size_t length);

#endif
