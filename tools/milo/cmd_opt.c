// SPDX-License-Identifier: MIT
// milo opt: what passes make of a program, for those who develop them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "precision.h"

typedef struct printing {
  milo_ctx *ctx;
  FILE *file;
  const string_list *after;  // names of passes, or "all"
} printing;

static bool is_pass(const char *name) {
  for (size_t i = 0; milo_pass_name(i) != NULL; i++)
    if (strcmp(milo_pass_name(i), name) == 0) return true;
  return false;
}

static int no_such_pass(const command *cmd, const char *flag, const char *name) {
  char names[256] = "";
  for (size_t i = 0, at = 0; milo_pass_name(i) != NULL && at < sizeof names; i++)
    at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "",
                           milo_pass_name(i));
  return usage_error(cmd, "%s: there is no pass '%s', there are %s", flag, name, names);
}

static milo_status print_program(milo_ctx *ctx, const milo_program *program, FILE *file) {
  char *text;
  size_t bytes;
  const milo_status status = milo_program_print(ctx, program, &text, &bytes);
  if (status == MILO_OK) fwrite(text, 1, bytes, file);
  milo_free(text);
  return status;
}

static milo_status after_pass(void *user, const char *function, const char *pass,
                              const milo_program *program) {
  const printing *p = user;
  bool wanted = false;
  for (size_t i = 0; i < p->after->count; i++)
    wanted =
        wanted || strcmp(p->after->items[i], "all") == 0 || strcmp(p->after->items[i], pass) == 0;
  if (!wanted) return MILO_OK;
  fprintf(p->file, "// %s after %s\n", function, pass);
  return print_program(p->ctx, program, p->file);
}

static int optimize(milo_ctx *ctx, const char *input, const char *output,
                    const milo_optimize_options *options) {
  milo_program *program = NULL, *made = NULL;
  milo_status status = milo_program_load(ctx, input, &program);
  if (status == MILO_OK) status = milo_program_optimize(ctx, program, options, &made);
  if (status == MILO_OK)
    status =
        output != NULL ? milo_program_save(ctx, made, output) : print_program(ctx, made, stdout);
  const int code = status == MILO_OK ? EXIT_OK : fail_with(ctx, status);
  milo_program_destroy(made);
  milo_program_destroy(program);
  return code;
}

static void list_passes(const common_options *common) {
  if (common->json) putchar('[');
  for (size_t i = 0; milo_pass_name(i) != NULL; i++) {
    if (!common->json) {
      printf("%-13s %s\n", milo_pass_name(i), milo_pass_summary(i));
      continue;
    }
    printf("%s{\"name\": ", i > 0 ? ", " : "");
    json_string(stdout, milo_pass_name(i));
    printf(", \"summary\": ");
    json_string(stdout, milo_pass_summary(i));
    putchar('}');
  }
  if (common->json) puts("]");
}

int cmd_opt(int argc, char **argv) {
  static const command cmd = {
      "opt",
      "opt FILE.mil [options]",
      "Writes what passes make of a program: all of them in their order, or those of --passes.\n"
      "MILO_DUMP=FOLDER in the environment keeps the text after each pass, and does so for every\n"
      "command that compiles or differentiates.",
      "  milo opt --list\n"
      "  milo opt model.mil --passes fold,cse,dce -o simpler.mil\n"
      "  milo opt model.mil --print-after canonicalize\n"
      "  MILO_DUMP=texts milo run model.mil --random 1\n",
      0,
      1};
  string_list print_after = {NULL, 0};
  const char *output = NULL, *list = NULL, *precision = NULL;
  bool list_only = false;
  milo_optimize_options options = MILO_OPTIONS_INIT(milo_optimize_options);
  const option table[] = {
      {"--passes", NULL, OPTION_STRING, &list, "A,B", "passes to run, in this order"},
      {"--print-after", NULL, OPTION_LIST, &print_after, "PASS",
       "print what each run of this pass left (all: of any), to standard error if the result goes "
       "to standard output"},
      {"--output", "-o", OPTION_OUTPUT, &output, "FILE", "what to write (default: print it)"},
      {"--function", NULL, OPTION_STRING, &options.function, "NAME", "default: all"},
      {"--composites", NULL, OPTION_FLAG, &options.keep_composites, NULL,
       "keep composites (rms_norm, attention, ...) instead of public operations"},
      {"--precision", NULL, OPTION_STRING, &precision, "P",
       "fp32, bf16 or fp16: what the pass narrow stores"},
      {"--list", NULL, OPTION_FLAG, &list_only, NULL, "list the passes"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  const char **names = NULL;
  char *copy = NULL;
  milo_ctx *ctx = NULL;
  int args, code;
  if (!options_parse(&cmd, table, &common, argc, argv, &args, &code)) goto done;
  if (list_only) {
    list_passes(&common);
    code = EXIT_OK;
    goto done;
  }
  code = read_precision(&cmd, precision, &options.precision);
  if (code != EXIT_OK) goto done;
  if (args == 0) {
    code = usage_error(&cmd, "an argument is missing: milo %s", cmd.usage);
    goto done;
  }
  for (size_t i = 0; i < print_after.count; i++)
    if (strcmp(print_after.items[i], "all") != 0 && !is_pass(print_after.items[i])) {
      code = no_such_pass(&cmd, "--print-after", print_after.items[i]);
      goto done;
    }
  if (list != NULL) {
    copy = strdup(list);
    if (copy == NULL || !add_names(copy, &names, &options.pass_count)) {
      code = usage_error(&cmd, "--passes expects names of passes, separated by commas");
      goto done;
    }
    for (size_t i = 0; i < options.pass_count; i++)
      if (!is_pass(names[i])) {
        code = no_such_pass(&cmd, "--passes", names[i]);
        goto done;
      }
    options.passes = names;
  }
  ctx = open_ctx(&common);
  code = EXIT_FAILED;
  if (ctx != NULL) {
    printing p = {ctx, report_file(output), &print_after};
    options.after_pass = after_pass;
    options.user = &p;
    code = optimize(ctx, argv[0], output, &options);
  }
done:
  milo_ctx_destroy(ctx);
  free(names);
  free(copy);
  options_deinit(table);
  const int flushed = finish_stdout();
  return code == EXIT_OK ? flushed : code;
}
