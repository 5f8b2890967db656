// SPDX-License-Identifier: MIT
// milo check: are these MIL texts right?
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "data.h"

// Weights are checked where they are there; a text alone is worth checking too. The text is read
// once: it may come from a pipe.
static milo_status check(milo_ctx *ctx, const char *path, bool *out_weights, size_t *out_warnings) {
  milo_program *program = NULL;
  char *text = NULL;
  size_t bytes;
  char *folder = folder_of(path);
  milo_status status =
      folder != NULL ? milo_file_load(ctx, path, &text, &bytes) : MILO_ERR_NO_MEMORY;
  if (status == MILO_OK) {
    status = milo_program_parse(ctx, text, bytes, path, folder, &program);
    *out_weights = status != MILO_ERR_NOT_FOUND;
    if (!*out_weights) status = milo_program_parse(ctx, text, bytes, path, NULL, &program);
    if (status == MILO_OK) status = milo_program_verify(ctx, program);
    if (status == MILO_OK) *out_warnings = milo_program_lint(ctx, program);
  }
  milo_program_destroy(program);
  milo_free(text);
  free(folder);
  return status;
}

int cmd_check(int argc, char **argv) {
  static const command cmd = {
      "check",
      "check FILE.mil...",
      "Verify MIL texts: syntax, names, types, shapes, arguments, weights. Exit code 0 if all are "
      "right.\nWarns of operations and opsets that Milo does not know and of numbers that become "
      "infinities; --quiet leaves warnings out, but not those that --strict makes errors.",
      "  milo check model.mil\n"
      "  generate-mil | milo check -\n",
      1,
      SIZE_MAX};
  bool strict = false;
  const option options[] = {
      {"--strict", NULL, OPTION_FLAG, &strict, NULL, "warnings are errors: exit code 1"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  milo_ctx *ctx = open_ctx(&common);
  if (ctx == NULL) return EXIT_FAILED;
  int failed = 0;
  if (common.json) putchar('[');
  for (int i = 0; i < args; i++) {
    bool has_weights = true;
    size_t warnings = 0;
    const milo_status status = check(ctx, argv[i], &has_weights, &warnings);
    const bool ok = status == MILO_OK && !(strict && warnings > 0);
    failed += !ok;
    if (common.json) {
      printf("%s{\"file\": ", i > 0 ? ", " : "");
      json_string(stdout, argv[i]);
      printf(", \"ok\": %s, \"weights_checked\": %s, \"errors\": ", ok ? "true" : "false",
             status == MILO_OK && has_weights ? "true" : "false");
      json_string(stdout, status == MILO_OK ? "" : milo_error(ctx));
      printf(", \"warnings\": ");
      json_string(stdout, warnings > 0 ? milo_error(ctx) : "");
      putchar('}');
    } else if (status != MILO_OK) {
      const char *error = milo_error(ctx);
      fprintf(stderr, "%s\n", error[0] ? error : milo_status_name(status));
    } else {
      if (warnings > 0 && (strict || !common.quiet)) fprintf(stderr, "%s\n", milo_error(ctx));
      if (ok) printf("%s: ok%s\n", argv[i], has_weights ? "" : " (its weight files are not there)");
    }
  }
  if (common.json) puts("]");
  milo_ctx_destroy(ctx);
  code = finish_stdout();
  return failed > 0 ? EXIT_FAILED : code;
}
