// SPDX-License-Identifier: MIT
// Lifting constants to parameters: which ones, and that the lifted function with the constants as
// inputs computes what the function did, bit for bit, on ref and cpu.
#include "base/number.h"
#include "device/buffer.h"
#include "ir/op.h"
#include "pass/lift.h"
#include "tap.h"
#include "text/text.h"

#define CONST(type, name, value) \
  type " " name " = const()[name = string(\"" name "\"), val = " value "];\n"
#define OP(type, name, call) type " " name " = " call "[name = string(\"" name "\")];\n"

// Weights in both formats, in place, and used twice; and what is none: a scalar, a mask, running
// statistics, an infinity, epsilon, an output.
static const char text[] =
    "program(1.3)\n{\n    func main<ios18>(tensor<fp32, [3, 80]> x) {\n"
    CONST("tensor<fp32, [80]>", "gain", "tensor<fp32, [80]>(0x1.8p-1)")
    CONST("tensor<fp16, [80, 80]>", "half", "tensor<fp16, [80, 80]>(0x1.8p-5)")
    CONST("tensor<fp32, [3]>", "small", "tensor<fp32, [3]>([1, 2, 3])")
    CONST("fp32", "two", "fp32(2)")
    CONST("fp32", "eps", "fp32(0x1p-10)")
    CONST("tensor<fp32, [80]>", "mask", "tensor<fp32, [80]>(-1e9)")
    CONST("tensor<fp32, [80]>", "endless", "tensor<fp32, [80]>(infinity)")
    CONST("tensor<fp32, [80]>", "mean", "tensor<fp32, [80]>(0.5)")
    CONST("tensor<fp32, [80]>", "variance", "tensor<fp32, [80]>(2)")
    CONST("tensor<fp32, [80]>", "table", "tensor<fp32, [80]>(3)")
    CONST("tensor<int32, [1]>", "axes", "tensor<int32, [1]>([-1])")
    CONST("tensor<int32, [2]>", "flat", "tensor<int32, [2]>([3, 80])")
    CONST("tensor<int32, [3]>", "deep", "tensor<int32, [3]>([3, 80, 1])")
    CONST("string", "fp16", "string(\"fp16\")")
    CONST("string", "fp32", "string(\"fp32\")")
    OP("tensor<fp32, [3, 80]>", "a", "layer_norm(axes = axes, beta = gain, epsilon = eps, gamma = gain, x = x)")
    OP("tensor<fp16, [3, 80]>", "b", "cast(dtype = fp16, x = a)")
    OP("tensor<fp16, [3, 80]>", "c", "linear(weight = half, x = b)")
    OP("tensor<fp32, [3, 80]>", "d", "cast(dtype = fp32, x = c)")
    OP("tensor<fp32, [3, 80]>", "e", "mul(x = d, y = two)")
    OP("tensor<fp32, [3, 80]>", "f", "maximum(x = e, y = mask)")
    OP("tensor<fp32, [3, 80]>", "g", "minimum(x = f, y = endless)")
    OP("tensor<fp32, [3, 80, 1]>", "h", "reshape(shape = deep, x = g)")
    OP("tensor<fp32, [3, 80, 1]>", "i", "batch_norm(mean = mean, variance = variance, x = h)")
    OP("tensor<fp32, [3, 80]>", "j", "reshape(shape = flat, x = i)")
    OP("tensor<fp32, [3, 80]>", "k", "add(x = j, y = tensor<fp32, [80]>(0x1p-3))")
    OP("tensor<fp32, [80]>", "l", "add(x = table, y = gain)")
    OP("tensor<fp32, [3]>", "m", "mul(x = small, y = small)")
    "        } -> (k, l, m, table);\n}\n";

static milo_program *parse(void) {
  milo_program *program = NULL;
  milo_diag diag = {0};
  CHECK(milo_text_parse(text, sizeof text - 1, "in.mil", &diag, &program) == MILO_OK);
  if (program) CHECK(milo_ir_verify(program, &diag) == MILO_OK);
  if (*milo_diag_text(&diag)) printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  return program;
}

static void check_names(const char *patterns, const char *wanted) {
  milo_arena arena = {0};
  milo_lifting found;
  milo_str names = {0};
  milo_program *program = parse();
  if (!program) return;
  milo_lift_find(program->funcs[0], patterns, &arena, &found);
  for (size_t i = 0; i < found.count; i++) milo_str_printf(&names, "%s ", found.items[i].name);
  milo_str_puts(&names, "");
  CHECK_STR(names.data ? names.data : "", wanted);
  milo_str_deinit(&names);
  milo_program_destroy(program);
  milo_arena_deinit(&arena);
}

static void test_choice(void) {
  check_names(NULL, "gain half k_y ");
  check_names("", "gain half k_y ");
  check_names("*", "gain half small k_y ");
  check_names("two", "gain half two k_y ");
  check_names("mean,mask,sm*", "gain half small mask mean k_y ");
  check_names("!*,half", "half ");
  check_names("!*", "");
  check_names("*,!k_?", "gain half small ");
  check_names("endless,table,eps,axes,x", "gain half k_y ");
  check_names(",,!,gai", "gain half k_y ");
}

// The outputs of a function on a device; the inputs are x, then the parameters' constants.
static bool run(const char *name, const milo_func *func, const milo_lifting *lifted, uint8_t *out) {
  milo_host host = {0};
  milo_diag diag = {0};
  milo_device *device = NULL;
  milo_run *job = NULL;
  milo_buffer *in[8] = {0}, *outs[8] = {0};
  bool good = milo_device_open(name, &host, &diag, &device) == MILO_OK &&
              milo_run_compile(device, func, NULL, &diag, &job) == MILO_OK;
  for (size_t i = 0; good && i < func->body->param_count; i++) {
    const size_t count = milo_type_elements(&func->body->params[i]->type);
    float *data = calloc(count, sizeof *data);
    for (size_t k = 0; k < count; k++)
      data[k] = i == 0 ? (float)(k % 17) / 7 - 1
                       : (float)milo_number_load(lifted->items[i - 1].type.dtype,
                                                 lifted->items[i - 1].data, k);
    good = milo_buffer_alloc(count * sizeof *data, &diag, &in[i]) == MILO_OK &&
           milo_buffer_write(in[i], 0, data, count * sizeof *data) == MILO_OK;
    free(data);
  }
  for (size_t i = 0; good && i < func->body->output_count; i++)
    good = milo_buffer_alloc(milo_type_bytes(&func->body->outputs[i]->type), &diag, &outs[i]) ==
           MILO_OK;
  good = good && milo_run_execute(job, in, outs, &diag) == MILO_OK;
  for (size_t i = 0; good && i < func->body->output_count; i++) {
    const size_t bytes = milo_type_bytes(&func->body->outputs[i]->type);
    good = milo_buffer_read(outs[i], 0, out, bytes) == MILO_OK;
    out += bytes;
  }
  if (!good) printf("# %s: %s\n", name, milo_diag_text(&diag));
  for (int i = 0; i < 8; i++) {
    milo_buffer_release(in[i]);
    milo_buffer_release(outs[i]);
  }
  milo_run_destroy(job);
  milo_device_close(device);
  milo_diag_deinit(&diag);
  return good;
}

static void test_same_values(void) {
  milo_arena arena = {0};
  milo_diag diag = {0};
  milo_lifting lifted;
  milo_program *before = parse(), *after = parse();
  if (!before || !after) return;
  CHECK(milo_lift(after->funcs[0], "*,two", &arena, &diag, &lifted) == MILO_OK);
  CHECK(milo_ir_verify(after, &diag) == MILO_OK);
  CHECK(lifted.count == 5 && after->funcs[0]->body->param_count == 6);
  for (size_t i = 0; i < lifted.count; i++) {
    CHECK(lifted.items[i].param == after->funcs[0]->body->params[i + 1]);
    CHECK_STR(lifted.items[i].param->name, lifted.items[i].name);
    CHECK(lifted.items[i].param->type.dtype == MILO_FP32);
  }
  static const char *const devices[] = {"ref", "cpu"};
  for (int d = 0; d < 2; d++) {
    static uint8_t a[4096], b[4096];
    CHECK(run(devices[d], before->funcs[0], NULL, a));
    CHECK(run(devices[d], after->funcs[0], &lifted, b));
    CHECK(memcmp(a, b, sizeof a) == 0);
  }
  if (*milo_diag_text(&diag)) printf("# %s\n", milo_diag_text(&diag));
  milo_diag_deinit(&diag);
  milo_program_destroy(before);
  milo_program_destroy(after);
  milo_arena_deinit(&arena);
}

// New numbers put into a copy show in its text, and nowhere else.
static void test_store(void) {
  milo_arena arena = {0};
  milo_lifting found;
  milo_program *program = parse(), *copy = milo_program_create();
  if (!program) return;
  milo_func *func = milo_func_clone(copy, program->funcs[0], "main");
  milo_lift_find(func, "!*,small,k_y", &arena, &found);
  static const float threes[80] = {3, 3, 3};
  if (CHECK(found.count == 2))
    for (size_t i = 0; i < 2; i++) milo_lift_store(func, found.items[i].sites[0], threes);
  milo_str was = {0}, now = {0};
  CHECK(milo_text_print(program, &was) == MILO_OK && milo_text_print(copy, &now) == MILO_OK);
  CHECK(strstr(was.data, "[0x1p+0, 0x1p+1, 0x1.8p+1]") != NULL);
  CHECK(strstr(now.data, "[0x1p+0, 0x1p+1, 0x1.8p+1]") == NULL);
  int changed = 0;
  char *a = was.data, *b = now.data;
  for (char *x, *y; (x = strsep(&a, "\n")) != NULL && (y = strsep(&b, "\n")) != NULL;)
    changed += strcmp(x, y) != 0;
  CHECK(changed == 2);
  milo_str_deinit(&was);
  milo_str_deinit(&now);
  milo_program_destroy(copy);
  milo_program_destroy(program);
  milo_arena_deinit(&arena);
}

int main(void) {
  RUN(test_choice);
  RUN(test_same_values);
  RUN(test_store);
  return tap_done();
}
