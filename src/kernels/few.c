// SPDX-License-Identifier: MIT
// The table of products of few rows, and the choice in it.
#include "kernels/few.h"

#include <stddef.h>

const milo_few *const milo_few_variants[] = {
    &milo_few_generic,
#if defined(__x86_64__)
    &milo_few_avx2,
    &milo_few_avx512,
#endif
    NULL,
};

const milo_few *milo_few_select(unsigned caps) {
  const milo_few *best = NULL;
  for (size_t i = 0; milo_few_variants[i]; ++i)
    if ((milo_few_variants[i]->caps & ~caps) == 0) best = milo_few_variants[i];
  return best;
}

milo_dot_fn *milo_few_dot(const milo_few *few, milo_dtype dtype) {
  if (dtype == MILO_FP32) return few->dot_fp32;
  if (dtype == MILO_FP16) return few->dot_fp16;
  return dtype == MILO_BF16 ? few->dot_bf16 : NULL;
}

milo_mix_fn *milo_few_mix(const milo_few *few, milo_dtype dtype) {
  if (dtype == MILO_FP32) return few->mix_fp32;
  if (dtype == MILO_FP16) return few->mix_fp16;
  return dtype == MILO_BF16 ? few->mix_bf16 : NULL;
}
