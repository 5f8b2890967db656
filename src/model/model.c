// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

static milo_status describe(milo_model *model, milo_diag *diag) {
  size_t total = 0;
  for (int id = 0; id < MILO_TENSOR_COUNT; id++) {
    milo_tensor t;
    MILO_TRY(milo_model_tensor(&model->config, (milo_tensor_id)id, diag, &t));
    model->first[id] = model->params.count;
    size_t bytes = 0;
    if (t.present && (!milo_size_mul(milo_type_bytes(&t.type), t.layers, &bytes) ||
                      !milo_size_add(total, bytes, &total) || total > PTRDIFF_MAX))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "model: its weights do not fit in the address space");
    for (size_t layer = 0; layer < t.layers; layer++) {
      char name[96];
      // The format is a row's; those without a layer have no place for a number.
      if (t.per_layer)
        snprintf(name, sizeof name, rows[id].name, layer);
      else
        snprintf(name, sizeof name, "%s", rows[id].name);
      MILO_TRY(milo_params_add(&model->params, name, &t.type, true, t.type.rank == 2, diag));
    }
  }
  MILO_TRY(milo_memory_ask("a model", total, diag));
  return milo_params_alloc(&model->params, NULL, diag);
}

milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                             milo_model **out_model) {
  *out_model = NULL;
  milo_model_config complete;
  MILO_TRY(milo_model_config_complete(config, diag, &complete));
  milo_model *model = calloc(1, sizeof *model);
  if (!model) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a model");
  atomic_init(&model->refs, 1);
  model->config = complete;
  const milo_status status = describe(model, diag);
  if (status == MILO_OK)
    *out_model = model;
  else
    milo_model_destroy(model);
  return status;
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

double milo_model_angle(const milo_model_config *c, int64_t position, int64_t pair) {
  return (double)position * pow(c->rope_theta, -2.0 * (double)pair / (double)c->head_dim);
}

milo_tensor_id milo_model_classifier(const milo_model_config *config) {
  return config->untied ? MILO_TENSOR_classifier : MILO_TENSOR_embedding;
}

size_t milo_model_layer(const milo_model *model, size_t layer, milo_buffer **out) {
  size_t count = 0;
  for (int id = 0; id < MILO_TENSOR_COUNT; id++)
    if (rows[id].per_layer && is_present(&model->config, (milo_tensor_id)id))
      out[count++] = milo_model_param(model, (milo_tensor_id)id, layer)->buffer;
  return count;
}

// ---- random weights ----

typedef struct random_job {
  float *data;
  size_t elements, before;  // before: of the same kind in earlier layers
  uint64_t seed;
  milo_tensor_id id;
  double deviation;
} random_job;

static void randomize_chunk(void *user, size_t i, int worker) {
  (void)worker;
  const random_job *job = user;
  const size_t begin = i * RANDOM_CHUNK;
  const size_t end = job->elements - begin < RANDOM_CHUNK ? job->elements : begin + RANDOM_CHUNK;
  for (size_t k = begin; k < end; k++)
    job->data[k] =
        (float)(job->deviation *
                milo_rng_normal(job->seed, RNG_STREAM + (uint64_t)job->id, job->before + k));
}

milo_status milo_model_randomize(milo_model *model, uint64_t seed, milo_pool *pool,
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
                        0.02};
      if (job.data == NULL)
        return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %s", p->name);
      if (rows[id].init == INIT_RESIDUAL) job.deviation /= sqrt(2.0 * (double)model->config.layers);
      if (rows[id].init == INIT_ONE)
        for (size_t i = 0; i < elements; i++) job.data[i] = 1;
      else
        milo_pool_run(pool, (elements + RANDOM_CHUNK - 1) / RANDOM_CHUNK, randomize_chunk, &job);
      MILO_TRY(milo_buffer_unmap(p->buffer, job.data, MILO_WRITE));
    }
  }
  return MILO_OK;
}
