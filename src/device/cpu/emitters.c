// SPDX-License-Identifier: MIT
// Which operations have a fast way, and where it is. The others go through their definition.
#include "device/cpu/code.h"

#define E(id) [MILO_OP_##id] = milo_emit_##id
#define ELEMENTWISE(id) [MILO_OP_##id] = milo_emit_elementwise
#define REDUCE(id) [MILO_OP_reduce_##id] = milo_emit_reduce
#define COPY(id) [MILO_OP_##id] = milo_emit_copy_view

milo_emit_fn *const milo_cpu_emitters[MILO_OP_COUNT] = {
    ELEMENTWISE(add), ELEMENTWISE(sub), ELEMENTWISE(mul), ELEMENTWISE(real_div),
    ELEMENTWISE(floor_div), ELEMENTWISE(mod), ELEMENTWISE(pow), ELEMENTWISE(maximum),
    ELEMENTWISE(minimum), ELEMENTWISE(equal), ELEMENTWISE(not_equal), ELEMENTWISE(less),
    ELEMENTWISE(less_equal), ELEMENTWISE(greater), ELEMENTWISE(greater_equal),
    ELEMENTWISE(logical_and), ELEMENTWISE(logical_or), ELEMENTWISE(logical_xor),
    ELEMENTWISE(logical_not), ELEMENTWISE(abs), ELEMENTWISE(sign), ELEMENTWISE(ceil),
    ELEMENTWISE(floor), ELEMENTWISE(round), ELEMENTWISE(square), ELEMENTWISE(sqrt),
    ELEMENTWISE(rsqrt), ELEMENTWISE(inverse), ELEMENTWISE(exp), ELEMENTWISE(exp2),
    ELEMENTWISE(log), ELEMENTWISE(sin), ELEMENTWISE(cos), ELEMENTWISE(tan), ELEMENTWISE(asin),
    ELEMENTWISE(acos), ELEMENTWISE(atan), ELEMENTWISE(sinh), ELEMENTWISE(cosh), ELEMENTWISE(tanh),
    ELEMENTWISE(atanh), ELEMENTWISE(erf), ELEMENTWISE(sigmoid), ELEMENTWISE(silu),
    ELEMENTWISE(relu), ELEMENTWISE(relu6), ELEMENTWISE(softplus), ELEMENTWISE(softsign),
    ELEMENTWISE(gelu), ELEMENTWISE(leaky_relu), ELEMENTWISE(elu), ELEMENTWISE(clip),
    ELEMENTWISE(select), ELEMENTWISE(cast), ELEMENTWISE(silu_gate),
    REDUCE(sum), REDUCE(mean), REDUCE(max), REDUCE(min), REDUCE(prod), REDUCE(sum_square),
    REDUCE(l1_norm), REDUCE(l2_norm), REDUCE(log_sum), REDUCE(log_sum_exp),
    E(silu_gate_grad), E(matmul), E(linear), E(conv), E(softmax), E(layer_norm), E(rms_norm),
    E(rms_norm_grad), E(rope), E(attention), E(attention_grad), E(cross_entropy),
    E(cross_entropy_grad), E(adamw), E(gather), E(scatter), E(slice_update),
    [MILO_OP_concat] = milo_emit_join, [MILO_OP_stack] = milo_emit_join,
    COPY(tile), COPY(reshape), COPY(expand_dims), COPY(squeeze),
};
