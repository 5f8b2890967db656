// SPDX-License-Identifier: MIT
// Times MIL text by its length, one JSON line a size: microseconds of processor time an operation
// to parse, verify, print and free, and the bytes an operation takes in memory beside its text.
// Argument: the most operations (default 1,000,000).
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "base/str.h"
#include "ir/op.h"
#include "text/text.h"

// In the proportions of a real text: three constants, one of them a weight, to an operation.
static void write_text(milo_str *s, int operations) {
  milo_str_puts(s, "program(1.3)\n{\n    func main<ios18>(tensor<fp32, [8, 8]> v_0) {\n");
  for (int i = 1; i <= operations / 4; i++)
    milo_str_printf(
        s,
        "        bool f_%d = const()[name = string(\"f_%d\"), val = bool(false)];\n"
        "        bool t_%d = const()[name = string(\"t_%d\"), val = bool(true)];\n"
        "        tensor<fp32, [8, 8]> w_%d = const()[name = string(\"w_%d\"), val = tensor<fp32, "
        "[8, 8]>(BLOBFILE(path = string(\"@model_path/weights/weight.bin\"), offset = "
        "uint64(%d)))];\n"
        "        tensor<fp32, [8, 8]> v_%d = matmul(transpose_x = f_%d, transpose_y = t_%d, x = "
        "v_%d, y = w_%d)[name = string(\"v_%d\")];\n",
        i, i, i, i, i, i, 64 * i, i, i, i, i - 1, i, i);
  milo_str_printf(s, "    } -> (v_%d);\n}\n", operations / 4);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static void need(milo_status status, const char *what) {
  if (status == MILO_OK) return;
  fprintf(stderr, "bench_text: cannot %s\n", what);
  exit(1);
}

static void measure(int operations) {
  milo_str text = {0}, printed = {0};
  write_text(&text, operations);
  size_t bytes;
  char *owned = milo_str_take(&text, &bytes);
  const uint64_t before = milo_peak_memory_bytes();
  milo_program *program;
  double at[5];
  at[0] = now_us();
  need(milo_text_parse_owned(owned, bytes, "bench", NULL, &program), "parse");
  at[1] = now_us();
  need(milo_ir_verify(program, NULL), "verify");
  at[2] = now_us();
  // Of the largest size so far: each is ten times the one before.
  const uint64_t peak = milo_peak_memory_bytes() - before;
  const size_t held = program->arena.total_bytes;
  need(milo_text_print(program, &printed), "print");
  at[3] = now_us();
  milo_program_destroy(program);
  at[4] = now_us();
  const double n = operations;
  printf(
      "{\"operations\": %d, \"text_bytes\": %.0f, \"parse_us\": %.2f, \"verify_us\": %.2f, "
      "\"print_us\": %.2f, \"free_us\": %.2f, \"program_bytes\": %.0f, \"peak_bytes\": %.0f}\n",
      operations, (double)bytes / n, (at[1] - at[0]) / n, (at[2] - at[1]) / n, (at[3] - at[2]) / n,
      (at[4] - at[3]) / n, (double)held / n, (double)peak / n);
  fflush(stdout);
  milo_str_deinit(&printed);
}

int main(int argc, char **argv) {
  const int most = argc > 1 ? atoi(argv[1]) : 1000000;
  for (int operations = 10000; operations <= most; operations *= 10) measure(operations);
  return 0;
}
