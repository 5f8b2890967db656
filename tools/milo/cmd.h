// SPDX-License-Identifier: MIT
// The command's framework: subcommands are rows of commands.def, options are rows of a table that
// parsing and --help are made from. This folder includes <milo/milo.h> and nothing else of ours.
#ifndef MILO_TOOL_CMD_H
#define MILO_TOOL_CMD_H

#include <milo/milo.h>
#include <stdio.h>

// Exit codes: 0 done, 1 failed (a message stands on standard error), 2 wrong usage, 130 stopped by
// Ctrl-C, as shells have it.
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_STOPPED = 130 };

typedef enum option_kind {
  OPTION_FLAG,    // bool *
  OPTION_STRING,  // const char **
  OPTION_INPUT,   // const char **: a file to read, "-" for standard input
  OPTION_OUTPUT,  // const char **: a file to write, "-" for standard output
  OPTION_LIST,    // string_list *: may be given several times
  OPTION_COUNT,   // uint64_t *: a whole number >= 0
  OPTION_NUMBER,  // double *
} option_kind;

#define NOT_GIVEN UINT64_MAX  // default of an OPTION_COUNT, which cannot be given

typedef struct string_list {
  const char **items;  // freed by options_deinit of the command's options
  size_t count;
} string_list;

typedef struct option {
  const char *name;    // "--steps"
  const char *letter;  // "-o", or NULL
  option_kind kind;
  void *target;       // keeps its value if the option is not given: the default
  const char *value;  // what --help calls the value: "FILE", "N"; NULL for flags
  const char *help;
} option;

typedef struct command {
  const char *name;           // "run"
  const char *usage;          // "run FILE.mil [options]"
  const char *summary;        // one line
  const char *examples;       // lines, indented by two spaces
  size_t min_args, max_args;  // positional arguments; "-" is standard input
} command;

// The options every command has.
typedef struct common_options {
  uint64_t threads;
  const char *cpu_mask;
  bool json, quiet, help;
} common_options;

// Parses argv[1..] by options (ends with name NULL) and the common ones. Positional arguments are
// moved to the front of argv and counted in *out_args. Returns false if the command is over (help
// printed or usage wrong): *out_exit is then the exit code.
bool options_parse(const command *cmd, const option *options, common_options *common, int argc,
                   char **argv, int *out_args, int *out_exit);
void options_deinit(const option *options);  // frees lists

// Appends the names of a comma list, cut in place, without spaces around them. False if one is
// empty or memory ran out.
bool add_names(char *list, const char ***names, size_t *count);

// "-" is standard input, which can be read once: NULL, after a message, for the second "-".
// Others are themselves. For paths inside of other arguments: options and positional arguments that
// are files have it behind them.
const char *input_path(const char *given);
// Where a command says what it did: standard error if its result goes to standard output (output is
// NULL or names it), else standard output.
FILE *report_file(const char *output);

// A context for the common options; NULL after printing why not.
milo_ctx *open_ctx(const common_options *common);
// Prints what milo_error holds (or the status's name) as `milo: ...` and returns EXIT_FAILED, or
// EXIT_STOPPED for MILO_ERR_INTERRUPTED.
int fail_with(milo_ctx *ctx, milo_status status);
// Prints `milo: message` and returns EXIT_FAILED.
int fail_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Prints `milo CMD: message` and a pointer to --help; returns EXIT_USAGE.
int usage_error(const command *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Flushes standard output; EXIT_FAILED with a message if anything could not be written.
int finish_stdout(void);

// JSON to a FILE *: a string with quotes and escapes (what is not UTF-8 becomes U+FFFD), a number
// (null if not finite).
void json_string(void *file, const char *text);
void json_number(void *file, double number);

#define CMD(id, summary) int cmd_##id(int argc, char **argv);
#include "commands.def"
#undef CMD

#endif
