// SPDX-License-Identifier: MIT
// Runs a MIL text: y = softmax(x W + b), on the CPU.
//
//   cc run_mil.c $(pkg-config --cflags --libs milo) -o run_mil && ./run_mil
#include <milo/milo.h>
#include <stdio.h>
#include <string.h>

static const char text[] =
    "program(1.3) {\n"
    "  func main<ios17>(tensor<fp32, [2, 3]> x) {\n"
    "    tensor<fp32, [3, 2]> w = const()[name = string(\"w\"),\n"
    "        val = tensor<fp32, [3, 2]>([[1, -1], [0.5, 0], [0, 2]])];\n"
    "    bool no = const()[name = string(\"no\"), val = bool(false)];\n"
    "    tensor<fp32, [2, 2]> h = matmul(x = x, y = w, transpose_x = no, transpose_y = no)\n"
    "        [name = string(\"h\")];\n"
    "    tensor<fp32, [2]> b = const()[name = string(\"b\"), val = tensor<fp32, [2]>([0.1, "
    "0.2])];\n"
    "    tensor<fp32, [2, 2]> s = add(x = h, y = b)[name = string(\"s\")];\n"
    "    int32 last = const()[name = string(\"last\"), val = int32(-1)];\n"
    "    tensor<fp32, [2, 2]> y = softmax(x = s, axis = last)[name = string(\"y\")];\n"
    "  } -> (y);\n"
    "}\n";

static int fail(const milo_ctx *ctx) {
  fprintf(stderr, "run_mil: %s\n", milo_error(ctx));
  return 1;
}

int main(void) {
  milo_ctx *ctx;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) return 1;

  milo_program *program = NULL;
  milo_kernel *kernel = NULL;
  milo_buffer *x = NULL;
  int code = 1;
  const float input[2][3] = {{1, 2, 3}, {-1, 0, 1}};

  if (milo_program_parse(ctx, text, strlen(text), "example", NULL, &program) != MILO_OK ||
      milo_program_verify(ctx, program) != MILO_OK ||
      milo_compile(ctx, program, NULL, &kernel) != MILO_OK ||
      milo_buffer_create(ctx, sizeof input, &x) != MILO_OK ||
      milo_buffer_write(x, 0, input, sizeof input) != MILO_OK ||
      milo_kernel_bind(kernel, "x", x) != MILO_OK || milo_kernel_run(kernel) != MILO_OK) {
    fail(ctx);
    goto done;
  }
  float y[4];
  if (milo_buffer_read(milo_kernel_buffer(kernel, "y"), 0, y, sizeof y) != MILO_OK) goto done;
  for (int i = 0; i < 2; i++) printf("%.6f %.6f\n", (double)y[2 * i], (double)y[2 * i + 1]);
  code = 0;

done:
  milo_buffer_release(x);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
  return code;
}
