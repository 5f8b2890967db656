// SPDX-License-Identifier: MIT
// Products with weights in fewer bits, and all that a generated token needs: a few rows by a matrix
// that is read once, where it lies. int8 weights are scaled as they are read or packed:
// scale_blocks makes no step of its own.
#include <math.h>

#include "device/cpu/code.h"
#include "kernels/attention_few.h"
#include "kernels/epilogue.h"
#include "kernels/few.h"

enum {
  FEW_ROWS = 8,
  TASK_BYTES = 1 << 20,  // of a matrix at most
  TASK_COLUMNS = 1024,   // at most
  JOINED = 4,            // products of one step
};

static const milo_few *few_of(const milo_code *c) {
  return milo_few_select(c->device->base.host.cpu_caps);
}

// ---- operands that wait for the operation that reads them ----

// Is it y of a matmul, transposed, or the weight of a linear, both of rank 2?
static bool is_rows_operand(const milo_op *user, const milo_value *value) {
  if (user->code == MILO_OP_linear) return milo_op_in(user, "weight") == value;
  return user->code == MILO_OP_matmul && milo_op_in(user, "y") == value && value->type.rank == 2 &&
         milo_op_bool(user, "transpose_y") && !milo_op_bool(user, "transpose_x");
}

static bool few_queries(const milo_op *op) {
  return milo_op_in(op, "query")->type.dims[2] <= FEW_ROWS;
}

bool milo_few_defers(milo_code *c, const milo_op *op) {
  if (op->code != MILO_OP_scale_blocks) return false;
  const milo_value *result = op->results[0];
  const milo_op *user = c->user[result->id];
  if (c->uses[result->id] != 1 || c->is_output[result->id] || user == NULL) return false;
  if (result->type.dtype != MILO_FP32 || result->type.rank != 2) return false;
  if (milo_op_in(op, "data")->type.dtype != MILO_INT8 || !is_rows_operand(user, result))
    return false;
  const milo_value *x = milo_op_in(user, "x");
  return x->type.rank == 2 && milo_cpu_float(x->type.dtype) &&
         milo_cpu_float(user->results[0]->type.dtype);
}

// ---- products ----

typedef struct item {
  milo_gemm g;
  milo_view a, b, c, bias, scales;
  size_t lds, group;  // of scales; group 0: none
  size_t columns;     // of a task
} item;

typedef struct product {
  const milo_few *few;
  size_t count;
  item items[JOINED];
} product;

typedef struct one {  // an item at run time
  milo_gemm g;
  const float *a;
  const char *b;
  const float *scales;
  void *c;
  bool finish;  // sums are not c yet
} one;

typedef struct job {
  const product *p;
  const milo_rows *rows;
  one items[JOINED];
  float *slots;
} job;

static void task(void *user, size_t t, int worker) {
  const job *w = user;
  size_t at = 0;
  for (;; ++at) {
    const size_t tasks = (w->items[at].g.n + w->p->items[at].columns - 1) / w->p->items[at].columns;
    if (t < tasks) break;
    t -= tasks;
  }
  const item *i = &w->p->items[at];
  const one *o = &w->items[at];
  const milo_gemm *g = &o->g;
  const size_t j = t * i->columns, n = g->n - j < i->columns ? g->n - j : i->columns;
  const size_t lda = (size_t)g->a.rs, ldw = (size_t)g->b.cs;
  float *sums = w->slots + (size_t)worker * FEW_ROWS * TASK_COLUMNS;
  float *to = o->finish ? sums : (float *)o->c + j;
  const size_t ldc = o->finish ? TASK_COLUMNS : g->ldc;
  const char *b = o->b + j * ldw * (milo_dtype_bits(i->b.dtype) / 8);
  if (i->group > 0)
    w->p->few->dot_int8(g->m, n, g->k, o->a, lda, (const int8_t *)b, ldw, o->scales + j * i->lds,
                        i->lds, i->group, to, ldc);
  else
    milo_few_dot(w->p->few, i->b.dtype)(g->m, n, g->k, o->a, lda, b, ldw, to, ldc);
  if (o->finish) milo_epilogue_run(w->rows, g, 0, 0, g->m, j, n, sums, TASK_COLUMNS, o->c);
}

static milo_status run_few(const milo_cpu_run *run, const void *args) {
  const product *p = args;
  job w = {.p = p, .rows = run->exec->rows, .slots = run->workspace};
  size_t tasks = 0;
  for (size_t k = 0; k < p->count; ++k) {
    const item *i = &p->items[k];
    one *o = &w.items[k];
    *o = (one){.g = i->g,
               .a = milo_view_data(run, &i->a),
               .b = milo_view_data(run, &i->b),
               .c = milo_view_data(run, &i->c),
               .finish = milo_epilogue_exists(&i->g)};
    if (i->group > 0) o->scales = milo_view_data(run, &i->scales);
    if (i->g.epilogue.bias.dtype != MILO_DTYPE_NONE)
      o->g.epilogue.bias.data = milo_view_data(run, &i->bias);
    tasks += (i->g.n + i->columns - 1) / i->columns;
  }
  milo_pool_run(run->exec->pool, tasks, task, &w);
  return MILO_OK;
}

// Many rows of int8: what the product packs of the weights is made of them block by block.
typedef struct packing {
  const milo_few *few;
  const float *scales;
  size_t ldw, lds, group;
} packing;

static void pack_int8(const void *user, const milo_product *row, const void *b, size_t z, size_t p,
                      size_t k, size_t j, size_t n, void *out, size_t panel, float *scratch) {
  const packing *s = user;
  (void)z;
  for (size_t i = 0; i < n; ++i) {
    // Up to the end of the group that depth p lies in; then whole groups.
    const int8_t *from = (const int8_t *)b + (j + i) * s->ldw + p;
    const float *scales = s->scales + (j + i) * s->lds + p / s->group;
    size_t first = s->group - p % s->group;
    if (first > k) first = k;
    s->few->scale_int8(scratch + i * k, from, scales, first, first);
    if (first < k)
      s->few->scale_int8(scratch + i * k + first, from + first, scales + 1, s->group, k - first);
  }
  row->pack_fp32(out, panel, scratch, k, n, 1, (ptrdiff_t)k, row->nr);
}

static milo_status run_blocks(const milo_cpu_run *run, const void *args) {
  const product *p = args;
  const item *i = &p->items[0];
  milo_gemm g = i->g;
  const packing s = {.few = p->few,
                     .scales = milo_view_data(run, &i->scales),
                     .ldw = (size_t)i->b.strides[0],
                     .lds = i->lds,
                     .group = i->group};
  g.packer_user = &s;
  if (g.epilogue.bias.dtype != MILO_DTYPE_NONE)
    g.epilogue.bias.data = milo_view_data(run, &i->bias);
  milo_gemm_run(run->exec, &g, milo_view_data(run, &i->a), milo_view_data(run, &i->b),
                milo_view_data(run, &i->c), run->workspace);
  return MILO_OK;
}

static void touch(milo_code *c, const item *i) {
  milo_code_reads(c, &i->a);
  milo_code_reads(c, &i->b);
  if (i->group > 0) milo_code_reads(c, &i->scales);
  if (i->g.epilogue.bias.dtype != MILO_DTYPE_NONE) milo_code_reads(c, &i->bias);
  milo_code_writes(c, &i->c);
}

// Joins a product to the step before, if that is one of few rows too and makes nothing that this
// one reads: threads are then woken once for both.
static bool join(milo_code *c, const item *i) {
  if (c->step_count == 0) return false;
  const milo_step last = c->steps[c->step_count - 1];
  if (last.run != run_few) return false;
  const product *before = last.args;
  if (before->count == JOINED) return false;
  for (size_t k = 0; k < before->count; ++k) {
    const uint32_t made = before->items[k].c.buffer;
    if (made == i->a.buffer || made == i->b.buffer) return false;
    if (i->group > 0 && made == i->scales.buffer) return false;
    if (i->g.epilogue.bias.dtype != MILO_DTYPE_NONE && made == i->bias.buffer) return false;
  }
  product *both = MILO_NEW(&c->arena, product);
  *both = *before;
  both->items[both->count++] = *i;
  c->step_count--;
  touch(c, i);
  milo_code_add_step(c, last.op, run_few, both, 0);
  return true;
}

static void set_workspace(milo_code *c, size_t bytes) {
  if (bytes > c->workspace_bytes) c->workspace_bytes = bytes;
}

// Columns of a task: two tasks a thread, for long tasks are read fastest. How they are cut changes
// no sum.
static size_t columns_of(const milo_code *c, const item *i) {
  const size_t row = i->g.k * (milo_dtype_bits(i->b.dtype) / 8);
  const size_t tasks = 2 * (size_t)milo_pool_threads(c->device->base.host.pool);
  size_t columns = (i->g.n + tasks - 1) / tasks;
  if (row > 0 && columns > TASK_BYTES / row) columns = TASK_BYTES / row;
  if (columns < 8) columns = 8;
  return columns < TASK_COLUMNS ? columns : TASK_COLUMNS;
}

bool milo_emit_few_product(milo_code *c, const milo_op *op) {
  const bool linear = op->code == MILO_OP_linear;
  const milo_value *y = milo_op_in(op, linear ? "weight" : "y"), *x = milo_op_in(op, "x");
  if (y == NULL || !is_rows_operand(op, y) || x->type.rank != 2 ||
      !milo_cpu_float(op->results[0]->type.dtype) || !milo_cpu_float(x->type.dtype))
    return false;
  const bool blocks = !c->ready[y->id] && y->def != NULL && y->def->code == MILO_OP_scale_blocks;
  const milo_value *data = blocks ? milo_op_in(y->def, "data") : y;
  item i = {.a = milo_code_stored(c, x), .b = milo_code_stored(c, data)};
  const int64_t m = i.a.dims[0], k = i.a.dims[1], n = i.b.dims[0];
  const bool narrow = i.b.dtype == MILO_FP16 || i.b.dtype == MILO_BF16;
  if (!blocks && !narrow) return false;
  if (!blocks && i.b.dims[1] != 1 && i.b.strides[1] != 1) return false;
  const milo_value *bias = linear ? milo_op_in(op, "bias") : NULL;
  if (bias != NULL && !milo_cpu_float(bias->type.dtype)) return false;
  const bool few = m <= FEW_ROWS && n > 0 && k > 0;
  if (!few && !blocks) return false;
  if (few) i.a = milo_code_dense_f32(c, &i.a);
  i.c = milo_code_new(c, milo_code_store_dtype(c, op, 0), 2, op->results[0]->type.dims);
  if (blocks) {
    const milo_view scales = milo_code_in(c, y->def, "scale");
    i.b = milo_code_dense(c, &i.b);
    i.scales = milo_code_dense(c, &scales);
    i.lds = (size_t)i.scales.dims[1];
    i.group = i.lds > 0 ? (size_t)k / i.lds : 1;
    if (i.group == 0) i.group = 1;
  }
  i.g = (milo_gemm){.mode = MILO_NUMERIC_EXACT,
                    .m = (size_t)m,
                    .n = (size_t)n,
                    .k = (size_t)k,
                    .batch = 1,
                    .a = {NULL, i.a.dtype, i.a.strides[0], i.a.strides[1]},
                    .b = {NULL, MILO_FP32, 1, i.b.strides[0]},
                    .ldc = (size_t)n,
                    .c_dtype = i.c.dtype};
  if (bias != NULL) {
    const milo_view v = milo_code_stored(c, bias);
    i.bias = milo_view_broadcast(&v, 2, op->results[0]->type.dims);
    i.g.epilogue.bias = (milo_matrix){NULL, v.dtype, i.bias.strides[0], i.bias.strides[1]};
  }
  i.columns = columns_of(c, &i);
  if (!few) i.g.packer = pack_int8;
  if (few) {
    set_workspace(c, (size_t)milo_pool_threads(c->device->base.host.pool) * FEW_ROWS *
                         TASK_COLUMNS * sizeof(float));
    if (!join(c, &i)) {
      product *p = MILO_NEW(&c->arena, product);
      *p = (product){few_of(c), 1, {i}};
      touch(c, &i);
      milo_code_add_step(c, op, run_few, p, 0);
    }
  } else {
    product *p = MILO_NEW(&c->arena, product);
    *p = (product){few_of(c), 1, {i}};
    touch(c, &i);
    milo_code_add_step(c, op, run_blocks, p, milo_gemm_workspace_bytes(&c->device->exec, &i.g));
  }
  milo_code_set(c, op->results[0], &i.c);
  return true;
}

// ---- attention ----

typedef struct heads_op {
  milo_attention a;
  const milo_few *few;
  milo_view q, k, v, position, out, lse;
  bool has_position;
} heads_op;

static milo_heads steps_of(const milo_view *v) {
  return (milo_heads){v->strides[0], v->strides[1], v->strides[2], v->dtype};
}

static milo_status run_attention(const milo_cpu_run *run, const void *args) {
  const heads_op *a = args;
  double position = 0;
  if (a->has_position)
    position = milo_number_load(a->position.dtype, milo_view_data(run, &a->position), 0);
  // Beyond these bounds it makes no difference, and sums with it would overflow.
  position = fmin(fmax(position, -(double)a->a.queries), (double)a->a.keys);
  milo_attention_few_run(run->exec, a->few, &a->a, a->k.dtype, (int64_t)position,
                         milo_view_data(run, &a->q), milo_view_data(run, &a->k),
                         milo_view_data(run, &a->v), milo_view_data(run, &a->out),
                         milo_view_data(run, &a->lse), run->workspace);
  return MILO_OK;
}

static bool unit_last(const milo_view *v) { return v->dims[3] == 1 || v->strides[3] == 1; }

bool milo_emit_few_attention(milo_code *c, const milo_op *op) {
  const milo_value *query = milo_op_in(op, "query"), *key = milo_op_in(op, "key");
  const milo_value *out = op->results[0];
  if (!few_queries(op) || query->type.dtype != MILO_FP32) return false;
  const int64_t *q = query->type.dims, *k = key->type.dims;
  if (k[1] == 0 || q[3] == 0) return false;
  milo_view vq = milo_code_view(c, query), vk = milo_code_stored(c, key);
  milo_view vv = milo_code_stored(c, milo_op_in(op, "value"));
  if (vk.dtype != vv.dtype || !milo_few_dot(few_of(c), vk.dtype)) {
    vk = milo_code_f32(c, &vk);
    vv = milo_code_f32(c, &vv);
  }
  heads_op *a = MILO_NEW(&c->arena, heads_op);
  a->few = few_of(c);
  a->q = unit_last(&vq) ? vq : milo_code_dense(c, &vq);
  a->k = unit_last(&vk) ? vk : milo_code_dense(c, &vk);
  a->v = unit_last(&vv) ? vv : milo_code_dense(c, &vv);
  a->a = (milo_attention){.batch = (size_t)q[0],
                          .heads = (size_t)q[1],
                          .kv_heads = (size_t)k[1],
                          .queries = (size_t)q[2],
                          .keys = (size_t)k[2],
                          .head = (size_t)q[3],
                          .scale = (float)milo_op_float(op, "scale"),
                          .causal = milo_op_bool(op, "causal"),
                          .q = steps_of(&a->q),
                          .k = steps_of(&a->k),
                          .v = steps_of(&a->v)};
  if (milo_op_in(op, "position")) {
    a->position = milo_code_in(c, op, "position");
    a->has_position = true;
  }
  // Position by position, so that the transpose and reshape that usually follow cost nothing.
  static const int64_t order[4] = {0, 2, 1, 3};
  const int64_t dims[4] = {q[0], q[2], q[1], q[3]};
  if (c->is_output[out->id]) {
    a->out = milo_code_new_like(c, out);
  } else {
    const milo_view v = milo_code_new(c, MILO_FP32, 4, dims);
    a->out = milo_view_transpose(&v, order);
  }
  a->a.out = steps_of(&a->out);
  a->lse = milo_code_new_like(c, op->results[1]);
  milo_code_reads(c, &a->q);
  milo_code_reads(c, &a->k);
  milo_code_reads(c, &a->v);
  if (a->has_position) milo_code_reads(c, &a->position);
  milo_code_writes(c, &a->out);
  milo_code_writes(c, &a->lse);
  milo_code_add_step(c, op, run_attention, a,
                     milo_attention_few_workspace_bytes(&c->device->exec, &a->a));
  milo_code_set(c, out, &a->out);
  milo_code_set(c, op->results[1], &a->lse);
  return true;
}
