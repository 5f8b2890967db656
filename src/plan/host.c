// SPDX-License-Identifier: MIT
#include "plan/host.h"

#include <math.h>

#include "ir/builder.h"
#include "ir/op.h"

// A program under construction.
typedef struct host {
  milo_builder b;
  milo_func *f;
  const milo_plan_shape *shape;
  milo_alias aliases[2];
  size_t alias_count;
} host;

static milo_value *param(host *h, const char *name, int64_t a, int64_t b) {
  return milo_func_add_param(h->f, name,
                             milo_type_tensor(MILO_FP32, b ? 2 : 1, (const int64_t[]){a, b}));
}

static void give(host *h, milo_value *value) {
  if (h->b.status == MILO_OK) milo_func_add_output(h->f, value);
}

// The output is what input `input` becomes.
static void give_sum(host *h, milo_value *value, size_t input) {
  h->aliases[h->alias_count++] = (milo_alias){input, h->f->body->output_count};
  give(h, value);
}

static milo_value *turn(host *h, milo_value *x) {
  return milo_b_transpose(&h->b, x, (const int[]){1, 0});
}

static int64_t dim(const host *h, milo_extent extent) { return milo_plan_extent(h->shape, extent); }

static milo_value *activation(host *h, const char *name, milo_extent extent) {
  return param(h, name, dim(h, extent), h->shape->seq);
}

static milo_value *epsilon(host *h) {
  return milo_b_number(&h->b, MILO_FP32, h->shape->config->norm_epsilon);
}

static milo_value *tokens(host *h) {
  return milo_func_add_param(h->f, "tokens", milo_type_tensor(MILO_INT32, 1, &h->shape->seq));
}

static void embed(host *h) {
  milo_builder *b = &h->b;
  milo_value *ids = tokens(h);
  milo_value *table = param(h, "embedding", h->shape->config->vocab, h->shape->config->dim);
  give(h, turn(h, EMIT(b, gather, {"x", table}, {"indices", ids}, {"axis", milo_b_int(b, 0)})));
}

static void embed_grad(host *h) {
  milo_builder *b = &h->b;
  milo_value *sum = param(h, "sum", h->shape->config->vocab, h->shape->config->dim);
  milo_value *ids = tokens(h), *dx = turn(h, activation(h, "dx", MILO_EXTENT_D));
  give_sum(h,
           EMIT(b, scatter, {"data", sum}, {"indices", ids}, {"updates", dx},
                {"axis", milo_b_int(b, 0)}, {"mode", milo_b_string(b, "add")}),
           0);
}

static void norm(host *h) {
  milo_builder *b = &h->b;
  milo_value *x = turn(h, activation(h, "x", MILO_EXTENT_D));
  milo_value *weight = param(h, "weight", h->shape->config->dim, 0);
  give(h, turn(h, EMIT(b, rms_norm, {"x", x}, {"weight", weight}, {"epsilon", epsilon(h)})));
}

// grad, x [..., n], weight [n] -> dx, dweight
static void rms_norm_grad(host *h, milo_value *grad, milo_value *x, milo_value *weight,
                          milo_value **out) {
  const milo_named args[] = {
      {"grad", grad}, {"x", x}, {"weight", weight}, {"epsilon", epsilon(h)}, {NULL, NULL}};
  milo_emit_multi(&h->b, MILO_OP_rms_norm_grad, args, out, 2);
}

static void norm_grad(host *h) {
  milo_value *dy = turn(h, activation(h, "dy", MILO_EXTENT_D));
  milo_value *x = turn(h, activation(h, "x", MILO_EXTENT_D));
  milo_value *weight = param(h, "weight", h->shape->config->dim, 0);
  milo_value *residual = activation(h, "residual", MILO_EXTENT_D);
  milo_value *sum = param(h, "sum", h->shape->config->dim, 0), *out[2];
  rms_norm_grad(h, dy, x, weight, out);
  give(h, milo_b_add(&h->b, residual, turn(h, out[0])));
  give_sum(h, milo_b_add(&h->b, sum, out[1]), 4);
}

static milo_value *scaled(host *h, milo_value *x) {
  const double factor = milo_plan_residual(h->shape->config);
  return factor == 1 ? x : milo_b_scale(&h->b, x, factor);
}

static void add(host *h) {
  milo_value *x = activation(h, "x", MILO_EXTENT_D);
  give(h, milo_b_add(&h->b, x, scaled(h, activation(h, "branch", MILO_EXTENT_D))));
}

static void sum(host *h) {
  milo_value *x = activation(h, "x", MILO_EXTENT_D);
  give(h, milo_b_add(&h->b, x, activation(h, "y", MILO_EXTENT_D)));
}

static void scale(host *h) {
  milo_value *x = activation(h, "x", MILO_EXTENT_D);
  give(h, milo_b_scale(&h->b, x, milo_plan_residual(h->shape->config)));
}

static void gate_grad(host *h) {
  milo_value *out[2];
  const milo_named args[] = {{"grad", activation(h, "dgate", MILO_EXTENT_H)},
                             {"x", activation(h, "h1", MILO_EXTENT_H)},
                             {"y", activation(h, "h3", MILO_EXTENT_H)},
                             {NULL, NULL}};
  milo_emit_multi(&h->b, MILO_OP_silu_gate_grad, args, out, 2);
  give(h, out[0]);
  give(h, out[1]);
}

static void rows(host *h) { give(h, turn(h, activation(h, "x", MILO_EXTENT_D))); }

static void columns(host *h) {
  give(h, turn(h, param(h, "x", h->shape->seq, h->shape->config->dim)));
}

// ---- heads ----

static milo_value *angles(host *h, bool sine) {
  const int64_t half = h->shape->config->head_dim / 2, seq = h->shape->seq;
  const milo_type type = milo_type_tensor(MILO_FP32, 2, (const int64_t[]){seq, half});
  float *table = milo_arena_alloc(&h->f->program->arena, milo_type_bytes(&type));
  for (int64_t s = 0; s < seq; s++)
    for (int64_t i = 0; i < half; i++) {
      const double angle = milo_model_angle(h->shape->config, s, i);
      table[s * half + i] = (float)(sine ? sin(angle) : cos(angle));
    }
  return milo_b_adopt(&h->b, type, table);
}

// [heads * HD, S] -> [heads, S, HD], and back.
static milo_value *split(host *h, milo_value *x, int64_t heads) {
  const int64_t dims[] = {heads, h->shape->config->head_dim, h->shape->seq};
  return milo_b_transpose(&h->b, milo_b_reshape(&h->b, x, dims, 3), (const int[]){0, 2, 1});
}

static milo_value *join(host *h, milo_value *x, int64_t heads) {
  const int64_t dims[] = {heads * h->shape->config->head_dim, h->shape->seq};
  return milo_b_reshape(&h->b, milo_b_transpose(&h->b, x, (const int[]){0, 2, 1}), dims, 2);
}

// Gradients of repeated kv heads, summed to those of the kv heads.
static milo_value *untile(host *h, milo_value *x) {
  const milo_model_config *c = h->shape->config;
  const int64_t dims[] = {c->kv_heads, c->heads / c->kv_heads, c->head_dim * h->shape->seq};
  const int64_t axis = 1, back[] = {c->kv_heads * c->head_dim, h->shape->seq};
  x = milo_b_reduce(&h->b, MILO_OP_reduce_sum, milo_b_reshape(&h->b, x, dims, 3), &axis, 1, false);
  return milo_b_reshape(&h->b, x, back, 2);
}

static void heads_grad(host *h, bool keys, bool tiled) {
  const milo_model_config *c = h->shape->config;
  milo_builder *b = &h->b;
  const int64_t heads = keys ? c->kv_heads : c->heads;
  const milo_extent own = keys ? MILO_EXTENT_KV : MILO_EXTENT_Q;
  milo_value *dy = activation(h, "dy", keys && tiled ? MILO_EXTENT_Q : own);
  if (keys && tiled) dy = untile(h, dy);
  milo_value *dx =
      EMIT(b, rope, {"x", split(h, dy, heads)}, {"cos", angles(h, false)}, {"sin", angles(h, true)},
           {"pairing", milo_b_string(b, c->rope_half ? "half" : "adjacent")},
           {"inverse", milo_b_bool(b, true)});
  milo_value *added = NULL;
  if (c->qk_norm) {
    milo_value *raw = split(h, activation(h, "raw", own), heads);
    milo_value *weight = param(h, "weight", c->head_dim, 0);
    milo_value *before = param(h, "sum", c->head_dim, 0), *out[2];
    rms_norm_grad(h, dx, raw, weight, out);
    dx = out[0];
    added = milo_b_add(b, before, out[1]);
  }
  give(h, join(h, dx, heads));
  if (added) give_sum(h, added, 3);
}

static void emit(host *h, milo_host_op op, bool tiled) {
  switch (op) {
    case MILO_HOST_Q_GRAD:
      heads_grad(h, false, tiled);
      return;
    case MILO_HOST_K_GRAD:
      heads_grad(h, true, tiled);
      return;
    case MILO_HOST_V_GRAD:
      give(h, untile(h, activation(h, "dv", MILO_EXTENT_Q)));
      return;
    default:
      break;
  }
  static void (*const plain[MILO_HOST_COUNT])(host *) = {
      [MILO_HOST_EMBED] = embed, [MILO_HOST_EMBED_GRAD] = embed_grad,
      [MILO_HOST_NORM] = norm,   [MILO_HOST_NORM_GRAD] = norm_grad,
      [MILO_HOST_ADD] = add,     [MILO_HOST_SUM] = sum,
      [MILO_HOST_SCALE] = scale, [MILO_HOST_GATE_GRAD] = gate_grad,
      [MILO_HOST_ROWS] = rows,   [MILO_HOST_COLUMNS] = columns};
  plain[op](h);
}

static milo_status compile(milo_device *device, host *h, milo_diag *diag, milo_run **out_run) {
  const milo_executable_options options = {.aliases = h->aliases, .alias_count = h->alias_count};
  return milo_run_build(device, h->f->program, h->b.status, h->f, &options, diag, out_run);
}

static host begin(const milo_plan_shape *shape, const char *name, milo_diag *diag) {
  host h = {.shape = shape, .f = milo_program_add_func(milo_program_create(), name, "ios18")};
  h.b = milo_builder_at_end(h.f, diag);
  return h;
}

milo_status milo_host_compile(milo_device *device, const milo_plan_shape *shape, milo_host_op op,
                              bool tiled, milo_diag *diag, milo_run **out_run) {
  host h = begin(shape, "host", diag);
  emit(&h, op, tiled);
  return compile(device, &h, diag, out_run);
}

milo_status milo_host_compile_weight_grad(milo_device *device, int64_t out, int64_t in, int64_t seq,
                                          milo_diag *diag, milo_run **out_run) {
  host h = begin(NULL, "weight_grad", diag);
  milo_value *before = param(&h, "sum", out, in);
  milo_value *dy = param(&h, "dy", out, seq), *x = param(&h, "x", in, seq);
  give_sum(&h, milo_b_add(&h.b, before, milo_b_matmul(&h.b, dy, x, false, true)), 0);
  return compile(device, &h, diag, out_run);
}
