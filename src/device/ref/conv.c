// SPDX-License-Identifier: MIT
// Convolution with one to three spatial axes.
#include <stdlib.h>

#include "device/ref/call.h"
#include "ir/ops/geometry.h"

enum { MAX_SPATIAL = MILO_CONV_MAX_SPATIAL };

// One entry a spatial axis; axes that are not there have size 1 (leading ones).
typedef struct window {
  int64_t in[MAX_SPATIAL], kernel[MAX_SPATIAL], out[MAX_SPATIAL];
  int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL], before[MAX_SPATIAL];
} window;

static window window_of(const milo_conv_geometry *g, const milo_ref_tensor *x,
                        const milo_ref_tensor *weight, const milo_ref_tensor *out) {
  window w;
  for (int axis = 0; axis < MAX_SPATIAL; ++axis) {
    const int i = axis - (MAX_SPATIAL - g->spatial);
    w.in[axis] = i < 0 ? 1 : x->dims[2 + i];
    w.kernel[axis] = i < 0 ? 1 : weight->dims[2 + i];
    w.out[axis] = i < 0 ? 1 : out->dims[2 + i];
    w.stride[axis] = i < 0 ? 1 : g->stride[i];
    w.dilation[axis] = i < 0 ? 1 : g->dilation[i];
    w.before[axis] = i < 0 ? 0 : g->pad_begin[i];
  }
  return w;
}

// Sum over the window at spatial position `at` of one input channel times one kernel slice.
static double window_sum(const window *w, const int64_t *at, const double *x,
                         const double *weight) {
  double sum = 0;
  size_t k = 0;
  for (int64_t a = 0; a < w->kernel[0]; ++a) {
    for (int64_t b = 0; b < w->kernel[1]; ++b) {
      for (int64_t c = 0; c < w->kernel[2]; ++c, ++k) {
        const int64_t i0 = at[0] * w->stride[0] + a * w->dilation[0] - w->before[0];
        const int64_t i1 = at[1] * w->stride[1] + b * w->dilation[1] - w->before[1];
        const int64_t i2 = at[2] * w->stride[2] + c * w->dilation[2] - w->before[2];
        if (i0 < 0 || i0 >= w->in[0] || i1 < 0 || i1 >= w->in[1] || i2 < 0 || i2 >= w->in[2])
          continue;
        sum += x[(i0 * w->in[1] + i1) * w->in[2] + i2] * weight[k];
      }
    }
  }
  return sum;
}

// x [N, C, ...], weight [O, C / groups, ...], bias [O] -> [N, O, ...]
milo_status milo_ref_conv(const milo_ref_call *call) {
  milo_ref_tensor x, weight, bias, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "weight", &weight);
  const bool has_bias = milo_ref_in(call, "bias", &bias);
  milo_conv_geometry geometry;
  MILO_TRY(milo_conv_geometry_get(call->op, call->diag, &geometry));
  const window w = window_of(&geometry, &x, &weight, &out);
  const size_t in_channels = (size_t)x.dims[1], out_channels = (size_t)out.dims[1];
  const size_t groups = (size_t)geometry.groups;
  const size_t group_in = in_channels / groups, group_out = out_channels / groups;
  const size_t x_plane = milo_ref_product(&x, 2, x.rank);
  const size_t kernel_plane = milo_ref_product(&weight, 2, weight.rank);

  double *dx = NULL, *dw = NULL;
  milo_status status = milo_ref_doubles(call, &x, &dx);
  if (status == MILO_OK) status = milo_ref_doubles(call, &weight, &dw);
  size_t i = 0;
  for (int64_t n = 0; status == MILO_OK && n < out.dims[0]; ++n) {
    for (size_t o = 0; o < out_channels; ++o) {
      int64_t at[MAX_SPATIAL];
      for (at[0] = 0; at[0] < w.out[0]; ++at[0]) {
        for (at[1] = 0; at[1] < w.out[1]; ++at[1]) {
          for (at[2] = 0; at[2] < w.out[2]; ++at[2], ++i) {
            double sum = has_bias ? milo_ref_get(&bias, o) : 0;
            for (size_t c = 0; c < group_in; ++c) {
              const size_t channel = (size_t)n * in_channels + o / group_out * group_in + c;
              sum += window_sum(&w, at, dx + channel * x_plane,
                                dw + (o * group_in + c) * kernel_plane);
            }
            milo_ref_set(&out, i, sum);
          }
        }
      }
    }
  }
  free(dx);
  free(dw);
  return status;
}
