// SPDX-License-Identifier: MIT
#include "model/safetensors.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/number.h"
#include "base/str.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100 << 20 };
#define METADATA "__metadata__"
#define CHECKSUM MILO_SAFETENSORS_CHECKSUM

static const struct {
  const char *name;
  milo_dtype dtype;
} dtypes[] = {
    {"F64", MILO_FP64},   {"F32", MILO_FP32},          {"F16", MILO_FP16},
    {"BF16", MILO_BF16},  {"I64", MILO_INT64},         {"I32", MILO_INT32},
    {"I16", MILO_INT16},  {"I8", MILO_INT8},           {"U64", MILO_UINT64},
    {"U32", MILO_UINT32}, {"U16", MILO_UINT16},        {"U8", MILO_UINT8},
    {"BOOL", MILO_BOOL},  {"F8_E4M3", MILO_FP8E4M3FN}, {"F8_E5M2", MILO_FP8E5M2},
};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

static const char *dtype_name(milo_dtype dtype) {
  for (size_t i = 0; i < DTYPES; i++)
    if (dtypes[i].dtype == dtype) return dtypes[i].name;
  return NULL;
}

// ---- writing ----

typedef struct output {
  milo_writer *writer;
  milo_checksum sum;
  milo_diag *diag;
} output;

static milo_status put(output *o, const void *data, size_t bytes) {
  milo_checksum_add(&o->sum, data, bytes);
  return milo_writer_write(o->writer, data, bytes, o->diag);
}

static void print_tensor(milo_str *text, const char *name, const char *dtype, int rank,
                         const int64_t *dims, uint64_t begin, uint64_t end) {
  milo_str_json_string(text, name);
  milo_str_printf(text, ":{\"dtype\":\"%s\",\"shape\":[", dtype);
  for (int i = 0; i < rank; i++)
    milo_str_printf(text, "%s%lld", i > 0 ? "," : "", (long long)dims[i]);
  milo_str_printf(text, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                  (unsigned long long)end);
}

static milo_status print_header(const milo_metadata *metadata, size_t metadata_count,
                                const milo_named_tensor *tensors, size_t tensor_count,
                                bool checksum, milo_str *text, milo_diag *diag) {
  uint64_t at = 0;
  milo_str_puts(text, "{\"" METADATA "\":{");
  for (size_t i = 0; i < metadata_count; i++) {
    if (i > 0) milo_str_putc(text, ',');
    milo_str_json_string(text, metadata[i].key);
    milo_str_putc(text, ':');
    milo_str_json_string(text, metadata[i].text);
  }
  milo_str_putc(text, '}');
  for (size_t i = 0; i < tensor_count; i++) {
    const milo_named_tensor *t = &tensors[i];
    const char *dtype = dtype_name(t->dtype);
    if (dtype == NULL)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                       "%s: safetensors files have no element type %s", t->name,
                       milo_dtype_name(t->dtype));
    const uint64_t bytes = milo_buffer_bytes(t->buffer);
    milo_str_putc(text, ',');
    print_tensor(text, t->name, dtype, t->rank, t->dims, at, at + bytes);
    at += bytes;
  }
  const int64_t one = 1;
  if (checksum) milo_str_putc(text, ',');
  if (checksum) print_tensor(text, CHECKSUM, "U64", 1, &one, at, at + sizeof(uint64_t));
  milo_str_putc(text, '}');
  while (text->bytes % 8 != 0) milo_str_putc(text, ' ');
  if (text->bytes <= MAX_HEADER) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "too many tensors for one file");
}

static milo_status put_all(output *o, const milo_str *header, const milo_named_tensor *tensors,
                           size_t tensor_count, bool checksum) {
  const uint64_t length = header->bytes;
  MILO_TRY(put(o, &length, sizeof length));
  MILO_TRY(put(o, header->data, header->bytes));
  for (size_t i = 0; i < tensor_count; i++) {
    milo_buffer *buffer = tensors[i].buffer;
    void *data = milo_buffer_map(buffer, MILO_READ);
    if (data == NULL)
      return milo_fail(o->diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to write %s",
                       tensors[i].name);
    const milo_status status = put(o, data, milo_buffer_bytes(buffer));
    MILO_TRY(milo_buffer_unmap(buffer, data, MILO_READ));
    MILO_TRY(status);
  }
  const uint64_t sum = milo_checksum_value(&o->sum);
  return checksum ? put(o, &sum, sizeof sum) : MILO_OK;
}

milo_status milo_safetensors_put(milo_writer *writer, const milo_metadata *metadata,
                                 size_t metadata_count, const milo_named_tensor *tensors,
                                 size_t tensor_count, bool checksum, milo_diag *diag) {
  milo_str header = {0};
  output o = {.writer = writer, .diag = diag};
  milo_checksum_begin(&o.sum);
  milo_status status =
      print_header(metadata, metadata_count, tensors, tensor_count, checksum, &header, diag);
  if (status == MILO_OK) status = put_all(&o, &header, tensors, tensor_count, checksum);
  milo_str_deinit(&header);
  return status;
}

milo_status milo_safetensors_write(const char *path, const milo_metadata *metadata,
                                   size_t metadata_count, const milo_named_tensor *tensors,
                                   size_t tensor_count, milo_diag *diag) {
  milo_writer *writer = NULL;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  milo_status status =
      milo_safetensors_put(writer, metadata, metadata_count, tensors, tensor_count, true, diag);
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  return status;
}

// ---- reading ----

struct milo_safetensors {
  milo_mapping file;
  char *path;
  cJSON *header;
  milo_stored_tensor *tensors;  // by name
  size_t count;
  const cJSON *metadata;
  bool has_checksum;
};

typedef struct input {
  milo_safetensors *f;
  milo_loc loc;
  milo_diag *diag;
  const char *data;  // after the header
  size_t bytes;
} input;

#define BAD(in, ...) milo_fail((in)->diag, (in)->loc, MILO_ERR_INVALID, __VA_ARGS__)

// A whole number from 0 to 2^53 (what a JSON number holds exactly).
static bool whole(const cJSON *item, uint64_t *out) {
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 0x1p53 ||
      item->valuedouble != floor(item->valuedouble))
    return false;
  *out = (uint64_t)item->valuedouble;
  return true;
}

static milo_status read_tensor(const input *in, const cJSON *item, milo_stored_tensor *out) {
  const char *name = item->string;
  const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(item, "dtype");
  const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
  const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
  if (!cJSON_IsObject(item) || !cJSON_IsString(dtype) || !cJSON_IsArray(shape) ||
      !cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2)
    return BAD(in, "tensor %s is not described by dtype, shape and data_offsets", name);
  size_t row = 0;
  while (row < DTYPES && strcmp(dtypes[row].name, dtype->valuestring) != 0) row++;
  if (row == DTYPES)
    return milo_fail(in->diag, in->loc, MILO_ERR_UNSUPPORTED, "tensor %s: element type %s", name,
                     dtype->valuestring);
  int64_t dims[MILO_MAX_RANK];
  int rank = 0;
  for (const cJSON *dim = shape->child; dim; dim = dim->next) {
    uint64_t value;
    if (rank == MILO_MAX_RANK || !whole(dim, &value))
      return BAD(in, "tensor %s: a shape of up to %d whole numbers is expected", name,
                 MILO_MAX_RANK);
    dims[rank++] = (int64_t)value;
  }
  uint64_t begin, end;
  size_t bytes;
  if (!whole(offsets->child, &begin) || !whole(offsets->child->next, &end) || begin > end ||
      end > in->bytes)
    return BAD(in, "truncated or damaged safetensors file: tensor %s does not lie inside it", name);
  if (!milo_tensor_bytes(dtypes[row].dtype, rank, dims, &bytes) || bytes != end - begin)
    return BAD(in, "tensor %s has %llu bytes, its shape asks for others", name,
               (unsigned long long)(end - begin));
  *out = (milo_stored_tensor){.name = name,
                              .type = milo_type_tensor(dtypes[row].dtype, rank, dims),
                              .data = in->data + begin,
                              .bytes = bytes};
  return MILO_OK;
}

static int by_place(const void *a, const void *b) {
  const milo_stored_tensor *x = a, *y = b;
  if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
  return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

static int by_name(const void *a, const void *b) {
  const milo_stored_tensor *x = a, *y = b;
  return strcmp(x->name, y->name);
}

// The data lie one after the other and fill the file; no name is there twice.
static milo_status check_order(const input *in) {
  milo_safetensors *f = in->f;
  const char *at = in->data;
  if (f->count > 1) qsort(f->tensors, f->count, sizeof *f->tensors, by_place);
  for (size_t i = 0; i < f->count; i++) {
    if ((const char *)f->tensors[i].data != at)
      return BAD(in, "the data of tensor %s does not follow what is before it", f->tensors[i].name);
    at += f->tensors[i].bytes;
  }
  const size_t used = (size_t)(at - in->data);
  if (used != in->bytes)
    return BAD(in, "%zu bytes of data, the header describes %zu: the file is damaged", in->bytes,
               used);
  if (f->count > 1) qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
  for (size_t i = 1; i < f->count; i++)
    if (strcmp(f->tensors[i].name, f->tensors[i - 1].name) == 0)
      return BAD(in, "two tensors are called %s", f->tensors[i].name);
  return MILO_OK;
}

static milo_status check_sum(const input *in) {
  milo_safetensors *f = in->f;
  const milo_stored_tensor *t = milo_safetensors_find(f, CHECKSUM);
  if (t == NULL) return MILO_OK;
  uint64_t stored;
  const char *end = in->data + in->bytes;
  if (t->type.dtype != MILO_UINT64 || t->bytes != sizeof stored ||
      (const char *)t->data + sizeof stored != end)
    return BAD(in, "the checksum is not at the end");
  memcpy(&stored, t->data, sizeof stored);
  if (stored != milo_checksum_of(f->file.data, f->file.bytes - sizeof stored))
    return BAD(in, "the checksum is wrong: the file is damaged");
  f->has_checksum = true;
  return MILO_OK;
}

static milo_status read_header(input *in) {
  milo_safetensors *f = in->f;
  const char *file = f->file.data;
  uint64_t length = 0;
  if (f->file.bytes >= LENGTH_BYTES) memcpy(&length, file, LENGTH_BYTES);
  if (f->file.bytes >= LENGTH_BYTES && memcmp(file, "MILOCKPT", LENGTH_BYTES) == 0)
    return milo_fail(in->diag, in->loc, MILO_ERR_UNSUPPORTED,
                     "a checkpoint of an earlier Milo (format 1)\nits weights are also in the "
                     "model.bin beside it");
  if (f->file.bytes == 0) return BAD(in, "the file is empty");
  if (f->file.bytes < LENGTH_BYTES + 2 || length < 2 || length > MAX_HEADER ||
      file[LENGTH_BYTES] != '{')
    return BAD(in, "not a safetensors file");
  if (length > f->file.bytes - LENGTH_BYTES)
    return BAD(in, "truncated safetensors file: %zu bytes, its header alone has %llu",
               f->file.bytes, (unsigned long long)length);
  f->header = cJSON_ParseWithLength(file + LENGTH_BYTES, (size_t)length);
  if (!cJSON_IsObject(f->header)) return BAD(in, "the header is not a JSON object");
  in->data = file + LENGTH_BYTES + length;
  in->bytes = f->file.bytes - LENGTH_BYTES - (size_t)length;
  size_t count = 0;
  for (const cJSON *item = f->header->child; item; item = item->next) count++;
  f->tensors = calloc(count + 1, sizeof *f->tensors);
  if (!f->tensors)
    return milo_fail(in->diag, in->loc, MILO_ERR_NO_MEMORY, "no memory for %zu tensors", count);
  for (const cJSON *item = f->header->child; item; item = item->next) {
    if (strcmp(item->string, METADATA) == 0) {
      if (cJSON_IsNull(item)) continue;
      if (!cJSON_IsObject(item) || f->metadata != NULL)
        return BAD(in, METADATA " is not one object of texts");
      f->metadata = item;
      for (const cJSON *text = item->child; text; text = text->next)
        if (!cJSON_IsString(text)) return BAD(in, METADATA " is not one object of texts");
      continue;
    }
    MILO_TRY(read_tensor(in, item, &f->tensors[f->count]));
    f->count++;
  }
  return check_order(in);
}

milo_status milo_safetensors_open(const char *path, milo_diag *diag, milo_safetensors **out_file) {
  *out_file = NULL;
  milo_safetensors *f = calloc(1, sizeof *f);
  if (f == NULL || (f->path = strdup(path)) == NULL) {
    free(f);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to read %s", path);
  }
  const milo_source source = {.name = path};
  input in = {.f = f, .loc = {&source, 0}, .diag = diag};
  milo_status status = milo_file_map(path, diag, &f->file);
  if (status == MILO_OK) status = read_header(&in);
  if (status == MILO_OK) status = check_sum(&in);
  if (status == MILO_OK)
    *out_file = f;
  else
    milo_safetensors_close(f);
  return status;
}

void milo_safetensors_close(milo_safetensors *f) {
  if (f == NULL) return;
  milo_file_unmap(&f->file);
  cJSON_Delete(f->header);
  free(f->tensors);
  free(f->path);
  free(f);
}

const char *milo_safetensors_path(const milo_safetensors *f) { return f->path; }
bool milo_safetensors_has_checksum(const milo_safetensors *f) { return f->has_checksum; }

const char *milo_safetensors_text(const milo_safetensors *f, const char *key) {
  const cJSON *item = f->metadata ? f->metadata->child : NULL;
  while (item && strcmp(item->string, key) != 0) item = item->next;
  return item ? item->valuestring : NULL;
}

const milo_stored_tensor *milo_safetensors_get(const milo_safetensors *f, size_t i) {
  return i < f->count ? &f->tensors[i] : NULL;
}

const milo_stored_tensor *milo_safetensors_find(const milo_safetensors *f, const char *name) {
  const milo_stored_tensor wanted = {.name = name};
  return f->count > 0 ? bsearch(&wanted, f->tensors, f->count, sizeof wanted, by_name) : NULL;
}

milo_status milo_safetensors_read(const milo_safetensors *f, const char *name,
                                  const milo_type *type, milo_buffer *buffer, milo_diag *diag) {
  const milo_source source = {.name = f->path};
  const milo_loc loc = {&source, 0};
  const milo_stored_tensor *t = milo_safetensors_find(f, name);
  if (t == NULL) return milo_fail(diag, loc, MILO_ERR_INVALID, "there is no tensor %s", name);
  if (!milo_type_equal(&t->type, type)) {
    milo_arena arena = {0};
    const milo_status status =
        milo_fail(diag, loc, MILO_ERR_INVALID, "tensor %s is %s, %s is expected", name,
                  milo_type_format(&arena, &t->type, false), milo_type_format(&arena, type, false));
    milo_arena_deinit(&arena);
    return status;
  }
  if (milo_buffer_write(buffer, 0, t->data, t->bytes) == MILO_OK) return MILO_OK;
  return milo_fail(diag, loc, MILO_ERR_NO_MEMORY, "no memory for tensor %s", name);
}
