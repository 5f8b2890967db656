// SPDX-License-Identifier: MIT
// Random convolutions, transposed convolutions, poolings and channel norms, with their gradients:
// cpu against ref, every kernel set, 1 to 3 threads with the same bits. Axes 1 to 3, any strides,
// dilations, groups, paddings; empty and one-element sizes.
#include <milo/milo.h>

#include "base/number.h"
#include "base/rng.h"
#include "base/str.h"
#include "compare.h"
#include "tap.h"

enum { MAX_VALUES = 12, ROUNDS = 260 };

static uint64_t round_number, draws;

// An integer in [low, high].
static int draw(int low, int high) {
  return low + (int)milo_rng_below(77, round_number, draws++, (uint64_t)(high - low + 1));
}

static void list(milo_str *out, const char *name, int count, int low, int high) {
  milo_str_printf(out, ", %s = tensor<int32, [%d]>([", name, count);
  for (int i = 0; i < count; i++) milo_str_printf(out, "%s%d", i > 0 ? ", " : "", draw(low, high));
  milo_str_puts(out, "])");
}

static void shape(milo_str *out, const char *dtype, const char *name, int rank, const int *dims) {
  milo_str_printf(out, "tensor<%s, [", dtype);
  for (int i = 0; i < rank; i++) milo_str_printf(out, "%s%d", i > 0 ? ", " : "", dims[i]);
  milo_str_printf(out, "]> %s", name);
}

static const char *pad_type(void) {
  static const char *const types[] = {"valid", "custom", "custom", "same"};
  return types[draw(0, 3)];
}

// Sizes that stay in one register tile, or go over its edges, over one strip, or are nothing.
static int channels(void) {
  static const int sizes[] = {1, 1, 2, 3, 4, 5, 7, 13, 14, 33};
  return sizes[draw(0, 9)];
}

static int spatial(int axes) {
  if (draw(0, 19) == 0) return 1;
  return axes == 1 ? draw(1, 90) : axes == 2 ? draw(1, 17) : draw(1, 7);
}

static void write_conv(milo_str *mil, const char *dtype, bool transposed) {
  const int axes = draw(1, 3), groups = draw(0, 1) ? 1 : draw(1, 6), rank = axes + 2;
  const int in = channels(), out = channels();
  int x[5] = {draw(0, 15) == 0 ? 0 : draw(1, 3), in * groups}, w[5];
  w[0] = transposed ? in * groups : out * groups;
  w[1] = transposed ? out : in;
  for (int i = 2; i < rank; i++) {
    x[i] = spatial(axes);
    w[i] = draw(0, 11) == 0 && !transposed ? x[i] : draw(1, 4);
  }
  const bool bias = draw(0, 1);
  shape(mil, dtype, "x", rank, x);
  milo_str_puts(mil, ", ");
  shape(mil, dtype, "w", rank, w);
  if (bias) milo_str_printf(mil, ", tensor<%s, [%d]> b", dtype, out * groups);
  milo_str_printf(mil, ") {\n    tensor<%s, [%s]> y = %s(x = x, weight = w, groups = int32(%d)",
                  dtype,
                  axes == 1   ? "?, ?, ?"
                  : axes == 2 ? "?, ?, ?, ?"
                              : "?, ?, ?, ?, ?",
                  transposed ? "conv_transpose" : "conv", groups);
  if (bias) milo_str_puts(mil, ", bias = b");
  milo_str_printf(mil, ", pad_type = string(\"%s\")", pad_type());
  list(mil, "pad", 2 * axes, 0, draw(0, 3));
  list(mil, "strides", axes, 1, draw(1, 3));
  list(mil, "dilations", axes, 1, draw(1, 3));
  milo_str_puts(mil, ")[name = string(\"y\")];\n  } -> (y);\n}\n");
}

static void write_pool(milo_str *mil, const char *dtype) {
  static const char *const ops[] = {"max_pool", "avg_pool", "l2_pool"};
  const int axes = draw(1, 3), op = draw(0, 2);
  int x[5] = {draw(0, 15) == 0 ? 0 : draw(1, 3), draw(1, 5)};
  for (int i = 0; i < axes; i++) x[2 + i] = spatial(axes);
  shape(mil, dtype, "x", axes + 2, x);
  // Of few values, so that there are equal ones.
  milo_str_puts(mil, ") {\n    ");
  shape(mil, dtype, "q", axes + 2, x);
  const bool rounded = op == 0 && draw(0, 1);
  milo_str_printf(mil, " = %s(x = x)[name = string(\"q\")];\n", rounded ? "round" : "identity");
  milo_str_printf(mil, "    tensor<%s, [%s]> y = %s(x = q", dtype,
                  axes == 1   ? "?, ?, ?"
                  : axes == 2 ? "?, ?, ?, ?"
                              : "?, ?, ?, ?, ?",
                  ops[op]);
  list(mil, "kernel_sizes", axes, 1, draw(1, 5));
  list(mil, "strides", axes, 1, draw(1, 4));
  const bool ceil = axes < 3 && draw(0, 3) == 0;
  milo_str_printf(mil, ", ceil_mode = bool(%s)", ceil ? "true" : "false");
  if (op == 1)
    milo_str_printf(mil, ", exclude_padding_from_average = bool(%s)",
                    draw(0, 1) ? "true" : "false");
  milo_str_printf(mil, ", pad_type = string(\"%s\")", ceil ? "custom" : pad_type());
  const int pad = draw(0, 3);
  list(mil, "pad", 2 * axes, ceil ? pad : 0, pad);
  milo_str_puts(mil, ")[name = string(\"y\")];\n  } -> (y);\n}\n");
}

static void write_norm(milo_str *mil, const char *dtype) {
  const int axes = draw(1, 3), batch = draw(0, 1);
  int x[5] = {draw(0, 15) == 0 ? 0 : draw(1, 3), draw(1, 5)};
  for (int i = 0; i < axes; i++) x[2 + i] = spatial(axes);
  shape(mil, dtype, "x", axes + 2, x);
  const char *const names[] = {"g", "b", "m", "v0"};
  for (int i = 0; i < (batch ? 4 : 2); i++)
    milo_str_printf(mil, ", tensor<%s, [%d]> %s", dtype, x[1], names[i]);
  milo_str_puts(mil, ") {\n    ");
  if (batch)
    milo_str_printf(mil, "tensor<%s, [%d]> v = square(x = v0)[name = string(\"v\")];\n    ", dtype,
                    x[1]);
  shape(mil, dtype, "y", axes + 2, x);
  milo_str_printf(mil, " = %s_norm(x = x, epsilon = fp32(0.1)", batch ? "batch" : "instance");
  if (draw(0, 3)) milo_str_puts(mil, ", gamma = g");
  if (draw(0, 3)) milo_str_puts(mil, ", beta = b");
  if (batch) milo_str_puts(mil, ", mean = m, variance = v");
  milo_str_puts(mil, ")[name = string(\"y\")];\n  } -> (y);\n}\n");
}

static char *write_program(int kind, const char *dtype) {
  milo_str mil = {0};
  milo_str_puts(&mil, "program(1.3)\n{\n  func main<ios18>(");
  if (kind == 0 || kind == 1) write_conv(&mil, dtype, kind == 1);
  if (kind == 2) write_pool(&mil, dtype);
  if (kind == 3) write_norm(&mil, dtype);
  return mil.data;
}

// ---- running ----

typedef struct outputs {
  size_t count;
  milo_value_info info[MAX_VALUES];
  void *data[MAX_VALUES];
} outputs;

static void release(outputs *o) {
  for (size_t i = 0; i < o->count; i++) free(o->data[i]);
  o->count = 0;
}

static size_t elements(const milo_value_info *v) {
  size_t n = 1;
  for (int i = 0; i < v->rank; i++) n *= (size_t)v->shape[i];
  return n;
}

static size_t bytes_of(const milo_value_info *v) {
  return elements(v) * milo_dtype_bits(v->dtype) / 8;
}

static bool bind_random(milo_ctx *ctx, milo_kernel *kernel, const milo_value_info *input,
                        uint64_t stream) {
  milo_buffer *buffer;
  if (milo_buffer_create(ctx, bytes_of(input) + 1, &buffer) != MILO_OK) return false;
  void *data = milo_buffer_map(buffer, MILO_WRITE);
  for (size_t k = 0; k < elements(input); k++)
    milo_number_store(input->dtype, data, k, 4 * milo_rng_uniform(78, stream, k) - 2);
  bool good = milo_buffer_unmap(buffer, data, MILO_WRITE) == MILO_OK;
  good = good && milo_kernel_bind(kernel, input->name, buffer) == MILO_OK;
  milo_buffer_release(buffer);
  return good;
}

static bool run(milo_ctx *ctx, const milo_program *program, const char *device, outputs *out) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  milo_kernel *kernel;
  milo_value_info in[MAX_VALUES];
  options.device = device;
  out->count = 0;
  if (milo_compile(ctx, program, &options, &kernel) != MILO_OK) return false;
  const size_t count = milo_kernel_inputs(kernel, in, MAX_VALUES);
  bool good = true;
  for (size_t i = 0; i < count && good; i++)
    good = bind_random(ctx, kernel, &in[i], round_number * 16 + i);
  good = good && milo_kernel_run(kernel) == MILO_OK;
  if (good) out->count = milo_kernel_outputs(kernel, out->info, MAX_VALUES);
  for (size_t i = 0; i < out->count; i++) {
    const size_t bytes = bytes_of(&out->info[i]);
    out->data[i] = malloc(bytes + 1);
    good = good && out->data[i] != NULL &&
           milo_buffer_read(milo_kernel_buffer(kernel, out->info[i].name), 0, out->data[i],
                            bytes) == MILO_OK;
  }
  milo_kernel_destroy(kernel);
  return good;
}

static bool agree(const outputs *got, const outputs *wanted) {
  for (size_t i = 0; i < wanted->count; i++) {
    const milo_dtype dtype = wanted->info[i].dtype;
    const void *g = got->data[i], *w = wanted->data[i];
    // fp32: seen 3e-6 of the greatest, where a gradient is a sum that nearly cancels.
    const double unit = dtype == MILO_FP32 ? 8e-6 : dtype == MILO_FP16 ? 2e-3 : 1.6e-2;
    double scale = 0;
    for (size_t k = 0; k < elements(&wanted->info[i]); k++)
      scale = compare_scale(scale, milo_number_load(dtype, w, k));
    for (size_t k = 0; k < elements(&wanted->info[i]); k++) {
      const double a = milo_number_load(dtype, g, k), b = milo_number_load(dtype, w, k);
      if (compare_near(a, b, unit * scale + 1e-7)) continue;
      printf("# %s[%zu]: got %.9g, wanted %.9g\n", wanted->info[i].name, k, a, b);
      return false;
    }
  }
  return true;
}

static bool same_bits(const outputs *a, const outputs *b) {
  for (size_t i = 0; i < a->count; i++)
    if (memcmp(a->data[i], b->data[i], bytes_of(&a->info[i])) != 0) return false;
  return true;
}

// Every kernel set, on 1 to 3 threads.
static bool check_program(const milo_program *program) {
  static const char *const masks[] = {"none", "avx2,fma,f16c", NULL};
  outputs wanted, first = {0}, got;
  milo_ctx *ctx;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return false;
  bool good = run(ctx, program, "ref", &wanted);
  if (!CHECK(good)) printf("# %s\n", milo_error(ctx));
  milo_ctx_destroy(ctx);
  for (int m = 0; m < 3 && good; m++)
    for (int threads = 1; threads <= 3 && good; threads++) {
      milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
      options.threads = threads;
      options.cpu_mask = masks[m];
      if (!CHECK(milo_ctx_create(&options, &ctx) == MILO_OK)) return false;
      good = run(ctx, program, "cpu", &got);
      if (!CHECK(good)) printf("# %s\n", milo_error(ctx));
      if (good && threads == 1) {
        release(&first);
        first = got;
        good = CHECK(agree(&got, &wanted));
      } else if (good) {
        good = CHECK(same_bits(&got, &first));
        release(&got);
      }
      if (!good) printf("# mask %s, %d threads\n", masks[m] ? masks[m] : "all", threads);
      milo_ctx_destroy(ctx);
    }
  release(&first);
  release(&wanted);
  return good;
}

// True if the program was one; then it and its gradient were run.
static bool try_program(milo_ctx *ctx, const char *text) {
  milo_program *program, *joint = NULL;
  if (!CHECK(milo_program_parse(ctx, text, strlen(text), "conv", NULL, &program) == MILO_OK)) {
    printf("# %s\n%s", milo_error(ctx), text);
    return false;
  }
  bool valid = milo_program_verify(ctx, program) == MILO_OK;
  if (valid) {
    milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
    options.keep_composites = true;
    if (CHECK(milo_program_grad(ctx, program, &options, &joint) == MILO_OK)) {
      if (!check_program(joint)) printf("# %s", text);
    } else {
      printf("# %s\n%s", milo_error(ctx), text);
    }
  }
  milo_program_destroy(joint);
  milo_program_destroy(program);
  return valid;
}

static void check_kind(int kind) {
  static const char *const dtypes[] = {"fp32", "fp32", "fp16", "bf16"};
  milo_ctx *ctx;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  // MILO_CONV_ROUNDS=N: more of them, by hand.
  const char *given = getenv("MILO_CONV_ROUNDS");
  const uint64_t rounds = given != NULL ? strtoull(given, NULL, 10) : ROUNDS;
  uint64_t valid = 0;
  const uint64_t start = (uint64_t)kind * 1000000;
  for (round_number = start; round_number < start + rounds; round_number++) {
    draws = 0;
    char *text = write_program(kind, dtypes[draw(0, 3)]);
    valid += try_program(ctx, text);
    free(text);
    if (tap_case_failed_) break;
  }
  CHECK(valid > rounds / 3 || tap_case_failed_);
  milo_ctx_destroy(ctx);
}

static void test_conv(void) { check_kind(0); }
static void test_conv_transpose(void) { check_kind(1); }
static void test_pool(void) { check_kind(2); }
static void test_norm(void) { check_kind(3); }

int main(void) {
  RUN(test_conv);
  RUN(test_conv_transpose);
  RUN(test_pool);
  RUN(test_norm);
  return tap_done();
}
