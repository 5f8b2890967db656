// SPDX-License-Identifier: MIT
// Matrix products: transposed and strided operands are read where they are, parameters from copies
// in the layout of the kernels that their buffers keep.
#include "device/cpu/code.h"
#include "device/cpu/copies.h"

typedef struct product {
  milo_gemm g;
  milo_view a, b, c, bias;  // bias: if g has one
  bool keeps[2];            // by side: the operand is a parameter, worth a packed copy
  size_t inputs[2];         // which
  int outer;                // axes of the batch beyond gemm's own
  int64_t dims[MILO_MAX_RANK], a_steps[MILO_MAX_RANK], b_steps[MILO_MAX_RANK],
      c_steps[MILO_MAX_RANK];
} product;

// The operand packed ahead, in *packed; NULL: it is not.
static const milo_packed *packed_side(const milo_cpu_run *run, const product *p, milo_side side,
                                      milo_packed *packed) {
  if (!p->keeps[side]) return NULL;
  const milo_view *v = side == MILO_LEFT ? &p->a : &p->b;
  milo_matrix x = side == MILO_LEFT ? p->g.a : p->g.b;
  x.data = milo_view_data(run, v);
  *packed =
      milo_packed_layout(run->exec, p->g.mode, side, side == MILO_LEFT ? p->g.m : p->g.n, p->g.k);
  return milo_copy_of(run, p->inputs[side], &x, v->offset, packed) ? packed : NULL;
}

static milo_status run_product(const milo_cpu_run *run, const void *args) {
  const product *p = args;
  const ptrdiff_t a_bytes = (ptrdiff_t)(milo_dtype_bits(p->a.dtype) / 8);
  const ptrdiff_t b_bytes = (ptrdiff_t)(milo_dtype_bits(p->b.dtype) / 8);
  const ptrdiff_t c_bytes = (ptrdiff_t)(milo_dtype_bits(p->c.dtype) / 8);
  milo_gemm g = p->g;
  milo_packed left, right;
  g.packed_a = packed_side(run, p, MILO_LEFT, &left);
  g.packed_b = packed_side(run, p, MILO_RIGHT, &right);
  if (g.epilogue.bias.dtype != MILO_DTYPE_NONE)
    g.epilogue.bias.data = milo_view_data(run, &p->bias);
  size_t count = 1;
  for (int i = 0; i < p->outer; ++i) count *= (size_t)p->dims[i];
  for (size_t z = 0; z < count; ++z) {
    size_t rest = z;
    ptrdiff_t a = 0, b = 0, c = 0;
    for (int i = p->outer - 1; i >= 0; --i) {
      const ptrdiff_t at = (ptrdiff_t)(rest % (size_t)p->dims[i]);
      rest /= (size_t)p->dims[i];
      a += at * p->a_steps[i];
      b += at * p->b_steps[i];
      c += at * p->c_steps[i];
    }
    milo_gemm_run(run->exec, &g, (const char *)milo_view_data(run, &p->a) + a * a_bytes,
                  (const char *)milo_view_data(run, &p->b) + b * b_bytes,
                  (char *)milo_view_data(run, &p->c) + c * c_bytes, run->workspace);
  }
  return MILO_OK;
}

// Notes an operand that is one matrix for the whole batch, of an input that changes seldom.
static void keep(const milo_code *c, product *p, milo_side side) {
  if (!milo_code_is_parameter(c, side == MILO_LEFT ? &p->a : &p->b, &p->inputs[side])) return;
  const int64_t *steps = side == MILO_LEFT ? p->a_steps : p->b_steps;
  bool one = p->g.batch == 1 || (side == MILO_LEFT ? p->g.a_step : p->g.b_step) == 0;
  for (int i = 0; i < p->outer; ++i) one = one && (steps[i] == 0 || p->dims[i] == 1);
  // Of a weight that is stored in 16 bits and computed with in fp32, a copy would be wider.
  const milo_dtype own = side == MILO_LEFT ? p->a.dtype : p->b.dtype;
  const milo_dtype other = side == MILO_LEFT ? p->b.dtype : p->a.dtype;
  const milo_dtype packed = milo_exec_product(&c->device->exec, p->g.mode)->packed;
  const bool wider = own != MILO_FP32 && other == MILO_FP32 && packed == MILO_FP32;
  p->keeps[side] = one && !wider && milo_gemm_packs(&c->device->exec, &p->g, side);
}

// A run may find the sides packed or not.
static size_t workspace_bytes(const milo_exec *exec, const product *p) {
  static const milo_packed there;
  size_t most = 0;
  for (int sides = 0; sides < 4; ++sides) {
    const bool left = (sides & 1) != 0, right = (sides & 2) != 0;
    if ((left && !p->keeps[MILO_LEFT]) || (right && !p->keeps[MILO_RIGHT])) continue;
    milo_gemm g = p->g;
    if (left) g.packed_a = &there;
    if (right) g.packed_b = &there;
    const size_t bytes = milo_gemm_workspace_bytes(exec, &g);
    if (bytes > most) most = bytes;
  }
  return most;
}

// c[..., m, n] = a[..., m, k] b[..., k, n] + bias; c dense, rounded to its type once; the axes
// before the last two are c's in all (strides of 0 where broadcast). bias: NULL, or out's shape
// with strides of 0 for those axes.
static void multiply(milo_code *c, const milo_op *op, milo_view a, milo_view b, milo_view out,
                     const milo_view *bias) {
  product *p = MILO_NEW(&c->arena, product);
  const int r = out.rank;
  p->a = a;
  p->b = b;
  p->c = out;
  p->g = (milo_gemm){.mode = milo_code_numeric(c, a.dtype, b.dtype),
                     .m = (size_t)out.dims[r - 2],
                     .n = (size_t)out.dims[r - 1],
                     .k = (size_t)a.dims[r - 1],
                     .batch = 1,
                     .a = {NULL, a.dtype, a.strides[r - 2], a.strides[r - 1]},
                     .b = {NULL, b.dtype, b.strides[r - 2], b.strides[r - 1]},
                     .ldc = (size_t)out.dims[r - 1],
                     .c_dtype = out.dtype};
  milo_gemm *g = &p->g;
  if (bias) {
    p->bias = *bias;
    g->epilogue.bias = (milo_matrix){NULL, bias->dtype, bias->strides[r - 2], bias->strides[r - 1]};
  }
  milo_view axes[3] = {a, b, out};
  for (int i = 0; i < 3; ++i) axes[i].rank = r - 2;
  if (r > 2) {
    milo_views_collapse(axes, 3);
    int last = axes[0].rank - 1;
    // One right side for all: more rows.
    if (g->epilogue.bias.rs == 0 && axes[1].strides[last] == 0 && axes[0].dims[last] > 1 &&
        axes[0].strides[last] == (int64_t)g->m * a.strides[r - 2] &&
        axes[2].strides[last] == (int64_t)(g->m * g->n)) {
      g->m *= (size_t)axes[0].dims[last--];
    }
    if (last >= 0) {
      g->batch = (size_t)axes[0].dims[last];
      g->a_step = axes[0].strides[last];
      g->b_step = axes[1].strides[last];
      g->c_step = axes[2].strides[last];
    }
    p->outer = last > 0 ? last : 0;
    for (int i = 0; i < p->outer; ++i) {
      p->dims[i] = axes[0].dims[i];
      p->a_steps[i] = axes[0].strides[i];
      p->b_steps[i] = axes[1].strides[i];
      p->c_steps[i] = axes[2].strides[i];
    }
  }
  milo_code_reads(c, &a);
  milo_code_reads(c, &b);
  if (bias) milo_code_reads(c, bias);
  milo_code_writes(c, &out);
  keep(c, p, MILO_LEFT);
  keep(c, p, MILO_RIGHT);
  milo_code_add_step(c, op, run_product, p, workspace_bytes(&c->device->exec, p));
}

static milo_view swap_last(const milo_view *v) {
  int64_t perm[MILO_MAX_RANK];
  for (int i = 0; i < v->rank; ++i) perm[i] = i;
  perm[v->rank - 1] = v->rank - 2;
  perm[v->rank - 2] = v->rank - 1;
  return milo_view_transpose(v, perm);
}

// Batch axes as out's, the last two as they are.
static milo_view batched(const milo_view *v, const milo_type *out) {
  int64_t dims[MILO_MAX_RANK];
  for (int i = 0; i < out->rank; ++i) dims[i] = out->dims[i];
  dims[out->rank - 2] = v->dims[v->rank - 2];
  dims[out->rank - 1] = v->dims[v->rank - 1];
  return milo_view_broadcast(v, out->rank, dims);
}

bool milo_emit_matmul(milo_code *c, const milo_op *op) {
  const milo_type *type = &op->results[0]->type;
  const milo_value *x = milo_op_in(op, "x"), *y = milo_op_in(op, "y");
  if (!milo_cpu_float(x->type.dtype) || !milo_cpu_float(y->type.dtype) ||
      !milo_cpu_float(type->dtype))
    return false;
  if (x->type.rank < 2 || y->type.rank < 2) return false;
  milo_view a = milo_code_stored(c, x), b = milo_code_stored(c, y);
  if (milo_op_bool(op, "transpose_x")) a = swap_last(&a);
  if (milo_op_bool(op, "transpose_y")) b = swap_last(&b);
  const milo_view out = milo_code_result(c, op, 0);
  multiply(c, op, batched(&a, type), batched(&b, type), out, NULL);
  milo_code_set(c, op->results[0], &out);
  return true;
}

bool milo_emit_linear(milo_code *c, const milo_op *op) {
  const milo_type *type = &op->results[0]->type;
  const milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  const milo_value *bias = milo_op_in(op, "bias");
  if (!milo_cpu_float(x->type.dtype) || !milo_cpu_float(weight->type.dtype) || x->type.rank < 1 ||
      !milo_cpu_float(type->dtype))
    return false;
  if (bias && !milo_cpu_float(bias->type.dtype)) return false;
  milo_view a = milo_code_stored(c, x);
  milo_type wide = *type;
  if (a.rank == 1) {
    const int64_t dims[2] = {1, a.dims[0]};
    if (!milo_view_reshape(&a, 2, dims, &a)) return false;
    wide = milo_type_tensor(type->dtype, 2, (const int64_t[]){1, type->dims[0]});
  }
  milo_view b = milo_code_stored(c, weight);
  b = swap_last(&b);
  const milo_view result = milo_code_result(c, op, 0);
  milo_view out = result, all;
  if (wide.rank != type->rank && !milo_view_reshape(&result, wide.rank, wide.dims, &out))
    return false;
  if (bias) {
    const milo_view v = milo_code_stored(c, bias);
    all = milo_view_broadcast(&v, wide.rank, wide.dims);
  }
  multiply(c, op, batched(&a, &wide), batched(&b, &wide), out, bias ? &all : NULL);
  milo_code_set(c, op->results[0], &result);
  return true;
}

// A convolution whose kernel is one point is a matrix product over the channels.
bool milo_emit_pointwise(milo_code *c, const milo_op *op) {
  const milo_type *type = &op->results[0]->type;
  const milo_value *x = milo_op_in(op, "x"), *weight = milo_op_in(op, "weight");
  const milo_value *bias = milo_op_in(op, "bias");
  const int spatial = x->type.rank - 2;
  if (!milo_cpu_float(x->type.dtype) || !milo_cpu_float(weight->type.dtype) || spatial < 1)
    return false;
  if (bias && !milo_cpu_float(bias->type.dtype)) return false;
  if (!milo_cpu_float(type->dtype)) return false;
  if (milo_op_int(op, "groups") != 1) return false;
  int64_t strides[MILO_MAX_RANK];
  const int given = milo_op_ints(op, "strides", strides, MILO_MAX_RANK);
  for (int i = 0; i < spatial; ++i) {
    if (weight->type.dims[2 + i] != 1 || (given > i && strides[i] != 1)) return false;
    if (type->dims[2 + i] != x->type.dims[2 + i]) return false;  // padded
  }
  const milo_view v = milo_code_stored(c, x), w = milo_code_stored(c, weight);
  int64_t points = 1;
  for (int i = 0; i < spatial; ++i) points *= type->dims[2 + i];
  milo_view b, a;
  const int64_t flat[3] = {v.dims[0], v.dims[1], points};
  const int64_t matrix[2] = {w.dims[0], w.dims[1]};
  if (!milo_view_reshape(&v, 3, flat, &b)) {
    const milo_view dense = milo_code_dense(c, &v);
    if (!milo_view_reshape(&dense, 3, flat, &b)) return false;
  }
  if (!milo_view_reshape(&w, 2, matrix, &a)) return false;
  const int64_t dims[3] = {v.dims[0], w.dims[0], points};
  const milo_view result = milo_code_result(c, op, 0);
  milo_view out, all;
  if (!milo_view_reshape(&result, 3, dims, &out)) return false;
  if (bias) {
    milo_view column;
    const milo_view from = milo_code_stored(c, bias);
    if (!milo_view_reshape(&from, 2, (const int64_t[]){w.dims[0], 1}, &column)) return false;
    all = milo_view_broadcast(&column, 3, dims);
  }
  const milo_type wide = milo_type_tensor(type->dtype, 3, dims);
  multiply(c, op, batched(&a, &wide), batched(&b, &wide), out, bias ? &all : NULL);
  milo_code_set(c, op->results[0], &result);
  return true;
}
