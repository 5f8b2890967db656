// SPDX-License-Identifier: MIT
// Kernels that are parts of others, for building more.
#include "plan/build.h"

void milo_kernel_emit_matmul(milo_kernel_builder *k) {
  milo_value *w = milo_b_cast(&k->b, milo_kernel_matrix(k, "w"), k->shape->dtype);
  milo_value *x = milo_b_cast(&k->b, milo_kernel_matrix(k, "x"), k->shape->dtype);
  milo_kernel_out(k, "y", milo_kernel_product(k, w, x, true));
}

void milo_kernel_emit_conv_linear(milo_kernel_builder *k) {
  milo_kernel_out(k, "y", milo_kernel_linear(k, milo_kernel_in(k, "x"), MILO_TENSOR_wq, false));
}

void milo_kernel_emit_fused_qkv(milo_kernel_builder *k) {
  milo_value *x = milo_kernel_in(k, "x");
  milo_kernel_out(k, "q", milo_kernel_linear(k, x, MILO_TENSOR_wq, false));
  milo_kernel_out(k, "k", milo_kernel_linear(k, x, MILO_TENSOR_wk, false));
  milo_kernel_out(k, "v", milo_kernel_linear(k, x, MILO_TENSOR_wv, false));
}

void milo_kernel_emit_fused_ffn_up(milo_kernel_builder *k) {
  milo_value *x = milo_kernel_in(k, "x");
  milo_kernel_out(k, "h1", milo_kernel_linear(k, x, MILO_TENSOR_w1, false));
  milo_kernel_out(k, "h3", milo_kernel_linear(k, x, MILO_TENSOR_w3, false));
}

void milo_kernel_emit_fused_ffn_up_bwd(milo_kernel_builder *k) {
  milo_value *d1 = milo_kernel_linear(k, milo_kernel_in(k, "dh1"), MILO_TENSOR_w1, true);
  milo_value *d3 = milo_kernel_linear(k, milo_kernel_in(k, "dh3"), MILO_TENSOR_w3, true);
  milo_kernel_out(k, "dx", milo_b_add(&k->b, d1, d3));
}
