// SPDX-License-Identifier: MIT
// The table of kernels, and layouts made from it.
#include "plan/kernel.h"

#include <assert.h>
#include <string.h>

enum { NORM_COLUMNS = 8 };

#define STATIC MILO_KERNEL_STATIC
#define DYNAMIC MILO_KERNEL_DYNAMIC
#define BLOCK MILO_KERNEL_BLOCK
#define LAYER true
#define MODEL false
#define scope per_layer
// Parts, see kernels.def.
#define P(part, size) \
  { .name = #part, .extent = MILO_EXTENT_##size }
#define PN(part, size) \
  { .name = #part, .extent = MILO_EXTENT_##size, .norm = true }
#define PA(part, size, columns) \
  { .name = #part, .extent = MILO_EXTENT_##size, .across = MILO_EXTENT_##columns }
#define WEIGHT(id, size) \
  .name = #id, .extent = MILO_EXTENT_##size, .is_weight = true, .tensor = MILO_TENSOR_##id
#define W(id, size) \
  { WEIGHT(id, size) }
#define WT(id, size) \
  { WEIGHT(id, size), .transposed = true }
#define WN(id) \
  { WEIGHT(id, ONE), .norm = true }
#define B(id) \
  { .present = true, .tensor = MILO_TENSOR_##id }
#define BT(id) \
  { .present = true, .tensor = MILO_TENSOR_##id, .transposed = true }
static const milo_plan_kernel kernels[MILO_KERNEL_COUNT] = {
#define KERNEL(id, text, ...) [MILO_KERNEL_##id] = {.name = #id, .what = text, __VA_ARGS__},
#include "plan/kernels.def"
};
#undef scope

const milo_plan_kernel *milo_plan_kernel_get(milo_kernel_id id) { return &kernels[id]; }

int64_t milo_plan_extent(const milo_plan_shape *shape, milo_extent extent) {
  const milo_model_config *c = shape->config;
  switch (extent) {
    case MILO_EXTENT_D:
      return c->dim;
    case MILO_EXTENT_H:
      return c->hidden;
    case MILO_EXTENT_Q:
      return c->heads * c->head_dim;
    case MILO_EXTENT_KV:
      return c->kv_heads * c->head_dim;
    case MILO_EXTENT_SC:
      return c->heads * shape->seq;
    case MILO_EXTENT_S:
      return shape->seq;
    case MILO_EXTENT_R:
      return shape->rows;
    case MILO_EXTENT_NONE:
    case MILO_EXTENT_ONE:
      break;
  }
  return 1;
}

int64_t milo_plan_classifier_rows(int64_t vocab) {
  enum { WHOLE = 65536, MOST = 16384, FEWEST = 1024 };
  if (vocab <= WHOLE) return vocab;
  for (int64_t count = (vocab + MOST - 1) / MOST; vocab / count >= FEWEST; count++)
    if (vocab % count == 0) return vocab / count;
  return MOST;
}

double milo_plan_residual(const milo_model_config *config) { return config->residual_scale; }

milo_layout milo_plan_layout(const milo_plan_shape *shape, const milo_plan_kernel *kernel,
                             bool output) {
  const bool by_column = !output && kernel->columns != MILO_EXTENT_NONE;
  const size_t seq = (size_t)shape->seq;
  milo_layout layout = {.columns = by_column ? 0 : seq};
  if (by_column) layout.channels = (size_t)milo_plan_extent(shape, kernel->columns);
  for (const milo_part *part = output ? kernel->out : kernel->in; part->name; part++) {
    if (part->norm && !shape->config->qk_norm) continue;
    const size_t extent = (size_t)milo_plan_extent(shape, part->extent);
    milo_region *r = &layout.regions[layout.count];
    layout.parts[layout.count++] = part;
    if (by_column) {
      // A norm's weights are head_dim channels of one column.
      const size_t channels = part->norm ? (size_t)shape->config->head_dim : layout.channels;
      *r = (milo_region){0, layout.columns, channels, extent};
      layout.columns += part->norm ? NORM_COLUMNS : extent;
      continue;
    }
    const size_t columns = part->across ? (size_t)milo_plan_extent(shape, part->across) : seq;
    *r = (milo_region){kernel->apart ? 0 : layout.channels, 0, extent, columns};
    layout.channels += extent;
  }
  return layout;
}

milo_region milo_layout_region(const milo_layout *layout, const char *name) {
  size_t i = 0;
  while (i < layout->count && strcmp(layout->parts[i]->name, name) != 0) i++;
  assert(i < layout->count);
  return layout->regions[i];
}
