// SPDX-License-Identifier: MIT
// Training with activations in 16 bits: gradients, weight by weight, against fp32's, on every
// device; losses; loss scaling of fp16; what is stored.
#include "base/cpu.h"
#include "base/rng.h"
#include "tap.h"
#include "train/plan.h"

enum { SEQ = 7, BATCH = 3, ROWS = SEQ * BATCH, VOCAB = 37 };

static milo_device *device_of(const char *name, unsigned mask) {
  milo_device *device = NULL;
  const milo_host host = {.cpu_caps = milo_cpu_detect() & mask};
  if (milo_device_open(name, &host, NULL, &device) != MILO_OK) abort();
  return device;
}

// Odd sizes all over; with a vocabulary and a width that no vector divides. Heads of 34 are wide
// enough for attention to multiply in bf16.
static milo_model *model_of(bool all, double spread, int64_t head) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = 21,
                                    .hidden = 23,
                                    .layers = 3,
                                    .heads = 3,
                                    .kv_heads = all ? 1 : 3,
                                    .head_dim = head,
                                    .seq = SEQ,
                                    .vocab = VOCAB,
                                    .qk_norm = all,
                                    .rope_half = all,
                                    .untied = all};
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) abort();
  if (milo_model_create(ctx, &config, 3, &model) != MILO_OK) {
    printf("# %s\n", milo_error(ctx));
    abort();
  }
  milo_ctx_destroy(ctx);
  // Larger than the initial weights: all of it shall matter.
  uint64_t n = 0;
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    float *values = milo_buffer_map(p->buffer, MILO_READ_WRITE);
    for (size_t k = 0; k < milo_type_elements(&p->type); k++)
      values[k] += (float)(spread * (milo_rng_uniform(8, 1, n++) - 0.5));
    if (milo_buffer_unmap(p->buffer, values, MILO_READ_WRITE) != MILO_OK) abort();
  }
  return model;
}

typedef struct found {
  double loss;
  float *gradients;  // of all weights
} found;

static found run(milo_device *device, const milo_model *model, milo_precision precision,
                 double scale, size_t micro) {
  found f = {.gradients = calloc((size_t)milo_params_elements(&model->params), sizeof(float))};
  milo_diag diag = {0};
  milo_plan *plan = NULL;
  const milo_plan_options options = {
      .batch = BATCH, .seq = SEQ, .micro_batches = micro, .precision = precision};
  if (!CHECK(milo_plan_create(device, model, &options, &diag, &plan) == MILO_OK)) {
    printf("# %s\n", milo_diag_text(&diag));
    milo_diag_deinit(&diag);
    return f;
  }
  CHECK(milo_plan_set_scale(plan, scale, NULL) == MILO_OK);
  CHECK(milo_plan_begin(plan, NULL) == MILO_OK);
  for (size_t m = 0; m < micro; m++) {
    int32_t tokens[ROWS], targets[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
      tokens[i] = (int32_t)milo_rng_below(5, 1, m * ROWS + i, VOCAB);
      targets[i] = (int32_t)milo_rng_below(5, 2, m * ROWS + i, VOCAB);
    }
    double part = 0;
    CHECK(milo_plan_load(plan, tokens, targets, NULL) == MILO_OK);
    CHECK(milo_plan_run(plan, NULL, &part) == MILO_OK);
    f.loss += part;
  }
  float *out = f.gradients;
  for (size_t i = 0; i < model->params.count; i++) {
    milo_buffer *gradient = milo_plan_gradients(plan)[i];
    const size_t bytes = milo_buffer_bytes(gradient), count = bytes / sizeof *out;
    // Parameters' gradients are fp32 at every precision.
    CHECK(count == milo_type_elements(&model->params.items[i].type));
    CHECK(milo_buffer_read(gradient, 0, out, bytes) == MILO_OK);
    for (size_t k = 0; k < count; k++) out[k] = (float)((double)out[k] / scale);
    out += count;
  }
  milo_plan_destroy(plan);
  return f;
}

// The greatest ||a - b|| / ||b|| of a weight's gradient; NaN if one is.
static double distance(const milo_model *model, const float *a, const float *b) {
  double worst = 0;
  for (size_t i = 0; i < model->params.count; i++) {
    const size_t count = milo_type_elements(&model->params.items[i].type);
    double difference = 0, size = 0;
    for (size_t k = 0; k < count; k++) {
      const double d = (double)a[k] - (double)b[k];
      difference += d * d;
      size += (double)b[k] * (double)b[k];
    }
    const double relative = sqrt(difference / size);
    if (!(relative <= worst)) worst = relative;
    a += count;
    b += count;
  }
  return worst;
}

// With unit roundoff u, each value that is stored is off by at most u of itself, u / sqrt 3 in the
// mean, and about 11 lie between input and loss in a layer, as many on the way back: sqrt(2 (3 * 11
// + 2)) u / sqrt 3 = 4.8 u if errors are neither amplified nor related. A softmax's scores amplify
// theirs: 12 u is allowed, 3.7 to 9.3 are seen.
static void test_gradients(void) {
  static const struct {
    milo_precision precision;
    double u, scale;
  } cases[] = {{MILO_PRECISION_BF16, 0x1p-8, 1},
               {MILO_PRECISION_BF16, 0x1p-8, 1024},
               {MILO_PRECISION_FP16, 0x1p-11, 1},
               {MILO_PRECISION_FP16, 0x1p-11, 1024}};
  for (int d = 0; d < 3; d++)
    for (int all = 0; all < 2; all++)
      for (size_t micro = 1; micro < 3; micro++) {
        milo_device *device = device_of(d == 0 ? "ref" : "cpu", d == 2 ? 0 : ~0u);
        milo_device *ref = device_of("ref", 0);
        milo_model *model = model_of(all != 0, 0.6, all ? 34 : 6);
        const found exact = run(ref, model, MILO_PRECISION_FP32, 1, micro);
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
          const found f = run(device, model, cases[c].precision, cases[c].scale, micro);
          const double off = distance(model, f.gradients, exact.gradients) / cases[c].u;
          // Different from fp32 it must be: else nothing was stored.
          if (!CHECK(off <= 12 && off > 0.2))
            printf("# %s, %d: gradients differ by %g u\n", d == 0 ? "ref" : "cpu", (int)c, off);
          if (!CHECK(fabs(f.loss - exact.loss) <= 2 * cases[c].u * fabs(exact.loss)))
            printf("# loss %g, expected %g\n", f.loss, exact.loss);
          free(f.gradients);
        }
        free(exact.gradients);
        milo_model_destroy(model);
        milo_device_close(device);
        milo_device_close(ref);
      }
}

// A NaN among the weights is one in the loss, and no precision hides it.
static void test_nan(void) {
  for (int d = 0; d < 2; d++) {
    milo_device *device = device_of(d == 0 ? "ref" : "cpu", ~0u);
    milo_model *model = model_of(false, 0.6, 6);
    const float nan_value = NAN;
    milo_buffer *weight = milo_model_param(model, MILO_TENSOR_w1, 1)->buffer;
    CHECK(milo_buffer_write(weight, 5 * sizeof(float), &nan_value, sizeof nan_value) == MILO_OK);
    for (int p = MILO_PRECISION_FP32; p <= MILO_PRECISION_FP16; p++) {
      const found f = run(device, model, (milo_precision)p, 1, 1);
      CHECK(isnan(f.loss) && isnan(distance(model, f.gradients, f.gradients)));
      free(f.gradients);
    }
    milo_model_destroy(model);
    milo_device_close(device);
  }
}

// ---- training ----

enum { TOKENS = 3000 };
static uint32_t ids[TOKENS];

static void make_ids(void) {
  for (size_t i = 0; i < TOKENS; i++)
    ids[i] = milo_rng_below(6, 1, i, 4) ? (uint32_t)(i * 7 % VOCAB)
                                        : (uint32_t)milo_rng_below(6, 2, i, VOCAB);
}

typedef struct curve {
  double losses[41];
} curve;

static bool note_loss(void *user, const milo_train_report *r) {
  curve *c = user;
  c->losses[r->step] = r->loss;
  return true;
}

static milo_train_result train(milo_precision precision, double scale, curve *out) {
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  milo_model *model = model_of(true, 0.1, 6);
  milo_train_options options = {.struct_bytes = sizeof options,
                                .steps = 40,
                                .batch = 4,
                                .lr = 1e-2,
                                .precision = precision,
                                .loss_scale = scale,
                                .on_step = note_loss,
                                .user = out};
  milo_train_result result = {0};
  *out = (curve){0};
  if (!CHECK(milo_train(ctx, model, ids, TOKENS, &options, &result) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
  return result;
}

static void test_curves(void) {
  static curve exact, narrow;
  (void)train(MILO_PRECISION_FP32, 0, &exact);
  CHECK(exact.losses[40] < 0.8 * exact.losses[1]);  // it learns
  for (int p = MILO_PRECISION_BF16; p <= MILO_PRECISION_FP16; p++) {
    const milo_train_result result = train((milo_precision)p, 0, &narrow);
    CHECK(result.last.skipped == 0);
    CHECK(result.last.loss_scale == (p == MILO_PRECISION_FP16 ? 65536 : 1));
    for (int i = 1; i <= 40; i++)
      if (!CHECK(fabs(narrow.losses[i] - exact.losses[i]) <= 0.01 * exact.losses[i]))
        printf("# step %d: %g, in fp32 %g\n", i, narrow.losses[i], exact.losses[i]);
  }
}

// 2^30 times a gradient is beyond fp16, which fp32 would not notice: factors fall, and it learns.
static void test_fp16_overflow(void) {
  static curve c;
  const milo_train_result result = train(MILO_PRECISION_FP16, -0x1p30, &c);
  CHECK(result.last.skipped >= 5 && result.last.skipped < 25);
  CHECK(result.last.loss_scale == ldexp(0x1p30, -(int)result.last.skipped));
  CHECK(c.losses[40] < 0.95 * c.losses[1]);
  CHECK(train(MILO_PRECISION_BF16, -0x1p30, &c).last.skipped == 0);  // has fp32's range
}

int main(void) {
  make_ids();
  RUN(test_gradients);
  RUN(test_nan);
  RUN(test_curves);
  RUN(test_fp16_overflow);
  return tap_done();
}
