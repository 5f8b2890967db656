// SPDX-License-Identifier: MIT
// Which function defines which operation, and evaluating one.
#include "device/ref/ref.h"

#include <assert.h>

#include "device/ref/call.h"

static milo_ref_fn *const functions[MILO_OP_COUNT] = {
    [MILO_OP_identity] = milo_ref_identity,
#define UNARY(id, ...) [MILO_OP_##id] = milo_ref_unary,
#define FORM(...)
#define LOGIC1(id, ...) [MILO_OP_##id] = milo_ref_logical_not,
#define BINARY(id, ...) [MILO_OP_##id] = milo_ref_binary,
#define COMPARE(id, ...) [MILO_OP_##id] = milo_ref_compare,
#define LOGIC(id, ...) [MILO_OP_##id] = milo_ref_logical,
#include "kernels/elementwise.def"
    [MILO_OP_gelu] = milo_ref_unary,
    [MILO_OP_select] = milo_ref_select,
    [MILO_OP_cast] = milo_ref_cast,
    [MILO_OP_matmul] = milo_ref_matmul,
    [MILO_OP_linear] = milo_ref_linear,
    [MILO_OP_conv] = milo_ref_conv,
    [MILO_OP_conv_transpose] = milo_ref_conv_transpose,
    [MILO_OP_avg_pool] = milo_ref_pool,
    [MILO_OP_max_pool] = milo_ref_pool,
    [MILO_OP_l2_pool] = milo_ref_pool,
    [MILO_OP_softmax] = milo_ref_softmax,
    [MILO_OP_layer_norm] = milo_ref_layer_norm,
    [MILO_OP_instance_norm] = milo_ref_instance_norm,
    [MILO_OP_batch_norm] = milo_ref_batch_norm,
    [MILO_OP_reduce_sum] = milo_ref_reduce,
    [MILO_OP_reduce_mean] = milo_ref_reduce,
    [MILO_OP_reduce_max] = milo_ref_reduce,
    [MILO_OP_reduce_min] = milo_ref_reduce,
    [MILO_OP_reduce_prod] = milo_ref_reduce,
    [MILO_OP_reduce_sum_square] = milo_ref_reduce,
    [MILO_OP_reduce_l1_norm] = milo_ref_reduce,
    [MILO_OP_reduce_l2_norm] = milo_ref_reduce,
    [MILO_OP_reduce_log_sum] = milo_ref_reduce,
    [MILO_OP_reduce_log_sum_exp] = milo_ref_reduce,
    [MILO_OP_reduce_argmax] = milo_ref_arg_reduce,
    [MILO_OP_reduce_argmin] = milo_ref_arg_reduce,
    [MILO_OP_cumsum] = milo_ref_cumsum,
    [MILO_OP_reshape] = milo_ref_reshape,
    [MILO_OP_transpose] = milo_ref_transpose,
    [MILO_OP_expand_dims] = milo_ref_reshape,
    [MILO_OP_squeeze] = milo_ref_reshape,
    [MILO_OP_slice_by_size] = milo_ref_slice_by_size,
    [MILO_OP_slice_by_index] = milo_ref_slice_by_index,
    [MILO_OP_slice_update] = milo_ref_slice_update,
    [MILO_OP_concat] = milo_ref_concat,
    [MILO_OP_stack] = milo_ref_stack,
    [MILO_OP_split] = milo_ref_split_op,
    [MILO_OP_tile] = milo_ref_tile,
    [MILO_OP_pad] = milo_ref_pad,
    [MILO_OP_reverse] = milo_ref_reverse,
    [MILO_OP_fill] = milo_ref_fill,
    [MILO_OP_shape] = milo_ref_shape,
    [MILO_OP_range_1d] = milo_ref_range_1d,
    [MILO_OP_one_hot] = milo_ref_one_hot,
    [MILO_OP_gather] = milo_ref_gather,
    [MILO_OP_gather_along_axis] = milo_ref_gather_along_axis,
    [MILO_OP_scatter] = milo_ref_scatter,
    [MILO_OP_scatter_along_axis] = milo_ref_scatter_along_axis,
    [MILO_OP_quantize] = milo_ref_quantize,
    [MILO_OP_dequantize] = milo_ref_dequantize,
    [MILO_OP_constexpr_affine_dequantize] = milo_ref_dequantize,
    [MILO_OP_scale_blocks] = milo_ref_scale_blocks,
    [MILO_OP_rms_norm] = milo_ref_rms_norm,
    [MILO_OP_rms_norm_grad] = milo_ref_rms_norm_grad,
    [MILO_OP_rope] = milo_ref_rope,
    [MILO_OP_attention] = milo_ref_attention,
    [MILO_OP_attention_grad] = milo_ref_attention_grad,
    [MILO_OP_silu_gate_grad] = milo_ref_silu_gate_grad,
    [MILO_OP_cross_entropy] = milo_ref_cross_entropy,
    [MILO_OP_cross_entropy_grad] = milo_ref_cross_entropy_grad,
    [MILO_OP_max_pool_grad] = milo_ref_pool_grad,
    [MILO_OP_avg_pool_grad] = milo_ref_pool_grad,
    [MILO_OP_adamw] = milo_ref_adamw,
    [MILO_OP_non_zero] = milo_ref_non_zero,
};

// Operations whose results' shapes depend on the arguments' values: fill in the unknown dims.
static milo_ref_shape_fn *const shapes[MILO_OP_COUNT] = {
    [MILO_OP_non_zero] = milo_ref_non_zero_shape,
};

bool milo_ref_has(milo_opcode code) { return functions[code] != NULL; }

static bool is_number(const milo_value *value) {
  return milo_type_is_static(&value->type) && value->type.dtype != MILO_STRING;
}

bool milo_ref_supports(const milo_op *op) {
  if (functions[op->code] == NULL) return false;
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k) {
      const milo_value *value = op->args[i].values[k];
      if (!is_number(value) && milo_value_constant(value) == NULL) return false;
    }
  for (size_t i = 0; i < op->result_count; ++i)
    if (!is_number(op->results[i])) return false;
  return true;
}

size_t milo_ref_input_count(const milo_op *op) {
  size_t count = 0;
  for (size_t i = 0; i < op->arg_count; ++i) count += op->args[i].count;
  return count;
}

milo_status milo_ref_eval(const milo_op *op, const void *const *inputs, void *const *outputs,
                          milo_diag *diag) {
  const milo_ref_call call = {.op = op, .inputs = inputs, .outputs = outputs, .diag = diag};
  assert(functions[op->code] != NULL);
  return functions[op->code](&call);
}

milo_status milo_ref_shapes(milo_op *op, milo_diag *diag) {
  if (shapes[op->code] == NULL) return MILO_OK;
  const milo_ref_call call = {.op = op, .diag = diag};
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      if (milo_value_constant(op->args[i].values[k]) == NULL) return MILO_OK;
  return shapes[op->code](&call, op->results);
}

milo_status milo_ref_fold(const milo_op *op, milo_arena *arena, milo_literal *out_results,
                          milo_diag *diag) {
  if (!milo_ref_supports(op)) return MILO_ERR_UNSUPPORTED;
  void **outputs = MILO_NEW_ARRAY(arena, void *, op->result_count);
  for (size_t i = 0; i < op->arg_count; ++i)
    for (size_t k = 0; k < op->args[i].count; ++k)
      if (milo_value_constant(op->args[i].values[k]) == NULL) return MILO_ERR_UNSUPPORTED;
  for (size_t i = 0; i < op->result_count; ++i) {
    const milo_type *type = &op->results[i]->type;
    const size_t bytes = milo_type_bytes(type);
    outputs[i] = milo_arena_alloc(arena, bytes);
    out_results[i] = (milo_literal){.kind = MILO_LITERAL_DATA,
                                    .type = *type,
                                    .data = outputs[i],
                                    .bytes = bytes,
                                    .count = milo_type_elements(type)};
  }
  return milo_ref_eval(op, NULL, outputs, diag);
}

size_t milo_ref_profile(const milo_block *block, const double *seconds, uint64_t runs,
                        milo_profile *rows, size_t max) {
  size_t count = 0;
  for (const milo_op *op = block->first; op != NULL; op = op->next) {
    if (op->code == MILO_OP_const) continue;
    if (count < max)
      rows[count] = (milo_profile){.op = op->name,
                                   .result = op->result_count > 0 ? op->results[0]->name : "",
                                   .device = "ref",
                                   .seconds = seconds[count],
                                   .count = runs};
    ++count;
  }
  return count;
}
