// SPDX-License-Identifier: MIT
#include "tokens/stream.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"

static bool ends_with(const char *path, const char *ending) {
  const size_t length = strlen(path), end = strlen(ending);
  return length > end && strcmp(path + length - end, ending) == 0;
}

static size_t id_bytes(const char *path, size_t vocab) {
  if (ends_with(path, ".u16")) return 2;
  return ends_with(path, ".u32") || vocab > 65536 ? 4 : 2;
}

static milo_status read_ids(const unsigned char *data, size_t bytes, const char *path, size_t vocab,
                            milo_diag *diag, uint32_t *ids) {
  const size_t width = id_bytes(path, vocab);
  for (size_t i = 0; i < bytes / width; i++) {
    const unsigned char *p = data + i * width;
    uint32_t id = (uint32_t)p[0] | (uint32_t)p[1] << 8;
    if (width == 4) id |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (id >= vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "%s: token %u at byte %zu is outside the vocabulary of %zu", path, id,
                       i * width, vocab);
    ids[i] = id;
  }
  return MILO_OK;
}

milo_status milo_stream_load(const char *path, size_t vocab, milo_diag *diag, uint32_t **out_ids,
                             size_t *out_count) {
  assert(vocab > 0);
  const size_t width = id_bytes(path, vocab);
  milo_mapping map;
  uint32_t *ids = NULL;
  size_t bytes;
  milo_status status = MILO_OK;
  *out_ids = NULL;
  *out_count = 0;
  MILO_TRY(milo_file_map(path, diag, &map));
  if (map.bytes == 0)
    status = milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s: holds no tokens", path);
  else if (map.bytes % width != 0)
    status =
        milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                  "%s: %zu bytes are no whole number of %zu-byte tokens", path, map.bytes, width);
  else if (!milo_size_mul(map.bytes / width, sizeof *ids, &bytes))
    status = milo_memory_fail("tokens", SIZE_MAX, diag);
  else if ((status = milo_memory_ask("tokens", bytes, diag)) == MILO_OK && !(ids = malloc(bytes)))
    status = milo_memory_fail("tokens", bytes, diag);
  else if (status == MILO_OK)
    status = read_ids(map.data, map.bytes, path, vocab, diag, ids);
  if (status == MILO_OK) {
    *out_ids = ids;
    *out_count = map.bytes / width;
  } else {
    free(ids);
  }
  milo_file_unmap(&map);
  return status;
}

milo_status milo_stream_save(const char *path, size_t vocab, const uint32_t *ids, size_t count,
                             milo_diag *diag) {
  const size_t width = id_bytes(path, vocab);
  size_t bytes;
  if (width == 2 && vocab > 65536)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: 16 bits do not hold the tokens of a vocabulary of %zu\nname it .u32",
                     path, vocab);
  for (size_t i = 0; i < count; i++)
    if (ids[i] >= vocab)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "%s: token %u at position %zu is outside the vocabulary of %zu", path,
                       ids[i], i, vocab);
  unsigned char *data = NULL;
  if (milo_size_mul(count, width, &bytes)) data = malloc(bytes ? bytes : 1);
  if (!data)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "%s: no memory to write %zu tokens",
                     path, count);
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < width; k++) data[i * width + k] = (unsigned char)(ids[i] >> (8 * k));
  const milo_status status = milo_file_write(path, data, bytes, diag);
  free(data);
  return status;
}
