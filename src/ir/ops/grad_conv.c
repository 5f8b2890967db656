// SPDX-License-Identifier: MIT
// Gradients of conv and conv_transpose, written with these two again.
//
// Along one spatial axis conv is  y[o] = sum over k of w[k] x[o s + k d - p]  (s stride, d
// dilation, p padding in front), so with y's gradient g:
//   dx[i] = sum over those k and o with i = o s + k d - p of w[k] g[o]:  conv_transpose;
//   dw[k] = sum over o of g[o] x[o s + k d - p]:  a conv of x with kernel g, dilation s, stride d.
// There batch and channels change places: x as [Ci/groups, groups * N, ...], g as [Co, N, ...].
// conv_transpose is the same with x and y exchanged, so what follows speaks of the large side (x of
// conv) and the small one (its y); weight is [small channels, large channels / groups, K...].
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/geometry.h"
#include "ir/ops/ops.h"

typedef struct conv {
  milo_builder *b;
  milo_value *large, *small, *weight;
  milo_window w;
  int rank;
  bool pointwise;  // all kernel dims 1 and no padding
  bool strided;
} conv;

static int64_t product(const int64_t *dims, int count) {
  int64_t n = 1;
  for (int i = 0; i < count; i++) n *= dims[i];
  return n;
}

// The window's arguments, with an explicit padding.
typedef struct arguments {
  milo_value *strides, *pad_type, *pad, *dilations, *groups;
} arguments;

static arguments arguments_of(const conv *c, const int64_t *strides, const int64_t *dilations,
                              bool padded) {
  milo_builder *b = c->b;
  const size_t n = (size_t)c->w.axes;
  int64_t pad[2 * MILO_WINDOW_MAX_AXES] = {0};
  for (int i = 0; i < c->w.axes && padded; i++) {
    pad[2 * i] = c->w.pad_begin[i];
    pad[2 * i + 1] = c->w.pad_end[i];
  }
  return (arguments){milo_b_ints(b, strides, n), milo_b_string(b, "custom"),
                     milo_b_ints(b, pad, 2 * n), milo_b_ints(b, dilations, n),
                     milo_b_int(b, c->w.groups)};
}

static milo_value *emit_conv(const conv *c, milo_value *x, milo_value *weight, const arguments *a) {
  return EMIT(c->b, conv, {"x", x}, {"weight", weight}, {"strides", a->strides},
              {"pad_type", a->pad_type}, {"pad", a->pad}, {"dilations", a->dilations},
              {"groups", a->groups});
}

// The first elements of each axis of x, down to dims.
static milo_value *first_of(milo_builder *b, milo_value *x, const int64_t *dims) {
  const int64_t begin[MILO_MAX_RANK] = {0};
  if (b->status != MILO_OK) return NULL;
  if (memcmp(x->type.dims, dims, (size_t)x->type.rank * sizeof *dims) == 0) return x;
  return milo_b_slice(b, x, begin, dims);
}

// x [a, c, spatial...], of groups * c/groups channels, as [c/groups, groups * a, spatial...]: the
// channels of one group become batches and the batches become channels, group by group.
static milo_value *exchange(const conv *c, milo_value *x, int64_t groups) {
  milo_builder *b = c->b;
  if (b->status != MILO_OK) return NULL;
  const int64_t *from = x->type.dims;
  int64_t to[MILO_MAX_RANK];
  memcpy(to, from, sizeof to);
  to[0] = from[1] / groups;
  to[1] = groups * from[0];
  const int64_t wide[] = {from[0], groups, from[1] / groups, product(from + 2, c->w.axes)};
  milo_value *v = milo_grad_reshape(b, x, wide, 4);
  v = milo_b_transpose(b, v, (const int[]){2, 1, 0, 3});
  return milo_grad_reshape(b, v, to, c->rank);
}

// weight with its two kinds of channels exchanged, group by group: [large, small / groups, ...]
static milo_value *transpose_weight(const conv *c) {
  milo_builder *b = c->b;
  milo_value *w = c->weight;
  const int64_t groups = c->w.groups, small = w->type.dims[0], large = w->type.dims[1];
  const int64_t space = product(w->type.dims + 2, c->w.axes);
  int64_t to[MILO_MAX_RANK];
  memcpy(to, w->type.dims, sizeof to);
  to[0] = large * groups;
  to[1] = small / groups;
  w = milo_grad_reshape(b, w, (const int64_t[]){groups, small / groups, large, space}, 4);
  w = milo_b_transpose(b, w, (const int[]){0, 2, 1, 3});
  return milo_grad_reshape(b, w, to, c->rank);
}

static milo_value *large_gradient(const conv *c) {
  milo_builder *b = c->b;
  const arguments a = arguments_of(c, c->w.stride, c->w.dilation, true);
  // What more devices take: with a kernel of one element it is a conv too.
  if (c->pointwise && !c->strided) return emit_conv(c, c->small, transpose_weight(c), &a);
  return EMIT(b, conv_transpose, {"x", c->small}, {"weight", c->weight}, {"pad", a.pad},
              {"output_shape", milo_b_ints(b, c->large->type.dims, (size_t)c->rank)},
              {"pad_type", a.pad_type}, {"strides", a.strides}, {"dilations", a.dilations},
              {"groups", a.groups});
}

// More positions than the small side has where the large one was given some at its end.
static milo_value *small_gradient(const conv *c) {
  const arguments a = arguments_of(c, c->w.stride, c->w.dilation, true);
  milo_value *dx = emit_conv(c, c->large, c->weight, &a);
  return first_of(c->b, dx, c->small->type.dims);
}

// dweight of a kernel of one element: a matrix product for each group.
static milo_value *pointwise_weight_gradient(const conv *c) {
  milo_builder *b = c->b;
  milo_value *x = c->large;
  const int64_t groups = c->w.groups, batch = x->type.dims[0];
  const int64_t large = c->weight->type.dims[1], small = c->weight->type.dims[0] / groups;
  const int64_t space = product(c->small->type.dims + 2, c->w.axes);
  int64_t begin[MILO_MAX_RANK] = {0}, step[MILO_MAX_RANK], end[MILO_MAX_RANK];
  for (int i = 0; i < c->rank; i++) {
    step[i] = i < 2 ? 1 : c->w.stride[i - 2];
    end[i] = i < 2 ? x->type.dims[i] : (c->small->type.dims[i] - 1) * step[i] + 1;
  }
  if (memcmp(end, x->type.dims, (size_t)c->rank * sizeof *end) != 0 || c->strided)
    x = milo_grad_stride(b, x, begin, end, step);
  x = milo_grad_reshape(b, x, (const int64_t[]){batch, groups, large, space}, 4);
  milo_value *dy =
      milo_grad_reshape(b, c->small, (const int64_t[]){batch, groups, small, space}, 4);
  milo_value *product4 = milo_b_matmul(b, dy, x, false, true);
  const milo_type sum =
      milo_type_tensor(c->large->type.dtype, 3, (const int64_t[]){groups, small, large});
  return milo_grad_reshape_like(b, milo_grad_sum_to(b, product4, &sum), c->weight);
}

static milo_value *weight_gradient(const conv *c) {
  milo_builder *b = c->b;
  // There is no conv with an empty kernel.
  if (milo_type_elements(&c->small->type) == 0 || milo_type_elements(&c->large->type) == 0)
    return milo_grad_fill(b, c->weight->type, 0);
  if (c->pointwise) return pointwise_weight_gradient(c);
  milo_value *x = exchange(c, c->large, c->w.groups), *kernel = exchange(c, c->small, 1);
  const arguments a = arguments_of(c, c->w.dilation, c->w.stride, true);
  // [large / groups, small, at least K...]: more where the last stride did not reach the end.
  milo_value *dw = emit_conv(c, x, kernel, &a);
  if (b->status != MILO_OK) return NULL;
  int64_t dims[MILO_MAX_RANK];
  memcpy(dims, dw->type.dims, sizeof dims);
  memcpy(dims + 2, c->weight->type.dims + 2, (size_t)c->w.axes * sizeof *dims);
  dw = first_of(b, dw, dims);
  int perm[MILO_MAX_RANK];
  for (int i = 0; i < c->rank; i++) perm[i] = i < 2 ? 1 - i : i;
  return milo_b_transpose(b, dw, perm);
}

static void add_bias_gradient(milo_grad *g, const milo_op *op, milo_value *dy) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *bias = milo_op_in(op, "bias");
  if (!milo_grad_wants(g, bias)) return;
  int64_t axes[MILO_MAX_RANK];
  int count = 0;
  for (int i = 0; i < dy->type.rank; i++)
    if (i != 1) axes[count++] = i;
  milo_grad_add(g, bias, milo_b_reduce(b, MILO_OP_reduce_sum, dy, axes, count, false));
}

static conv conv_of(milo_builder *b, const milo_op *op, milo_value *large, milo_value *small,
                    const milo_window *w) {
  conv c = {.b = b, .large = large, .small = small, .weight = milo_op_in(op, "weight"), .w = *w};
  c.rank = large->type.rank;
  c.pointwise = true;
  for (int i = 0; i < w->axes; i++) {
    if (w->kernel[i] != 1 || w->pad_begin[i] != 0 || w->pad_end[i] != 0) c.pointwise = false;
    if (w->stride[i] != 1) c.strided = true;
  }
  return c;
}

milo_status milo_vjp_conv(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  milo_window w;
  MILO_TRY(milo_conv_window(op, b->diag, &w));
  const conv c = conv_of(b, op, x, seeds[0], &w);
  if (milo_grad_wants(g, x)) milo_grad_add(g, x, large_gradient(&c));
  if (milo_grad_wants(g, weight)) milo_grad_add(g, weight, weight_gradient(&c));
  add_bias_gradient(g, op, seeds[0]);
  return b->status;
}

milo_status milo_vjp_conv_transpose(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  const milo_type *large = &op->results[0]->type;
  milo_window w;
  MILO_TRY(milo_conv_window(op, b->diag, &w));
  // Padding behind, such that a conv of the result has a position for each element of x.
  for (int i = 0; i < w.axes; i++) {
    const int64_t span =
        (x->type.dims[2 + i] - 1) * w.stride[i] + (w.kernel[i] - 1) * w.dilation[i] + 1;
    const int64_t missing = span - w.pad_begin[i] - large->dims[2 + i];
    w.pad_end[i] = missing > 0 ? missing : 0;
  }
  const conv c = conv_of(b, op, seeds[0], x, &w);
  // Nothing that x reaches, or nothing of x.
  const bool empty = milo_type_elements(&x->type) == 0 || milo_type_elements(large) == 0;
  if (milo_grad_wants(g, x) && !empty) milo_grad_add(g, x, small_gradient(&c));
  if (milo_grad_wants(g, weight)) milo_grad_add(g, weight, weight_gradient(&c));
  add_bias_gradient(g, op, seeds[0]);
  return b->status;
}
