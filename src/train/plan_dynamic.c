// SPDX-License-Identifier: MIT
// The step plan `dynamic`: ten programs compiled once for all layers and steps; weights are columns
// of their inputs, staged again after every step.
#include "train/plan_packed.h"

#define K(name) MILO_KERNEL_##name
#define OPERAND(name) MILO_OPERAND_##name

static milo_status check(const milo_packed_plan *p, milo_diag *diag) {
  enum { PROGRAMS = 10 };
  const milo_model_config *c = p->shape.config;
  if (p->compile_budget != 0 && p->compile_budget < PROGRAMS)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "a compile budget of %zu is less than the %d programs of the plan dynamic",
                     p->compile_budget, PROGRAMS);
  if (!c->qk_norm || c->head_dim <= c->dim) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                   "the plan dynamic cannot hold this model: a norm of heads has %lld weights, "
                   "more than the %lld channels (dim) of the kernel that reads it\nthe plans "
                   "static and fused can",
                   (long long)c->head_dim, (long long)c->dim);
}

// Every weight of a kernel's input, for one layer.
static milo_status stage(milo_packed_plan *p, milo_kernel_id id, size_t layer, milo_diag *diag) {
  const milo_packed_kernel *k = &p->kernels[id];
  for (size_t i = 0; i < k->in.count; i++) {
    const milo_part *part = k->in.parts[i];
    if (!part->is_weight) continue;
    const milo_parameter *param = milo_model_param(p->model, part->tensor, layer);
    float *data = milo_buffer_map(param->buffer, MILO_READ);
    if (!data)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "parameter %s cannot be reached",
                       param->name);
    const size_t row = param->type.rank == 2 ? (size_t)param->type.dims[1] : 1;
    const milo_status status =
        milo_surface_write(&k->inputs[layer], k->in.regions[i], data, row, part->transposed, diag);
    const milo_status unmapped = milo_buffer_unmap(param->buffer, data, MILO_READ);
    MILO_TRY(status);
    MILO_TRY(unmapped);
  }
  return MILO_OK;
}

// Evaluation reads other weights than training only where it has to.
static milo_status refresh(milo_packed_plan *p, bool backward, milo_diag *diag) {
  static const milo_kernel_id ids[] = {K(sdpa_fwd),     K(wo_fwd),  K(ffn_fused), K(ffn_bwd_w2t),
                                       K(ffn_bwd_w13t), K(wot_bwd), K(q_bwd),     K(kv_bwd)};
  enum { FORWARD = 3, ALL = sizeof ids / sizeof *ids };
  const uint64_t version = milo_packed_version(p);
  for (size_t i = 0; i < (backward ? ALL : FORWARD); i++) {
    if ((i < FORWARD ? p->seen_forward : p->seen_backward) == version) continue;
    for (size_t layer = 0; layer < p->layers; layer++) MILO_TRY(stage(p, ids[i], layer, diag));
  }
  p->seen_forward = version;
  if (backward) p->seen_backward = version;
  return MILO_OK;
}

static milo_status forward(milo_packed_plan *p, size_t layer, milo_diag *diag) {
  milo_buffer *scratch = p->wide[0];
  milo_buffer *att_norm = milo_packed_weight(p, MILO_TENSOR_att_norm, layer);
  milo_buffer *ffn_norm = milo_packed_weight(p, MILO_TENSOR_ffn_norm, layer);
  MILO_TRY(milo_packed_host(p, MILO_HOST_NORM, MILO_BUFFERS(p->x[layer], att_norm),
                            MILO_BUFFERS(scratch), diag));
  MILO_TRY(milo_packed_put(p, K(sdpa_fwd), layer, "xnorm", scratch, diag));
  MILO_TRY(milo_packed_execute(p, K(sdpa_fwd), layer, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "attn_out", K(wo_fwd), "attn_out", layer, false, diag));
  MILO_TRY(milo_packed_execute(p, K(wo_fwd), layer, diag));
  MILO_TRY(milo_packed_take(p, K(wo_fwd), layer, "o_out", scratch, diag));
  MILO_TRY(milo_packed_host(p, MILO_HOST_ADD, MILO_BUFFERS(p->x[layer], scratch),
                            MILO_BUFFERS(p->x2[layer]), diag));
  MILO_TRY(milo_packed_host(p, MILO_HOST_NORM, MILO_BUFFERS(p->x2[layer], ffn_norm),
                            MILO_BUFFERS(scratch), diag));
  MILO_TRY(milo_packed_put(p, K(ffn_fused), layer, "x2norm", scratch, diag));
  MILO_TRY(milo_packed_put(p, K(ffn_fused), layer, "x2", p->x2[layer], diag));
  MILO_TRY(milo_packed_execute(p, K(ffn_fused), layer, diag));
  return milo_packed_take(p, K(ffn_fused), layer, "x_next", p->x[layer + 1], diag);
}

// dx of x[layer + 1] -> dx of x2[layer], in p->wide[0].
static milo_status backward_ffn(milo_packed_plan *p, size_t layer, milo_buffer **set,
                                milo_diag *diag) {
  milo_buffer *dnorm = p->wide[1], *sum = milo_packed_gradient(p, MILO_TENSOR_ffn_norm, layer);
  milo_buffer *const gate[] = {p->wide[1], p->wide[2], p->wide[3]};
  MILO_TRY(milo_packed_host(p, MILO_HOST_SCALE, MILO_BUFFERS(p->dx),
                            MILO_BUFFERS(set[OPERAND(dffn)]), diag));
  MILO_TRY(milo_packed_put(p, K(ffn_bwd_w2t), layer, "dffn", set[OPERAND(dffn)], diag));
  MILO_TRY(milo_packed_execute(p, K(ffn_bwd_w2t), layer, diag));
  MILO_TRY(milo_packed_take(p, K(ffn_fused), layer, "gate", set[OPERAND(gate)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_w2, layer, OPERAND(dffn), OPERAND(gate));
  MILO_TRY(milo_packed_take(p, K(ffn_bwd_w2t), layer, "dgate", gate[0], diag));
  MILO_TRY(milo_packed_take(p, K(ffn_fused), layer, "h1", gate[1], diag));
  MILO_TRY(milo_packed_take(p, K(ffn_fused), layer, "h3", gate[2], diag));
  MILO_TRY(milo_packed_host(p, MILO_HOST_GATE_GRAD, gate,
                            MILO_BUFFERS(set[OPERAND(dh1)], set[OPERAND(dh3)]), diag));
  MILO_TRY(milo_packed_take_input(p, K(ffn_fused), layer, "x2norm", set[OPERAND(x2norm)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_w1, layer, OPERAND(dh1), OPERAND(x2norm));
  milo_packed_weight_grad(p, MILO_TENSOR_w3, layer, OPERAND(dh3), OPERAND(x2norm));
  MILO_TRY(milo_packed_put(p, K(ffn_bwd_w13t), layer, "dh1", set[OPERAND(dh1)], diag));
  MILO_TRY(milo_packed_put(p, K(ffn_bwd_w13t), layer, "dh3", set[OPERAND(dh3)], diag));
  MILO_TRY(milo_packed_execute(p, K(ffn_bwd_w13t), layer, diag));
  MILO_TRY(milo_packed_take(p, K(ffn_bwd_w13t), layer, "dx_ffn", dnorm, diag));
  milo_buffer *weight = milo_packed_weight(p, MILO_TENSOR_ffn_norm, layer);
  return milo_packed_host(p, MILO_HOST_NORM_GRAD,
                          MILO_BUFFERS(dnorm, p->x2[layer], weight, p->dx, sum),
                          MILO_BUFFERS(p->wide[0], sum), diag);
}

// dx of x2[layer], in p->wide[0] -> dq, dk, dv of the operands.
static milo_status backward_heads(milo_packed_plan *p, size_t layer, milo_buffer **set,
                                  milo_diag *diag) {
  milo_buffer *scratch = p->wide[1];
  MILO_TRY(milo_packed_host(p, MILO_HOST_SCALE, MILO_BUFFERS(p->wide[0]),
                            MILO_BUFFERS(set[OPERAND(dattn)]), diag));
  MILO_TRY(milo_packed_put(p, K(wot_bwd), layer, "dx2", set[OPERAND(dattn)], diag));
  MILO_TRY(milo_packed_execute(p, K(wot_bwd), layer, diag));
  MILO_TRY(milo_packed_take(p, K(sdpa_fwd), layer, "attn_out", set[OPERAND(attn_out)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wo, layer, OPERAND(dattn), OPERAND(attn_out));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "q", K(tiled_bwd1), "q", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "k", K(tiled_bwd1), "k", layer, true, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "v", K(tiled_bwd1), "v", layer, true, diag));
  MILO_TRY(milo_packed_pass(p, K(wot_bwd), "da", K(tiled_bwd1), "da", layer, false, diag));
  MILO_TRY(milo_packed_execute(p, K(tiled_bwd1), layer, diag));
  MILO_TRY(milo_packed_pass(p, K(tiled_bwd1), "probs", K(tiled_bwd2), "probs", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(tiled_bwd1), "dp", K(tiled_bwd2), "dp", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "q", K(tiled_bwd2), "q", layer, false, diag));
  MILO_TRY(milo_packed_pass(p, K(sdpa_fwd), "k", K(tiled_bwd2), "k", layer, true, diag));
  MILO_TRY(milo_packed_execute(p, K(tiled_bwd2), layer, diag));
  MILO_TRY(milo_packed_take(p, K(tiled_bwd1), layer, "dv", scratch, diag));
  MILO_TRY(milo_packed_host(p, MILO_HOST_V_GRAD, MILO_BUFFERS(scratch),
                            MILO_BUFFERS(set[OPERAND(dv)]), diag));
  MILO_TRY(milo_packed_take(p, K(tiled_bwd2), layer, "dq", scratch, diag));
  MILO_TRY(milo_packed_heads_grad(p, layer, K(sdpa_fwd), false, scratch, set[OPERAND(dq)], diag));
  MILO_TRY(milo_packed_take(p, K(tiled_bwd2), layer, "dk", scratch, diag));
  return milo_packed_heads_grad(p, layer, K(sdpa_fwd), true, scratch, set[OPERAND(dk)], diag);
}

// dx of x2[layer], in p->wide[0], and the gradients of the heads -> dx of x[layer].
static milo_status backward_projections(milo_packed_plan *p, size_t layer, milo_buffer **set,
                                        milo_diag *diag) {
  milo_buffer *dx_q = p->wide[1], *dx_kv = p->wide[2], *dnorm = p->wide[3];
  milo_buffer *sum = milo_packed_gradient(p, MILO_TENSOR_att_norm, layer);
  MILO_TRY(milo_packed_take(p, K(sdpa_fwd), layer, "xnorm", set[OPERAND(xnorm)], diag));
  milo_packed_weight_grad(p, MILO_TENSOR_wq, layer, OPERAND(dq), OPERAND(xnorm));
  milo_packed_weight_grad(p, MILO_TENSOR_wk, layer, OPERAND(dk), OPERAND(xnorm));
  milo_packed_weight_grad(p, MILO_TENSOR_wv, layer, OPERAND(dv), OPERAND(xnorm));
  MILO_TRY(milo_packed_put(p, K(q_bwd), layer, "dq", set[OPERAND(dq)], diag));
  MILO_TRY(milo_packed_execute(p, K(q_bwd), layer, diag));
  MILO_TRY(milo_packed_put(p, K(kv_bwd), layer, "dk", set[OPERAND(dk)], diag));
  MILO_TRY(milo_packed_put(p, K(kv_bwd), layer, "dv", set[OPERAND(dv)], diag));
  MILO_TRY(milo_packed_execute(p, K(kv_bwd), layer, diag));
  MILO_TRY(milo_packed_take(p, K(q_bwd), layer, "dx_q", dx_q, diag));
  MILO_TRY(milo_packed_take(p, K(kv_bwd), layer, "dx_kv", dx_kv, diag));
  MILO_TRY(
      milo_packed_host(p, MILO_HOST_SUM, MILO_BUFFERS(dx_q, dx_kv), MILO_BUFFERS(dnorm), diag));
  milo_buffer *weight = milo_packed_weight(p, MILO_TENSOR_att_norm, layer);
  return milo_packed_host(p, MILO_HOST_NORM_GRAD,
                          MILO_BUFFERS(dnorm, p->x[layer], weight, p->wide[0], sum),
                          MILO_BUFFERS(p->dx, sum), diag);
}

static milo_status backward(milo_packed_plan *p, size_t layer, milo_diag *diag) {
  milo_buffer **set = NULL;
  MILO_TRY(milo_packed_operands(p, layer, diag, &set));
  MILO_TRY(backward_ffn(p, layer, set, diag));
  MILO_TRY(backward_heads(p, layer, set, diag));
  return backward_projections(p, layer, set, diag);
}

static const milo_packed_plan_type type = {.kernels = MILO_KERNEL_DYNAMIC,
                                           .tiled = true,
                                           .check = check,
                                           .refresh = refresh,
                                           .forward = forward,
                                           .backward = backward};

static milo_status create(milo_device *device, const milo_model *model, const milo_plan_options *o,
                          milo_diag *diag, milo_plan **out_plan) {
  return milo_packed_create(device, model, o, &type, diag, out_plan);
}

const milo_plan_type milo_plan_dynamic = {
    .name = "dynamic",
    .summary = "ten programs compiled once, weights as columns of their inputs",
    .create = create,
    .destroy = milo_packed_destroy,
    .load = milo_packed_load,
    .set_scale = milo_packed_set_scale,
    .begin = milo_packed_begin,
    .run = milo_packed_run,
    .evaluate = milo_packed_evaluate,
};
