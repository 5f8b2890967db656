// SPDX-License-Identifier: MIT
// What the plans static and dynamic share: a step of kernels on packed surfaces (plan/kernel.h),
// one sequence after the other, with fp32 activations and norms on the host between them and the
// gradients of matrices computed beside the device.
//
//   embed ─▶ x₀ ─ layer forward ─▶ x₁ ─ … ─▶ x_L ─▶ head (norm, classifier, cross-entropy,
//   backward)
//                     │ outputs of the forward kernels stay on their surfaces        │
//   dx₀ ◀─ layer backward ◀─ … ◀────────────────────────────────────────────────────┘
//               └ dy, x of each matrix ─▶ queue: sum += dy xᵀ
#ifndef MILO_TRAIN_PLAN_PACKED_H
#define MILO_TRAIN_PLAN_PACKED_H

#include "model/head.h"
#include "plan/beside.h"
#include "plan/host.h"
#include "plan/surface.h"
#include "train/plan.h"

typedef struct milo_packed_plan milo_packed_plan;

typedef struct milo_packed_plan_type {
  unsigned kernels;  // MILO_KERNEL_STATIC or _DYNAMIC
  bool tiled;        // kv heads are repeated on the surfaces of backward
  milo_status (*check)(const milo_packed_plan *p, milo_diag *diag);
  // Weights may have changed: programs or surfaces are made anew where they have.
  milo_status (*refresh)(milo_packed_plan *p, bool backward, milo_diag *diag);
  // x[layer] -> x[layer + 1]; dx -> dx and the gradients.
  milo_status (*forward)(milo_packed_plan *p, size_t layer, milo_diag *diag);
  milo_status (*backward)(milo_packed_plan *p, size_t layer, milo_diag *diag);
} milo_packed_plan_type;

// What the gradients of a layer's matrices are computed from, fp32 [C, S].
typedef enum milo_packed_operand {
  MILO_OPERAND_dffn,
  MILO_OPERAND_gate,
  MILO_OPERAND_dh1,
  MILO_OPERAND_dh3,
  MILO_OPERAND_x2norm,
  MILO_OPERAND_dattn,  // of attention's output projection
  MILO_OPERAND_attn_out,
  MILO_OPERAND_dq,
  MILO_OPERAND_dk,
  MILO_OPERAND_dv,
  MILO_OPERAND_xnorm,
  MILO_OPERAND_COUNT,
} milo_packed_operand;

enum { MILO_PACKED_SETS = 2 };  // of operands: one is filled while the other is being read

// A kernel of the plan: programs and surfaces, one a layer or one in all.
typedef struct milo_packed_kernel {
  milo_layout in, out;
  milo_surface *inputs, *outputs;
  milo_run **runs;
  size_t input_count, output_count, run_count;
} milo_packed_kernel;

struct milo_packed_plan {
  milo_plan base;
  const milo_packed_plan_type *type;
  const milo_model *model;
  milo_device *device, *host, *beside_device;
  milo_pool *beside_pool;
  milo_plan_shape shape;
  size_t batch, seq, layers;
  size_t compile_budget;                 // 0: none
  uint64_t seen_forward, seen_backward;  // version of the weights that each was made for
  milo_packed_kernel kernels[MILO_KERNEL_COUNT];
  milo_run *ops[MILO_HOST_COUNT];
  milo_run *weight_grads[MILO_TENSOR_COUNT];
  milo_beside_queue *queue;
  milo_head *head, *loss;
  int32_t *ids;  // tokens, then targets, of all sequences
  float *host_losses;
  milo_buffer *tokens, *targets, *losses, *rows, *drows;
  milo_buffer **x;            // layers + 1: what goes into a layer
  milo_buffer **x2;           // layers: after attention
  milo_buffer *dx, *wide[4];  // scratch: [D, S]; the largest of a layer's activations
  milo_buffer *operands[MILO_PACKED_SETS][MILO_OPERAND_COUNT];
  uint64_t in_use[MILO_PACKED_SETS];  // number of the last program that reads a set
};

MILO_MUST_USE milo_status milo_packed_create(milo_device *device, const milo_model *model,
                                             const milo_plan_options *options,
                                             const milo_packed_plan_type *type, milo_diag *diag,
                                             milo_plan **out_plan);
// The functions of a milo_plan_type.
void milo_packed_destroy(milo_plan *plan);
milo_status milo_packed_load(milo_plan *plan, const int32_t *tokens, const int32_t *targets,
                             milo_diag *diag);
milo_status milo_packed_set_scale(milo_plan *plan, double factor, milo_diag *diag);
milo_status milo_packed_begin(milo_plan *plan, milo_diag *diag);
milo_status milo_packed_run(milo_plan *plan, milo_diag *diag, double *out_loss_sum);
milo_status milo_packed_evaluate(milo_plan *plan, milo_diag *diag, double *out_loss_sum);

// The layers alone, without tokens and head: from x [D, S] of one sequence to y like x. *out_loss:
// mean of (y - target)^2; its gradient times scale is added to the layers' gradients.
MILO_MUST_USE milo_status milo_packed_regress(milo_plan *plan, const float *x, const float *target,
                                              double scale, milo_diag *diag, double *out_loss);

// ---- for the two plans ----

// Grows with every change of a layer's weights.
uint64_t milo_packed_version(const milo_packed_plan *p);
// Compiles a kernel for a layer (0 where one serves all), and counts it.
MILO_MUST_USE milo_status milo_packed_compile(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                              milo_diag *diag);

// A part of a kernel's input or output, from and to fp32 [channels, S].
MILO_MUST_USE milo_status milo_packed_put(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                          const char *part, milo_buffer *from, milo_diag *diag);
MILO_MUST_USE milo_status milo_packed_take(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                           const char *part, milo_buffer *to, milo_diag *diag);
// From an input's part instead (what was put there).
MILO_MUST_USE milo_status milo_packed_take_input(milo_packed_plan *p, milo_kernel_id id,
                                                 size_t layer, const char *part, milo_buffer *to,
                                                 milo_diag *diag);
// From a kernel's output to another's input. repeat: each kv head as often as heads share it.
MILO_MUST_USE milo_status milo_packed_pass(milo_packed_plan *p, milo_kernel_id from,
                                           const char *from_part, milo_kernel_id to,
                                           const char *to_part, size_t layer, bool repeat,
                                           milo_diag *diag);
MILO_MUST_USE milo_status milo_packed_execute(milo_packed_plan *p, milo_kernel_id id, size_t layer,
                                              milo_diag *diag);
// A host program with up to five inputs and two outputs, NULL where there are fewer.
MILO_MUST_USE milo_status milo_packed_host(milo_packed_plan *p, milo_host_op op,
                                           milo_buffer *const *inputs, milo_buffer *const *outputs,
                                           milo_diag *diag);
#define MILO_BUFFERS(...) \
  (milo_buffer *const[6]) { __VA_ARGS__ }

milo_buffer *milo_packed_weight(const milo_packed_plan *p, milo_tensor_id id, size_t layer);
milo_buffer *milo_packed_gradient(const milo_packed_plan *p, milo_tensor_id id, size_t layer);
// The set of operands to fill for a layer, once nothing reads it any more.
MILO_MUST_USE milo_status milo_packed_operands(milo_packed_plan *p, size_t layer, milo_diag *diag,
                                               milo_buffer ***out_set);
// Hands over dy x^T for a matrix of a layer.
void milo_packed_weight_grad(milo_packed_plan *p, milo_tensor_id id, size_t layer,
                             milo_packed_operand dy, milo_packed_operand x);
// dq (dk) of the operands' set: back through RoPE and the norm of heads, in place.
MILO_MUST_USE milo_status milo_packed_heads_grad(milo_packed_plan *p, size_t layer,
                                                 milo_kernel_id forward, bool keys, milo_buffer *dy,
                                                 milo_buffer *to, milo_diag *diag);

#endif
