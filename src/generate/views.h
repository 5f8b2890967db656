// SPDX-License-Identifier: MIT
// Buffers over a model's weights, or over any block of the same layout (gradients, moments), so
// that executables read and write them in place.
#ifndef MILO_GENERATE_VIEWS_H
#define MILO_GENERATE_VIEWS_H

#include "device/device.h"
#include "model/model.h"

// A buffer over memory that somebody else owns and that outlives it. Never to be released.
milo_buffer milo_buffer_view(void *data, size_t bytes);

typedef struct milo_views {
  const milo_weight *weights;  // the layout, borrowed
  milo_buffer *items;          // one a present weight and layer
  size_t first[MILO_WEIGHT_COUNT];
} milo_views;

// block is laid out by weights; both are borrowed.
MILO_MUST_USE milo_status milo_views_init(milo_views *views, const milo_weight *weights,
                                          float *block, milo_diag *diag);
void milo_views_deinit(milo_views *views);
// NULL if the model has no such weight. layer: 0 for those that are not per layer.
milo_buffer *milo_views_get(const milo_views *views, milo_weight_id id, size_t layer);
// The classifier's weights: the embedding unless the model is untied.
milo_weight_id milo_classifier_id(const milo_model_config *config);
// Writes the per-layer weights of a layer, in the order of model.h, to out (room for
// MILO_WEIGHT_COUNT); returns how many there are.
size_t milo_views_layer(const milo_views *views, size_t layer, milo_buffer **out);

#endif
