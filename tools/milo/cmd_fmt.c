// SPDX-License-Identifier: MIT
// milo fmt: a MIL text in its canonical form.
#include <stdio.h>

#include "cmd.h"

int cmd_fmt(int argc, char **argv) {
  static const command cmd = {"fmt",
                              "fmt FILE.mil [-o OUT]",
                              "Print a MIL text as Apple's compiler would: canonical layout, names "
                              "in order, exact numbers.",
                              "  milo fmt model.mil -o model.mil\n",
                              1,
                              1};
  const char *output = NULL;
  const option options[] = {
      {"--output", "-o", OPTION_STRING, &output, "OUT", "file to write (default: print it)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  milo_ctx *ctx = open_ctx(&common);
  if (ctx == NULL) return EXIT_FAILED;
  char *text = NULL, *canonical = NULL;
  size_t bytes, canonical_bytes = 0;
  milo_program *program = NULL;
  milo_status status = milo_file_load(ctx, argv[0], &text, &bytes);
  if (status == MILO_OK) status = milo_program_parse(ctx, text, bytes, argv[0], NULL, &program);
  if (status == MILO_OK) status = milo_program_print(ctx, program, &canonical, &canonical_bytes);
  if (status == MILO_OK && output != NULL)
    status = milo_file_save(ctx, output, canonical, canonical_bytes);
  if (status != MILO_OK)
    code = fail_with(ctx, status);
  else if (output == NULL)
    fwrite(canonical, 1, canonical_bytes, stdout);
  if (status == MILO_OK) code = finish_stdout();
  milo_free(canonical);
  milo_program_destroy(program);
  milo_free(text);
  milo_ctx_destroy(ctx);
  return code;
}
