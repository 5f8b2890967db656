// SPDX-License-Identifier: MIT
// Times compiling by the size of the program: seconds of processor time to parse, differentiate,
// differentiate and split, and compile for each device, forward and gradient, for programs of many
// shapes (tests/graph_shapes.h) at growing sizes; after each row of sizes the exponent by which
// time grew from the last but one to the last (1: in proportion, 2: quadratic).
//
// Arguments: the largest size (default 100,000), part of a shape's name to choose.
#include <math.h>
#include <milo/milo.h>
#include <string.h>
#include <time.h>

#include "graph_shapes.h"

enum { PARSE, GRAD, SPLIT, REF, CPU, GRAD_REF, GRAD_CPU, PHASES };

static const char *const phases[PHASES] = {"parse", "grad",     "split",   "ref",
                                           "cpu",   "grad ref", "grad cpu"};

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(milo_ctx *ctx, milo_status status, const char *what, const char *shape) {
  if (status == MILO_OK) return;
  fprintf(stderr, "bench_compile: %s of %s: %s\n", what, shape, milo_error(ctx));
  exit(1);
}

// Compiling and destroying.
static double compile(milo_ctx *ctx, const milo_program *program, const char *device,
                      const char *shape) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  milo_kernel *kernel = NULL;
  options.device = device;
  const double start = now_s();
  check(ctx, milo_compile(ctx, program, &options, &kernel), device, shape);
  milo_kernel_destroy(kernel);
  return now_s() - start;
}

static void measure(milo_ctx *ctx, const graph_shape *shape, size_t n, double *seconds) {
  size_t bytes;
  char *text = graph_shape_text(shape, n, &bytes);
  milo_program *program = NULL, *grad = NULL, *split = NULL;
  double start = now_s();
  check(ctx, milo_program_parse(ctx, text, bytes, shape->name, NULL, &program), "parse",
        shape->name);
  seconds[PARSE] = now_s() - start;
  free(text);
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  start = now_s();
  check(ctx, milo_program_grad(ctx, program, &options, &grad), "grad", shape->name);
  seconds[GRAD] = now_s() - start;
  options.split = true;
  start = now_s();
  check(ctx, milo_program_grad(ctx, program, &options, &split), "split", shape->name);
  seconds[SPLIT] = now_s() - start;
  milo_program_destroy(split);
  seconds[REF] = compile(ctx, program, "ref", shape->name);
  seconds[CPU] = compile(ctx, program, "cpu", shape->name);
  milo_program_destroy(program);
  seconds[GRAD_REF] = compile(ctx, grad, "ref", shape->name);
  seconds[GRAD_CPU] = compile(ctx, grad, "cpu", shape->name);
  milo_program_destroy(grad);
}

int main(int argc, char **argv) {
  const size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
  milo_ctx *ctx = NULL;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;
  printf("%-12s %8s", "shape", "n");
  for (int p = 0; p < PHASES; p++) printf(" %9s", phases[p]);
  printf("   seconds\n");
  for (int i = 0; i < GRAPH_SHAPES; i++) {
    if (argc > 2 && strstr(graph_shapes[i].name, argv[2]) == NULL) continue;
    double before[PHASES] = {0}, now[PHASES] = {0};
    for (size_t n = 1000; n <= most; n *= 10) {
      memcpy(before, now, sizeof before);
      measure(ctx, &graph_shapes[i], n, now);
      printf("%-12s %8zu", graph_shapes[i].name, n);
      for (int p = 0; p < PHASES; p++) printf(" %9.4f", now[p]);
      printf("\n");
      fflush(stdout);
    }
    if (most < 10000) continue;
    printf("%-12s %8s", "", "growth");
    for (int p = 0; p < PHASES; p++) printf(" %9.2f", log10(now[p] / before[p]));
    printf("   # %s\n", graph_shapes[i].what);
  }
  milo_ctx_destroy(ctx);
  return 0;
}
