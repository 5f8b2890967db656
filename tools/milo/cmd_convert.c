// SPDX-License-Identifier: MIT
// milo convert: a model from one form on disk to another.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

static void report(const char *from, const char *to, const milo_convert_result *r, bool json) {
  if (!json) {
    printf("%s: %s, %.2f M parameters\n%s: %s%s\n", from, r->from, (double)r->parameters / 1e6, to,
           r->to, r->has_moments ? ", with the run's moments" : "");
    return;
  }
  printf("{\"from\": ");
  json_string(stdout, r->from);
  printf(", \"to\": ");
  json_string(stdout, r->to);
  printf(", \"parameters\": %" PRIu64 ", \"moments\": %s}\n", r->parameters,
         r->has_moments ? "true" : "false");
}

int cmd_convert(int argc, char **argv) {
  static const command cmd = {
      "convert",
      "convert MODEL FILE|FOLDER [options]",
      "Writes a model in another form: llama2.c (.bin), safetensors with config.json (a folder, "
      "or\n"
      ".safetensors) as Hugging Face has it, BLZT (.blzt), or a folder of Milo's own (--to milo).\n"
      "What MODEL is, is found out. RoPE pairs are reordered where the forms differ in them.",
      "  milo convert stories260K.bin stories              # a folder of Hugging Face's\n"
      "  milo convert out model.bin --to llama2c-v1\n"
      "  milo convert ane_stories110M.blzt own --to milo\n",
      2,
      2};
  const char *to = NULL;
  bool force = false;
  const option options[] = {
      {"--to", NULL, OPTION_STRING, &to, "FORM",
       "milo, hf, llama2c, llama2c-v1, blzt, blzt-v2 or blzt-v4 (default: by name)"},
      {"--force", "-f", OPTION_FLAG, &force, NULL, "replace what is there"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) return code;
  bool known = !to;
  for (size_t i = 0; !known && milo_form_name(i); i++) known = strcmp(milo_form_name(i), to) == 0;
  if (!known) return usage_error(&cmd, "there is no form '%s'", to);
  milo_ctx *ctx = open_ctx(&common);
  if (!ctx) return EXIT_FAILED;
  milo_convert_options convert = MILO_OPTIONS_INIT(milo_convert_options);
  convert.to = to;
  convert.force = force;
  milo_convert_result result;
  const milo_status status = milo_convert(ctx, argv[0], argv[1], &convert, &result);
  if (status == MILO_OK) report(argv[0], argv[1], &result, common.json);
  code = status == MILO_OK ? finish_stdout() : fail_with(ctx, status);
  milo_ctx_destroy(ctx);
  return code;
}
