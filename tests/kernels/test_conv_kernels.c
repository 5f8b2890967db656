// SPDX-License-Identifier: MIT
// Convolution and pooling drivers in memory that ends at guard pages, the workspace too, which is
// full of NaN before; against plain loops in double. Every set of row functions and product.
#include "guard.h"
#include "kernels/conv.h"
#include "kernels/pooling.h"

static uint64_t round_number, draws;

static size_t draw(size_t low, size_t high) {
  return low + (size_t)milo_rng_below(5, round_number, draws++, high - low + 1);
}

static const milo_dtype dtypes[] = {MILO_FP32, MILO_FP16, MILO_BF16};

static guarded random_array(milo_dtype dtype, size_t n, uint64_t stream) {
  const guarded g = guard_bytes(n * milo_dtype_bits(dtype) / 8);
  for (size_t i = 0; i < n; i++)
    milo_number_store(dtype, g.data, i, 4 * milo_rng_uniform(6, round_number * 8 + stream, i) - 2);
  return g;
}

// Every bit set: NaN in every type.
static guarded nan_array(size_t bytes) {
  const guarded g = guard_bytes(bytes);
  memset(g.data, 0xff, bytes);
  return g;
}

static bool is_near(double got, double wanted, double terms, milo_dtype dtype) {
  const double unit = dtype == MILO_FP32 ? 0 : dtype == MILO_FP16 ? 5e-4 : 4e-3;
  return fabs(got - wanted) <= 2e-7 * terms + unit * fabs(wanted) + 1e-7;
}

static size_t product(const size_t *dims) { return dims[0] * dims[1] * dims[2]; }

static bool advance(size_t *at, const size_t *dims) {
  for (int axis = 2; axis >= 0; axis--) {
    if (++at[axis] < dims[axis]) return true;
    at[axis] = 0;
  }
  return false;
}

// ---- convolution ----

static milo_conv random_conv(void) {
  static const size_t outs[] = {1, 1, 2, 3, 4, 12, 13, 30};
  milo_conv v = {.batch = draw(0, 3),
                 .groups = draw(0, 1) ? 1 : draw(1, 5),
                 .in = draw(0, 12) == 0 ? 0 : draw(1, 5),
                 .out = outs[draw(0, 7)]};
  const int axes = (int)draw(1, 3);
  for (int i = 0; i < 3; i++) {
    const bool is_there = i >= 3 - axes;
    v.size[i] = is_there ? draw(0, axes == 1 ? 70 : 9) : 1;
    v.kernel[i] = is_there ? draw(draw(0, 9) == 0 ? 0 : 1, 4) : 1;
    v.positions[i] = is_there ? draw(draw(0, 19) == 0 ? 0 : 1, axes == 1 ? 80 : 9) : 1;
    v.stride[i] = is_there ? draw(1, 3) : 1;
    v.dilation[i] = is_there ? (ptrdiff_t)draw(0, 6) - 3 : 0;
    v.offset[i] = is_there ? (ptrdiff_t)draw(0, 9) - 6 : 0;
    if (is_there && draw(0, 7) == 0) v.kernel[i] = v.size[i];  // as in gradients by the weights
  }
  v.x_dtype = dtypes[draw(0, 2)];
  v.out_dtype = dtypes[draw(0, 2)];
  v.weight.dtype = dtypes[draw(0, 2)];
  v.bias.dtype = draw(0, 1) ? dtypes[draw(0, 2)] : MILO_DTYPE_NONE;
  v.bias.rs = 1;
  // x dense, or with batch and channels exchanged; weight or its transpose.
  const size_t channels = v.groups * v.in, columns = v.in * product(v.kernel);
  const bool swapped = draw(0, 1), transposed = draw(0, 1);
  ptrdiff_t step = 1;
  for (int i = 2; i >= 0; i--) {
    v.x_axis[i] = step;
    step *= (ptrdiff_t)v.size[i];
  }
  v.x_batch = swapped ? step : step * (ptrdiff_t)channels;
  v.x_channel = swapped ? step * (ptrdiff_t)v.batch : step;
  v.weight.rs = transposed ? 1 : (ptrdiff_t)columns;
  v.weight.cs = transposed ? (ptrdiff_t)(v.groups * v.out) : 1;
  const ptrdiff_t positions = (ptrdiff_t)product(v.positions);
  const bool merged = draw(0, 1);
  v.out_batch = merged ? positions : positions * (ptrdiff_t)(v.groups * v.out);
  v.out_channel = merged ? positions * (ptrdiff_t)v.batch : positions;
  return v;
}

static double plain_conv(const milo_conv *v, const float *x, const float *weight, size_t n,
                         size_t o, const size_t *s, double *terms) {
  double sum = 0;
  const size_t kernel = product(v->kernel);
  for (size_t c = 0; c < v->in && kernel > 0; c++) {
    size_t k[3] = {0}, tap = 0;
    do {
      ptrdiff_t at = (ptrdiff_t)n * v->x_batch + (ptrdiff_t)(o / v->out * v->in + c) * v->x_channel;
      bool inside = true;
      for (int i = 0; i < 3; i++) {
        const ptrdiff_t u =
            (ptrdiff_t)(s[i] * v->stride[i]) + (ptrdiff_t)k[i] * v->dilation[i] + v->offset[i];
        inside = inside && u >= 0 && u < (ptrdiff_t)v->size[i];
        at += u * v->x_axis[i];
      }
      const ptrdiff_t w =
          (ptrdiff_t)o * v->weight.rs + (ptrdiff_t)(c * kernel + tap) * v->weight.cs;
      if (inside) {
        const double term = milo_number_load(v->x_dtype, x, (size_t)at) *
                            milo_number_load(v->weight.dtype, weight, (size_t)w);
        sum += term;
        *terms += fabs(term);
      }
      tap++;
    } while (advance(k, v->kernel));
  }
  return sum;
}

static void check_conv(const milo_exec *exec, const milo_conv *v) {
  const size_t outputs = v->groups * v->out, positions = product(v->positions);
  const size_t elements = v->batch * outputs * positions;
  const guarded x = random_array(v->x_dtype, v->batch * v->groups * v->in * product(v->size), 0);
  const guarded weight = random_array(v->weight.dtype, outputs * v->in * product(v->kernel), 1);
  const milo_dtype bias_dtype = v->bias.dtype != MILO_DTYPE_NONE ? v->bias.dtype : MILO_FP32;
  const guarded bias = random_array(bias_dtype, outputs, 2);
  const guarded out = nan_array(elements * milo_dtype_bits(v->out_dtype) / 8);
  // Its beginning is to be aligned, so it may end before its guard.
  const guarded work = nan_array((milo_conv_workspace_bytes(exec, v) + 63) / 64 * 64);
  milo_conv_run(exec, v, x.data, weight.data, v->bias.dtype ? bias.data : NULL, out.data,
                work.data);
  bool good = true;
  for (size_t n = 0; n < v->batch && good && elements > 0; n++)
    for (size_t o = 0; o < outputs && good; o++) {
      size_t s[3] = {0}, at = 0;
      do {
        double terms = 0, wanted = plain_conv(v, x.data, weight.data, n, o, s, &terms);
        if (v->bias.dtype) wanted += milo_number_load(bias_dtype, bias.data, o);
        const size_t i = n * (size_t)v->out_batch + o * (size_t)v->out_channel + at++;
        const double got = milo_number_load(v->out_dtype, out.data, i);
        good = is_near(got, wanted, terms + 2, v->out_dtype);
        if (!good) printf("# [%zu][%zu][%zu]: got %g, wanted %g\n", n, o, at - 1, got, wanted);
      } while (good && advance(s, v->positions));
    }
  if (!CHECK(good))
    printf("# round %d: groups %zu, in %zu, out %zu\n", (int)round_number, v->groups, v->in,
           v->out);
  unguard(x);
  unguard(weight);
  unguard(bias);
  unguard(out);
  unguard(work);
}

// ---- pooling ----

static milo_pooling random_pooling(void) {
  milo_pooling v = {.kind = (milo_pooling_kind)draw(0, 2),
                    .exclude_padding = draw(0, 1),
                    .planes = draw(0, 4),
                    .dtype = dtypes[draw(0, 2)]};
  const int axes = (int)draw(1, 3);
  for (int i = 0; i < 3; i++) {
    const bool is_there = i >= 3 - axes;
    v.size[i] = is_there ? draw(1, axes == 1 ? 70 : 9) : 1;
    v.kernel[i] = is_there ? draw(1, 5) : 1;
    v.stride[i] = is_there ? draw(1, 6) : 1;
    v.before[i] = is_there ? draw(0, 5) : 0;
    v.behind[i] = is_there ? draw(0, 5) : 0;
    // A window that begins within the padded plane, as with ceil_mode.
    v.positions[i] = 1 + draw(0, (v.before[i] + v.size[i] + v.behind[i] - 1) / v.stride[i]);
  }
  return v;
}

// Element k of the window at position s: its index in the plane, -1 outside of it, -2 beyond the
// padding.
static ptrdiff_t pooled(const milo_pooling *v, const size_t *s, const size_t *k) {
  ptrdiff_t at = 0;
  bool inside = true, counted = true;
  for (int i = 0; i < 3; i++) {
    const size_t u = s[i] * v->stride[i] + k[i];
    inside = inside && u >= v->before[i] && u < v->before[i] + v->size[i];
    counted = counted && u < v->before[i] + v->size[i] + v->behind[i];
    at = at * (ptrdiff_t)v->size[i] + (ptrdiff_t)u - (ptrdiff_t)v->before[i];
  }
  return inside ? at : counted ? -1 : -2;
}

typedef struct window {
  double sum, squares, most;
  size_t count, counted;
  ptrdiff_t best;
} window;

static window plain_window(const milo_pooling *v, const float *x, size_t plane, const size_t *s) {
  window w = {.most = (double)-INFINITY, .best = -1};
  size_t k[3] = {0};
  do {
    const ptrdiff_t at = pooled(v, s, k);
    w.counted += at >= -1;
    if (at < 0) continue;
    const double value = milo_number_load(v->dtype, x, plane * product(v->size) + (size_t)at);
    w.sum += value;
    w.squares += value * value;
    w.count++;
    if (w.best >= 0 && !(value > w.most)) continue;
    w.most = value;
    w.best = at;
  } while (advance(k, v->kernel));
  return w;
}

static double divisor(const milo_pooling *v, const window *w) {
  if (w->count == 0) return 1;
  return (double)(v->exclude_padding ? w->count : w->counted);
}

static void check_pooling(const milo_exec *exec, const milo_pooling *v) {
  const size_t size = v->planes * product(v->size), positions = product(v->positions);
  const size_t bytes = milo_dtype_bits(v->dtype) / 8, results = v->planes * positions;
  const guarded x = random_array(v->dtype, size, 0), grad = random_array(v->dtype, results, 1);
  const guarded out = nan_array(results * bytes), dx = nan_array(size * bytes);
  const guarded work = nan_array((milo_pooling_workspace_bytes(exec, v) + 63) / 64 * 64);
  double *sums = calloc(size + 1, sizeof *sums), *terms = calloc(size + 1, sizeof *terms);
  if (sums == NULL || terms == NULL) abort();
  milo_pooling_run(exec, v, x.data, out.data, work.data);
  memset(work.data, 0xff, milo_pooling_workspace_bytes(exec, v));
  if (v->kind != MILO_POOLING_L2)
    milo_pooling_grad_run(exec, v, grad.data, x.data, dx.data, work.data);
  bool good = true;
  for (size_t p = 0; p < v->planes; p++) {
    size_t s[3] = {0}, at = p * positions;
    do {
      const window w = plain_window(v, x.data, p, s);
      const double got = milo_number_load(v->dtype, out.data, at);
      const double g = milo_number_load(v->dtype, grad.data, at++);
      if (v->kind == MILO_POOLING_MAX) good = good && got == w.most;
      if (v->kind == MILO_POOLING_L2)
        good = good && is_near(got, sqrt(w.squares), 4 * sqrt(w.squares), v->dtype);
      if (v->kind == MILO_POOLING_AVERAGE)
        good = good && is_near(got, w.sum / divisor(v, &w), 4, v->dtype);
      size_t k[3] = {0};
      do {
        const ptrdiff_t i = pooled(v, s, k);
        if (i < 0) continue;
        double share = g / divisor(v, &w);
        if (v->kind == MILO_POOLING_MAX) share = i == w.best ? g : 0;
        sums[p * product(v->size) + (size_t)i] += share;
        terms[p * product(v->size) + (size_t)i] += fabs(share);
      } while (advance(k, v->kernel));
    } while (advance(s, v->positions));
  }
  for (size_t i = 0; i < size && v->kind != MILO_POOLING_L2; i++)
    good = good && is_near(milo_number_load(v->dtype, dx.data, i), sums[i], 2 * terms[i], v->dtype);
  if (!CHECK(good)) printf("# round %d: kind %d\n", (int)round_number, (int)v->kind);
  free(sums);
  free(terms);
  unguard(x);
  unguard(grad);
  unguard(out);
  unguard(dx);
  unguard(work);
}

// ---- every set ----

static void each_exec(void (*check)(const milo_exec *)) {
  static const unsigned all[] = {0, MILO_CPU_AVX2 | MILO_CPU_FMA | MILO_CPU_F16C, ~0u};
  for (int i = 0; i < 3; i++) {
    const milo_exec exec = milo_exec_select(all[i] & milo_cpu_detect(), NULL);
    const bool failed = tap_case_failed_;
    check(&exec);
    if (!failed && tap_case_failed_) printf("# rows %s\n", exec.rows->name);
  }
}

enum { ROUNDS = 1500 };

static void convs(const milo_exec *exec) {
  for (round_number = 0; round_number < ROUNDS && !tap_case_failed_; round_number++) {
    draws = 0;
    const milo_conv v = random_conv();
    if (milo_conv_takes(&v)) check_conv(exec, &v);
  }
}

static void poolings(const milo_exec *exec) {
  for (round_number = 0; round_number < ROUNDS && !tap_case_failed_; round_number++) {
    draws = 0;
    const milo_pooling v = random_pooling();
    if (milo_pooling_takes(&v)) check_pooling(exec, &v);
  }
}

static void test_conv(void) { each_exec(convs); }
static void test_pooling(void) { each_exec(poolings); }

// Sizes out of all proportion are refused, whatever they multiply to.
static void test_refusals(void) {
  milo_conv v = {.batch = 1, .groups = 1, .in = 1, .out = 1};
  milo_pooling p = {.planes = 1};
  for (int i = 0; i < 3; i++) {
    v.size[i] = v.positions[i] = p.size[i] = p.positions[i] = p.kernel[i] = 1;
    v.kernel[i] = 2;
    v.stride[i] = p.stride[i] = 1;
    v.dilation[i] = 1;
  }
  CHECK(milo_conv_takes(&v) && milo_pooling_takes(&p));
  for (int i = 0; i < 3; i++) v.dilation[i] = PTRDIFF_MAX;
  CHECK(!milo_conv_takes(&v));
  p.kernel[2] = SIZE_MAX / 2;
  CHECK(!milo_pooling_takes(&p));
}

int main(void) {
  RUN(test_conv);
  RUN(test_pooling);
  RUN(test_refusals);
  return tap_done();
}
