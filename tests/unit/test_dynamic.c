// SPDX-License-Identifier: MIT
// Shapes that only a run knows, through the public header, on ref and cpu.
#include <milo/milo.h>

#include "base/memory.h"
#include "mil_short.h"
#include "tap.h"

static milo_ctx *ctx;

static bool good(milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_error(ctx));
  return status == MILO_OK;
}

static milo_program *parse(const char *inputs, const char *body, const char *outputs) {
  char *text = mil_short(inputs, body, outputs);
  milo_program *program = NULL;
  good(milo_program_parse(ctx, text, strlen(text), "case.mil", NULL, &program));
  free(text);
  return program;
}

static milo_kernel *compile(const milo_program *program, const char *device) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  milo_kernel *kernel = NULL;
  options.device = device;
  good(milo_compile(ctx, program, &options, &kernel));
  return kernel;
}

// A shape that is wanted and data that is, of fp32 or int32.
static bool holds(milo_kernel *kernel, size_t output, int rank, int64_t rows, int64_t columns,
                  const void *data) {
  milo_value_info info[8];
  const size_t count = milo_kernel_outputs(kernel, info, 8);
  if (!CHECK(output < count)) return false;
  const milo_value_info *o = &info[output];
  const size_t bytes = 4 * (size_t)rows * (size_t)(rank > 1 ? columns : 1);
  milo_buffer *buffer = milo_kernel_buffer(kernel, o->name);
  char got[256], type[64];
  snprintf(type, sizeof type, o->rank == 1 ? "[%d]>" : "[%d, %d]>", (int)rows, (int)columns);
  CHECK(strstr(o->type, type) != NULL);
  return CHECK(o->rank == rank && o->shape[0] == rows) &&
         CHECK(rank < 2 || o->shape[1] == columns) && CHECK(buffer != NULL) &&
         CHECK(milo_buffer_bytes(buffer) == bytes && bytes <= sizeof got) &&
         CHECK(milo_buffer_read(buffer, 0, got, bytes) == MILO_OK) &&
         CHECK(bytes == 0 || memcmp(got, data, bytes) == 0);
}

// non_zero alone, then through gather, cast and a sum to outputs whose shapes are known.
static void shapes_on(const char *device) {
  milo_program *program =
      parse("f[2,3] x, f[6] t",
            "i[?,2] n = non_zero(x = x);\n"
            "f[?,2] c = cast(x = n, dtype = string(\"fp32\"));\n"
            "i[2] s = reduce_sum(x = n, axes = i[1]([0]), keep_dims = bool(false));\n"
            "f[?,2] g = gather(x = t, indices = n, axis = int32(0));\n"
            "f[2] r = reduce_sum(x = g, axes = i[1]([0]), keep_dims = bool(false));\n"
            "f[6] u = mul(x = t, y = t);\n"
            "f[2] v = add(x = r, y = r);\n",
            "n, c, s, g, v, u, n");
  milo_kernel *kernel = compile(program, device);
  milo_program_destroy(program);
  if (kernel == NULL) return;
  milo_value_info info[8];
  CHECK(milo_kernel_outputs(kernel, info, 8) == 7 && info[0].rank == 2 && info[0].shape[0] == -1 &&
        info[0].shape[1] == 2 && info[2].shape[0] == 2);
  CHECK(milo_kernel_buffer(kernel, "n") == NULL);
  milo_buffer *x = NULL, *t = NULL, *other = NULL;
  if (!good(milo_buffer_create(ctx, 24, &x)) || !good(milo_buffer_create(ctx, 24, &t))) return;
  good(milo_buffer_create(ctx, 4096, &other));
  CHECK(milo_kernel_bind(kernel, "n", other) == MILO_ERR_INVALID);
  CHECK(strstr(milo_error(ctx), "only a run knows") != NULL);
  milo_buffer_release(other);
  const float table[6] = {10, 20, 30, 40, 50, 60};
  good(milo_buffer_write(t, 0, table, sizeof table));
  good(milo_kernel_bind(kernel, "x", x));
  good(milo_kernel_bind(kernel, "t", t));
  static const struct {
    float x[6];
    int64_t rows;
    int32_t n[12];
  } cases[] = {
      {{0, 1, 0, 2, 0, NAN}, 3, {0, 1, 1, 0, 1, 2}},
      {{0, -0.0f, 0, 0, 0, 0}, 0, {0}},
      {{1, 1, 1, 1, 1, 1}, 6, {0, 0, 0, 1, 0, 2, 1, 0, 1, 1, 1, 2}},
      {{0, 0, 0, 0, 0, 7}, 1, {1, 2}},
      {{0}, 0, {0}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int64_t rows = cases[i].rows;
    float c[12] = {0}, g[12] = {0}, v[2] = {0};
    int32_t s[2] = {0};
    for (int k = 0; k < 2 * rows; k++) {
      c[k] = (float)cases[i].n[k];
      g[k] = table[cases[i].n[k]];
      s[k % 2] += cases[i].n[k];
      v[k % 2] += 2 * g[k];
    }
    good(milo_buffer_write(x, 0, cases[i].x, sizeof cases[i].x));
    const bool held = good(milo_kernel_run(kernel)) && holds(kernel, 0, 2, rows, 2, cases[i].n) &&
                      holds(kernel, 1, 2, rows, 2, c) && holds(kernel, 2, 1, 2, 0, s) &&
                      holds(kernel, 3, 2, rows, 2, g) && holds(kernel, 4, 1, 2, 0, v) &&
                      holds(kernel, 6, 2, rows, 2, cases[i].n);
    if (!held) printf("# case %zu on %s\n", i, device);
  }
  milo_buffer_release(x);
  milo_buffer_release(t);
  milo_kernel_destroy(kernel);
}

static void test_shapes(void) {
  shapes_on("ref");
  shapes_on("cpu");
}

static void test_strict(void) {
  milo_program *program =
      parse("f[2,3] x", "f[2,3] r = relu(x = x);\ni[?,2] n = non_zero(x = r);\n", "n, r");
  for (int i = 0; i < 2; i++) {
    milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
    milo_kernel *kernel = NULL;
    options.device = i == 0 ? "ref" : "cpu";
    options.strict = true;
    if (i == 0) {  // it is ref's own operation
      good(milo_compile(ctx, program, &options, &kernel));
      if (kernel != NULL) CHECK_STR(milo_kernel_fallbacks(kernel), "");
      milo_kernel_destroy(kernel);
      continue;
    }
    CHECK(milo_compile(ctx, program, &options, &kernel) == MILO_ERR_UNSUPPORTED && kernel == NULL);
    CHECK(strstr(milo_error(ctx), "case.mil:4:") != NULL &&
          strstr(milo_error(ctx), "non_zero") != NULL &&
          strstr(milo_error(ctx), "relu giving") == NULL);
    kernel = compile(program, options.device);
    if (kernel != NULL)
      CHECK_STR(milo_kernel_fallbacks(kernel), "n: non_zero runs on ref, not on cpu\n");
    milo_kernel_destroy(kernel);
  }
  milo_program_destroy(program);
}

// An index that the data make wrong is an error with its place; the next run is right again.
static void test_wrong_data(void) {
  milo_program *program = parse("f[8] x, f[4] t",
                                "i[?,1] n = non_zero(x = x);\n"
                                "f[?,1] g = gather(x = t, indices = n, axis = int32(0));\n",
                                "g");
  milo_kernel *kernel = compile(program, "cpu");
  milo_program_destroy(program);
  if (kernel == NULL) return;
  milo_buffer *x = NULL, *t = NULL;
  good(milo_buffer_create(ctx, 32, &x));
  good(milo_buffer_create(ctx, 16, &t));
  good(milo_kernel_bind(kernel, "x", x));
  good(milo_kernel_bind(kernel, "t", t));
  const float table[4] = {1, 2, 3, 4}, bad[8] = {0, 0, 0, 0, 0, 5}, fine[8] = {0, 0, 1};
  good(milo_buffer_write(t, 0, table, sizeof table));
  for (int i = 0; i < 3; i++) {
    good(milo_buffer_write(x, 0, bad, sizeof bad));
    CHECK(milo_kernel_run(kernel) == MILO_ERR_INVALID);
    CHECK(strstr(milo_error(ctx), "case.mil:4:") != NULL);
    good(milo_buffer_write(x, 0, fine, sizeof fine));
    CHECK(good(milo_kernel_run(kernel)) && holds(kernel, 0, 2, 1, 1, &table[2]));
  }
  milo_buffer_release(x);
  milo_buffer_release(t);
  milo_kernel_destroy(kernel);
}

// 1,000 runs make 64 MiB of outputs.
static void test_memory(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  SKIP("sanitizers keep what was freed");
#endif
  milo_program *program = parse("f[8192] x",
                                "i[?,1] n = non_zero(x = x);\n"
                                "i[?,1] m = add(x = n, y = n);\n",
                                "m, n");
  milo_kernel *kernel = compile(program, "cpu");
  milo_program_destroy(program);
  if (kernel == NULL) return;
  milo_buffer *x = NULL;
  float *ones = malloc(8192 * sizeof *ones);
  for (int i = 0; i < 8192; i++) ones[i] = 1;
  good(milo_buffer_create(ctx, 8192 * sizeof *ones, &x));
  good(milo_buffer_write(x, 0, ones, 8192 * sizeof *ones));
  good(milo_kernel_bind(kernel, "x", x));
  for (int i = 0; i < 20; i++) good(milo_kernel_run(kernel));
  const uint64_t before = milo_peak_memory_bytes();
  for (int i = 0; i < 1000; i++)
    if (!good(milo_kernel_run(kernel))) break;
  CHECK(milo_peak_memory_bytes() - before < 4 << 20);
  free(ones);
  milo_buffer_release(x);
  milo_kernel_destroy(kernel);
}

int main(void) {
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  RUN(test_shapes);
  RUN(test_strict);
  RUN(test_wrong_data);
  RUN(test_memory);
  milo_ctx_destroy(ctx);
  return tap_done();
}
