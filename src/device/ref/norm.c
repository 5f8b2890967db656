// SPDX-License-Identifier: MIT
// Softmax and the normalisations.
#include <math.h>

#include "device/ref/call.h"

milo_status milo_ref_softmax(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  const milo_ref_split s = milo_ref_split_at(&x, milo_op_axis(call->op, "axis", x.rank));
  for (size_t line = 0; line < s.outer * s.inner; ++line) {
    const size_t first = line / s.inner * s.dim * s.inner + line % s.inner;
    double max = -INFINITY, sum = 0;
    for (size_t k = 0; k < s.dim; ++k) max = fmax(max, milo_ref_get(&x, first + k * s.inner));
    for (size_t k = 0; k < s.dim; ++k) sum += exp(milo_ref_get(&x, first + k * s.inner) - max);
    for (size_t k = 0; k < s.dim; ++k) {
      const size_t i = first + k * s.inner;
      milo_ref_set(&out, i, exp(milo_ref_get(&x, i) - max) / sum);
    }
  }
  return MILO_OK;
}

// Walks the elements of x that share the coordinates of the axes kept.
typedef struct group {
  size_t count;                   // elements of a group
  size_t groups;                  // number of groups
  milo_ref_tensor kept, reduced;  // shapes of the two sides
} group;

static group group_of(const milo_ref_tensor *x, const bool *is_reduced) {
  group g = {.kept = {0}, .reduced = {0}};
  for (int axis = 0; axis < x->rank; ++axis) {
    milo_ref_tensor *side = is_reduced[axis] ? &g.reduced : &g.kept;
    side->dims[side->rank++] = x->dims[axis];
  }
  g.groups = milo_ref_product(&g.kept, 0, g.kept.rank);
  g.count = milo_ref_product(&g.reduced, 0, g.reduced.rank);
  return g;
}

// Index in x of element k of group n.
static size_t group_index(const group *g, const milo_ref_tensor *x, const bool *is_reduced,
                          size_t n, size_t k) {
  int64_t kept[MILO_MAX_RANK], reduced[MILO_MAX_RANK], coords[MILO_MAX_RANK];
  milo_ref_coords(&g->kept, n, kept);
  milo_ref_coords(&g->reduced, k, reduced);
  int from_kept = 0, from_reduced = 0;
  for (int axis = 0; axis < x->rank; ++axis)
    coords[axis] = is_reduced[axis] ? reduced[from_reduced++] : kept[from_kept++];
  return milo_ref_index(x, coords);
}

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; gamma and beta have the shape of the
// normalised axes.
milo_status milo_ref_layer_norm(const milo_ref_call *call) {
  milo_ref_tensor x, gamma, beta, out = milo_ref_out(call, 0);
  bool is_reduced[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  milo_ref_axes(call, "axes", x.rank, is_reduced);
  const bool has_gamma = milo_ref_in(call, "gamma", &gamma);
  const bool has_beta = milo_ref_in(call, "beta", &beta);
  const double epsilon = milo_ref_epsilon(call, "epsilon", x.dtype);
  const group g = group_of(&x, is_reduced);
  for (size_t n = 0; n < g.groups; ++n) {
    double mean = 0, variance = 0;
    for (size_t k = 0; k < g.count; ++k)
      mean += milo_ref_get(&x, group_index(&g, &x, is_reduced, n, k));
    mean /= (double)g.count;
    for (size_t k = 0; k < g.count; ++k) {
      const double d = milo_ref_get(&x, group_index(&g, &x, is_reduced, n, k)) - mean;
      variance += d * d;
    }
    variance /= (double)g.count;
    for (size_t k = 0; k < g.count; ++k) {
      const size_t i = group_index(&g, &x, is_reduced, n, k);
      double y = (milo_ref_get(&x, i) - mean) / sqrt(variance + epsilon);
      if (has_gamma) y *= milo_ref_get(&gamma, k);
      if (has_beta) y += milo_ref_get(&beta, k);
      milo_ref_set(&out, i, y);
    }
  }
  return MILO_OK;
}

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, all four by channel. instance_norm
// takes mean and variance of each channel of each batch.
static milo_status normalise_channels(const milo_ref_call *call, bool of_each) {
  milo_ref_tensor x, gamma, beta, means, variances, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "mean", &means);
  milo_ref_in(call, "variance", &variances);
  const bool has_gamma = milo_ref_in(call, "gamma", &gamma);
  const bool has_beta = milo_ref_in(call, "beta", &beta);
  const double epsilon = milo_ref_epsilon(call, "epsilon", x.dtype);
  const size_t count = milo_ref_product(&x, 2, x.rank), channels = (size_t)x.dims[1];
  for (size_t plane = 0; plane < (size_t)x.dims[0] * channels; ++plane) {
    const size_t first = plane * count, c = plane % channels;
    double mean = 0, variance = 0;
    if (of_each) {
      for (size_t k = 0; k < count; ++k) mean += milo_ref_get(&x, first + k);
      mean /= (double)count;
      for (size_t k = 0; k < count; ++k) {
        const double d = milo_ref_get(&x, first + k) - mean;
        variance += d * d;
      }
      variance /= (double)count;
    } else {
      mean = milo_ref_get(&means, c);
      variance = milo_ref_get(&variances, c);
    }
    for (size_t k = 0; k < count; ++k) {
      double y = (milo_ref_get(&x, first + k) - mean) / sqrt(variance + epsilon);
      if (has_gamma) y *= milo_ref_get(&gamma, c);
      if (has_beta) y += milo_ref_get(&beta, c);
      milo_ref_set(&out, first + k, y);
    }
  }
  return MILO_OK;
}

milo_status milo_ref_instance_norm(const milo_ref_call *call) {
  return normalise_channels(call, true);
}

milo_status milo_ref_batch_norm(const milo_ref_call *call) {
  return normalise_channels(call, false);
}
