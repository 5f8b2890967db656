// SPDX-License-Identifier: MIT
// ctest: LABELS native TIMEOUT 600
// Programs where every call of the system fails once (scenario.h): fmt, grad, run, and each
// operation on each device.
#include "faults/scenario.h"
#include "op_cases.h"
#include "op_run.h"

// ---- programs -----------------------------------------------------------------------------------

enum { WEIGHTS = 20 * 20, BIG = 1100 * 1100 };  // the last is above what is mapped apart

static char program_text[64 * 1024];

// y = (x w) + value, z = softmax(y); w is value times a small pattern and goes to a blob file, so
// that a text with the other's weights computes what neither does.
static const char *program_with(float value) {
  size_t at = 0;
  const size_t room = sizeof program_text;
  at += (size_t)snprintf(program_text + at, room - at,
                         "program(1.3) {\n  func main<ios17>(tensor<fp32, [3, 20]> x) {\n"
                         "    tensor<fp32, [20, 20]> w = const()[name = string(\"w\"), "
                         "val = tensor<fp32, [20, 20]>([");
  for (int i = 0; i < WEIGHTS; i++)
    at += (size_t)snprintf(program_text + at, room - at, "%s%s%g%s", i ? ", " : "",
                           i % 20 ? "" : "[", (double)value * (i % 7 + 1), i % 20 == 19 ? "]" : "");
  snprintf(program_text + at, room - at,
           "])];\n    bool no = const()[name = string(\"no\"), val = bool(false)];\n"
           "    tensor<fp32, [3, 20]> h = matmul(x = x, y = w, transpose_x = no, "
           "transpose_y = no)[name = string(\"h\")];\n"
           "    fp32 more = const()[name = string(\"more\"), val = fp32(%g)];\n"
           "    tensor<fp32, [3, 20]> y = add(x = h, y = more)[name = string(\"y\")];\n"
           "    int32 last = const()[name = string(\"last\"), val = int32(-1)];\n"
           "    tensor<fp32, [3, 20]> z = softmax(x = y, axis = last)[name = string(\"z\")];\n"
           "  } -> (y, z);\n}\n",
           (double)value);
  return program_text;
}

static milo_status run_loaded(milo_ctx *ctx, const milo_program *program, const char *device,
                              const milo_array *x, milo_array *y) {
  const milo_compile_options options = {.struct_bytes = sizeof options, .device = device};
  milo_kernel *kernel = NULL;
  milo_buffer *in = NULL;
  milo_status status = milo_compile(ctx, program, &options, &kernel);
  if (status == MILO_OK) status = milo_buffer_create(ctx, x->bytes, &in);
  if (status == MILO_OK) status = milo_kernel_bind(kernel, "x", in);
  if (status == MILO_OK) status = milo_buffer_write(in, 0, x->data, x->bytes);
  if (status == MILO_OK) status = milo_kernel_run(kernel);
  if (status == MILO_OK)
    status = milo_buffer_read(milo_kernel_buffer(kernel, "y"), 0, y->data, y->bytes);
  milo_buffer_release(in);
  milo_kernel_destroy(kernel);
  return status;
}

// The first element of y for x = 1: 20 rows of w's first column and value; 0 if the file is
// damaged.
static float result_of(const char *path) {
  float ones[3 * 20], out[3 * 20] = {0};
  for (int i = 0; i < 60; i++) ones[i] = 1;
  const milo_array x = {MILO_FP32, 2, {3, 20}, ones, sizeof ones};
  milo_array y = {MILO_FP32, 2, {3, 20}, out, sizeof out};
  milo_ctx *ctx = NULL;
  milo_program *program = NULL;
  milo_status status = milo_ctx_create(NULL, &ctx);
  if (status == MILO_OK) status = milo_program_load(ctx, path, &program);
  if (status == MILO_OK) status = run_loaded(ctx, program, "ref", &x, &y);
  if (status != MILO_OK) printf("# %s\n", milo_error(ctx));
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
  return status == MILO_OK ? out[0] : 0;
}

static void save_program(float value, const char *path) {
  milo_ctx *ctx = NULL;
  milo_program *program = NULL;
  const char *text = program_with(value);
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  CHECK(milo_program_parse(ctx, text, strlen(text), "text", NULL, &program) == MILO_OK);
  if (!CHECK(milo_program_save(ctx, program, path) == MILO_OK)) printf("# %s\n", milo_error(ctx));
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

static float old_result, new_result;

// p.mil and its blob file hold the old program; new.mil and its own the new one.
static void set_up_programs(void) {
  each_file(folder, remove_file);
  save_program(1, in_folder("p.mil"));
  save_program(2, in_folder("new.mil"));
  old_result = result_of(in_folder("p.mil"));
  new_result = result_of(in_folder("new.mil"));
  CHECK(old_result > 1 && new_result > old_result);
}

static milo_status format(milo_ctx *ctx) {
  milo_program *program = NULL;
  char *text = NULL;
  size_t bytes = 0;
  const char *other = program_with(2);
  milo_status status = milo_program_load(ctx, in_folder("new.mil"), &program);
  if (status == MILO_OK) status = milo_program_verify(ctx, program);
  if (status == MILO_OK) status = milo_program_print(ctx, program, &text, &bytes);
  milo_free(text);
  milo_program_destroy(program);
  program = NULL;
  if (status == MILO_OK)
    status = milo_program_parse(ctx, other, strlen(other), "text", NULL, &program);
  if (status == MILO_OK) status = milo_program_save(ctx, program, in_folder("p.mil"));
  milo_program_destroy(program);
  return status;
}

static bool program_holds(bool succeeded) {
  const float result = result_of(in_folder("p.mil"));
  if (result != old_result && result != new_result)
    printf("# it computes %g: neither %g nor %g\n", (double)result, (double)old_result,
           (double)new_result);
  return result == new_result || (!succeeded && result == old_result);
}

static void test_format(void) {
  const scenario s = {.calls = "write fsync rename mmap open close",
                      .set_up = set_up_programs,
                      .run = format,
                      .holds = program_holds};
  run_scenario(&s);
  print_counts();
}

static milo_status differentiate(milo_ctx *ctx) {
  milo_program *program = NULL, *grad = NULL;
  const milo_grad_options split = {.struct_bytes = sizeof split, .split = true};
  milo_status status = milo_program_load(ctx, in_folder("new.mil"), &program);
  if (status == MILO_OK) status = milo_program_grad(ctx, program, &split, &grad);
  milo_program_destroy(grad);
  grad = NULL;
  if (status == MILO_OK) status = milo_program_grad(ctx, program, NULL, &grad);
  if (status == MILO_OK) status = milo_program_save(ctx, grad, in_folder("g.mil"));
  milo_program_destroy(grad);
  milo_program_destroy(program);
  return status;
}

static bool verifies(const char *path) {
  milo_ctx *ctx = NULL;
  milo_program *program = NULL;
  milo_status status = milo_ctx_create(NULL, &ctx);
  if (status == MILO_OK) status = milo_program_load(ctx, path, &program);
  if (status == MILO_OK) status = milo_program_verify(ctx, program);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
  return status == MILO_OK;
}

static bool gradient_or_none(bool succeeded) {
  return access(in_folder("g.mil"), F_OK) == 0 ? verifies(in_folder("g.mil")) : !succeeded;
}

static void test_grad(void) {
  const scenario s = {.calls = "write fsync rename",
                      .set_up = set_up_programs,
                      .run = differentiate,
                      .holds = gradient_or_none};
  run_scenario(&s);
  print_counts();
}

static float y_in_file(const char *path) {
  milo_ctx *ctx = NULL;
  milo_array y = {0};
  float first = -1;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  if (milo_npy_load(ctx, path, &y) == MILO_OK && y.bytes == 240) first = *(float *)y.data;
  milo_array_deinit(&y);
  milo_ctx_destroy(ctx);
  return first;
}

static void set_up_run(void) {
  set_up_programs();
  milo_ctx *ctx = NULL;
  float ones[60], zeros[60] = {0};
  for (int i = 0; i < 60; i++) ones[i] = 1;
  const milo_array x = {MILO_FP32, 2, {3, 20}, ones, sizeof ones};
  const milo_array y = {MILO_FP32, 2, {3, 20}, zeros, sizeof zeros};
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  CHECK(milo_npy_save(ctx, in_folder("x.npy"), &x) == MILO_OK);
  CHECK(milo_npy_save(ctx, in_folder("y.npy"), &y) == MILO_OK);
  milo_ctx_destroy(ctx);
}

static milo_status run_on_devices(milo_ctx *ctx) {
  static const char *const devices[] = {"ref", "cpu"};
  static const int64_t shape[] = {3, 20};
  milo_program *program = NULL;
  milo_array x = {0}, y = {0};
  milo_buffer *big = NULL;
  milo_status status = milo_program_load(ctx, in_folder("new.mil"), &program);
  if (status == MILO_OK) status = milo_npy_load(ctx, in_folder("x.npy"), &x);
  if (status == MILO_OK) status = milo_array_create(ctx, MILO_FP32, 2, shape, &y);
  for (int i = 0; i < 2 && status == MILO_OK; i++)
    status = run_loaded(ctx, program, devices[i], &x, &y);
  if (status == MILO_OK) status = milo_buffer_create(ctx, BIG * sizeof(float), &big);
  if (status == MILO_OK) status = milo_npy_save(ctx, in_folder("y.npy"), &y);
  milo_buffer_release(big);
  milo_array_deinit(&x);
  milo_array_deinit(&y);
  milo_program_destroy(program);
  return status;
}

static bool old_or_new_array(bool succeeded) {
  const float first = y_in_file(in_folder("y.npy"));
  return first == new_result || (!succeeded && first == 0);
}

static void test_run(void) {
  const scenario s = {.calls = "posix_memalign malloc calloc read write fsync rename fstat",
                      .set_up = set_up_run,
                      .run = run_on_devices,
                      .holds = old_or_new_array};
  run_scenario(&s);
  print_counts();
}

// ---- operations ---------------------------------------------------------------------------------

static struct {
  const char *device;
  milo_str text;
  run_tensors inputs;
} operation;

static milo_status run_operation(milo_ctx *ctx) {
  const milo_compile_options options = {.struct_bytes = sizeof options, .device = operation.device};
  milo_program *program = NULL;
  milo_kernel *kernel = NULL;
  milo_status status =
      milo_program_parse(ctx, operation.text.data, operation.text.bytes, "case", NULL, &program);
  if (status == MILO_OK) status = milo_compile(ctx, program, &options, &kernel);
  milo_program_destroy(program);
  for (int i = 0; i < operation.inputs.count && status == MILO_OK; i++) {
    const run_tensor *t = &operation.inputs.items[i];
    milo_buffer *buffer = NULL;
    status = milo_buffer_create(ctx, milo_type_bytes(&t->type), &buffer);
    static double data[RUN_MAX_ELEMENTS];
    run_store(t, data);
    if (status == MILO_OK) status = milo_buffer_write(buffer, 0, data, milo_type_bytes(&t->type));
    if (status == MILO_OK) status = milo_kernel_bind(kernel, t->name, buffer);
    milo_buffer_release(buffer);
  }
  if (status == MILO_OK) status = milo_kernel_run(kernel);
  milo_kernel_destroy(kernel);
  return status;
}

static bool holds_anyway(bool succeeded) {
  (void)succeeded;
  return true;
}

static void set_up_anyway(void) {}

// Each operation with constants folded and on each device: what they need of memory on the way.
static void test_operations(void) {
  static const char *const devices[] = {"ref", "cpu"};
  static run_tensors results;
  milo_diag diag = {0};
  const scenario s = {.calls = "calloc",
                      .set_up = set_up_anyway,
                      .run = run_operation,
                      .holds = holds_anyway,
                      .context_stands = true};
  for (size_t i = 0; i < sizeof op_cases / sizeof op_cases[0]; i++) {
    run_parse(op_cases[i].inputs, &operation.inputs);
    run_parse(op_cases[i].results, &results);
    milo_program *program = run_program(&operation.inputs, op_cases[i].body, &results, &diag);
    if (!CHECK(program != NULL)) continue;
    CHECK(milo_text_print(program, &operation.text) == MILO_OK);
    milo_program_destroy(program);
    for (int d = 0; d < 2; d++) {
      operation.device = devices[d];
      const bool failed = tap_case_failed_;
      run_scenario(&s);
      if (tap_case_failed_ && !failed) printf("# %s on %s\n", op_cases[i].op, devices[d]);
    }
    milo_str_clear(&operation.text);
  }
  milo_str_deinit(&operation.text);
  milo_diag_deinit(&diag);
  print_counts();
}

int main(void) {
  if (!make_folder()) return 1;
  RUN(test_format);
  RUN(test_grad);
  RUN(test_run);
  RUN(test_operations);
  each_file(folder, remove_file);
  rmdir(folder);
  return tap_done();
}
