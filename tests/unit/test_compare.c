// SPDX-License-Identifier: MIT
// The comparison that all tests lean on: what it must not let pass.
#include "op_run.h"

static void test_near(void) {
  const double inf = (double)INFINITY, nan = (double)NAN;
  CHECK(compare_near(1, 1.5, 0.5) && !compare_near(1, 1.5, 0.49));
  CHECK(compare_near(-0.0, 0.0, 0) && compare_near(3, 3, 0));
  CHECK(compare_near(inf, inf, 0) && compare_near(-inf, -inf, inf) && compare_near(nan, nan, 0));
  // A bound scaled by an infinite value.
  CHECK(!compare_near(5, inf, inf) && !compare_near(inf, 5, inf) && !compare_near(-inf, inf, inf));
  CHECK(!compare_near(5, nan, inf) && !compare_near(nan, 5, inf) && !compare_near(nan, inf, inf));
  CHECK(!compare_near(5, 6, inf) && !compare_near(5, 6, nan));
}

static void test_same(void) {
  const double inf = (double)INFINITY, nan = (double)NAN;
  CHECK(compare_same(0.0, 0.0) && compare_same(-0.0, -0.0) && !compare_same(-0.0, 0.0));
  CHECK(compare_same(nan, -nan) && !compare_same(nan, inf) && !compare_same(inf, -inf));
  CHECK(compare_same(2, 2) && !compare_same(2, 2.0000001));
}

static void test_scale(void) {
  double scale = 0;
  const double numbers[] = {1e-9, -3e-4, (double)INFINITY, (double)NAN, 2e-4};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    scale = compare_scale(scale, numbers[i]);
  CHECK(scale == 3e-4);
}

// Tensors: what is small is held to its own size.
static void test_tensors(void) {
  static run_tensors got, wanted;
  run_parse("fp16[3] x = 0.001 0.0005 inf; fp32[2] y = 0 0", &wanted);
  run_parse("fp16[3] x = 0.001 0.0005 inf; fp32[2] y = 0 0", &got);
  CHECK(run_compare(&got, &wanted, 4));
  got.items[0].values[1] = 0.0006;
  CHECK(!run_compare(&got, &wanted, 4));
  got.items[0].values[1] = 0.0005;
  got.items[0].values[2] = 5;
  CHECK(!run_compare(&got, &wanted, 4));
  got.items[0].values[2] = (double)INFINITY;
  got.items[1].values[0] = 1e-9;
  CHECK(!run_compare(&got, &wanted, 4));
}

static void test_calls(void) {
  CHECK(run_calls("y = rms_norm(x = x)", "rms_norm") && run_calls("rope(x = x)", "rope"));
  CHECK(!run_calls("y = rms_norm_grad(grad = g)", "rms_norm"));
  CHECK(!run_calls("y = my_rope(x = x)", "rope"));
}

int main(void) {
  RUN(test_near);
  RUN(test_same);
  RUN(test_scale);
  RUN(test_tensors);
  RUN(test_calls);
  return tap_done();
}
