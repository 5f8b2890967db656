// SPDX-License-Identifier: MIT
#include "train/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

enum { ENTRY_BYTES = 64, ALIGN = 64, VERSION = 1, BYTE_ORDER_MARK = 0x01020304 };
static const char magic[8] = {'M', 'I', 'L', 'O', 'C', 'K', 'P', 'T'};

typedef struct file_header {
  char magic[8];
  uint32_t version, byte_order;
  uint64_t file_bytes, field_count, tensor_count;
  uint64_t zeros[3];
} file_header;
_Static_assert(sizeof(file_header) == ENTRY_BYTES, "layout of the file");

typedef struct file_entry {
  char name[MILO_STORE_NAME_BYTES];
  uint64_t a, b;  // field: kind, value; tensor: elements, offset
} file_entry;
_Static_assert(sizeof(file_entry) == ENTRY_BYTES, "layout of the file");

struct milo_store {
  milo_mapping file;
  char *path;
  const file_entry *fields, *tensors;
  size_t field_count, tensor_count;
};

static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static void set_name(file_entry *entry, const char *name) {
  const size_t bytes = strlen(name);
  assert(bytes < sizeof entry->name);
  memcpy(entry->name, name, bytes);
}

static milo_status write_padding(milo_writer *writer, milo_diag *diag) {
  static const char zeros[ALIGN];
  const uint64_t offset = milo_writer_offset(writer);
  return milo_writer_write(writer, zeros, (size_t)(round_up(offset) - offset), diag);
}

static milo_status write_all(milo_writer *writer, const milo_store_field *fields,
                             size_t field_count, const milo_store_tensor *tensors,
                             size_t tensor_count, milo_diag *diag) {
  file_header header = {.version = VERSION,
                        .byte_order = BYTE_ORDER_MARK,
                        .field_count = field_count,
                        .tensor_count = tensor_count};
  memcpy(header.magic, magic, sizeof magic);
  const uint64_t start = ENTRY_BYTES * (1 + (uint64_t)field_count + tensor_count);
  uint64_t offset = start;
  for (size_t i = 0; i < tensor_count; i++)
    offset += round_up(tensors[i].parts * tensors[i].part_elements * sizeof(float));
  header.file_bytes = offset + sizeof(uint64_t);
  MILO_TRY(milo_writer_write(writer, &header, sizeof header, diag));
  for (size_t i = 0; i < field_count; i++) {
    file_entry entry = {.a = (uint64_t)fields[i].kind, .b = fields[i].count};
    set_name(&entry, fields[i].name);
    if (fields[i].kind == MILO_FIELD_NUMBER) memcpy(&entry.b, &fields[i].number, sizeof entry.b);
    MILO_TRY(milo_writer_write(writer, &entry, sizeof entry, diag));
  }
  offset = start;
  for (size_t i = 0; i < tensor_count; i++) {
    file_entry entry = {.a = tensors[i].parts * tensors[i].part_elements, .b = offset};
    set_name(&entry, tensors[i].name);
    MILO_TRY(milo_writer_write(writer, &entry, sizeof entry, diag));
    offset += round_up(entry.a * sizeof(float));
  }
  for (size_t i = 0; i < tensor_count; i++) {
    const milo_store_tensor *t = &tensors[i];
    for (size_t part = 0; part < t->parts; part++)
      MILO_TRY(milo_writer_write(writer, t->data + part * t->stride,
                                 t->part_elements * sizeof(float), diag));
    MILO_TRY(write_padding(writer, diag));
  }
  const uint64_t checksum = milo_writer_checksum(writer);
  return milo_writer_write(writer, &checksum, sizeof checksum, diag);
}

milo_status milo_store_write(const char *path, const milo_store_field *fields, size_t field_count,
                             const milo_store_tensor *tensors, size_t tensor_count,
                             milo_diag *diag) {
  milo_writer *writer = NULL;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  milo_status status = write_all(writer, fields, field_count, tensors, tensor_count, diag);
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  return status;
}

static bool has_name(const file_entry *entry) {
  return entry->name[0] && memchr(entry->name, 0, sizeof entry->name) != NULL;
}

static milo_status check(milo_store *store, milo_loc loc, milo_diag *diag) {
  const milo_mapping *file = &store->file;
  file_header header;
  if (file->bytes < sizeof header || memcmp(file->data, magic, sizeof magic) != 0)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "not a Milo checkpoint%s",
                     file->bytes == 0 ? ": the file is empty" : "");
  memcpy(&header, file->data, sizeof header);
  if (header.byte_order != BYTE_ORDER_MARK)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                     "checkpoint written on a machine of another byte order");
  if (header.version != VERSION)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                     "checkpoint of version %u, this Milo reads version %d", header.version,
                     VERSION);
  if (header.file_bytes != file->bytes)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%s checkpoint: %zu bytes, its header says %llu",
                     file->bytes < header.file_bytes ? "truncated" : "over-long", file->bytes,
                     (unsigned long long)header.file_bytes);
  const char *damaged = "damaged checkpoint: ";
  const uint64_t entries_end = ENTRY_BYTES * (1 + header.field_count + header.tensor_count);
  if (header.field_count > MILO_STORE_MAX_ENTRIES || header.tensor_count > MILO_STORE_MAX_ENTRIES ||
      entries_end + sizeof(uint64_t) > file->bytes || file->bytes % sizeof(uint64_t) != 0)
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%sits tables do not fit in the file", damaged);
  const size_t body = file->bytes - sizeof(uint64_t);
  uint64_t checksum = 0;
  memcpy(&checksum, (const char *)file->data + body, sizeof checksum);
  if (checksum != milo_checksum(MILO_CHECKSUM_INIT, file->data, body))
    return milo_fail(diag, loc, MILO_ERR_INVALID, "%sits checksum does not match", damaged);
  store->fields = (const file_entry *)file->data + 1;
  store->field_count = (size_t)header.field_count;
  store->tensors = store->fields + store->field_count;
  store->tensor_count = (size_t)header.tensor_count;
  for (size_t i = 0; i < store->field_count + store->tensor_count; i++)
    if (!has_name(&store->fields[i]))
      return milo_fail(diag, loc, MILO_ERR_INVALID, "%sentry %zu has no name", damaged, i);
  for (size_t i = 0; i < store->tensor_count; i++) {
    const file_entry *t = &store->tensors[i];
    if (t->b % ALIGN != 0 || t->b < entries_end || t->b > body ||
        t->a > (body - t->b) / sizeof(float))
      return milo_fail(diag, loc, MILO_ERR_INVALID, "%stensor '%s' does not fit in the file",
                       damaged, t->name);
  }
  return MILO_OK;
}

milo_status milo_store_open(const char *path, milo_diag *diag, milo_store **out_store) {
  *out_store = NULL;
  milo_store *store = calloc(1, sizeof *store);
  if (store) store->path = strdup(path);
  if (!store || !store->path) {
    free(store);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to read '%s'", path);
  }
  milo_status status = milo_file_map(path, diag, &store->file);
  const milo_source source = {.name = path};
  if (status == MILO_OK) status = check(store, (milo_loc){&source, 0}, diag);
  if (status == MILO_OK)
    *out_store = store;
  else
    milo_store_close(store);
  return status;
}

void milo_store_close(milo_store *store) {
  if (!store) return;
  milo_file_unmap(&store->file);
  free(store->path);
  free(store);
}

const char *milo_store_path(const milo_store *store) { return store->path; }

static const file_entry *find(const file_entry *entries, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(entries[i].name, name) == 0) return &entries[i];
  return NULL;
}

bool milo_store_find_field(const milo_store *store, const char *name, milo_field_kind kind,
                           milo_store_field *out) {
  const file_entry *entry = find(store->fields, store->field_count, name);
  if (!entry || entry->a != (uint64_t)kind) return false;
  *out = (milo_store_field){.kind = kind, .count = entry->b};
  if (kind == MILO_FIELD_NUMBER) memcpy(&out->number, &entry->b, sizeof out->number);
  return true;
}

milo_status milo_store_read_tensor(const milo_store *store, const char *name, float *data,
                                   size_t parts, size_t part_elements, size_t stride,
                                   milo_diag *diag) {
  const milo_source source = {.name = store->path};
  const file_entry *entry = find(store->tensors, store->tensor_count, name);
  if (!entry)
    return milo_fail(diag, (milo_loc){&source, 0}, MILO_ERR_INVALID, "tensor '%s' is missing",
                     name);
  if (entry->a != parts * part_elements)
    return milo_fail(diag, (milo_loc){&source, 0}, MILO_ERR_INVALID,
                     "tensor '%s' has %llu elements, expected %zu", name,
                     (unsigned long long)entry->a, parts * part_elements);
  const char *from = (const char *)store->file.data + entry->b;
  for (size_t part = 0; part < parts; part++, from += part_elements * sizeof(float))
    memcpy(data + part * stride, from, part_elements * sizeof(float));
  return MILO_OK;
}
