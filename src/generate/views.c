// SPDX-License-Identifier: MIT
#include "generate/views.h"

#include <stdlib.h>

milo_buffer milo_buffer_view(void *data, size_t bytes) {
  return (milo_buffer){.refs = 1, .bytes = bytes, .data = data};
}

milo_status milo_views_init(milo_views *views, const milo_weight *weights, float *block,
                            milo_diag *diag) {
  *views = (milo_views){.weights = weights};
  size_t count = 0;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    views->first[id] = count;
    count += weights[id].layers;
  }
  views->items = calloc(count, sizeof *views->items);
  if (!views->items)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for %zu buffers", count);
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++) {
    const milo_weight *w = &weights[id];
    for (size_t layer = 0; layer < w->layers; layer++)
      views->items[views->first[id] + layer] =
          milo_buffer_view(block + w->offset + layer * w->stride, w->elements * sizeof *block);
  }
  return MILO_OK;
}

void milo_views_deinit(milo_views *views) {
  free(views->items);
  views->items = NULL;
}

milo_buffer *milo_views_get(const milo_views *views, milo_weight_id id, size_t layer) {
  return views->weights[id].present ? &views->items[views->first[id] + layer] : NULL;
}

milo_weight_id milo_classifier_id(const milo_model_config *config) {
  return config->untied ? MILO_WEIGHT_classifier : MILO_WEIGHT_embedding;
}

size_t milo_views_layer(const milo_views *views, size_t layer, milo_buffer **out) {
  size_t count = 0;
  for (int id = 0; id < MILO_WEIGHT_COUNT; id++)
    if (views->weights[id].present && views->weights[id].per_layer)
      out[count++] = milo_views_get(views, (milo_weight_id)id, layer);
  return count;
}
