// SPDX-License-Identifier: MIT
#include "package/blob.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "package/beside.h"

enum {
  HEADER_BYTES = 64,
  RECORD_BYTES = 64,
  VERSION = 2,
  RECORD_BYTES_AT = 8,
  RECORD_DATA_AT = 16,
  RECORD_PADDING_AT = 24,
};
static const uint32_t SENTINEL = 0xDEADBEEF;
static const char PREFIX[] = MILO_BLOB_PREFIX;

// ---- format ----

static const milo_dtype dtypes[] = {
    [1] = MILO_FP16,     [2] = MILO_FP32,   [3] = MILO_UINT8,   [4] = MILO_INT8,
    [5] = MILO_BF16,     [6] = MILO_INT16,  [7] = MILO_UINT16,  [8] = MILO_INT4,
    [9] = MILO_UINT1,    [10] = MILO_UINT2, [11] = MILO_UINT4,  [12] = MILO_UINT3,
    [13] = MILO_UINT6,   [14] = MILO_INT32, [15] = MILO_UINT32, [16] = MILO_FP8E4M3FN,
    [17] = MILO_FP8E5M2,
};
enum { CODES = sizeof dtypes / sizeof dtypes[0] };

uint32_t milo_blob_code(milo_dtype dtype) {
  for (uint32_t code = 1; code < CODES; code++)
    if (dtypes[code] == dtype) return code;
  return 0;
}

milo_dtype milo_blob_dtype(uint32_t code) { return code < CODES ? dtypes[code] : MILO_DTYPE_NONE; }

static uint64_t get(const unsigned char *at, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

static void put(unsigned char *at, int bytes, uint64_t value) {
  for (int i = 0; i < bytes; i++) at[i] = (unsigned char)(value >> 8 * i);
}

milo_status milo_blob_read(const void *file, size_t file_bytes, uint64_t offset, const char *name,
                           milo_loc loc, milo_diag *diag, milo_blob_record *out) {
  const unsigned char *bytes = file;
  *out = (milo_blob_record){0};
  if (file_bytes < HEADER_BYTES + RECORD_BYTES)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%s is too short (%zu bytes) for a blob file",
                     name, file_bytes);
  if (get(bytes + 4, 4) != VERSION)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%s is not a blob file of version 2", name);
  if (offset < HEADER_BYTES || offset > file_bytes - RECORD_BYTES)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "offset %llu is outside of %s, which has %zu bytes",
                     (unsigned long long)offset, name, file_bytes);
  const unsigned char *record = bytes + offset;
  if (get(record, 4) != SENTINEL)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "%s has no record at offset %llu\nthe offset is that of the 64-byte record, "
                     "which stands before the data",
                     name, (unsigned long long)offset);
  out->code = (uint32_t)get(record + 4, 4);
  out->dtype = milo_blob_dtype(out->code);
  out->bytes = get(record + RECORD_BYTES_AT, 8);
  out->data_offset = get(record + RECORD_DATA_AT, 8);
  out->padding_bits = get(record + RECORD_PADDING_AT, 8);
  if (out->data_offset < HEADER_BYTES || out->data_offset > file_bytes ||
      out->bytes > file_bytes - out->data_offset)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "the blob at offset %llu of %s reaches beyond the file's end",
                     (unsigned long long)offset, name);
  return MILO_OK;
}

// ---- literals of a program ----

typedef milo_status literal_fn(void *user, milo_literal *literal, milo_loc loc);

static milo_status visit_op(milo_op *op, literal_fn *fn, void *user) {
  for (size_t i = 0; i < op->attrs.count; i++)
    MILO_TRY(fn(user, &op->attrs.items[i].value, op->loc));
  if (op->code == MILO_OP_const && op->result_count == 1)
    op->results[0]->literal = milo_attrs_find(&op->attrs, "val");
  for (size_t i = 0; i < op->arg_count; i++) {
    for (size_t k = 0; k < op->args[i].count; k++) {
      milo_value *value = op->args[i].values[k];
      if (value->def || !value->literal || value->literal->kind == MILO_LITERAL_ITEMS) continue;
      milo_literal literal = *value->literal;
      MILO_TRY(fn(user, &literal, op->loc));
      const bool changed = literal.data != value->literal->data ||
                           literal.blob_path != value->literal->blob_path ||
                           literal.blob_offset != value->literal->blob_offset;
      if (changed) value->literal = milo_arena_copy(milo_op_arena(op), &literal, sizeof literal);
    }
  }
  return MILO_OK;
}

static milo_status visit_block(milo_block *block, literal_fn *fn, void *user) {
  for (milo_op *op = block->first; op; op = op->next) {
    MILO_TRY(visit_op(op, fn, user));
    for (size_t i = 0; i < op->block_count; i++) MILO_TRY(visit_block(op->blocks[i], fn, user));
  }
  return MILO_OK;
}

static milo_status visit_program(milo_program *program, literal_fn *fn, void *user) {
  for (size_t i = 0; i < program->func_count; i++)
    MILO_TRY(visit_block(program->funcs[i]->body, fn, user));
  return MILO_OK;
}

typedef struct reader {
  milo_status (*fn)(void *user, const milo_literal *literal);
  void *user;
} reader;

static milo_status read_block(const milo_block *block, const reader *r) {
  for (const milo_op *op = block->first; op; op = op->next) {
    for (size_t i = 0; i < op->attrs.count; i++)
      MILO_TRY(r->fn(r->user, &op->attrs.items[i].value));
    for (size_t i = 0; i < op->arg_count; i++)
      for (size_t k = 0; k < op->args[i].count; k++) {
        const milo_value *value = op->args[i].values[k];
        if (!value->def && value->literal) MILO_TRY(r->fn(r->user, value->literal));
      }
    for (size_t i = 0; i < op->block_count; i++) MILO_TRY(read_block(op->blocks[i], r));
  }
  return MILO_OK;
}

milo_status milo_blob_visit(const milo_program *program,
                            milo_status (*fn)(void *user, const milo_literal *literal),
                            void *user) {
  const reader r = {fn, user};
  for (size_t i = 0; i < program->func_count; i++)
    MILO_TRY(read_block(program->funcs[i]->body, &r));
  return MILO_OK;
}

// ---- loading ----

typedef struct blob_file {
  const char *blob_path, *path;
  milo_mapping mapping;
} blob_file;

typedef struct loader {
  milo_program *program;
  const char *model_path;
  milo_diag *diag;
  blob_file **files;
  size_t count, capacity;
} loader;

static void unmap(void *user) { milo_file_unmap(user); }

// The part of a blob's path below model_path, NULL if it leads elsewhere.
static const char *path_below(const char *blob_path) {
  if (strncmp(blob_path, PREFIX, sizeof PREFIX - 1) != 0) return NULL;
  const char *below = blob_path + sizeof PREFIX - 1;
  if (*below == '\0' || *below == '/') return NULL;
  for (const char *part = below; part; part = strchr(part, '/')) {
    if (*part == '/') part++;
    const size_t bytes = strcspn(part, "/");
    if (bytes == 2 && memcmp(part, "..", 2) == 0) return NULL;
  }
  return below;
}

static milo_status open_file(loader *l, const char *blob_path, milo_loc loc, blob_file **out) {
  milo_arena *arena = &l->program->arena;
  // The file used last is the likeliest.
  for (size_t i = l->count; i-- > 0;)
    if (strcmp(l->files[i]->blob_path, blob_path) == 0) {
      *out = l->files[i];
      return MILO_OK;
    }
  const char *below = path_below(blob_path);
  if (!below)
    return milo_fail(l->diag, loc, MILO_ERR_INVALID,
                     "blob path '%s' is not allowed\nit must begin with @model_path/ and must not "
                     "hold ..",
                     blob_path);
  blob_file *file = MILO_NEW(arena, blob_file);
  file->blob_path = blob_path;
  file->path = milo_arena_printf(arena, "%s/%s", l->model_path, below);
  if (!milo_file_exists(file->path))
    return milo_fail(l->diag, loc, MILO_ERR_NOT_FOUND, "blob file %s is not there", file->path);
  MILO_TRY(milo_file_map(file->path, l->diag, &file->mapping));
  milo_program_on_free(l->program, unmap, &file->mapping);
  MILO_PUSH(arena, l->files, l->count, l->capacity, file);
  *out = file;
  return MILO_OK;
}

static milo_status check_record(const milo_literal *literal, const milo_blob_record *record,
                                const char *path, milo_loc loc, milo_diag *diag) {
  const milo_dtype dtype = literal->type.dtype;
  const size_t bytes = milo_type_bytes(&literal->type);
  // bool has no code: its bytes are stored as 8-bit integers.
  const bool any_code = dtype == MILO_INT8 || dtype == MILO_UINT8 || dtype == MILO_BOOL;
  const char *held = record->dtype ? milo_dtype_name(record->dtype) : "an unknown type";
  if (record->dtype != dtype && !any_code)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "the blob at offset %llu of %s holds %s, not %s",
                     (unsigned long long)literal->blob_offset, path, held, milo_dtype_name(dtype));
  if (record->bytes != bytes)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "the blob at offset %llu of %s has %llu bytes, but %s tensors of this shape "
                     "have %zu",
                     (unsigned long long)literal->blob_offset, path,
                     (unsigned long long)record->bytes, milo_dtype_name(dtype), bytes);
  const size_t unused = (8 - milo_type_elements(&literal->type) * milo_dtype_bits(dtype) % 8) % 8;
  if (record->padding_bits != 0 && record->padding_bits != unused)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "the blob at offset %llu of %s says %llu bits are unused, but %zu are",
                     (unsigned long long)literal->blob_offset, path,
                     (unsigned long long)record->padding_bits, unused);
  return MILO_OK;
}

static milo_status load_literal(void *user, milo_literal *literal, milo_loc loc) {
  loader *l = user;
  if (literal->kind != MILO_LITERAL_BLOB || literal->data) return MILO_OK;
  blob_file *file = NULL;
  MILO_TRY(open_file(l, literal->blob_path, loc, &file));
  milo_blob_record record;
  MILO_TRY(milo_blob_read(file->mapping.data, file->mapping.bytes, literal->blob_offset, file->path,
                          loc, l->diag, &record));
  MILO_TRY(check_record(literal, &record, file->path, loc, l->diag));
  const milo_dtype dtype = literal->type.dtype;
  const unsigned char *data = (const unsigned char *)file->mapping.data + record.data_offset;
  const size_t bytes = (size_t)record.bytes;
  const size_t element_bytes = milo_dtype_bits(dtype) / 8;
  if (dtype == MILO_BOOL) {
    unsigned char *bools = milo_arena_alloc(&l->program->arena, bytes);
    for (size_t i = 0; i < bytes; i++) bools[i] = data[i] != 0;
    data = bools;
  } else if (element_bytes > 1 && (uintptr_t)data % element_bytes != 0) {
    data = milo_arena_copy(&l->program->arena, data, bytes);
  }
  literal->data = data;
  literal->bytes = bytes;
  literal->count = milo_type_elements(&literal->type);
  literal->blob_file = file->path;
  return MILO_OK;
}

milo_status milo_blob_resolve(milo_program *program, const char *model_path, milo_diag *diag) {
  loader l = {.program = program, .model_path = model_path, .diag = diag};
  return visit_program(program, load_literal, &l);
}

// ---- writing ----

static milo_status write_padded(milo_writer *writer, const void *data, size_t bytes,
                                milo_diag *diag) {
  static const unsigned char zeros[MILO_BLOB_ALIGNMENT];
  MILO_TRY(milo_writer_write(writer, data, bytes, diag));
  const size_t over = bytes % MILO_BLOB_ALIGNMENT;
  return over ? milo_writer_write(writer, zeros, MILO_BLOB_ALIGNMENT - over, diag) : MILO_OK;
}

static milo_status write_blob(milo_writer *writer, milo_blob *blob, milo_diag *diag) {
  unsigned char record[RECORD_BYTES] = {0};
  const int64_t dim = (int64_t)blob->elements;
  size_t bytes;
  const uint32_t code = milo_blob_code(blob->dtype);
  if (code == 0 || !milo_tensor_bytes(blob->dtype, 1, &dim, &bytes))
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "blob files cannot hold %s",
                     milo_dtype_name(blob->dtype));
  blob->offset = milo_writer_offset(writer);
  const size_t last_bits = blob->elements * milo_dtype_bits(blob->dtype) % 8;
  put(record, 4, SENTINEL);
  put(record + 4, 4, code);
  put(record + RECORD_BYTES_AT, 8, bytes);
  put(record + RECORD_DATA_AT, 8, blob->offset + RECORD_BYTES);
  put(record + RECORD_PADDING_AT, 8, last_bits ? 8 - last_bits : 0);
  MILO_TRY(milo_writer_write(writer, record, sizeof record, diag));
  return write_padded(writer, blob->data, bytes, diag);
}

// The whole file, not yet committed.
static milo_status write_file(const char *path, milo_blob *blobs, size_t count, milo_diag *diag,
                              milo_writer **out_writer) {
  unsigned char header[HEADER_BYTES] = {0};
  *out_writer = NULL;
  if (count > UINT32_MAX)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "%zu blobs are too many for %s",
                     count, path);
  milo_writer *writer;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  put(header, 4, count);
  put(header + 4, 4, VERSION);
  milo_status status = milo_writer_write(writer, header, sizeof header, diag);
  for (size_t i = 0; i < count && status == MILO_OK; i++)
    status = write_blob(writer, &blobs[i], diag);
  if (status == MILO_OK)
    *out_writer = writer;
  else
    milo_writer_close(writer);
  return status;
}

milo_status milo_blob_write(const char *path, milo_blob *blobs, size_t count, milo_diag *diag) {
  milo_writer *writer;
  MILO_TRY(write_file(path, blobs, count, diag, &writer));
  const milo_status status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  return status;
}

// ---- export ----

// The blobs so far, and a hash table of 1 + their indices by address: open addressing, half full.
typedef struct exporter {
  milo_arena arena;
  size_t min_bytes;
  const char *folder, *stem, *blob_path;
  milo_blob *blobs;
  size_t count, capacity;
  size_t *slots, slot_count;
} exporter;

static bool same_file(const char *a, const char *b) {
  struct stat a_stat, b_stat;
  return stat(a, &a_stat) == 0 && stat(b, &b_stat) == 0 && a_stat.st_dev == b_stat.st_dev &&
         a_stat.st_ino == b_stat.st_ino;
}

static bool wants_export(exporter *e, const milo_literal *literal) {
  if (!literal->data || milo_blob_code(literal->type.dtype) == 0) return false;
  if (literal->kind == MILO_LITERAL_DATA)
    return literal->bytes > e->min_bytes && milo_type_is_static(&literal->type);
  if (literal->kind != MILO_LITERAL_BLOB || !literal->blob_file) return false;
  const char *below = path_below(literal->blob_path);
  // Also out of our own earlier file, so that one is left in the end.
  return !below || milo_beside_is_name(e->stem, below) ||
         !same_file(milo_arena_printf(&e->arena, "%s/%s", e->folder, below), literal->blob_file);
}

static size_t *find_slot(const exporter *e, const milo_literal *literal) {
  const uint64_t hash = (uint64_t)(uintptr_t)literal->data * UINT64_C(0x9e3779b97f4a7c15);
  for (size_t i = (size_t)(hash >> 20) & (e->slot_count - 1);; i = (i + 1) & (e->slot_count - 1)) {
    if (e->slots[i] == 0) return &e->slots[i];
    const milo_blob *blob = &e->blobs[e->slots[i] - 1];
    if (blob->data == literal->data && blob->dtype == literal->type.dtype &&
        blob->elements == literal->count)
      return &e->slots[i];
  }
}

static void grow_slots(exporter *e) {
  e->slot_count = e->slot_count ? 2 * e->slot_count : 64;
  e->slots = MILO_NEW_ARRAY(&e->arena, size_t, e->slot_count);
  for (size_t i = 0; i < e->count; i++) {
    const milo_blob *blob = &e->blobs[i];
    const milo_literal literal = {
        .type = milo_type_scalar(blob->dtype), .data = blob->data, .count = blob->elements};
    *find_slot(e, &literal) = i + 1;
  }
}

// First pass: collects the blobs; tensors that share their data share a blob.
static milo_status collect_literal(void *user, milo_literal *literal, milo_loc loc) {
  (void)loc;
  exporter *e = user;
  if (!wants_export(e, literal)) return MILO_OK;
  if (2 * (e->count + 1) > e->slot_count) grow_slots(e);
  size_t *slot = find_slot(e, literal);
  if (*slot != 0) return MILO_OK;
  const milo_blob blob = {literal->type.dtype, literal->count, literal->data, 0};
  MILO_PUSH(&e->arena, e->blobs, e->count, e->capacity, blob);
  *slot = e->count;
  return MILO_OK;
}

// Second pass, after the offsets are known.
static milo_status point_literal(void *user, milo_literal *literal, milo_loc loc) {
  (void)loc;
  exporter *e = user;
  const size_t *slot = literal->data ? find_slot(e, literal) : NULL;
  if (!slot || *slot == 0) return MILO_OK;
  const milo_blob *blob = &e->blobs[*slot - 1];
  const char *file = literal->kind == MILO_LITERAL_BLOB ? literal->blob_file : NULL;
  literal->kind = MILO_LITERAL_BLOB;
  literal->blob_path = e->blob_path;
  literal->blob_offset = blob->offset;
  literal->blob_file = file;
  return MILO_OK;
}

milo_status milo_blob_export(milo_program *program, size_t min_bytes, const char *folder,
                             const char *stem, const char *file_name, milo_diag *diag,
                             milo_writer **out_writer) {
  exporter e = {.min_bytes = min_bytes, .folder = folder, .stem = stem};
  *out_writer = NULL;
  e.blob_path = milo_arena_printf(&program->arena, "%s%s", PREFIX, file_name);
  milo_status status = visit_program(program, collect_literal, &e);
  if (status == MILO_OK && e.count > 0) {
    status = write_file(milo_arena_printf(&e.arena, "%s/%s", folder, file_name), e.blobs, e.count,
                        diag, out_writer);
    if (status == MILO_OK) status = visit_program(program, point_literal, &e);
  }
  milo_arena_deinit(&e.arena);
  return status;
}
