// SPDX-License-Identifier: MIT
// Functions over rows of fp32 numbers: elementwise arithmetic, conversions, sums, norms. One set a
// processor kind, chosen at run time; matrix products are a table of their own (product.h).
//
// All functions: sizes in elements, any size (0 too), no alignment needed, nothing read or written
// beyond the stated elements, no allocation, one thread. Outputs may not overlap inputs unless
// said. Sums are fp32 in lanes and blocks, or double where said; the order depends on sizes only.
#ifndef MILO_KERNELS_ROWS_H
#define MILO_KERNELS_ROWS_H

#include "base/number.h"

typedef enum milo_unary {
#define UNARY(id, ...) MILO_UNARY_##id,
#include "kernels/elementwise.def"
  MILO_UNARY_COUNT,
} milo_unary;

typedef enum milo_binary {
#define BINARY(id, ...) MILO_BINARY_##id,
#include "kernels/elementwise.def"
  MILO_BINARY_COUNT,
} milo_binary;

// out[i] = f(x[i]), p: the operation's two constants. out may be x.
typedef void milo_unary_fn(float *out, const float *x, size_t n, const float *p);
// out[i] = f(x[i], y[i]). out may be x or y.
typedef void milo_binary_fn(float *out, const float *x, const float *y, size_t n);

// Constants of one AdamW step, see ops.def.
typedef struct milo_adamw {
  float lr, grad_scale, bias1, bias2, beta1, beta2, epsilon, weight_decay;
} milo_adamw;

typedef struct milo_rows {
  const char *name;
  unsigned caps;  // what the processor must have
  milo_unary_fn *unary[MILO_UNARY_COUNT];
  milo_binary_fn *binary[MILO_BINARY_COUNT];
  // out = cond != 0 ? x : y. out may be any of them.
  void (*select)(float *out, const float *cond, const float *x, const float *y, size_t n);
  // out = x * factor + offset. out may be x.
  void (*scale)(float *out, const float *x, size_t n, float factor, float offset);
  // out += factor * x
  void (*axpy)(float *out, float factor, const float *x, size_t n);
  // out[i] = start + sum over t of weights[t] * x[offsets[t] + i], in that order.
  void (*weigh)(float *out, const float *x, const ptrdiff_t *offsets, const float *weights,
                size_t terms, size_t n, float start);

  void (*fp16_to_f32)(float *out, const milo_fp16 *x, size_t n);
  void (*f32_to_fp16)(milo_fp16 *out, const float *x, size_t n);
  void (*bf16_to_f32)(float *out, const milo_bf16 *x, size_t n);
  void (*f32_to_bf16)(milo_bf16 *out, const float *x, size_t n);

  // Rows. Sums go through blocks of at most 4,096 elements in lanes, blocks through double.
  double (*sum)(const float *x, size_t n);
  double (*sum_square)(const float *x, size_t n);
  double (*sum_abs)(const float *x, size_t n);
  double (*dot)(const float *x, const float *y, size_t n);
  // Sum over r < rows of dot(x + r * ldx, y + r * ldy, n), in an order of its own.
  double (*dot_rows)(const float *x, size_t ldx, const float *y, size_t ldy, size_t rows, size_t n);
  // Greatest (least) element; NaN if one is NaN; -inf (inf) if n is 0.
  float (*max)(const float *x, size_t n);
  float (*min)(const float *x, size_t n);
  // out[i] = exp(x[i] - shift) where x <= shift; returns their sum. out may be x.
  double (*exp_sum)(float *out, const float *x, size_t n, float shift);
  // Sum of exp(x[i] - shift), nothing stored.
  double (*sum_exp)(const float *x, size_t n, float shift);
  // out[i] = exp(x[i] - shift) * factor. out may be x.
  void (*exp_scale)(float *out, const float *x, size_t n, float shift, float factor);

  // out = x * r * weight, r = (mean(x^2) + epsilon)^-1/2. out may be x.
  void (*rms_norm)(float *out, const float *x, const float *weight, size_t n, float epsilon);
  // dx, and dweight += grad * x * r. dx may be grad or x.
  void (*rms_norm_grad)(float *dx, float *dweight, const float *grad, const float *x,
                        const float *weight, size_t n, float epsilon);
  // out = (x - mean) / sqrt(var + epsilon) * gamma + beta; gamma, beta may be NULL.
  void (*layer_norm)(float *out, const float *x, const float *gamma, const float *beta, size_t n,
                     float epsilon);
  // One head: pairs (2i, 2i+1), or (i, i + n/2) if half, turned by (cos, sin)[i] * (1, sign), sign
  // 1 or -1. n even. out may be x.
  void (*rope)(float *out, const float *x, const float *cosine, const float *sine, size_t n,
               float sign, bool half);
  // dx = grad y s (1 + x (1 - s)), dy = grad x s, s = sigmoid(x). dx, dy may be any of the inputs.
  void (*silu_gate_grad)(float *dx, float *dy, const float *grad, const float *x, const float *y,
                         size_t n);
  // In place, a row of attention's gradient: p = exp(p - lse), ds = p (ds - delta) scale.
  void (*attention_ds)(float *p, float *ds, size_t n, float lse, float delta, float scale);
  // In place: param, m, v.
  void (*adamw)(float *param, float *m, float *v, const float *grad, size_t n,
                const milo_adamw *step);
} milo_rows;

// Slowest first, ends with NULL; the first needs no capabilities.
extern const milo_rows *const milo_rows_variants[];
// The last variant that caps allow.
const milo_rows *milo_rows_select(unsigned caps);

#endif
