// SPDX-License-Identifier: MIT
// milo grad: differentiates a MIL program.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

// Appends the names of a comma list, cut in place. False if one is empty or memory ran out.
static bool add_names(char *list, const char ***names, size_t *count) {
  for (char *rest = list, *name; (name = strsep(&rest, ",")) != NULL;) {
    if (*name == '\0') return false;
    const char **grown = realloc(*names, (*count + 1) * sizeof *grown);
    if (grown == NULL) return false;
    *names = grown;
    grown[(*count)++] = name;
  }
  return true;
}

static milo_status print_program(milo_ctx *ctx, const milo_program *program) {
  char *text;
  size_t bytes;
  const milo_status status = milo_program_print(ctx, program, &text, &bytes);
  if (status == MILO_OK) fwrite(text, 1, bytes, stdout);
  milo_free(text);
  return status;
}

static int differentiate(milo_ctx *ctx, const char *input, const char *output,
                         const milo_grad_options *options) {
  milo_program *program = NULL, *gradient = NULL;
  milo_status status = milo_program_load(ctx, input, &program);
  if (status == MILO_OK) status = milo_program_grad(ctx, program, options, &gradient);
  if (status == MILO_OK)
    status =
        output != NULL ? milo_program_save(ctx, gradient, output) : print_program(ctx, gradient);
  const int code = status == MILO_OK ? EXIT_OK : fail_with(ctx, status);
  milo_program_destroy(gradient);
  milo_program_destroy(program);
  return code;
}

int cmd_grad(int argc, char **argv) {
  static const command cmd = {
      "grad",
      "grad FILE.mil [options]",
      "Writes the program that computes FILE's outputs and the gradients of its inputs. It takes\n"
      "FILE's inputs and a seed grad_<output> for each floating-point output, and returns the\n"
      "outputs, then grad_<input> for each input differentiated.",
      "  milo grad mlp.mil --wrt x,w1,w2 -o mlp_grad.mil\n"
      "  milo grad mlp.mil --split -o mlp_train.mil\n",
      1,
      1};
  string_list wrt = {NULL, 0};
  const char *output = NULL;
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  const option table[] = {
      {"--wrt", NULL, OPTION_LIST, &wrt, "A,B", "inputs to differentiate (default: all floats)"},
      {"--output", "-o", OPTION_STRING, &output, "FILE", "what to write (default: print it)"},
      {"--function", NULL, OPTION_STRING, &options.function, "NAME", "default: the first"},
      {"--split", NULL, OPTION_FLAG, &options.split, NULL,
       "two functions: <name>_forward, which returns what <name>_backward reads, and that"},
      {"--composites", NULL, OPTION_FLAG, &options.keep_composites, NULL,
       "keep composites (rms_norm, attention, ...) instead of public operations"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, table, &common, argc, argv, &args, &code)) {
    options_deinit(table);
    return code;
  }
  const char **names = NULL;
  char **lists = calloc(wrt.count + 1, sizeof *lists);
  bool ok = lists != NULL;
  for (size_t i = 0; ok && i < wrt.count; i++) {
    lists[i] = strdup(wrt.items[i]);
    ok = lists[i] != NULL && add_names(lists[i], &names, &options.wrt_count);
  }
  milo_ctx *ctx = NULL;
  options.wrt = names;
  if (!ok)
    code = usage_error(&cmd, "--wrt expects input names, separated by commas");
  else if ((ctx = open_ctx(&common)) == NULL)
    code = EXIT_FAILED;
  else
    code = differentiate(ctx, argv[0], output, &options);
  milo_ctx_destroy(ctx);
  for (size_t i = 0; lists != NULL && i < wrt.count; i++) free(lists[i]);
  free(lists);
  free(names);
  options_deinit(table);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}
