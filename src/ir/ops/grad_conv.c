// SPDX-License-Identifier: MIT
// Gradients of conv, written with conv again so that devices with a fast one use it.
//
// Along one spatial axis  y[o] = sum over k of w[k] x[o s + k d - p]  (s stride, d dilation, p
// padding in front), so with y's gradient g:
//   dx[i] = sum over k of w[k] G[i + p - k d],  G = g with s - 1 zeros put between its elements:
//           a conv of G, padded by (K - 1) d - p, with w reversed, channels exchanged;
//   dw[k] = sum over o of g[o] x[o s + k d - p]:  a conv of x with kernel g, dilation s, stride d.
// There batch and channels change places: x as [Ci/groups, groups * N, ...], g as [Co, N, ...].
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/geometry.h"
#include "ir/ops/ops.h"

typedef struct conv {
  milo_builder *b;
  milo_value *x, *weight, *dy;
  milo_conv_geometry g;
  int rank;
  int64_t batch, in, out;  // channels
  const int64_t *kernel;   // one a spatial axis
  bool pointwise;          // all kernel dims 1 and no padding
} conv;

static milo_value *emit_conv(const conv *c, milo_value *x, milo_value *weight,
                             const int64_t *strides, const int64_t *pad, const int64_t *dilations,
                             int64_t groups) {
  const size_t n = (size_t)c->g.spatial;
  milo_builder *b = c->b;
  return EMIT(b, conv, {"x", x}, {"weight", weight}, {"strides", milo_b_ints(b, strides, n)},
              {"pad_type", milo_b_string(b, "custom")}, {"pad", milo_b_ints(b, pad, 2 * n)},
              {"dilations", milo_b_ints(b, dilations, n)}, {"groups", milo_b_int(b, groups)});
}

static int64_t product(const int64_t *dims, int count) {
  int64_t n = 1;
  for (int i = 0; i < count; i++) n *= dims[i];
  return n;
}

// x [a, c, spatial...], of groups * c/groups channels, as [c/groups, groups * a, spatial...]: the
// channels of one group become batches and the batches become channels, group by group.
static milo_value *exchange(const conv *c, milo_value *x, int64_t groups) {
  milo_builder *b = c->b;
  if (b->status != MILO_OK) return NULL;
  const int64_t *from = x->type.dims;
  const int64_t space = product(from + 2, c->g.spatial);
  int64_t to[MILO_MAX_RANK];
  memcpy(to, from, sizeof to);
  to[0] = from[1] / groups;
  to[1] = groups * from[0];
  const int64_t wide[] = {from[0], groups, from[1] / groups, space};
  milo_value *v = milo_grad_reshape(b, x, wide, 4);
  v = milo_b_transpose(b, v, (const int[]){2, 1, 0, 3});
  return milo_grad_reshape(b, v, to, c->rank);
}

// weight [Co, Ci/groups, ...] as [Ci, Co/groups, ...]
static milo_value *transpose_weight(const conv *c) {
  milo_builder *b = c->b;
  const int64_t groups = c->g.groups, space = product(c->kernel, c->g.spatial);
  int64_t to[MILO_MAX_RANK];
  memcpy(to, c->weight->type.dims, sizeof to);
  to[0] = c->in;
  to[1] = c->out / groups;
  const int64_t wide[] = {groups, c->out / groups, c->in / groups, space};
  milo_value *w = c->weight;
  if (b->status == MILO_OK && w->type.dtype != c->dy->type.dtype)
    w = milo_b_cast(b, w, c->dy->type.dtype);
  w = milo_grad_reshape(b, w, wide, 4);
  w = milo_b_transpose(b, w, (const int[]){0, 2, 1, 3});
  return milo_grad_reshape(b, w, to, c->rank);
}

// begin and step of the elements of a [.., .., spatial...] tensor that lie stride apart.
static void strided(const conv *c, int64_t *begin, int64_t *step) {
  for (int i = 0; i < c->rank; i++) {
    begin[i] = 0;
    step[i] = i < 2 ? 1 : c->g.stride[i - 2];
  }
}

static bool has_stride(const conv *c) {
  for (int i = 0; i < c->g.spatial; i++)
    if (c->g.stride[i] != 1) return true;
  return false;
}

static const int64_t no_pad[2 * MILO_CONV_MAX_SPATIAL];
static const int64_t ones[MILO_CONV_MAX_SPATIAL] = {1, 1, 1};

static milo_value *input_gradient(const conv *c) {
  milo_builder *b = c->b;
  milo_value *weight = transpose_weight(c);
  int64_t begin[MILO_MAX_RANK], step[MILO_MAX_RANK], dims[MILO_MAX_RANK];
  strided(c, begin, step);
  if (c->pointwise) {
    milo_value *dx = emit_conv(c, c->dy, weight, ones, no_pad, ones, c->g.groups);
    return milo_grad_place(b, dx, begin, step, c->x->type.dims);
  }
  int64_t reversed[MILO_CONV_MAX_SPATIAL], low[MILO_MAX_RANK] = {0}, high[MILO_MAX_RANK] = {0};
  int64_t pad[2 * MILO_CONV_MAX_SPATIAL];
  int reversals = 0;
  memcpy(dims, c->dy->type.dims, sizeof dims);
  for (int i = 0; i < c->g.spatial; i++) {
    const int64_t reach = (c->kernel[i] - 1) * c->g.dilation[i];
    const int64_t before = reach - c->g.pad_begin[i];
    const int64_t extent = (dims[2 + i] - 1) * c->g.stride[i] + 1;
    const int64_t after = c->x->type.dims[2 + i] + reach - before - extent;
    if (c->kernel[i] > 1) reversed[reversals++] = 2 + i;
    dims[2 + i] = extent;
    // Where padding was wider than the kernel's reach, what fell on it is cut off: with the conv
    // padding the other side, but where all fell on it.
    const bool all = -before >= extent || -after >= extent;
    low[2 + i] = all || before < 0 ? before : 0;
    high[2 + i] = all || after < 0 ? after : 0;
    pad[2 * i] = before - low[2 + i];
    pad[2 * i + 1] = after - high[2 + i];
  }
  milo_value *spread = milo_grad_place(b, c->dy, begin, step, dims);
  spread = milo_grad_resize(b, spread, low, high);
  weight = milo_grad_reverse(b, weight, reversed, reversals);
  return emit_conv(c, spread, weight, ones, pad, c->g.dilation, c->g.groups);
}

// dweight of a kernel of one element: a matrix product for each group.
static milo_value *pointwise_weight_gradient(const conv *c) {
  milo_builder *b = c->b;
  const int64_t groups = c->g.groups, space = product(c->g.out, c->g.spatial);
  milo_value *x = c->x;
  if (has_stride(c)) {
    int64_t begin[MILO_MAX_RANK], step[MILO_MAX_RANK];
    strided(c, begin, step);
    x = milo_grad_stride(b, x, begin, x->type.dims, step);
  }
  const int64_t x_dims[] = {c->batch, groups, c->in / groups, space};
  const int64_t y_dims[] = {c->batch, groups, c->out / groups, space};
  const int64_t sum_dims[] = {groups, c->out / groups, c->in / groups};
  x = milo_grad_reshape(b, x, x_dims, 4);
  milo_value *dy = milo_grad_reshape(b, c->dy, y_dims, 4);
  milo_value *product4 = milo_b_matmul(b, dy, x, false, true);
  const milo_type sum = milo_type_tensor(c->x->type.dtype, 3, sum_dims);
  return milo_grad_reshape_like(b, milo_grad_sum_to(b, product4, &sum), c->weight);
}

static milo_value *weight_gradient(const conv *c) {
  if (c->pointwise) return pointwise_weight_gradient(c);
  milo_builder *b = c->b;
  milo_value *x = exchange(c, c->x, c->g.groups), *kernel = exchange(c, c->dy, 1);
  int64_t pad[2 * MILO_CONV_MAX_SPATIAL], begin[MILO_MAX_RANK] = {0}, size[MILO_MAX_RANK];
  for (int i = 0; i < c->g.spatial; i++) {
    pad[2 * i] = c->g.pad_begin[i];
    pad[2 * i + 1] = c->g.pad_end[i];
  }
  // [Ci/groups, Co, at least K...]: more where the last stride did not reach the end.
  milo_value *dw = emit_conv(c, x, kernel, c->g.dilation, pad, c->g.stride, c->g.groups);
  if (b->status != MILO_OK) return NULL;
  memcpy(size, dw->type.dims, sizeof size);
  memcpy(size + 2, c->kernel, (size_t)c->g.spatial * sizeof *size);
  if (memcmp(size, dw->type.dims, (size_t)c->rank * sizeof *size) != 0)
    dw = milo_b_slice(b, dw, begin, size);
  int perm[MILO_MAX_RANK];
  for (int i = 0; i < c->rank; i++) perm[i] = i < 2 ? 1 - i : i;
  return milo_b_transpose(b, dw, perm);
}

milo_status milo_vjp_conv(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  conv c = {.b = b, .x = milo_op_in(op, "x"), .weight = milo_op_in(op, "weight"), .dy = seeds[0]};
  const milo_type *x = &c.x->type, *w = &c.weight->type;
  MILO_TRY(milo_conv_geometry_get(op, b->diag, &c.g));
  c.rank = x->rank;
  c.batch = x->dims[0];
  c.in = x->dims[1];
  c.out = w->dims[0];
  c.kernel = w->dims + 2;
  c.pointwise = true;
  for (int i = 0; i < c.g.spatial; i++)
    if (c.kernel[i] != 1 || c.g.pad_begin[i] != 0 || c.g.pad_end[i] != 0) c.pointwise = false;
  if (milo_grad_wants(g, c.x)) milo_grad_add(g, c.x, input_gradient(&c));
  if (milo_grad_wants(g, c.weight)) milo_grad_add(g, c.weight, weight_gradient(&c));
  milo_value *bias = milo_op_in(op, "bias");
  if (milo_grad_wants(g, bias)) {
    int64_t axes[MILO_MAX_RANK];
    int count = 0;
    for (int i = 0; i < c.rank; i++)
      if (i != 1) axes[count++] = i;
    milo_grad_add(g, bias, milo_b_reduce(b, MILO_OP_reduce_sum, c.dy, axes, count, false));
  }
  return b->status;
}
