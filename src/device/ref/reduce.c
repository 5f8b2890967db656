// SPDX-License-Identifier: MIT
// Reductions over axes, arg-reductions and running sums.
#include <math.h>
#include <stdlib.h>

#include "device/ref/call.h"

// How an operation folds elements. The value so far starts as `start`; finish turns it into the
// result. count: number of elements reduced.
typedef struct fold {
  double start;
  double (*step)(double sofar, double x);
  double (*finish)(double sofar, size_t count);  // NULL: as it is
} fold;

static double step_sum(double sofar, double x) { return sofar + x; }
static double step_prod(double sofar, double x) { return sofar * x; }
// NaN if any is NaN; -0 is less than +0.
static double step_max(double sofar, double x) {
  return isnan(sofar) || sofar > x || (sofar == x && !signbit(sofar)) ? sofar : x;
}
static double step_min(double sofar, double x) {
  return isnan(sofar) || sofar < x || (sofar == x && signbit(sofar)) ? sofar : x;
}
static double step_abs(double sofar, double x) { return sofar + fabs(x); }
static double step_square(double sofar, double x) { return sofar + x * x; }
static double finish_mean(double sofar, size_t count) { return sofar / (double)count; }
static double finish_sqrt(double sofar, size_t count) { return (void)count, sqrt(sofar); }
static double finish_log(double sofar, size_t count) { return (void)count, log(sofar); }

static const fold folds[MILO_OP_COUNT] = {
    [MILO_OP_reduce_sum] = {0, step_sum, NULL},
    [MILO_OP_reduce_mean] = {0, step_sum, finish_mean},
    [MILO_OP_reduce_max] = {-INFINITY, step_max, NULL},
    [MILO_OP_reduce_min] = {INFINITY, step_min, NULL},
    [MILO_OP_reduce_prod] = {1, step_prod, NULL},
    [MILO_OP_reduce_sum_square] = {0, step_square, NULL},
    [MILO_OP_reduce_l1_norm] = {0, step_abs, NULL},
    [MILO_OP_reduce_l2_norm] = {0, step_square, finish_sqrt},
    [MILO_OP_reduce_log_sum] = {0, step_sum, finish_log},
    [MILO_OP_reduce_log_sum_exp] = {0, step_sum, finish_log},  // of exp(x - max), see below
};

// Integers whose result is an integer by nature; the others are computed as doubles and truncated.
static int64_t int_sum(int64_t sofar, int64_t x) { return milo_ref_add(sofar, x); }
static int64_t int_prod(int64_t sofar, int64_t x) { return milo_ref_mul(sofar, x); }
static int64_t int_max(int64_t sofar, int64_t x) { return sofar > x ? sofar : x; }
static int64_t int_min(int64_t sofar, int64_t x) { return sofar < x ? sofar : x; }
static int64_t int_abs(int64_t sofar, int64_t x) {
  return milo_ref_add(sofar, x < 0 ? milo_ref_sub(0, x) : x);
}
static int64_t int_square(int64_t sofar, int64_t x) {
  return milo_ref_add(sofar, milo_ref_mul(x, x));
}

typedef struct int_fold {
  int64_t start;
  int64_t (*step)(int64_t sofar, int64_t x);
} int_fold;

static const int_fold int_folds[MILO_OP_COUNT] = {
    [MILO_OP_reduce_sum] = {0, int_sum},           [MILO_OP_reduce_prod] = {1, int_prod},
    [MILO_OP_reduce_max] = {INT64_MIN, int_max},   [MILO_OP_reduce_min] = {INT64_MAX, int_min},
    [MILO_OP_reduce_sum_square] = {0, int_square}, [MILO_OP_reduce_l1_norm] = {0, int_abs},
};

// Which element of the result (its axes kept with size 1) element i of x goes to.
static size_t target_of(const milo_ref_tensor *x, size_t i, const bool *reduced) {
  size_t target = 0, stride = 1;
  for (int axis = x->rank - 1; axis >= 0; --axis) {
    const size_t coord = i % (size_t)x->dims[axis];
    i /= (size_t)x->dims[axis];
    if (reduced[axis]) continue;
    target += coord * stride;
    stride *= (size_t)x->dims[axis];
  }
  return target;
}

static milo_status reduce_integers(const milo_ref_call *call, const milo_ref_tensor *x,
                                   const bool *reduced, const milo_ref_tensor *out) {
  const int_fold *f = &int_folds[call->op->code];
  void *memory;
  MILO_TRY(milo_ref_alloc(call, out->count, sizeof(int64_t), &memory));
  int64_t *sofar = memory;
  for (size_t o = 0; o < out->count; ++o) sofar[o] = f->start;
  for (size_t i = 0; i < x->count; ++i) {
    const size_t o = target_of(x, i, reduced);
    sofar[o] = f->step(sofar[o], milo_ref_get_int(x, i));
  }
  for (size_t o = 0; o < out->count; ++o) {
    if (x->count == 0)
      milo_number_store_int(out->dtype, out->out, o, sofar[o]);  // no wrapping of the start
    else
      milo_ref_set_int(out, o, sofar[o]);
  }
  free(sofar);
  return MILO_OK;
}

// The greatest element a result element has, 0 where that is not finite.
static void shift_by_max(const milo_ref_tensor *x, const bool *reduced, double *shift,
                         size_t count) {
  for (size_t o = 0; o < count; ++o) shift[o] = -INFINITY;
  for (size_t i = 0; i < x->count; ++i) {
    const size_t o = target_of(x, i, reduced);
    if (milo_ref_get(x, i) > shift[o]) shift[o] = milo_ref_get(x, i);
  }
  for (size_t o = 0; o < count; ++o)
    if (!isfinite(shift[o])) shift[o] = 0;
}

milo_status milo_ref_reduce(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  bool reduced[MILO_MAX_RANK];
  milo_ref_in(call, "x", &x);
  milo_ref_axes(call, "axes", x.rank, reduced);
  if (milo_ref_is_int(&x) && int_folds[call->op->code].step != NULL)
    return reduce_integers(call, &x, reduced, &out);

  const fold *f = &folds[call->op->code];
  const bool log_sum_exp = call->op->code == MILO_OP_reduce_log_sum_exp;
  void *memory;
  MILO_TRY(milo_ref_alloc(call, 2 * out.count, sizeof(double), &memory));
  double *sofar = memory, *shift = sofar + out.count;
  if (log_sum_exp) shift_by_max(&x, reduced, shift, out.count);
  for (size_t o = 0; o < out.count; ++o) sofar[o] = f->start;
  for (size_t i = 0; i < x.count; ++i) {
    const size_t o = target_of(&x, i, reduced);
    const double value = milo_ref_get(&x, i);
    sofar[o] = f->step(sofar[o], log_sum_exp ? exp(value - shift[o]) : value);
  }
  size_t each = 1;
  for (int axis = 0; axis < x.rank; ++axis)
    if (reduced[axis]) each *= (size_t)x.dims[axis];
  for (size_t o = 0; o < out.count; ++o) {
    const double result = f->finish != NULL ? f->finish(sofar[o], each) : sofar[o];
    milo_ref_set(&out, o, log_sum_exp ? result + shift[o] : result);  // -0 + 0 would be +0
  }
  free(sofar);
  return MILO_OK;
}

// Does candidate beat best? The first of equals wins; a NaN beats all numbers.
static bool beats(const milo_ref_tensor *x, size_t candidate, size_t best, bool greatest) {
  if (milo_ref_is_int(x)) {
    const int64_t c = milo_ref_get_int(x, candidate), b = milo_ref_get_int(x, best);
    return greatest ? c > b : c < b;
  }
  const double c = milo_ref_get(x, candidate), b = milo_ref_get(x, best);
  return !isnan(b) && (isnan(c) || (greatest ? c > b : c < b));
}

milo_status milo_ref_arg_reduce(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  const milo_ref_split s = milo_ref_split_at(&x, milo_op_axis(call->op, "axis", x.rank));
  if (s.dim == 0 && out.count > 0)
    return milo_ref_fail(call, "the axis has no elements to choose from");
  for (size_t o = 0; o < out.count; ++o) {
    const size_t first = o / s.inner * s.dim * s.inner + o % s.inner;
    size_t best = 0;
    for (size_t k = 1; k < s.dim; ++k)
      if (beats(&x, first + k * s.inner, first + best * s.inner,
                call->op->code == MILO_OP_reduce_argmax))
        best = k;
    milo_ref_set_int(&out, o, (int64_t)best);
  }
  return MILO_OK;
}

milo_status milo_ref_cumsum(const milo_ref_call *call) {
  milo_ref_tensor x, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  const milo_ref_split s = milo_ref_split_at(&x, milo_op_axis(call->op, "axis", x.rank));
  const bool exclusive = milo_op_bool(call->op, "exclusive");
  const bool reverse = milo_op_bool(call->op, "reverse");
  for (size_t line = 0; line < s.outer * s.inner; ++line) {
    const size_t first = line / s.inner * s.dim * s.inner + line % s.inner;
    double sum = 0;
    int64_t total = 0;
    for (size_t k = 0; k < s.dim; ++k) {
      const size_t i = first + (reverse ? s.dim - 1 - k : k) * s.inner;
      const double before = sum;
      const int64_t total_before = total;
      if (milo_ref_is_int(&x)) {
        total = milo_ref_add(total, milo_ref_get_int(&x, i));
        milo_ref_set_int(&out, i, exclusive ? total_before : total);
      } else {
        sum += milo_ref_get(&x, i);
        milo_ref_set(&out, i, exclusive ? before : sum);
      }
    }
  }
  return MILO_OK;
}
