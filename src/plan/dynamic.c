// SPDX-License-Identifier: MIT
// Kernels of the plan dynamic: weights are columns of the input, so that a program is compiled once
// and serves all layers and steps.
#include "plan/build.h"

// y = W x where the input holds W transposed, [in, out].
static milo_value *project(milo_kernel_builder *k, const char *weight, const char *x) {
  return milo_kernel_product(k, milo_kernel_matrix(k, weight), milo_kernel_matrix(k, x), false);
}

void milo_kernel_emit_sdpa_fwd(milo_kernel_builder *k) {
  const milo_model_config *c = k->shape->config;
  milo_value *q_raw = project(k, "wq", "xnorm");
  milo_value *k_raw = project(k, "wk", "xnorm");
  milo_value *v = project(k, "wv", "xnorm");
  milo_value *q = milo_kernel_head_norm(k, q_raw, c->heads, milo_kernel_in(k, "q_norm"));
  milo_value *key = milo_kernel_head_norm(k, k_raw, c->kv_heads, milo_kernel_in(k, "k_norm"));
  q = milo_kernel_rope(k, q, c->heads);
  key = milo_kernel_rope(k, key, c->kv_heads);
  milo_value *p = milo_kernel_probabilities(k, q, key, c->kv_heads);
  milo_kernel_out(k, "attn_out", milo_kernel_attend(k, p, v, c->kv_heads));
  milo_kernel_out(k, "q", q);
  milo_kernel_out(k, "k", key);
  milo_kernel_out(k, "v", v);
  milo_kernel_out(k, "xnorm", milo_kernel_in(k, "xnorm"));
  milo_kernel_out(k, "q_raw", q_raw);
  milo_kernel_out(k, "k_raw", k_raw);
}

void milo_kernel_emit_wo_fwd(milo_kernel_builder *k) {
  milo_kernel_out(k, "o_out", project(k, "wo", "attn_out"));
}

void milo_kernel_emit_ffn_fused(milo_kernel_builder *k) {
  milo_builder *b = &k->b;
  milo_value *h1 = project(k, "w1", "x2norm"), *h3 = project(k, "w3", "x2norm");
  milo_value *gate = milo_kernel_silu_gate(k, h1, h3);
  if (b->status != MILO_OK) return;
  milo_value *rows = milo_kernel_reshape(k, gate, 1, 1, gate->type.dims[1], gate->type.dims[3]);
  milo_value *ffn = milo_kernel_product(k, milo_kernel_matrix(k, "w2"), rows, true);
  const double residual = milo_plan_residual(k->shape->config);
  if (residual != 1) ffn = milo_b_scale(b, ffn, residual);
  milo_kernel_out(k, "x_next", milo_b_add(b, milo_kernel_in(k, "x2"), ffn));
  milo_kernel_out(k, "h1", h1);
  milo_kernel_out(k, "h3", h3);
  milo_kernel_out(k, "gate", gate);
}

void milo_kernel_emit_ffn_bwd_w2t(milo_kernel_builder *k) {
  milo_kernel_out(k, "dgate", project(k, "w2", "dffn"));
}

void milo_kernel_emit_ffn_bwd_w13t(milo_kernel_builder *k) {
  milo_kernel_out(k, "dx_ffn", milo_b_add(&k->b, project(k, "w1", "dh1"), project(k, "w3", "dh3")));
}

void milo_kernel_emit_wot_bwd(milo_kernel_builder *k) {
  milo_kernel_out(k, "da", project(k, "wo", "dx2"));
}

void milo_kernel_emit_tiled_bwd1(milo_kernel_builder *k) {
  milo_kernel_attention_bwd1(k, milo_kernel_in(k, "da"), k->shape->config->heads);
}

void milo_kernel_emit_tiled_bwd2(milo_kernel_builder *k) {
  milo_kernel_attention_bwd2(k, k->shape->config->heads);
}

void milo_kernel_emit_q_bwd(milo_kernel_builder *k) {
  milo_kernel_out(k, "dx_q", project(k, "wq", "dq"));
}

void milo_kernel_emit_kv_bwd(milo_kernel_builder *k) {
  milo_kernel_out(k, "dx_kv", milo_b_add(&k->b, project(k, "wk", "dk"), project(k, "wv", "dv")));
}
