// SPDX-License-Identifier: MIT
// The step plan `static`: weights are baked into the programs, five a layer, which are compiled
// anew when the weights have changed. A process may compile so many only (compile_budget).
#include "train/plan_packed.h"

#define K(name) MILO_KERNEL_##name
#define OPERAND(name) MILO_OPERAND_##name

static const milo_kernel_id forward_kernels[] = {K(fwd_attn), K(fwd_ffn)};
static const milo_kernel_id backward_kernels[] = {K(ffn_bwd), K(sdpa_bwd1), K(qkv_bwd)};
enum { FORWARD = 2, BACKWARD = 3, ONCE = 1 };

// Programs that a process needs at least: those of one step, and forward with the weights after it,
// without which they cannot be saved.
static size_t least_budget(const milo_packed_plan *p) {
  return ONCE + (FORWARD + BACKWARD + FORWARD) * p->layers;
}

static milo_status check(const milo_packed_plan *p, milo_diag *diag) {
  if (p->compile_budget == 0 || p->compile_budget >= least_budget(p)) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                   "a compile budget of %zu is less than one step needs: %zu programs for %zu "
                   "layers\nthe plan dynamic compiles ten in all",
                   p->compile_budget, least_budget(p), p->layers);
}

static milo_status compile_all(milo_packed_plan *p, const milo_kernel_id *ids, size_t count,
                               milo_diag *diag) {
  for (size_t i = 0; i < count; i++)
    for (size_t layer = 0; layer < p->layers; layer++)
      MILO_TRY(milo_packed_compile(p, ids[i], layer, diag));
  return MILO_OK;
}

// After a failure a later call compiles all anew.
static milo_status refresh(milo_packed_plan *p, bool backward, milo_diag *diag) {
  const uint64_t version = milo_packed_version(p);
  if (p->seen_forward != version) {
    p->seen_forward = 0;
    MILO_TRY(compile_all(p, forward_kernels, FORWARD, diag));
    p->seen_forward = version;
  }
  if (backward && p->seen_backward != version) {
    p->seen_backward = 0;
    MILO_TRY(compile_all(p, backward_kernels, BACKWARD, diag));
    p->seen_backward = version;
  }
  return MILO_OK;
}

// Does the budget not hold another step, and forward after it?
static bool is_spent(const milo_plan *plan) {
  const milo_packed_plan *p = (const milo_packed_plan *)plan;
  if (p->compile_budget == 0) return false;
  const size_t known = p->seen_forward == milo_packed_version(p) ? FORWARD : 0;
  const size_t needed = (FORWARD - known + BACKWARD + FORWARD) * p->layers;
  return p->base.compiles + needed > p->compile_budget;
}

static milo_status forward(milo_packed_plan *p, size_t layer, milo_diag *diag) {
  milo_buffer *branch = p->wide[0];
  MILO_TRY(milo_packed_put(p, K(fwd_attn), layer, "x", p->x[layer], diag));
  MILO_TRY(milo_packed_execute(p, K(fwd_attn), layer, diag));
  MILO_TRY(milo_packed_take(p, K(fwd_attn), layer, "o_out", branch, diag));
  MILO_TRY(milo_packed_host(p, MILO_HOST_ADD, MILO_BUFFERS(p->x[layer], branch),
                            MILO_BUFFERS(p->x2[layer]), diag));
  MILO_TRY(milo_packed_put(p, K(fwd_ffn), layer, "x2", p->x2[layer], diag));
  MILO_TRY(milo_packed_execute(p, K(fwd_ffn), layer, diag));
  MILO_TRY(milo_packed_take(p, K(fwd_ffn), layer, "ffn_out", branch, diag));
  return milo_packed_host(p, MILO_HOST_ADD, MILO_BUFFERS(p->x2[layer], branch),
                          MILO_BUFFERS(p->x[layer + 1]), diag);
}

// dx of x[layer + 1] -> dx of x2[layer], in p->wide[0].
static milo_status backward_ffn(milo_packed_plan *p, size_t layer, milo_buffer **set,
                                milo_diag *diag) {
  milo_buffer *dnorm = p->wide[1], *sum = milo_packed_gradient(p, MILO_TENSOR_ffn_norm, layer);
  MILO_TRY(milo_packed_host(p, MILO_HOST_SCALE, MILO_BUFFERS(p->dx),
                            MILO_BUFFERS(set[OPERAND(dffn)]), diag));
  MILO_TRY(milo_packed_put(p, K(ffn_bwd), layer, "dffn", set[OPERAND(dffn)], diag));
  MILO_TRY(milo_packed_pass(p, K(fwd_ffn), "h1", K(ffn_bwd), "h1", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(fwd_ffn), "h3", K(ffn_bwd), "h3", layer, false, diag));
  MILO_TRY(milo_packed_execute(p, K(ffn_bwd), layer, diag));
  MILO_TRY(milo_packed_take(p, K(fwd_ffn), layer, "gate", set[OPERAND(gate)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_w2, layer, OPERAND(dffn), OPERAND(gate));
  MILO_TRY(milo_packed_take(p, K(fwd_ffn), layer, "x2norm", set[OPERAND(x2norm)], diag));
  MILO_TRY(milo_packed_take(p, K(ffn_bwd), layer, "dh1", set[OPERAND(dh1)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_w1, layer, OPERAND(dh1), OPERAND(x2norm));
  MILO_TRY(milo_packed_take(p, K(ffn_bwd), layer, "dh3", set[OPERAND(dh3)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_w3, layer, OPERAND(dh3), OPERAND(x2norm));
  MILO_TRY(milo_packed_take(p, K(ffn_bwd), layer, "dx", dnorm, diag));
  milo_buffer *weight = milo_packed_weight(p, MILO_TENSOR_ffn_norm, layer);
  return milo_packed_host(p, MILO_HOST_NORM_GRAD,
                          MILO_BUFFERS(dnorm, p->x2[layer], weight, p->dx, sum),
                          MILO_BUFFERS(p->wide[0], sum), diag);
}

// dx of x2[layer], in p->wide[0] -> dx of x[layer].
static milo_status backward_attention(milo_packed_plan *p, size_t layer, milo_buffer **set,
                                      milo_diag *diag) {
  milo_buffer *dx2 = p->wide[0], *scratch = p->wide[1];
  milo_buffer *sum = milo_packed_gradient(p, MILO_TENSOR_att_norm, layer);
  MILO_TRY(milo_packed_host(p, MILO_HOST_SCALE, MILO_BUFFERS(dx2),
                            MILO_BUFFERS(set[OPERAND(dattn)]), diag));
  static const char *const shared[] = {"q", "k", "v"};
  for (int i = 0; i < 3; i++)
    MILO_TRY(
        milo_packed_pass(p, K(fwd_attn), shared[i], K(sdpa_bwd1), shared[i], layer, false, diag));
  MILO_TRY(milo_packed_put(p, K(sdpa_bwd1), layer, "dx2", set[OPERAND(dattn)], diag));
  MILO_TRY(milo_packed_execute(p, K(sdpa_bwd1), layer, diag));
  MILO_TRY(milo_packed_take(p, K(fwd_attn), layer, "attn_out", set[OPERAND(attn_out)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wo, layer, OPERAND(dattn), OPERAND(attn_out));
  for (int i = 0; i < 2; i++)
    MILO_TRY(
        milo_packed_pass(p, K(fwd_attn), shared[i], K(sdpa_bwd2), shared[i], layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_bwd1), "probs", K(sdpa_bwd2), "probs", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_bwd1), "dp", K(sdpa_bwd2), "dp", layer, false, diag));
  MILO_TRY(milo_packed_execute(p, K(sdpa_bwd2), layer, diag));
  MILO_TRY(milo_packed_take(p, K(fwd_attn), layer, "xnorm", set[OPERAND(xnorm)], diag));
  MILO_TRY(milo_packed_take(p, K(sdpa_bwd1), layer, "dv", set[OPERAND(dv)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wv, layer, OPERAND(dv), OPERAND(xnorm));
  MILO_TRY(milo_packed_take(p, K(sdpa_bwd2), layer, "dq", scratch, diag));
  MILO_TRY(milo_packed_heads_grad(p, layer, K(fwd_attn), false, scratch, set[OPERAND(dq)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wq, layer, OPERAND(dq), OPERAND(xnorm));
  MILO_TRY(milo_packed_take(p, K(sdpa_bwd2), layer, "dk", scratch, diag));
  MILO_TRY(milo_packed_heads_grad(p, layer, K(fwd_attn), true, scratch, set[OPERAND(dk)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wk, layer, OPERAND(dk), OPERAND(xnorm));
  MILO_TRY(milo_packed_put(p, K(qkv_bwd), layer, "dq", set[OPERAND(dq)], diag));
  MILO_TRY(milo_packed_put(p, K(qkv_bwd), layer, "dk", set[OPERAND(dk)], diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_bwd1), "dv", K(qkv_bwd), "dv", layer, false, diag));
  MILO_TRY(milo_packed_execute(p, K(qkv_bwd), layer, diag));
  MILO_TRY(milo_packed_take(p, K(qkv_bwd), layer, "dx", scratch, diag));
  milo_buffer *weight = milo_packed_weight(p, MILO_TENSOR_att_norm, layer);
  return milo_packed_host(p, MILO_HOST_NORM_GRAD,
                          MILO_BUFFERS(scratch, p->x[layer], weight, dx2, sum),
                          MILO_BUFFERS(p->dx, sum), diag);
}

static milo_status backward(milo_packed_plan *p, size_t layer, milo_diag *diag) {
  milo_buffer **set = NULL;
  MILO_TRY(milo_packed_operands(p, layer, diag, &set));
  MILO_TRY(backward_ffn(p, layer, set, diag));
  return backward_attention(p, layer, set, diag);
}

static const milo_packed_plan_type type = {.kernels = MILO_KERNEL_STATIC,
                                           .check = check,
                                           .refresh = refresh,
                                           .forward = forward,
                                           .backward = backward};

static milo_status create(milo_device *device, const milo_model *model, const milo_plan_options *o,
                          milo_diag *diag, milo_plan **out_plan) {
  return milo_packed_create(device, model, o, &type, diag, out_plan);
}

const milo_plan_type milo_plan_static = {
    .name = "static",
    .summary = "weights baked into five programs a layer, compiled anew every step",
    .create = create,
    .destroy = milo_packed_destroy,
    .load = milo_packed_load,
    .set_scale = milo_packed_set_scale,
    .begin = milo_packed_begin,
    .run = milo_packed_run,
    .evaluate = milo_packed_evaluate,
    .is_spent = is_spent,
};
