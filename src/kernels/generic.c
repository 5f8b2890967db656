// SPDX-License-Identifier: MIT
// Kernels for what every machine of the architecture has: SSE2, NEON, or plain C.
#define MILO_SIMD 0
#define MILO_VARIANT milo_kernels_generic
#define MILO_VARIANT_NAME "generic"
#define MILO_VARIANT_CAPS 0
#include "kernels/variant.h"
