// SPDX-License-Identifier: MIT
// The kernels of the plans static and dynamic: rows of kernels.def, and what follows from a row and
// a model's dimensions: where each part lies in a packed input or output, and the MIL program.
//
// Activations are channel-first, [1, C, 1, S]. A packed tensor holds several of them one after the
// other along the channels, or along the columns (weights as inputs).
#ifndef MILO_PLAN_KERNEL_H
#define MILO_PLAN_KERNEL_H

#include "model/model.h"

typedef enum milo_kernel_id {
#define KERNEL(id, ...) MILO_KERNEL_##id,
#include "plan/kernels.def"
  MILO_KERNEL_COUNT,
} milo_kernel_id;

// A dimension by what it is in the model.
typedef enum milo_extent {
  MILO_EXTENT_NONE,
  MILO_EXTENT_ONE,
  MILO_EXTENT_D,   // dim
  MILO_EXTENT_H,   // hidden
  MILO_EXTENT_Q,   // heads * head_dim
  MILO_EXTENT_KV,  // kv_heads * head_dim
  MILO_EXTENT_SC,  // heads * S
  MILO_EXTENT_S,   // tokens
  MILO_EXTENT_R,   // rows of the classifier that one program takes
} milo_extent;

enum { MILO_KERNEL_MAX_PARTS = 8 };

// All zero past the last part of a list.
typedef struct milo_part {
  const char *name;
  milo_extent extent;  // channels; columns where the input is packed along columns
  milo_extent across;  // columns, where they are not S; only of parts that are apart
  bool is_weight;      // a column-packed input's weight
  milo_tensor_id tensor;
  bool transposed;  // staged as [in, out]
  bool norm;        // only in models with qk_norm
} milo_part;

typedef struct milo_baked {
  bool present;
  milo_tensor_id tensor;
  bool transposed;  // [in, out]
} milo_baked;

enum { MILO_KERNEL_STATIC = 1, MILO_KERNEL_DYNAMIC = 2, MILO_KERNEL_BLOCK = 4 };

typedef struct milo_plan_kernel {
  const char *name, *what;
  unsigned plan;
  milo_part in[MILO_KERNEL_MAX_PARTS + 1], out[MILO_KERNEL_MAX_PARTS + 1];
  milo_extent columns;
  bool apart;
  milo_baked baked[MILO_KERNEL_MAX_PARTS + 1];
  bool per_layer;
} milo_plan_kernel;

const milo_plan_kernel *milo_plan_kernel_get(milo_kernel_id id);

// What a kernel is made for.
typedef struct milo_plan_shape {
  const milo_model_config *config;  // complete
  int64_t seq;
  milo_dtype dtype;       // MILO_FP16 or MILO_FP32: of inputs, outputs and weights
  int64_t rows;           // of the classifier a program, see milo_plan_classifier_rows
  int64_t first_row;      // of them: where the program's begin
  const milo_host *host;  // whose threads and conversions bake weights; NULL: plain, one thread
} milo_plan_shape;
int64_t milo_plan_extent(const milo_plan_shape *shape, milo_extent extent);
// All rows of a classifier up to 65,536; of larger ones the most that divides them and is at most
// 16,384, or 16,384 if that would be few (the last program then has fewer).
int64_t milo_plan_classifier_rows(int64_t vocab);

// What residual branches, and their gradients, are multiplied by.
double milo_plan_residual(const milo_model_config *config);

// A rectangle of a packed tensor.
typedef struct milo_region {
  size_t channel, column, channels, columns;
} milo_region;

// Where the parts of a kernel's input or output lie. Parts that the model does not have are left
// out. Of kernels with parts apart every part lies at 0, 0 of a tensor of its own.
typedef struct milo_layout {
  size_t channels, columns;  // of the whole, or of all parts' tensors together if apart
  size_t count;
  const milo_part *parts[MILO_KERNEL_MAX_PARTS];
  milo_region regions[MILO_KERNEL_MAX_PARTS];
} milo_layout;
milo_layout milo_plan_layout(const milo_plan_shape *shape, const milo_plan_kernel *kernel,
                             bool output);
// The region of a part, which is there.
milo_region milo_layout_region(const milo_layout *layout, const char *name);

// Adds the kernel's function to program (empty): "main", with the packed input "input" and output
// "output", or, if they are apart, "p00_<part>", "p01_<part>", ...: devices that bind by name in
// alphabetical order then bind in order. Weights come from a layer of model (any layer for those of
// no layer); NULL: they are blob references without data.
MILO_MUST_USE milo_status milo_plan_kernel_build(milo_program *program, milo_kernel_id id,
                                                 const milo_plan_shape *shape,
                                                 const milo_model *model, size_t layer,
                                                 milo_diag *diag, milo_func **out_func);

// Floating-point operations of the function's matrix products and convolutions, 2 a term.
uint64_t milo_plan_flops(const milo_func *func);

#endif
