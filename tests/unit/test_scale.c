// SPDX-License-Identifier: MIT
// What a text costs: memory an operation, and time that grows as the text does, whatever is many in
// it. (bench/bench_text prints the figures themselves.)
#include <time.h>

#include "base/memory.h"
#include "base/str.h"
#include "ir/op.h"
#include "tap.h"
#include "text/text.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static const char HEAD[] = "program(1.3)\n{\n    func main<ios18>(tensor<fp32, [4, 8]> x) {\n";

// ---- texts with n of something ----

static void chain(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_puts(s, "tensor<fp32, [4, 8]> v_0 = relu(x = x);\n");
  for (int i = 1; i < n; i++)
    milo_str_printf(s,
                    "tensor<fp32, [4, 8]> v_%d = add(x = v_%d, y = x)[name = string(\"v_%d\")];\n",
                    i, i - 1, i);
  milo_str_printf(s, "} -> (v_%d);\n}\n", n - 1);
}

static void constants(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  for (int i = 0; i < n; i++)
    milo_str_printf(s, "int32 c_%d = const()[name = string(\"c_%d\"), val = int32(%d)];\n", i, i,
                    i);
  milo_str_puts(s, "} -> (x);\n}\n");
}

static void weights(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  for (int i = 0; i < n; i++)
    milo_str_printf(s,
                    "tensor<fp16, [8]> w_%d = const()[name = string(\"w_%d\"), val = "
                    "tensor<fp16, [8]>(BLOBFILE(path = string(\"@model_path/w.bin\"), offset = "
                    "uint64(%d)))];\n",
                    i, i, 64 * (i + 1));
  milo_str_puts(s, "} -> (x);\n}\n");
}

static void arguments(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_puts(s, "tensor<fp32, [4, 8]> y = no_such_op(");
  for (int i = 0; i < n; i++) milo_str_printf(s, "%sa_%d = x", i > 0 ? ", " : "", i);
  milo_str_puts(s, ");\n} -> (y);\n}\n");
}

static void values(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_puts(s, "tensor<fp32, [?, 8]> y = concat(values = (");
  for (int i = 0; i < n; i++) milo_str_printf(s, "%sx", i > 0 ? ", " : "");
  milo_str_puts(s, "), axis = int32(0), interleave = bool(false));\n} -> (y);\n}\n");
}

static void results(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  for (int i = 0; i < n; i++) milo_str_printf(s, "%sfp32 y_%d", i > 0 ? ", " : "", i);
  milo_str_puts(s, " = no_such_op(x = x);\n} -> (x);\n}\n");
}

static void attributes(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_puts(s, "tensor<fp32, [4, 8]> y = relu(x = x)[");
  for (int i = 0; i < n; i++) milo_str_printf(s, "%sa_%d = int32(1)", i > 0 ? ", " : "", i);
  milo_str_puts(s, "];\n} -> (y);\n}\n");
}

static void inputs(milo_str *s, int n) {
  milo_str_puts(s, "program(1.3)\n{\n    func main<ios18>(");
  for (int i = 0; i < n; i++) milo_str_printf(s, "%sfp32 x_%d", i > 0 ? ", " : "", i);
  milo_str_puts(s, ") {\n} -> (x_0);\n}\n");
}

static void functions(milo_str *s, int n) {
  milo_str_puts(s, "program(1.3)\n{\n");
  for (int i = 0; i < n; i++) milo_str_printf(s, "func f_%d<ios18>(fp32 x) {\n} -> (x);\n", i);
  milo_str_puts(s, "}\n");
}

static void blocks(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_puts(s, "fp32 y = no_such_op(x = x) ");
  for (int i = 0; i < n; i++) milo_str_puts(s, " { fp32 z = const()[val = fp32(1)]; } -> (z)");
  milo_str_puts(s, ";\n} -> (x);\n}\n");
}

static void elements(milo_str *s, int n) {
  milo_str_puts(s, HEAD);
  milo_str_printf(s, "tensor<fp32, [%d]> y = const()[val = tensor<fp32, [%d]>([0", n, n);
  for (int i = 1; i < n; i++) milo_str_printf(s, ", %d", i);
  milo_str_puts(s, "])];\n} -> (x);\n}\n");
}

typedef void maker(milo_str *s, int n);
static const struct {
  const char *name;
  maker *make;
} shapes[] = {
    {"chain", chain},         {"constants", constants},   {"weights", weights},
    {"arguments", arguments}, {"values", values},         {"results", results},
    {"inputs", inputs},       {"attributes", attributes}, {"blocks", blocks},
    {"functions", functions}, {"elements", elements},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

// ---- memory ----

static void check_bytes_per_operation(maker *make, const char *name) {
  enum { COUNT = 20000, MOST = 660 };
  milo_str text = {0};
  make(&text, COUNT);
  milo_program *program;
  if (CHECK(milo_text_parse(text.data, text.bytes, "t", NULL, &program) == MILO_OK)) {
    const size_t bytes = program->arena.total_bytes - text.bytes;
    printf("# %s: %zu bytes an operation beside its text\n", name, bytes / COUNT);
    CHECK(bytes < (size_t)COUNT * MOST);
    milo_program_destroy(program);
  }
  milo_str_deinit(&text);
}

static void test_bytes_per_operation(void) {
  check_bytes_per_operation(chain, "chain");
  check_bytes_per_operation(constants, "constants");
  check_bytes_per_operation(weights, "weights");
}

// Everything that is held at some time between reading and freeing. First of all cases: the largest
// resident size never falls.
static void test_peak_memory(void) {
#ifdef SANITIZED
  SKIP("a sanitizer's own memory is counted too");
#else
  enum { COUNT = 200000 };
  milo_str text = {0};
  constants(&text, COUNT);
  const uint64_t before = milo_peak_memory_bytes();
  if (before == 0) SKIP("the system does not say");
  milo_program *program;
  size_t bytes;
  char *owned = milo_str_take(&text, &bytes);
  if (!CHECK(milo_text_parse_owned(owned, bytes, "t", NULL, &program) == MILO_OK)) return;
  CHECK(milo_ir_verify(program, NULL) == MILO_OK);
  milo_program_destroy(program);
  const uint64_t used = milo_peak_memory_bytes() - before;
  printf("# %llu bytes an operation at most, the text not counted\n",
         (unsigned long long)used / COUNT);
  CHECK(used < (uint64_t)COUNT * 900);
#endif
}

// ---- time ----

// Processor time to parse, verify, print and free n of something: the least of three.
static double seconds(maker *make, int n) {
  milo_str text = {0};
  make(&text, n);
  double least = 1e9;
  for (int round = 0; round < 3; round++) {
    const clock_t start = clock();
    milo_program *program;
    if (CHECK(milo_text_parse(text.data, text.bytes, "t", NULL, &program) == MILO_OK)) {
      milo_str printed = {0};
      CHECK(milo_ir_verify(program, NULL) == MILO_OK);
      CHECK(milo_text_print(program, &printed) == MILO_OK);
      milo_str_deinit(&printed);
      milo_program_destroy(program);
    }
    const double took = (double)(clock() - start) / CLOCKS_PER_SEC;
    if (took < least) least = took;
  }
  milo_str_deinit(&text);
  return least;
}

// Sixteen times as much in sixteen times the time, and no more than three times that: caches.
// What is quadratic takes 256 times.
static void test_linear(void) {
  for (int i = 0; i < SHAPES; i++) {
    const double small = seconds(shapes[i].make, 4000), large = seconds(shapes[i].make, 64000);
    printf("# %s: %.1f ms, sixteen times as much %.1f ms\n", shapes[i].name, 1e3 * small,
           1e3 * large);
    CHECK(large < 48 * small + 0.02);
  }
}

int main(void) {
  RUN(test_peak_memory);
  RUN(test_bytes_per_operation);
  RUN(test_linear);
  return tap_done();
}
