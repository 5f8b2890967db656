// SPDX-License-Identifier: MIT
// Convolution with one to three spatial axes.
#include <stdlib.h>
#include <string.h>

#include "device/ref/call.h"

enum { MAX_SPATIAL = 3 };

// One entry a spatial axis; axes that are not there have size 1 (leading ones).
typedef struct window {
  int64_t in[MAX_SPATIAL], kernel[MAX_SPATIAL], out[MAX_SPATIAL];
  int64_t stride[MAX_SPATIAL], dilation[MAX_SPATIAL], before[MAX_SPATIAL];
} window;

static void read_window(const milo_op *op, const milo_ref_tensor *x, const milo_ref_tensor *weight,
                        const milo_ref_tensor *out, window *w) {
  int64_t strides[MAX_SPATIAL], dilations[MAX_SPATIAL], pad[2 * MAX_SPATIAL];
  const int spatial = x->rank - 2, first = MAX_SPATIAL - spatial;
  const int stride_count = milo_op_ints(op, "strides", strides, MAX_SPATIAL);
  const int dilation_count = milo_op_ints(op, "dilations", dilations, MAX_SPATIAL);
  const int pad_count = milo_op_ints(op, "pad", pad, 2 * MAX_SPATIAL);
  const char *pad_type = milo_op_string(op, "pad_type");
  for (int axis = 0; axis < MAX_SPATIAL; ++axis) {
    const int i = axis - first;
    w->in[axis] = i < 0 ? 1 : x->dims[2 + i];
    w->kernel[axis] = i < 0 ? 1 : weight->dims[2 + i];
    w->out[axis] = i < 0 ? 1 : out->dims[2 + i];
    w->stride[axis] = i < 0 || stride_count < 0 ? 1 : strides[i];
    w->dilation[axis] = i < 0 || dilation_count < 0 ? 1 : dilations[i];
    w->before[axis] = 0;
    if (i < 0) continue;
    if (strcmp(pad_type, "custom") == 0) {
      w->before[axis] = pad_count < 0 ? 0 : pad[2 * i];
    } else if (strncmp(pad_type, "same", 4) == 0) {
      // As much as the output's ceil(in / stride) elements need; the odd one after, or before if
      // "same_lower".
      const int64_t reach = (w->kernel[axis] - 1) * w->dilation[axis] + 1;
      const int64_t need = (w->out[axis] - 1) * w->stride[axis] + reach - w->in[axis];
      const int64_t total = need > 0 ? need : 0;
      w->before[axis] = strcmp(pad_type, "same_lower") == 0 ? total - total / 2 : total / 2;
    }
  }
}

// Sum over the window at spatial position `at` of one input channel times one kernel slice.
static double window_sum(const window *w, const int64_t *at, const double *x, const double *weight) {
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
  window w;
  read_window(call->op, &x, &weight, &out, &w);
  const size_t in_channels = (size_t)x.dims[1], out_channels = (size_t)out.dims[1];
  const size_t groups = (size_t)milo_op_int(call->op, "groups");
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
