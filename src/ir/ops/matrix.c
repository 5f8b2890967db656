// SPDX-License-Identifier: MIT
// Result types: matrix products and convolution.
#include <inttypes.h>
#include <string.h>

#include "ir/ops/geometry.h"
#include "ir/ops/infer.h"

// The last two axes of an operand, and the axes before them. A vector is a row (x) or a column (y).
typedef struct operand {
  int64_t rows, columns;
  milo_type batch;
} operand;

static milo_status read_operand(const milo_op *op, milo_diag *diag, const char *param,
                                const char *transpose, operand *out) {
  const milo_type *type = milo_infer_arg(op, param);
  bool transposed = false;
  MILO_TRY(milo_infer_bool(op, diag, transpose, &transposed));
  *out = (operand){MILO_DIM_UNKNOWN, MILO_DIM_UNKNOWN, *type};
  if (type->rank < 0) return MILO_OK;
  if (type->rank == 0)
    return milo_infer_bad(op, diag, param, "is %s, expected rank 1 or more\nuse mul for scalars",
                          milo_infer_show(op, type));
  if (type->rank == 1) {  // transposing a vector does nothing
    const bool row = strcmp(param, "x") == 0;
    out->rows = row ? 1 : type->dims[0];
    out->columns = row ? type->dims[0] : 1;
    out->batch.rank = 0;
    return MILO_OK;
  }
  const int64_t rows = type->dims[type->rank - 2], columns = type->dims[type->rank - 1];
  out->rows = transposed ? columns : rows;
  out->columns = transposed ? rows : columns;
  out->batch.rank = type->rank - 2;
  return MILO_OK;
}

milo_status milo_infer_matmul(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *xt = milo_infer_arg(op, "x"), *yt = milo_infer_arg(op, "y");
  operand x, y;
  MILO_TRY(read_operand(op, diag, "x", "transpose_x", &x));
  MILO_TRY(read_operand(op, diag, "y", "transpose_y", &y));
  if (!milo_infer_dims_agree(x.columns, y.rows))
    return milo_infer_bad(op, diag, NULL,
                          "x %s and y %s do not multiply: %" PRId64 " columns against %" PRId64
                          " rows (after transpose_x = %s, transpose_y = %s)",
                          milo_infer_show(op, xt), milo_infer_show(op, yt), x.columns, y.rows,
                          milo_op_bool(op, "transpose_x") ? "true" : "false",
                          milo_op_bool(op, "transpose_y") ? "true" : "false");
  milo_type type = milo_infer_unranked(xt->dtype);
  MILO_TRY(milo_infer_broadcast_dims(op, diag, "the batch of x", &x.batch, "that of y", &y.batch,
                                     &type));
  if (type.rank >= 0) {
    if (xt->rank > 1) type.dims[type.rank++] = x.rows;
    if (yt->rank > 1) type.dims[type.rank++] = y.columns;
  }
  return milo_infer_add(op, diag, out, type);
}

milo_status milo_infer_linear(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  MILO_TRY(milo_infer_rank(op, diag, "weight", 2));
  const bool ranked = weight->rank == 2;
  const int64_t outputs = ranked ? weight->dims[0] : MILO_DIM_UNKNOWN;
  const int64_t inputs = ranked ? weight->dims[1] : MILO_DIM_UNKNOWN;
  MILO_TRY(milo_infer_expect(op, diag, "bias", 1, &outputs, "one for each row of weight"));
  milo_type type = *x;
  if (x->rank == 0)
    return milo_infer_bad(op, diag, "x", "is %s, expected rank 1 or more", milo_infer_show(op, x));
  if (x->rank > 0) {
    if (!milo_infer_dims_agree(x->dims[x->rank - 1], inputs))
      return milo_infer_bad(op, diag, NULL,
                            "x %s has %" PRId64 " columns, weight %s expects %" PRId64
                            "\nweight is [outputs, inputs]",
                            milo_infer_show(op, x), x->dims[x->rank - 1],
                            milo_infer_show(op, weight), inputs);
    type.dims[x->rank - 1] = outputs;
  }
  return milo_infer_add(op, diag, out, type);
}

// strides, dilations: ones if left out, else positive.
static milo_status read_steps(const milo_op *op, milo_diag *diag, const char *param, int spatial,
                              int64_t *steps) {
  milo_infer_list list;
  MILO_TRY(milo_infer_ints(op, diag, param, spatial, &list));
  if (list.given && !list.known) return milo_infer_bad(op, diag, param, "must be a constant");
  for (int i = 0; i < spatial; i++) {
    steps[i] = list.given ? list.items[i] : 1;
    if (steps[i] < 1)
      return milo_infer_bad(op, diag, param, "holds %" PRId64 ", expected 1 or more", steps[i]);
  }
  return MILO_OK;
}

enum { PAD_VALID, PAD_CUSTOM, PAD_SAME, PAD_SAME_LOWER };

static milo_status read_custom_pad(const milo_op *op, milo_diag *diag, milo_conv_geometry *g) {
  milo_infer_list list;
  MILO_TRY(milo_infer_ints(op, diag, "pad", 2 * g->spatial, &list));
  if (!list.given) return MILO_OK;
  if (!list.known) return milo_infer_bad(op, diag, "pad", "must be a constant");
  for (int i = 0; i < 2 * g->spatial; i++) {
    if (list.items[i] < 0)
      return milo_infer_bad(op, diag, "pad", "holds %" PRId64 ", expected 0 or more",
                            list.items[i]);
    *(i % 2 == 0 ? &g->pad_begin[i / 2] : &g->pad_end[i / 2]) = list.items[i];
  }
  return MILO_OK;
}

milo_status milo_conv_geometry_get(const milo_op *op, milo_diag *diag,
                                   milo_conv_geometry *out_geometry) {
  static const char *const pad_types[] = {"valid", "custom", "same", "same_lower", NULL};
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  milo_conv_geometry g = {.spatial = x->rank - 2};
  int pad_type = PAD_VALID;
  MILO_TRY(milo_infer_word(op, diag, "pad_type", pad_types, &pad_type));
  MILO_TRY(milo_infer_int(op, diag, "groups", &g.groups));
  if (g.groups < 1)
    return milo_infer_bad(op, diag, "groups", "is %" PRId64 ", expected 1 or more", g.groups);
  MILO_TRY(read_steps(op, diag, "strides", g.spatial, g.stride));
  MILO_TRY(read_steps(op, diag, "dilations", g.spatial, g.dilation));
  if (pad_type == PAD_CUSTOM) MILO_TRY(read_custom_pad(op, diag, &g));
  for (int i = 0; i < g.spatial; i++) {
    const int64_t in = x->dims[2 + i], kernel = weight->dims[2 + i];
    g.out[i] = MILO_DIM_UNKNOWN;
    if (kernel == 0) return milo_infer_bad(op, diag, "weight", "has an empty kernel");
    if (in == MILO_DIM_UNKNOWN || kernel == MILO_DIM_UNKNOWN) continue;
    int64_t reach = 0, padded = in;  // elements that the kernel spans, that it moves over
    bool fits = milo_infer_dims_mul(kernel - 1, g.dilation[i], &reach) &&
                milo_infer_dims_add(reach, 1, &reach);
    if (fits && pad_type >= PAD_SAME) {
      // As many outputs as strides fit; the odd element of padding goes behind, for same_lower
      // before. total = (ceil(in / stride) - 1) * stride + reach - in, if that is positive.
      const int64_t covered = in == 0 ? 0 : (in - 1) / g.stride[i] * g.stride[i];
      const int64_t total = reach - (in - covered) > 0 ? reach - (in - covered) : 0;
      g.pad_begin[i] = pad_type == PAD_SAME ? total / 2 : total - total / 2;
      g.pad_end[i] = total - g.pad_begin[i];
    }
    fits = fits && milo_infer_dims_add(padded, g.pad_begin[i], &padded) &&
           milo_infer_dims_add(padded, g.pad_end[i], &padded);
    if (!fits) return milo_infer_bad(op, diag, NULL, "axis %d: kernel or padding too large", 2 + i);
    if (padded < reach)
      return milo_infer_bad(op, diag, NULL,
                            "axis %d: the kernel spans %" PRId64
                            " elements, the padded input has %" PRId64,
                            2 + i, reach, padded);
    g.out[i] = (padded - reach) / g.stride[i] + 1;
  }
  *out_geometry = g;
  return MILO_OK;
}

milo_status milo_infer_conv(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  if (x->rank < 3 || x->rank > 2 + MILO_CONV_MAX_SPATIAL)
    return milo_infer_bad(op, diag, "x", "is %s, expected rank 3 to 5 (batch, channels, space)",
                          milo_infer_show(op, x));
  milo_type type = milo_type_tensor(x->dtype, x->rank, x->dims);
  if (weight->rank < 0) {
    for (int i = 1; i < type.rank; i++) type.dims[i] = MILO_DIM_UNKNOWN;
    return milo_infer_add(op, diag, out, type);
  }
  MILO_TRY(milo_infer_rank(op, diag, "weight", x->rank));
  milo_conv_geometry g = {0};
  MILO_TRY(milo_conv_geometry_get(op, diag, &g));
  const int64_t channels = x->dims[1], outputs = weight->dims[0], inputs = weight->dims[1];
  if (channels != MILO_DIM_UNKNOWN && channels % g.groups != 0)
    return milo_infer_bad(op, diag, "groups",
                          "is %" PRId64 ", which does not divide x's %" PRId64 " channels",
                          g.groups, channels);
  if (outputs != MILO_DIM_UNKNOWN && outputs % g.groups != 0)
    return milo_infer_bad(op, diag, "groups",
                          "is %" PRId64 ", which does not divide weight's %" PRId64
                          " output channels",
                          g.groups, outputs);
  if (channels != MILO_DIM_UNKNOWN && !milo_infer_dims_agree(channels / g.groups, inputs))
    return milo_infer_bad(op, diag, "weight",
                          "is %s, expected %" PRId64 " input channels (x has %" PRId64
                          " in %" PRId64 " groups)",
                          milo_infer_show(op, weight), channels / g.groups, channels, g.groups);
  MILO_TRY(milo_infer_expect(op, diag, "bias", 1, &outputs, "one for each output channel"));
  type.dims[1] = outputs;
  for (int i = 0; i < g.spatial; i++) type.dims[2 + i] = g.out[i];
  return milo_infer_add(op, diag, out, type);
}
