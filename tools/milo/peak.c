// SPDX-License-Identifier: MIT
#include "peak.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "cmd.h"
#include "progress.h"

enum { SIDE = 1024, LEAST_RUNS = 3, MOST_RUNS = 50 };
static const double enough_s = 0.3;

static const char product[] =
    "program(1.3)\n"
    "{\n"
    "  func main<ios18>(tensor<fp32, [1024, 1024]> x, tensor<fp32, [1024, 1024]> w) {\n"
    "    bool no = const()[name = string(\"no\"), val = bool(false)];\n"
    "    tensor<fp32, [1024, 1024]> y = matmul(transpose_x = no, transpose_y = no, x = x, y = w)\n"
    "        [name = string(\"y\")];\n"
    "  } -> (y);\n"
    "}\n";

static milo_status bind_matrix(milo_ctx *ctx, milo_kernel *kernel, const char *name) {
  milo_buffer *buffer = NULL;
  milo_status status = milo_buffer_create(ctx, sizeof(float) * SIDE * SIDE, &buffer);
  float *data = status == MILO_OK ? milo_buffer_map(buffer, MILO_WRITE) : NULL;
  for (size_t i = 0; data && i < SIDE * SIDE; i++) data[i] = (float)(i % 251) / 251 - 0.5f;
  if (status == MILO_OK && !data) status = MILO_ERR_NO_MEMORY;
  if (data) status = milo_buffer_unmap(buffer, data, MILO_WRITE);
  if (status == MILO_OK) status = milo_kernel_bind(kernel, name, buffer);
  milo_buffer_release(buffer);
  return status;
}

double measure_peak(milo_ctx *ctx, const char *device, milo_precision precision) {
  milo_program *program = NULL;
  milo_kernel *kernel = NULL;
  static const char *const parameters[] = {"w"};
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device;
  options.parameters = parameters;
  options.parameter_count = 1;
  if (precision > MILO_PRECISION_FP32) options.products = MILO_PRODUCTS_BF16;
  milo_status status = milo_program_parse(ctx, product, sizeof product - 1, "peak", NULL, &program);
  if (status == MILO_OK) status = milo_compile(ctx, program, &options, &kernel);
  if (status == MILO_OK) status = bind_matrix(ctx, kernel, "x");
  if (status == MILO_OK) status = bind_matrix(ctx, kernel, "w");
  double best = INFINITY, total = 0;
  for (int i = 0; status == MILO_OK && i < MOST_RUNS && (i < LEAST_RUNS || total < enough_s); i++) {
    const double start = now_s();
    status = milo_kernel_run(kernel);
    const double seconds = now_s() - start;
    total += seconds;
    if (seconds < best) best = seconds;
  }
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  return status == MILO_OK && best > 0 && isfinite(best) ? 2.0 * SIDE * SIDE * SIDE / best : 0;
}

static double flops_per_second(const efficiency *e) {
  return e->result->flops_per_token * e->tokens_per_second;
}

void efficiency_json(FILE *to, const efficiency *e) {
  const milo_train_result *r = e->result;
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"wall_seconds", r->wall_s},
                 {"compile_seconds", r->compile_s},
                 {"device_seconds", r->device_s},
                 {"host_seconds", r->wall_s - r->compile_s - r->device_s - r->io_s},
                 {"io_seconds", r->io_s},
                 {"flops_per_token", r->flops_per_token},
                 {"tflops_per_second", flops_per_second(e) / 1e12},
                 {"peak_tflops_per_second", e->peak > 0 ? e->peak / 1e12 : (double)NAN},
                 {"share_of_peak", e->peak > 0 ? flops_per_second(e) / e->peak : (double)NAN}};
  fprintf(to, ", \"kernels_compiled\": %" PRIu64, r->kernels);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    fprintf(to, ", \"%s\": ", numbers[i].name);
    json_number(to, numbers[i].value);
  }
}

void efficiency_text(char *text, size_t bytes, const efficiency *e) {
  const milo_train_result *r = e->result;
  int n = snprintf(text, bytes,
                   "%.1f s: %.1f compiling %" PRIu64
                   " programs, %.1f device, %.1f host, %.1f "
                   "files; peak memory %.2f GB",
                   r->wall_s, r->compile_s, r->kernels, r->device_s,
                   r->wall_s - r->compile_s - r->device_s - r->io_s, r->io_s,
                   (double)r->peak_memory_bytes / 1e9);
  if (n < 0 || (size_t)n >= bytes || !(r->flops_per_token > 0) || !(e->tokens_per_second > 0))
    return;
  const int m = snprintf(text + n, bytes - (size_t)n, "; %.0f tokens/s, %.3f TFLOP/s",
                         e->tokens_per_second, flops_per_second(e) / 1e12);
  n += m > 0 ? m : 0;
  if (e->peak > 0 && (size_t)n < bytes)
    snprintf(text + n, bytes - (size_t)n, ", %.0f %% of the %.3f that a product reaches here",
             100 * flops_per_second(e) / e->peak, e->peak / 1e12);
}
