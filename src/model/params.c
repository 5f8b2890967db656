// SPDX-License-Identifier: MIT
#include "model/params.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

enum { CHUNK = 4096 };

void milo_params_deinit(milo_params *params) {
  for (size_t i = 0; i < params->count; i++) milo_buffer_release(params->items[i].buffer);
  milo_arena_deinit(&params->arena);
  free(params->table);
  *params = (milo_params){0};
}

// ---- names ----

// FNV-1a.
static size_t hash(const char *name) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
  return (size_t)(h ^ h >> 32);
}

// Where the name stands in the table, or would.
static uint32_t *find(const milo_params *params, const char *name) {
  size_t i = hash(name) & (params->table_size - 1);
  while (params->table[i] != 0 && strcmp(params->items[params->table[i] - 1].name, name) != 0)
    i = (i + 1) & (params->table_size - 1);
  return &params->table[i];
}

static void grow_table(milo_params *params) {
  free(params->table);
  params->table_size = params->table_size > 0 ? 2 * params->table_size : 64;
  params->table = calloc(params->table_size, sizeof *params->table);
  if (params->table == NULL) milo_out_of_memory(params->table_size * sizeof *params->table);
  for (size_t i = 0; i < params->count; i++)
    *find(params, params->items[i].name) = (uint32_t)(i + 1);
}

milo_status milo_params_add(milo_params *params, const char *name, const milo_type *type,
                            bool trainable, bool decays, milo_diag *diag) {
  assert(milo_type_is_static(type));
  if (2 * (params->count + 1) > params->table_size) grow_table(params);
  uint32_t *place = find(params, name);
  if (*place != 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "two parameters are called %s", name);
  const milo_parameter param = {.name = milo_arena_strdup(&params->arena, name),
                                .type = *type,
                                .trainable = trainable,
                                .decays = decays};
  MILO_PUSH(&params->arena, params->items, params->count, params->capacity, param);
  *place = (uint32_t)params->count;
  return MILO_OK;
}

size_t milo_params_index(const milo_params *params, const char *name) {
  const uint32_t at = params->table_size > 0 ? *find(params, name) : 0;
  return at > 0 ? at - 1 : params->count;
}

// ---- content ----

milo_status milo_params_alloc(milo_params *params, milo_device *device, milo_diag *diag) {
  for (size_t i = 0; i < params->count; i++) {
    milo_parameter *p = &params->items[i];
    if (p->buffer != NULL) continue;
    const size_t bytes = milo_type_bytes(&p->type);
    MILO_TRY(device != NULL ? milo_device_alloc(device, bytes, diag, &p->buffer)
                            : milo_buffer_alloc(bytes, diag, &p->buffer));
  }
  return MILO_OK;
}

uint64_t milo_params_elements(const milo_params *params) {
  uint64_t total = 0;
  for (size_t i = 0; i < params->count; i++) total += milo_type_elements(&params->items[i].type);
  return total;
}

static milo_status failed(const milo_parameter *param, const char *what, milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "parameter %s cannot be %s", param->name,
                   what);
}

milo_status milo_parameter_get(const milo_parameter *param, size_t first, size_t count, float *out,
                               milo_diag *diag) {
  const milo_dtype dtype = param->type.dtype;
  const size_t size = milo_dtype_bits(dtype) / 8;
  if (dtype == MILO_FP32)
    return milo_buffer_read(param->buffer, first * size, out, count * size) == MILO_OK
               ? MILO_OK
               : failed(param, "read", diag);
  uint64_t chunk[CHUNK];
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t n = count - i < CHUNK ? count - i : CHUNK;
    if (milo_buffer_read(param->buffer, (first + i) * size, chunk, n * size) != MILO_OK)
      return failed(param, "read", diag);
    for (size_t k = 0; k < n; k++) out[i + k] = (float)milo_number_load(dtype, chunk, k);
  }
  return MILO_OK;
}

milo_status milo_parameter_set(const milo_parameter *param, size_t first, size_t count,
                               const float *values, milo_diag *diag) {
  const milo_dtype dtype = param->type.dtype;
  const size_t size = milo_dtype_bits(dtype) / 8;
  if (dtype == MILO_FP32)
    return milo_buffer_write(param->buffer, first * size, values, count * size) == MILO_OK
               ? MILO_OK
               : failed(param, "written", diag);
  uint64_t chunk[CHUNK];
  for (size_t i = 0; i < count; i += CHUNK) {
    const size_t n = count - i < CHUNK ? count - i : CHUNK;
    for (size_t k = 0; k < n; k++) milo_number_store(dtype, chunk, k, (double)values[i + k]);
    if (milo_buffer_write(param->buffer, (first + i) * size, chunk, n * size) != MILO_OK)
      return failed(param, "written", diag);
  }
  return MILO_OK;
}

milo_status milo_params_check_finite(const milo_params *params, milo_loc loc, milo_diag *diag) {
  float values[CHUNK];
  for (size_t i = 0; i < params->count; i++) {
    const milo_parameter *p = &params->items[i];
    const size_t count = milo_type_elements(&p->type);
    for (size_t at = 0; at < count; at += CHUNK) {
      const size_t n = count - at < CHUNK ? count - at : CHUNK;
      MILO_TRY(milo_parameter_get(p, at, n, values, diag));
      for (size_t k = 0; k < n; k++)
        if (!isfinite(values[k]))
          return milo_fail(diag, loc, MILO_ERR_INVALID, "parameter %s holds a NaN or an infinity",
                           p->name);
    }
  }
  return MILO_OK;
}
