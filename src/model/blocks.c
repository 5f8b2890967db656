// SPDX-License-Identifier: MIT
#include "model/blocks.h"

#include <assert.h>
#include <math.h>

#include "ir/op.h"

typedef struct layer_weights {
  milo_value *w[MILO_TENSOR_COUNT];
} layer_weights;

static milo_func *start(milo_program *program, const char *name) {
  return milo_program_add_func(program, name, "ios18");
}

static milo_value *param(milo_func *f, const char *name, milo_dtype dtype, int rank,
                         const int64_t *dims) {
  return milo_func_add_param(f, name, milo_type_tensor(dtype, rank, dims));
}

static milo_value *param1(milo_func *f, const char *name, milo_dtype dtype, int64_t a) {
  return param(f, name, dtype, 1, &a);
}

static milo_value *param2(milo_func *f, const char *name, int64_t a, int64_t b) {
  return param(f, name, MILO_FP32, 2, (const int64_t[]){a, b});
}

static milo_status finish(const milo_builder *b, milo_func *f, milo_value *const *outputs,
                          size_t count, milo_func **out_func) {
  *out_func = NULL;
  if (b->status != MILO_OK) return b->status;
  for (size_t i = 0; i < count; i++) milo_func_add_output(f, outputs[i]);
  *out_func = f;
  return MILO_OK;
}

// A weight as its input has it.
typedef struct stored_weight {
  milo_value *data, *scale;  // scale: of int8, else NULL
} stored_weight;

static milo_value *add_scale(milo_func *f, const char *name, const milo_type *type,
                             const milo_stored *stored) {
  const int64_t depth = type->dims[1];
  const char *input = milo_arena_printf(&f->program->arena, "%s_scale", name);
  return param2(f, input, type->dims[0], depth / milo_stored_group(stored, depth));
}

static bool has_scale(const milo_stored *stored, milo_tensor_id id) {
  return stored != NULL && stored[id].dtype == MILO_INT8;
}

// Adds a weight's input, typed as it is stored; where scaled, that of its scales too.
static stored_weight add_weight(milo_func *f, const milo_tensor *t, const milo_stored *stored,
                                milo_tensor_id id, bool scaled) {
  stored_weight w = {0};
  milo_type type = t->type;
  if (type.rank == 2 && stored != NULL) type.dtype = milo_stored_dtype(&stored[id]);
  w.data = milo_func_add_param(f, t->input, type);
  if (scaled && type.dtype == MILO_INT8) w.scale = add_scale(f, t->input, &t->type, &stored[id]);
  return w;
}

// In fp32: what operations compute with.
static milo_value *widen(milo_builder *b, stored_weight w) {
  if (w.scale != NULL) return EMIT(b, scale_blocks, {"data", w.data}, {"scale", w.scale});
  if (b->status != MILO_OK || w.data->type.dtype == MILO_FP32) return w.data;
  return milo_b_cast(b, w.data, MILO_FP32);
}

static milo_status add_weights(milo_func *f, const milo_model_config *config,
                               const milo_stored *stored, layer_weights *out, milo_diag *diag) {
  milo_builder b = milo_builder_at_end(f, diag);
  for (int i = 0; i < MILO_TENSOR_COUNT; i++) {
    milo_tensor t;
    const milo_tensor_id id = (milo_tensor_id)i;
    MILO_TRY(milo_model_tensor(config, id, diag, &t));
    out->w[id] = t.present && t.per_layer ? widen(&b, add_weight(f, &t, stored, id, true)) : NULL;
  }
  return b.status;
}

static milo_value *rms_norm(milo_builder *b, const milo_model_config *c, milo_value *x,
                            milo_value *weight) {
  return EMIT(b, rms_norm, {"x", x}, {"weight", weight},
              {"epsilon", milo_b_number(b, MILO_FP32, c->norm_epsilon)});
}

static milo_value *project(milo_builder *b, milo_value *x, milo_value *weight) {
  return milo_b_matmul(b, x, weight, false, true);
}

// cos (sine: sin) of position * theta^(-2i/HD), [positions, HD/2].
static milo_value *angles(milo_builder *b, const milo_model_config *c, int64_t positions,
                          bool sine) {
  const int64_t half = c->head_dim / 2;
  const milo_type type = milo_type_tensor(MILO_FP32, 2, (const int64_t[]){positions, half});
  float *table = milo_arena_alloc(&b->func->program->arena, milo_type_bytes(&type));
  for (int64_t s = 0; s < positions; s++)
    for (int64_t i = 0; i < half; i++) {
      const double angle = milo_model_angle(c, s, i);
      table[s * half + i] = (float)(sine ? sin(angle) : cos(angle));
    }
  return milo_b_tensor(b, type, table);
}

static milo_value *rope(milo_builder *b, const milo_model_config *c, milo_value *x,
                        milo_value *cosines, milo_value *sines) {
  return EMIT(b, rope, {"x", x}, {"cos", cosines}, {"sin", sines},
              {"pairing", milo_b_string(b, c->rope_half ? "half" : "adjacent")});
}

// [batch * seq, heads * HD] -> [batch, heads, seq, HD], normalised per head if norm is given.
static milo_value *split_heads(milo_builder *b, const milo_model_config *c, milo_value *x,
                               int64_t batch, int64_t heads, milo_value *norm) {
  if (b->status != MILO_OK) return NULL;
  const int64_t seq = x->type.dims[0] / batch;
  x = milo_b_reshape(b, x, (const int64_t[]){batch, seq, heads, c->head_dim}, 4);
  if (norm) x = rms_norm(b, c, x, norm);
  return milo_b_transpose(b, x, (const int[]){0, 2, 1, 3});
}

typedef struct heads {
  milo_value *query, *key, *value;
} heads;

static heads project_heads(milo_builder *b, const milo_model_config *c, const layer_weights *w,
                           milo_value *x, int64_t batch, milo_value *cosines, milo_value *sines) {
  milo_value *n = rms_norm(b, c, x, w->w[MILO_TENSOR_att_norm]);
  // Side by side, so that a device may take them as one.
  milo_value *query = project(b, n, w->w[MILO_TENSOR_wq]);
  milo_value *key = project(b, n, w->w[MILO_TENSOR_wk]);
  milo_value *value = project(b, n, w->w[MILO_TENSOR_wv]);
  heads h = {
      .query = split_heads(b, c, query, batch, c->heads, w->w[MILO_TENSOR_q_norm]),
      .key = split_heads(b, c, key, batch, c->kv_heads, w->w[MILO_TENSOR_k_norm]),
      .value = split_heads(b, c, value, batch, c->kv_heads, NULL),
  };
  h.query = rope(b, c, h.query, cosines, sines);
  h.key = rope(b, c, h.key, cosines, sines);
  return h;
}

// x + residual_scale * branch.
static milo_value *add_branch(milo_builder *b, const milo_model_config *c, milo_value *x,
                              milo_value *branch) {
  if (c->residual_scale != 1) branch = milo_b_scale(b, branch, c->residual_scale);
  return milo_b_add(b, x, branch);
}

// Everything after keys and values are known.
static milo_value *attend_and_feed(milo_builder *b, const milo_model_config *c,
                                   const layer_weights *w, milo_value *x, heads h,
                                   milo_value *position) {
  if (b->status != MILO_OK) return NULL;
  milo_value *out[2];
  const milo_named args[] = {
      {"query", h.query},
      {"key", h.key},
      {"value", h.value},
      {"scale", milo_b_number(b, MILO_FP32, 1 / sqrt((double)c->head_dim))},
      {"causal", milo_b_bool(b, true)},
      {"position", position},
      {NULL, NULL},
  };
  // A position left out is NULL in the middle of the list: milo_emit skips values that are NULL.
  milo_emit_multi(b, MILO_OP_attention, args, out, 2);
  milo_value *merged = milo_b_transpose(b, out[0], (const int[]){0, 2, 1, 3});
  merged = milo_b_reshape(b, merged, (const int64_t[]){x->type.dims[0], c->heads * c->head_dim}, 2);
  x = add_branch(b, c, x, project(b, merged, w->w[MILO_TENSOR_wo]));
  milo_value *m = rms_norm(b, c, x, w->w[MILO_TENSOR_ffn_norm]);
  milo_value *gate = EMIT(b, silu_gate, {"x", project(b, m, w->w[MILO_TENSOR_w1])},
                          {"y", project(b, m, w->w[MILO_TENSOR_w3])});
  return add_branch(b, c, x, project(b, gate, w->w[MILO_TENSOR_w2]));
}

static milo_value *pick_rows(milo_builder *b, milo_value *x, milo_value *indices) {
  return EMIT(b, gather, {"x", x}, {"indices", indices}, {"axis", milo_b_int(b, 0)});
}

milo_status milo_block_embed(milo_program *program, const milo_model_config *config,
                             const milo_stored *stored, int64_t count, milo_diag *diag,
                             milo_func **out_func) {
  milo_tensor t;
  *out_func = NULL;
  MILO_TRY(milo_model_tensor(config, MILO_TENSOR_embedding, diag, &t));
  milo_func *f = start(program, "embed");
  milo_value *tokens = param1(f, "tokens", MILO_INT32, count);
  stored_weight w = add_weight(f, &t, stored, MILO_TENSOR_embedding, true);
  milo_builder b = milo_builder_at_end(f, diag);
  // Rows first: only those that are read are widened.
  w.data = pick_rows(&b, w.data, tokens);
  if (w.scale != NULL) w.scale = pick_rows(&b, w.scale, tokens);
  milo_value *x = b.status == MILO_OK ? widen(&b, w) : NULL;
  return finish(&b, f, &x, 1, out_func);
}

#define PARAMETERS \
  MILO_ROLE_PARAMETER, MILO_ROLE_PARAMETER, MILO_ROLE_PARAMETER, MILO_ROLE_PARAMETER
const milo_role milo_block_layer_roles[1 + MILO_LAYER_BUFFERS] = {
    MILO_ROLE_VALUE, PARAMETERS, PARAMETERS, PARAMETERS,
    PARAMETERS,      PARAMETERS, PARAMETERS, PARAMETERS,
};
static_assert(MILO_LAYER_BUFFERS == 7 * 4, "a role each");
#undef PARAMETERS

milo_status milo_block_layer(milo_program *program, const milo_model_config *config,
                             const milo_stored *stored, int64_t batch, int64_t seq, milo_diag *diag,
                             milo_func **out_func) {
  *out_func = NULL;
  milo_func *f = start(program, "layer");
  layer_weights w;
  milo_value *x = param2(f, "x", batch * seq, config->dim);
  MILO_TRY(add_weights(f, config, stored, &w, diag));
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *cosines = angles(&b, config, seq, false);
  milo_value *sines = angles(&b, config, seq, true);
  const heads h = project_heads(&b, config, &w, x, batch, cosines, sines);
  milo_value *y = attend_and_feed(&b, config, &w, x, h, NULL);
  return finish(&b, f, &y, 1, out_func);
}

static milo_value *append(milo_builder *b, milo_value *cache, milo_value *rows,
                          milo_value *positions) {
  if (b->status == MILO_OK && cache->type.dtype != MILO_FP32)
    rows = milo_b_cast(b, rows, cache->type.dtype);
  return EMIT(b, scatter, {"data", cache}, {"indices", positions}, {"updates", rows},
              {"axis", milo_b_int(b, 2)}, {"mode", milo_b_string(b, "update")});
}

milo_status milo_block_layer_cached(milo_program *program, const milo_model_config *config,
                                    const milo_stored *stored, milo_dtype cache, int64_t count,
                                    int64_t room, milo_diag *diag, milo_func **out_func) {
  *out_func = NULL;
  milo_func *f = start(program, "layer_cached");
  const int64_t cache_dims[] = {1, config->kv_heads, room, config->head_dim};
  milo_value *x = param2(f, "x", count, config->dim);
  milo_value *key_cache = param(f, "key_cache", cache, 4, cache_dims);
  milo_value *value_cache = param(f, "value_cache", cache, 4, cache_dims);
  milo_value *position = param(f, "position", MILO_INT32, 0, NULL);
  milo_value *positions = param1(f, "positions", MILO_INT32, count);
  milo_value *cosines = param2(f, "cos", count, config->head_dim / 2);
  milo_value *sines = param2(f, "sin", count, config->head_dim / 2);
  layer_weights w;
  MILO_TRY(add_weights(f, config, stored, &w, diag));
  milo_builder b = milo_builder_at_end(f, diag);
  heads h = project_heads(&b, config, &w, x, 1, cosines, sines);
  milo_value *const keys = append(&b, key_cache, h.key, positions);
  milo_value *const values = append(&b, value_cache, h.value, positions);
  h.key = widen(&b, (stored_weight){.data = keys});
  h.value = widen(&b, (stored_weight){.data = values});
  milo_value *y = attend_and_feed(&b, config, &w, x, h, position);
  return finish(&b, f, (milo_value *const[]){y, keys, values}, 3, out_func);
}

// Inputs x, final_norm and classifier; the classifier's scales are for the caller to add.
typedef struct logits_inputs {
  milo_value *x, *norm;
  milo_tensor tensor;
  milo_tensor_id id;
  stored_weight classifier;
} logits_inputs;

static milo_status add_logits_inputs(milo_func *f, const milo_model_config *c,
                                     const milo_stored *stored, int64_t count, milo_diag *diag,
                                     logits_inputs *out) {
  out->id = milo_model_classifier(c);
  MILO_TRY(milo_model_tensor(c, out->id, diag, &out->tensor));
  out->tensor.input = "classifier";  // also where it is the embedding
  out->x = param2(f, "x", count, c->dim);
  out->norm = param1(f, "final_norm", MILO_FP32, c->dim);
  out->classifier = add_weight(f, &out->tensor, stored, out->id, false);
  return MILO_OK;
}

static milo_value *logits(milo_builder *b, const milo_model_config *c, const milo_stored *stored,
                          logits_inputs *in) {
  if (has_scale(stored, in->id))
    in->classifier.scale = add_scale(b->func, "classifier", &in->tensor.type, &stored[in->id]);
  return project(b, rms_norm(b, c, in->x, in->norm), widen(b, in->classifier));
}

milo_status milo_block_logits(milo_program *program, const milo_model_config *config,
                              const milo_stored *stored, int64_t count, milo_diag *diag,
                              milo_func **out_func) {
  *out_func = NULL;
  milo_func *f = start(program, "logits");
  logits_inputs in = {0};
  MILO_TRY(add_logits_inputs(f, config, stored, count, diag, &in));
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *out = logits(&b, config, stored, &in);
  return finish(&b, f, &out, 1, out_func);
}

milo_status milo_block_loss(milo_program *program, const milo_model_config *config,
                            const milo_stored *stored, int64_t count, milo_diag *diag,
                            milo_func **out_func) {
  *out_func = NULL;
  milo_func *f = start(program, "loss");
  logits_inputs in = {0};
  MILO_TRY(add_logits_inputs(f, config, stored, count, diag, &in));
  milo_value *target = param1(f, "target", MILO_INT32, count);
  milo_builder b = milo_builder_at_end(f, diag);
  milo_value *scores = logits(&b, config, stored, &in);
  milo_value *out[2];
  milo_emit_multi(&b, MILO_OP_cross_entropy,
                  (const milo_named[]){{"logits", scores}, {"target", target}, {NULL, NULL}}, out,
                  2);
  return finish(&b, f, out, 1, out_func);
}

milo_status milo_block_add_sum(milo_func *func, size_t output, const char *name, milo_diag *diag) {
  milo_value *gradient = func->body->outputs[output];
  milo_arena *arena = &func->program->arena;
  milo_value *sum =
      milo_func_add_param(func, milo_arena_printf(arena, "sum_%s", name), gradient->type);
  milo_builder b = milo_builder_at_end(func, diag);
  func->body->outputs[output] = milo_b_add(&b, sum, gradient);
  return b.status;
}
