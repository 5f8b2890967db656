// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "base/rng.h"
#include "model/config.h"

enum {
  RNG_STREAM = 0x1000,    // streams RNG_STREAM + tensor id
  RANDOM_CHUNK = 1 << 15  // elements a task
};

typedef enum weight_init { INIT_NORMAL, INIT_RESIDUAL, INIT_ONE } weight_init;

typedef enum weight_dim {
  DIM_NONE,
  DIM_DIM,
  DIM_HIDDEN,
  DIM_VOCAB,
  DIM_QUERY,
  DIM_KV,
  DIM_HEAD,
} weight_dim;

typedef struct tensor_row {
  const char *input;         // in programs
  const char *name;          // in the set, with the number of the layer
  weight_dim rows, columns;  // columns DIM_NONE: a vector
  weight_init init;
  bool per_layer;
} tensor_row;

#define LAYER "model.layers.%zu."
static const tensor_row rows[MILO_TENSOR_COUNT] = {
    [MILO_TENSOR_embedding] = {"embedding", "model.embed_tokens.weight", DIM_VOCAB, DIM_DIM,
                               INIT_NORMAL, false},
    [MILO_TENSOR_att_norm] = {"att_norm", LAYER "input_layernorm.weight", DIM_DIM, DIM_NONE,
                              INIT_ONE, true},
    [MILO_TENSOR_wq] = {"wq", LAYER "self_attn.q_proj.weight", DIM_QUERY, DIM_DIM, INIT_NORMAL,
                        true},
    [MILO_TENSOR_wk] = {"wk", LAYER "self_attn.k_proj.weight", DIM_KV, DIM_DIM, INIT_NORMAL, true},
    [MILO_TENSOR_wv] = {"wv", LAYER "self_attn.v_proj.weight", DIM_KV, DIM_DIM, INIT_NORMAL, true},
    [MILO_TENSOR_wo] = {"wo", LAYER "self_attn.o_proj.weight", DIM_DIM, DIM_QUERY, INIT_RESIDUAL,
                        true},
    [MILO_TENSOR_q_norm] = {"q_norm", LAYER "self_attn.q_norm.weight", DIM_HEAD, DIM_NONE, INIT_ONE,
                            true},
    [MILO_TENSOR_k_norm] = {"k_norm", LAYER "self_attn.k_norm.weight", DIM_HEAD, DIM_NONE, INIT_ONE,
                            true},
    [MILO_TENSOR_ffn_norm] = {"ffn_norm", LAYER "post_attention_layernorm.weight", DIM_DIM,
                              DIM_NONE, INIT_ONE, true},
    [MILO_TENSOR_w1] = {"w1", LAYER "mlp.gate_proj.weight", DIM_HIDDEN, DIM_DIM, INIT_NORMAL, true},
    [MILO_TENSOR_w2] = {"w2", LAYER "mlp.down_proj.weight", DIM_DIM, DIM_HIDDEN, INIT_RESIDUAL,
                        true},
    [MILO_TENSOR_w3] = {"w3", LAYER "mlp.up_proj.weight", DIM_HIDDEN, DIM_DIM, INIT_NORMAL, true},
    [MILO_TENSOR_final_norm] = {"final_norm", "model.norm.weight", DIM_DIM, DIM_NONE, INIT_ONE,
                                false},
    [MILO_TENSOR_classifier] = {"classifier", "lm_head.weight", DIM_VOCAB, DIM_DIM, INIT_NORMAL,
                                false},
};

static int64_t dim_of(const milo_model_config *c, weight_dim dim) {
  switch (dim) {
    case DIM_DIM:
      return c->dim;
    case DIM_HIDDEN:
      return c->hidden;
    case DIM_VOCAB:
      return c->vocab;
    case DIM_QUERY:
      return c->heads * c->head_dim;
    case DIM_KV:
      return c->kv_heads * c->head_dim;
    case DIM_HEAD:
      return c->head_dim;
    case DIM_NONE:
      break;
  }
  return 1;
}

static bool is_present(const milo_model_config *c, milo_tensor_id id) {
  if (id == MILO_TENSOR_q_norm || id == MILO_TENSOR_k_norm) return c->qk_norm;
  if (id == MILO_TENSOR_classifier) return c->untied;
  return true;
}

milo_status milo_model_tensor(const milo_model_config *config, milo_tensor_id id, milo_diag *diag,
                              milo_tensor *out) {
  const tensor_row *row = &rows[id];
  *out = (milo_tensor){.input = row->input};
  if (!is_present(config, id)) return MILO_OK;
  const int64_t dims[2] = {dim_of(config, row->rows), dim_of(config, row->columns)};
  const int rank = row->columns == DIM_NONE ? 1 : 2;
  size_t bytes;
  if (!milo_tensor_bytes(MILO_FP32, rank, dims, &bytes) || bytes > PTRDIFF_MAX)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "model: its weights do not fit in the address space");
  out->present = true;
  out->per_layer = row->per_layer;
  out->type = milo_type_tensor(MILO_FP32, rank, dims);
  out->layers = row->per_layer ? (size_t)config->layers : 1;
  return MILO_OK;
}

// The scales of an int8 tensor of that type.
static milo_type scales_type(const milo_type *type, const milo_stored *stored) {
  const int64_t depth = type->dims[1];
  return milo_type_tensor(
      MILO_FP32, 2, (const int64_t[]){type->dims[0], depth / milo_stored_group(stored, depth)});
}

// The parameters of one kind, layer by layer; suffix: of their names.
static milo_status add_kind(milo_model *model, milo_tensor_id id, const char *suffix,
                            const milo_type *type, bool trains, size_t layers, size_t *total,
                            milo_diag *diag) {
  size_t bytes = 0;
  if (!milo_size_mul(milo_type_bytes(type), layers, &bytes) ||
      !milo_size_add(*total, bytes, total) || *total > PTRDIFF_MAX)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "model: its weights do not fit in the address space");
  for (size_t layer = 0; layer < layers; layer++) {
    char name[96], whole[112];
    // The format is a row's; those without a layer have no place for a number.
    if (rows[id].per_layer)
      snprintf(name, sizeof name, rows[id].name, layer);
    else
      snprintf(name, sizeof name, "%s", rows[id].name);
    snprintf(whole, sizeof whole, "%s%s", name, suffix);
    MILO_TRY(milo_params_add(&model->params, whole, type, trains, trains && type->rank == 2, diag));
  }
  return MILO_OK;
}

static milo_status check_stored(milo_tensor_id id, const milo_type *type, const milo_stored *stored,
                                milo_diag *diag) {
  const milo_dtype dtype = milo_stored_dtype(stored);
  const milo_stored_kind *kind = NULL;
  for (size_t i = 0; (kind = milo_stored_kind_get(i)) != NULL && kind->dtype != dtype;) i++;
  if (kind == NULL)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                     "weights cannot be stored as %s, only as fp32, bf16, fp16 and int8",
                     milo_dtype_name(dtype));
  if (dtype != MILO_INT8 || stored->group == 0) return MILO_OK;
  if (stored->group < 0 || stored->group > type->dims[1] || type->dims[1] % stored->group != 0)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "groups of %lld weights do not divide the %lld of a row of %s\n"
                     "0 gives one scale for each row",
                     (long long)stored->group, (long long)type->dims[1], rows[id].input);
  return MILO_OK;
}

// The parameters, without buffers.
static milo_status describe(milo_model *model, const milo_stored *stored, milo_diag *diag) {
  size_t total = 0;
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) {
    const milo_tensor_id id = (milo_tensor_id)i;
    milo_tensor t;
    MILO_TRY(milo_model_tensor(&model->config, id, diag, &t));
    milo_stored *own = &model->stored[id];
    *own = (milo_stored){.dtype = MILO_FP32};
    if (t.present && t.type.rank == 2 && stored != NULL) {
      MILO_TRY(check_stored(id, &t.type, &stored[id], diag));
      own->dtype = milo_stored_dtype(&stored[id]);
      if (own->dtype == MILO_INT8) own->group = stored[id].group;
    }
    milo_type type = t.type;
    type.dtype = own->dtype;
    model->first[id] = model->params.count;
    MILO_TRY(add_kind(model, id, "", &type, true, t.layers, &total, diag));
    model->scales[id] = model->params.count;
    if (!t.present || own->dtype != MILO_INT8) continue;
    const milo_type scales = scales_type(&t.type, own);
    MILO_TRY(add_kind(model, id, "_scale", &scales, false, t.layers, &total, diag));
  }
  return MILO_OK;
}

static milo_status alloc(milo_model *model, milo_diag *diag) {
  size_t total = 0;  // below PTRDIFF_MAX: describe added them up
  for (size_t i = 0; i < model->params.count; i++)
    if (model->params.items[i].buffer == NULL)
      total += milo_type_bytes(&model->params.items[i].type);
  MILO_TRY(milo_memory_ask("a model", total, diag));
  return milo_params_alloc(&model->params, NULL, diag);
}

milo_status milo_model_alloc_stored(const milo_model_config *config, const milo_stored *stored,
                                    milo_diag *diag, milo_model **out_model) {
  *out_model = NULL;
  milo_model_config complete;
  MILO_TRY(milo_model_config_complete(config, diag, &complete));
  milo_model *model = calloc(1, sizeof *model);
  if (!model) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a model");
  atomic_init(&model->refs, 1);
  model->config = complete;
  milo_status status = describe(model, stored, diag);
  if (status == MILO_OK) status = alloc(model, diag);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
}

milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                             milo_model **out_model) {
  return milo_model_alloc_stored(config, NULL, diag, out_model);
}

void milo_model_retain(milo_model *model) { atomic_fetch_add(&model->refs, 1); }

void milo_model_destroy(milo_model *model) {
  if (!model || atomic_fetch_sub(&model->refs, 1) > 1) return;
  milo_params_deinit(&model->params);
  free(model);
}

const milo_parameter *milo_model_param(const milo_model *model, milo_tensor_id id, size_t layer) {
  return is_present(&model->config, id) ? &model->params.items[model->first[id] + layer] : NULL;
}

const milo_parameter *milo_model_scale(const milo_model *model, milo_tensor_id id, size_t layer) {
  return is_present(&model->config, id) && model->stored[id].dtype == MILO_INT8
             ? &model->params.items[model->scales[id] + layer]
             : NULL;
}

double milo_model_angle(const milo_model_config *c, int64_t position, int64_t pair) {
  return (double)position * pow(c->rope_theta, -2.0 * (double)pair / (double)c->head_dim);
}

milo_tensor_id milo_model_classifier(const milo_model_config *config) {
  return config->untied ? MILO_TENSOR_classifier : MILO_TENSOR_embedding;
}

size_t milo_model_tensor_buffers(const milo_model *model, milo_tensor_id id, size_t layer,
                                 milo_buffer **out) {
  const milo_parameter *scales = milo_model_scale(model, id, layer);
  out[0] = milo_model_param(model, id, layer)->buffer;
  if (scales == NULL) return 1;
  out[1] = scales->buffer;
  return 2;
}

size_t milo_model_layer(const milo_model *model, size_t layer, milo_buffer **out) {
  size_t count = 0;
  for (int id = 0; id < MILO_TENSOR_COUNT; id++)
    if (rows[id].per_layer && is_present(&model->config, (milo_tensor_id)id))
      count += milo_model_tensor_buffers(model, (milo_tensor_id)id, layer, out + count);
  return count;
}

// ---- sizes ----

uint64_t milo_model_weights(const milo_model *model) {
  uint64_t total = milo_params_elements(&model->params);
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) {
    const milo_tensor_id id = (milo_tensor_id)i;
    const milo_parameter *scales = milo_model_scale(model, id, 0);
    const size_t layers = rows[id].per_layer ? (size_t)model->config.layers : 1;
    if (scales != NULL) total -= layers * milo_type_elements(&scales->type);
  }
  return total;
}

uint64_t milo_model_bytes(const milo_model *model) {
  uint64_t total = 0;
  for (size_t i = 0; i < model->params.count; i++)
    total += milo_type_bytes(&model->params.items[i].type);
  return total;
}

// ---- weights in fp32, however they are stored ----

static milo_status no_memory(const milo_parameter *p, milo_diag *diag) {
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "parameter %s cannot be mapped", p->name);
}

milo_status milo_model_get(const milo_model *model, milo_tensor_id id, size_t layer, size_t first,
                           size_t count, float *out, milo_diag *diag) {
  const milo_parameter *p = milo_model_param(model, id, layer);
  const milo_parameter *scales = milo_model_scale(model, id, layer);
  if (scales == NULL) return milo_parameter_get(p, first, count, out, diag);
  const size_t group = milo_type_elements(&p->type) / milo_type_elements(&scales->type);
  int8_t *q = milo_buffer_map(p->buffer, MILO_READ);
  float *scale = milo_buffer_map(scales->buffer, MILO_READ);
  const bool mapped = q != NULL && scale != NULL;
  for (size_t i = 0; mapped && i < count; i++)
    out[i] = (float)q[first + i] * scale[(first + i) / group];
  if (q != NULL) MILO_TRY(milo_buffer_unmap(p->buffer, q, MILO_READ));
  if (scale != NULL) MILO_TRY(milo_buffer_unmap(scales->buffer, scale, MILO_READ));
  return mapped ? MILO_OK : no_memory(p, diag);
}

// May values be stored as that?
static milo_status check_values(const milo_parameter *p, const float *values, size_t count,
                                milo_diag *diag) {
  for (size_t i = 0; i < count; i++) {
    if (!isfinite(values[i]))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                       "parameter %s holds a NaN or an infinity", p->name);
    if ((p->type.dtype == MILO_FP16 && fabsf(values[i]) >= 65520.0f) ||
        (p->type.dtype == MILO_BF16 && !isfinite(milo_bf16_to_f32(milo_f32_to_bf16(values[i])))))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NUMERIC,
                       "parameter %s holds %g: too large for %s", p->name, (double)values[i],
                       milo_dtype_name(p->type.dtype));
  }
  return MILO_OK;
}

milo_status milo_model_set(const milo_model *model, milo_tensor_id id, size_t layer, size_t first,
                           size_t count, const float *values, milo_diag *diag) {
  const milo_parameter *p = milo_model_param(model, id, layer);
  const milo_parameter *scales = milo_model_scale(model, id, layer);
  if (p->type.dtype != MILO_FP32) MILO_TRY(check_values(p, values, count, diag));
  if (scales == NULL) return milo_parameter_set(p, first, count, values, diag);
  const size_t depth = (size_t)p->type.dims[1];
  const size_t group = milo_type_elements(&p->type) / milo_type_elements(&scales->type);
  assert(first % depth == 0 && count % depth == 0);
  int8_t *q = milo_buffer_map(p->buffer, MILO_READ_WRITE);
  float *scale = milo_buffer_map(scales->buffer, MILO_READ_WRITE);
  const bool mapped = q != NULL && scale != NULL;
  if (mapped)
    milo_stored_quantize(values, count / depth, depth, group, q + first, scale + first / group);
  if (q != NULL) MILO_TRY(milo_buffer_unmap(p->buffer, q, MILO_READ_WRITE));
  if (scale != NULL) MILO_TRY(milo_buffer_unmap(scales->buffer, scale, MILO_READ_WRITE));
  return mapped ? MILO_OK : no_memory(p, diag);
}

// Calls part for all weights that model and next store differently, some rows at a time, in fp32.
typedef milo_status part_fn(milo_model *model, milo_model *next, milo_tensor_id id, size_t layer,
                            size_t first, size_t count, const float *values, milo_diag *diag);

static bool alike(const milo_stored *a, const milo_stored *b) {
  return a->dtype == b->dtype && a->group == b->group;
}

static milo_status each_part(milo_model *model, milo_model *next, part_fn *part, bool drop,
                             milo_diag *diag) {
  milo_status status = MILO_OK;
  float *values = NULL;
  for (int i = 0; status == MILO_OK && i < MILO_TENSOR_COUNT; i++) {
    const milo_tensor_id id = (milo_tensor_id)i;
    if (!is_present(&model->config, id) || alike(&model->stored[id], &next->stored[id])) continue;
    const milo_type *type = &milo_model_param(model, id, 0)->type;
    const size_t elements = milo_type_elements(type), depth = (size_t)type->dims[1];
    const size_t most = depth > RANDOM_CHUNK ? depth : RANDOM_CHUNK / depth * depth;
    float *room = realloc(values, most * sizeof *values);
    if (room == NULL) {
      status = milo_memory_fail("weights", most * sizeof *values, diag);
      break;
    }
    values = room;
    const size_t layers = rows[id].per_layer ? (size_t)model->config.layers : 1;
    for (size_t layer = 0; status == MILO_OK && layer < layers; layer++) {
      for (size_t at = 0; status == MILO_OK && at < elements; at += most) {
        const size_t n = elements - at < most ? elements - at : most;
        status = milo_model_get(model, id, layer, at, n, values, diag);
        if (status == MILO_OK) status = part(model, next, id, layer, at, n, values, diag);
      }
      if (!drop || status != MILO_OK) continue;
      milo_parameter *old[2] = {&model->params.items[model->first[id] + layer], NULL};
      if (milo_model_scale(model, id, layer))
        old[1] = &model->params.items[model->scales[id] + layer];
      for (int k = 0; k < 2; k++)
        if (old[k] != NULL) {
          milo_buffer_release(old[k]->buffer);
          old[k]->buffer = NULL;
        }
    }
  }
  free(values);
  return status;
}

static milo_status check_part(milo_model *model, milo_model *next, milo_tensor_id id, size_t layer,
                              size_t first, size_t count, const float *values, milo_diag *diag) {
  (void)model;
  (void)first;
  return check_values(milo_model_param(next, id, layer), values, count, diag);
}

static milo_status move_part(milo_model *model, milo_model *next, milo_tensor_id id, size_t layer,
                             size_t first, size_t count, const float *values, milo_diag *diag) {
  (void)model;
  return milo_model_set(next, id, layer, first, count, values, diag);
}

// Buffers of what stays as it is.
static void share_buffers(const milo_model *model, milo_model *next) {
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) {
    const milo_tensor_id id = (milo_tensor_id)i;
    if (!is_present(&model->config, id) || !alike(&model->stored[id], &next->stored[id])) continue;
    const size_t layers = rows[id].per_layer ? (size_t)model->config.layers : 1;
    for (size_t layer = 0; layer < layers; layer++)
      for (int k = 0; k < (model->stored[id].dtype == MILO_INT8 ? 2 : 1); k++) {
        const size_t from = (k ? model->scales : model->first)[id] + layer;
        const size_t to = (k ? next->scales : next->first)[id] + layer;
        next->params.items[to].buffer = model->params.items[from].buffer;
        milo_buffer_retain(next->params.items[to].buffer);
      }
  }
}

// Everything that can fail comes before the first weight is given up: then one tensor after the
// other is converted and its old memory released, so that both never exist whole.
milo_status milo_model_restore(milo_model *model, const milo_stored *stored, milo_diag *diag) {
  if (atomic_load(&model->refs) > 1)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "the model's weights cannot be stored otherwise while a session reads them");
  milo_model *next = calloc(1, sizeof *next);
  if (next == NULL)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a model");
  atomic_init(&next->refs, 1);
  next->config = model->config;
  milo_status status = describe(next, stored, diag);
  if (status == MILO_OK) {
    share_buffers(model, next);
    status = alloc(next, diag);
  }
  if (status == MILO_OK) status = each_part(model, next, check_part, false, diag);
  if (status == MILO_OK) status = each_part(model, next, move_part, true, diag);
  if (status == MILO_OK) {
    const milo_params old = model->params;
    model->params = next->params;
    next->params = old;
    memcpy(model->stored, next->stored, sizeof model->stored);
    memcpy(model->first, next->first, sizeof model->first);
    memcpy(model->scales, next->scales, sizeof model->scales);
  }
  milo_model_destroy(next);
  return status;
}

// ---- random weights ----

typedef struct random_job {
  float *data;
  size_t elements, before;  // before: of the same kind in earlier layers
  uint64_t seed;
  milo_tensor_id id;
  bool uniform;
  double width;  // the standard deviation, or half the interval
} random_job;

static void randomize_chunk(void *user, size_t i, int worker) {
  (void)worker;
  const random_job *job = user;
  const size_t begin = i * RANDOM_CHUNK;
  const size_t end = job->elements - begin < RANDOM_CHUNK ? job->elements : begin + RANDOM_CHUNK;
  const uint64_t stream = RNG_STREAM + (uint64_t)job->id;
  for (size_t k = begin; k < end; k++) {
    const double draw = job->uniform ? 2 * milo_rng_uniform(job->seed, stream, job->before + k) - 1
                                     : milo_rng_normal(job->seed, stream, job->before + k);
    job->data[k] = (float)(job->width * draw);
  }
}

static double width_of(const milo_model *model, milo_tensor_id id, milo_init init,
                       const milo_type *type) {
  const bool hidden = rows[id].per_layer;  // else the embedding or the classifier
  const double width =
      init == MILO_INIT_UNIFORM && hidden ? 1 / sqrt((double)type->dims[type->rank - 1]) : 0.02;
  return rows[id].init == INIT_RESIDUAL ? width / sqrt(2.0 * (double)model->config.layers) : width;
}

milo_status milo_model_randomize(milo_model *model, milo_init init, uint64_t seed, milo_pool *pool,
                                 milo_diag *diag) {
  for (int id = 0; id < MILO_TENSOR_COUNT; id++) {
    if (!is_present(&model->config, (milo_tensor_id)id)) continue;
    const size_t layers = rows[id].per_layer ? (size_t)model->config.layers : 1;
    for (size_t layer = 0; layer < layers; layer++) {
      const milo_parameter *p = milo_model_param(model, (milo_tensor_id)id, layer);
      const size_t elements = milo_type_elements(&p->type);
      random_job job = {milo_buffer_map(p->buffer, MILO_WRITE),
                        elements,
                        layer * elements,
                        seed,
                        (milo_tensor_id)id,
                        init == MILO_INIT_UNIFORM,
                        width_of(model, (milo_tensor_id)id, init, &p->type)};
      if (job.data == NULL)
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %s", p->name);
      if (rows[id].init == INIT_ONE)
        for (size_t i = 0; i < elements; i++) job.data[i] = 1;
      else
        milo_pool_run(pool, (elements + RANDOM_CHUNK - 1) / RANDOM_CHUNK, randomize_chunk, &job);
      MILO_TRY(milo_buffer_unmap(p->buffer, job.data, MILO_WRITE));
    }
  }
  return MILO_OK;
}
