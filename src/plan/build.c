// SPDX-License-Identifier: MIT
#include "plan/build.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "ir/op.h"
#include "plan/surface.h"

static milo_arena *arena_of(const milo_kernel_builder *k) { return &k->b.func->program->arena; }

static milo_dtype dtype_of(const milo_kernel_builder *k) { return k->shape->dtype; }

// ---- parts ----

static const char *part_name(milo_arena *arena, size_t i, const milo_part *part) {
  return milo_arena_printf(arena, "p%02zu_%s", i, part->name);
}

static milo_type block(milo_dtype dtype, size_t channels, size_t columns) {
  return milo_type_tensor(dtype, 4, (const int64_t[]){1, (int64_t)channels, 1, (int64_t)columns});
}

// The product of two inputs is fp32 outside.
static milo_dtype outer_dtype(const milo_kernel_builder *k) {
  return k->kernel == milo_plan_kernel_get(MILO_KERNEL_matmul) ? MILO_FP32 : dtype_of(k);
}

static void add_inputs(milo_kernel_builder *k, milo_func *f) {
  const milo_layout *in = &k->in;
  if (!k->kernel->apart) {
    k->inputs[0] = milo_func_add_param(f, "input", block(dtype_of(k), in->channels, in->columns));
    return;
  }
  for (size_t i = 0; i < in->count; i++)
    k->inputs[i] =
        milo_func_add_param(f, part_name(&f->program->arena, i, in->parts[i]),
                            block(outer_dtype(k), in->regions[i].channels, in->regions[i].columns));
}

static size_t index_of(const milo_layout *layout, const char *name) {
  size_t i = 0;
  while (i < layout->count && strcmp(layout->parts[i]->name, name) != 0) i++;
  return i;
}

milo_value *milo_kernel_in(milo_kernel_builder *k, const char *name) {
  const size_t i = index_of(&k->in, name);
  if (i == k->in.count) return NULL;
  if (k->kernel->apart) return k->inputs[i];
  if (k->in.count == 1) return k->inputs[0];
  const milo_region *r = &k->in.regions[i];
  return milo_b_slice(&k->b, k->inputs[0],
                      (const int64_t[]){0, (int64_t)r->channel, 0, (int64_t)r->column},
                      (const int64_t[]){1, (int64_t)r->channels, 1, (int64_t)r->columns});
}

void milo_kernel_out(milo_kernel_builder *k, const char *name, milo_value *value) {
  const size_t i = index_of(&k->out, name);
  if (i < k->out.count) k->outputs[i] = value;
}

// ---- baked weights ----

static milo_value *reference(milo_kernel_builder *k, milo_tensor_id id, const milo_type *type) {
  milo_builder *b = &k->b;
  milo_value *value = milo_b_splat(b, milo_type_scalar(type->dtype), 0);
  if (!value) return NULL;
  milo_tensor t;
  if (milo_model_tensor(k->shape->config, id, b->diag, &t) != MILO_OK) return NULL;
  milo_literal *literal = milo_arena_copy(arena_of(k), value->literal, sizeof *value->literal);
  *literal = (milo_literal){.kind = MILO_LITERAL_BLOB, .type = *type};
  literal->blob_path = milo_arena_printf(arena_of(k), "@model_path/weights/%s.bin", t.input);
  literal->blob_offset = 64;
  value->literal = literal;
  value->type = *type;
  for (size_t i = 0; i < value->def->attrs.count; i++)
    if (strcmp(value->def->attrs.items[i].name, "val") == 0)
      value->def->attrs.items[i].value = *literal;
  return value;
}

// Where a weight's elements are: the model's tensor, or for the classifier of a tied model its
// embedding.
static const milo_parameter *parameter_of(const milo_kernel_builder *k, milo_tensor_id id) {
  if (id == MILO_TENSOR_classifier) id = milo_model_classifier(&k->model->config);
  milo_tensor t;
  if (milo_model_tensor(&k->model->config, id, NULL, &t) != MILO_OK) return NULL;
  return milo_model_param(k->model, id, t.per_layer ? k->layer : 0);
}

static bool has(const milo_kernel_builder *k, milo_tensor_id id) {
  milo_tensor t;
  if (id == MILO_TENSOR_classifier) return true;
  return milo_model_tensor(k->shape->config, id, NULL, &t) == MILO_OK && t.present;
}

milo_value *milo_kernel_baked(milo_kernel_builder *k, milo_tensor_id id, bool transposed,
                              int64_t first, const milo_type *type) {
  if (k->b.status != MILO_OK || !has(k, id)) return NULL;
  if (!k->model) return reference(k, id, type);
  const milo_parameter *p = parameter_of(k, id);
  const size_t in = p->type.rank == 2 ? (size_t)p->type.dims[1] : 1;
  const size_t rows = milo_type_elements(type) / in;
  const milo_host *host = k->shape->host;
  float *data = milo_buffer_map(p->buffer, MILO_READ);
  if (!data || p->type.dtype != MILO_FP32) {
    k->b.status = milo_fail(k->b.diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                            "kernels: parameter %s cannot be read as fp32", p->name);
    return NULL;
  }
  void *copy = milo_arena_alloc(arena_of(k), milo_type_bytes(type));
  milo_surface_pack(milo_rows_select(host ? host->cpu_caps : 0), host ? host->pool : NULL, copy,
                    type->dtype, transposed ? in : rows, transposed ? rows : in,
                    data + (size_t)first * in, in, transposed);
  k->b.status = milo_buffer_unmap(p->buffer, data, MILO_READ);
  return milo_b_adopt(&k->b, *type, copy);
}

milo_value *milo_kernel_vector(milo_kernel_builder *k, milo_tensor_id id) {
  milo_tensor t;
  if (!has(k, id) || milo_model_tensor(k->shape->config, id, k->b.diag, &t) != MILO_OK) return NULL;
  const milo_type type = block(dtype_of(k), milo_type_elements(&t.type), 1);
  return milo_kernel_baked(k, id, false, 0, &type);
}

static milo_value *convolve(milo_kernel_builder *k, milo_value *x, milo_value *weight) {
  milo_builder *b = &k->b;
  return EMIT(b, conv, {"x", x}, {"weight", weight},
              {"strides", milo_b_ints(b, (const int64_t[]){1, 1}, 2)},
              {"pad_type", milo_b_string(b, "valid")},
              {"pad", milo_b_ints(b, (const int64_t[]){0, 0, 0, 0}, 4)},
              {"dilations", milo_b_ints(b, (const int64_t[]){1, 1}, 2)},
              {"groups", milo_b_int(b, 1)});
}

milo_value *milo_kernel_linear(milo_kernel_builder *k, milo_value *x, milo_tensor_id id,
                               bool transposed) {
  milo_tensor t;
  const milo_tensor_id shaped = id == MILO_TENSOR_classifier ? MILO_TENSOR_embedding : id;
  if (k->b.status != MILO_OK) return NULL;
  k->b.status = milo_model_tensor(k->shape->config, shaped, k->b.diag, &t);
  if (k->b.status != MILO_OK) return NULL;
  int64_t out = t.type.dims[transposed], in = t.type.dims[!transposed], first = 0;
  if (id == MILO_TENSOR_classifier) {
    first = k->shape->first_row;
    out = milo_plan_extent(k->shape, MILO_EXTENT_R);
  }
  const milo_type type = milo_type_tensor(dtype_of(k), 4, (const int64_t[]){out, in, 1, 1});
  return convolve(k, x, milo_kernel_baked(k, id, transposed, first, &type));
}

milo_value *milo_kernel_matrix(milo_kernel_builder *k, const char *name) {
  milo_value *x = milo_kernel_in(k, name);
  if (k->b.status != MILO_OK) return NULL;
  return milo_kernel_reshape(k, x, 1, 1, x->type.dims[1], x->type.dims[3]);
}

milo_value *milo_kernel_product(milo_kernel_builder *k, milo_value *weight, milo_value *x,
                                bool plain) {
  milo_value *y = milo_b_matmul(&k->b, weight, x, !plain, false);
  if (k->b.status != MILO_OK) return NULL;
  return milo_kernel_reshape(k, y, 1, y->type.dims[2], 1, y->type.dims[3]);
}

// ---- what kernels share ----

milo_value *milo_kernel_reshape(milo_kernel_builder *k, milo_value *x, int64_t a, int64_t b,
                                int64_t c, int64_t d) {
  return milo_b_reshape(&k->b, x, (const int64_t[]){a, b, c, d}, 4);
}

milo_value *milo_kernel_slice(milo_kernel_builder *k, milo_value *x, int axis, int64_t begin,
                              int64_t size) {
  if (k->b.status != MILO_OK) return NULL;
  int64_t from[4] = {0}, sizes[4];
  memcpy(sizes, x->type.dims, sizeof sizes);
  from[axis] = begin;
  sizes[axis] = size;
  return milo_b_slice(&k->b, x, from, sizes);
}

milo_value *milo_kernel_sum(milo_kernel_builder *k, milo_value *x, int axis) {
  const int64_t axes = axis;
  return milo_b_reduce(&k->b, MILO_OP_reduce_sum, x, &axes, 1, true);
}

// fp16 holds neither the sum of squares of large activations nor squares of small ones: half of the
// division by n comes before squaring, as a power of two, which is exact.
milo_value *milo_kernel_rms_factor(milo_kernel_builder *k, milo_value *x, int axis) {
  milo_builder *b = &k->b;
  if (b->status != MILO_OK) return NULL;
  const double n = (double)x->type.dims[axis];
  const double before = exp2(-floor(log2(n) / 4));
  milo_value *small = milo_b_scale(b, x, before);
  milo_value *sum = milo_kernel_sum(k, milo_b_mul(b, small, small), axis);
  milo_value *mean = milo_b_scale(b, sum, 1 / (n * before * before));
  milo_value *shifted = milo_b_add_number(b, mean, k->shape->config->norm_epsilon);
  return milo_b_binary(b, MILO_OP_pow, shifted, milo_b_number(b, dtype_of(k), -0.5));
}

milo_value *milo_kernel_rms_norm(milo_kernel_builder *k, milo_value *x, int axis,
                                 milo_value *weight) {
  milo_value *y = milo_b_mul(&k->b, x, milo_kernel_rms_factor(k, x, axis));
  return weight ? milo_b_mul(&k->b, y, weight) : y;
}

milo_value *milo_kernel_silu_gate(milo_kernel_builder *k, milo_value *h1, milo_value *h3) {
  milo_builder *b = &k->b;
  milo_value *silu = milo_b_mul(b, h1, milo_b_unary(b, MILO_OP_sigmoid, h1));
  return milo_b_mul(b, silu, h3);
}

milo_value *milo_kernel_head_norm(milo_kernel_builder *k, milo_value *x, int64_t heads,
                                  milo_value *weight) {
  if (k->b.status != MILO_OK || !weight) return x;
  const int64_t width = k->shape->config->head_dim, seq = x->type.dims[3];
  x = milo_kernel_reshape(k, x, 1, heads, width, seq);
  x = milo_kernel_rms_norm(k, x, 2, milo_kernel_reshape(k, weight, 1, 1, width, 1));
  return milo_kernel_reshape(k, x, 1, heads * width, 1, seq);
}

// cos or sin of the angle of pair i at position s, [heads, HD/2, S], the same for every head:
// nothing has to be broadcast then.
static milo_value *angles(milo_kernel_builder *k, int64_t heads, milo_type type, bool sine) {
  const milo_model_config *c = k->shape->config;
  const int64_t half = c->head_dim / 2, seq = k->shape->seq;
  void *table = milo_arena_alloc(arena_of(k), milo_type_bytes(&type));
  const size_t one = (size_t)(half * seq) * milo_dtype_bits(type.dtype) / 8;
  for (int64_t i = 0; i < half; i++)
    for (int64_t s = 0; s < seq; s++) {
      const double angle = milo_model_angle(c, s, i);
      milo_number_store(type.dtype, table, (size_t)(i * seq + s), sine ? sin(angle) : cos(angle));
    }
  for (int64_t h = 1; h < heads; h++) memcpy((char *)table + (size_t)h * one, table, one);
  return milo_b_adopt(&k->b, type, table);
}

milo_value *milo_kernel_rope(milo_kernel_builder *k, milo_value *x, int64_t heads) {
  milo_builder *b = &k->b;
  if (b->status != MILO_OK) return NULL;
  const milo_model_config *c = k->shape->config;
  const int64_t half = c->head_dim / 2, seq = k->shape->seq, channels = heads * c->head_dim;
  // The two of a pair lie side by side, or half a head apart.
  milo_value *pairs = c->rope_half ? milo_kernel_reshape(k, x, 1, heads, c->head_dim, seq)
                                   : milo_kernel_reshape(k, x, 1, heads * half, 2, seq);
  const int64_t count = c->rope_half ? half : 1;
  milo_value *first = milo_kernel_slice(k, pairs, 2, 0, count);
  milo_value *second = milo_kernel_slice(k, pairs, 2, count, count);
  if (b->status != MILO_OK) return NULL;
  milo_value *cosine = angles(k, heads, first->type, false);
  milo_value *sine = angles(k, heads, first->type, true);
  milo_value *const turned[] = {
      milo_b_sub(b, milo_b_mul(b, first, cosine), milo_b_mul(b, second, sine)),
      milo_b_add(b, milo_b_mul(b, first, sine), milo_b_mul(b, second, cosine))};
  return milo_kernel_reshape(k, milo_b_concat(b, turned, 2, 2), 1, channels, 1, seq);
}

// ---- attention ----

// [1, heads * HD, 1, S] -> [1, heads, HD, S].
static milo_value *split(milo_kernel_builder *k, milo_value *x, int64_t heads) {
  return milo_kernel_reshape(k, x, 1, heads, k->shape->config->head_dim, k->shape->seq);
}

static milo_value *swap(milo_kernel_builder *k, milo_value *x) {
  return milo_b_transpose(&k->b, x, (const int[]){0, 1, 3, 2});
}

// Heads that share keys follow each other, so that their queries are rows of one matrix:
// [1, heads, S, n] -> [1, kv_heads, heads / kv_heads * S, n], and back.
static milo_value *group(milo_kernel_builder *k, milo_value *x, int64_t kv_heads) {
  if (k->b.status != MILO_OK || kv_heads == x->type.dims[1]) return x;
  const int64_t *d = x->type.dims;
  return milo_kernel_reshape(k, x, 1, kv_heads, d[1] / kv_heads * d[2], d[3]);
}

static milo_value *ungroup(milo_kernel_builder *k, milo_value *x) {
  const int64_t heads = k->shape->config->heads;
  if (k->b.status != MILO_OK || heads == x->type.dims[1]) return x;
  return milo_kernel_reshape(k, x, 1, heads, k->shape->seq, x->type.dims[3]);
}

// [1, n, S, HD] -> [1, n * HD, 1, S].
static milo_value *join(milo_kernel_builder *k, milo_value *x) {
  x = swap(k, x);
  if (k->b.status != MILO_OK) return NULL;
  const int64_t *d = x->type.dims;
  return milo_kernel_reshape(k, x, 1, d[1] * d[2], 1, d[3]);
}

// Queries of all heads as rows: [1, heads * HD, 1, S] -> [1, kv_heads, heads / kv_heads * S, HD].
static milo_value *rows(milo_kernel_builder *k, milo_value *x, int64_t kv_heads) {
  return group(k, swap(k, split(k, x, k->shape->config->heads)), kv_heads);
}

static milo_value *mask(milo_kernel_builder *k) {
  const int64_t seq = k->shape->seq;
  const milo_type type = milo_type_tensor(dtype_of(k), 4, (const int64_t[]){1, 1, seq, seq});
  void *data = milo_arena_alloc(arena_of(k), milo_type_bytes(&type));
  for (int64_t q = 0; q < seq; q++)
    for (int64_t key = 0; key < seq; key++)
      milo_number_store(type.dtype, data, (size_t)(q * seq + key), key <= q ? 0 : -65504);
  return milo_b_adopt(&k->b, type, data);
}

static double attention_scale(const milo_kernel_builder *k) {
  return 1 / sqrt((double)k->shape->config->head_dim);
}

milo_value *milo_kernel_probabilities(milo_kernel_builder *k, milo_value *q, milo_value *key,
                                      int64_t kv_heads) {
  milo_builder *b = &k->b;
  // Scaled first: products of large fp16 numbers then stay in range.
  milo_value *queries = rows(k, milo_b_scale(b, q, attention_scale(k)), kv_heads);
  milo_value *scores = ungroup(k, milo_b_matmul(b, queries, split(k, key, kv_heads), false, false));
  scores = milo_b_add(b, scores, mask(k));
  return EMIT(b, softmax, {"x", scores}, {"axis", milo_b_int(b, 3)});
}

milo_value *milo_kernel_attend(milo_kernel_builder *k, milo_value *p, milo_value *v,
                               int64_t kv_heads) {
  milo_value *out = milo_b_matmul(&k->b, group(k, p, kv_heads), split(k, v, kv_heads), false, true);
  return join(k, ungroup(k, out));
}

static milo_value *as_channels(milo_kernel_builder *k, milo_value *x) {
  const int64_t seq = k->shape->seq;
  return milo_kernel_reshape(k, x, 1, milo_plan_extent(k->shape, MILO_EXTENT_SC), 1, seq);
}

static milo_value *as_heads(milo_kernel_builder *k, const char *name) {
  const int64_t seq = k->shape->seq;
  return milo_kernel_reshape(k, milo_kernel_in(k, name), 1, k->shape->config->heads, seq, seq);
}

void milo_kernel_attention_bwd1(milo_kernel_builder *k, milo_value *da, int64_t kv_heads) {
  milo_builder *b = &k->b;
  milo_value *p =
      milo_kernel_probabilities(k, milo_kernel_in(k, "q"), milo_kernel_in(k, "k"), kv_heads);
  milo_value *grad = rows(k, da, kv_heads);
  milo_value *v = split(k, milo_kernel_in(k, "v"), kv_heads);
  milo_value *dp = ungroup(k, milo_b_matmul(b, grad, v, false, false));
  milo_value *dv = milo_b_matmul(b, group(k, p, kv_heads), grad, true, false);
  milo_kernel_out(k, "dv", join(k, dv));
  milo_kernel_out(k, "probs", as_channels(k, p));
  milo_kernel_out(k, "dp", as_channels(k, dp));
}

void milo_kernel_attention_bwd2(milo_kernel_builder *k, int64_t kv_heads) {
  milo_builder *b = &k->b;
  milo_value *p = as_heads(k, "probs"), *dp = as_heads(k, "dp");
  milo_value *along = milo_kernel_sum(k, milo_b_mul(b, p, dp), 3);
  milo_value *ds = group(k, milo_b_mul(b, p, milo_b_sub(b, dp, along)), kv_heads);
  milo_value *key = split(k, milo_kernel_in(k, "k"), kv_heads);
  milo_value *dq = ungroup(k, milo_b_matmul(b, ds, key, false, true));
  milo_value *dk = milo_b_matmul(b, ds, rows(k, milo_kernel_in(k, "q"), kv_heads), true, false);
  const double scale = attention_scale(k);
  milo_kernel_out(k, "dq", milo_b_scale(b, join(k, dq), scale));
  milo_kernel_out(k, "dk", milo_b_scale(b, join(k, dk), scale));
}

// ---- the program around it ----

static milo_literal text(milo_arena *arena, const char *value) {
  const char **strings = MILO_NEW(arena, const char *);
  strings[0] = value;
  return (milo_literal){.kind = MILO_LITERAL_STRINGS,
                        .type = milo_type_scalar(MILO_STRING),
                        .strings = strings,
                        .count = 1};
}

// Apple's reader wants to know which of its compilers wrote a text.
static void add_build_info(milo_program *program) {
  milo_arena *arena = &program->arena;
  static const char *const info[] = {"coremlc-component-MIL", "3510.2.1", "coremlc-version",
                                     "3505.4.1"};
  enum { COUNT = sizeof info / sizeof *info };
  milo_literal *items = MILO_NEW_ARRAY(arena, milo_literal, COUNT);
  for (size_t i = 0; i < COUNT; i++) items[i] = text(arena, info[i]);
  milo_type *elems = MILO_NEW_ARRAY(arena, milo_type, 2);
  elems[0] = elems[1] = milo_type_scalar(MILO_STRING);
  const milo_literal value = {.kind = MILO_LITERAL_ITEMS,
                              .type = {.kind = MILO_TYPE_DICT, .elems = elems, .count = 2},
                              .items = items,
                              .count = COUNT};
  milo_attrs_add(arena, &program->attrs, "buildInfo", value);
  program->has_attrs = true;
}

static void rename_value(milo_value *value, const char *name) {
  value->name = name;
  milo_attrs *attrs = &value->def->attrs;
  for (size_t i = 0; i < attrs->count; i++)
    if (strcmp(attrs->items[i].name, "name") == 0)
      attrs->items[i].value = text(milo_op_arena(value->def), name);
}

// Names that some machines are said to fall over get a number.
static void rename_values(milo_func *f) {
  static const char *const troublesome[] = {"var", "diff", "mean", "std",   "eps", "x",
                                            "y",   "mul",  "add",  "rsqrt", "c",   "C"};
  for (milo_op *op = f->body->first; op; op = op->next)
    for (size_t n = 0; n < sizeof troublesome / sizeof *troublesome; n++)
      if (strcmp(op->results[0]->name, troublesome[n]) == 0)
        rename_value(op->results[0], milo_arena_printf(milo_op_arena(op), "%s_0", troublesome[n]));
}

// An output is never an input itself, nor a view of it: an operation that computes comes between.
static void finish(milo_kernel_builder *k, milo_func *f) {
  milo_builder *b = &k->b;
  if (k->kernel->apart) {
    for (size_t i = 0; i < k->out.count; i++) {
      k->outputs[i] = outer_dtype(k) == MILO_FP32 && b->status == MILO_OK &&
                              k->outputs[i]->type.dtype != MILO_FP32
                          ? milo_b_cast(b, k->outputs[i], MILO_FP32)
                          : k->outputs[i];
      if (b->status != MILO_OK) return;
      rename_value(k->outputs[i], part_name(&f->program->arena, i, k->out.parts[i]));
      milo_func_add_output(f, k->outputs[i]);
    }
    return;
  }
  milo_value *whole =
      k->out.count == 1 ? k->outputs[0] : milo_b_concat(b, k->outputs, k->out.count, 1);
  if (b->status != MILO_OK) return;
  rename_value(whole, "output");
  milo_func_add_output(f, whole);
}

milo_status milo_plan_kernel_build(milo_program *program, milo_kernel_id id,
                                   const milo_plan_shape *shape, const milo_model *model,
                                   size_t layer, milo_diag *diag, milo_func **out_func) {
  static milo_kernel_emit *const emit[MILO_KERNEL_COUNT] = {
#define KERNEL(name, ...) [MILO_KERNEL_##name] = milo_kernel_emit_##name,
#include "plan/kernels.def"
  };
  *out_func = NULL;
  milo_func *f = milo_program_add_func(program, "main", "ios18");
  milo_kernel_builder k = {.b = milo_builder_at_end(f, diag),
                           .kernel = milo_plan_kernel_get(id),
                           .shape = shape,
                           .model = model,
                           .layer = layer};
  k.in = milo_plan_layout(shape, k.kernel, false);
  k.out = milo_plan_layout(shape, k.kernel, true);
  add_build_info(program);
  add_inputs(&k, f);
  emit[id](&k);
  rename_values(f);
  finish(&k, f);
  MILO_TRY(k.b.status);
  program->final_newline = true;
  *out_func = f;
  return MILO_OK;
}

uint64_t milo_plan_flops(const milo_func *func) {
  uint64_t flops = 0;
  for (const milo_op *op = func->body->first; op; op = op->next) {
    const milo_value *out = op->result_count ? op->results[0] : NULL;
    if (op->code == MILO_OP_conv) {
      const int64_t *w = milo_op_in(op, "weight")->type.dims;
      flops += 2 * milo_type_elements(&out->type) * (uint64_t)(w[1] * w[2] * w[3]);
    } else if (op->code == MILO_OP_matmul) {
      const milo_type *x = &milo_op_in(op, "x")->type;
      const bool transposed = milo_op_bool(op, "transpose_x");
      flops += 2 * milo_type_elements(&out->type) *
               (uint64_t)x->dims[transposed ? x->rank - 2 : x->rank - 1];
    }
  }
  return flops;
}
