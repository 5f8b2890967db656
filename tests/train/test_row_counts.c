// SPDX-License-Identifier: MIT
// Any number of rows: the classifier goes over them in parts, and what comes out is what the rows
// give one by one.
#include "base/cpu.h"
#include "base/rng.h"
#include "generate/forward.h"
#include "model/head.h"
#include "tap.h"
#include "train/plan.h"

static void test_parts(void) {
  static const size_t vocabs[] = {1, 2, 512, 32000, 151936, (1 << 24) - 1, 1 << 24, 1 << 30};
  for (size_t v = 0; v < sizeof vocabs / sizeof *vocabs; v++)
    for (size_t rows = 1; rows < 20000; rows += rows < 600 ? 1 : 211) {
      const milo_row_parts p = milo_row_parts_make(rows, vocabs[v]);
      const size_t most = vocabs[v] < 1 << 24 ? (1 << 24) / vocabs[v] : 1;
      const size_t count = (rows + p.part - 1) / p.part;
      // Within the limit, all rows covered, no more parts than the limit asks for.
      if (!CHECK(p.rows == rows && p.part >= 1 && p.part <= most && p.last >= 1 &&
                 p.last <= p.part && (count - 1) * p.part + p.last == rows &&
                 count == (rows + most - 1) / most))
        printf("# %zu rows, vocabulary %zu: %zu and %zu\n", rows, vocabs[v], p.part, p.last);
    }
  const milo_row_parts prime = milo_row_parts_make(1021, 32000);
  CHECK(prime.part == 511 && prime.last == 510);
}

// A vocabulary that lets a part have 8 rows.
enum { VOCAB = 1 << 21, DIM = 2, MOST = 13 };

static milo_device *device_of(const char *name) {
  milo_device *device = NULL;
  const milo_host host = {.cpu_caps = milo_cpu_detect()};
  if (milo_device_open(name, &host, NULL, &device) != MILO_OK) abort();
  return device;
}

static milo_model *model_of(void) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = DIM,
                                    .hidden = 4,
                                    .layers = 1,
                                    .heads = 1,
                                    .kv_heads = 1,
                                    .head_dim = DIM,
                                    .seq = MOST,
                                    .vocab = VOCAB};
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) abort();
  if (milo_model_create(ctx, &config, 3, &model) != MILO_OK) abort();
  milo_ctx_destroy(ctx);
  // Logits that differ: weights of 0.02 would make all losses alike.
  uint64_t n = 0;
  for (size_t i = 0; i < model->params.count; i++) {
    const milo_parameter *p = &model->params.items[i];
    float *values = milo_buffer_map(p->buffer, MILO_READ_WRITE);
    for (size_t k = 0; k < milo_type_elements(&p->type); k++)
      values[k] += (float)(milo_rng_uniform(8, 1, n++) - 0.5);
    if (milo_buffer_unmap(p->buffer, values, MILO_READ_WRITE) != MILO_OK) abort();
  }
  return model;
}

static void fill(int32_t *tokens, int32_t *targets, size_t first, size_t count) {
  for (size_t i = 0; i < count; i++) {
    tokens[i] = (int32_t)milo_rng_below(5, 1, first + i, VOCAB);
    targets[i] = (int32_t)milo_rng_below(5, 2, first + i, VOCAB);
  }
}

// Gradient and losses of `rows` sequences of one token, `batch` of them at a time.
static double gradients(milo_device *device, const milo_model *model, size_t rows, size_t batch,
                        float *out) {
  milo_plan *plan = NULL;
  double sum = 0;
  const milo_plan_options options = {.batch = batch, .seq = 1, .micro_batches = rows / batch};
  if (!CHECK(milo_plan_create(device, model, &options, NULL, &plan) == MILO_OK)) return 0;
  int32_t tokens[MOST], targets[MOST];
  CHECK(milo_plan_begin(plan, NULL) == MILO_OK);
  for (size_t row = 0; row < rows; row += batch) {
    double part = 0;
    fill(tokens, targets, row, batch);
    CHECK(milo_plan_load(plan, tokens, targets, NULL) == MILO_OK);
    CHECK(milo_plan_run(plan, NULL, &part) == MILO_OK);
    sum += part;
    double again = 0;
    if (row + batch < rows) continue;
    // Evaluating last: it may take the gradients' memory.
    float *to = out;
    for (size_t i = 0; i < model->params.count; i++) {
      milo_buffer *gradient = milo_plan_gradients(plan)[i];
      const size_t bytes = milo_buffer_bytes(gradient);
      CHECK(milo_buffer_read(gradient, 0, to, bytes) == MILO_OK);
      to += bytes / sizeof *to;
    }
    CHECK(milo_plan_evaluate(plan, NULL, &again) == MILO_OK);
    CHECK_NEAR(again, part, 1e-6 * fabs(part));
  }
  milo_plan_destroy(plan);
  return sum;
}

// Parts of several rows with a rest, against a plan that sees one row at a time.
static void test_training(void) {
  static const size_t counts[] = {2, 3, MOST};
  milo_device *cpu = device_of("cpu");
  milo_model *model = model_of();
  const size_t n = (size_t)milo_params_elements(&model->params);
  float *whole = malloc(n * sizeof *whole), *single = malloc(n * sizeof *single);
  for (size_t c = 0; whole && single && c < sizeof counts / sizeof *counts; c++) {
    const size_t rows = counts[c];
    const double a = gradients(cpu, model, rows, rows, whole);
    const double b = gradients(cpu, model, rows, 1, single);
    CHECK_NEAR(a, b, 1e-5 * fabs(b));
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
      const double d = (double)whole[i] - (double)single[i];
      difference += d * d;
      size += (double)single[i] * (double)single[i];
    }
    if (!CHECK(size > 0 && difference <= 1e-10 * size))
      printf("# %zu rows: %g of %g\n", rows, sqrt(difference), sqrt(size));
  }
  free(whole);
  free(single);
  milo_model_destroy(model);
  milo_device_close(cpu);
}

// The same for evaluation, and against the definition.
static void test_evaluation(void) {
  static const size_t counts[] = {1, 2, 3, 8, MOST};
  milo_model *model = model_of();
  for (int d = 0; d < 2; d++) {
    milo_device *device = device_of(d == 0 ? "ref" : "cpu"), *ref = device_of("ref");
    milo_forward *one = NULL;
    CHECK(milo_forward_create(ref, model, 1, 1, NULL, &one) == MILO_OK);
    for (size_t c = 0; one && c < sizeof counts / sizeof *counts; c++) {
      milo_forward *all = NULL;
      int32_t tokens[MOST], targets[MOST];
      float losses[MOST], loss[1];
      if (!CHECK(milo_forward_create(device, model, counts[c], 1, NULL, &all) == MILO_OK)) break;
      fill(tokens, targets, 0, counts[c]);
      CHECK(milo_forward_run(all, tokens, targets, losses, NULL) == MILO_OK);
      for (size_t i = 0; i<counts[c]; i += counts[c]> 4 ? 4 : 1) {
        fill(tokens, targets, i, 1);
        CHECK(milo_forward_run(one, tokens, targets, loss, NULL) == MILO_OK);
        CHECK_NEAR((double)losses[i], (double)loss[0], 2e-6 * fabs((double)loss[0]));
      }
      milo_forward_destroy(all);
    }
    milo_forward_destroy(one);
    milo_device_close(device);
    milo_device_close(ref);
  }
  milo_model_destroy(model);
}

int main(void) {
  RUN(test_parts);
  RUN(test_training);
  RUN(test_evaluation);
  return tap_done();
}
