// SPDX-License-Identifier: MIT
// Affine quantisation. scale and zero_point are scalars, or have one element an index of axis.
#include <math.h>

#include "device/ref/call.h"

// Element of a parameter that belongs to element i of x.
static double param_at(const milo_ref_tensor *param, const milo_ref_tensor *x, int axis, size_t i) {
  if (param->count <= 1) return milo_ref_get(param, 0);
  const milo_ref_split s = milo_ref_split_at(x, axis);
  return milo_ref_get(param, i / s.inner % s.dim);
}

static int axis_of(const milo_ref_call *call, int rank) {
  return milo_op_in(call->op, "axis") == NULL ? 0 : milo_op_axis(call->op, "axis", rank);
}

// round(input / scale), half to even, + zero_point, saturated
milo_status milo_ref_quantize(const milo_ref_call *call) {
  milo_ref_tensor input, scale, zero_point, out = milo_ref_out(call, 0);
  milo_ref_in(call, "input", &input);
  milo_ref_in(call, "scale", &scale);
  const bool has_zero = milo_ref_in(call, "zero_point", &zero_point);
  const int axis = axis_of(call, input.rank);
  for (size_t i = 0; i < out.count; ++i) {
    const double q = rint(milo_ref_get(&input, i) / param_at(&scale, &input, axis, i));
    milo_ref_set(&out, i, has_zero ? q + param_at(&zero_point, &input, axis, i) : q);
  }
  return MILO_OK;
}

// (input - zero_point) * scale
milo_status milo_ref_dequantize(const milo_ref_call *call) {
  const bool constexpr_form = call->op->code == MILO_OP_constexpr_affine_dequantize;
  milo_ref_tensor input, scale, zero_point, out = milo_ref_out(call, 0);
  milo_ref_in(call, constexpr_form ? "quantized_data" : "input", &input);
  milo_ref_in(call, "scale", &scale);
  const bool has_zero = milo_ref_in(call, "zero_point", &zero_point);
  const int axis = axis_of(call, input.rank);
  for (size_t i = 0; i < out.count; ++i) {
    const double zero = has_zero ? param_at(&zero_point, &input, axis, i) : 0;
    milo_ref_set(&out, i, (milo_ref_get(&input, i) - zero) * param_at(&scale, &input, axis, i));
  }
  return MILO_OK;
}

// data * scale of its block
milo_status milo_ref_scale_blocks(const milo_ref_call *call) {
  milo_ref_tensor data, scale, out = milo_ref_out(call, 0);
  milo_ref_in(call, "data", &data);
  milo_ref_in(call, "scale", &scale);
  const size_t block = scale.count > 0 ? data.count / scale.count : 1;
  for (size_t i = 0; i < out.count; ++i)
    milo_ref_set(&out, i, milo_ref_get(&data, i) * milo_ref_get(&scale, i / block));
  return MILO_OK;
}
