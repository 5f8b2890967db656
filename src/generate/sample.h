// SPDX-License-Identifier: MIT
// Choosing the next token from logits.
#ifndef MILO_GENERATE_SAMPLE_H
#define MILO_GENERATE_SAMPLE_H

#include "base/status.h"

typedef struct milo_sampler {
  double temperature;  // 0: the largest logit, the first of equals
  double top_p;        // in (0, 1): only the likeliest tokens whose probabilities reach it together
  uint64_t seed;
  size_t vocab;
  struct milo_choice *choices;  // scratch, one a token
} milo_sampler;

// MILO_ERR_INVALID: temperature or top_p is negative, not finite, or top_p is above 1.
MILO_MUST_USE milo_status milo_sampler_init(milo_sampler *sampler, size_t vocab, double temperature,
                                            double top_p, uint64_t seed, milo_diag *diag);
// Other values, the same memory; on failure it is as it was.
MILO_MUST_USE milo_status milo_sampler_set(milo_sampler *sampler, double temperature, double top_p,
                                           uint64_t seed, milo_diag *diag);
void milo_sampler_deinit(milo_sampler *sampler);
// The token for a position: the draw is a function of (seed, position, logits). Logits are finite.
uint32_t milo_sampler_draw(milo_sampler *sampler, const float *logits, uint64_t position);

#endif
