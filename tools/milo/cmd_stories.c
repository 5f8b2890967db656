// SPDX-License-Identifier: MIT
// milo stories: text to train a first model on.
#include <stdio.h>
#include <stdlib.h>

#include "cmd.h"
#include "stories.h"

int cmd_stories(int argc, char **argv) {
  static const command cmd = {
      "stories",
      "stories [--count N] [--seed S] [-o FILE]",
      "Makes up simple English stories, each followed by a line \"<|endoftext|>\".",
      "  milo stories --count 6000 -o stories.txt\n"
      "  milo tokenize train stories.txt --vocab 1024 -o tok.bin\n",
      0,
      0};
  uint64_t count = 1000, seed = 0;
  const char *output = NULL;
  const option options[] = {
      {"--count", "-n", OPTION_COUNT, &count, "N", "stories (default 1000)"},
      {"--seed", NULL, OPTION_COUNT, &seed, "S",
       "the same seed gives the same stories (default 0)"},
      {"--output", "-o", OPTION_OUTPUT, &output, "FILE", "what to write (default: print it)"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  if (count > 10000000) return usage_error(&cmd, "--count is at most 10000000");
  size_t bytes;
  char *text = stories_generate(seed, (size_t)count, &bytes);
  if (text == NULL) return fail_text("out of memory");
  milo_ctx *ctx = open_ctx(&common);
  if (ctx == NULL) {
    free(text);
    return EXIT_FAILED;
  }
  milo_status status = MILO_OK;
  if (output != NULL)
    status = milo_file_save(ctx, output, text, bytes);
  else
    fwrite(text, 1, bytes, stdout);
  if (status != MILO_OK)
    code = fail_with(ctx, status);
  else if (output != NULL && common.json)
    fprintf(report_file(output), "{\"stories\": %llu, \"text_bytes\": %zu}\n",
            (unsigned long long)count, bytes);
  else if (output != NULL)
    fprintf(report_file(output), "%s: %llu stories, %zu bytes\n", output, (unsigned long long)count,
            bytes);
  milo_ctx_destroy(ctx);
  free(text);
  const int flushed = finish_stdout();
  return status == MILO_OK ? flushed : code;
}
