// SPDX-License-Identifier: MIT
// Parameter sets: an ordered list of named tensors. What trains, saves, clips and generates knows
// sets, not models.
#ifndef MILO_MODEL_PARAMS_H
#define MILO_MODEL_PARAMS_H

#include "device/device.h"

typedef struct milo_parameter {
  const char *name;     // unique in its set; as Hugging Face's checkpoints spell it, for a Llama
  milo_type type;       // static; the element type is the one stored
  milo_buffer *buffer;  // its content; the buffer's version tells when that changed
  bool trainable;
  bool decays;  // weight decay acts on it
} milo_parameter;

// Zero-initialised is an empty set.
typedef struct milo_params {
  milo_arena arena;  // names
  milo_parameter *items;
  size_t count, capacity;
  uint32_t *table;  // hash of names to index + 1
  size_t table_size;
} milo_params;

void milo_params_deinit(milo_params *params);
// name is copied; no buffer yet. MILO_ERR_INVALID if the name is taken.
MILO_MUST_USE milo_status milo_params_add(milo_params *params, const char *name,
                                          const milo_type *type, bool trainable, bool decays,
                                          milo_diag *diag);
// The index of a name; params->count if it is not there.
size_t milo_params_index(const milo_params *params, const char *name);
// Gives every parameter without a buffer one, zeroed, in the device's memory (NULL: the host's).
MILO_MUST_USE milo_status milo_params_alloc(milo_params *params, milo_device *device,
                                            milo_diag *diag);
// Elements of all.
uint64_t milo_params_elements(const milo_params *params);

// count elements from the first-th on, converted from and to the stored type: fp32, fp16, bf16.
// The range lies inside.
MILO_MUST_USE milo_status milo_parameter_get(const milo_parameter *param, size_t first,
                                             size_t count, float *out, milo_diag *diag);
MILO_MUST_USE milo_status milo_parameter_set(const milo_parameter *param, size_t first,
                                             size_t count, const float *values, milo_diag *diag);
// MILO_ERR_INVALID, with the name of the first parameter that holds a NaN or an infinity.
MILO_MUST_USE milo_status milo_params_check_finite(const milo_params *params, milo_loc loc,
                                                   milo_diag *diag);

#endif
