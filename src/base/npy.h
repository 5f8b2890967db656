// SPDX-License-Identifier: MIT
// NumPy's .npy files, versions 1 to 3: bool, fp16/32/64, signed and unsigned integers of 8 to 64
// bits; little-endian. Column-major ("Fortran order") files are read into row-major arrays.
#ifndef MILO_BASE_NPY_H
#define MILO_BASE_NPY_H

#include "base/status.h"

// bytes of a whole .npy file; name is for messages. MILO_ERR_UNSUPPORTED: big-endian data, element
// types that Milo lacks, more than MILO_MAX_RANK dimensions.
MILO_MUST_USE milo_status milo_npy_decode(const void *data, size_t bytes, const char *name,
                                          milo_diag *diag, milo_array *out_array);
MILO_MUST_USE milo_status milo_npy_read(const char *path, milo_diag *diag, milo_array *out_array);
// Version 1, atomically. MILO_ERR_UNSUPPORTED for types that NumPy lacks.
MILO_MUST_USE milo_status milo_npy_write(const char *path, const milo_array *array,
                                         milo_diag *diag);

#endif
