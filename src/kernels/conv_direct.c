// SPDX-License-Identifier: MIT
#include "kernels/conv_direct.h"

#include "kernels/conv_stage.h"
#include "kernels/convert.h"

enum { SLOT_FLOATS = 1 << 22 };  // of a worker

static size_t count_of(const size_t *dims) { return dims[0] * dims[1] * dims[2]; }
static size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// A worker's memory, in floats from its beginning.
typedef struct plan {
  milo_stage stage;
  bool by_dots;
  size_t taps;           // elements of a kernel, of all its channels
  size_t planes;         // padded copies held at a time
  size_t weights, sums;  // weights; by rows: one row of sums, by dots: the group's, in double
  size_t slot;
} plan;

static plan plan_of(const milo_conv *v) {
  plan p = {.taps = v->in * count_of(v->kernel)};
  p.by_dots = count_of(v->kernel) > count_of(v->positions);
  size_t step[MILO_CONV_AXES];
  for (int axis = 0; axis < MILO_CONV_AXES; ++axis) {
    p.by_dots = p.by_dots && v->dilation[axis] > 0;
    step[axis] = (size_t)v->dilation[axis];
  }
  p.stage = milo_stage_of(v, p.by_dots ? step : v->stride);
  p.planes = round_up(p.stage.plane * (p.by_dots ? 1 : v->in) + MILO_STAGE_SLACK, 16);
  if (p.by_dots) {
    p.weights = count_of(v->kernel);  // of one channel
    p.sums = 2 * v->out * count_of(v->positions);
  } else {
    p.weights = p.taps;
    p.sums = v->positions[2];
  }
  p.weights = round_up(p.weights, 16);
  p.sums = round_up(p.sums, 16);
  p.slot = p.planes + p.weights + p.sums;
  return p;
}

bool milo_conv_direct_takes(const milo_conv *v) { return plan_of(v).slot <= SLOT_FLOATS; }

static size_t offsets_bytes(const plan *p) { return round_up(p->taps * sizeof(ptrdiff_t), 64); }

size_t milo_conv_direct_workspace_bytes(const milo_exec *exec, const milo_conv *v) {
  const plan p = plan_of(v);
  return offsets_bytes(&p) + p.slot * sizeof(float) * (size_t)milo_pool_threads(exec->pool);
}

typedef struct job {
  const milo_rows *rows;
  const milo_conv *v;
  plan p;
  const char *x, *weight, *bias;
  char *out;
  ptrdiff_t *offsets;  // by rows: where each tap reads, for position 0
  float *slots;
} job;

static ptrdiff_t bytes_of(milo_dtype dtype) { return (ptrdiff_t)(milo_dtype_bits(dtype) / 8); }

static const char *channel_of(const job *w, size_t n, size_t channel) {
  const milo_conv *v = w->v;
  return w->x +
         ((ptrdiff_t)n * v->x_batch + (ptrdiff_t)channel * v->x_channel) * bytes_of(v->x_dtype);
}

// Weights of output channel o from column `first` on.
static void load_weights(const job *w, size_t o, size_t first, size_t count, float *out) {
  const milo_matrix *m = &w->v->weight;
  milo_load_f32(w->rows, out,
                w->weight + ((ptrdiff_t)o * m->rs + (ptrdiff_t)first * m->cs) * bytes_of(m->dtype),
                m->dtype, m->cs, count);
}

static float bias_of(const job *w, size_t o) {
  const milo_matrix *m = &w->v->bias;
  float value = 0;
  if (m->dtype != MILO_DTYPE_NONE)
    milo_load_f32(w->rows, &value, w->bias + (ptrdiff_t)o * m->rs * bytes_of(m->dtype), m->dtype, 1,
                  1);
  return value;
}

static char *out_of(const job *w, size_t n, size_t o, size_t s) {
  const milo_conv *v = w->v;
  return w->out + ((ptrdiff_t)n * v->out_batch + (ptrdiff_t)o * v->out_channel + (ptrdiff_t)s) *
                      bytes_of(v->out_dtype);
}

static void store(const job *w, size_t n, size_t o, size_t s, const float *sums, size_t count) {
  milo_store_f32(w->rows, out_of(w, n, o, s), w->v->out_dtype, 1, sums, count);
}

// ---- by rows ----

static void list_offsets(const milo_conv *v, const plan *p, ptrdiff_t *out) {
  size_t k[MILO_CONV_AXES], u[MILO_CONV_AXES];
  for (size_t c = 0; c < v->in; ++c)
    for (k[0] = 0; k[0] < v->kernel[0]; ++k[0])
      for (k[1] = 0; k[1] < v->kernel[1]; ++k[1])
        for (k[2] = 0; k[2] < v->kernel[2]; ++k[2]) {
          for (int axis = 0; axis < MILO_CONV_AXES; ++axis)
            u[axis] = (size_t)((ptrdiff_t)k[axis] * v->dilation[axis] + v->offset[axis] -
                               p->stage.low[axis]);
          *out++ = (ptrdiff_t)(c * p->stage.plane + milo_stage_place(&p->stage, u));
        }
}

static void row_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_conv *v = w->v;
  const size_t n = t / v->groups, group = t % v->groups, width = v->positions[2];
  const size_t *count = w->p.stage.count;
  float *planes = w->slots + (size_t)worker * w->p.slot;
  float *weights = planes + w->p.planes, *sums = weights + w->p.weights;
  for (size_t c = 0; c < v->in; ++c)
    milo_stage_fill(w->rows, &w->p.stage, v, channel_of(w, n, group * v->in + c),
                    planes + c * w->p.stage.plane);
  for (size_t o = group * v->out; o < (group + 1) * v->out; ++o) {
    const float bias = bias_of(w, o);
    load_weights(w, o, 0, w->p.taps, weights);
    size_t s = 0;
    for (size_t i = 0; i < v->positions[0]; ++i)
      for (size_t j = 0; j < v->positions[1]; ++j, s += width) {
        const float *x = planes + (i * count[1] + j) * count[2];
        const bool direct = v->out_dtype == MILO_FP32;
        float *to = direct ? (float *)(void *)out_of(w, n, o, s) : sums;
        w->rows->weigh(to, x, w->offsets, weights, w->p.taps, width, bias);
        if (!direct) store(w, n, o, s, sums, width);
      }
  }
}

// ---- by dots ----

// Adds to a position's sum what one channel gives.
static double dot_planes(const job *w, const float *plane, const float *weights, const size_t *at) {
  const milo_conv *v = w->v;
  const milo_stage *stage = &w->p.stage;
  const size_t row = stage->count[2];
  size_t u[MILO_CONV_AXES];
  for (int axis = 0; axis < MILO_CONV_AXES; ++axis)
    u[axis] =
        (size_t)((ptrdiff_t)(at[axis] * v->stride[axis]) + v->offset[axis] - stage->low[axis]);
  const float *x = plane + milo_stage_place(stage, u);
  double sum = 0;
  for (size_t k = 0; k < v->kernel[0]; ++k)
    sum += w->rows->dot_rows(x + k * stage->count[1] * row, row,
                             weights + k * v->kernel[1] * v->kernel[2], v->kernel[2], v->kernel[1],
                             v->kernel[2]);
  return sum;
}

static void dot_task(void *user, size_t t, int worker) {
  const job *w = user;
  const milo_conv *v = w->v;
  const size_t n = t / v->groups, group = t % v->groups, positions = count_of(v->positions);
  const size_t kernel = count_of(v->kernel);
  float *plane = w->slots + (size_t)worker * w->p.slot, *weights = plane + w->p.planes;
  double *sums = (double *)(void *)(weights + w->p.weights);
  for (size_t i = 0; i < v->out * positions; ++i)
    sums[i] = (double)bias_of(w, group * v->out + i / positions);
  for (size_t c = 0; c < v->in; ++c) {
    milo_stage_fill(w->rows, &w->p.stage, v, channel_of(w, n, group * v->in + c), plane);
    for (size_t o = 0; o < v->out; ++o) {
      load_weights(w, group * v->out + o, c * kernel, kernel, weights);
      size_t at[MILO_CONV_AXES], s = o * positions;
      for (at[0] = 0; at[0] < v->positions[0]; ++at[0])
        for (at[1] = 0; at[1] < v->positions[1]; ++at[1])
          for (at[2] = 0; at[2] < v->positions[2]; ++at[2])
            sums[s++] += dot_planes(w, plane, weights, at);
    }
  }
  for (size_t i = 0; i < v->out * positions; ++i) {
    const float value = (float)sums[i];
    store(w, n, group * v->out + i / positions, i % positions, &value, 1);
  }
}

void milo_conv_direct_run(const milo_exec *exec, const milo_conv *v, const void *x,
                          const void *weight, const void *bias, void *out, void *workspace) {
  job w = {.rows = exec->rows,
           .v = v,
           .p = plan_of(v),
           .x = x,
           .weight = weight,
           .bias = bias,
           .out = out,
           .offsets = workspace};
  w.slots = (float *)(void *)((char *)workspace + offsets_bytes(&w.p));
  if (!w.p.by_dots) list_offsets(v, &w.p, w.offsets);
  milo_pool_run(exec->pool, v->batch * v->groups, w.p.by_dots ? dot_task : row_task, &w);
}
