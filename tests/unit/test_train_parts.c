// SPDX-License-Identifier: MIT
#include "generate/sample.h"
#include "tap.h"
#include "train/loader.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/schedule.h"

static const milo_model_config model = {.struct_bytes = sizeof(milo_model_config), .seq = 16};

static milo_train_options complete(milo_train_options o) {
  milo_train_options out;
  o.struct_bytes = sizeof o;
  CHECK(milo_train_options_complete(&o, &model, NULL, &out) == MILO_OK);
  return out;
}

static void test_defaults(void) {
  const milo_train_options o = complete((milo_train_options){.steps = 50, .weight_decay = -1});
  CHECK(o.batch == 8 && o.seq == 16 && o.accumulate == 1 && o.warmup == 5 && o.eval_every == 250);
  CHECK(o.weight_decay == 0 && o.clip == 1 && o.lr == 1e-3 && o.beta2 == 0.95);
  CHECK(complete((milo_train_options){.clip = -1}).clip == (double)INFINITY);
  CHECK(complete((milo_train_options){.steps = 5000}).warmup == 100);
}

static void test_bad_options(void) {
  static const struct {
    milo_train_options options;
    const char *words;
  } bad[] = {
      {{.lr = -1}, "lr is -1"},
      {{.lr = (double)NAN}, "lr is nan"},
      {{.min_lr_ratio = 2}, "min_lr_ratio is 2"},
      {{.beta1 = 1}, "less than 1"},
      {{.beta2 = -0.5}, "beta2"},
      {{.val_fraction = 0.95}, "val_fraction"},
      {{.seq = 17}, "longer than the model's 16"},
      {{.steps = UINT64_MAX}, "steps"},
      {{.batch = SIZE_MAX}, "batch"},
      {{.schedule = (milo_schedule)9}, "no schedule 9"},
      {{.optimizer = (milo_optimizer_kind)9}, "no optimizer 9"},
      {{.decay_steps = 5}, "decay_steps is a part of the schedule wsd"},
      {{.schedule = MILO_SCHEDULE_CONSTANT, .min_lr_ratio = 0.5}, "a constant one has none"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    milo_train_options o = bad[i].options, out;
    o.struct_bytes = sizeof o;
    milo_diag diag = {0};
    CHECK(milo_train_options_complete(&o, &model, &diag, &out) == MILO_ERR_INVALID);
    if (!CHECK(strstr(milo_diag_text(&diag), bad[i].words) != NULL))
      printf("# %s\n", milo_diag_text(&diag));
    milo_diag_deinit(&diag);
  }
}

static void test_schedule(void) {
  const milo_train_options o =
      complete((milo_train_options){.steps = 2000, .warmup = 100, .lr = 3e-3});
  CHECK_NEAR(milo_schedule_rate(&o, 0), 3e-5, 1e-15);
  CHECK_NEAR(milo_schedule_rate(&o, 49), 1.5e-3 * (0.1 + 0.45 * (1 + cos(0.0245 * M_PI))), 1e-15);
  CHECK_NEAR(milo_schedule_rate(&o, 1000), 3e-3 * 0.55, 1e-15);
  CHECK_NEAR(milo_schedule_rate(&o, 1999), 3e-4, 1e-8);
}

static void test_other_schedules(void) {
  const milo_train_options linear = complete(
      (milo_train_options){.steps = 200, .warmup = 10, .lr = 1, .schedule = MILO_SCHEDULE_LINEAR});
  CHECK_NEAR(milo_schedule_rate(&linear, 0), 0.1, 1e-15);
  CHECK_NEAR(milo_schedule_rate(&linear, 100), 0.55, 1e-15);
  CHECK_NEAR(milo_schedule_rate(&linear, 199), 1 - 0.9 * 199 / 200, 1e-15);
  const milo_train_options constant = complete((milo_train_options){
      .steps = 200, .warmup = 10, .lr = 2, .schedule = MILO_SCHEDULE_CONSTANT});
  CHECK(milo_schedule_rate(&constant, 4) == 1 && milo_schedule_rate(&constant, 9) == 2);
  CHECK(milo_schedule_rate(&constant, 199) == 2);
  milo_train_options wsd = complete((milo_train_options){
      .steps = 200, .warmup = 10, .lr = 1, .schedule = MILO_SCHEDULE_WSD, .min_lr_ratio = -1});
  CHECK(wsd.decay_steps == 40);
  CHECK(milo_schedule_rate(&wsd, 10) == 1 && milo_schedule_rate(&wsd, 160) == 1);
  CHECK_NEAR(milo_schedule_rate(&wsd, 161), 1 - 1.0 / 40, 1e-15);
  CHECK_NEAR(milo_schedule_rate(&wsd, 199), 1.0 / 40, 1e-15);
  wsd = complete(
      (milo_train_options){.steps = 3, .schedule = MILO_SCHEDULE_WSD, .decay_steps = 10, .lr = 1});
  CHECK_NEAR(milo_schedule_rate(&wsd, 2), 1 - 0.9 * 2 / 10, 1e-15);
  CHECK(complete((milo_train_options){.steps = 3, .schedule = MILO_SCHEDULE_WSD}).decay_steps == 1);
}

// One parameter that decays and one that does not, three steps against the formulas in double.
static void check_adam(milo_optimizer_kind kind, double decay) {
  milo_diag diag = {0};
  milo_params params = {0};
  const int64_t dims[] = {1, 2};
  const milo_type matrix = milo_type_tensor(MILO_FP32, 2, dims);
  const milo_train_options o = complete((milo_train_options){
      .steps = 3, .optimizer = kind, .weight_decay = decay, .beta1 = 0.8, .beta2 = 0.9});
  const milo_host host = {0};
  milo_device *device = NULL;
  if (!CHECK(milo_device_open("ref", &host, &diag, &device) == MILO_OK)) return;
  CHECK(milo_params_add(&params, "w", &matrix, true, true, NULL) == MILO_OK);
  CHECK(milo_params_add(&params, "n", &matrix, true, false, NULL) == MILO_OK);
  CHECK(milo_params_alloc(&params, NULL, NULL) == MILO_OK);
  milo_buffer *gradients[2] = {NULL};
  double p[2][2] = {{0.5, -2}, {1.5, 3}}, m[2][2] = {{0}}, v[2][2] = {{0}};
  for (int i = 0; i < 2; i++) {
    const float first[2] = {(float)p[i][0], (float)p[i][1]};
    CHECK(milo_parameter_set(&params.items[i], 0, 2, first, NULL) == MILO_OK);
    CHECK(milo_buffer_alloc(8, NULL, &gradients[i]) == MILO_OK);
  }
  static const milo_optimizer_rule rule;
  milo_optimizer *optimizer = NULL;
  CHECK(milo_optimizer_create(device, &params, gradients, &rule, &o, &diag, &optimizer) == MILO_OK);
  for (int t = 1; t <= 3; t++) {
    for (int i = 0; i < 2; i++) {
      const float gradient[2] = {0.25f * (float)t, -1.5f + (float)i};
      CHECK(milo_buffer_write(gradients[i], 0, gradient, 8) == MILO_OK);
      for (int k = 0; k < 2; k++) {
        const double d = i == 0 ? decay : 0, g0 = 0.5 * (double)gradient[k];
        const double g = kind == MILO_OPTIMIZER_ADAM ? g0 + d * p[i][k] : g0;
        m[i][k] = 0.8 * m[i][k] + 0.2 * g;
        v[i][k] = 0.9 * v[i][k] + 0.1 * g * g;
        const double step =
            m[i][k] / (1 - pow(0.8, t)) / (sqrt(v[i][k] / (1 - pow(0.9, t))) + o.epsilon);
        p[i][k] -= 0.1 * (step + (kind == MILO_OPTIMIZER_ADAM ? 0 : d * p[i][k]));
      }
    }
    CHECK(milo_optimizer_step(optimizer, (uint64_t)t, 0.1, 0.5, &diag) == MILO_OK);
  }
  for (int i = 0; i < 2; i++) {
    float got[2];
    CHECK(milo_parameter_get(&params.items[i], 0, 2, got, NULL) == MILO_OK);
    for (int k = 0; k < 2; k++) CHECK_NEAR((double)got[k], p[i][k], 1e-6);
    milo_buffer_release(gradients[i]);
  }
  milo_optimizer_destroy(optimizer);
  milo_params_deinit(&params);
  milo_device_close(device);
  milo_diag_deinit(&diag);
}

static void test_adam(void) {
  check_adam(MILO_OPTIMIZER_ADAMW, 0.3);
  check_adam(MILO_OPTIMIZER_ADAM, 0.3);
  const milo_train_options o = complete((milo_train_options){.optimizer = MILO_OPTIMIZER_ADAM});
  CHECK(o.weight_decay == 0 && o.beta1 == 0.9 && o.beta2 == 0.999);
}

static void test_loader(void) {
  uint32_t ids[1000];
  for (uint32_t i = 0; i < 1000; i++) ids[i] = i;
  milo_loader loader;
  const milo_train_options o =
      complete((milo_train_options){.batch = 3, .accumulate = 2, .seed = 5, .eval_batches = 2});
  CHECK(milo_loader_init(&loader, ids, 1000, 1000, &o, NULL) == MILO_OK);
  CHECK(loader.train_count == 950 && loader.val_count == 50 && loader.val_rows == 6);
  int32_t tokens[6 * 16], targets[6 * 16], again[16], unused[16];
  int starts[934] = {0};
  for (uint64_t step = 0; step < 500; step++) {
    milo_loader_batch(&loader, step, 0, 6, tokens, targets);
    milo_loader_batch(&loader, step, 4, 1, again, unused);
    CHECK(memcmp(again, tokens + 4 * 16, sizeof again) == 0);
    for (size_t row = 0; row < 6; row++) {
      CHECK(tokens[row * 16] >= 0 && tokens[row * 16] < 934);
      starts[tokens[row * 16]]++;
      for (size_t i = 0; i < 16; i++) {
        CHECK(targets[row * 16 + i] == tokens[row * 16 + i] + 1);
        CHECK(tokens[row * 16 + i] == tokens[row * 16] + (int32_t)i);
      }
    }
  }
  size_t seen = 0;
  for (size_t i = 0; i < 934; i++) seen += starts[i] > 0;
  CHECK(seen > 850);  // of 934 places, 3000 draws miss about 38
  milo_loader_validation(&loader, 0, 6, tokens, targets);
  for (size_t row = 0; row < 6; row++) CHECK(tokens[row * 16] == 950 + (int32_t)row * 34 / 6);
  CHECK(targets[6 * 16 - 1] < 1000);

  milo_loader other;
  ids[999] = 7;
  CHECK(milo_loader_init(&other, ids, 1000, 1000, &o, NULL) == MILO_OK);
  CHECK(other.checksum != loader.checksum);
  milo_diag diag = {0};
  CHECK(milo_loader_init(&other, ids, 1000, 998, &o, &diag) == MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "token 998 is 998") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_loader_init(&other, ids, 17, 1000, &o, &diag) == MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "16 tokens to train on, a window needs 17") != NULL);
  milo_diag_deinit(&diag);
  CHECK(milo_loader_init(&other, ids, 18, 1000, &o, NULL) == MILO_OK && other.val_rows == 0);
}

static void test_greedy(void) {
  milo_sampler s;
  CHECK(milo_sampler_init(&s, 4, 0, 0, 1, NULL) == MILO_OK);
  const float logits[4] = {1, 3, 3, 2};
  CHECK(milo_sampler_draw(&s, logits, 0) == 1);
  milo_sampler_deinit(&s);
}

static void count_draws(double temperature, double top_p, const float *logits, int *counts) {
  milo_sampler s;
  CHECK(milo_sampler_init(&s, 4, temperature, top_p, 1, NULL) == MILO_OK);
  for (uint64_t i = 0; i < 10000; i++) counts[milo_sampler_draw(&s, logits, i)]++;
  milo_sampler_deinit(&s);
}

static void test_temperature_and_top_p(void) {
  const float logits[4] = {logf(1), logf(2), logf(4), logf(3)};
  int plain[4] = {0}, cold[4] = {0}, top[4] = {0};
  count_draws(1, 0, logits, plain);
  for (int i = 0; i < 4; i++)
    CHECK_NEAR(plain[i], 1000.0 * (i == 0 ? 1 : i == 1 ? 2 : i == 2 ? 4 : 3), 200);
  count_draws(0.5, 1, logits, cold);  // weights squared: 1 4 16 9
  CHECK_NEAR(cold[2], 10000.0 * 16 / 30, 200);
  count_draws(1, 0.6, logits, top);  // 4 and 3 of 10 reach 0.6
  CHECK(top[0] == 0 && top[1] == 0);
  CHECK_NEAR(top[2], 10000.0 * 4 / 7, 200);
  milo_sampler s;
  milo_diag diag = {0};
  CHECK(milo_sampler_init(&s, 4, -1, 0, 1, &diag) == MILO_ERR_INVALID && diag.errors == 1);
  CHECK(milo_sampler_init(&s, 4, 1, 1.5, 1, &diag) == MILO_ERR_INVALID && diag.errors == 2);
  milo_diag_deinit(&diag);
}

int main(void) {
  RUN(test_defaults);
  RUN(test_bad_options);
  RUN(test_schedule);
  RUN(test_other_schedules);
  RUN(test_adam);
  RUN(test_loader);
  RUN(test_greedy);
  RUN(test_temperature_and_top_p);
  return tap_done();
}
