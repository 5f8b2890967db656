// SPDX-License-Identifier: MIT
// What the plans static and dynamic compute on the host, in fp32, beside the kernels: MIL programs
// for `cpu` like everything else. Activations are channel-first, [C, S]; D, H, Q, KV as in
// kernel.h; V = vocabulary.
#ifndef MILO_PLAN_HOST_H
#define MILO_PLAN_HOST_H

#include "plan/kernel.h"

// Inputs -> outputs of each; "+ =" is an input that the first (or stated) output is added to and
// aliases.
typedef enum milo_host_op {
  MILO_HOST_EMBED,       // tokens int32 [S], embedding [V, D] -> x [D, S]
  MILO_HOST_EMBED_GRAD,  // sum [V, D] + =, tokens, dx [D, S] -> sum
  MILO_HOST_NORM,        // x [D, S], weight [D] -> y
  MILO_HOST_NORM_GRAD,  // dy, x [D, S], weight, residual [D, S], sum [D] -> residual + dx, sum + dw
  MILO_HOST_ADD,        // x, branch [D, S] -> x + residual scale * branch
  MILO_HOST_SUM,        // x, y [D, S] -> x + y
  MILO_HOST_SCALE,      // x [D, S] -> residual scale * x
  MILO_HOST_GATE_GRAD,  // dgate, h1, h3 [H, S] -> dh1, dh3
  MILO_HOST_ROWS,       // x [D, S] -> [S, D]
  MILO_HOST_COLUMNS,    // x [S, D] -> [D, S]
  // Of queries and keys: back through RoPE and the norms of heads, kv heads of repeated ones
  // summed (tiled):
  MILO_HOST_Q_GRAD,  // dq [Q, S] [, q_raw, q_norm, sum] -> dq [, sum]
  MILO_HOST_K_GRAD,  // dk [KV, S] (tiled: [Q, S]) [, k_raw, k_norm, sum] -> dk [KV, S] [, sum]
  MILO_HOST_V_GRAD,  // dv [Q, S] -> dv [KV, S], tiled only
  MILO_HOST_COUNT,
} milo_host_op;

// tiled: kv heads come repeated. The run belongs to device, which is a `cpu`.
MILO_MUST_USE milo_status milo_host_compile(milo_device *device, const milo_plan_shape *shape,
                                            milo_host_op op, bool tiled, milo_diag *diag,
                                            milo_run **out_run);
// sum [out, in] + =, dy [out, S], x [in, S] -> sum + dy x^T.
MILO_MUST_USE milo_status milo_host_compile_weight_grad(milo_device *device, int64_t out,
                                                        int64_t in, int64_t seq, milo_diag *diag,
                                                        milo_run **out_run);

#endif
