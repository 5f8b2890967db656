// SPDX-License-Identifier: MIT
// Result types: what moves a window over spatial axes: convolution, transposed convolution,
// pooling.
#include <inttypes.h>
#include <string.h>

#include "ir/ops/geometry.h"
#include "ir/ops/infer.h"

// kernel_sizes, strides, dilations: positive; ones if left out.
static milo_status read_steps(const milo_op *op, milo_diag *diag, const char *param, int axes,
                              int64_t *steps) {
  milo_infer_list list;
  MILO_TRY(milo_infer_ints(op, diag, param, axes, &list));
  if (list.given && !list.known) return milo_infer_bad(op, diag, param, "must be a constant");
  for (int i = 0; i < axes; i++) {
    steps[i] = list.given ? list.items[i] : 1;
    if (steps[i] < 1)
      return milo_infer_bad(op, diag, param, "holds %" PRId64 ", expected 1 or more", steps[i]);
  }
  return MILO_OK;
}

enum { PAD_VALID, PAD_CUSTOM, PAD_SAME, PAD_SAME_LOWER };

static milo_status read_custom_pad(const milo_op *op, milo_diag *diag, milo_window *w) {
  milo_infer_list list;
  MILO_TRY(milo_infer_ints(op, diag, "pad", 2 * w->axes, &list));
  if (!list.given) return MILO_OK;
  if (!list.known) return milo_infer_bad(op, diag, "pad", "must be a constant");
  for (int i = 0; i < 2 * w->axes; i++) {
    if (list.items[i] < 0)
      return milo_infer_bad(op, diag, "pad", "holds %" PRId64 ", expected 0 or more",
                            list.items[i]);
    *(i % 2 == 0 ? &w->pad_begin[i / 2] : &w->pad_end[i / 2]) = list.items[i];
  }
  return MILO_OK;
}

// pad_type, and pad where it counts.
static milo_status read_pad(const milo_op *op, milo_diag *diag, bool has_lower, milo_window *w,
                            int *out_type) {
  static const char *const all[] = {"valid", "custom", "same", "same_lower", NULL};
  static const char *const some[] = {"valid", "custom", "same", NULL};
  MILO_TRY(milo_infer_word(op, diag, "pad_type", has_lower ? all : some, out_type));
  return *out_type == PAD_CUSTOM ? read_custom_pad(op, diag, w) : MILO_OK;
}

static milo_status too_large(const milo_op *op, milo_diag *diag, int axis) {
  return milo_infer_bad(op, diag, NULL, "axis %d: kernel or padding too large", 2 + axis);
}

// Elements that the window spans.
static bool reach_of(const milo_window *w, int axis, int64_t *out_reach) {
  return milo_infer_dims_mul(w->kernel[axis] - 1, w->dilation[axis], out_reach) &&
         milo_infer_dims_add(*out_reach, 1, out_reach);
}

// Padding such that x positions stride apart have a window each, `total` of it in all; the odd
// element goes behind, for same_lower before.
static void pad_same(milo_window *w, int axis, int pad_type, int64_t total) {
  if (total < 0) total = 0;
  w->pad_begin[axis] = pad_type == PAD_SAME_LOWER ? total - total / 2 : total / 2;
  w->pad_end[axis] = total - w->pad_begin[axis];
}

// Positions of the window on an axis of `in` elements, padded. ceil: one more where elements are
// left over, unless it would begin in the padding.
static milo_status place(const milo_op *op, milo_diag *diag, milo_window *w, int axis, int64_t in,
                         int pad_type, bool ceil) {
  w->out[axis] = MILO_DIM_UNKNOWN;
  if (in == MILO_DIM_UNKNOWN || w->kernel[axis] == MILO_DIM_UNKNOWN) return MILO_OK;
  const int64_t stride = w->stride[axis];
  int64_t reach = 0, padded = in;  // elements that the window moves over
  bool fits = reach_of(w, axis, &reach);
  if (fits && pad_type >= PAD_SAME) {
    // (ceil(in / stride) - 1) * stride + reach - in, if that is positive.
    const int64_t covered = in == 0 ? 0 : (in - 1) / stride * stride;
    pad_same(w, axis, pad_type, reach - (in - covered));
  }
  fits = fits && milo_infer_dims_add(padded, w->pad_begin[axis], &padded) &&
         milo_infer_dims_add(padded, w->pad_end[axis], &padded);
  int64_t end = 0;  // no position and no element of a window reaches as far
  fits = fits && milo_infer_dims_add(padded, reach, &end) &&
         (!ceil || milo_infer_dims_add(end, stride, &end));
  if (!fits) return too_large(op, diag, axis);
  const int64_t spare = padded - reach, rest = stride - 1;
  if (spare < 0 && !(ceil && -spare <= rest))
    return milo_infer_bad(op, diag, NULL,
                          "axis %d: the kernel spans %" PRId64
                          " elements, the padded input has %" PRId64,
                          2 + axis, reach, padded);
  w->out[axis] = spare < 0 ? 1 : spare / stride + 1;
  if (ceil && spare >= 0 && spare % stride != 0) {
    // The next window begins at out * stride of the padded axis.
    const bool is_padded = w->pad_begin[axis] + w->pad_end[axis] > 0;
    const int64_t limit = in + w->pad_begin[axis];
    const bool outside = w->out[axis] > (limit - 1) / stride;
    if (!is_padded || !outside) w->out[axis]++;
  }
  return MILO_OK;
}

// ---- conv ----

static milo_status read_conv(const milo_op *op, milo_diag *diag, milo_window *w) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  *w = (milo_window){.axes = x->rank - 2};
  MILO_TRY(milo_infer_int(op, diag, "groups", &w->groups));
  if (w->groups < 1)
    return milo_infer_bad(op, diag, "groups", "is %" PRId64 ", expected 1 or more", w->groups);
  MILO_TRY(read_steps(op, diag, "strides", w->axes, w->stride));
  MILO_TRY(read_steps(op, diag, "dilations", w->axes, w->dilation));
  for (int i = 0; i < w->axes; i++) {
    w->kernel[i] = weight->dims[2 + i];
    if (w->kernel[i] == 0) return milo_infer_bad(op, diag, "weight", "has an empty kernel");
  }
  return MILO_OK;
}

// Dim i of conv_transpose's output_shape; MILO_DIM_UNKNOWN if it was left out.
static milo_status read_output_shape(const milo_op *op, milo_diag *diag, int rank, int64_t *out) {
  milo_infer_list list;
  MILO_TRY(milo_infer_ints(op, diag, "output_shape", rank, &list));
  if (list.given && !list.known)
    return milo_infer_bad(op, diag, "output_shape", "must be a constant");
  for (int i = 0; i < rank; i++) {
    out[i] = list.given ? list.items[i] : MILO_DIM_UNKNOWN;
    if (list.given && out[i] < 0)
      return milo_infer_bad(op, diag, "output_shape", "holds %" PRId64 ", expected 0 or more",
                            out[i]);
  }
  return MILO_OK;
}

// The output is what a conv of the same window would make x of; output_shape says which, where
// several would (and cuts it, or adds to it, at the end).
static milo_status transposed_window(const milo_op *op, milo_diag *diag, milo_window *w) {
  const milo_type *x = milo_infer_arg(op, "x");
  int pad_type = PAD_VALID;
  int64_t shape[MILO_MAX_RANK];
  MILO_TRY(read_pad(op, diag, false, w, &pad_type));
  MILO_TRY(read_output_shape(op, diag, x->rank, shape));
  for (int i = 0; i < w->axes; i++) {
    const int64_t in = x->dims[2 + i], stride = w->stride[i];
    w->out[i] = shape[2 + i];
    if (in == MILO_DIM_UNKNOWN || w->kernel[i] == MILO_DIM_UNKNOWN) continue;
    int64_t reach = 0, whole = 0;  // elements that all positions of the window span
    bool fits = reach_of(w, i, &reach);
    if (in > 0)
      fits = fits && milo_infer_dims_mul(in - 1, stride, &whole) &&
             milo_infer_dims_add(whole, reach, &whole);
    if (!fits) return too_large(op, diag, i);
    if (pad_type == PAD_SAME) {
      if (w->out[i] == MILO_DIM_UNKNOWN && !milo_infer_dims_mul(in, stride, &w->out[i]))
        return too_large(op, diag, i);
      pad_same(w, i, pad_type, whole - w->out[i]);
    }
    if (w->out[i] != MILO_DIM_UNKNOWN) continue;
    int64_t pad = 0;
    if (!milo_infer_dims_add(w->pad_begin[i], w->pad_end[i], &pad)) return too_large(op, diag, i);
    if (pad > whole)
      return milo_infer_bad(op, diag, "pad",
                            "takes %" PRId64 " elements off axis %d, which has %" PRId64, pad,
                            2 + i, whole);
    w->out[i] = whole - pad;
  }
  return MILO_OK;
}

milo_status milo_conv_window(const milo_op *op, milo_diag *diag, milo_window *out_window) {
  const milo_type *x = milo_infer_arg(op, "x");
  milo_window w;
  MILO_TRY(read_conv(op, diag, &w));
  if (op->code == MILO_OP_conv_transpose) {
    MILO_TRY(transposed_window(op, diag, &w));
  } else {
    int pad_type = PAD_VALID;
    MILO_TRY(read_pad(op, diag, true, &w, &pad_type));
    for (int i = 0; i < w.axes; i++)
      MILO_TRY(place(op, diag, &w, i, x->dims[2 + i], pad_type, false));
  }
  *out_window = w;
  return MILO_OK;
}

static milo_status check_rank(const milo_op *op, milo_diag *diag, const char *param,
                              const milo_type *x) {
  if (x->rank >= 3 && x->rank <= 2 + MILO_WINDOW_MAX_AXES) return MILO_OK;
  return milo_infer_bad(op, diag, param, "is %s, expected rank 3 to 5 (batch, channels, space)",
                        milo_infer_show(op, x));
}

// The type of x with other spatial dims.
static milo_type with_space(const milo_type *x, const milo_window *w) {
  milo_type type = milo_type_tensor(x->dtype, x->rank, x->dims);
  for (int i = 0; i < w->axes; i++) type.dims[2 + i] = w->out[i];
  return type;
}

static milo_status bad_groups(const milo_op *op, milo_diag *diag, const milo_window *w,
                              int64_t channels, const char *whose) {
  return milo_infer_bad(op, diag, "groups",
                        "is %" PRId64 ", which does not divide %s %" PRId64 " %schannels",
                        w->groups, whose, channels, whose[0] == 'w' ? "output " : "");
}

milo_status milo_infer_conv(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  MILO_TRY(check_rank(op, diag, "x", x));
  if (weight->rank < 0) {
    milo_type type = milo_type_tensor(x->dtype, x->rank, x->dims);
    for (int i = 1; i < type.rank; i++) type.dims[i] = MILO_DIM_UNKNOWN;
    return milo_infer_add(op, diag, out, type);
  }
  MILO_TRY(milo_infer_rank(op, diag, "weight", x->rank));
  milo_window w = {0};
  MILO_TRY(milo_conv_window(op, diag, &w));
  const int64_t channels = x->dims[1], outputs = weight->dims[0], inputs = weight->dims[1];
  if (channels != MILO_DIM_UNKNOWN && channels % w.groups != 0)
    return bad_groups(op, diag, &w, channels, "x's");
  if (outputs != MILO_DIM_UNKNOWN && outputs % w.groups != 0)
    return bad_groups(op, diag, &w, outputs, "weight's");
  if (channels != MILO_DIM_UNKNOWN && !milo_infer_dims_agree(channels / w.groups, inputs))
    return milo_infer_bad(op, diag, "weight",
                          "is %s, expected %" PRId64 " input channels (x has %" PRId64
                          " in %" PRId64 " groups)",
                          milo_infer_show(op, weight), channels / w.groups, channels, w.groups);
  MILO_TRY(milo_infer_expect(op, diag, "bias", 1, &outputs, "one for each output channel"));
  milo_type type = with_space(x, &w);
  type.dims[1] = outputs;
  return milo_infer_add(op, diag, out, type);
}

// weight [C_in, C_out / groups, ...]
milo_status milo_infer_conv_transpose(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x"), *weight = milo_infer_arg(op, "weight");
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  MILO_TRY(check_rank(op, diag, "x", x));
  int64_t shape[MILO_MAX_RANK];
  if (weight->rank < 0) {
    MILO_TRY(read_output_shape(op, diag, x->rank, shape));
    shape[0] = milo_infer_dims_merge(x->dims[0], shape[0]);
    return milo_infer_add(op, diag, out, milo_type_tensor(x->dtype, x->rank, shape));
  }
  MILO_TRY(milo_infer_rank(op, diag, "weight", x->rank));
  milo_window w = {0};
  MILO_TRY(milo_conv_window(op, diag, &w));
  const int64_t channels = x->dims[1];
  if (channels != MILO_DIM_UNKNOWN && channels % w.groups != 0)
    return bad_groups(op, diag, &w, channels, "x's");
  if (!milo_infer_dims_agree(channels, weight->dims[0]))
    return milo_infer_bad(op, diag, "weight",
                          "is %s, expected %" PRId64 " input channels as its first axis",
                          milo_infer_show(op, weight), channels);
  int64_t outputs = MILO_DIM_UNKNOWN;
  if (!milo_infer_dims_mul(weight->dims[1], w.groups, &outputs))
    return milo_infer_bad(op, diag, "groups", "is %" PRId64 ", too large", w.groups);
  MILO_TRY(milo_infer_expect(op, diag, "bias", 1, &outputs, "one for each output channel"));
  MILO_TRY(read_output_shape(op, diag, x->rank, shape));
  if (!milo_infer_dims_agree(shape[0], x->dims[0]) || !milo_infer_dims_agree(shape[1], outputs))
    return milo_infer_bad(op, diag, "output_shape",
                          "begins with %" PRId64 ", %" PRId64
                          ", expected the batch of x and %" PRId64 " output channels",
                          shape[0], shape[1], outputs);
  milo_type type = with_space(x, &w);
  type.dims[0] = milo_infer_dims_merge(x->dims[0], shape[0]);
  type.dims[1] = milo_infer_dims_merge(outputs, shape[1]);
  return milo_infer_add(op, diag, out, type);
}

// ---- pooling ----

milo_status milo_pool_window(const milo_op *op, const milo_type *x, milo_diag *diag,
                             milo_window *out_window) {
  milo_window w = {.axes = x->rank - 2, .groups = 1, .dilation = {1, 1, 1}};
  int pad_type = PAD_VALID;
  bool ceil = false;
  MILO_TRY(read_steps(op, diag, "kernel_sizes", w.axes, w.kernel));
  MILO_TRY(read_steps(op, diag, "strides", w.axes, w.stride));
  MILO_TRY(read_pad(op, diag, true, &w, &pad_type));
  MILO_TRY(milo_infer_bool(op, diag, "ceil_mode", &ceil));
  if (ceil && pad_type >= PAD_SAME)
    return milo_infer_bad(op, diag, "ceil_mode", "is true, which pad_type \"%s\" does not have",
                          milo_op_string(op, "pad_type"));
  if (ceil && w.axes > 2)
    return milo_infer_bad(op, diag, "ceil_mode", "is true, which only one or two axes have");
  for (int i = 0; i < w.axes; i++) {
    if (ceil && w.pad_begin[i] != w.pad_end[i])
      return milo_infer_bad(op, diag, "pad",
                            "is %" PRId64 " before and %" PRId64
                            " behind axis %d, which must be equal if ceil_mode is true",
                            w.pad_begin[i], w.pad_end[i], 2 + i);
    MILO_TRY(place(op, diag, &w, i, x->dims[2 + i], pad_type, ceil));
  }
  *out_window = w;
  return MILO_OK;
}

milo_status milo_infer_pool(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  bool flag;
  if (milo_op_param(op->code, "exclude_padding_from_average") != NULL)
    MILO_TRY(milo_infer_bool(op, diag, "exclude_padding_from_average", &flag));
  if (x->rank < 0) return milo_infer_add(op, diag, out, *x);
  MILO_TRY(check_rank(op, diag, "x", x));
  milo_window w = {0};
  MILO_TRY(milo_pool_window(op, x, diag, &w));
  return milo_infer_add(op, diag, out, with_space(x, &w));
}

// grad: like the result of the pooling.
static milo_status check_grad(const milo_op *op, milo_diag *diag, const milo_type *x) {
  milo_window w = {0};
  MILO_TRY(milo_pool_window(op, x, diag, &w));
  const milo_type wanted = with_space(x, &w);
  return milo_infer_expect(op, diag, "grad", wanted.rank, wanted.dims, "the result of pooling x");
}

milo_status milo_infer_max_pool_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  const milo_type *x = milo_infer_arg(op, "x");
  MILO_TRY(check_rank(op, diag, "x", x));
  MILO_TRY(check_grad(op, diag, x));
  return milo_infer_add(op, diag, out, *x);
}

milo_status milo_infer_avg_pool_grad(const milo_op *op, milo_types *out, milo_diag *diag) {
  milo_infer_list shape;
  bool flag;
  MILO_TRY(milo_infer_bool(op, diag, "exclude_padding_from_average", &flag));
  MILO_TRY(milo_infer_ints(op, diag, "shape", -1, &shape));
  if (!shape.known) return milo_infer_bad(op, diag, "shape", "must be a constant");
  for (int i = 0; i < shape.count; i++)
    if (shape.items[i] < 0)
      return milo_infer_bad(op, diag, "shape", "holds %" PRId64 ", expected 0 or more",
                            shape.items[i]);
  if (shape.count < 3 || shape.count > 2 + MILO_WINDOW_MAX_AXES)
    return milo_infer_bad(op, diag, "shape", "has %d elements, expected 3 to 5", shape.count);
  const milo_type x = milo_type_tensor(milo_infer_arg(op, "grad")->dtype, shape.count, shape.items);
  MILO_TRY(check_grad(op, diag, &x));
  return milo_infer_add(op, diag, out, x);
}

void milo_window_range(const milo_window *w, int axis, int64_t dim, int64_t o, int64_t *out_first,
                       int64_t *out_end, int64_t *out_padded) {
  int64_t first = o * w->stride[axis] - w->pad_begin[axis];
  int64_t end = first + w->kernel[axis];
  const int64_t limit = dim + w->pad_end[axis];
  *out_padded = (end < limit ? end : limit) - first;
  if (first < 0) first = 0;
  if (end > dim) end = dim;
  if (end < first) end = first;
  *out_first = first;
  *out_end = end;
}
