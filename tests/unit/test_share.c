// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// One compiled program, run by four threads at a time, each with a context of its own; and what
// else is chosen when a program is compiled: compressed constants, times.
#include <milo/milo.h>
#include <pthread.h>

#include "mil_short.h"
#include "tap.h"

enum { THREADS = 4, RUNS = 20, M = 24, K = 48, N = 40 };

static bool good(milo_ctx *ctx, milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_error(ctx));
  return status == MILO_OK;
}

static milo_program *parse(milo_ctx *ctx, const char *inputs, const char *body,
                           const char *outputs) {
  char *text = mil_short(inputs, body, outputs);
  milo_program *program = NULL;
  good(ctx, milo_program_parse(ctx, text, strlen(text), "case.mil", NULL, &program));
  free(text);
  return program;
}

// ---- threads ----

typedef struct worker {
  pthread_t thread;
  milo_ctx *ctx;
  milo_kernel *kernel;  // destroyed by the thread
  int wrong;
  float y[M * N];
} worker;

static void *work(void *user) {
  worker *w = user;
  for (int i = 0; i < RUNS; i++) {
    float y[M * N];
    if (milo_kernel_run(w->kernel) != MILO_OK ||
        milo_buffer_read(milo_kernel_buffer(w->kernel, "y"), 0, y, sizeof y) != MILO_OK)
      w->wrong++;
    if (i > 0 && memcmp(y, w->y, sizeof y) != 0) w->wrong++;
    memcpy(w->y, y, sizeof y);
  }
  milo_kernel_destroy(w->kernel);
  return NULL;
}

// The weights are one buffer, whose packed copy the threads share.
static void test_threads(void) {
  worker *workers = calloc(THREADS, sizeof *workers);
  milo_buffer *x = NULL, *w = NULL;
  for (int i = 0; i < THREADS; i++) {
    milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
    options.threads = i % 3 + 1;
    CHECK(milo_ctx_create(&options, &workers[i].ctx) == MILO_OK);
  }
  milo_ctx *first = workers[0].ctx;
  good(first, milo_buffer_create(first, sizeof(float) * M * K, &x));
  good(first, milo_buffer_create(first, sizeof(float) * K * N, &w));
  milo_buffer *const both[] = {x, w};
  for (int b = 0; b < 2; b++) {
    float *data = milo_buffer_map(both[b], MILO_WRITE);
    for (size_t k = 0; k < milo_buffer_bytes(both[b]) / sizeof *data; k++)
      data[k] = sinf((float)(k * k % 1009) + (float)b);
    CHECK(milo_buffer_unmap(both[b], data, MILO_WRITE) == MILO_OK);
  }
  milo_program *program = parse(first, "f[24,48] x, f[48,40] w",
                                "f[24,40] p = matmul(x = x, y = w);\n"
                                "f[24,40] s = softmax(x = p, axis = int32(1));\n"
                                "i[?,2] n = non_zero(x = p);\n"
                                "f[24,40] y = add(x = s, y = p);\n",
                                "y, n");
  const char **parameters = malloc(sizeof *parameters);
  parameters[0] = "w";
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.parameters = parameters;
  options.parameter_count = 1;
  good(first, milo_compile(first, program, &options, &workers[0].kernel));
  free(parameters);
  for (int i = 1; i < THREADS; i++)
    good(workers[i].ctx, milo_kernel_share(workers[i].ctx, workers[0].kernel, &workers[i].kernel));
  for (int i = 0; i < THREADS; i++) {
    good(workers[i].ctx, milo_kernel_bind(workers[i].kernel, "x", x));
    good(workers[i].ctx, milo_kernel_bind(workers[i].kernel, "w", w));
  }
  for (int i = 0; i < THREADS; i++)
    CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
  milo_program_destroy(program);  // while they run
  for (int i = 0; i < THREADS; i++) {
    CHECK(pthread_join(workers[i].thread, NULL) == 0);
    CHECK(workers[i].wrong == 0);
    CHECK(memcmp(workers[i].y, workers[0].y, sizeof workers[0].y) == 0);
    milo_ctx_destroy(workers[i].ctx);
  }
  milo_buffer_release(x);
  milo_buffer_release(w);
  free(workers);
}

// A context whose processor may do less cannot run what was compiled for more.
static void test_narrower(void) {
  milo_ctx *wide = NULL, *narrow = NULL;
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.cpu_mask = "";
  CHECK(milo_ctx_create(NULL, &wide) == MILO_OK && milo_ctx_create(&options, &narrow) == MILO_OK);
  milo_program *program = parse(wide, "f[4] x", "f[4] y = relu(x = x);\n", "y");
  milo_kernel *kernel = NULL, *shared = NULL;
  good(wide, milo_compile(wide, program, NULL, &kernel));
  const bool less = strcmp(milo_ctx_cpu(wide), milo_ctx_cpu(narrow)) != 0;
  CHECK(milo_kernel_share(narrow, kernel, &shared) == (less ? MILO_ERR_INVALID : MILO_OK));
  CHECK((shared == NULL) == less);
  milo_kernel_destroy(shared);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  milo_ctx_destroy(wide);
  milo_ctx_destroy(narrow);
}

// ---- compressed constants ----

static void test_compressed(void) {
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  milo_program *program = parse(
      ctx, "f[3,2] x",
      "f[2,4] w = constexpr_affine_dequantize(axis = int32(0), quantized_data = tensor<uint8, "
      "[2,4]>([[1, 2, 3, 4], [5, 6, 7, 250]]), scale = f[2]([0.5, 2]), zero_point = tensor<uint8, "
      "[2]>([1, 3]));\n"
      "f[3,4] y = matmul(x = x, y = w);\n",
      "y");
  const float data[6] = {1, 0, 0, 1, 2, -1};
  const float wanted[12] = {0, 0.5f, 1, 1.5f, 4, 6, 8, 494, -4, -5, -6, -491};
  const char *const devices[] = {"ref", "cpu"};
  for (int d = 0; d < 2; d++) {
    size_t scratch[2];
    for (int kept = 0; kept < 2; kept++) {
      milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
      options.device = devices[d];
      options.keep_compressed = kept;
      options.profile = true;
      milo_kernel *kernel = NULL;
      milo_buffer *x = NULL;
      if (!good(ctx, milo_compile(ctx, program, &options, &kernel))) continue;
      scratch[kept] = milo_kernel_scratch_bytes(kernel);
      good(ctx, milo_buffer_create(ctx, sizeof data, &x));
      good(ctx, milo_buffer_write(x, 0, data, sizeof data));
      good(ctx, milo_kernel_bind(kernel, "x", x));
      good(ctx, milo_kernel_run(kernel));
      float y[12] = {0};
      good(ctx, milo_buffer_read(milo_kernel_buffer(kernel, "y"), 0, y, sizeof y));
      CHECK(memcmp(y, wanted, sizeof y) == 0);
      milo_profile rows[8];
      const size_t count = milo_kernel_profile(kernel, rows, 8);
      bool decompresses = false;
      for (size_t i = 0; i < count; i++)
        decompresses = decompresses || strcmp(rows[i].op, "constexpr_affine_dequantize") == 0;
      if (d == 1) CHECK(decompresses == (kept != 0));
      milo_buffer_release(x);
      milo_kernel_destroy(kernel);
    }
    CHECK(scratch[1] > scratch[0]);  // w lives there
  }
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

// ---- times ----

static void test_profile(void) {
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  milo_program *program = parse(ctx, "f[8,8] x",
                                "f[8,8] p = matmul(x = x, y = x);\n"
                                "f[8,8] s = softmax(x = p, axis = int32(1));\n"
                                "f[8,8] y = matmul(x = s, y = x);\n",
                                "y");
  milo_buffer *x = NULL;
  good(ctx, milo_buffer_create(ctx, 256, &x));
  for (int on = 0; on < 2; on++) {
    milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
    milo_kernel *kernel = NULL, *shared = NULL;
    options.profile = on;
    if (!good(ctx, milo_compile(ctx, program, &options, &kernel))) continue;
    good(ctx, milo_kernel_share(ctx, kernel, &shared));
    good(ctx, milo_kernel_bind(kernel, "x", x));
    for (int i = 0; i < 3; i++) good(ctx, milo_kernel_run(kernel));
    milo_profile rows[8] = {0};
    const size_t count = milo_kernel_profile(kernel, rows, 8);
    CHECK(count == (on ? 3 : 0));
    static const char *const ops[] = {"matmul", "softmax", "matmul"}, *const results = "psy";
    for (size_t i = 0; i < count && i < 3; i++) {
      CHECK_STR(rows[i].op, ops[i]);
      CHECK(rows[i].result[0] == results[i] && rows[i].result[1] == '\0');
      CHECK_STR(rows[i].device, "cpu");
      CHECK(rows[i].count == 3 && rows[i].seconds >= 0);
    }
    milo_profile one[2] = {{.op = "none"}, {.op = "none"}};
    if (on) CHECK(milo_kernel_profile(kernel, one, 1) == 3);
    CHECK_STR(one[1].op, "none");
    // The times of another kernel on the same program are its own.
    if (milo_kernel_profile(shared, rows, 8) > 0) CHECK(rows[0].count == 0);
    milo_kernel_destroy(shared);
    milo_kernel_destroy(kernel);
  }
  milo_buffer_release(x);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

// On ref, and of operations whose shapes depend on values, wherever they run.
static void test_profile_of_ref_and_dynamic(void) {
  milo_ctx *ctx = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  milo_program *program = parse(ctx, "f[8,8] x",
                                "f[8,8] p = matmul(x = x, y = x);\n"
                                "tensor<int32, [?, 2]> n = non_zero(x = p);\n"
                                "tensor<int32, [?, 2]> y = add(x = n, y = n);\n",
                                "y");
  const float ones[64] = {1, 1, 1};
  static const char *const ops[] = {"matmul", "non_zero", "add"};
  milo_buffer *x = NULL;
  good(ctx, milo_buffer_create(ctx, sizeof ones, &x));
  good(ctx, milo_buffer_write(x, 0, ones, sizeof ones));
  for (int d = 0; milo_device_name((size_t)d) != NULL; d++)
    for (int on = 0; on < 2; on++) {
      milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
      milo_kernel *kernel = NULL;
      options.device = milo_device_name((size_t)d);
      options.profile = on;
      if (!good(ctx, milo_compile(ctx, program, &options, &kernel))) continue;
      good(ctx, milo_kernel_bind(kernel, "x", x));
      for (int i = 0; i < 2; i++) good(ctx, milo_kernel_run(kernel));
      milo_profile rows[8] = {0};
      const size_t count = milo_kernel_profile(kernel, rows, 8);
      CHECK(count == (on ? 3 : 0));
      for (size_t i = 0; i < count && i < 3; i++) {
        CHECK_STR(rows[i].op, ops[i]);
        CHECK_STR(rows[i].device, i == 0 ? options.device : "ref");
        CHECK(rows[i].count == 2 && rows[i].seconds > 0);
      }
      milo_kernel_destroy(kernel);
    }
  milo_buffer_release(x);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

int main(void) {
  RUN(test_threads);
  RUN(test_narrower);
  RUN(test_compressed);
  RUN(test_profile);
  RUN(test_profile_of_ref_and_dynamic);
  return tap_done();
}
