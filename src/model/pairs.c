// SPDX-License-Identifier: MIT
#include "model/pairs.h"

#include <stdlib.h>
#include <string.h>

milo_status milo_moments_alloc(const milo_params *params, milo_diag *diag, milo_moments *out) {
  *out = (milo_moments){.count = params->count};
  for (int order = 0; order < 2; order++) {
    out->of[order] = calloc(params->count + 1, sizeof *out->of[order]);
    if (!out->of[order])
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for moments");
    for (size_t i = 0; i < params->count; i++)
      MILO_TRY(milo_buffer_alloc(milo_type_elements(&params->items[i].type) * sizeof(float), diag,
                                 &out->of[order][i]));
  }
  return MILO_OK;
}

void milo_moments_deinit(milo_moments *moments) {
  for (int order = 0; order < 2; order++) {
    for (size_t i = 0; moments->of[order] && i < moments->count; i++)
      milo_buffer_release(moments->of[order][i]);
    free(moments->of[order]);
  }
  *moments = (milo_moments){0};
}

// Rows of row_bytes, head_dim of them a head.
static milo_status reorder(milo_buffer *buffer, size_t head_dim, size_t row_bytes, bool to_half,
                           milo_diag *diag) {
  const size_t half = head_dim / 2, head_bytes = head_dim * row_bytes;
  char *data = milo_buffer_map(buffer, MILO_READ_WRITE), *copy = malloc(head_bytes);
  const milo_status failed = MILO_ERR_NO_MEMORY;
  if (!data || !copy) {
    free(copy);
    if (data && milo_buffer_unmap(buffer, data, MILO_READ_WRITE) != MILO_OK) return failed;
    return milo_fail(diag, MILO_NO_LOC, failed, "no memory to reorder weights");
  }
  for (size_t at = 0; at < milo_buffer_bytes(buffer); at += head_bytes) {
    memcpy(copy, data + at, head_bytes);
    for (size_t i = 0; i < head_dim; i++) {
      const size_t adjacent = i, halves = i / 2 + i % 2 * half;
      memcpy(data + at + (to_half ? halves : adjacent) * row_bytes,
             copy + (to_half ? adjacent : halves) * row_bytes, row_bytes);
    }
  }
  free(copy);
  return milo_buffer_unmap(buffer, data, MILO_READ_WRITE);
}

milo_status milo_model_set_pairs(milo_model *model, const milo_moments *moments, bool half,
                                 milo_diag *diag) {
  static const milo_tensor_id ids[] = {MILO_TENSOR_wq, MILO_TENSOR_wk, MILO_TENSOR_q_norm,
                                       MILO_TENSOR_k_norm};
  milo_model_config *c = &model->config;
  if (c->rope_half == half) return MILO_OK;
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    for (size_t layer = 0; layer < (size_t)c->layers; layer++) {
      const milo_parameter *p = milo_model_param(model, ids[i], layer);
      if (!p) break;
      const size_t columns = p->type.rank == 2 ? (size_t)p->type.dims[1] : 1;
      const size_t index = (size_t)(p - model->params.items), head_dim = (size_t)c->head_dim;
      MILO_TRY(
          reorder(p->buffer, head_dim, columns * milo_dtype_bits(p->type.dtype) / 8, half, diag));
      for (int order = 0; moments && order < 2; order++)
        if (moments->of[order])
          MILO_TRY(
              reorder(moments->of[order][index], head_dim, columns * sizeof(float), half, diag));
    }
  c->rope_half = half;
  return MILO_OK;
}
