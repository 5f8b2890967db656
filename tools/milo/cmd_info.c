// SPDX-License-Identifier: MIT
// milo info: what is in a MIL text; how this processor multiplies matrices.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

// What milo.h tells of one function; each list in malloc'ed memory.
typedef struct function_info {
  const char *name;
  milo_value_info *inputs, *outputs;
  milo_op_count *ops;
  milo_weight_info *weights;
  size_t input_count, output_count, op_kinds, weight_count;
} function_info;

static bool collect(const milo_program *program, const char *name, function_info *out) {
  *out = (function_info){.name = name};
  out->input_count = milo_program_inputs(program, name, NULL, 0);
  out->output_count = milo_program_outputs(program, name, NULL, 0);
  out->op_kinds = milo_program_op_counts(program, name, NULL, 0);
  out->weight_count = milo_program_weights(program, name, NULL, 0);
  out->inputs = calloc(out->input_count + 1, sizeof *out->inputs);
  out->outputs = calloc(out->output_count + 1, sizeof *out->outputs);
  out->ops = calloc(out->op_kinds + 1, sizeof *out->ops);
  out->weights = calloc(out->weight_count + 1, sizeof *out->weights);
  if (!out->inputs || !out->outputs || !out->ops || !out->weights) return false;
  milo_program_inputs(program, name, out->inputs, out->input_count);
  milo_program_outputs(program, name, out->outputs, out->output_count);
  milo_program_op_counts(program, name, out->ops, out->op_kinds);
  milo_program_weights(program, name, out->weights, out->weight_count);
  return true;
}

static void release(function_info *info) {
  free(info->inputs);
  free(info->outputs);
  free(info->ops);
  free(info->weights);
}

static int compare_ops(const void *a, const void *b) {
  const milo_op_count *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return strcmp(x->name, y->name);
}

static uint64_t weight_bytes(const function_info *info) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < info->weight_count; i++) bytes += info->weights[i].bytes;
  return bytes;
}

static void print_values(const char *title, const milo_value_info *values, size_t count) {
  for (size_t i = 0; i < count; i++)
    printf("  %-8s %s: %s\n", i == 0 ? title : "", values[i].name, values[i].type);
}

static void print_function(const function_info *info) {
  size_t ops = 0;
  for (size_t i = 0; i < info->op_kinds; i++) ops += info->ops[i].count;
  printf("function %s\n", info->name);
  print_values("inputs", info->inputs, info->input_count);
  print_values("outputs", info->outputs, info->output_count);
  printf("  ops      %zu of %zu kinds\n", ops, info->op_kinds);
  for (size_t i = 0; i < info->op_kinds; i++)
    printf("  %8zu %s%s\n", info->ops[i].count, info->ops[i].name,
           info->ops[i].supported ? "" : " (not supported)");
  printf("  weights  %zu, %" PRIu64 " bytes\n", info->weight_count, weight_bytes(info));
  for (size_t i = 0; i < info->weight_count; i++) {
    const milo_weight_info *weight = &info->weights[i];
    printf("  %10" PRIu64 " %s: %s%s%s\n", weight->bytes, weight->name,
           milo_dtype_name(weight->dtype), weight->file ? " in " : "",
           weight->file ? weight->file : "");
  }
}

static void json_values(const char *key, const milo_value_info *values, size_t count) {
  printf("\"%s\": [", key);
  for (size_t i = 0; i < count; i++) {
    printf("%s{\"name\": ", i > 0 ? ", " : "");
    json_string(stdout, values[i].name);
    printf(", \"type\": ");
    json_string(stdout, values[i].type);
    printf(", \"shape\": ");
    if (values[i].rank < 0) printf("null");
    for (int d = 0; d < values[i].rank; d++)
      printf("%s%" PRId64, d > 0 ? ", " : "[", values[i].shape[d]);
    printf("%s}", values[i].rank > 0 ? "]" : values[i].rank == 0 ? "[]" : "");
  }
  printf("], ");
}

static void json_function(const function_info *info) {
  printf("{\"name\": ");
  json_string(stdout, info->name);
  printf(", ");
  json_values("inputs", info->inputs, info->input_count);
  json_values("outputs", info->outputs, info->output_count);
  printf("\"ops\": [");
  for (size_t i = 0; i < info->op_kinds; i++) {
    printf("%s{\"name\": ", i > 0 ? ", " : "");
    json_string(stdout, info->ops[i].name);
    printf(", \"count\": %zu, \"supported\": %s}", info->ops[i].count,
           info->ops[i].supported ? "true" : "false");
  }
  printf("], \"weight_bytes\": %" PRIu64 ", \"weights\": [", weight_bytes(info));
  for (size_t i = 0; i < info->weight_count; i++) {
    const milo_weight_info *weight = &info->weights[i];
    printf("%s{\"name\": ", i > 0 ? ", " : "");
    json_string(stdout, weight->name);
    printf(", \"type\": \"%s\", \"bytes\": %" PRIu64 ", \"file\": ", milo_dtype_name(weight->dtype),
           weight->bytes);
    if (weight->file)
      json_string(stdout, weight->file);
    else
      printf("null");
    putchar('}');
  }
  printf("]}");
}

static int print_program(const milo_program *program, const char *path, bool json) {
  if (json) {
    printf("{\"file\": ");
    json_string(stdout, path);
    printf(", \"functions\": [");
  }
  for (size_t i = 0; i < milo_program_function_count(program); i++) {
    function_info info;
    const bool collected = collect(program, milo_program_function_name(program, i), &info);
    if (collected) {
      qsort(info.ops, info.op_kinds, sizeof *info.ops, compare_ops);
      if (json && i > 0) printf(", ");
      json ? json_function(&info) : print_function(&info);
    }
    release(&info);
    if (!collected) return fail_text("out of memory");
  }
  if (json) puts("]}");
  return finish_stdout();
}

static void json_rows(const milo_ctx *ctx, const milo_cpu_row *rows, size_t count) {
  printf("{\"cpu\": ");
  json_string(stdout, milo_ctx_cpu(ctx));
  printf(", \"threads\": %d, \"products\": [", milo_ctx_threads(ctx));
  for (size_t i = 0; i < count; i++) {
    const milo_cpu_row *r = &rows[i];
    printf("%s{\"mode\": \"%s\", \"row\": \"%s\", \"available\": %s, \"chosen\": %s, \"gops\": ",
           i > 0 ? ", " : "", r->mode, r->name, r->available ? "true" : "false",
           r->chosen ? "true" : "false");
    json_number(stdout, r->gops);
    putchar('}');
  }
  puts("]}");
}

static int print_cpu(const milo_ctx *ctx, bool json) {
  const size_t count = milo_ctx_cpu_rows(ctx, NULL, 0);
  milo_cpu_row *rows = calloc(count + 1, sizeof *rows);
  if (rows == NULL) return fail_text("out of memory");
  milo_ctx_cpu_rows(ctx, rows, count);
  if (json) {
    json_rows(ctx, rows, count);
  } else {
    printf("instruction sets  %s\nthreads           %d\n", milo_ctx_cpu(ctx),
           milo_ctx_threads(ctx));
    printf("matrix products, in 1e9 additions and multiplications a second on one core:\n");
    for (size_t i = 0; i < count; i++) {
      printf("  %-6s %-12s", rows[i].mode, rows[i].name);
      if (rows[i].available)
        printf(" %8.1f%s\n", rows[i].gops, rows[i].chosen ? "  chosen" : "");
      else
        puts("        -  not on this processor, or masked");
    }
  }
  free(rows);
  return finish_stdout();
}

int cmd_info(int argc, char **argv) {
  static const command cmd = {
      "info",
      "info FILE.mil | info --cpu",
      "List functions, their inputs and outputs, operations by count, and weights; or which "
      "kernels\n"
      "multiply matrices on this processor, and how fast they are.",
      "  milo info model.mil\n  milo info --json model.mil\n  milo info --cpu\n",
      0,
      1};
  bool cpu = false;
  const option options[] = {
      {"--cpu", NULL, OPTION_FLAG, &cpu, NULL, "the rows of kernels for matrix products, by mode"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (cpu == (args > 0))
    return usage_error(&cmd, cpu ? "there are too many arguments: --cpu takes no file"
                                 : "an argument is missing: FILE.mil or --cpu");
  milo_ctx *ctx = open_ctx(&common);
  if (ctx == NULL) return EXIT_FAILED;
  if (cpu) {
    code = print_cpu(ctx, common.json);
    milo_ctx_destroy(ctx);
    return code;
  }
  char *text = NULL;
  size_t bytes;
  milo_program *program = NULL;
  milo_status status = milo_file_load(ctx, argv[0], &text, &bytes);
  if (status == MILO_OK) status = milo_program_parse(ctx, text, bytes, argv[0], NULL, &program);
  code = status == MILO_OK ? print_program(program, argv[0], common.json) : fail_with(ctx, status);
  milo_program_destroy(program);
  milo_free(text);
  milo_ctx_destroy(ctx);
  return code;
}
