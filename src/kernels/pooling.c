// SPDX-License-Identifier: MIT
// A window is joined axis by axis: first the rows it covers, element by element, then the elements
// of that row which each position covers. Rows go through the vector functions, so what positions
// stride apart read is laid side by side first. A task takes one plane.
#include "kernels/pooling.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/convert.h"

enum { AXES = MILO_POOLING_AXES };

static size_t count_of(const size_t *dims) { return dims[0] * dims[1] * dims[2]; }
static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// Elements of the last axis that the positions cover, in padded space; of each of its `stride`
// parts.
static size_t extent_of(const milo_pooling *v) {
  return (v->positions[2] - 1) * v->stride[2] + v->kernel[2];
}
static size_t part_of(const milo_pooling *v) {
  return (extent_of(v) + v->stride[2] - 1) / v->stride[2];
}

bool milo_pooling_takes(const milo_pooling *v) {
  const double extent = (double)(v->positions[2] - 1) * (double)v->stride[2] + (double)v->kernel[2];
  // Places in a plane and a window more are held as 32-bit integers.
  const double plane = (double)count_of(v->size) + (double)v->kernel[2];
  return extent + (double)v->stride[2] <=
             16 * ((double)v->size[2] + (double)v->positions[2]) + 4096 &&
         plane < 0x7fffffff;
}

// A worker's memory, in floats from its beginning.
typedef struct plan {
  size_t plane;               // x as fp32 (the gradient: dx)
  size_t result;              // the result as fp32 (its gradient)
  size_t row, parts, counts;  // parts: at least a row, for its squares
  size_t slot;
} plan;

static plan plan_of(const milo_pooling *v) {
  const bool narrow = v->dtype != MILO_FP32;
  plan p = {.plane = narrow ? round_up(count_of(v->size), 16) : 0,
            .result = narrow ? round_up(count_of(v->positions), 16) : 0,
            .row = round_up(max_size(v->size[2], v->positions[2]), 16),
            .parts = round_up(max_size(part_of(v) * v->stride[2], v->size[2]), 16),
            .counts = round_up(v->positions[2], 16)};
  // x and dx at once; counts twice: of the last axis, and of whole windows.
  p.slot = 2 * p.plane + p.result + p.row + p.parts + 2 * p.counts;
  return p;
}

size_t milo_pooling_workspace_bytes(const milo_exec *exec, const milo_pooling *v) {
  return plan_of(v).slot * sizeof(float) * (size_t)milo_pool_threads(exec->pool);
}

// What a position covers of an axis, and how many elements with those of the padding.
typedef struct range {
  size_t first, end, padded;
} range;

static range range_at(const milo_pooling *v, int axis, size_t position) {
  const size_t from = position * v->stride[axis], before = v->before[axis], size = v->size[axis];
  const size_t to = min_size(from + v->kernel[axis], before + size + v->behind[axis]);
  range r = {from > before ? from - before : 0, to > before ? to - before : 0, to - from};
  r.end = min_size(r.end, size);
  r.first = min_size(r.first, r.end);
  return r;
}

static size_t length(const range *r) { return r->end - r->first; }

typedef struct job {
  const milo_rows *rows;
  const milo_pooling *v;
  plan p;
  const char *x, *grad;
  char *out;
  float *slots;
} job;

// Elements that an average over [rows][position] is divided by.
static void divisors(const job *w, const float *along, size_t rows, float *out) {
  const milo_pooling *v = w->v;
  w->rows->scale(out, along, v->positions[2], (float)rows, 0);
  for (size_t i = 0; i < v->positions[2]; ++i) out[i] = out[i] > 0 ? out[i] : 1;
}

static void count_along(const milo_pooling *v, float *out) {
  for (size_t i = 0; i < v->positions[2]; ++i) {
    const range r = range_at(v, 2, i);
    out[i] = (float)(v->exclude_padding || length(&r) == 0 ? length(&r) : r.padded);
  }
}

// Rows of the average's count.
static size_t rows_counted(const milo_pooling *v, const range *a, const range *b) {
  if (v->exclude_padding || length(a) * length(b) == 0) return length(a) * length(b);
  return a->padded * b->padded;
}

// ---- forward ----

static void join(const job *w, float *sums, const float *x, size_t n) {
  // The earlier one where they are equal.
  if (w->v->kind == MILO_POOLING_MAX)
    w->rows->binary[MILO_BINARY_maximum](sums, x, sums, n);
  else
    w->rows->binary[MILO_BINARY_add](sums, sums, x, n);
}

// All elements of the rows in the ranges, joined to one row.
static void join_rows(const job *w, const float *x, const range *a, const range *b, float *row,
                      float *square) {
  const size_t width = w->v->size[2];
  bool first = true;
  for (size_t i = a->first; i < a->end; ++i)
    for (size_t j = b->first; j < b->end; ++j, first = false) {
      const float *from = x + (i * w->v->size[1] + j) * width;
      if (w->v->kind == MILO_POOLING_L2) {
        w->rows->unary[MILO_UNARY_square](square, from, width, NULL);
        from = square;
      }
      if (first)
        memcpy(row, from, width * sizeof *row);
      else
        join(w, row, from, width);
    }
}

// Each position's elements of the row joined. parts: room for the row, padded, its elements stride
// apart side by side.
static void join_along(const job *w, const float *row, float *parts, float *out) {
  const milo_pooling *v = w->v;
  const size_t stride = v->stride[2], part = part_of(v), n = v->positions[2];
  const float none = v->kind == MILO_POOLING_MAX ? -INFINITY : 0.0f;
  for (size_t q = 0; q < stride; ++q) {
    float *to = parts + q * part;
    // Elements q, q + stride, ... of the padded row; those of the row itself are [low, high).
    const size_t low = v->before[2] > q ? (v->before[2] - q + stride - 1) / stride : 0;
    const size_t end = v->before[2] + v->size[2];
    size_t high = end > q ? (end - q + stride - 1) / stride : 0;
    high = min_size(high, part);
    for (size_t i = 0; i < min_size(low, part); ++i) to[i] = none;
    if (low < high)
      milo_load_f32(w->rows, to + low, row + (q + low * stride - v->before[2]), MILO_FP32,
                    (ptrdiff_t)stride, high - low);
    for (size_t i = max_size(low, high); i < part; ++i) to[i] = none;
  }
  memcpy(out, parts, n * sizeof *out);
  for (size_t k = 1; k < v->kernel[2]; ++k) join(w, out, parts + k % stride * part + k / stride, n);
}

static void plane_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_pooling *v = w->v;
  const size_t bytes = milo_dtype_bits(v->dtype) / 8, width = v->positions[2];
  const size_t size = count_of(v->size), positions = count_of(v->positions);
  float *slot = w->slots + (size_t)worker * w->p.slot, *own = slot + 2 * w->p.plane;
  float *row = own + w->p.result, *parts = row + w->p.row, *along = parts + w->p.parts;
  float *whole = along + w->p.counts;
  const float *x = (const float *)(const void *)(w->x + t * size * bytes);
  float *out = (float *)(void *)(w->out + t * positions * bytes);
  if (v->dtype != MILO_FP32) {
    milo_load_f32(w->rows, slot, x, v->dtype, 1, size);
    x = slot;
    out = own;
  }
  if (v->kind == MILO_POOLING_AVERAGE) count_along(v, along);
  for (size_t i = 0; i < v->positions[0]; ++i)
    for (size_t j = 0; j < v->positions[1]; ++j) {
      const range a = range_at(v, 0, i), b = range_at(v, 1, j);
      float *to = out + (i * v->positions[1] + j) * width;
      if (length(&a) * length(&b) * v->size[2] == 0) {
        for (size_t k = 0; k < width; ++k) to[k] = v->kind == MILO_POOLING_MAX ? -INFINITY : 0.0f;
        continue;
      }
      join_rows(w, x, &a, &b, row, parts);
      join_along(w, row, parts, to);
      if (v->kind == MILO_POOLING_L2) w->rows->unary[MILO_UNARY_sqrt](to, to, width, NULL);
      if (v->kind != MILO_POOLING_AVERAGE) continue;
      divisors(w, along, rows_counted(v, &a, &b), whole);
      w->rows->binary[MILO_BINARY_real_div](to, to, whole, width);
    }
  if (v->dtype != MILO_FP32)
    milo_store_f32(w->rows, w->out + t * positions * bytes, v->dtype, 1, out, positions);
}

static bool nothing(const milo_pooling *v) { return v->planes == 0; }

static void run(const milo_exec *exec, job *w, milo_pool_task *task, void *workspace) {
  if (nothing(w->v)) return;
  w->rows = exec->rows;
  w->p = plan_of(w->v);
  w->slots = workspace;
  milo_pool_run(exec->pool, w->v->planes, task, w);
}

void milo_pooling_run(const milo_exec *exec, const milo_pooling *v, const void *x, void *out,
                      void *workspace) {
  job w = {.v = v, .x = x, .out = out};
  run(exec, &w, plane_task, workspace);
}

// ---- gradients ----

// The greatest elements so far of a row of positions: values, and places in the plane from where
// position 0 begins (-1: none yet).
typedef struct leaders {
  float *values;
  int32_t *places;
} leaders;

// n windows take up one more element each, x[k * stride] for window k. The earlier one stays where
// they are equal; a NaN beats all but a NaN. Without branches: which one wins is hard to foretell.
static void challenge(const leaders *l, const float *x, size_t n, size_t stride, int32_t place) {
  for (size_t k = 0; k < n; ++k) {
    const float value = x[k * stride], most = l->values[k];
    const bool wins = (l->places[k] < 0) | (!(value <= most) & (most == most));
    l->values[k] = wins ? value : most;
    l->places[k] = wins ? place : l->places[k];
  }
}

// Positions whose element `tap` along the last axis lies in the plane: [*out_from, *out_to).
static void positions_of(const milo_pooling *v, size_t tap, size_t *out_from, size_t *out_to) {
  const size_t before = v->before[2], end = before + v->size[2], stride = v->stride[2];
  *out_from = tap < before ? (before - tap + stride - 1) / stride : 0;
  *out_to = tap < end ? min_size((end - tap + stride - 1) / stride, v->positions[2]) : 0;
}

static void max_grad(const job *w, const float *x, const float *grad, float *dx, float *rest) {
  const milo_pooling *v = w->v;
  const size_t n = v->positions[2], width = v->size[2], stride = v->stride[2];
  const leaders l = {rest, (int32_t *)(void *)(rest + w->p.counts)};
  for (size_t i = 0; i < v->positions[0]; ++i)
    for (size_t j = 0; j < v->positions[1]; ++j, grad += n) {
      const range a = range_at(v, 0, i), b = range_at(v, 1, j);
      for (size_t k = 0; k < n; ++k) l.places[k] = -1;
      for (size_t p = a.first; p < a.end; ++p)
        for (size_t q = b.first; q < b.end; ++q) {
          const size_t row = (p * v->size[1] + q) * width;
          for (size_t tap = 0; tap < v->kernel[2]; ++tap) {
            size_t from, to;
            positions_of(v, tap, &from, &to);
            if (from >= to) continue;
            // Of the first position that has the element, which lies in the row.
            const float *at = x + (row + tap + from * stride - v->before[2]);
            const leaders part = {l.values + from, l.places + from};
            challenge(&part, at, to - from, stride, (int32_t)(row + tap));
          }
        }
      for (size_t k = 0; k < n; ++k)
        if (l.places[k] >= 0) dx[(size_t)l.places[k] + k * stride - v->before[2]] += grad[k];
    }
}

// A row of the gradient is spread along its own axis, then added to all rows of its windows.
static void average_grad(const job *w, const float *grad, float *dx, float *rest) {
  const milo_pooling *v = w->v;
  const size_t n = v->positions[2], width = v->size[2];
  float *row = rest, *parts = row + w->p.row, *along = parts + w->p.parts;
  float *whole = along + w->p.counts;
  count_along(v, along);
  for (size_t i = 0; i < v->positions[0]; ++i)
    for (size_t j = 0; j < v->positions[1]; ++j, grad += n) {
      const range a = range_at(v, 0, i), b = range_at(v, 1, j);
      if (length(&a) * length(&b) == 0) continue;
      divisors(w, along, rows_counted(v, &a, &b), whole);
      w->rows->binary[MILO_BINARY_real_div](whole, grad, whole, n);
      memset(row, 0, width * sizeof *row);
      for (size_t k = 0; k < n; ++k) {
        const range c = range_at(v, 2, k);
        for (size_t q = c.first; q < c.end; ++q) row[q] += whole[k];
      }
      for (size_t p = a.first; p < a.end; ++p)
        for (size_t q = b.first; q < b.end; ++q) {
          float *to = dx + (p * v->size[1] + q) * width;
          w->rows->binary[MILO_BINARY_add](to, to, row, width);
        }
    }
}

static void grad_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_pooling *v = w->v;
  const size_t bytes = milo_dtype_bits(v->dtype) / 8;
  const size_t size = count_of(v->size), positions = count_of(v->positions);
  const bool narrow = v->dtype != MILO_FP32, is_max = v->kind == MILO_POOLING_MAX;
  float *slot = w->slots + (size_t)worker * w->p.slot, *own = slot + 2 * w->p.plane;
  const float *x = is_max ? (const float *)(const void *)(w->x + t * size * bytes) : NULL;
  const float *grad = (const float *)(const void *)(w->grad + t * positions * bytes);
  float *dx = (float *)(void *)(w->out + t * size * bytes);
  if (narrow) {
    if (is_max) milo_load_f32(w->rows, slot + w->p.plane, x, v->dtype, 1, size);
    milo_load_f32(w->rows, own, grad, v->dtype, 1, positions);
    x = slot + w->p.plane;
    grad = own;
    dx = slot;
  }
  memset(dx, 0, size * sizeof *dx);
  if (is_max)
    max_grad(w, x, grad, dx, own + w->p.result + w->p.row + w->p.parts);
  else
    average_grad(w, grad, dx, own + w->p.result);
  if (narrow) milo_store_f32(w->rows, w->out + t * size * bytes, v->dtype, 1, dx, size);
}

void milo_pooling_grad_run(const milo_exec *exec, const milo_pooling *v, const void *grad,
                           const void *x, void *dx, void *workspace) {
  job w = {.v = v, .x = x, .grad = grad, .out = dx};
  if (count_of(v->size) > 0) run(exec, &w, grad_task, workspace);
}
