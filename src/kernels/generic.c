// SPDX-License-Identifier: MIT
// Kernels for what every machine of the architecture has: SSE2, NEON, or plain C.
#define MILO_SIMD 0
#define MILO_ROWS milo_rows_generic
#define MILO_ROWS_NAME "generic"
#define MILO_ROWS_CAPS 0
#include "kernels/variant_rows_table.h"

#define MILO_PRODUCT milo_product_generic
#define MILO_PRODUCT_NAME "generic"
#define MILO_PRODUCT_CAPS 0
#include "kernels/variant_product.h"
