// SPDX-License-Identifier: MIT
// Convolution with one to three spatial axes, and its transpose.
#include <stdlib.h>

#include "device/ref/call.h"
#include "ir/ops/geometry.h"

enum { AXES = MILO_WINDOW_MAX_AXES };

// One entry a spatial axis; axes that are not there have size 1 (leading ones).
typedef struct window {
  int64_t large[AXES], kernel[AXES], small[AXES];  // the small side has the window's positions
  int64_t stride[AXES], dilation[AXES], before[AXES];
} window;

static window window_of(const milo_window *g, const milo_ref_tensor *large,
                        const milo_ref_tensor *small) {
  window w;
  for (int axis = 0; axis < AXES; ++axis) {
    const int i = axis - (AXES - g->axes);
    w.large[axis] = i < 0 ? 1 : large->dims[2 + i];
    w.kernel[axis] = i < 0 ? 1 : g->kernel[i];
    w.small[axis] = i < 0 ? 1 : small->dims[2 + i];
    w.stride[axis] = i < 0 ? 1 : g->stride[i];
    w.dilation[axis] = i < 0 ? 1 : g->dilation[i];
    w.before[axis] = i < 0 ? 0 : g->pad_begin[i];
  }
  return w;
}

// Where element (a, b, c) of the kernel lies in a channel of the large side, with the window at
// spatial position `at`; -1: outside.
static int64_t window_index(const window *w, const int64_t *at, int64_t a, int64_t b, int64_t c) {
  const int64_t i0 = at[0] * w->stride[0] + a * w->dilation[0] - w->before[0];
  const int64_t i1 = at[1] * w->stride[1] + b * w->dilation[1] - w->before[1];
  const int64_t i2 = at[2] * w->stride[2] + c * w->dilation[2] - w->before[2];
  if (i0 < 0 || i0 >= w->large[0] || i1 < 0 || i1 >= w->large[1] || i2 < 0 || i2 >= w->large[2])
    return -1;
  return (i0 * w->large[1] + i1) * w->large[2] + i2;
}

// Sum over the window at spatial position `at` of one input channel times one kernel slice.
static double window_sum(const window *w, const int64_t *at, const double *x,
                         const double *weight) {
  double sum = 0;
  size_t k = 0;
  for (int64_t a = 0; a < w->kernel[0]; ++a)
    for (int64_t b = 0; b < w->kernel[1]; ++b)
      for (int64_t c = 0; c < w->kernel[2]; ++c, ++k) {
        const int64_t i = window_index(w, at, a, b, c);
        if (i >= 0) sum += x[i] * weight[k];
      }
  return sum;
}

// The way back: adds x times the kernel slice to the window at position `at` of a channel.
static void window_add(const window *w, const int64_t *at, double x, const double *weight,
                       double *sums) {
  size_t k = 0;
  for (int64_t a = 0; a < w->kernel[0]; ++a)
    for (int64_t b = 0; b < w->kernel[1]; ++b)
      for (int64_t c = 0; c < w->kernel[2]; ++c, ++k) {
        const int64_t i = window_index(w, at, a, b, c);
        if (i >= 0) sums[i] += x * weight[k];
      }
}

// Position i of the small side.
static void position(const window *w, size_t i, int64_t *at) {
  for (int axis = AXES - 1; axis >= 0; --axis) {
    at[axis] = (int64_t)(i % (size_t)w->small[axis]);
    i /= (size_t)w->small[axis];
  }
}

// What both operations start from.
typedef struct operands {
  milo_ref_tensor x, weight, bias, out;
  bool has_bias;
  milo_window window;
  size_t x_space, out_space, kernel_space;
  size_t group_in, group_out;  // channels of a group
  double *xs, *weights;
} operands;

static milo_status read_operands(const milo_ref_call *call, operands *o) {
  *o = (operands){.out = milo_ref_out(call, 0)};
  milo_ref_in(call, "x", &o->x);
  milo_ref_in(call, "weight", &o->weight);
  o->has_bias = milo_ref_in(call, "bias", &o->bias);
  MILO_TRY(milo_conv_window(call->op, call->diag, &o->window));
  o->x_space = milo_ref_product(&o->x, 2, o->x.rank);
  o->out_space = milo_ref_product(&o->out, 2, o->out.rank);
  o->kernel_space = milo_ref_product(&o->weight, 2, o->weight.rank);
  o->group_in = (size_t)(o->x.dims[1] / o->window.groups);
  o->group_out = (size_t)(o->out.dims[1] / o->window.groups);
  MILO_TRY(milo_ref_doubles(call, &o->x, &o->xs));
  const milo_status status = milo_ref_doubles(call, &o->weight, &o->weights);
  if (status != MILO_OK) free(o->xs);
  return status;
}

// x [N, C, ...], weight [O, C / groups, ...], bias [O] -> [N, O, ...]
milo_status milo_ref_conv(const milo_ref_call *call) {
  operands v;
  MILO_TRY(read_operands(call, &v));
  const window w = window_of(&v.window, &v.x, &v.out);
  const size_t in_channels = (size_t)v.x.dims[1], out_channels = (size_t)v.out.dims[1];
  size_t i = 0;
  for (size_t n = 0; n < (size_t)v.out.dims[0]; ++n) {
    for (size_t o = 0; o < out_channels; ++o) {
      for (size_t s = 0; s < v.out_space; ++s, ++i) {
        int64_t at[AXES];
        position(&w, s, at);
        double sum = v.has_bias ? milo_ref_get(&v.bias, o) : 0;
        for (size_t c = 0; c < v.group_in; ++c) {
          const size_t channel = n * in_channels + o / v.group_out * v.group_in + c;
          sum += window_sum(&w, at, v.xs + channel * v.x_space,
                            v.weights + (o * v.group_in + c) * v.kernel_space);
        }
        milo_ref_set(&v.out, i, sum);
      }
    }
  }
  free(v.xs);
  free(v.weights);
  return MILO_OK;
}

// x [N, C, ...], weight [C, O / groups, ...], bias [O] -> [N, O, ...]
milo_status milo_ref_conv_transpose(const milo_ref_call *call) {
  operands v;
  void *memory = NULL;
  MILO_TRY(read_operands(call, &v));
  const milo_status status = milo_ref_alloc(call, v.out_space, sizeof(double), &memory);
  double *sums = memory;
  const window w = window_of(&v.window, &v.out, &v.x);
  const size_t in_channels = (size_t)v.x.dims[1], out_channels = (size_t)v.out.dims[1];
  for (size_t n = 0; status == MILO_OK && n < (size_t)v.out.dims[0]; ++n) {
    for (size_t o = 0; o < out_channels; ++o) {
      for (size_t s = 0; s < v.out_space; ++s) sums[s] = v.has_bias ? milo_ref_get(&v.bias, o) : 0;
      for (size_t c = 0; c < v.group_in; ++c) {
        const size_t channel = o / v.group_out * v.group_in + c;
        const double *x = v.xs + (n * in_channels + channel) * v.x_space;
        for (size_t s = 0; s < v.x_space; ++s) {
          int64_t at[AXES];
          position(&w, s, at);
          window_add(&w, at, x[s],
                     v.weights + (channel * v.group_out + o % v.group_out) * v.kernel_space, sums);
        }
      }
      for (size_t s = 0; s < v.out_space; ++s)
        milo_ref_set(&v.out, (n * out_channels + o) * v.out_space + s, sums[s]);
    }
  }
  free(sums);
  free(v.xs);
  free(v.weights);
  return status;
}
