// SPDX-License-Identifier: MIT
// Products of few rows for what every machine of the architecture has: SSE2, NEON, or plain C.
#define MILO_SIMD 0
#define MILO_FEW milo_few_generic
#define MILO_FEW_NAME "generic"
#define MILO_FEW_CAPS 0
#include "kernels/variant_few.h"
