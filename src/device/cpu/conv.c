// SPDX-License-Identifier: MIT
// Convolutions and their transpose: operands are read where they are.
#include "kernels/conv.h"

#include "device/cpu/code.h"
#include "device/cpu/copies.h"
#include "ir/ops/geometry.h"

enum { MERGE_POSITIONS = 64 };  // images of fewer are columns of one product together

typedef struct conv_step {
  milo_conv conv;
  milo_view x, weight, bias, out;
  bool has_bias;
  bool keeps;          // the weight is a parameter, worth a packed copy
  size_t input;        // which
  milo_packed layout;  // of it
} conv_step;

static milo_status run_conv(const milo_cpu_run *run, const void *args) {
  const conv_step *a = args;
  milo_conv conv = a->conv;
  milo_packed packed = a->layout;
  if (a->keeps) {
    milo_matrix weight = conv.weight;
    weight.data = milo_view_data(run, &a->weight);
    if (milo_copy_of(run, a->input, &weight, a->weight.offset, &packed))
      conv.packed_weight = &packed;
  }
  milo_conv_run(run->exec, &conv, milo_view_data(run, &a->x), milo_view_data(run, &a->weight),
                a->has_bias ? milo_view_data(run, &a->bias) : NULL, milo_view_data(run, &a->out),
                run->workspace);
  return MILO_OK;
}

// One axis: output position s, kernel element k read element s * stride + k * dilation + offset.
typedef struct axis {
  int64_t kernel, positions, stride, dilation, offset;
} axis;

// What a step needs, of operands as they are.
typedef struct problem {
  milo_view x, weight, bias;  // weight: [output channels, inputs of a group * kernel]
  bool has_bias;
  int axes;
  axis at[MILO_CONV_AXES];
  int64_t groups;
} problem;

static milo_conv conv_of(const milo_code *c, const problem *p) {
  const int64_t channels = p->x.dims[1], outputs = p->weight.dims[0];
  milo_conv v = {.mode = milo_code_numeric(c, p->weight.dtype, p->x.dtype),
                 .batch = (size_t)p->x.dims[0],
                 .groups = (size_t)p->groups,
                 .in = (size_t)(channels / p->groups),
                 .out = (size_t)(outputs / p->groups),
                 .x_dtype = p->x.dtype,
                 .x_batch = p->x.strides[0],
                 .x_channel = p->x.strides[1],
                 .weight = {NULL, p->weight.dtype, p->weight.strides[0], p->weight.strides[1]}};
  if (p->has_bias) v.bias = (milo_matrix){NULL, p->bias.dtype, p->bias.strides[0], 0};
  for (int i = 0; i < MILO_CONV_AXES; ++i) {
    const int from = i - (MILO_CONV_AXES - p->axes);
    const axis one = {1, 1, 1, 1, 0};
    const axis *a = from < 0 ? &one : &p->at[from];
    v.kernel[i] = (size_t)a->kernel;
    v.positions[i] = (size_t)a->positions;
    v.stride[i] = (size_t)a->stride;
    v.dilation[i] = (ptrdiff_t)a->dilation;
    v.offset[i] = (ptrdiff_t)a->offset;
    v.size[i] = from < 0 ? 1 : (size_t)p->x.dims[2 + from];
    v.x_axis[i] = from < 0 ? 0 : p->x.strides[2 + from];
  }
  return v;
}

// Adds the step; the result's memory is laid out as the step likes it. False: not here.
static bool convolve(milo_code *c, const milo_op *op, const problem *p, milo_dtype dtype,
                     milo_view *out) {
  milo_conv v = conv_of(c, p);
  if (!milo_conv_takes(&v)) return false;
  const int64_t batch = p->x.dims[0], outputs = p->weight.dims[0];
  int64_t dims[MILO_MAX_RANK] = {batch, outputs}, positions = 1;
  for (int i = 0; i < p->axes; ++i) {
    dims[2 + i] = p->at[i].positions;
    positions *= p->at[i].positions;
  }
  conv_step *a = MILO_NEW(&c->arena, conv_step);
  const int rank = 2 + p->axes;
  const bool merged = batch > 1 && positions < MERGE_POSITIONS;
  if (merged) {
    dims[0] = outputs;
    dims[1] = batch;
  }
  *out = milo_code_new(c, dtype, rank, dims);
  if (merged) *out = milo_view_transpose(out, (const int64_t[]){1, 0, 2, 3, 4});
  v.out_dtype = dtype;
  v.out_batch = out->strides[0];
  v.out_channel = out->strides[1];
  *a = (conv_step){.conv = v, .x = p->x, .weight = p->weight, .bias = p->bias, .out = *out};
  a->has_bias = p->has_bias;
  a->keeps = milo_code_is_parameter(c, &p->weight, &a->input) &&
             milo_conv_packs(&c->device->exec, &v, &a->layout);
  milo_code_reads(c, &p->x);
  milo_code_reads(c, &p->weight);
  if (p->has_bias) milo_code_reads(c, &p->bias);
  milo_code_writes(c, out);
  milo_code_add_step(c, op, run_conv, a, milo_conv_workspace_bytes(&c->device->exec, &v));
  return true;
}

static bool start(milo_code *c, const milo_op *op, problem *p, milo_window *w) {
  const milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  const milo_value *bias = milo_op_in(op, "bias");
  if (!milo_cpu_float(x->type.dtype) || !milo_cpu_float(weight->type.dtype)) return false;
  if (bias != NULL && !milo_cpu_float(bias->type.dtype)) return false;
  if (milo_conv_window(op, c->diag, w) != MILO_OK) return false;
  *p = (problem){
      .x = milo_code_view(c, x), .has_bias = bias != NULL, .axes = w->axes, .groups = w->groups};
  if (bias != NULL) p->bias = milo_code_view(c, bias);
  return true;
}

// A weight [g?, rows..., columns...] as a matrix, copied where it does not lie as one.
static milo_view as_matrix(milo_code *c, const milo_view *v, int64_t rows, int64_t columns) {
  const int64_t dims[2] = {rows, columns};
  milo_view m;
  if (milo_view_reshape(v, 2, dims, &m)) return m;
  const milo_view dense = milo_code_dense(c, v);
  return milo_view_reshape(&dense, 2, dims, &m) ? m : dense;
}

bool milo_emit_conv(milo_code *c, const milo_op *op) {
  if (milo_emit_pointwise(c, op)) return true;
  const milo_value *result = op->results[0];
  problem p;
  milo_window w;
  if (!start(c, op, &p, &w)) return false;
  int64_t columns = milo_op_in(op, "weight")->type.dims[1];
  for (int i = 0; i < w.axes; ++i) {
    p.at[i] = (axis){w.kernel[i], w.out[i], w.stride[i], w.dilation[i], -w.pad_begin[i]};
    columns *= w.kernel[i];
  }
  const milo_view weight = milo_code_in(c, op, "weight");
  p.weight = as_matrix(c, &weight, weight.dims[0], columns);
  milo_view out;
  if (!convolve(c, op, &p, result->type.dtype, &out)) return false;
  milo_code_set(c, result, &out);
  return true;
}

// ---- conv_transpose ----

static int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Output elements `first`, first + stride, ... of an axis, as a conv of x: those elements of the
// kernel that meet them, `*out_first` and every out_step'th.
static axis part_of_axis(const milo_window *w, int i, int64_t first, int64_t *out_first,
                         int64_t *out_step) {
  const int64_t s = w->stride[i], d = w->dilation[i], at = first + w->pad_begin[i];
  const int64_t step = s / gcd(s, d);
  axis a = {.positions = first < w->out[i] ? (w->out[i] - first - 1) / s + 1 : 0, .stride = 1};
  *out_first = 0;
  *out_step = step;
  for (int64_t k = 0; k < step && k < w->kernel[i]; ++k) {
    if ((at - k * d) % s != 0) continue;
    *out_first = k;
    a.kernel = (w->kernel[i] - 1 - k) / step + 1;
    a.dilation = -(step * d / s);
    a.offset = (at - k * d) / s;
    break;
  }
  return a;
}

// One part of the output: the axes' elements from `first` on, a stride apart.
static bool transpose_part(milo_code *c, const milo_op *op, problem p, const milo_window *w,
                           const milo_view *weight, const int64_t *first, milo_dtype dtype,
                           milo_view *out) {
  milo_view taps = *weight;  // [groups, outputs, inputs, kernel...]
  int64_t columns = weight->dims[2];
  for (int i = 0; i < w->axes; ++i) {
    int64_t begin, step;
    p.at[i] = part_of_axis(w, i, first[i], &begin, &step);
    taps = milo_view_slice(&taps, 3 + i, begin, p.at[i].kernel, step);
    columns *= p.at[i].kernel;
  }
  p.weight = as_matrix(c, &taps, weight->dims[0] * weight->dims[1], columns);
  return convolve(c, op, &p, dtype, out);
}

bool milo_emit_conv_transpose(milo_code *c, const milo_op *op) {
  const milo_value *result = op->results[0];
  problem p;
  milo_window w;
  if (!start(c, op, &p, &w)) return false;
  const milo_view given = milo_code_in(c, op, "weight");
  int64_t dims[MILO_MAX_RANK] = {w.groups, given.dims[0] / w.groups, given.dims[1]};
  for (int i = 0; i < w.axes; ++i) dims[3 + i] = w.kernel[i];
  milo_view weight;
  if (!milo_view_reshape(&given, 3 + w.axes, dims, &weight)) {
    const milo_view dense = milo_code_dense(c, &given);
    if (!milo_view_reshape(&dense, 3 + w.axes, dims, &weight)) return false;
  }
  weight = milo_view_transpose(&weight, (const int64_t[]){0, 2, 1, 3, 4, 5});
  int64_t parts = 1, first[MILO_CONV_AXES] = {0};
  for (int i = 0; i < w.axes; ++i) parts *= w.stride[i] < w.out[i] ? w.stride[i] : w.out[i];
  enum { MAX_PARTS = 512 };
  if (parts > MAX_PARTS) return false;
  milo_view out, part;
  if (parts == 1) {
    if (!transpose_part(c, op, p, &w, &weight, first, result->type.dtype, &out)) return false;
    milo_code_set(c, result, &out);
    return true;
  }
  out = milo_code_new_like(c, result);
  for (int64_t n = 0; n < parts; ++n) {
    int64_t rest = n;
    milo_view to = out;
    for (int i = w.axes - 1; i >= 0; --i) {
      const int64_t count = w.stride[i] < w.out[i] ? w.stride[i] : w.out[i];
      first[i] = rest % count;
      rest /= count;
      to = milo_view_slice(&to, 2 + i, first[i], (w.out[i] - first[i] - 1) / w.stride[i] + 1,
                           w.stride[i]);
    }
    // Steps that were added before a part is refused do no harm: nothing reads what they write.
    if (!transpose_part(c, op, p, &w, &weight, first, result->type.dtype, &part)) return false;
    milo_code_copy(c, &part, &to);
  }
  milo_code_set(c, result, &out);
  return true;
}
