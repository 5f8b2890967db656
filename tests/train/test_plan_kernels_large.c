// SPDX-License-Identifier: MIT
// Kernels of the plans static and dynamic at the shapes of Stories110M and Qwen3-0.6B, on cpu.
// ctest: LABELS slow TIMEOUT 1200
#include "base/cpu.h"
#include "plan_kernels.h"

// Of the greatest element of a part.
#define FP32_BOUND 1e-5
#define FP16_BOUND 1e-2

static bool takes_rows(milo_kernel_id id) {
  const milo_plan_kernel *kernel = milo_plan_kernel_get(id);
  return kernel->in[0].extent == MILO_EXTENT_R || kernel->out[0].extent == MILO_EXTENT_R;
}

static void check(const milo_model_config *given, int64_t rows) {
  milo_model_config config;
  milo_device *device = NULL;
  milo_pool *pool = NULL;
  if (!CHECK(milo_model_config_complete(given, NULL, &config) == MILO_OK)) return;
  CHECK(milo_pool_create(2, NULL, &pool) == MILO_OK);
  const milo_host host = {.pool = pool, .cpu_caps = milo_cpu_detect()};
  CHECK(milo_device_open("cpu", &host, NULL, &device) == MILO_OK);
  milo_model *model = kc_model(&config);
  for (int half = 0; half < 2; half++) {
    double worst = 0;
    for (int id = 0; id < MILO_KERNEL_COUNT; id++) {
      const milo_plan_shape shape = {.config = &config,
                                     // those of the classifier take long in plain C
                                     .seq = takes_rows((milo_kernel_id)id) ? 32 : 256,
                                     .dtype = half ? MILO_FP16 : MILO_FP32,
                                     .rows = rows,
                                     .host = &host};
      worst = fmax(worst, kc_check(device, (milo_kernel_id)id, &shape, model,
                                   half ? FP16_BOUND : FP32_BOUND));
    }
    printf("# %s: greatest difference %.1e\n", half ? "fp16" : "fp32", worst);
  }
  milo_model_destroy(model);
  milo_device_close(device);
  milo_pool_destroy(pool);
}

static void test_stories110m(void) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = 768,
                                    .hidden = 2048,
                                    .layers = 1,
                                    .heads = 12,
                                    .kv_heads = 12,
                                    .head_dim = 64,
                                    .seq = 256,
                                    .vocab = 32000};
  check(&config, milo_plan_classifier_rows(config.vocab));
}

// Grouped heads, head_dim not dim / heads, norms of heads; one of the parts that its classifier is
// cut into.
static void test_qwen3(void) {
  const milo_model_config config = {.struct_bytes = sizeof config,
                                    .dim = 1024,
                                    .hidden = 3072,
                                    .layers = 1,
                                    .heads = 16,
                                    .kv_heads = 8,
                                    .head_dim = 128,
                                    .seq = 256,
                                    .vocab = 9496,
                                    .rope_theta = 1e6,
                                    .norm_epsilon = 1e-6,
                                    .rope_half = true,
                                    .qk_norm = true};
  check(&config, milo_plan_classifier_rows(151936));
}

int main(void) {
  RUN(test_stories110m);
  RUN(test_qwen3);
  return tap_done();
}
