// SPDX-License-Identifier: MIT
// The functions that the rows of ir/ops.def name.
#ifndef MILO_IR_OPS_OPS_H
#define MILO_IR_OPS_OPS_H

#include "ir/op.h"

// ---- result types ----

// elementwise.c
milo_infer_fn milo_infer_const, milo_infer_same, milo_infer_broadcast, milo_infer_compare,
    milo_infer_select, milo_infer_gelu, milo_infer_cast;
// matrix.c
milo_infer_fn milo_infer_matmul, milo_infer_linear, milo_infer_conv;
// reduce.c
milo_infer_fn milo_infer_reduce, milo_infer_argreduce, milo_infer_cumsum, milo_infer_softmax,
    milo_infer_layer_norm;
// shape.c
milo_infer_fn milo_infer_reshape, milo_infer_transpose, milo_infer_expand_dims, milo_infer_squeeze,
    milo_infer_tile, milo_infer_pad, milo_infer_reverse;
// make.c
milo_infer_fn milo_infer_fill, milo_infer_shape, milo_infer_range_1d, milo_infer_one_hot;
// slice.c
milo_infer_fn milo_infer_slice_by_size, milo_infer_slice_by_index, milo_infer_slice_update;
// join.c
milo_infer_fn milo_infer_concat, milo_infer_stack, milo_infer_split;
// gather.c
milo_infer_fn milo_infer_gather, milo_infer_gather_along_axis, milo_infer_scatter,
    milo_infer_scatter_along_axis;
// quant.c
milo_infer_fn milo_infer_quantize, milo_infer_dequantize, milo_infer_constexpr_affine_dequantize;
// composite_infer.c
milo_infer_fn milo_infer_rms_norm, milo_infer_rms_norm_grad, milo_infer_rope, milo_infer_attention,
    milo_infer_attention_grad, milo_infer_silu_gate, milo_infer_silu_gate_grad,
    milo_infer_cross_entropy, milo_infer_cross_entropy_grad, milo_infer_adamw;

#endif
