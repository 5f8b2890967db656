// SPDX-License-Identifier: MIT
// The table of kernel sets and the choice among them.
#include "kernels/kernels.h"
#include "kernels/variants.h"

const milo_kernels *const milo_kernels_variants[] = {
    &milo_kernels_generic,
#if defined(__x86_64__)
    &milo_kernels_avx2,
    &milo_kernels_avx512,
#endif
    NULL,
};

const milo_kernels *milo_kernels_select(unsigned caps) {
  const milo_kernels *best = milo_kernels_variants[0];
  for (size_t i = 1; milo_kernels_variants[i]; ++i)
    if ((milo_kernels_variants[i]->caps & ~caps) == 0) best = milo_kernels_variants[i];
  return best;
}
