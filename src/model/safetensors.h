// SPDX-License-Identifier: MIT
// Files of named tensors in the safetensors format of Hugging Face: u64 length of a JSON header,
// the header {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
// "__metadata__": {"key": "text", ...}}, the data without gaps. Little-endian.
//
// Files that Milo writes with a checksum end in a tensor "milo.checksum" (U64 [1]): the CRC-64
// (base/checksum.h) of all bytes before it. A file that has one is checked whole when it is opened.
#ifndef MILO_MODEL_SAFETENSORS_H
#define MILO_MODEL_SAFETENSORS_H

#include "base/file.h"
#include "device/device.h"

typedef struct milo_metadata {
  const char *key, *text;
} milo_metadata;

typedef struct milo_named_tensor {
  const char *name;
  milo_dtype dtype;  // whole bytes an element
  int rank;
  int64_t dims[MILO_MAX_RANK];
  milo_buffer *buffer;
} milo_named_tensor;

#define MILO_SAFETENSORS_CHECKSUM "milo.checksum"

// Atomic, with a checksum. No name may be there twice, or be "__metadata__" or "milo.checksum".
MILO_MUST_USE milo_status milo_safetensors_write(const char *path, const milo_metadata *metadata,
                                                 size_t metadata_count,
                                                 const milo_named_tensor *tensors,
                                                 size_t tensor_count, milo_diag *diag);

// The same to a file that the caller opened and will commit; for other programs' readers, to whom a
// tensor "milo.checksum" would be one too many, without it.
MILO_MUST_USE milo_status milo_safetensors_put(milo_writer *writer, const milo_metadata *metadata,
                                               size_t metadata_count,
                                               const milo_named_tensor *tensors,
                                               size_t tensor_count, bool checksum, milo_diag *diag);

typedef struct milo_safetensors milo_safetensors;

typedef struct milo_stored_tensor {
  const char *name;
  milo_type type;
  const void *data;  // not aligned
  size_t bytes;
} milo_stored_tensor;

// MILO_ERR_INVALID: not such a file, truncated, over-long, damaged, or with gaps.
MILO_MUST_USE milo_status milo_safetensors_open(const char *path, milo_diag *diag,
                                                milo_safetensors **out_file);
void milo_safetensors_close(milo_safetensors *file);  // NULL allowed
const char *milo_safetensors_path(const milo_safetensors *file);
bool milo_safetensors_has_checksum(const milo_safetensors *file);
// The text of a key of the metadata; NULL if there is none.
const char *milo_safetensors_text(const milo_safetensors *file, const char *key);
// Tensors by name; NULL past the end, and if there is none.
const milo_stored_tensor *milo_safetensors_get(const milo_safetensors *file, size_t i);
const milo_stored_tensor *milo_safetensors_find(const milo_safetensors *file, const char *name);
// Copies a tensor into a buffer of its size. MILO_ERR_INVALID, naming it, if it is missing or has
// another type.
MILO_MUST_USE milo_status milo_safetensors_read(const milo_safetensors *file, const char *name,
                                                const milo_type *type, milo_buffer *buffer,
                                                milo_diag *diag);

#endif
