// SPDX-License-Identifier: MIT
// Weight blob files ("MIL blob storage", version 2), little-endian:
//
//   header   64 bytes: u32 count, u32 version = 2, zeros
//   record   64 bytes: u32 sentinel 0xDEADBEEF, u32 type, u64 size in bytes, u64 offset of the
//   data,
//            u64 unused bits of the last byte, zeros
//   data     elements narrower than a byte are packed from the least significant bit
//
// The reader trusts records only: real files have wrong counts and unaligned records. What it
// writes has the true count, and records and data on multiples of 64.
#ifndef MILO_PACKAGE_BLOB_H
#define MILO_PACKAGE_BLOB_H

#include "base/file.h"
#include "base/status.h"
#include "ir/ir.h"

enum { MILO_BLOB_ALIGNMENT = 64 };
// What the path of a blob begins with in a text: the folder of the text.
#define MILO_BLOB_PREFIX "@model_path/"

// Type codes of the format; milo_blob_code gives 0, milo_blob_dtype MILO_DTYPE_NONE for none.
uint32_t milo_blob_code(milo_dtype dtype);
milo_dtype milo_blob_dtype(uint32_t code);

typedef struct milo_blob_record {
  uint32_t code;
  milo_dtype dtype;  // of code; MILO_DTYPE_NONE: no code of the format
  uint64_t bytes, data_offset, padding_bits;
} milo_blob_record;

// Reads and checks the record at offset of a file that lies in memory: header, sentinel, and that
// the data is inside the file. Faults are reported at loc, naming the file.
MILO_MUST_USE milo_status milo_blob_read(const void *file, size_t file_bytes, uint64_t offset,
                                         const char *name, milo_loc loc, milo_diag *diag,
                                         milo_blob_record *out);

// Loads the data of every blob literal among the operations' attributes and arguments.
// "@model_path/" at the front of a blob's path becomes model_path and '/'; no other path, and no
// "..", is taken. Each file is mapped once and lives as long as the program; data that is not
// aligned to its element is copied. The record's size must be the declared tensor's, its type too;
// only 8-bit integers are taken under any type code, as some writers get theirs wrong. A file that
// is not there: MILO_ERR_NOT_FOUND; anything wrong in it: MILO_ERR_INVALID. Literals loaded already
// are left alone.
MILO_MUST_USE milo_status milo_blob_resolve(milo_program *program, const char *model_path,
                                            milo_diag *diag);

typedef struct milo_blob {
  milo_dtype dtype;  // one that has a code
  size_t elements;
  const void *data;  // (elements * bits + 7) / 8 bytes
  uint64_t offset;   // written by milo_blob_write: of the record
} milo_blob;

// Writes a blob file, atomically.
MILO_MUST_USE milo_status milo_blob_write(const char *path, milo_blob *blobs, size_t count,
                                          milo_diag *diag);

// Calls fn for every literal of the operations' attributes and arguments, until one fails.
milo_status milo_blob_visit(const milo_program *program,
                            milo_status (*fn)(void *user, const milo_literal *literal), void *user);

// Moves large tensors of the program out of its text: data literals of more than min_bytes, and
// blob literals whose file is not the one their path means in folder, or is one that this function
// wrote for a text of that stem, become blob literals of "@model_path/<file_name>". *out_writer:
// folder/file_name with them, for the caller to commit (before the text that names it) and to
// close; NULL if there is nothing to put into it or after a failure. Literals of types without a
// code stay. Changes the program's literals, not their data.
MILO_MUST_USE milo_status milo_blob_export(milo_program *program, size_t min_bytes,
                                           const char *folder, const char *stem,
                                           const char *file_name, milo_diag *diag,
                                           milo_writer **out_writer);

#endif
