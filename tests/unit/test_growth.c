// SPDX-License-Identifier: MIT
// ctest: LABELS slow TIMEOUT 900
// Programs of every shape compile in proportion to their size. A small program stays in the caches,
// which makes each of its operations up to seven times as fast: so twenty times the size may take
// 250 times as long, where quadratic work takes 400 times as long and more. Measured in processor
// time, on one thread with a small stack, so that depth does not go into recursion.
#include <milo/milo.h>
#include <pthread.h>
#include <time.h>

#include "device/device.h"
#include "graph_shapes.h"
#include "ir/builder.h"
#include "tap.h"

enum { LITTLE = 300, TIMES = 20, ALLOWED = 250, STACK_BYTES = 256 << 10, PHASES = 8 };

static const char *const phases[PHASES] = {"parse", "grad",     "split",    "ref",
                                           "cpu",   "grad ref", "grad cpu", "run"};

static milo_ctx *ctx;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool good(milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_error(ctx));
  return status == MILO_OK;
}

// Binds every input by its name, and runs.
static void bind_and_run(milo_kernel *kernel) {
  const size_t count = milo_kernel_inputs(kernel, NULL, 0);
  milo_value_info *inputs = malloc((count + 1) * sizeof *inputs);
  milo_buffer *buffer = NULL;
  milo_kernel_inputs(kernel, inputs, count);
  size_t most = 0;
  for (size_t i = 0; i < count; i++) {
    size_t bytes = 4;
    for (int d = 0; d < inputs[i].rank; d++) bytes *= (size_t)inputs[i].shape[d];
    most = bytes > most ? bytes : most;
  }
  if (good(milo_buffer_create(ctx, most, &buffer)))
    for (size_t i = 0; i < count; i++)
      CHECK(milo_kernel_bind(kernel, inputs[i].name, buffer) == MILO_OK);
  good(milo_kernel_run(kernel));
  milo_buffer_release(buffer);
  free(inputs);
}

static double compile(const milo_program *program, const char *device, double *run_s) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  milo_kernel *kernel = NULL;
  options.device = device;
  const double start = now_s();
  if (!good(milo_compile(ctx, program, &options, &kernel))) return 0;
  const double middle = now_s();
  if (run_s) bind_and_run(kernel);
  const double end = now_s();
  milo_kernel_destroy(kernel);
  if (run_s) *run_s = end - middle;
  return now_s() - start - (end - middle);
}

static void measure(const graph_shape *shape, size_t n, double *seconds) {
  size_t bytes;
  char *text = graph_shape_text(shape, n, &bytes);
  milo_program *program = NULL, *grad = NULL, *split = NULL;
  double start = now_s();
  if (!good(milo_program_parse(ctx, text, bytes, shape->name, NULL, &program))) abort();
  seconds[0] = now_s() - start;
  free(text);
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  start = now_s();
  good(milo_program_grad(ctx, program, &options, &grad));
  seconds[1] = now_s() - start;
  options.split = true;
  start = now_s();
  good(milo_program_grad(ctx, program, &options, &split));
  seconds[2] = now_s() - start;
  milo_program_destroy(split);
  seconds[3] = compile(program, "ref", NULL);
  seconds[4] = compile(program, "cpu", &seconds[7]);
  milo_program_destroy(program);
  seconds[5] = compile(grad, "ref", NULL);
  seconds[6] = compile(grad, "cpu", NULL);
  milo_program_destroy(grad);
}

static void check_growth(const char *name, const char *phase, double little, double much) {
  const double floor_s = 5e-4;  // below that it is noise
  const double ratio = much / (little > floor_s ? little : floor_s);
  if (!CHECK(ratio < ALLOWED))
    printf("# %s, %s: %.4f s, then %.4f s, %.0f times\n", name, phase, little, much, ratio);
}

static void test_shapes(void) {
  for (int i = 0; i < GRAPH_SHAPES; i++) {
    double first[PHASES], little[PHASES], much[PHASES];
    measure(&graph_shapes[i], LITTLE, first);  // warm
    measure(&graph_shapes[i], LITTLE, little);
    measure(&graph_shapes[i], LITTLE * TIMES, much);
    for (int p = 0; p < PHASES; p++)
      check_growth(graph_shapes[i].name, phases[p], little[p], much[p]);
  }
}

// n inputs donated to n outputs, in the order opposite to theirs.
static double donate(milo_device *device, size_t n) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios18");
  const int64_t dim = 2;
  milo_value **params = malloc(n * sizeof *params);
  milo_alias *aliases = malloc(n * sizeof *aliases);
  milo_buffer **buffers = malloc(2 * n * sizeof *buffers);
  for (size_t i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof name, "x%zu", i);
    params[i] = milo_func_add_param(func, name, milo_type_tensor(MILO_FP32, 1, &dim));
    aliases[i] = (milo_alias){n - 1 - i, n - 1 - i};
    good(milo_buffer_alloc(8, NULL, &buffers[i]));
    const float values[2] = {0, (float)i};
    good(milo_buffer_write(buffers[i], 0, values, sizeof values));
    buffers[n + i] = buffers[i];
  }
  milo_builder b = milo_builder_at_end(func, NULL);
  for (size_t i = 0; i < n; i++) milo_func_add_output(func, milo_b_add_number(&b, params[i], 1));
  const milo_executable_options options = {.aliases = aliases, .alias_count = n};
  milo_run *executable = NULL;
  const double start = now_s();
  good(milo_run_compile(device, func, &options, NULL, &executable));
  good(milo_run_execute(executable, buffers, buffers + n, NULL));
  const double seconds = now_s() - start;
  for (size_t i = 0; i < n; i++) {
    float value = 0;
    good(milo_buffer_read(buffers[i], 4, &value, sizeof value));
    CHECK(value == (float)i + 1);
  }
  // One output too many for a buffer is noticed among all of them.
  buffers[n] = buffers[2 * n - 1];
  CHECK(milo_run_execute(executable, buffers, buffers + n, NULL) == MILO_ERR_INVALID);
  milo_run_destroy(executable);
  milo_program_destroy(program);
  for (size_t i = 0; i < n; i++) milo_buffer_release(buffers[i]);
  free(params);
  free(aliases);
  free(buffers);
  return seconds;
}

static void test_donations(void) {
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; type++) {
    const milo_host host = {0};
    milo_device *device = NULL;
    if (!good(milo_device_open((*type)->name, &host, NULL, &device))) continue;
    (void)donate(device, LITTLE);
    const double little = donate(device, LITTLE), much = donate(device, LITTLE * TIMES);
    check_growth("donations", (*type)->name, little, much);
    milo_device_close(device);
  }
}

static void *on_small_stack(void *unused) {
  (void)unused;
  RUN(test_shapes);
  RUN(test_donations);
  return NULL;
}

int main(void) {
  const milo_ctx_options options = {.struct_bytes = sizeof options, .threads = 1};
  pthread_attr_t attributes;
  pthread_t thread;
  if (milo_ctx_create(&options, &ctx) != MILO_OK) abort();
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  if (pthread_create(&thread, &attributes, on_small_stack, NULL) != 0) abort();
  pthread_join(thread, NULL);
  pthread_attr_destroy(&attributes);
  milo_ctx_destroy(ctx);
  return tap_done();
}
