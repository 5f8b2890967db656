// SPDX-License-Identifier: MIT
// milo: dispatch to subcommands, help.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "plan.h"

static const struct {
  const char *name, *summary;
  int (*run)(int argc, char **argv);
} commands[] = {
#define CMD(id, what) {#id, what, cmd_##id},
#include "commands.def"
#undef CMD
};

static int print_help(void) {
  puts("milo " MILO_VERSION " - compile, run and train MIL programs\n");
  puts("usage: milo COMMAND [arguments]\n\ncommands:");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    printf("  %-10s %s\n", commands[i].name, commands[i].summary);
  puts("  help       this text, or help on one command: milo help COMMAND");
  puts("\ndevices:");
  for (size_t i = 0; milo_device_name(i) != NULL; i++) printf("  %s\n", milo_device_name(i));
  puts(
      "\nEvery command has --help, --json, --quiet, --threads N and --cpu-mask LIST. Where a\n"
      "file is read or written, - is standard input or output.");
  return finish_stdout();
}

int main(int argc, char **argv) {
  // A write past the limit of a file's size is then an error like any other, with a message.
  signal(SIGXFSZ, SIG_IGN);
  keep_command_line(argv);
  const char *name = argc < 2 ? "help" : argv[1];
  if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
    printf("milo %s\n", milo_version());
    return finish_stdout();
  }
  const bool help =
      strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
  if (help && argc < 3) {
    const int code = print_help();
    return argc < 2 ? EXIT_USAGE : code;
  }
  if (help) name = argv[2];
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    if (strcmp(commands[i].name, name) != 0) continue;
    char flag[] = "--help";
    char *ask[] = {argv[0], flag, NULL};
    return help ? commands[i].run(2, ask) : commands[i].run(argc - 1, argv + 1);
  }
  fprintf(stderr, "milo: there is no command '%s'\nhint: milo help lists the commands\n", name);
  return EXIT_USAGE;
}
