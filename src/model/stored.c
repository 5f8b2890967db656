// SPDX-License-Identifier: MIT
#include "model/stored.h"

#include <math.h>

static const milo_stored_kind kinds[] = {
    {"fp32", MILO_FP32}, {"bf16", MILO_BF16}, {"fp16", MILO_FP16}, {"int8", MILO_INT8}};

const milo_stored_kind *milo_stored_kind_get(size_t i) {
  return i < sizeof kinds / sizeof *kinds ? &kinds[i] : NULL;
}

bool milo_stored_quantize(const float *w, size_t rows, size_t depth, size_t group, int8_t *q,
                          float *scales) {
  const size_t groups = group > 0 ? rows * depth / group : 0;
  for (size_t g = 0; g < groups; g++, w += group, q += group) {
    float most = 0;
    for (size_t i = 0; i < group; i++) {
      if (!isfinite(w[i])) return false;
      most = fmaxf(most, fabsf(w[i]));
    }
    const float scale = most / 127;
    scales[g] = scale;
    for (size_t i = 0; i < group; i++) {
      // A scale that is 0, or too small to have all its digits, gives up to more than 127.
      const float x = scale > 0 ? rintf(w[i] / scale) : 0;
      q[i] = (int8_t)fminf(fmaxf(x, -127), 127);
    }
  }
  return true;
}
