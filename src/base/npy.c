// SPDX-License-Identifier: MIT
#include "base/npy.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/number.h"
#include "base/str.h"

enum { MAGIC_BYTES = 6, PREFIX_V1 = 10, PREFIX_V2 = 12, HEADER_ALIGNMENT = 64 };
static const char MAGIC[] = "\x93NUMPY";

static const struct {
  milo_dtype dtype;
  const char *descr;  // without its byte order
} types[] = {
    {MILO_BOOL, "b1"},  {MILO_FP16, "f2"},   {MILO_FP32, "f4"},   {MILO_FP64, "f8"},
    {MILO_INT8, "i1"},  {MILO_INT16, "i2"},  {MILO_INT32, "i4"},  {MILO_INT64, "i8"},
    {MILO_UINT8, "u1"}, {MILO_UINT16, "u2"}, {MILO_UINT32, "u4"}, {MILO_UINT64, "u8"},
};
enum { TYPES = sizeof types / sizeof types[0] };

// ---- header: a Python dictionary literal ----

typedef struct header {
  milo_dtype dtype;
  bool is_column_major;
  int rank;
  int64_t shape[MILO_MAX_RANK];
} header;

typedef struct reader {
  const char *at, *end;
  milo_source source;
  milo_diag *diag;
} reader;

static milo_status fail(const reader *r, milo_status status, const char *what) {
  return milo_fail(r->diag, (milo_loc){&r->source, 0}, status, "%s", what);
}

static milo_status bad_header(const reader *r) {
  return fail(r, MILO_ERR_INVALID, "the header of this .npy file is malformed");
}

static char peek(reader *r) {
  while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t')) r->at++;
  return r->at < r->end ? *r->at : '\0';
}

static bool take(reader *r, char c) {
  if (peek(r) != c) return false;
  r->at++;
  return true;
}

static bool take_word(reader *r, const char *word) {
  const size_t bytes = strlen(word);
  (void)peek(r);
  if ((size_t)(r->end - r->at) < bytes || memcmp(r->at, word, bytes) != 0) return false;
  r->at += bytes;
  return true;
}

// A quoted string without escapes, of less than capacity bytes.
static bool take_string(reader *r, char *out, size_t capacity) {
  const char quote = peek(r);
  if (quote != '\'' && quote != '"') return false;
  const char *end = memchr(r->at + 1, quote, (size_t)(r->end - r->at - 1));
  if (!end || (size_t)(end - r->at - 1) >= capacity) return false;
  memcpy(out, r->at + 1, (size_t)(end - r->at - 1));
  out[end - r->at - 1] = '\0';
  r->at = end + 1;
  return true;
}

static milo_status read_descr(reader *r, header *out) {
  char descr[32];
  if (peek(r) == '[') return fail(r, MILO_ERR_UNSUPPORTED, "arrays of records are not supported");
  if (!take_string(r, descr, sizeof descr)) return bad_header(r);
  const bool has_order = strchr("<>|=", descr[0]) != NULL && descr[0] != '\0';
  const char *type = descr + has_order;
  for (int i = 0; i < TYPES; i++)
    if (strcmp(types[i].descr, type) == 0) out->dtype = types[i].dtype;
  if (out->dtype == MILO_DTYPE_NONE)
    return milo_fail(r->diag, (milo_loc){&r->source, 0}, MILO_ERR_UNSUPPORTED,
                     "elements of NumPy type '%s' are not supported", descr);
  if (descr[0] == '>' && milo_dtype_bits(out->dtype) > 8)
    return fail(r, MILO_ERR_UNSUPPORTED,
                "this array is big-endian\nsave it again with .astype(a.dtype.newbyteorder('<'))");
  return MILO_OK;
}

static milo_status read_shape(reader *r, header *out) {
  if (!take(r, '(')) return bad_header(r);
  while (!take(r, ')')) {
    if (out->rank > 0 && !take(r, ',')) return bad_header(r);
    if (take(r, ')')) return MILO_OK;
    if (out->rank == MILO_MAX_RANK)
      return fail(r, MILO_ERR_UNSUPPORTED, "arrays of more than 8 dimensions are not supported");
    char digit = peek(r);
    if (digit < '0' || digit > '9') return bad_header(r);
    int64_t dim = 0;
    for (; digit >= '0' && digit <= '9'; digit = r->at < r->end ? *r->at : '\0') {
      if (dim > (INT64_MAX - 9) / 10) return bad_header(r);
      dim = dim * 10 + (digit - '0');
      r->at++;
    }
    (void)take(r, 'L');  // as Python 2 wrote it
    out->shape[out->rank++] = dim;
  }
  return MILO_OK;
}

static milo_status read_header(reader *r, header *out) {
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  unsigned seen = 0;
  *out = (header){0};
  if (!take(r, '{')) return bad_header(r);
  while (!take(r, '}')) {
    char key[16];
    if (!take_string(r, key, sizeof key) || !take(r, ':')) return bad_header(r);
    const unsigned field = strcmp(key, "descr") == 0           ? DESCR
                           : strcmp(key, "fortran_order") == 0 ? ORDER
                           : strcmp(key, "shape") == 0         ? SHAPE
                                                               : 0;
    if (field == 0 || seen & field) return bad_header(r);
    seen |= field;
    if (field == DESCR) {
      MILO_TRY(read_descr(r, out));
    } else if (field == SHAPE) {
      MILO_TRY(read_shape(r, out));
    } else {
      out->is_column_major = take_word(r, "True");
      if (!out->is_column_major && !take_word(r, "False")) return bad_header(r);
    }
    if (!take(r, ',') && peek(r) != '}') return bad_header(r);
  }
  return seen == (DESCR | ORDER | SHAPE) ? MILO_OK : bad_header(r);
}

// ---- reading ----

// Row-major from column-major.
static void reorder(const milo_array *array, const unsigned char *from) {
  const size_t element = milo_dtype_bits(array->dtype) / 8;
  const size_t count = array->bytes / element;
  int64_t index[MILO_MAX_RANK] = {0};
  size_t stride[MILO_MAX_RANK];  // of from, in elements
  size_t product = 1;
  for (int i = 0; i < array->rank; i++) {
    stride[i] = product;
    product *= (size_t)array->shape[i];
  }
  unsigned char *to = array->data;
  for (size_t k = 0; k < count; k++) {
    size_t at = 0;
    for (int i = 0; i < array->rank; i++) at += (size_t)index[i] * stride[i];
    memcpy(to + k * element, from + at * element, element);
    for (int i = array->rank - 1; i >= 0; i--) {
      if (++index[i] < array->shape[i]) break;
      index[i] = 0;
    }
  }
}

milo_status milo_npy_decode(const void *data, size_t bytes, const char *name, milo_diag *diag,
                            milo_array *out_array) {
  *out_array = (milo_array){0};
  const unsigned char *file = data;
  reader r = {.source = {.name = name}, .diag = diag};
  if (bytes < PREFIX_V1 || memcmp(file, MAGIC, MAGIC_BYTES) != 0)
    return fail(&r, MILO_ERR_INVALID, "this is not a .npy file");
  const int version = file[MAGIC_BYTES];
  if (version < 1 || version > 3)
    return fail(&r, MILO_ERR_UNSUPPORTED, "only versions 1 to 3 of the .npy format are supported");
  const size_t prefix = version == 1 ? PREFIX_V1 : PREFIX_V2;
  if (bytes < prefix) return fail(&r, MILO_ERR_INVALID, "this .npy file is truncated");
  size_t header_bytes = file[8] | (size_t)file[9] << 8;
  if (version > 1) header_bytes |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
  if (header_bytes > bytes - prefix)
    return fail(&r, MILO_ERR_INVALID, "this .npy file is truncated");
  r.at = (const char *)file + prefix;
  r.end = r.at + header_bytes;
  header head;
  MILO_TRY(read_header(&r, &head));

  // The file bounds what is allocated.
  const size_t have = bytes - prefix - header_bytes;
  size_t need;
  if (!milo_tensor_bytes(head.dtype, head.rank, head.shape, &need) || need > have)
    return milo_fail(diag, (milo_loc){&r.source, 0}, MILO_ERR_INVALID,
                     "this .npy file is truncated: its header asks for more than the %zu bytes of "
                     "data there are",
                     have);
  if (need < have)
    return milo_fail(diag, (milo_loc){&r.source, 0}, MILO_ERR_INVALID,
                     "%zu bytes stand behind the array's %zu", have - need, need);
  MILO_TRY(milo_array_alloc(head.dtype, head.rank, head.shape, diag, out_array));
  const unsigned char *from = file + prefix + header_bytes;
  if (head.is_column_major && head.rank > 1)
    reorder(out_array, from);
  else if (need)
    memcpy(out_array->data, from, need);
  unsigned char *bools = head.dtype == MILO_BOOL ? out_array->data : NULL;
  for (size_t i = 0; bools && i < need; i++) bools[i] = bools[i] != 0;
  return MILO_OK;
}

milo_status milo_npy_read(const char *path, milo_diag *diag, milo_array *out_array) {
  *out_array = (milo_array){0};
  void *data;
  size_t bytes;
  MILO_TRY(milo_file_read(path, 0, diag, &data, &bytes));
  const milo_status status = milo_npy_decode(data, bytes, path, diag, out_array);
  free(data);
  return status;
}

// ---- writing ----

milo_status milo_npy_write(const char *path, const milo_array *array, milo_diag *diag) {
  int type = 0;
  while (type < TYPES && types[type].dtype != array->dtype) type++;
  if (type == TYPES)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED, "%s: .npy files cannot hold %s", path,
                     milo_dtype_name(array->dtype));
  size_t bytes;
  if (array->rank < 0 || array->rank > MILO_MAX_RANK ||
      !milo_tensor_bytes(array->dtype, array->rank, array->shape, &bytes) || bytes != array->bytes)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: the array's shape and its size in bytes disagree", path);
  milo_str head = {0};
  milo_str_printf(&head, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                  milo_dtype_bits(array->dtype) == 8 ? '|' : '<', types[type].descr);
  for (int i = 0; i < array->rank; i++)
    milo_str_printf(&head, i == 0 ? "%lld" : ", %lld", (long long)array->shape[i]);
  milo_str_puts(&head, array->rank == 1 ? ",), }" : "), }");
  while ((PREFIX_V1 + head.bytes + 1) % HEADER_ALIGNMENT != 0) milo_str_putc(&head, ' ');
  milo_str_putc(&head, '\n');

  unsigned char prefix[PREFIX_V1];
  memcpy(prefix, MAGIC, MAGIC_BYTES);
  prefix[6] = 1;
  prefix[7] = 0;
  prefix[8] = (unsigned char)head.bytes;
  prefix[9] = (unsigned char)(head.bytes >> 8);
  milo_writer *writer = NULL;
  milo_status status = milo_writer_open(path, diag, &writer);
  if (status == MILO_OK) status = milo_writer_write(writer, prefix, sizeof prefix, diag);
  if (status == MILO_OK) status = milo_writer_write(writer, head.data, head.bytes, diag);
  if (status == MILO_OK) status = milo_writer_write(writer, array->data, bytes, diag);
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  milo_str_deinit(&head);
  return status;
}
