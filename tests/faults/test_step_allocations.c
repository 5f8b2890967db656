// SPDX-License-Identifier: MIT
// A training step asks the system for nothing: after the first steps every allocation of Milo's is
// counted, at every precision, with one and several micro-batches.
#include <milo/milo.h>

#include "inject.h"
#include "tap.h"

enum { TOKENS = 600, VOCAB = 40, SETTLED = 3, LAST = 9 };

static uint32_t ids[TOKENS];
static size_t counted[LAST + 1];

static bool note_calls(void *user, const milo_train_report *report) {
  (void)user;
  counted[report->step] = fault_counted();
  return true;
}

static void check(milo_precision precision, size_t accumulate, const char *device) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = 12,
                                    .hidden = 20,
                                    .layers = 2,
                                    .heads = 2,
                                    .kv_heads = 1,
                                    .head_dim = 6,
                                    .seq = 10,
                                    .vocab = VOCAB};
  const milo_train_options options = {.struct_bytes = sizeof options,
                                      .device = device,
                                      .steps = LAST,
                                      .batch = 2,
                                      .accumulate = accumulate,
                                      .val_fraction = -1,
                                      .precision = precision,
                                      .on_step = note_calls};
  const milo_ctx_options threads = {.struct_bytes = sizeof threads, .threads = 2};
  milo_ctx *ctx = NULL;
  milo_model *model = NULL;
  if (!CHECK(milo_ctx_create(&threads, &ctx) == MILO_OK)) return;
  CHECK(milo_model_create(ctx, &config, 5, &model) == MILO_OK);
  fault_start(FAULT_NEVER, false, FAULT_CALM);
  if (!CHECK(milo_train(ctx, model, ids, TOKENS, &options, NULL) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  (void)fault_stop();
  CHECK(counted[1] > 0);  // making the plan is counted
  for (int step = SETTLED + 1; step <= LAST; step++)
    if (!CHECK(counted[step] == counted[SETTLED]))
      printf("# %s, precision %d: step %d made %zu calls\n", device, (int)precision, step,
             counted[step] - counted[step - 1]);
  milo_model_destroy(model);
  milo_ctx_destroy(ctx);
}

static void test_steps_allocate_nothing(void) {
  for (int p = MILO_PRECISION_FP32; p <= MILO_PRECISION_FP16; p++)
    for (size_t accumulate = 1; accumulate < 3; accumulate++)
      check((milo_precision)p, accumulate, "cpu");
}

int main(void) {
  for (size_t i = 0; i < TOKENS; i++) ids[i] = (uint32_t)(i * 7 % VOCAB);
  RUN(test_steps_allocate_nothing);
  return tap_done();
}
