// SPDX-License-Identifier: MIT
// What the kernels of src/plan/kernels.def compute, in plain C and double, and the check of one
// kernel on a device against it. (That the whole chains are gradients is checked against automatic
// differentiation by test_plans.c.)
#ifndef MILO_TESTS_PLAN_KERNELS_H
#define MILO_TESTS_PLAN_KERNELS_H

#include "base/number.h"
#include "base/rng.h"
#include "model/config.h"
#include "plan/kernel.h"
#include "plan/surface.h"
#include "tap.h"

typedef struct kernel_case {
  const milo_plan_shape *shape;
  const milo_model *model;
  milo_layout in, out;
  double *inputs[MILO_KERNEL_MAX_PARTS];   // activations, [channels, columns]
  double *outputs[MILO_KERNEL_MAX_PARTS];  // wanted
} kernel_case;

// ---- plain maths, all matrices [channels, S] ----

static double *kc_new(size_t count) {
  double *x = calloc(count + 1, sizeof *x);
  if (!x) abort();
  return x;
}

static int64_t kc_dim(const kernel_case *k, milo_extent extent) {
  return milo_plan_extent(k->shape, extent);
}

static inline size_t kc_index(const milo_layout *layout, const char *name) {
  size_t i = 0;
  while (i < layout->count && strcmp(layout->parts[i]->name, name) != 0) i++;
  return i;
}

// NULL if the model has no such part.
static inline double *kc_in(const kernel_case *k, const char *name) {
  const size_t i = kc_index(&k->in, name);
  return i < k->in.count ? k->inputs[i] : NULL;
}

// Takes x.
static inline void kc_give(kernel_case *k, const char *name, double *x) {
  const size_t i = kc_index(&k->out, name);
  if (i < k->out.count) {
    free(k->outputs[i]);
    k->outputs[i] = x;
  } else {
    free(x);
  }
}

static inline double *kc_copy(const double *x, size_t count) {
  double *y = kc_new(count);
  memcpy(y, x, count * sizeof *y);
  return y;
}

// A weight as fp64, rounded to the type that the kernel holds it in; released by the caller.
static inline double *kc_weight(const kernel_case *k, milo_tensor_id id, size_t *rows,
                                size_t *columns) {
  if (id == MILO_TENSOR_classifier) id = milo_model_classifier(&k->model->config);
  const milo_parameter *p = milo_model_param(k->model, id, 0);
  const size_t count = milo_type_elements(&p->type);
  float *values = calloc(count, sizeof *values);
  if (!values || milo_parameter_get(p, 0, count, values, NULL) != MILO_OK) abort();
  double *x = kc_new(count);
  for (size_t i = 0; i < count; i++)
    x[i] = k->shape->dtype == MILO_FP16 ? (double)milo_fp16_to_f32(milo_f32_to_fp16(values[i]))
                                        : (double)values[i];
  free(values);
  *rows = (size_t)p->type.dims[0];
  *columns = p->type.rank == 2 ? (size_t)p->type.dims[1] : 1;
  return x;
}

// W x, or W^T x. rows: of the classifier, the first so many (0: all).
static inline double *kc_product(const kernel_case *k, milo_tensor_id id, const double *x,
                                 bool transposed, size_t some) {
  const size_t s = (size_t)k->shape->seq;
  size_t out, in;
  double *w = kc_weight(k, id, &out, &in);
  if (some) out = some;
  double *y = kc_new((transposed ? in : out) * s);
  for (size_t o = 0; o < out; o++)
    for (size_t i = 0; i < in; i++) {
      const double v = w[o * in + i];
      const double *from = x + (transposed ? o : i) * s;
      double *to = y + (transposed ? i : o) * s;
      for (size_t c = 0; c < s; c++) to[c] += v * from[c];
    }
  free(w);
  return y;
}

static inline double *kc_add(double *x, double *y, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] += y[i];
  free(y);
  return x;
}

// Of groups of `width` channels each on its own.
static inline double *kc_norm(const kernel_case *k, milo_tensor_id id, const double *x,
                              size_t groups, size_t width) {
  const size_t s = (size_t)k->shape->seq;
  size_t n, one;
  double *w = kc_weight(k, id, &n, &one), *y = kc_new(groups * width * s);
  for (size_t g = 0; g < groups; g++)
    for (size_t c = 0; c < s; c++) {
      double sum = 0;
      for (size_t i = 0; i < width; i++) sum += pow(x[(g * width + i) * s + c], 2);
      const double r = 1 / sqrt(sum / (double)width + k->shape->config->norm_epsilon);
      for (size_t i = 0; i < width; i++)
        y[(g * width + i) * s + c] = x[(g * width + i) * s + c] * r * w[i];
    }
  free(w);
  return y;
}

static inline double *kc_rope(const kernel_case *k, const double *x, size_t heads) {
  const milo_model_config *c = k->shape->config;
  const size_t s = (size_t)k->shape->seq, width = (size_t)c->head_dim;
  double *y = kc_new(heads * width * s);
  for (size_t h = 0; h < heads; h++)
    for (size_t i = 0; i < width / 2; i++)
      for (size_t p = 0; p < s; p++) {
        const double angle = (double)p * pow(c->rope_theta, -2 * (double)i / (double)width);
        const size_t a = (h * width + (c->rope_half ? i : 2 * i)) * s + p;
        const size_t b = (h * width + (c->rope_half ? i + width / 2 : 2 * i + 1)) * s + p;
        y[a] = x[a] * cos(angle) - x[b] * sin(angle);
        y[b] = x[a] * sin(angle) + x[b] * cos(angle);
      }
  return y;
}

// The kv head of a head: each is repeated.
static inline size_t kc_kv(const kernel_case *k, size_t head, size_t kv_heads) {
  return head / ((size_t)k->shape->config->heads / kv_heads);
}

// [heads, S, S]
static inline double *kc_probs(const kernel_case *k, const double *q, const double *key,
                               size_t kv_heads) {
  const size_t s = (size_t)k->shape->seq, heads = (size_t)k->shape->config->heads;
  const size_t width = (size_t)k->shape->config->head_dim;
  double *p = kc_new(heads * s * s);
  for (size_t h = 0; h < heads; h++)
    for (size_t i = 0; i < s; i++) {
      double *row = p + (h * s + i) * s, sum = 0, most = -INFINITY;
      const size_t kv = kc_kv(k, h, kv_heads);
      for (size_t d = 0; d < width; d++)
        for (size_t j = 0; j <= i; j++)
          row[j] += q[(h * width + d) * s + i] * key[(kv * width + d) * s + j];
      for (size_t j = 0; j <= i; j++) row[j] /= sqrt((double)width);
      for (size_t j = 0; j <= i; j++) most = fmax(most, row[j]);
      for (size_t j = 0; j <= i; j++) sum += row[j] = exp(row[j] - most);
      for (size_t j = 0; j <= i; j++) row[j] /= sum;
    }
  return p;
}

static inline void kc_attention(kernel_case *k, const double *q, const double *key, const double *v,
                                double *out) {
  const size_t s = (size_t)k->shape->seq, heads = (size_t)k->shape->config->heads;
  const size_t width = (size_t)k->shape->config->head_dim;
  const size_t kv_heads = (size_t)k->shape->config->kv_heads;
  double *p = kc_probs(k, q, key, kv_heads);
  for (size_t h = 0; h < heads; h++)
    for (size_t d = 0; d < width; d++)
      for (size_t i = 0; i < s; i++)
        for (size_t j = 0; j <= i; j++)
          out[(h * width + d) * s + i] +=
              p[(h * s + i) * s + j] * v[(kc_kv(k, h, kv_heads) * width + d) * s + j];
  free(p);
}

static inline double kc_sigmoid(double x) { return 1 / (1 + exp(-x)); }

// ---- what each kernel gives ----

// q, k, v, da -> dv, probs, dp.
static inline void kc_bwd1(kernel_case *k, const double *da, size_t kv_heads) {
  const size_t s = (size_t)k->shape->seq, heads = (size_t)k->shape->config->heads;
  const size_t width = (size_t)k->shape->config->head_dim;
  const double *v = kc_in(k, "v");
  double *p = kc_probs(k, kc_in(k, "q"), kc_in(k, "k"), kv_heads);
  double *dv = kc_new(kv_heads * width * s), *dp = kc_new(heads * s * s);
  for (size_t h = 0; h < heads; h++)
    for (size_t d = 0; d < width; d++) {
      const size_t at = (kc_kv(k, h, kv_heads) * width + d) * s;
      for (size_t i = 0; i < s; i++) {
        const double g = da[(h * width + d) * s + i];
        for (size_t j = 0; j < s; j++) {
          dp[(h * s + i) * s + j] += g * v[at + j];
          dv[at + j] += g * p[(h * s + i) * s + j];
        }
      }
    }
  kc_give(k, "dv", dv);
  kc_give(k, "probs", p);
  kc_give(k, "dp", dp);
}

static inline void kc_bwd2(kernel_case *k, size_t kv_heads) {
  const size_t s = (size_t)k->shape->seq, heads = (size_t)k->shape->config->heads;
  const size_t width = (size_t)k->shape->config->head_dim;
  const double *p = kc_in(k, "probs"), *dp = kc_in(k, "dp"), *q = kc_in(k, "q"),
               *key = kc_in(k, "k");
  double *dq = kc_new(heads * width * s), *dk = kc_new(kv_heads * width * s);
  for (size_t h = 0; h < heads; h++)
    for (size_t i = 0; i < s; i++) {
      const double *row = p + (h * s + i) * s, *drow = dp + (h * s + i) * s;
      double along = 0;
      for (size_t j = 0; j < s; j++) along += row[j] * drow[j];
      for (size_t j = 0; j < s; j++) {
        const double ds = row[j] * (drow[j] - along) / sqrt((double)width);
        for (size_t d = 0; d < width; d++) {
          const size_t at = (kc_kv(k, h, kv_heads) * width + d) * s + j;
          dq[(h * width + d) * s + i] += ds * key[at];
          dk[at] += ds * q[(h * width + d) * s + i];
        }
      }
    }
  kc_give(k, "dq", dq);
  kc_give(k, "dk", dk);
}

static inline void kc_project_heads(kernel_case *k, const double *xnorm) {
  const milo_model_config *c = k->shape->config;
  const size_t s = (size_t)k->shape->seq, width = (size_t)c->head_dim;
  double *raw[2] = {kc_product(k, MILO_TENSOR_wq, xnorm, false, 0),
                    kc_product(k, MILO_TENSOR_wk, xnorm, false, 0)};
  double *v = kc_product(k, MILO_TENSOR_wv, xnorm, false, 0), *turned[2];
  for (int i = 0; i < 2; i++) {
    const size_t heads = (size_t)(i ? c->kv_heads : c->heads);
    double *n = c->qk_norm
                    ? kc_norm(k, i ? MILO_TENSOR_k_norm : MILO_TENSOR_q_norm, raw[i], heads, width)
                    : kc_copy(raw[i], heads * width * s);
    turned[i] = kc_rope(k, n, heads);
    free(n);
  }
  double *out = kc_new((size_t)kc_dim(k, MILO_EXTENT_Q) * s);
  kc_attention(k, turned[0], turned[1], v, out);
  kc_give(k, "o_out", kc_product(k, MILO_TENSOR_wo, out, false, 0));
  kc_give(k, "attn_out", out);
  kc_give(k, "q", turned[0]);
  kc_give(k, "k", turned[1]);
  kc_give(k, "v", v);
  kc_give(k, "q_raw", raw[0]);
  kc_give(k, "k_raw", raw[1]);
  kc_give(k, "xnorm", kc_copy(xnorm, (size_t)c->dim * s));
}

static inline void kc_feed_forward(kernel_case *k, const double *x2norm) {
  const size_t n = (size_t)k->shape->config->hidden * (size_t)k->shape->seq;
  double *h1 = kc_product(k, MILO_TENSOR_w1, x2norm, false, 0);
  double *h3 = kc_product(k, MILO_TENSOR_w3, x2norm, false, 0), *gate = kc_new(n);
  for (size_t i = 0; i < n; i++) gate[i] = h1[i] * kc_sigmoid(h1[i]) * h3[i];
  const size_t d = (size_t)k->shape->config->dim * (size_t)k->shape->seq;
  double *ffn = kc_product(k, MILO_TENSOR_w2, gate, false, 0);
  if (kc_in(k, "x2")) {
    double *x = kc_copy(kc_in(k, "x2"), d);
    for (size_t i = 0; i < d; i++) x[i] += k->shape->config->residual_scale * ffn[i];
    kc_give(k, "x_next", x);
  }
  kc_give(k, "ffn_out", ffn);
  kc_give(k, "h1", h1);
  kc_give(k, "h3", h3);
  kc_give(k, "gate", gate);
  kc_give(k, "x2norm", kc_copy(x2norm, d));
}

static inline void kc_ffn_bwd(kernel_case *k) {
  const size_t n = (size_t)k->shape->config->hidden * (size_t)k->shape->seq;
  const size_t d = (size_t)k->shape->config->dim * (size_t)k->shape->seq;
  const double *h1 = kc_in(k, "h1"), *h3 = kc_in(k, "h3");
  double *dgate = kc_product(k, MILO_TENSOR_w2, kc_in(k, "dffn"), true, 0);
  double *dh1 = kc_new(n), *dh3 = kc_new(n);
  for (size_t i = 0; i < n; i++) {
    const double s = kc_sigmoid(h1[i]);
    dh1[i] = dgate[i] * h3[i] * s * (1 + h1[i] * (1 - s));
    dh3[i] = dgate[i] * h1[i] * s;
  }
  kc_give(k, "dx",
          kc_add(kc_product(k, MILO_TENSOR_w1, dh1, true, 0),
                 kc_product(k, MILO_TENSOR_w3, dh3, true, 0), d));
  kc_give(k, "dh1", dh1);
  kc_give(k, "dh3", dh3);
  free(dgate);
}

// dx_i = r (w_i dy_i - x_i r^2 / D sum over j of dy_j w_j x_j)
static inline void kc_rmsnorm_bwd(kernel_case *k) {
  const size_t dim = (size_t)k->shape->config->dim, s = (size_t)k->shape->seq;
  const double *dy = kc_in(k, "dy"), *x = kc_in(k, "x");
  size_t n, one;
  double *w = kc_weight(k, MILO_TENSOR_final_norm, &n, &one), *dx = kc_new(dim * s);
  for (size_t c = 0; c < s; c++) {
    double squares = 0, dot = 0;
    for (size_t i = 0; i < dim; i++) squares += pow(x[i * s + c], 2);
    for (size_t i = 0; i < dim; i++) dot += dy[i * s + c] * w[i] * x[i * s + c];
    const double r = 1 / sqrt(squares / (double)dim + k->shape->config->norm_epsilon);
    for (size_t i = 0; i < dim; i++)
      dx[i * s + c] = r * (w[i] * dy[i * s + c] - x[i * s + c] * r * r / (double)dim * dot);
  }
  free(w);
  kc_give(k, "dx", dx);
}

static inline void kc_softmax(kernel_case *k) {
  const size_t rows = (size_t)kc_dim(k, MILO_EXTENT_R), s = (size_t)k->shape->seq;
  const double *x = kc_in(k, "logits");
  double *y = kc_new(rows * s);
  for (size_t c = 0; c < s; c++) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < rows; i++) most = fmax(most, x[i * s + c]);
    for (size_t i = 0; i < rows; i++) sum += exp(x[i * s + c] - most);
    for (size_t i = 0; i < rows; i++) y[i * s + c] = exp(x[i * s + c] - most) / sum;
  }
  kc_give(k, "probs", y);
}

static inline double *kc_pair(kernel_case *k, milo_tensor_id a, const char *x, milo_tensor_id b,
                              const char *y) {
  const size_t d = (size_t)k->shape->config->dim * (size_t)k->shape->seq;
  return kc_add(kc_product(k, a, kc_in(k, x), true, 0), kc_product(k, b, kc_in(k, y), true, 0), d);
}

static inline void kc_compute(kernel_case *k, milo_kernel_id id) {
  const milo_model_config *c = k->shape->config;
  const size_t d = (size_t)c->dim * (size_t)k->shape->seq;
  const size_t rows = (size_t)kc_dim(k, MILO_EXTENT_R);
  double *x;
  switch (id) {
    case MILO_KERNEL_fwd_attn:
      x = kc_norm(k, MILO_TENSOR_att_norm, kc_in(k, "x"), 1, (size_t)c->dim);
      kc_project_heads(k, x);
      free(x);
      break;
    case MILO_KERNEL_sdpa_fwd:
      kc_project_heads(k, kc_in(k, "xnorm"));
      break;
    case MILO_KERNEL_fwd_ffn:
      x = kc_norm(k, MILO_TENSOR_ffn_norm, kc_in(k, "x2"), 1, (size_t)c->dim);
      kc_feed_forward(k, x);
      free(x);
      break;
    case MILO_KERNEL_ffn_fused:
      kc_feed_forward(k, kc_in(k, "x2norm"));
      break;
    case MILO_KERNEL_ffn_bwd:
      kc_ffn_bwd(k);
      break;
    case MILO_KERNEL_sdpa_bwd1:
      x = kc_product(k, MILO_TENSOR_wo, kc_in(k, "dx2"), true, 0);
      kc_bwd1(k, x, (size_t)c->kv_heads);
      free(x);
      break;
    case MILO_KERNEL_tiled_bwd1:
      kc_bwd1(k, kc_in(k, "da"), (size_t)c->heads);
      break;
    case MILO_KERNEL_sdpa_bwd2:
      kc_bwd2(k, (size_t)c->kv_heads);
      break;
    case MILO_KERNEL_tiled_bwd2:
      kc_bwd2(k, (size_t)c->heads);
      break;
    case MILO_KERNEL_qkv_bwd:
      x = kc_pair(k, MILO_TENSOR_wk, "dk", MILO_TENSOR_wv, "dv");
      kc_give(k, "dx", kc_add(x, kc_product(k, MILO_TENSOR_wq, kc_in(k, "dq"), true, 0), d));
      break;
    case MILO_KERNEL_rmsnorm_bwd:
      kc_rmsnorm_bwd(k);
      break;
    case MILO_KERNEL_final_rmsnorm:
      kc_give(k, "xnorm", kc_norm(k, MILO_TENSOR_final_norm, kc_in(k, "x"), 1, (size_t)c->dim));
      break;
    case MILO_KERNEL_classifier_fwd:
      kc_give(k, "logits", kc_product(k, MILO_TENSOR_classifier, kc_in(k, "x"), false, rows));
      break;
    case MILO_KERNEL_classifier_bwd:
      kc_give(k, "dx", kc_product(k, MILO_TENSOR_classifier, kc_in(k, "dlogits"), true, rows));
      break;
    case MILO_KERNEL_softmax_vocab:
      kc_softmax(k);
      break;
    case MILO_KERNEL_wo_fwd:
      kc_give(k, "o_out", kc_product(k, MILO_TENSOR_wo, kc_in(k, "attn_out"), false, 0));
      break;
    case MILO_KERNEL_ffn_bwd_w2t:
      kc_give(k, "dgate", kc_product(k, MILO_TENSOR_w2, kc_in(k, "dffn"), true, 0));
      break;
    case MILO_KERNEL_ffn_bwd_w13t:
      kc_give(k, "dx_ffn", kc_pair(k, MILO_TENSOR_w1, "dh1", MILO_TENSOR_w3, "dh3"));
      break;
    case MILO_KERNEL_wot_bwd:
      kc_give(k, "da", kc_product(k, MILO_TENSOR_wo, kc_in(k, "dx2"), true, 0));
      break;
    case MILO_KERNEL_q_bwd:
      kc_give(k, "dx_q", kc_product(k, MILO_TENSOR_wq, kc_in(k, "dq"), true, 0));
      break;
    case MILO_KERNEL_kv_bwd:
      kc_give(k, "dx_kv", kc_pair(k, MILO_TENSOR_wk, "dk", MILO_TENSOR_wv, "dv"));
      break;
    case MILO_KERNEL_matmul:
    case MILO_KERNEL_conv_linear:
      kc_give(k, "y", kc_product(k, MILO_TENSOR_wq, kc_in(k, "x"), false, 0));
      break;
    case MILO_KERNEL_fused_qkv:
      kc_give(k, "q", kc_product(k, MILO_TENSOR_wq, kc_in(k, "x"), false, 0));
      kc_give(k, "k", kc_product(k, MILO_TENSOR_wk, kc_in(k, "x"), false, 0));
      kc_give(k, "v", kc_product(k, MILO_TENSOR_wv, kc_in(k, "x"), false, 0));
      break;
    case MILO_KERNEL_fused_ffn_up:
      kc_give(k, "h1", kc_product(k, MILO_TENSOR_w1, kc_in(k, "x"), false, 0));
      kc_give(k, "h3", kc_product(k, MILO_TENSOR_w3, kc_in(k, "x"), false, 0));
      break;
    case MILO_KERNEL_fused_ffn_up_bwd:
      kc_give(k, "dx", kc_pair(k, MILO_TENSOR_w1, "dh1", MILO_TENSOR_w3, "dh3"));
      break;
    case MILO_KERNEL_COUNT:
      break;
  }
}

// ---- the check ----

// Weights that keep the size of what they are multiplied with.
static inline milo_model *kc_model(const milo_model_config *config) {
  milo_model *model = NULL;
  if (milo_model_alloc(config, NULL, &model) != MILO_OK) abort();
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    const size_t count = milo_type_elements(&p->type);
    float *values = milo_buffer_map(p->buffer, MILO_WRITE);
    const double size = p->type.rank == 2 ? 1 / sqrt((double)p->type.dims[1]) : 0.2;
    for (size_t n = 0; n < count; n++)
      values[n] = (float)(size * milo_rng_normal(3, i, n) + (p->type.rank == 2 ? 0 : 1));
    if (milo_buffer_unmap(p->buffer, values, MILO_WRITE) != MILO_OK) abort();
  }
  return model;
}

// Activations like those of a model; probabilities are rows of a causal softmax.
static inline void kc_fill(const kernel_case *k, size_t part, float *x) {
  const milo_region *r = &k->in.regions[part];
  const bool probs = strcmp(k->in.parts[part]->name, "probs") == 0;
  const bool outer = strcmp(k->in.parts[part]->name, "w") == 0;
  const size_t s = r->columns;
  for (size_t c = 0; c < r->channels; c++) {
    double sum = 0;
    for (size_t i = 0; i < s; i++) {
      double v = milo_rng_normal(7, part, c * s + i);
      if (probs) sum += v = i <= c % s ? exp(v) : 0;
      if (outer) v /= sqrt((double)s);
      x[c * s + i] = (float)v;
    }
    for (size_t i = 0; probs && i < s; i++) x[c * s + i] = (float)((double)x[c * s + i] / sum);
  }
  for (size_t i = 0; k->shape->dtype == MILO_FP16 && i < r->channels * s; i++)
    x[i] = milo_fp16_to_f32(milo_f32_to_fp16(x[i]));
}

// matmul's left side stands in for a weight of the model: the same numbers.
static inline void kc_stage(const kernel_case *k, size_t part, const milo_surface *surface,
                            milo_region region) {
  const milo_part *p = k->in.parts[part];
  size_t rows, columns;
  double *w = kc_weight(k, p->tensor, &rows, &columns);
  float *values = calloc(rows * columns, sizeof *values);
  for (size_t i = 0; i < rows * columns; i++) values[i] = (float)w[i];
  CHECK(milo_surface_write(surface, region, values, columns, p->transposed, NULL) == MILO_OK);
  free(values);
  free(w);
}

// Greatest difference over all parts, relative to the part's greatest element.
static inline double kc_check(milo_device *device, milo_kernel_id id, const milo_plan_shape *shape,
                              const milo_model *model, double bound) {
  kernel_case k = {.shape = shape, .model = model};
  const milo_plan_kernel *row = milo_plan_kernel_get(id);
  milo_diag diag = {0};
  k.in = milo_plan_layout(shape, row, false);
  k.out = milo_plan_layout(shape, row, true);
  const bool wide = id == MILO_KERNEL_matmul;
  const milo_dtype dtype = wide ? MILO_FP32 : shape->dtype;
  milo_surface in[MILO_KERNEL_MAX_PARTS] = {{0}}, out[MILO_KERNEL_MAX_PARTS] = {{0}};
  milo_buffer *inputs[MILO_KERNEL_MAX_PARTS], *outputs[MILO_KERNEL_MAX_PARTS];
  for (int side = 0; side < 2; side++) {
    const milo_layout *layout = side ? &k.out : &k.in;
    const size_t count = row->apart ? layout->count : 1;
    for (size_t i = 0; i < count; i++) {
      milo_surface *s = side ? &out[i] : &in[i];
      const milo_region *r = &layout->regions[i];
      CHECK(milo_surface_create(device, dtype, row->apart ? r->channels : layout->channels,
                                row->apart ? r->columns : layout->columns, NULL, s) == MILO_OK);
      (side ? outputs : inputs)[i] = s->buffer;
    }
  }
  for (size_t i = 0; i < k.in.count; i++) {
    const milo_region region = k.in.regions[i];
    const milo_surface *s = row->apart ? &in[i] : &in[0];
    if (k.in.parts[i]->is_weight) {
      kc_stage(&k, i, s, region);
      continue;
    }
    const size_t count = region.channels * region.columns;
    float *x = calloc(count, sizeof *x);
    if (wide && i == 0) {  // stands in for wq
      size_t rows, columns;
      double *w = kc_weight(&k, MILO_TENSOR_wq, &rows, &columns);
      for (size_t n = 0; n < count; n++) x[n] = (float)w[n];
      free(w);
    } else {
      kc_fill(&k, i, x);
    }
    k.inputs[i] = kc_new(count);
    for (size_t n = 0; n < count; n++) k.inputs[i][n] = (double)x[n];
    CHECK(milo_surface_write(s, region, x, region.columns, false, NULL) == MILO_OK);
    free(x);
  }
  kc_compute(&k, id);
  milo_program *program = milo_program_create();
  milo_func *func = NULL;
  milo_run *run = NULL;
  milo_status status = milo_plan_kernel_build(program, id, shape, model, 0, &diag, &func);
  if (status == MILO_OK) status = milo_run_compile(device, func, NULL, &diag, &run);
  milo_program_destroy(program);
  if (status == MILO_OK) status = milo_run_execute(run, inputs, outputs, &diag);
  double worst = 0;
  if (!CHECK(status == MILO_OK)) printf("# %s\n", row->name);
  for (size_t i = 0; status == MILO_OK && i < k.out.count; i++) {
    const milo_region r = k.out.regions[i];
    const size_t count = r.channels * r.columns;
    float *got = calloc(count, sizeof *got);
    CHECK(milo_surface_read(row->apart ? &out[i] : &out[0], r, got, r.columns, NULL) == MILO_OK);
    double scale = 0.01, apart = 0;  // a gradient may be 0 throughout
    if (!CHECK(k.outputs[i] != NULL)) continue;
    for (size_t n = 0; n < count; n++) scale = compare_scale(scale, k.outputs[i][n]);
    for (size_t n = 0; n < count; n++) {
      const double difference = fabs((double)got[n] - k.outputs[i][n]) / scale;
      if (!(difference <= apart)) apart = difference;
    }
    if (!CHECK(apart <= bound))
      printf("# %s, %s: off by %.2g of its greatest\n", row->name, k.out.parts[i]->name, apart);
    if (!(apart <= worst)) worst = apart;
    free(got);
  }
  milo_run_destroy(run);
  for (size_t i = 0; i < MILO_KERNEL_MAX_PARTS; i++) {
    milo_surface_destroy(&in[i]);
    milo_surface_destroy(&out[i]);
    free(k.inputs[i]);
    free(k.outputs[i]);
  }
  return worst;
}

#endif
