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
milo_infer_fn milo_infer_matmul, milo_infer_linear;
// window.c
milo_infer_fn milo_infer_conv, milo_infer_conv_transpose, milo_infer_pool, milo_infer_max_pool_grad,
    milo_infer_avg_pool_grad;
// reduce.c
milo_infer_fn milo_infer_reduce, milo_infer_argreduce, milo_infer_cumsum, milo_infer_softmax,
    milo_infer_layer_norm, milo_infer_instance_norm, milo_infer_batch_norm;
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
milo_infer_fn milo_infer_gather, milo_infer_gather_along_axis, milo_infer_non_zero,
    milo_infer_scatter, milo_infer_scatter_along_axis;
// quant.c
milo_infer_fn milo_infer_quantize, milo_infer_dequantize, milo_infer_constexpr_affine_dequantize,
    milo_infer_scale_blocks;
// control.c
milo_infer_fn milo_infer_cond, milo_infer_while_loop;
// list.c
milo_infer_fn milo_infer_make_list, milo_infer_list_length, milo_infer_list_read,
    milo_infer_list_write, milo_infer_list_gather, milo_infer_list_scatter;
// state.c
milo_infer_fn milo_infer_read_state, milo_infer_write_state;
// composite_infer.c
milo_infer_fn milo_infer_rms_norm, milo_infer_rms_norm_grad, milo_infer_rope, milo_infer_attention,
    milo_infer_attention_grad, milo_infer_silu_gate, milo_infer_silu_gate_grad,
    milo_infer_cross_entropy, milo_infer_cross_entropy_grad, milo_infer_adamw;

milo_vjp_fn milo_vjp_abs;
milo_vjp_fn milo_vjp_acos;
milo_vjp_fn milo_vjp_add;
milo_vjp_fn milo_vjp_asin;
milo_vjp_fn milo_vjp_atan;
milo_vjp_fn milo_vjp_atanh;
milo_vjp_fn milo_vjp_attention;
milo_vjp_fn milo_vjp_avg_pool;
milo_vjp_fn milo_vjp_batch_norm;
milo_vjp_fn milo_vjp_cast;
milo_vjp_fn milo_vjp_clip;
milo_vjp_fn milo_vjp_concat;
milo_vjp_fn milo_vjp_conv;
milo_vjp_fn milo_vjp_conv_transpose;
milo_vjp_fn milo_vjp_cos;
milo_vjp_fn milo_vjp_cosh;
milo_vjp_fn milo_vjp_cross_entropy;
milo_vjp_fn milo_vjp_cumsum;
milo_vjp_fn milo_vjp_elu;
milo_vjp_fn milo_vjp_erf;
milo_vjp_fn milo_vjp_exp;
milo_vjp_fn milo_vjp_exp2;
milo_vjp_fn milo_vjp_gather;
milo_vjp_fn milo_vjp_gather_along_axis;
milo_vjp_fn milo_vjp_gelu;
milo_vjp_fn milo_vjp_identity;
milo_vjp_fn milo_vjp_instance_norm;
milo_vjp_fn milo_vjp_inverse;
milo_vjp_fn milo_vjp_l2_pool;
milo_vjp_fn milo_vjp_layer_norm;
milo_vjp_fn milo_vjp_leaky_relu;
milo_vjp_fn milo_vjp_linear;
milo_vjp_fn milo_vjp_log;
milo_vjp_fn milo_vjp_matmul;
milo_vjp_fn milo_vjp_max_pool;
milo_vjp_fn milo_vjp_maximum;
milo_vjp_fn milo_vjp_minimum;
milo_vjp_fn milo_vjp_mod;
milo_vjp_fn milo_vjp_mul;
milo_vjp_fn milo_vjp_pad;
milo_vjp_fn milo_vjp_pow;
milo_vjp_fn milo_vjp_real_div;
milo_vjp_fn milo_vjp_reduce_l1_norm;
milo_vjp_fn milo_vjp_reduce_l2_norm;
milo_vjp_fn milo_vjp_reduce_log_sum;
milo_vjp_fn milo_vjp_reduce_log_sum_exp;
milo_vjp_fn milo_vjp_reduce_max;
milo_vjp_fn milo_vjp_reduce_mean;
milo_vjp_fn milo_vjp_reduce_min;
milo_vjp_fn milo_vjp_reduce_prod;
milo_vjp_fn milo_vjp_reduce_sum;
milo_vjp_fn milo_vjp_reduce_sum_square;
milo_vjp_fn milo_vjp_relu;
milo_vjp_fn milo_vjp_relu6;
milo_vjp_fn milo_vjp_reshape;
milo_vjp_fn milo_vjp_reverse;
milo_vjp_fn milo_vjp_rms_norm;
milo_vjp_fn milo_vjp_rope;
milo_vjp_fn milo_vjp_rsqrt;
milo_vjp_fn milo_vjp_scatter;
milo_vjp_fn milo_vjp_scatter_along_axis;
milo_vjp_fn milo_vjp_select;
milo_vjp_fn milo_vjp_sigmoid;
milo_vjp_fn milo_vjp_silu;
milo_vjp_fn milo_vjp_scale_blocks;
milo_vjp_fn milo_vjp_silu_gate;
milo_vjp_fn milo_vjp_sin;
milo_vjp_fn milo_vjp_sinh;
milo_vjp_fn milo_vjp_slice_by_index;
milo_vjp_fn milo_vjp_slice_by_size;
milo_vjp_fn milo_vjp_slice_update;
milo_vjp_fn milo_vjp_softmax;
milo_vjp_fn milo_vjp_softplus;
milo_vjp_fn milo_vjp_softsign;
milo_vjp_fn milo_vjp_split;
milo_vjp_fn milo_vjp_sqrt;
milo_vjp_fn milo_vjp_square;
milo_vjp_fn milo_vjp_stack;
milo_vjp_fn milo_vjp_sub;
milo_vjp_fn milo_vjp_tan;
milo_vjp_fn milo_vjp_tanh;
milo_vjp_fn milo_vjp_tile;
milo_vjp_fn milo_vjp_transpose;

milo_decompose_fn milo_decompose_adamw;
milo_decompose_fn milo_decompose_attention;
milo_decompose_fn milo_decompose_attention_grad;
milo_decompose_fn milo_decompose_avg_pool_grad;
milo_decompose_fn milo_decompose_batch_norm;
milo_decompose_fn milo_decompose_cross_entropy;
milo_decompose_fn milo_decompose_cross_entropy_grad;
milo_decompose_fn milo_decompose_instance_norm;
milo_decompose_fn milo_decompose_max_pool_grad;
milo_decompose_fn milo_decompose_rms_norm;
milo_decompose_fn milo_decompose_rms_norm_grad;
milo_decompose_fn milo_decompose_rope;
milo_decompose_fn milo_decompose_scale_blocks;
milo_decompose_fn milo_decompose_silu_gate;
milo_decompose_fn milo_decompose_silu_gate_grad;

#endif
