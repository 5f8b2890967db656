// SPDX-License-Identifier: MIT
// Gradients of gather and scatter: each is written with the other.
#include <string.h>

#include "ir/grad.h"
#include "ir/ops/ops.h"

// gather and scatter, or gather_along_axis and scatter_along_axis, along one axis.
typedef struct pair {
  milo_builder *b;
  milo_opcode gather, scatter;
  milo_value *indices;
  int axis;
} pair;

static milo_value *gather(const pair *p, milo_value *x) {
  return milo_emit(
      p->b, p->gather,
      (const milo_named[]){
          {"x", x}, {"indices", p->indices}, {"axis", milo_b_int(p->b, p->axis)}, {NULL, NULL}});
}

static milo_value *scatter(const pair *p, milo_value *data, milo_value *updates, const char *mode) {
  return milo_emit(p->b, p->scatter,
                   (const milo_named[]){{"data", data},
                                        {"indices", p->indices},
                                        {"updates", updates},
                                        {"axis", milo_b_int(p->b, p->axis)},
                                        {"mode", milo_b_string(p->b, mode)},
                                        {NULL, NULL}});
}

static int64_t product(const int64_t *dims, int begin, int end) {
  int64_t n = 1;
  for (int i = begin; i < end; i++) n *= dims[i];
  return n;
}

// gather with batch axes has no scatter of its own: batches become rows of one axis, whose indices
// are moved on by a batch each. x [b.., a.., D, c..], indices [b.., i..], dy [b.., a.., i.., c..].
static milo_value *batched_dx(milo_builder *b, const milo_value *x, milo_value *indices, int axis,
                              int batch_dims, milo_value *dy) {
  const int64_t *dims = x->type.dims;
  const int64_t batches = product(dims, 0, batch_dims), before = product(dims, batch_dims, axis);
  const int64_t n = dims[axis], inner = product(dims, axis + 1, x->type.rank);
  const int64_t each = product(indices->type.dims, batch_dims, indices->type.rank);
  if (indices->type.dtype != MILO_INT32) indices = milo_b_cast(b, indices, MILO_INT32);
  indices = milo_grad_reshape(b, indices, (const int64_t[]){batches, each}, 2);
  milo_value *negative = milo_grad_compare(b, MILO_OP_less, indices, 0);
  indices = milo_b_select(b, negative, milo_b_add_number(b, indices, (double)n), indices);
  milo_value *batch = EMIT(b, range_1d, {"end", milo_b_int(b, batches * n)},
                           {"start", milo_b_int(b, 0)}, {"step", milo_b_int(b, n)});
  indices = milo_b_add(b, indices, milo_grad_reshape(b, batch, (const int64_t[]){batches, 1}, 2));
  const pair p = {b, MILO_OP_gather, MILO_OP_scatter,
                  milo_grad_reshape(b, indices, (const int64_t[]){batches * each}, 1), 0};
  // The indexed axis is brought next to the batches, in dy and back in the result.
  dy = milo_grad_reshape(b, dy, (const int64_t[]){batches, before, each, inner}, 4);
  if (before > 1) dy = milo_b_transpose(b, dy, (const int[]){0, 2, 1, 3});
  dy = milo_grad_reshape(b, dy, (const int64_t[]){batches * each, before * inner}, 2);
  const milo_type flat =
      milo_type_tensor(x->type.dtype, 2, (const int64_t[]){batches * n, before * inner});
  milo_value *dx = scatter(&p, milo_grad_fill(b, flat, 0), dy, "add");
  if (before > 1) {
    dx = milo_grad_reshape(b, dx, (const int64_t[]){batches, n, before, inner}, 4);
    dx = milo_b_transpose(b, dx, (const int[]){0, 2, 1, 3});
  }
  return milo_grad_reshape_like(b, dx, x);
}

milo_status milo_vjp_gather(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x"), *indices = milo_op_in(op, "indices");
  if (!milo_grad_wants(g, x)) return b->status;
  const int axis = milo_op_axis(op, "axis", x->type.rank);
  int64_t batch_dims = milo_op_int(op, "batch_dims");
  if (batch_dims < 0) batch_dims += indices->type.rank;
  if (batch_dims > 0) {
    milo_grad_add(g, x, batched_dx(b, x, indices, axis, (int)batch_dims, seeds[0]));
    return b->status;
  }
  milo_value *dy = seeds[0];
  if (indices->type.rank == 0) {  // scatter wants a list
    int64_t dims[MILO_MAX_RANK];
    memcpy(dims, x->type.dims, sizeof dims);
    dims[axis] = 1;
    dy = milo_grad_reshape(b, dy, dims, x->type.rank);
    indices = milo_grad_reshape(b, indices, (const int64_t[]){1}, 1);
  }
  const pair p = {b, MILO_OP_gather, MILO_OP_scatter, indices, axis};
  milo_grad_add(g, x, scatter(&p, milo_grad_fill(b, x->type, 0), dy, "add"));
  return b->status;
}

milo_status milo_vjp_gather_along_axis(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  milo_builder *b = milo_grad_builder(g);
  milo_value *x = milo_op_in(op, "x");
  if (!milo_grad_wants(g, x)) return b->status;
  const pair p = {b, MILO_OP_gather_along_axis, MILO_OP_scatter_along_axis,
                  milo_op_in(op, "indices"), milo_op_axis(op, "axis", x->type.rank)};
  milo_grad_add(g, x, scatter(&p, milo_grad_fill(b, x->type, 0), seeds[0], "add"));
  return b->status;
}

// ---- scatter ----

typedef struct scattering {
  pair p;
  milo_grad *g;
  milo_builder *b;
  milo_value *data, *updates, *y, *dy;
} scattering;

static void add_grads(const scattering *s) {
  milo_grad_add(s->g, s->data, s->dy);
  if (milo_grad_wants(s->g, s->updates)) milo_grad_add(s->g, s->updates, gather(&s->p, s->dy));
}

static void sub_grads(const scattering *s) {
  milo_grad_add(s->g, s->data, s->dy);
  if (milo_grad_wants(s->g, s->updates))
    milo_grad_add(s->g, s->updates, milo_b_scale(s->b, gather(&s->p, s->dy), -1));
}

// As in other frameworks, an index that occurs twice gives each of its updates the whole gradient.
static void update_grads(const scattering *s) {
  if (milo_grad_wants(s->g, s->data)) {
    milo_value *zeros = milo_grad_fill(s->b, s->updates->type, 0);
    milo_grad_add(s->g, s->data, scatter(&s->p, s->dy, zeros, "update"));
  }
  if (milo_grad_wants(s->g, s->updates)) milo_grad_add(s->g, s->updates, gather(&s->p, s->dy));
}

// What data was multiplied (divided) by: ones with the updates scattered in.
static milo_value *factors(const scattering *s, const char *mode) {
  return scatter(&s->p, milo_grad_fill(s->b, s->data->type, 1), s->updates, mode);
}

static void mul_grads(const scattering *s) {
  milo_builder *b = s->b;
  if (milo_grad_wants(s->g, s->data))
    milo_grad_add(s->g, s->data, milo_b_mul(b, s->dy, factors(s, "mul")));
  if (!milo_grad_wants(s->g, s->updates)) return;
  // The product of the others, as for reduce_prod: without zeros, and zero if another update is.
  milo_value *nonzero = milo_grad_compare(b, MILO_OP_not_equal, s->updates, 0);
  milo_value *safe = milo_grad_where(b, nonzero, s->updates, 1);
  milo_value *all = scatter(&s->p, s->data, safe, "mul");
  milo_value *others = milo_b_div(b, gather(&s->p, milo_b_mul(b, s->dy, all)), safe);
  milo_value *is_zero =
      milo_b_cast(b, milo_b_unary(b, MILO_OP_logical_not, nonzero), s->data->type.dtype);
  milo_value *count = scatter(&s->p, milo_grad_fill(b, s->data->type, 0), is_zero, "add");
  milo_value *other_zeros = milo_b_sub(b, gather(&s->p, count), is_zero);
  milo_value *alone = milo_grad_compare(b, MILO_OP_equal, other_zeros, 0);
  milo_grad_add(s->g, s->updates, milo_grad_where(b, alone, others, 0));
}

static void div_grads(const scattering *s) {
  milo_builder *b = s->b;
  if (milo_grad_wants(s->g, s->data))
    milo_grad_add(s->g, s->data, milo_b_mul(b, s->dy, factors(s, "div")));
  if (!milo_grad_wants(s->g, s->updates)) return;
  milo_value *d = milo_b_div(b, gather(&s->p, milo_b_mul(b, s->dy, s->y)), s->updates);
  milo_grad_add(s->g, s->updates, milo_b_scale(b, d, -1));
}

// max, min: shared evenly among data and the updates that are the extremum.
static void extremum_grads(const scattering *s) {
  milo_builder *b = s->b;
  const milo_dtype dtype = s->data->type.dtype;
  milo_value *kept = milo_b_cast(b, milo_b_binary(b, MILO_OP_equal, s->data, s->y), dtype);
  milo_value *hit = milo_b_binary(b, MILO_OP_equal, s->updates, gather(&s->p, s->y));
  milo_value *taken = milo_b_cast(b, hit, dtype);
  milo_value *share = milo_b_div(b, s->dy, scatter(&s->p, kept, taken, "add"));
  if (milo_grad_wants(s->g, s->data)) milo_grad_add(s->g, s->data, milo_b_mul(b, kept, share));
  if (milo_grad_wants(s->g, s->updates))
    milo_grad_add(s->g, s->updates, milo_b_mul(b, taken, gather(&s->p, share)));
}

static milo_status differentiate(milo_grad *g, const milo_op *op, milo_value *dy,
                                 milo_opcode gather_code) {
  static const struct {
    const char *mode;
    void (*add)(const scattering *s);
  } modes[] = {{"add", add_grads},     {"sub", sub_grads}, {"update", update_grads},
               {"mul", mul_grads},     {"div", div_grads}, {"max", extremum_grads},
               {"min", extremum_grads}};
  milo_builder *b = milo_grad_builder(g);
  milo_value *data = milo_op_in(op, "data");
  const scattering s = {{b, gather_code, op->code, milo_op_in(op, "indices"),
                         milo_op_axis(op, "axis", data->type.rank)},
                        g,
                        b,
                        data,
                        milo_op_in(op, "updates"),
                        op->results[0],
                        dy};
  const char *mode = milo_op_string(op, "mode");
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (strcmp(modes[i].mode, mode) == 0) {
      modes[i].add(&s);
      return b->status;
    }
  return milo_grad_refuse(g, op, "its mode is unknown");
}

milo_status milo_vjp_scatter(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  return differentiate(g, op, seeds[0], MILO_OP_gather);
}

milo_status milo_vjp_scatter_along_axis(milo_grad *g, const milo_op *op, milo_value *const *seeds) {
  return differentiate(g, op, seeds[0], MILO_OP_gather_along_axis);
}
