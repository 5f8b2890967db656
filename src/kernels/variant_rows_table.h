// SPDX-License-Identifier: MIT
// One set of row functions: defines MILO_ROWS, a milo_rows, from MILO_SIMD, MILO_ROWS_NAME and
// MILO_ROWS_CAPS. Included once by each file of variants.
#include "base/cpu.h"
#include "kernels/rows.h"
#include "kernels/variant_elementwise.h"
#include "kernels/variant_rows.h"
#include "kernels/variants.h"

const milo_rows MILO_ROWS = {
    .name = MILO_ROWS_NAME,
    .caps = MILO_ROWS_CAPS,
    .unary =
        {
#define UNARY(id, ...) [MILO_UNARY_##id] = unary_##id,
#include "kernels/elementwise.def"
        },
    .binary =
        {
#define BINARY(id, ...) [MILO_BINARY_##id] = binary_##id,
#include "kernels/elementwise.def"
        },
    .select = select_f32,
    .scale = scale_f32,
    .axpy = axpy,
    .weigh = weigh,
    .fp16_to_f32 = fp16_to_f32,
    .f32_to_fp16 = f32_to_fp16,
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_bf16 = f32_to_bf16,
    .sum = sum,
    .sum_square = sum_square,
    .sum_abs = sum_abs,
    .dot = dot,
    .dot_rows = dot_rows,
    .max = row_max,
    .min = row_min,
    .exp_sum = exp_sum,
    .sum_exp = sum_exp,
    .exp_scale = exp_scale,
    .rms_norm = rms_norm,
    .rms_norm_grad = rms_norm_grad,
    .layer_norm = layer_norm,
    .rope = rope,
    .silu_gate_grad = silu_gate_grad,
    .attention_ds = attention_ds,
    .adamw = adamw,
};
