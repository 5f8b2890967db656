// SPDX-License-Identifier: MIT
#include "model/llama2c.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "model/config.h"

enum { MAGIC = 0x616b3432, HEADER0_BYTES = 28, HEADER1_BYTES = 256, HEADER_INTS = 7, CHUNK = 8192 };

// What a part of the file is, beside weights.
enum { ROPE_TABLES = -2, END = -1 };

static const int version0_order[] = {
    MILO_TENSOR_embedding,  MILO_TENSOR_att_norm,
    MILO_TENSOR_wq,         MILO_TENSOR_wk,
    MILO_TENSOR_wv,         MILO_TENSOR_wo,
    MILO_TENSOR_ffn_norm,   MILO_TENSOR_w1,
    MILO_TENSOR_w2,         MILO_TENSOR_w3,
    MILO_TENSOR_final_norm, ROPE_TABLES,
    MILO_TENSOR_classifier, END,
};
static const int version1_order[] = {
    MILO_TENSOR_att_norm,
    MILO_TENSOR_ffn_norm,
    MILO_TENSOR_final_norm,
    MILO_TENSOR_embedding,
    MILO_TENSOR_wq,
    MILO_TENSOR_wk,
    MILO_TENSOR_wv,
    MILO_TENSOR_wo,
    MILO_TENSOR_w1,
    MILO_TENSOR_w2,
    MILO_TENSOR_w3,
    MILO_TENSOR_classifier,
    END,
};

static size_t rope_table_elements(const milo_model_config *c) {
  return (size_t)c->seq * (size_t)(c->head_dim / 2);
}

// Bytes of the whole file; false if they do not fit.
static bool file_bytes(const milo_model_config *c, const int *order, size_t header_bytes,
                       size_t *out_bytes) {
  size_t total = 0;
  for (; *order != END; order++) {
    size_t part = 2 * rope_table_elements(c);  // both factors are at most 2^26
    if (*order != ROPE_TABLES) {
      milo_tensor t;
      if (milo_model_tensor(c, (milo_tensor_id)*order, NULL, &t) != MILO_OK) return false;
      if (!t.present) continue;
      if (!milo_size_mul(milo_type_elements(&t.type), t.layers, &part)) return false;
    }
    if (!milo_size_add(total, part, &total)) return false;
  }
  return milo_size_mul(total, sizeof(float), &total) &&
         milo_size_add(total, header_bytes, out_bytes);
}

typedef struct header {
  milo_model_config config;
  const int *order;
  size_t bytes;
} header;

static milo_status read_header(const milo_mapping *file, milo_loc loc, milo_diag *diag,
                               header *out) {
  const unsigned char *data = file->data;
  uint32_t magic = 0;
  int32_t ints[HEADER_INTS] = {0};
  if (file->bytes < HEADER0_BYTES)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "not a llama2.c model: %zu bytes, shorter than its header", file->bytes);
  memcpy(&magic, data, sizeof magic);
  bool untied;
  if (magic == MAGIC) {
    int32_t version = 0;
    memcpy(&version, data + 4, sizeof version);
    if (version != 1)
      return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                       "llama2.c model of version %d: only 0 and 1 (fp32) can be read%s", version,
                       version == 2 ? ", 2 is quantised" : "");
    if (file->bytes < HEADER1_BYTES)
      return milo_fail(diag, loc, MILO_ERR_INVALID,
                       "truncated llama2.c model: %zu bytes, shorter than its header", file->bytes);
    memcpy(ints, data + 8, sizeof ints);
    if (data[36] > 1)
      return milo_fail(diag, loc, MILO_ERR_INVALID,
                       "llama2.c model: the flag for a tied classifier is %d, expected 0 or 1",
                       data[36]);
    untied = data[36] == 0;
    *out = (header){.order = version1_order, .bytes = HEADER1_BYTES};
  } else {
    memcpy(ints, data, sizeof ints);
    untied = ints[5] < 0;
    if (untied && ints[5] != INT32_MIN) ints[5] = -ints[5];
    *out = (header){.order = version0_order, .bytes = HEADER0_BYTES};
  }
  static const char *const names[HEADER_INTS] = {"dim",      "hidden", "layers", "heads",
                                                 "kv heads", "vocab",  "seq"};
  for (int i = 0; i < HEADER_INTS; i++)
    if (ints[i] < 1)
      return milo_fail(diag, loc, MILO_ERR_INVALID, "not a llama2.c model: its header gives %s %d",
                       names[i], ints[i]);
  if (ints[0] % ints[3] != 0)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "not a llama2.c model: dim %d is not a multiple of %d heads", ints[0],
                     ints[3]);
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = ints[0],
                                    .hidden = ints[1],
                                    .layers = ints[2],
                                    .heads = ints[3],
                                    .kv_heads = ints[4],
                                    .head_dim = ints[0] / ints[3],
                                    .seq = ints[6],
                                    .vocab = ints[5],
                                    .untied = untied};
  return milo_model_config_complete_at(&config, "not a llama2.c model", loc, diag, &out->config);
}

static size_t layers_of(const milo_model *model, milo_tensor_id id) {
  milo_tensor t;
  return milo_model_tensor(&model->config, id, NULL, &t) == MILO_OK ? t.layers : 0;
}

static milo_status read_parts(const milo_model *model, const int *order, const char *at,
                              milo_diag *diag) {
  for (; *order != END; order++) {
    if (*order == ROPE_TABLES) {
      at += 2 * rope_table_elements(&model->config) * sizeof(float);
      continue;
    }
    const milo_tensor_id id = (milo_tensor_id)*order;
    for (size_t layer = 0; layer < layers_of(model, id); layer++) {
      const milo_parameter *p = milo_model_param(model, id, layer);
      const size_t bytes = milo_type_bytes(&p->type);
      if (milo_buffer_write(p->buffer, 0, at, bytes) != MILO_OK)
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %s", p->name);
      at += bytes;
    }
  }
  return MILO_OK;
}

static milo_status read_mapped(const milo_mapping *file, const char *path, milo_diag *diag,
                               milo_model **out_model) {
  const milo_source source = {.name = path};
  const milo_loc loc = {&source, 0};
  header h;
  MILO_TRY(read_header(file, loc, diag, &h));
  size_t bytes = 0;
  if (!file_bytes(&h.config, h.order, h.bytes, &bytes) || bytes != file->bytes)
    return milo_fail(diag, loc, MILO_ERR_INVALID,
                     "%s llama2.c model: %zu bytes, its header asks for %zu",
                     file->bytes < bytes ? "truncated" : "over-long", file->bytes, bytes);
  milo_model *model = NULL;
  MILO_TRY(milo_model_alloc(&h.config, diag, &model));
  milo_status status = read_parts(model, h.order, (const char *)file->data + h.bytes, diag);
  if (status == MILO_OK) status = milo_params_check_finite(&model->params, loc, diag);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
}

milo_status milo_llama2c_read(const char *path, milo_diag *diag, milo_model **out_model) {
  *out_model = NULL;
  milo_mapping file = {0};
  MILO_TRY(milo_file_map(path, diag, &file));
  const milo_status status = read_mapped(&file, path, diag, out_model);
  milo_file_unmap(&file);
  return status;
}

const char *milo_llama2c_obstacle(const milo_model_config *c) {
  if (c->rope_half) return "rope_half is set";
  if (c->qk_norm) return "qk_norm is set";
  if (c->heads * c->head_dim != c->dim) return "head_dim is not dim / heads";
  if (c->rope_theta != 10000) return "rope_theta is not 10000";
  if (c->norm_epsilon != 1e-5) return "norm_epsilon is not 1e-5";
  if (c->residual_scale != 1) return "residual_scale is not 1";
  return NULL;
}

static milo_status write_rope_tables(const milo_model_config *c, milo_writer *writer,
                                     milo_diag *diag) {
  const size_t half = (size_t)(c->head_dim / 2);
  float *row = malloc(half * sizeof *row);
  if (!row) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for RoPE tables");
  milo_status status = MILO_OK;
  for (int sine = 0; sine < 2 && status == MILO_OK; sine++)
    for (int64_t s = 0; s < c->seq && status == MILO_OK; s++) {
      for (size_t i = 0; i < half; i++) {
        const double angle = milo_model_angle(c, s, (int64_t)i);
        row[i] = (float)(sine ? sin(angle) : cos(angle));
      }
      status = milo_writer_write(writer, row, half * sizeof *row, diag);
    }
  free(row);
  return status;
}

// In fp32, however it is stored.
static milo_status write_param(const milo_model *model, milo_tensor_id id, size_t layer,
                               milo_writer *writer, milo_diag *diag) {
  const size_t count = milo_type_elements(&milo_model_param(model, id, layer)->type);
  float values[CHUNK];
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MILO_TRY(milo_model_get(model, id, layer, at, n, values, diag));
    MILO_TRY(milo_writer_write(writer, values, n * sizeof *values, diag));
  }
  return MILO_OK;
}

static milo_status write_parts(const milo_model *model, const int *order, milo_writer *writer,
                               milo_diag *diag) {
  for (; *order != END; order++) {
    if (*order == ROPE_TABLES) {
      MILO_TRY(write_rope_tables(&model->config, writer, diag));
      continue;
    }
    const milo_tensor_id id = (milo_tensor_id)*order;
    for (size_t layer = 0; layer < layers_of(model, id); layer++)
      MILO_TRY(write_param(model, id, layer, writer, diag));
  }
  return MILO_OK;
}

milo_status milo_llama2c_write(const milo_model *model, const char *path, bool version1,
                               milo_diag *diag) {
  const milo_model_config *c = &model->config;
  const char *obstacle = milo_llama2c_obstacle(c);
  if (obstacle)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "%s: a llama2.c file cannot hold this model: %s", path, obstacle);
  int32_t ints[HEADER_INTS] = {(int32_t)c->dim,   (int32_t)c->hidden,   (int32_t)c->layers,
                               (int32_t)c->heads, (int32_t)c->kv_heads, (int32_t)c->vocab,
                               (int32_t)c->seq};
  unsigned char head[HEADER1_BYTES] = {0};
  if (version1) {
    const uint32_t magic = MAGIC;
    const int32_t version = 1;
    memcpy(head, &magic, sizeof magic);
    memcpy(head + 4, &version, sizeof version);
    memcpy(head + 8, ints, sizeof ints);
    head[36] = !c->untied;
  } else {
    if (c->untied) ints[5] = -ints[5];
    memcpy(head, ints, sizeof ints);
  }
  milo_writer *writer = NULL;
  MILO_TRY(milo_writer_open(path, diag, &writer));
  milo_status status =
      milo_writer_write(writer, head, version1 ? HEADER1_BYTES : HEADER0_BYTES, diag);
  if (status == MILO_OK)
    status = write_parts(model, version1 ? version1_order : version0_order, writer, diag);
  if (status == MILO_OK) status = milo_writer_commit(writer, diag);
  milo_writer_close(writer);
  return status;
}
