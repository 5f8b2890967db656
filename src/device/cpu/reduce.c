// SPDX-License-Identifier: MIT
// Reductions over any axes: along rows where what is reduced lies together in memory, down columns
// where what is kept does, on a rearranged copy otherwise.
#include <math.h>

#include "device/cpu/code.h"

enum {
  CHUNK = 32768,   // elements of a row that one task sums
  TASK = 16384,    // elements a task has at least, if there are enough rows
  COLUMNS = 256,   // columns of a task
  ROWS = 64,       // rows summed in fp32 before they go to the next level
  MAX_PARTS = 64,  // row ranges of a column sum
};

typedef struct reduce {
  milo_opcode code;
  milo_view x, out;  // fp32; x: [rows, n] or, by columns, [n, rows]
  size_t rows, n;    // results, elements of each
  size_t chunks;     // of a row
  bool by_columns;
  size_t ld;    // by columns: stride of n
  size_t part;  // by columns: rows of a range
} reduce;

typedef struct job {
  const reduce *a;
  const milo_rows *k;
  const float *x;
  float *out;
  double *parts;
  float *sums;
  size_t rows_per_task;
} job;

static double partial(const job *w, const float *x, size_t n) {
  switch (w->a->code) {
    case MILO_OP_reduce_sum:
    case MILO_OP_reduce_mean:
    case MILO_OP_reduce_log_sum:
      return w->k->sum(x, n);
    case MILO_OP_reduce_sum_square:
    case MILO_OP_reduce_l2_norm:
      return w->k->sum_square(x, n);
    case MILO_OP_reduce_l1_norm:
      return w->k->sum_abs(x, n);
    case MILO_OP_reduce_max:
      return (double)w->k->max(x, n);
    case MILO_OP_reduce_min:
      return (double)w->k->min(x, n);
    case MILO_OP_reduce_prod: {
      double product = 1;
      for (size_t i = 0; i < n; ++i) product *= (double)x[i];
      return product;
    }
    default:
      return 0;
  }
}

static double join(milo_opcode code, double a, double b) {
  switch (code) {
    case MILO_OP_reduce_max:
      return isnan(a) || a > b || (a == b && !signbit(a)) ? a : b;
    case MILO_OP_reduce_min:
      return isnan(a) || a < b || (a == b && signbit(a)) ? a : b;
    case MILO_OP_reduce_prod:
      return a * b;
    default:
      return a + b;
  }
}

static double finish(const reduce *a, double total) {
  switch (a->code) {
    case MILO_OP_reduce_mean:
      return total / (double)a->n;
    case MILO_OP_reduce_l2_norm:
      return sqrt(total);
    case MILO_OP_reduce_log_sum:
      return log(total);
    default:
      return total;
  }
}

static double log_sum_exp(const milo_rows *k, const float *x, size_t n) {
  const float max = k->max(x, n);
  if (isnan(max)) return (double)NAN;
  if (isinf(max)) return (double)max;
  return (double)max + log(k->sum_exp(x, n, max));
}

static void row_task(void *user, size_t t, int worker) {
  (void)worker;
  const job *w = user;
  const reduce *a = w->a;
  size_t row = t * w->rows_per_task;
  const size_t end = row + w->rows_per_task < a->rows ? row + w->rows_per_task : a->rows;
  for (; row < end; ++row) {
    const float *x = w->x + row * a->n;
    w->out[row] = (float)(a->code == MILO_OP_reduce_log_sum_exp ? log_sum_exp(w->k, x, a->n)
                                                                : finish(a, partial(w, x, a->n)));
  }
}

static void chunk_task(void *user, size_t t, int worker) {
  (void)worker;
  const job *w = user;
  const reduce *a = w->a;
  const size_t row = t / a->chunks, at = t % a->chunks * CHUNK;
  const size_t n = a->n - at < CHUNK ? a->n - at : CHUNK;
  w->parts[t] = partial(w, w->x + row * a->n + at, n);
}

static void column_task(void *user, size_t t, int worker) {
  (void)worker;
  const job *w = user;
  const reduce *a = w->a;
  const size_t across = (a->rows + COLUMNS - 1) / COLUMNS;
  const size_t range = t / across, j = t % across * COLUMNS;
  const size_t columns = a->rows - j < COLUMNS ? a->rows - j : COLUMNS;
  size_t i = range * a->part;
  const size_t end = i + a->part < a->n ? i + a->part : a->n;
  float *sums = w->sums + range * a->rows + j;
  float block[COLUMNS], square[COLUMNS];
  milo_binary_fn *add = w->k->binary[MILO_BINARY_add];
  milo_binary_fn *step = a->code == MILO_OP_reduce_max   ? w->k->binary[MILO_BINARY_maximum]
                         : a->code == MILO_OP_reduce_min ? w->k->binary[MILO_BINARY_minimum]
                                                         : add;
  const float *p = w->x + j;
  milo_unary_fn *map = a->code == MILO_OP_reduce_sum_square || a->code == MILO_OP_reduce_l2_norm
                           ? w->k->unary[MILO_UNARY_square]
                       : a->code == MILO_OP_reduce_l1_norm ? w->k->unary[MILO_UNARY_abs]
                                                           : NULL;
  for (bool first = true; i < end; i += ROWS) {
    const size_t stop = i + ROWS < end ? i + ROWS : end;
    for (size_t r = i; r < stop; ++r) {
      const float *row = p + r * a->ld;
      if (map) {
        map(square, row, columns, NULL);
        row = square;
      }
      if (r == i)
        memcpy(block, row, columns * sizeof *block);
      else
        step(block, block, row, columns);
    }
    if (first)
      memcpy(sums, block, columns * sizeof *sums);
    else
      step(sums, sums, block, columns);
    first = false;
  }
}

static milo_status run_reduce(const milo_cpu_run *run, const void *args) {
  const reduce *a = args;
  job w = {.a = a,
           .k = run->exec->rows,
           .x = milo_view_data(run, &a->x),
           .out = milo_view_data(run, &a->out),
           .parts = run->workspace,
           .sums = run->workspace};
  if (a->by_columns) {
    const size_t ranges = (a->n + a->part - 1) / a->part;
    milo_pool_run(run->exec->pool, ranges * ((a->rows + COLUMNS - 1) / COLUMNS), column_task, &w);
    for (size_t j = 0; j < a->rows; ++j) {
      double total = (double)w.sums[j];
      for (size_t r = 1; r < ranges; ++r)
        total = join(a->code, total, (double)w.sums[r * a->rows + j]);
      w.out[j] = (float)finish(a, total);
    }
    return MILO_OK;
  }
  if (a->chunks > 1) {
    milo_pool_run(run->exec->pool, a->rows * a->chunks, chunk_task, &w);
    for (size_t row = 0; row < a->rows; ++row) {
      double total = w.parts[row * a->chunks];
      for (size_t i = 1; i < a->chunks; ++i)
        total = join(a->code, total, w.parts[row * a->chunks + i]);
      w.out[row] = (float)finish(a, total);
    }
    return MILO_OK;
  }
  w.rows_per_task = a->n == 0 ? a->rows + 1 : a->n >= TASK ? 1 : TASK / a->n;
  milo_pool_run(run->exec->pool, (a->rows + w.rows_per_task - 1) / w.rows_per_task, row_task, &w);
  return MILO_OK;
}

bool milo_emit_reduce(milo_code *c, const milo_op *op) {
  const milo_value *in = milo_op_in(op, "x");
  const milo_type *type = &op->results[0]->type;
  if (!milo_cpu_float(in->type.dtype) || !milo_cpu_float(type->dtype)) return false;
  const int rank = in->type.rank;
  int64_t axes[MILO_MAX_RANK];
  int count = milo_op_ints(op, "axes", axes, MILO_MAX_RANK);
  if (count < 0 && milo_op_arg(op, "axes")) return false;
  bool reduced[MILO_MAX_RANK] = {false};
  if (count < 0)
    for (int i = 0; i < rank; ++i) reduced[i] = true;
  for (int i = 0; i < count; ++i) reduced[axes[i] < 0 ? axes[i] + rank : axes[i]] = true;

  reduce *a = MILO_NEW(&c->arena, reduce);
  a->code = op->code;
  a->rows = a->n = 1;
  int64_t order[MILO_MAX_RANK], last_first[MILO_MAX_RANK];
  int at = 0;
  for (int i = 0; i < rank; ++i)
    if (!reduced[i]) order[at++] = i, a->rows *= (size_t)in->type.dims[i];
  const int kept = at;
  for (int i = 0; i < rank; ++i)
    if (reduced[i]) order[at++] = i, a->n *= (size_t)in->type.dims[i];
  for (int i = 0; i < rank; ++i) last_first[i] = order[(i + kept) % (rank > 0 ? rank : 1)];

  milo_view x = milo_code_view(c, in);
  x = milo_code_f32(c, &x);
  const milo_view by_rows = milo_view_transpose(&x, order);
  const milo_view by_columns = milo_view_transpose(&x, last_first);
  const int64_t flat[2] = {(int64_t)a->n, (int64_t)a->rows};
  milo_view plane;
  const bool additive = op->code != MILO_OP_reduce_prod && op->code != MILO_OP_reduce_log_sum_exp;
  if (additive && kept > 0 && a->rows > 1 && a->n > 0 && !milo_view_is_dense(&by_rows) &&
      milo_view_reshape(&by_columns, 2, flat, &plane) && plane.strides[1] == 1 &&
      plane.strides[0] >= (int64_t)a->rows) {
    a->by_columns = true;
    a->x = plane;
    a->ld = (size_t)plane.strides[0];
    a->part = (a->n + MAX_PARTS - 1) / MAX_PARTS;
    a->part = a->part < ROWS ? ROWS : a->part;
  } else {
    a->x = milo_code_dense(c, &by_rows);
  }
  a->out = milo_code_result_f32(c, op, 0);
  const bool chunked = !a->by_columns && op->code != MILO_OP_reduce_log_sum_exp;
  a->chunks = chunked && a->n > CHUNK ? (a->n + CHUNK - 1) / CHUNK : 1;
  const size_t workspace =
      a->by_columns ? MAX_PARTS * a->rows * sizeof(float) : a->rows * a->chunks * sizeof(double);
  milo_code_reads(c, &a->x);
  milo_code_writes(c, &a->out);
  milo_code_add_step(c, op, run_reduce, a, workspace);
  milo_code_finish(c, op, 0, &a->out);
  return true;
}
