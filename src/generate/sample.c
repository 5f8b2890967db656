// SPDX-License-Identifier: MIT
#include "generate/sample.h"

#include <math.h>
#include <stdlib.h>

#include "base/rng.h"

enum { SAMPLE_STREAM = 2 };

struct milo_choice {
  double weight;
  uint32_t id;
};

milo_status milo_sampler_set(milo_sampler *sampler, double temperature, double top_p, uint64_t seed,
                             milo_diag *diag) {
  if (!(temperature >= 0) || !isfinite(temperature))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "temperature is %g, expected >= 0",
                     temperature);
  if (!(top_p >= 0) || !(top_p <= 1))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "top_p is %g, expected 0 to 1", top_p);
  sampler->temperature = temperature;
  sampler->top_p = top_p;
  sampler->seed = seed;
  return MILO_OK;
}

milo_status milo_sampler_init(milo_sampler *sampler, size_t vocab, double temperature, double top_p,
                              uint64_t seed, milo_diag *diag) {
  *sampler = (milo_sampler){.vocab = vocab};
  MILO_TRY(milo_sampler_set(sampler, temperature, top_p, seed, diag));
  sampler->choices = calloc(vocab, sizeof *sampler->choices);
  if (!sampler->choices)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to sample from %zu tokens",
                     vocab);
  return MILO_OK;
}

void milo_sampler_deinit(milo_sampler *sampler) {
  free(sampler->choices);
  sampler->choices = NULL;
}

static uint32_t largest(const float *logits, size_t count) {
  size_t best = 0;
  for (size_t i = 1; i < count; i++)
    if (logits[i] > logits[best]) best = i;
  return (uint32_t)best;
}

// Likeliest first; equals by id, so that the order is the same everywhere.
static int compare_choices(const void *a, const void *b) {
  const struct milo_choice *x = a, *y = b;
  if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

uint32_t milo_sampler_draw(milo_sampler *sampler, const float *logits, uint64_t position) {
  const uint32_t best = largest(logits, sampler->vocab);
  if (sampler->temperature == 0) return best;
  struct milo_choice *choices = sampler->choices;
  size_t count = sampler->vocab;
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    choices[i].id = (uint32_t)i;
    choices[i].weight = exp(((double)logits[i] - (double)logits[best]) / sampler->temperature);
    sum += choices[i].weight;
  }
  if (sampler->top_p > 0 && sampler->top_p < 1) {
    qsort(choices, count, sizeof *choices, compare_choices);
    const double wanted = sampler->top_p * sum;
    double kept = 0;
    size_t i = 0;
    while (i < count && kept < wanted) kept += choices[i++].weight;
    count = i;
    sum = kept;
  }
  const double target = milo_rng_uniform(sampler->seed, SAMPLE_STREAM, position) * sum;
  double reached = 0;
  for (size_t i = 0; i < count; i++) {
    reached += choices[i].weight;
    if (target < reached) return choices[i].id;
  }
  return count ? choices[count - 1].id : best;
}
