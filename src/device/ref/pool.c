// SPDX-License-Identifier: MIT
// Pooling over windows of one to three spatial axes, and its gradients.
#include <math.h>
#include <stdlib.h>

#include "device/ref/call.h"
#include "ir/ops/geometry.h"

enum { AXES = MILO_WINDOW_MAX_AXES };

// The elements of a channel that lie in the window at one position: a box. Axes that are not there
// have size 1.
typedef struct box {
  int64_t first[AXES], end[AXES];
  size_t dims[AXES];
  size_t count, padded;  // elements; with those of the padding
} box;

static box box_at(const milo_window *w, const int64_t *dims, size_t position) {
  box b = {.count = 1, .padded = 1};
  for (int axis = 0; axis < AXES; ++axis) {
    b.end[axis] = 1;
    b.dims[axis] = 1;
  }
  for (int axis = w->axes - 1; axis >= 0; --axis) {
    int64_t padded;
    milo_window_range(w, axis, dims[axis], (int64_t)(position % (size_t)w->out[axis]),
                      &b.first[axis], &b.end[axis], &padded);
    position /= (size_t)w->out[axis];
    b.dims[axis] = (size_t)dims[axis];
    b.count *= (size_t)(b.end[axis] - b.first[axis]);
    b.padded *= (size_t)padded;
  }
  return b;
}

// Element i of the box, counted in row-major order, in its channel.
static size_t place(const box *b, size_t i) {
  size_t at[AXES], index = 0;
  for (int axis = AXES - 1; axis >= 0; --axis) {
    const size_t size = (size_t)(b->end[axis] - b->first[axis]);
    at[axis] = (size_t)b->first[axis] + i % size;
    i /= size;
  }
  for (int axis = 0; axis < AXES; ++axis) index = index * b->dims[axis] + at[axis];
  return index;
}

// Which element of the box is the greatest, the first of them; the first NaN where there is one.
static size_t greatest(const box *b, const milo_ref_tensor *x, size_t channel) {
  size_t best = channel + place(b, 0);
  for (size_t i = 1; i < b->count; ++i) {
    const size_t at = channel + place(b, i);
    const double value = milo_ref_get(x, at), most = milo_ref_get(x, best);
    if (value > most || (isnan(value) && !isnan(most))) best = at;
  }
  return best;
}

// What an average is divided by. Nothing at all averages to 0.
static double divisor(const milo_ref_call *call, const box *b) {
  if (b->count == 0) return 1;
  return (double)(milo_op_bool(call->op, "exclude_padding_from_average") ? b->count : b->padded);
}

static double pool(const milo_ref_call *call, const milo_ref_tensor *x, size_t channel,
                   const box *b) {
  double sum = 0;
  if (call->op->code == MILO_OP_max_pool)
    return b->count > 0 ? milo_ref_get(x, greatest(b, x, channel)) : (double)-INFINITY;
  for (size_t i = 0; i < b->count; ++i) {
    const double value = milo_ref_get(x, channel + place(b, i));
    sum += call->op->code == MILO_OP_l2_pool ? value * value : value;
  }
  return call->op->code == MILO_OP_l2_pool ? sqrt(sum) : sum / divisor(call, b);
}

static size_t position_count(const milo_window *w) {
  size_t count = 1;
  for (int axis = 0; axis < w->axes; ++axis) count *= (size_t)w->out[axis];
  return count;
}

// avg_pool, max_pool, l2_pool.
milo_status milo_ref_pool(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_window w;
  milo_ref_in(call, "x", &x);
  MILO_TRY(milo_pool_window(call->op, &milo_op_in(call->op, "x")->type, call->diag, &w));
  const size_t space = milo_ref_product(&x, 2, x.rank), positions = position_count(&w);
  for (size_t i = 0; i < out.count; ++i) {
    const box b = box_at(&w, x.dims + 2, i % positions);
    milo_ref_set(&out, i, pool(call, &x, i / positions * space, &b));
  }
  return MILO_OK;
}

// avg_pool_grad, max_pool_grad.
milo_status milo_ref_pool_grad(const milo_ref_call *call) {
  milo_ref_tensor grad, x, out = milo_ref_out(call, 0);
  milo_window w;
  void *memory;
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "x", &x);
  MILO_TRY(milo_pool_window(call->op, &call->op->results[0]->type, call->diag, &w));
  MILO_TRY(milo_ref_alloc(call, out.count, sizeof(double), &memory));
  double *sums = memory;
  const size_t space = milo_ref_product(&out, 2, out.rank), positions = position_count(&w);
  for (size_t i = 0; i < grad.count; ++i) {
    const box b = box_at(&w, out.dims + 2, i % positions);
    const size_t channel = i / positions * space;
    const double g = milo_ref_get(&grad, i);
    if (b.count == 0) continue;
    if (call->op->code == MILO_OP_max_pool_grad) {
      sums[greatest(&b, &x, channel)] += g;
      continue;
    }
    for (size_t k = 0; k < b.count; ++k) sums[channel + place(&b, k)] += g / divisor(call, &b);
  }
  for (size_t i = 0; i < out.count; ++i) milo_ref_set(&out, i, sums[i]);
  free(sums);
  return MILO_OK;
}
