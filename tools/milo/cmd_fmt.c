// SPDX-License-Identifier: MIT
// milo fmt: a MIL text in its canonical form.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

// Is there a file called name in the folder of the file at path?
static bool has_beside(const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  const size_t folder_bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
  char *beside = malloc(folder_bytes + strlen(name) + 1);
  if (beside == NULL) return false;
  memcpy(beside, path, folder_bytes);
  strcpy(beside + folder_bytes, name);
  const bool is_there = access(beside, F_OK) == 0;
  free(beside);
  return is_there;
}

// Weights are looked for beside the text: names those that it left behind.
static void note_weights(const milo_program *program, const char *input, const char *output) {
  static const char prefix[] = "@model_path/";
  struct stat info;
  if (report_file(output) == stderr || stat(output, &info) != 0 || !S_ISREG(info.st_mode)) return;
  const char *last = "";
  for (size_t f = 0; f < milo_program_function_count(program); f++) {
    const char *function = milo_program_function_name(program, f);
    const size_t count = milo_program_weights(program, function, NULL, 0);
    milo_weight_info *weights = calloc(count + 1, sizeof *weights);
    if (weights == NULL) return;
    milo_program_weights(program, function, weights, count);
    for (size_t i = 0; i < count; i++) {
      const char *file = weights[i].file;
      if (file == NULL || strcmp(file, last) == 0 || strncmp(file, prefix, sizeof prefix - 1) != 0)
        continue;
      last = file;
      const char *name = file + sizeof prefix - 1;
      if (has_beside(input, name) && !has_beside(output, name))
        fprintf(stderr,
                "milo: note: %s looks for its weights, %s, in its own folder; they are beside %s\n",
                output, name, input);
    }
    free(weights);
  }
}

int cmd_fmt(int argc, char **argv) {
  static const command cmd = {"fmt",
                              "fmt FILE.mil [-o OUT]",
                              "Print a MIL text as Apple's compiler would: canonical layout, names "
                              "in order, exact numbers.",
                              "  milo fmt model.mil -o model.mil\n"
                              "  generate-mil | milo fmt -\n",
                              1,
                              1};
  const char *output = NULL;
  const option options[] = {
      {"--output", "-o", OPTION_OUTPUT, &output, "OUT", "file to write (default: print it)"},
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
  if (status == MILO_OK && output != NULL && !common.quiet) note_weights(program, argv[0], output);
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
