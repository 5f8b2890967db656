// SPDX-License-Identifier: MIT
// The sets that this build has, each defined in a file of its own.
#ifndef MILO_KERNELS_VARIANTS_H
#define MILO_KERNELS_VARIANTS_H

#include "kernels/kernels.h"

extern const milo_kernels milo_kernels_generic;
extern const milo_kernels milo_kernels_avx2;
extern const milo_kernels milo_kernels_avx512;

#endif
