// SPDX-License-Identifier: MIT
// The composites (see their rows in ir/ops.def), straight from their formulas.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/ref/call.h"

// ---- RMSNorm ----

// r = (mean(x^2) + epsilon)^-1/2 of the dim elements at first.
static double inverse_rms(const milo_ref_tensor *x, size_t first, size_t dim, double epsilon) {
  double sum = 0;
  for (size_t k = 0; k < dim; ++k) sum += milo_ref_get(x, first + k) * milo_ref_get(x, first + k);
  return 1 / sqrt(sum / (double)dim + epsilon);
}

milo_status milo_ref_rms_norm(const milo_ref_call *call) {
  milo_ref_tensor x, weight, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "weight", &weight);
  const size_t dim = weight.count;
  const double epsilon = milo_op_float(call->op, "epsilon");
  for (size_t first = 0; first < x.count; first += dim) {
    const double r = inverse_rms(&x, first, dim, epsilon);
    for (size_t k = 0; k < dim; ++k)
      milo_ref_set(&out, first + k, milo_ref_get(&x, first + k) * r * milo_ref_get(&weight, k));
  }
  return MILO_OK;
}

// With g = grad * weight: dx = r g - x r^3 mean(g x); dweight = sum over rows of grad x r
milo_status milo_ref_rms_norm_grad(const milo_ref_call *call) {
  milo_ref_tensor grad, x, weight;
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "weight", &weight);
  const milo_ref_tensor dx = milo_ref_out(call, 0), dweight = milo_ref_out(call, 1);
  const size_t dim = weight.count;
  const double epsilon = milo_op_float(call->op, "epsilon");
  void *memory;
  MILO_TRY(milo_ref_alloc(call, dim, sizeof(double), &memory));
  double *sums = memory;
  for (size_t first = 0; first < x.count; first += dim) {
    const double r = inverse_rms(&x, first, dim, epsilon);
    double mean = 0;
    for (size_t k = 0; k < dim; ++k)
      mean += milo_ref_get(&grad, first + k) * milo_ref_get(&weight, k) *
              milo_ref_get(&x, first + k) / (double)dim;
    for (size_t k = 0; k < dim; ++k) {
      const double g = milo_ref_get(&grad, first + k), v = milo_ref_get(&x, first + k);
      milo_ref_set(&dx, first + k, r * g * milo_ref_get(&weight, k) - v * r * r * r * mean);
      sums[k] += g * v * r;
    }
  }
  for (size_t k = 0; k < dim; ++k) milo_ref_set(&dweight, k, sums[k]);
  free(sums);
  return MILO_OK;
}

// ---- rotary positions ----

milo_status milo_ref_rope(const milo_ref_call *call) {
  milo_ref_tensor x, cosine, sine, out = milo_ref_out(call, 0);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "cos", &cosine);
  milo_ref_in(call, "sin", &sine);
  const bool half = strcmp(milo_op_string(call->op, "pairing"), "half") == 0;
  const double sign = milo_op_bool(call->op, "inverse") ? -1 : 1;
  const size_t head = (size_t)x.dims[x.rank - 1], pairs = head / 2;
  for (size_t row = 0; head > 0 && row < x.count / head; ++row) {
    const size_t position = row % (size_t)x.dims[x.rank - 2];
    for (size_t p = 0; p < pairs; ++p) {
      const size_t i = row * head + (half ? p : 2 * p), j = half ? i + pairs : i + 1;
      const double c = milo_ref_get(&cosine, position * pairs + p);
      const double s = sign * milo_ref_get(&sine, position * pairs + p);
      const double a = milo_ref_get(&x, i), b = milo_ref_get(&x, j);
      milo_ref_set(&out, i, a * c - b * s);
      milo_ref_set(&out, j, a * s + b * c);
    }
  }
  return MILO_OK;
}

// ---- attention ----

typedef struct attention {
  size_t batch, heads, kv_heads, queries, keys, head;
  double scale;
  bool causal;
  int64_t position;
  double *query, *key, *value;
} attention;

static void attention_deinit(attention *a) {
  free(a->query);
  free(a->key);
  free(a->value);
}

static milo_status attention_init(const milo_ref_call *call, attention *a) {
  milo_ref_tensor query, key, value, position;
  milo_ref_in(call, "query", &query);
  milo_ref_in(call, "key", &key);
  milo_ref_in(call, "value", &value);
  *a = (attention){.batch = (size_t)query.dims[0],
                   .heads = (size_t)query.dims[1],
                   .kv_heads = (size_t)key.dims[1],
                   .queries = (size_t)query.dims[2],
                   .keys = (size_t)key.dims[2],
                   .head = (size_t)query.dims[3],
                   .scale = milo_op_float(call->op, "scale"),
                   .causal = milo_op_bool(call->op, "causal")};
  // Beyond these bounds it makes no difference.
  if (milo_ref_in(call, "position", &position))
    a->position =
        (int64_t)fmin(fmax(milo_ref_get(&position, 0), -(double)a->queries), (double)a->keys);
  milo_status status = milo_ref_doubles(call, &query, &a->query);
  if (status == MILO_OK) status = milo_ref_doubles(call, &key, &a->key);
  if (status == MILO_OK) status = milo_ref_doubles(call, &value, &a->value);
  return status;
}

// First element of row s of head h of batch b, heads x rows x head.
static size_t row_of(const attention *a, size_t heads, size_t rows, size_t b, size_t h, size_t s) {
  return ((b * heads + h) * rows + s) * a->head;
}

static double dot(const double *x, const double *y, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// Keys that query s sees: [0, result).
static size_t visible(const attention *a, size_t s) {
  if (!a->causal) return a->keys;
  const int64_t end = (int64_t)s + a->position + 1;
  return end < 0 ? 0 : (uint64_t)end < a->keys ? (size_t)end : a->keys;
}

// scores[t] = scale * query . key for the keys that are seen.
static size_t score_row(const attention *a, size_t b, size_t h, size_t s, double *scores) {
  const size_t kv = h / (a->heads / a->kv_heads), seen = visible(a, s);
  const double *query = a->query + row_of(a, a->heads, a->queries, b, h, s);
  for (size_t t = 0; t < seen; ++t)
    scores[t] = a->scale * dot(query, a->key + row_of(a, a->kv_heads, a->keys, b, kv, t), a->head);
  return seen;
}

static double log_sum_exp(const double *x, size_t n) {
  double max = -INFINITY, sum = 0;
  for (size_t i = 0; i < n; ++i) max = fmax(max, x[i]);
  if (!isfinite(max)) max = 0;
  for (size_t i = 0; i < n; ++i) sum += exp(x[i] - max);
  return max + log(sum);
}

milo_status milo_ref_attention(const milo_ref_call *call) {
  const milo_ref_tensor out = milo_ref_out(call, 0), lse = milo_ref_out(call, 1);
  attention a;
  void *memory = NULL;
  milo_status status = attention_init(call, &a);
  if (status == MILO_OK) status = milo_ref_alloc(call, a.keys, sizeof(double), &memory);
  double *scores = memory;
  for (size_t row = 0; status == MILO_OK && row < a.batch * a.heads * a.queries; ++row) {
    const size_t b = row / (a.heads * a.queries), h = row / a.queries % a.heads;
    const size_t seen = score_row(&a, b, h, row % a.queries, scores);
    const double total = log_sum_exp(scores, seen);
    milo_ref_set(&lse, row, total);
    for (size_t d = 0; d < a.head; ++d) {
      const double *value =
          a.value + row_of(&a, a.kv_heads, a.keys, b, h / (a.heads / a.kv_heads), 0);
      double sum = 0;
      for (size_t t = 0; t < seen; ++t) sum += exp(scores[t] - total) * value[t * a.head + d];
      milo_ref_set(&out, row * a.head + d, sum);
    }
  }
  free(memory);
  attention_deinit(&a);
  return status;
}

// p = exp(score - lse), dp = grad value^T, ds = p (dp - sum(grad out)) scale
// dquery = ds key, dkey = ds^T query, dvalue = p^T grad, summed over the query heads of a kv head
milo_status milo_ref_attention_grad(const milo_ref_call *call) {
  milo_ref_tensor grad, out, lse;
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "out", &out);
  milo_ref_in(call, "lse", &lse);
  const milo_ref_tensor results[3] = {milo_ref_out(call, 0), milo_ref_out(call, 1),
                                      milo_ref_out(call, 2)};
  attention a;
  void *memory = NULL, *sums_memory = NULL;
  double *dout = NULL;
  const size_t counts[3] = {results[0].count, results[1].count, results[2].count};
  milo_status status = attention_init(call, &a);
  if (status == MILO_OK) status = milo_ref_alloc(call, a.keys, sizeof(double), &memory);
  if (status == MILO_OK)
    status = milo_ref_alloc(call, counts[0] + counts[1] + counts[2], sizeof(double), &sums_memory);
  if (status == MILO_OK) status = milo_ref_doubles(call, &grad, &dout);
  double *scores = memory, *sums = sums_memory;

  for (size_t row = 0; status == MILO_OK && row < a.batch * a.heads * a.queries; ++row) {
    const size_t b = row / (a.heads * a.queries), h = row / a.queries % a.heads;
    const size_t seen = score_row(&a, b, h, row % a.queries, scores);
    const size_t kv = row_of(&a, a.kv_heads, a.keys, b, h / (a.heads / a.kv_heads), 0);
    const double *g = dout + row * a.head;
    double *dquery = sums + row * a.head, *dkey = sums + counts[0] + kv;
    double *dvalue = sums + counts[0] + counts[1] + kv;
    double delta = 0;
    for (size_t d = 0; d < a.head; ++d) delta += g[d] * milo_ref_get(&out, row * a.head + d);
    for (size_t t = 0; t < seen; ++t) {
      const double p = exp(scores[t] - milo_ref_get(&lse, row));
      const double ds = p * (dot(g, a.value + kv + t * a.head, a.head) - delta) * a.scale;
      for (size_t d = 0; d < a.head; ++d) {
        dquery[d] += ds * a.key[kv + t * a.head + d];
        dkey[t * a.head + d] += ds * a.query[row * a.head + d];
        dvalue[t * a.head + d] += p * g[d];
      }
    }
  }
  for (size_t r = 0, first = 0; status == MILO_OK && r < 3; first += counts[r++])
    for (size_t i = 0; i < counts[r]; ++i) milo_ref_set(&results[r], i, sums[first + i]);
  free(memory);
  free(sums_memory);
  free(dout);
  attention_deinit(&a);
  return status;
}

// ---- gate ----

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

milo_status milo_ref_silu_gate_grad(const milo_ref_call *call) {
  milo_ref_tensor grad, x, y;
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "x", &x);
  milo_ref_in(call, "y", &y);
  const milo_ref_tensor dx = milo_ref_out(call, 0), dy = milo_ref_out(call, 1);
  for (size_t i = 0; i < dx.count; ++i) {
    const double g = milo_ref_get(&grad, i), v = milo_ref_get(&x, i), s = sigmoid(v);
    milo_ref_set(&dx, i, g * milo_ref_get(&y, i) * s * (1 + v * (1 - s)));
    milo_ref_set(&dy, i, g * v * s);
  }
  return MILO_OK;
}

// ---- cross-entropy ----

static milo_status read_target(const milo_ref_call *call, const milo_ref_tensor *target, size_t row,
                               size_t vocab, size_t *out) {
  const int64_t t = milo_ref_get_int(target, row);
  if (t < 0 || (uint64_t)t >= vocab)
    return milo_ref_fail(call, "target[%zu] = %lld is not in [0, %zu)", row, (long long)t, vocab);
  *out = (size_t)t;
  return MILO_OK;
}

milo_status milo_ref_cross_entropy(const milo_ref_call *call) {
  milo_ref_tensor logits, target;
  milo_ref_in(call, "logits", &logits);
  milo_ref_in(call, "target", &target);
  const milo_ref_tensor loss = milo_ref_out(call, 0), lse = milo_ref_out(call, 1);
  const size_t vocab = (size_t)logits.dims[1];
  double *values;
  MILO_TRY(milo_ref_doubles(call, &logits, &values));
  milo_status status = MILO_OK;
  for (size_t row = 0; row < loss.count && status == MILO_OK; ++row) {
    size_t t = 0;
    status = read_target(call, &target, row, vocab, &t);
    if (status != MILO_OK) break;
    const double total = log_sum_exp(values + row * vocab, vocab);
    milo_ref_set(&loss, row, total - values[row * vocab + t]);
    milo_ref_set(&lse, row, total);
  }
  free(values);
  return status;
}

milo_status milo_ref_cross_entropy_grad(const milo_ref_call *call) {
  milo_ref_tensor grad, logits, target, lse, out = milo_ref_out(call, 0);
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "logits", &logits);
  milo_ref_in(call, "target", &target);
  milo_ref_in(call, "lse", &lse);
  const size_t vocab = (size_t)logits.dims[1];
  for (size_t row = 0; row < grad.count; ++row) {
    size_t t = 0;
    MILO_TRY(read_target(call, &target, row, vocab, &t));
    for (size_t k = 0; k < vocab; ++k) {
      const size_t i = row * vocab + k;
      const double p = exp(milo_ref_get(&logits, i) - milo_ref_get(&lse, row));
      milo_ref_set(&out, i, (p - (k == t)) * milo_ref_get(&grad, row));
    }
  }
  return MILO_OK;
}

// ---- optimizer ----

static double scalar(const milo_ref_call *call, const char *name) {
  milo_ref_tensor t;
  milo_ref_in(call, name, &t);
  return milo_ref_get(&t, 0);
}

milo_status milo_ref_adamw(const milo_ref_call *call) {
  milo_ref_tensor param, grad, m, v;
  milo_ref_in(call, "param", &param);
  milo_ref_in(call, "grad", &grad);
  milo_ref_in(call, "m", &m);
  milo_ref_in(call, "v", &v);
  const milo_ref_tensor new_param = milo_ref_out(call, 0), new_m = milo_ref_out(call, 1),
                        new_v = milo_ref_out(call, 2);
  const double lr = scalar(call, "lr"), grad_scale = scalar(call, "grad_scale");
  const double bias1 = scalar(call, "bias1"), bias2 = scalar(call, "bias2");
  const double beta1 = milo_op_float(call->op, "beta1"), beta2 = milo_op_float(call->op, "beta2");
  const double epsilon = milo_op_float(call->op, "epsilon");
  const double decay = milo_op_float(call->op, "weight_decay");
  for (size_t i = 0; i < param.count; ++i) {
    const double p = milo_ref_get(&param, i), g = milo_ref_get(&grad, i) * grad_scale;
    const double m1 = beta1 * milo_ref_get(&m, i) + (1 - beta1) * g;
    const double v1 = beta2 * milo_ref_get(&v, i) + (1 - beta2) * g * g;
    const double update = m1 / bias1 / (sqrt(v1 / bias2) + epsilon);
    milo_ref_set(&new_param, i, p - lr * (update + decay * p));
    milo_ref_set(&new_m, i, m1);
    milo_ref_set(&new_v, i, v1);
  }
  return MILO_OK;
}
