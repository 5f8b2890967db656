// SPDX-License-Identifier: MIT
// Gradients of pooling, and the definitions of the two composites that they are.
#include <stdint.h>
#include <string.h>

#include "base/number.h"
#include "ir/grad.h"
#include "ir/ops/geometry.h"
#include "ir/ops/ops.h"

#define SAME(op, name) \
  { name, milo_op_in(op, name) }

milo_status milo_vjp_max_pool(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (milo_grad_wants(g, x))
    milo_grad_add(
        g, x,
        EMIT(b, max_pool_grad, {"grad", seeds[0]}, {"x", x}, SAME(op, "kernel_sizes"),
             SAME(op, "strides"), SAME(op, "pad_type"), SAME(op, "pad"), SAME(op, "ceil_mode")));
  return b->status;
}

milo_status milo_vjp_avg_pool(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (milo_grad_wants(g, x))
    milo_grad_add(
        g, x,
        EMIT(b, avg_pool_grad, {"grad", seeds[0]},
             {"shape", milo_b_ints(b, x->type.dims, (size_t)x->type.rank)},
             SAME(op, "kernel_sizes"), SAME(op, "strides"), SAME(op, "pad_type"), SAME(op, "pad"),
             SAME(op, "ceil_mode"), SAME(op, "exclude_padding_from_average")));
  return b->status;
}

// Elements of a whole window.
static int64_t window_size(const milo_window *w) {
  int64_t n = 1;
  for (int i = 0; i < w->axes; i++) n *= w->kernel[i];
  return n;
}

// y = sqrt(sum x^2): dx = x times the sum of dy / y over the windows that x is in, which is that of
// an average over windows that are all counted whole.
milo_status milo_vjp_l2_pool(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *y = op->results[0];
  if (!milo_grad_wants(g, x)) return b->status;
  milo_window w;
  MILO_TRY(milo_pool_window(op, &x->type, b->diag, &w));
  int64_t pad[2 * MILO_WINDOW_MAX_AXES];
  for (int i = 0; i < w.axes; i++) {
    const int64_t span = (w.out[i] - 1) * w.stride[i] + w.kernel[i];
    const int64_t behind = span - w.pad_begin[i] - x->type.dims[2 + i];
    pad[2 * i] = w.pad_begin[i];
    pad[2 * i + 1] = behind > 0 ? behind : 0;
  }
  // A norm of 0 has x = 0: any divisor gives 0.
  milo_value *nonzero = milo_grad_compare(b, MILO_OP_not_equal, y, 0);
  milo_value *share = milo_b_div(b, seeds[0], milo_grad_where(b, nonzero, y, 1));
  milo_value *mean =
      EMIT(b, avg_pool_grad, {"grad", share},
           {"shape", milo_b_ints(b, x->type.dims, (size_t)x->type.rank)}, SAME(op, "kernel_sizes"),
           SAME(op, "strides"), {"pad_type", milo_b_string(b, "custom")},
           {"pad", milo_b_ints(b, pad, 2 * (size_t)w.axes)});
  milo_grad_add(g, x, milo_b_mul(b, x, milo_b_scale(b, mean, (double)window_size(&w))));
  return b->status;
}

// ---- definitions ----

static bool is_narrow(milo_dtype dtype) { return dtype == MILO_FP16 || dtype == MILO_BF16; }

static milo_value *widen(milo_builder *b, milo_value *x) {
  return is_narrow(x->type.dtype) ? milo_b_cast(b, x, MILO_FP32) : x;
}

static milo_value *narrow(milo_builder *b, milo_value *x, milo_dtype dtype) {
  return b->status == MILO_OK && x->type.dtype != dtype ? milo_b_cast(b, x, dtype) : x;
}

// Calls for every position of the window in row-major order, with its index.
typedef void at_fn(void *user, const milo_window *w, const int64_t *dims, const int64_t *at,
                   size_t index);

static void each_position(const milo_window *w, const int64_t *dims, at_fn *call, void *user) {
  int64_t at[MILO_WINDOW_MAX_AXES] = {0};
  size_t count = 1;
  for (int i = 0; i < w->axes; i++) count *= (size_t)w->out[i];
  for (size_t index = 0; index < count; index++) {
    call(user, w, dims, at, index);
    for (int i = w->axes - 1; i >= 0 && ++at[i] == w->out[i]; i--) at[i] = 0;
  }
}

// ---- max_pool_grad ----

// Where the elements of each window lie in the flat space of x. What of a window is padding counts
// as its first element once more, which changes neither the greatest element nor which one is the
// first; a window of padding alone is at the place behind the space.
typedef struct places {
  int32_t *table;  // [positions, elements of a window]
  int64_t space, size;
  bool any_outside;
} places;

static void list_places(void *user, const milo_window *w, const int64_t *dims, const int64_t *at,
                        size_t index) {
  places *p = user;
  int32_t *row = p->table + index * (size_t)p->size;
  int64_t k[MILO_WINDOW_MAX_AXES] = {0};
  int32_t first = (int32_t)p->space;
  for (int pass = 0; pass < 2; pass++)  // finds the first, then writes
    for (int64_t n = 0; n < p->size; n++) {
      int64_t place = 0;
      bool inside = true;
      for (int i = 0; i < w->axes; i++) {
        const int64_t x = at[i] * w->stride[i] + k[i] - w->pad_begin[i];
        inside = inside && x >= 0 && x < dims[i];
        place = place * dims[i] + x;
      }
      if (inside && first == p->space) first = (int32_t)place;
      if (pass == 1) row[n] = inside ? (int32_t)place : first;
      for (int i = w->axes - 1; i >= 0 && ++k[i] == w->kernel[i]; i--) k[i] = 0;
    }
  p->any_outside = p->any_outside || first == p->space;
}

// The greatest element of each window is found among copies of the windows, and its gradient added
// at its place.
milo_status milo_decompose_max_pool_grad(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *x = milo_op_in(op, "x"), *grad = milo_op_in(op, "grad");
  const milo_type *type = &x->type;
  milo_window w;
  MILO_TRY(milo_pool_window(op, type, b->diag, &w));
  places p = {.space = 1, .size = window_size(&w)};
  int64_t positions = 1;
  for (int i = 0; i < w.axes; i++) {
    p.space *= type->dims[2 + i];
    positions *= w.out[i];
  }
  size_t entries = 0;
  if (p.space >= INT32_MAX || !milo_size_mul((size_t)positions, (size_t)p.size, &entries) ||
      entries > INT32_MAX)
    return b->status =
               milo_fail(b->diag, op->loc, MILO_ERR_UNSUPPORTED,
                         "%s of so many windows cannot be written as other operations", op->name);
  p.table = MILO_NEW_ARRAY(&b->func->program->arena, int32_t, entries);
  each_position(&w, type->dims + 2, list_places, &p);
  const int64_t batch = type->dims[0], channels = type->dims[1];
  const int64_t space = p.space + (p.any_outside ? 1 : 0);
  const int64_t flat[] = {batch, channels, p.space}, wide[] = {batch, channels, positions, p.size};
  const int64_t low[] = {0, 0, 0}, high[] = {0, 0, space - p.space};
  const int64_t all = (int64_t)entries;
  milo_value *table = milo_b_tensor(b, milo_type_tensor(MILO_INT32, 1, &all), p.table);
  milo_value *values = milo_grad_resize(b, milo_grad_reshape(b, x, flat, 3), low, high);
  values = EMIT(b, gather, {"x", values}, {"indices", table}, {"axis", milo_b_int(b, 2)});
  values = milo_grad_reshape(b, values, wide, 4);
  milo_value *best = EMIT(b, reduce_argmax, {"x", values}, {"axis", milo_b_int(b, 3)});
  int64_t *starts = MILO_NEW_ARRAY(&b->func->program->arena, int64_t, (size_t)positions);
  for (int64_t i = 0; i < positions; i++) starts[i] = i * p.size;
  best = milo_b_add(b, best, milo_b_ints(b, starts, (size_t)positions));
  milo_value *at = EMIT(b, gather, {"x", table}, {"indices", best}, {"axis", milo_b_int(b, 0)});
  if (b->status != MILO_OK) return b->status;
  const int64_t seeds[] = {batch, channels, positions}, sums[] = {batch, channels, space};
  grad = widen(b, milo_grad_reshape(b, grad, seeds, 3));
  milo_value *zero = milo_grad_fill(b, milo_type_tensor(grad->type.dtype, 3, sums), 0);
  milo_value *dx = EMIT(b, scatter_along_axis, {"data", zero}, {"indices", at}, {"updates", grad},
                        {"axis", milo_b_int(b, 2)}, {"mode", milo_b_string(b, "add")});
  const int64_t crop[] = {0, 0, p.space - space};
  dx = milo_grad_resize(b, dx, low, crop);
  out[0] = narrow(b, milo_grad_reshape(b, dx, type->dims, type->rank), type->dtype);
  return b->status;
}

// ---- avg_pool_grad ----

// For each position: elements of a whole window over those that its average counts.
typedef struct counts {
  milo_dtype dtype;
  void *ratio;
  bool exclude, differ;
} counts;

static void count_elements(void *user, const milo_window *w, const int64_t *dims, const int64_t *at,
                           size_t index) {
  counts *c = user;
  int64_t count = 1;
  for (int i = 0; i < w->axes; i++) {
    int64_t first, end, padded;
    milo_window_range(w, i, dims[i], at[i], &first, &end, &padded);
    count *= c->exclude || end == first ? end - first : padded;
  }
  const int64_t size = window_size(w);
  milo_number_store(c->dtype, c->ratio, index, count == 0 ? 0 : (double)size / (double)count);
  c->differ = c->differ || count != size;
}

// An average again, of the gradient with stride - 1 zeros between its elements: element i gets from
// position o what the window at o has at i, one part in as many as it counts.
milo_status milo_decompose_avg_pool_grad(milo_builder *b, const milo_op *op, milo_value **out) {
  milo_value *grad = milo_op_in(op, "grad");
  const milo_type *type = &op->results[0]->type;
  const int rank = type->rank;
  milo_window w;
  MILO_TRY(milo_pool_window(op, type, b->diag, &w));
  int64_t wide[MILO_MAX_RANK] = {1, 1}, begin[MILO_MAX_RANK] = {0}, step[MILO_MAX_RANK] = {1, 1};
  int64_t dims[MILO_MAX_RANK], low[MILO_MAX_RANK] = {0}, high[MILO_MAX_RANK] = {0};
  int64_t pad[2 * MILO_WINDOW_MAX_AXES], ones[MILO_WINDOW_MAX_AXES];
  memcpy(dims, type->dims, sizeof dims);
  for (int i = 0; i < w.axes; i++) {
    const int64_t before = w.kernel[i] - 1 - w.pad_begin[i];
    const int64_t extent = (w.out[i] - 1) * w.stride[i] + 1;
    const int64_t after = type->dims[2 + i] + w.kernel[i] - 1 - before - extent;
    // Where padding was wider than the window's reach, what fell on it is cut off: with the
    // average padding the other side, but where all fell on it.
    const bool all = -before >= extent || -after >= extent;
    low[2 + i] = all || before < 0 ? before : 0;
    high[2 + i] = all || after < 0 ? after : 0;
    pad[2 * i] = before - low[2 + i];
    pad[2 * i + 1] = after - high[2 + i];
    ones[i] = 1;
    dims[2 + i] = extent;
    step[2 + i] = w.stride[i];
    wide[2 + i] = w.out[i];
  }
  grad = widen(b, grad);
  if (b->status != MILO_OK) return b->status;
  const milo_type ratios = milo_type_tensor(grad->type.dtype, rank, wide);
  counts c = {.dtype = ratios.dtype,
              .ratio = milo_arena_alloc(&b->func->program->arena, milo_type_bytes(&ratios)),
              .exclude = milo_op_bool(op, "exclude_padding_from_average")};
  each_position(&w, type->dims + 2, count_elements, &c);
  if (c.differ) grad = milo_b_mul(b, grad, milo_b_tensor(b, ratios, c.ratio));
  milo_value *spread = milo_grad_resize(b, milo_grad_place(b, grad, begin, step, dims), low, high);
  milo_value *dx = EMIT(
      b, avg_pool, {"x", spread}, {"kernel_sizes", milo_op_in(op, "kernel_sizes")},
      {"strides", milo_b_ints(b, ones, (size_t)w.axes)}, {"pad_type", milo_b_string(b, "custom")},
      {"pad", milo_b_ints(b, pad, 2 * (size_t)w.axes)});
  out[0] = narrow(b, dx, type->dtype);
  return b->status;
}
