// SPDX-License-Identifier: MIT
// Dense arrays of numbers in host memory (milo_array of the public header).
#ifndef MILO_BASE_ARRAY_H
#define MILO_BASE_ARRAY_H

#include "base/status.h"

// A zeroed array, to be freed with milo_array_deinit. MILO_ERR_INVALID: a negative dimension, rank
// outside of 0..MILO_MAX_RANK, or more bytes than a size can count.
MILO_MUST_USE milo_status milo_array_alloc(milo_dtype dtype, int rank, const int64_t *shape,
                                           milo_diag *diag, milo_array *out_array);
// milo_array_cast of the public header.
MILO_MUST_USE milo_status milo_array_convert(const milo_array *array, milo_dtype dtype,
                                             milo_diag *diag, milo_array *out_array);

#endif
