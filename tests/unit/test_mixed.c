// SPDX-License-Identifier: MIT
// Operations whose arguments differ in type (iOS17: weights in fp32 for x in fp16, and the other
// way round): results and gradients, with numbers worked out by hand, on every device. A gradient
// has the type of what it is the gradient of.
#include "op_run.h"
#include "pass/pass.h"

// inputs ends with the seed of y; wanted holds y, then the gradient of every other input.
typedef struct mixed_case {
  const char *inputs, *body, *wanted;
} mixed_case;

#define X22 "fp16[2,2] x = 1 2 3 4; "
static const mixed_case cases[] = {
    // A constant takes the other's type, on either side.
    {X22 "fp16[2,1] grad_y = 1 2",
     "tensor<fp16, [2,1]> y = matmul(x = x, y = tensor<fp32, [2,1]>([[0.5], [3]]));",
     "fp16[2,1] y = 6.5 13.5; fp16[2,2] grad_x = 0.5 3 1 6"},
    {X22 "fp16[1,2] grad_y = 1 2",
     "tensor<fp16, [1,2]> y = matmul(x = tensor<fp32, [1,2]>([[0.5, 3]]), y = x);",
     "fp16[1,2] y = 9.5 13; fp16[2,2] grad_x = 0.5 1 3 6"},
    {X22 "fp16[2,1] grad_y = 1 2",
     "tensor<fp16, [2,1]> y = matmul(x = x, y = tensor<int32, [2,1]>([[2], [3]]));",
     "fp16[2,1] y = 8 18; fp16[2,2] grad_x = 2 3 4 6"},
    {X22 "fp16[2] grad_y = 1 2",
     "tensor<fp16, [2]> y = matmul(x = tensor<fp32, [2]>([0.5, 3]), y = x);",
     "fp16[2] y = 9.5 13; fp16[2,2] grad_x = 0.5 1 3 6"},
    // Of two values the result has x's type.
    {"fp16[1,2] x = 1 2; fp32[2,2] w = 1 2 3 4; fp16[1,2] grad_y = 1 2",
     "tensor<fp16, [1,2]> y = matmul(x = x, y = w);",
     "fp16[1,2] y = 7 10; fp16[1,2] grad_x = 5 11; fp32[2,2] grad_w = 1 2 2 4"},
    {"fp32[1,2] x = 1 2; fp16[2,2] w = 1 2 3 4; fp32[1,2] grad_y = 1 2",
     "tensor<fp32, [1,2]> y = matmul(x = x, y = w);",
     "fp32[1,2] y = 7 10; fp32[1,2] grad_x = 5 11; fp16[2,2] grad_w = 1 2 2 4"},
    {"fp16[1,2] x = 1 2; fp32[2,2] w = 1 2 3 4; fp32[2] c = 10 20; fp16[1,2] grad_y = 1 2",
     "tensor<fp16, [1,2]> y = linear(x = x, weight = w, bias = c);",
     "fp16[1,2] y = 15 31; fp16[1,2] grad_x = 7 10; fp32[2,2] grad_w = 1 2 2 4; "
     "fp32[2] grad_c = 1 2"},
    {"fp32[1,2] x = 1 2; fp16[2,2] w = 1 2 3 4; fp16[2] c = 10 20; fp32[1,2] grad_y = 1 2",
     "tensor<fp32, [1,2]> y = linear(x = x, weight = w, bias = c);",
     "fp32[1,2] y = 15 31; fp32[1,2] grad_x = 7 10; fp16[2,2] grad_w = 1 2 2 4; "
     "fp16[2] grad_c = 1 2"},
    {"fp16[1,1,3] x = 1 2 3; fp32[1,1,2] w = 2 5; fp32[1] c = 1; fp16[1,1,2] grad_y = 1 2",
     "tensor<fp16, [1,1,2]> y = conv(x = x, weight = w, bias = c);",
     "fp16[1,1,2] y = 13 20; fp16[1,1,3] grad_x = 2 9 10; fp32[1,1,2] grad_w = 5 8; "
     "fp32[1] grad_c = 3"},
    {"fp32[1,1,2] x = 1 2; fp16[1,1,2] w = 2 5; fp16[1] c = 1; fp32[1,1,3] grad_y = 1 2 3",
     "tensor<fp32, [1,1,3]> y = conv_transpose(x = x, weight = w, bias = c);",
     "fp32[1,1,3] y = 3 10 11; fp32[1,1,2] grad_x = 12 19; fp16[1,1,2] grad_w = 5 8; "
     "fp16[1] grad_c = 6"},
    {"fp16[1,1,2] x = 3 7; fp32[1] m = 1; fp32[1] v = 4; fp32[1] w = 3; fp32[1] c = 10; "
     "fp16[1,1,2] grad_y = 1 2",
     "tensor<fp16, [1,1,2]> y = batch_norm(x = x, mean = m, variance = v, gamma = w, beta = c, "
     "epsilon = fp32(0));",
     "fp16[1,1,2] y = 13 19; fp16[1,1,2] grad_x = 1.5 3; fp32[1] grad_m = -4.5; "
     "fp32[1] grad_v = -2.625; fp32[1] grad_w = 7; fp32[1] grad_c = 3"},
    {"fp16[1,2] x = 1 3; fp32[2] w = 2 4; fp32[2] c = 10 20; fp16[1,2] grad_y = 1 2",
     "tensor<fp16, [1,2]> y = layer_norm(x = x, axes = tensor<int32, [1]>([-1]), gamma = w, "
     "beta = c, epsilon = fp32(0));",
     "fp16[1,2] y = 8 24; fp16[1,2] grad_x = 0 0; fp32[2] grad_w = -1 2; fp32[2] grad_c = 1 2"},
    {"fp16[1,1,2] x = 1 3; fp32[1] w = 2; fp32[1] c = 10; fp16[1,1,2] grad_y = 1 2",
     "tensor<fp16, [1,1,2]> y = instance_norm(x = x, gamma = w, beta = c, epsilon = fp32(0));",
     "fp16[1,1,2] y = 8 12; fp16[1,1,2] grad_x = 0 0; fp32[1] grad_w = 1; fp32[1] grad_c = 3"},
    {"fp16[2] x = -2 3; fp16[2] grad_y = 1 2",
     "tensor<fp16, [2]> y = leaky_relu(x = x, alpha = fp32(0.25));",
     "fp16[2] y = -0.5 3; fp16[2] grad_x = 0.25 2"},
    {"fp32[2] x = 2 3.5; fp32[2] grad_y = 1 2",
     "tensor<fp32, [2]> y = inverse(x = x, epsilon = fp16(0.5));",
     "fp32[2] y = 0.4 0.25; fp32[2] grad_x = -0.16 -0.125"},
};

// The function of y alone, then with its gradient.
static void run_case(const mixed_case *c, milo_device *device) {
  static run_tensors inputs, wanted, got;
  milo_diag diag = {0};
  run_parse(c->inputs, &inputs);
  run_parse(c->wanted, &wanted);
  run_tensors *given = &inputs;
  given->count--;  // the seed is what differentiating adds
  wanted.count = 1;
  milo_program *program = run_program(given, c->body, &wanted, &diag);
  if (!CHECK(program != NULL && milo_ir_verify(program, &diag) == MILO_OK)) {
    printf("# %s\n%s\n", c->body, milo_diag_text(&diag));
    milo_diag_deinit(&diag);
    return;
  }
  milo_func *func = program->funcs[0];
  got = wanted;
  bool good = CHECK(run_func(device, func, given, &got, &diag) == MILO_OK) &&
              CHECK(run_compare(&got, &wanted, 2));
  given->count++;
  run_parse(c->wanted, &wanted);
  got = wanted;
  good =
      good &&
      CHECK(milo_autodiff(func, func->body->params, func->body->param_count, &diag) == MILO_OK) &&
      CHECK(milo_ir_verify_func(func, &diag) == MILO_OK) &&
      CHECK(run_func(device, func, given, &got, &diag) == MILO_OK) &&
      CHECK(run_compare(&got, &wanted, 2));
  if (!good) printf("# %s: %s\n%s\n", device->type->name, c->body, milo_diag_text(&diag));
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void test_mixed(void) {
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; type++) {
    const milo_host host = {0};
    milo_device *device = NULL;
    const milo_status status = milo_device_open((*type)->name, &host, NULL, &device);
    if (!CHECK(status == MILO_OK || status == MILO_ERR_UNSUPPORTED) || status != MILO_OK) continue;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) run_case(&cases[i], device);
    milo_device_close(device);
  }
}

int main(void) {
  RUN(test_mixed);
  return tap_done();
}
