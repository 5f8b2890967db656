// SPDX-License-Identifier: MIT
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "base/rng.h"
#include "model/config.h"

enum {
  ALIGN = 16,             // elements: 64 bytes
  RNG_STREAM = 0x1000,    // streams RNG_STREAM + weight id
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

typedef struct weight_row {
  const char *name;
  weight_dim rows, columns;  // columns DIM_NONE: a vector
  weight_init init;
  bool per_layer;
} weight_row;

static const weight_row rows[MILO_WEIGHT_COUNT] = {
    [MILO_WEIGHT_embedding] = {"embedding", DIM_VOCAB, DIM_DIM, INIT_NORMAL, false},
    [MILO_WEIGHT_att_norm] = {"att_norm", DIM_DIM, DIM_NONE, INIT_ONE, true},
    [MILO_WEIGHT_wq] = {"wq", DIM_QUERY, DIM_DIM, INIT_NORMAL, true},
    [MILO_WEIGHT_wk] = {"wk", DIM_KV, DIM_DIM, INIT_NORMAL, true},
    [MILO_WEIGHT_wv] = {"wv", DIM_KV, DIM_DIM, INIT_NORMAL, true},
    [MILO_WEIGHT_wo] = {"wo", DIM_DIM, DIM_QUERY, INIT_RESIDUAL, true},
    [MILO_WEIGHT_q_norm] = {"q_norm", DIM_HEAD, DIM_NONE, INIT_ONE, true},
    [MILO_WEIGHT_k_norm] = {"k_norm", DIM_HEAD, DIM_NONE, INIT_ONE, true},
    [MILO_WEIGHT_ffn_norm] = {"ffn_norm", DIM_DIM, DIM_NONE, INIT_ONE, true},
    [MILO_WEIGHT_w1] = {"w1", DIM_HIDDEN, DIM_DIM, INIT_NORMAL, true},
    [MILO_WEIGHT_w2] = {"w2", DIM_DIM, DIM_HIDDEN, INIT_RESIDUAL, true},
    [MILO_WEIGHT_w3] = {"w3", DIM_HIDDEN, DIM_DIM, INIT_NORMAL, true},
    [MILO_WEIGHT_final_norm] = {"final_norm", DIM_DIM, DIM_NONE, INIT_ONE, false},
    [MILO_WEIGHT_classifier] = {"classifier", DIM_VOCAB, DIM_DIM, INIT_NORMAL, false},
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

static bool is_present(const milo_model_config *c, milo_weight_id id) {
  if (id == MILO_WEIGHT_q_norm || id == MILO_WEIGHT_k_norm) return c->qk_norm;
  if (id == MILO_WEIGHT_classifier) return c->untied;
  return true;
}

milo_status milo_model_layout(const milo_model_config *config, milo_diag *diag,
                              milo_weight weights[MILO_WEIGHT_COUNT], size_t *out_block_elements) {
  size_t total = 0;
  *out_block_elements = 0;
  memset(weights, 0, MILO_WEIGHT_COUNT * sizeof *weights);
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const weight_row *row = &rows[id];
    milo_weight *w = &weights[id];
    w->name = row->name;
    if (!is_present(config, (milo_weight_id)id)) continue;
    w->present = true;
    w->per_layer = row->per_layer;
    w->rank = row->columns == DIM_NONE ? 1 : 2;
    w->dims[0] = dim_of(config, row->rows);
    w->dims[1] = dim_of(config, row->columns);
    w->layers = row->per_layer ? (size_t)config->layers : 1;
    size_t block = 0, bytes = 0;
    if (!milo_size_mul((size_t)w->dims[0], (size_t)w->dims[1], &w->elements) ||
        !milo_size_add(w->elements, ALIGN - 1, &w->stride) ||
        !milo_size_mul(w->stride &= ~(size_t)(ALIGN - 1), w->layers, &block) ||
        !milo_size_add(total, block, &total) || !milo_size_mul(total, 2 * sizeof(float), &bytes))
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                       "model: its weights do not fit in the address space");
    w->offset = total - block;
  }
  *out_block_elements = total;
  return MILO_OK;
}

milo_status milo_model_alloc(const milo_model_config *config, milo_diag *diag,
                             milo_model **out_model) {
  *out_model = NULL;
  milo_model model = {0};
  MILO_TRY(milo_model_config_complete(config, diag, &model.config));
  MILO_TRY(milo_model_layout(&model.config, diag, model.weights, &model.block_elements));
  const size_t bytes = model.block_elements * sizeof(float);
  MILO_TRY(milo_memory_ask("a model", bytes, diag));
  milo_model *result = malloc(sizeof *result);
  model.block = result ? aligned_alloc(ALIGN * sizeof(float), bytes) : NULL;
  if (!model.block) {
    free(result);
    return milo_memory_fail("a model", bytes, diag);
  }
  memset(model.block, 0, bytes);
  *result = model;
  *out_model = result;
  return MILO_OK;
}

void milo_model_destroy(milo_model *model) {
  if (!model) return;
  free(model->block);
  free(model);
}

float *milo_model_weight(const milo_model *model, milo_weight_id id, size_t layer) {
  const milo_weight *w = &model->weights[id];
  return w->present ? model->block + w->offset + layer * w->stride : NULL;
}

size_t milo_model_elements(const milo_model *model) {
  size_t total = 0;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++)
    total += model->weights[id].elements * model->weights[id].layers;
  return total;
}

typedef struct random_job {
  milo_model *model;
  uint64_t seed;
  milo_weight_id id;
  size_t chunks_per_layer;
  double deviation;
} random_job;

static void randomize_chunk(void *user, size_t i, int worker) {
  (void)worker;
  const random_job *job = user;
  const milo_weight *w = &job->model->weights[job->id];
  const size_t layer = i / job->chunks_per_layer;
  const size_t begin = i % job->chunks_per_layer * RANDOM_CHUNK;
  const size_t end = w->elements - begin < RANDOM_CHUNK ? w->elements : begin + RANDOM_CHUNK;
  float *data = milo_model_weight(job->model, job->id, layer);
  for (size_t k = begin; k < end; k++)
    data[k] = (float)(job->deviation * milo_rng_normal(job->seed, RNG_STREAM + (uint64_t)job->id,
                                                       layer * w->elements + k));
}

void milo_model_randomize(milo_model *model, uint64_t seed, milo_pool *pool) {
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &model->weights[id];
    if (!w->present) continue;
    if (rows[id].init == INIT_ONE) {
      for (size_t layer = 0; layer < w->layers; layer++) {
        float *data = milo_model_weight(model, (milo_weight_id)id, layer);
        for (size_t i = 0; i < w->elements; i++) data[i] = 1;
      }
      continue;
    }
    random_job job = {model, seed, (milo_weight_id)id,
                      (w->elements + RANDOM_CHUNK - 1) / RANDOM_CHUNK, 0.02};
    if (rows[id].init == INIT_RESIDUAL) job.deviation /= sqrt(2.0 * (double)model->config.layers);
    milo_pool_run(pool, job.chunks_per_layer * w->layers, randomize_chunk, &job);
  }
}

const char *milo_model_find_nonfinite(const milo_model *model) {
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &model->weights[id];
    for (size_t layer = 0; layer < w->layers; layer++) {
      const float *data = milo_model_weight(model, (milo_weight_id)id, layer);
      for (size_t i = 0; i < w->elements; i++)
        if (!isfinite(data[i])) return w->name;
    }
  }
  return NULL;
}
