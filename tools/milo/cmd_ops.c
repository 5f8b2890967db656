// SPDX-License-Identifier: MIT
// milo ops: the table of operations.
#include <stdio.h>

#include "cmd.h"

int cmd_ops(int argc, char **argv) {
  static const command cmd = {
      "ops", "ops [--json]", "List the operations Milo knows.", "  milo ops | wc -l\n", 0, 0};
  static const option none[] = {{NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, none, &common, argc, argv, &args, &code)) return code;
  if (common.json) fputc('[', stdout);
  const char *name;
  for (size_t i = 0; (name = milo_op_name(i)) != NULL; i++) {
    if (!common.json) {
      puts(name);
      continue;
    }
    if (i > 0) fputc(',', stdout);
    json_string(stdout, name);
  }
  if (common.json) fputs("]\n", stdout);
  return finish_stdout();
}
