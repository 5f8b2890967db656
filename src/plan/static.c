// SPDX-License-Identifier: MIT
// Kernels of the plan static: weights are baked, products with them are 1x1 convolutions.
#include "plan/build.h"

void milo_kernel_emit_fwd_attn(milo_kernel_builder *k) {
  const milo_model_config *c = k->shape->config;
  milo_value *norm = milo_kernel_vector(k, MILO_TENSOR_att_norm);
  milo_value *xnorm = milo_kernel_rms_norm(k, milo_kernel_in(k, "x"), 1, norm);
  milo_value *q_raw = milo_kernel_linear(k, xnorm, MILO_TENSOR_wq, false);
  milo_value *k_raw = milo_kernel_linear(k, xnorm, MILO_TENSOR_wk, false);
  milo_value *v = milo_kernel_linear(k, xnorm, MILO_TENSOR_wv, false);
  milo_value *q =
      milo_kernel_head_norm(k, q_raw, c->heads, milo_kernel_vector(k, MILO_TENSOR_q_norm));
  milo_value *key =
      milo_kernel_head_norm(k, k_raw, c->kv_heads, milo_kernel_vector(k, MILO_TENSOR_k_norm));
  q = milo_kernel_rope(k, q, c->heads);
  key = milo_kernel_rope(k, key, c->kv_heads);
  milo_value *p = milo_kernel_probabilities(k, q, key, c->kv_heads);
  milo_value *attended = milo_kernel_attend(k, p, v, c->kv_heads);
  milo_kernel_out(k, "o_out", milo_kernel_linear(k, attended, MILO_TENSOR_wo, false));
  milo_kernel_out(k, "q", q);
  milo_kernel_out(k, "k", key);
  milo_kernel_out(k, "v", v);
  milo_kernel_out(k, "attn_out", attended);
  milo_kernel_out(k, "xnorm", xnorm);
  milo_kernel_out(k, "q_raw", q_raw);
  milo_kernel_out(k, "k_raw", k_raw);
}

void milo_kernel_emit_fwd_ffn(milo_kernel_builder *k) {
  milo_value *norm = milo_kernel_vector(k, MILO_TENSOR_ffn_norm);
  milo_value *x2norm = milo_kernel_rms_norm(k, milo_kernel_in(k, "x2"), 1, norm);
  milo_value *h1 = milo_kernel_linear(k, x2norm, MILO_TENSOR_w1, false);
  milo_value *h3 = milo_kernel_linear(k, x2norm, MILO_TENSOR_w3, false);
  milo_value *gate = milo_kernel_silu_gate(k, h1, h3);
  milo_kernel_out(k, "ffn_out", milo_kernel_linear(k, gate, MILO_TENSOR_w2, false));
  milo_kernel_out(k, "h1", h1);
  milo_kernel_out(k, "h3", h3);
  milo_kernel_out(k, "gate", gate);
  milo_kernel_out(k, "x2norm", x2norm);
}

// With s = sigmoid(h1): d silu(h1) = s (1 + h1 (1 - s)).
void milo_kernel_emit_ffn_bwd(milo_kernel_builder *k) {
  milo_builder *b = &k->b;
  milo_value *h1 = milo_kernel_in(k, "h1"), *h3 = milo_kernel_in(k, "h3");
  milo_value *dgate = milo_kernel_linear(k, milo_kernel_in(k, "dffn"), MILO_TENSOR_w2, true);
  milo_value *s = milo_b_unary(b, MILO_OP_sigmoid, h1);
  milo_value *silu = milo_b_mul(b, h1, s);
  // 1 + h1 (1 - s) = 1 + h1 - silu
  milo_value *slope = milo_b_mul(b, s, milo_b_add_number(b, milo_b_sub(b, h1, silu), 1));
  milo_value *dh1 = milo_b_mul(b, milo_b_mul(b, dgate, h3), slope);
  milo_value *dh3 = milo_b_mul(b, dgate, silu);
  milo_kernel_out(k, "dx",
                  milo_b_add(b, milo_kernel_linear(k, dh1, MILO_TENSOR_w1, true),
                             milo_kernel_linear(k, dh3, MILO_TENSOR_w3, true)));
  milo_kernel_out(k, "dh1", dh1);
  milo_kernel_out(k, "dh3", dh3);
}

void milo_kernel_emit_sdpa_bwd1(milo_kernel_builder *k) {
  milo_value *da = milo_kernel_linear(k, milo_kernel_in(k, "dx2"), MILO_TENSOR_wo, true);
  milo_kernel_attention_bwd1(k, da, k->shape->config->kv_heads);
}

void milo_kernel_emit_sdpa_bwd2(milo_kernel_builder *k) {
  milo_kernel_attention_bwd2(k, k->shape->config->kv_heads);
}

void milo_kernel_emit_qkv_bwd(milo_kernel_builder *k) {
  milo_builder *b = &k->b;
  milo_value *dx = milo_kernel_linear(k, milo_kernel_in(k, "dq"), MILO_TENSOR_wq, true);
  dx = milo_b_add(b, dx, milo_kernel_linear(k, milo_kernel_in(k, "dk"), MILO_TENSOR_wk, true));
  dx = milo_b_add(b, dx, milo_kernel_linear(k, milo_kernel_in(k, "dv"), MILO_TENSOR_wv, true));
  milo_kernel_out(k, "dx", dx);
}

// With n = x r, r the factor of the norm: dx = r (w dy - n mean(w dy n)).
void milo_kernel_emit_rmsnorm_bwd(milo_kernel_builder *k) {
  milo_builder *b = &k->b;
  milo_value *x = milo_kernel_in(k, "x");
  milo_value *r = milo_kernel_rms_factor(k, x, 1), *n = milo_b_mul(b, x, r);
  milo_value *g =
      milo_b_mul(b, milo_kernel_in(k, "dy"), milo_kernel_vector(k, MILO_TENSOR_final_norm));
  milo_value *along = milo_b_scale(b, milo_kernel_sum(k, milo_b_mul(b, g, n), 1),
                                   1 / (double)k->shape->config->dim);
  milo_value *dx = milo_b_mul(b, milo_b_sub(b, g, milo_b_mul(b, n, along)), r);
  milo_kernel_out(k, "dx", dx);
}

void milo_kernel_emit_final_rmsnorm(milo_kernel_builder *k) {
  milo_value *norm = milo_kernel_vector(k, MILO_TENSOR_final_norm);
  milo_kernel_out(k, "xnorm", milo_kernel_rms_norm(k, milo_kernel_in(k, "x"), 1, norm));
}

void milo_kernel_emit_classifier_fwd(milo_kernel_builder *k) {
  milo_kernel_out(k, "logits",
                  milo_kernel_linear(k, milo_kernel_in(k, "x"), MILO_TENSOR_classifier, false));
}

// A convolution with so many input channels is refused, a product with more than 16,384 terms too:
// the sum is cut into such products.
void milo_kernel_emit_classifier_bwd(milo_kernel_builder *k) {
  enum { MOST = 16384 };
  milo_builder *b = &k->b;
  const int64_t rows = milo_plan_extent(k->shape, MILO_EXTENT_R), dim = k->shape->config->dim;
  const int64_t seq = k->shape->seq, pieces = (rows + MOST - 1) / MOST;
  const int64_t each = (rows + pieces - 1) / pieces;
  milo_value *dlogits = milo_kernel_in(k, "dlogits"), *dx = NULL;
  for (int64_t first = 0; first < rows; first += each) {
    const int64_t count = first + each < rows ? each : rows - first;
    const milo_type type =
        milo_type_tensor(k->shape->dtype, 4, (const int64_t[]){1, 1, dim, count});
    milo_value *weight =
        milo_kernel_baked(k, MILO_TENSOR_classifier, true, k->shape->first_row + first, &type);
    milo_value *piece = count < rows ? milo_kernel_slice(k, dlogits, 1, first, count) : dlogits;
    piece = milo_kernel_reshape(k, piece, 1, 1, count, seq);
    piece = milo_b_matmul(b, weight, piece, false, false);
    dx = dx ? milo_b_add(b, dx, piece) : piece;
  }
  milo_kernel_out(k, "dx", milo_kernel_reshape(k, dx, 1, dim, 1, seq));
}

void milo_kernel_emit_softmax_vocab(milo_kernel_builder *k) {
  milo_builder *b = &k->b;
  milo_value *logits = milo_kernel_in(k, "logits");
  milo_kernel_out(k, "probs", EMIT(b, softmax, {"x", logits}, {"axis", milo_b_int(b, 1)}));
}
