// SPDX-License-Identifier: MIT
// Which operations have a fast way, and where it is. The others go through their definition.
#include "device/cpu/code.h"

#define E(id) [MILO_OP_##id] = milo_emit_##id
#define ELEMENTWISE(id) [MILO_OP_##id] = milo_emit_elementwise
#define REDUCE(id) [MILO_OP_reduce_##id] = milo_emit_reduce
#define COPY(id) [MILO_OP_##id] = milo_emit_copy_view

milo_emit_fn *const milo_cpu_emitters[MILO_OP_COUNT] = {
#define UNARY(id, ...) ELEMENTWISE(id),
#define FORM(...)
#define BINARY(id, ...) ELEMENTWISE(id),
#include "kernels/elementwise.def"
    ELEMENTWISE(gelu),
    ELEMENTWISE(select),
    ELEMENTWISE(cast),
    REDUCE(sum),
    REDUCE(mean),
    REDUCE(max),
    REDUCE(min),
    REDUCE(prod),
    REDUCE(sum_square),
    REDUCE(l1_norm),
    REDUCE(l2_norm),
    REDUCE(log_sum),
    REDUCE(log_sum_exp),
    E(silu_gate_grad),
    E(matmul),
    E(linear),
    E(conv),
    E(conv_transpose),
    [MILO_OP_avg_pool] = milo_emit_pool,
    [MILO_OP_max_pool] = milo_emit_pool,
    [MILO_OP_l2_pool] = milo_emit_pool,
    [MILO_OP_avg_pool_grad] = milo_emit_pool_grad,
    [MILO_OP_max_pool_grad] = milo_emit_pool_grad,
    E(softmax),
    E(layer_norm),
    E(rms_norm),
    E(rms_norm_grad),
    E(rope),
    E(attention),
    E(attention_grad),
    E(cross_entropy),
    E(cross_entropy_grad),
    E(adamw),
    E(gather),
    E(scatter),
    E(slice_update),
    [MILO_OP_concat] = milo_emit_join,
    [MILO_OP_stack] = milo_emit_join,
    COPY(tile),
    COPY(reshape),
    COPY(expand_dims),
    COPY(squeeze),
};
