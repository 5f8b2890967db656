// SPDX-License-Identifier: MIT
// milo grad: differentiates a MIL program.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "precision.h"

static void free_list(char **copies) {
  for (size_t i = 0; copies != NULL && copies[i] != NULL; i++) free(copies[i]);
  free(copies);
}

// Reads "NAME=4,3" (nothing behind = is rank 0), cut in place.
static bool read_shape(char *text, milo_value_info *out) {
  *out = (milo_value_info){.name = text};
  char *at = strchr(text, '=');
  if (at == NULL || at == text) return false;
  *at++ = '\0';
  while (*at != '\0') {
    if (out->rank == MILO_MAX_RANK || !isdigit((unsigned char)*at)) return false;
    errno = 0;
    out->shape[out->rank++] = strtoll(at, &at, 10);
    if (errno != 0 || (*at != '\0' && *at != ',') || (*at == ',' && at[1] == '\0')) return false;
    at += *at == ',';
  }
  return true;
}

// Copies of the strings, to be cut; count + 1 of them, the last NULL. NULL if memory ran out.
static char **copy_list(const string_list *list) {
  char **copies = calloc(list->count + 1, sizeof *copies);
  for (size_t i = 0; copies != NULL && i < list->count; i++)
    if ((copies[i] = strdup(list->items[i])) == NULL) {
      free_list(copies);
      return NULL;
    }
  return copies;
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
      "  milo grad mlp.mil --split -o mlp_train.mil\n"
      "  milo grad mlp.mil --shape x=16,784\n"
      "  milo grad mlp_grad.mil --prefix grad2_\n",
      1,
      1};
  string_list wrt = {NULL, 0}, shapes = {NULL, 0};
  const char *output = NULL, *precision = NULL;
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  const option table[] = {
      {"--wrt", NULL, OPTION_LIST, &wrt, "A,B", "inputs to differentiate (default: all floats)"},
      {"--shape", NULL, OPTION_LIST, &shapes, "NAME=4,3", "shape of an input that leaves it open"},
      {"--output", "-o", OPTION_OUTPUT, &output, "FILE", "what to write (default: print it)"},
      {"--function", NULL, OPTION_STRING, &options.function, "NAME", "default: the first"},
      {"--prefix", NULL, OPTION_STRING, &options.prefix, "NAME",
       "what seeds and gradients are called by instead of grad_"},
      {"--seed-prefix", NULL, OPTION_STRING, &options.seed_prefix, "NAME",
       "the same for seeds alone; needed where an input is an output too"},
      {"--split", NULL, OPTION_FLAG, &options.split, NULL,
       "two functions: <name>_forward, which returns what <name>_backward reads, and that"},
      {"--composites", NULL, OPTION_FLAG, &options.keep_composites, NULL,
       "keep composites (rms_norm, attention, ...) instead of public operations"},
      {"--precision", NULL, OPTION_STRING, &precision, "P", PRECISION_HELP},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, table, &common, argc, argv, &args, &code)) {
    options_deinit(table);
    return code;
  }
  code = read_precision(&cmd, precision, &options.precision);
  if (code != EXIT_OK) {
    options_deinit(table);
    return code;
  }
  const char **names = NULL;
  char **name_lists = copy_list(&wrt), **shape_texts = copy_list(&shapes);
  milo_value_info *inputs = calloc(shapes.count + 1, sizeof *inputs);
  milo_ctx *ctx = NULL;
  if (name_lists == NULL || shape_texts == NULL || inputs == NULL) {
    code = fail_text("out of memory");
    goto done;
  }
  for (size_t i = 0; i < wrt.count; i++)
    if (!add_names(name_lists[i], &names, &options.wrt_count)) {
      code = usage_error(&cmd, "--wrt expects input names, separated by commas");
      goto done;
    }
  for (size_t i = 0; i < shapes.count; i++)
    if (!read_shape(shape_texts[i], &inputs[i])) {
      code = usage_error(&cmd, "--shape expects NAME=4,3, not '%s'", shapes.items[i]);
      goto done;
    }
  options.wrt = names;
  options.inputs = inputs;
  options.input_count = shapes.count;
  ctx = open_ctx(&common);
  code = ctx == NULL ? EXIT_FAILED : differentiate(ctx, argv[0], output, &options);
done:
  milo_ctx_destroy(ctx);
  free(inputs);
  free_list(shape_texts);
  free_list(name_lists);
  free(names);
  options_deinit(table);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}
