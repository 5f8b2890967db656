// SPDX-License-Identifier: MIT
// How weights lie in memory, as data: an element type a tensor, and for int8 a scale a group.
//
//   fp32, fp16, bf16  w, rounded to nearest
//   int8              w = q * scale of its group, q from -127 to 127. A group is `group` weights
//                     side by side in a row (along the depth of a product), or the whole row.
//                     scale = max|w| / 127, q = w / scale rounded to nearest: |error| <=
//                     max|w| / 254 of the group, and 0 for a group of zeros.
#ifndef MILO_MODEL_STORED_H
#define MILO_MODEL_STORED_H

#include "base/number.h"
#include "base/status.h"

// All 0: fp32.
typedef struct milo_stored {
  milo_dtype dtype;  // MILO_FP32, MILO_FP16, MILO_BF16, MILO_INT8
  int64_t group;     // of int8: 0: the whole row
} milo_stored;

// What weights may be stored in: NULL past the end. name is the option's ("bf16").
typedef struct milo_stored_kind {
  const char *name;
  milo_dtype dtype;
} milo_stored_kind;
const milo_stored_kind *milo_stored_kind_get(size_t i);

static inline milo_dtype milo_stored_dtype(const milo_stored *s) {
  return s->dtype == MILO_DTYPE_NONE ? MILO_FP32 : s->dtype;
}
// Weights that share a scale, of rows of that depth.
static inline int64_t milo_stored_group(const milo_stored *s, int64_t depth) {
  return s->group > 0 ? s->group : depth;
}

// rows x depth weights to q and scales [rows, depth / group]; group divides depth.
// False: a weight is not finite.
bool milo_stored_quantize(const float *w, size_t rows, size_t depth, size_t group, int8_t *q,
                          float *scales);

#endif
