// SPDX-License-Identifier: MIT
// Milo's own container for checkpoints: named numbers and named fp32 tensors in one file.
//
// Little-endian:
//   header    64 bytes: char[8] "MILOCKPT", u32 version 1, u32 byte order 0x01020304, u64 bytes of
//             the file, u64 count of fields, u64 count of tensors, zeros
//   fields    64 bytes each: char[48] name, u64 kind (0 whole number, 1 fp64), u64 value
//   tensors   64 bytes each: char[48] name, u64 elements, u64 offset from the file's start
//   data      each tensor at a multiple of 64 bytes
//   checksum  u64, milo_checksum of all bytes before it
// Files are written atomically and checked whole before anything of them is used.
#ifndef MILO_TRAIN_STORE_H
#define MILO_TRAIN_STORE_H

#include "base/file.h"
#include "base/status.h"

enum { MILO_STORE_NAME_BYTES = 48, MILO_STORE_MAX_ENTRIES = 4096 };

typedef enum milo_field_kind { MILO_FIELD_COUNT, MILO_FIELD_NUMBER } milo_field_kind;

typedef struct milo_store_field {
  const char *name;  // shorter than MILO_STORE_NAME_BYTES
  milo_field_kind kind;
  uint64_t count;  // the one that kind says
  double number;
} milo_store_field;

// A tensor in parts rows of row_elements, stride elements apart (written without the gaps).
typedef struct milo_store_tensor {
  const char *name;
  const float *data;
  size_t parts, part_elements, stride;
} milo_store_tensor;

MILO_MUST_USE milo_status milo_store_write(const char *path, const milo_store_field *fields,
                                           size_t field_count, const milo_store_tensor *tensors,
                                           size_t tensor_count, milo_diag *diag);

typedef struct milo_store milo_store;
// MILO_ERR_INVALID: not such a file, truncated, over-long, damaged; MILO_ERR_UNSUPPORTED: another
// version or byte order.
MILO_MUST_USE milo_status milo_store_open(const char *path, milo_diag *diag,
                                          milo_store **out_store);
void milo_store_close(milo_store *store);  // NULL allowed
const char *milo_store_path(const milo_store *store);
// False if there is no such field of that kind; out->name is not set.
bool milo_store_find_field(const milo_store *store, const char *name, milo_field_kind kind,
                           milo_store_field *out);
// Copies the tensor into parts of part_elements at data, stride apart. MILO_ERR_INVALID if it is
// missing or of another size.
MILO_MUST_USE milo_status milo_store_read_tensor(const milo_store *store, const char *name,
                                                 float *data, size_t parts, size_t part_elements,
                                                 size_t stride, milo_diag *diag);

#endif
