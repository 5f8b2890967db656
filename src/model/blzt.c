// SPDX-License-Identifier: MIT
#include "model/blzt.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/number.h"
#include "model/config.h"

enum { MAGIC = 0x424C5A54, CHUNK = 8192 };

typedef struct blzt_header {
  int32_t magic, version, step, total_steps;
  int32_t layers, vocab, dim, hidden, heads, seq;
  float lr, loss;
  double compile_ms, train_ms, wall_ms;
  int32_t all_steps, batches, adam_t;
  int32_t kv_heads, head_dim, query_dim;  // version 2: anything
} blzt_header;
static_assert(sizeof(blzt_header) == 96, "the header has no padding");

static const milo_tensor_id layer_order[] = {
    MILO_TENSOR_wq, MILO_TENSOR_wk, MILO_TENSOR_wv,       MILO_TENSOR_wo,       MILO_TENSOR_w1,
    MILO_TENSOR_w2, MILO_TENSOR_w3, MILO_TENSOR_att_norm, MILO_TENSOR_ffn_norm,
};
enum { LAYER_TENSORS = sizeof layer_order / sizeof *layer_order };

// The parts of a file in order: a parameter, and which of weight (-1) and moments (0, 1).
typedef struct part {
  size_t index;
  int order;
} part;

// Calls fn for each part.
static milo_status each_part(const milo_model *model, milo_status (*fn)(void *user, part p),
                             void *user) {
  for (size_t layer = 0; layer < (size_t)model->config.layers; layer++) {
    for (size_t i = 0; i < LAYER_TENSORS; i++)
      MILO_TRY(fn(user, (part){model->first[layer_order[i]] + layer, -1}));
    for (size_t i = 0; i < LAYER_TENSORS; i++)
      for (int order = 0; order < 2; order++)
        MILO_TRY(fn(user, (part){model->first[layer_order[i]] + layer, order}));
  }
  static const milo_tensor_id rest[] = {MILO_TENSOR_final_norm, MILO_TENSOR_embedding};
  for (int i = 0; i < 2; i++)
    for (int order = -1; order < 2; order++)
      MILO_TRY(fn(user, (part){model->first[rest[i]], order}));
  return MILO_OK;
}

milo_status milo_blzt_is(const char *path, milo_diag *diag, bool *out) {
  const int32_t magic = MAGIC;
  struct stat info;
  milo_mapping file = {0};
  *out = false;
  if (milo_file_descriptor(path) >= 0 || stat(path, &info) != 0 || !S_ISREG(info.st_mode))
    return MILO_OK;
  MILO_TRY(milo_file_map(path, diag, &file));
  *out = file.bytes >= sizeof magic && memcmp(file.data, &magic, sizeof magic) == 0;
  milo_file_unmap(&file);
  return MILO_OK;
}

// ---- reading ----

#define BAD(...) milo_fail(diag, loc, MILO_ERR_INVALID, __VA_ARGS__)

static milo_status read_header(const milo_mapping *file, milo_loc loc, milo_diag *diag,
                               blzt_header *h, milo_model_config *out) {
  if (file->bytes < sizeof *h)
    return BAD("not a BLZT checkpoint: %zu bytes, its header alone has %zu", file->bytes,
               sizeof *h);
  memcpy(h, file->data, sizeof *h);
  if (h->magic != MAGIC)
    return BAD("not a BLZT checkpoint: it begins with %08x", (unsigned)h->magic);
  if (h->version != 2 && h->version != 4)
    return milo_fail(diag, loc, MILO_ERR_UNSUPPORTED,
                     "a BLZT checkpoint of version %d, only 2 and 4 can be read", h->version);
  const struct {
    const char *name;
    int32_t value, least;
  } ints[] = {{"step", h->step, 0},
              {"total_steps", h->total_steps, 0},
              {"n_layers", h->layers, 1},
              {"vocab", h->vocab, 1},
              {"dim", h->dim, 1},
              {"hidden", h->hidden, 1},
              {"heads", h->heads, 1},
              {"seq", h->seq, 1},
              {"cum_steps", h->all_steps, 0},
              {"cum_batches", h->batches, 0},
              {"adam_t", h->adam_t, 0}};
  for (size_t i = 0; i < sizeof ints / sizeof *ints; i++)
    if (ints[i].value < ints[i].least)
      return BAD("damaged BLZT checkpoint: its header gives %s %d", ints[i].name, ints[i].value);
  const double numbers[] = {(double)h->lr, (double)h->loss, h->compile_ms, h->train_ms, h->wall_ms};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (!isfinite(numbers[i]))
      return BAD("damaged BLZT checkpoint: its header holds a NaN or an infinity");
  const bool v4 = h->version == 4;
  if (v4 ? (int64_t)h->heads * h->head_dim != h->query_dim : h->dim % h->heads != 0)
    return BAD("damaged BLZT checkpoint: %d heads do not fit %s %d", h->heads,
               v4 ? "query_dim" : "dim", v4 ? h->query_dim : h->dim);
  const milo_model_config config = {
      .struct_bytes = sizeof config,
      .dim = h->dim,
      .hidden = h->hidden,
      .layers = h->layers,
      .heads = h->heads,
      .kv_heads = v4 ? h->kv_heads : h->heads,
      .head_dim = v4 ? h->head_dim : h->dim / h->heads,
      .seq = h->seq,
      .vocab = h->vocab,
      .residual_scale = v4 ? 1 / sqrt(2 * (double)h->layers) : 1,
  };
  if (config.kv_heads < 1 || config.head_dim < 1)
    return BAD("damaged BLZT checkpoint: its header gives kv_heads %lld, head_dim %lld",
               (long long)config.kv_heads, (long long)config.head_dim);
  return milo_model_config_complete_at(&config, "not a BLZT checkpoint", loc, diag, out);
}

// Bytes of the whole file; false if they do not fit.
static bool file_bytes(const milo_model_config *c, size_t *out) {
  size_t total = 0;
  for (int id = 0; id < MILO_TENSOR_COUNT; id++) {
    milo_tensor t;
    size_t bytes;
    if (milo_model_tensor(c, (milo_tensor_id)id, NULL, &t) != MILO_OK) return false;
    if (!t.present) continue;
    if (!milo_size_mul(milo_type_elements(&t.type), t.layers, &bytes) ||
        !milo_size_mul(bytes, 3 * sizeof(float), &bytes) || !milo_size_add(total, bytes, &total))
      return false;
  }
  return milo_size_add(total, sizeof(blzt_header), out);
}

typedef struct input {
  const char *at;
  milo_model *model;
  milo_moments *moments;  // NULL: not wanted
  milo_loc loc;
  milo_diag *diag;
} input;

static milo_status read_part(void *user, part p) {
  input *in = user;
  const milo_parameter *param = &in->model->params.items[p.index];
  const size_t count = milo_type_elements(&param->type);
  for (size_t i = 0; i < count; i++) {
    float value;
    memcpy(&value, in->at + i * sizeof value, sizeof value);
    if (!isfinite(value) || (p.order == 1 && value < 0))
      return milo_fail(in->diag, in->loc, MILO_ERR_INVALID,
                       "damaged BLZT checkpoint: %s of %s holds %s",
                       p.order < 0 ? "the weight"
                       : p.order   ? "the second moment"
                                   : "the first moment",
                       param->name, isfinite(value) ? "a negative number" : "a NaN or an infinity");
  }
  const void *data = in->at;
  in->at += count * sizeof(float);
  milo_buffer *buffer = p.order < 0   ? param->buffer
                        : in->moments ? in->moments->of[p.order][p.index]
                                      : NULL;
  if (!buffer || milo_buffer_write(buffer, 0, data, count * sizeof(float)) == MILO_OK)
    return MILO_OK;
  return milo_fail(in->diag, in->loc, MILO_ERR_NO_MEMORY, "no memory for %s", param->name);
}

static milo_status read_mapped(const milo_mapping *file, milo_loc loc, milo_diag *diag,
                               milo_model **out_model, milo_moments *moments,
                               milo_blzt_run *out_run) {
  blzt_header h;
  milo_model_config config;
  size_t bytes = 0;
  MILO_TRY(read_header(file, loc, diag, &h, &config));
  if (!file_bytes(&config, &bytes) || bytes != file->bytes)
    return BAD("%s BLZT checkpoint: %zu bytes, its header asks for %zu",
               file->bytes < bytes ? "truncated" : "over-long", file->bytes, bytes);
  milo_model *model = NULL;
  MILO_TRY(milo_model_alloc(&config, diag, &model));
  milo_status status = moments ? milo_moments_alloc(&model->params, diag, moments) : MILO_OK;
  input in = {(const char *)file->data + sizeof h, model, moments, loc, diag};
  if (status == MILO_OK) status = each_part(model, read_part, &in);
  if (status != MILO_OK) {
    milo_model_destroy(model);
    return status;
  }
  *out_model = model;
  if (out_run)
    *out_run = (milo_blzt_run){.version = (uint32_t)h.version,
                               .step = (uint32_t)h.step,
                               .total_steps = (uint32_t)h.total_steps,
                               .updates = (uint32_t)h.adam_t,
                               .all_steps = (uint32_t)h.all_steps,
                               .batches = (uint32_t)h.batches,
                               .lr = h.lr,
                               .loss = h.loss,
                               .compile_ms = h.compile_ms,
                               .train_ms = h.train_ms,
                               .wall_ms = h.wall_ms};
  return MILO_OK;
}

milo_status milo_blzt_read(const char *path, milo_diag *diag, milo_model **out_model,
                           milo_moments *out_moments, milo_blzt_run *out_run) {
  const milo_source source = {.name = path};
  milo_mapping file = {0};
  *out_model = NULL;
  if (out_moments) *out_moments = (milo_moments){0};
  if (out_run) *out_run = (milo_blzt_run){0};
  MILO_TRY(milo_file_map(path, diag, &file));
  const milo_status status =
      read_mapped(&file, (milo_loc){&source, 0}, diag, out_model, out_moments, out_run);
  milo_file_unmap(&file);
  return status;
}

// ---- writing ----

const char *milo_blzt_obstacle(const milo_model_config *c, uint32_t version) {
  const double scale = version == 4 ? 1 / sqrt(2 * (double)c->layers) : 1;
  if (c->rope_half) return "rope_half is set";
  if (c->qk_norm) return "qk_norm is set";
  if (c->untied) return "the classifier is not tied";
  if (c->rope_theta != 10000) return "rope_theta is not 10000";
  if (c->norm_epsilon != 1e-5) return "norm_epsilon is not 1e-5";
  if (fabs(c->residual_scale - scale) > 1e-6 * scale)
    return version == 4 ? "residual_scale is not 1/sqrt(2 layers)" : "residual_scale is not 1";
  if (version != 4 && c->kv_heads != c->heads) return "there are fewer kv_heads than heads";
  if (version != 4 && c->heads * c->head_dim != c->dim) return "head_dim is not dim / heads";
  return NULL;
}

typedef struct output {
  milo_writer *writer;
  const milo_model *model;
  const milo_moments *moments;
  milo_diag *diag;
} output;

static milo_status write_part(void *user, part p) {
  output *out = user;
  const milo_parameter *param = &out->model->params.items[p.index];
  milo_parameter moment = *param;  // the same shape, in fp32
  moment.type.dtype = MILO_FP32;
  if (p.order >= 0)
    moment.buffer =
        out->moments && out->moments->of[p.order] ? out->moments->of[p.order][p.index] : NULL;
  const size_t count = milo_type_elements(&param->type);
  float values[CHUNK] = {0};
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    if (p.order < 0 || moment.buffer)
      MILO_TRY(milo_parameter_get(p.order < 0 ? param : &moment, at, n, values, out->diag));
    MILO_TRY(milo_writer_write(out->writer, values, n * sizeof *values, out->diag));
  }
  return MILO_OK;
}

milo_status milo_blzt_write(const milo_model *model, const milo_moments *moments,
                            const milo_blzt_run *run, const char *path, milo_diag *diag) {
  const milo_model_config *c = &model->config;
  const char *obstacle = milo_blzt_obstacle(c, run->version);
  if (obstacle)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "%s: a BLZT checkpoint of version %u cannot hold this model: %s", path,
                     run->version, obstacle);
  const bool v4 = run->version == 4;
  const blzt_header h = {.magic = MAGIC,
                         .version = (int32_t)run->version,
                         .step = (int32_t)run->step,
                         .total_steps = (int32_t)run->total_steps,
                         .layers = (int32_t)c->layers,
                         .vocab = (int32_t)c->vocab,
                         .dim = (int32_t)c->dim,
                         .hidden = (int32_t)c->hidden,
                         .heads = (int32_t)c->heads,
                         .seq = (int32_t)c->seq,
                         .lr = run->lr,
                         .loss = run->loss,
                         .compile_ms = run->compile_ms,
                         .train_ms = run->train_ms,
                         .wall_ms = run->wall_ms,
                         .all_steps = (int32_t)run->all_steps,
                         .batches = (int32_t)run->batches,
                         .adam_t = (int32_t)run->updates,
                         .kv_heads = v4 ? (int32_t)c->kv_heads : 0,
                         .head_dim = v4 ? (int32_t)c->head_dim : 0,
                         .query_dim = v4 ? (int32_t)(c->heads * c->head_dim) : 0};
  output out = {.model = model, .moments = moments, .diag = diag};
  MILO_TRY(milo_writer_open(path, diag, &out.writer));
  milo_status status = milo_writer_write(out.writer, &h, sizeof h, diag);
  if (status == MILO_OK) status = each_part(model, write_part, &out);
  if (status == MILO_OK) status = milo_writer_commit(out.writer, diag);
  milo_writer_close(out.writer);
  return status;
}
