// SPDX-License-Identifier: MIT
// Options, messages and JSON for all commands.
#include "cmd.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "progress.h"

enum { MAX_THREADS = 1024 };

// ---- messages ----

int fail_text(const char *format, ...) {
  va_list args;
  va_start(args, format);
  progress_end_line();
  fputs("milo: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
  return EXIT_FAILED;
}

int fail_with(milo_ctx *ctx, milo_status status) {
  const char *text = ctx == NULL ? "" : milo_error(ctx);
  if (text[0] == '\0') text = milo_status_name(status);
  const size_t length = strlen(text);
  // FILE:LINE:COLUMN: error: stands first on its line, where editors look for it.
  const char *place = strstr(text, ": error: "), *line_end = strchr(text, '\n');
  const bool has_place = place != NULL && (line_end == NULL || place < line_end);
  progress_end_line();
  fprintf(stderr, "%s%s%s", has_place ? "" : "milo: ", text, text[length - 1] == '\n' ? "" : "\n");
  return status == MILO_ERR_INTERRUPTED ? EXIT_STOPPED : EXIT_FAILED;
}

int usage_error(const command *cmd, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "milo %s: ", cmd->name);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "\nhint: milo %s --help shows its options\n", cmd->name);
  return EXIT_USAGE;
}

int finish_stdout(void) {
  if (fflush(stdout) == 0 && !ferror(stdout)) return EXIT_OK;
  return fail_text("standard output could not be written: %s", strerror(errno));
}

// ---- standard input and output as files ----

static bool stdin_is_taken;
static char standard_input[] = "/dev/stdin";

const char *input_path(const char *given) {
  if (strcmp(given, "-") != 0) return given;
  if (stdin_is_taken) {
    fail_text("standard input (-) can be read only once");
    return NULL;
  }
  stdin_is_taken = true;
  return standard_input;
}

FILE *report_file(const char *output) {
  static const char *const names[] = {"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"};
  bool is_result = output == NULL;
  for (size_t i = 0; !is_result && i < sizeof names / sizeof *names; i++)
    is_result = strcmp(output, names[i]) == 0;
  return is_result ? stderr : stdout;
}

// ---- options ----

static void print_option(const option *o) {
  char head[64];
  snprintf(head, sizeof head, "%s%s%s%s%s", o->letter != NULL ? o->letter : "",
           o->letter != NULL ? ", " : "", o->name, o->value != NULL ? " " : "",
           o->value != NULL ? o->value : "");
  printf("  %-26s %s\n", head, o->help);
}

static void print_help(const command *cmd, const option *options, const option *shared) {
  printf("usage: milo %s\n\n%s\n\noptions:\n", cmd->usage, cmd->summary);
  for (const option *o = options; o->name != NULL; o++) print_option(o);
  for (const option *o = shared; o->name != NULL; o++) print_option(o);
  if (cmd->examples == NULL) return;
  const size_t bytes = strlen(cmd->examples);
  printf("\nexamples:\n%s%s", cmd->examples, cmd->examples[bytes - 1] == '\n' ? "" : "\n");
}

static bool named(const char *name, const char *text, size_t length) {
  return name != NULL && strlen(name) == length && strncmp(name, text, length) == 0;
}

static const option *find_option(const option *options, const char *text, size_t length) {
  for (const option *o = options; o->name != NULL; o++)
    if (named(o->name, text, length) || named(o->letter, text, length)) return o;
  return NULL;
}

// Stores one option's value; false after a message.
static bool store(const command *cmd, const option *o, const char *value, int *out_exit) {
  char *end;
  switch (o->kind) {
    case OPTION_FLAG:
      *(bool *)o->target = true;
      return true;
    case OPTION_STRING:
      *(const char **)o->target = value;
      return true;
    case OPTION_INPUT:
      *(const char **)o->target = input_path(value);
      *out_exit = EXIT_USAGE;
      return *(const char **)o->target != NULL;
    case OPTION_OUTPUT:
      *(const char **)o->target = strcmp(value, "-") == 0 ? "/dev/stdout" : value;
      return true;
    case OPTION_LIST: {
      string_list *list = o->target;
      const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
      if (items == NULL) {
        *out_exit = fail_text("out of memory");
        return false;
      }
      list->items = items;
      list->items[list->count++] = value;
      return true;
    }
    case OPTION_COUNT:
      errno = 0;
      *(uint64_t *)o->target = strtoull(value, &end, 10);
      // The largest number is what commands take for "not given".
      if (errno == 0 && *end == '\0' && value[0] >= '0' && value[0] <= '9' &&
          *(uint64_t *)o->target != UINT64_MAX)
        return true;
      *out_exit = usage_error(cmd, "%s takes a whole number, not '%s'", o->name, value);
      return false;
    case OPTION_NUMBER:
      *(double *)o->target = strtod(value, &end);
      if (end != value && *end == '\0' && isfinite(*(double *)o->target)) return true;
      *out_exit = usage_error(cmd, "%s takes a number, not '%s'", o->name, value);
      return false;
  }
  return false;
}

// The common options' values are wrong usage of every command, also of one that needs no context.
static bool common_are_usable(const command *cmd, const common_options *common, int *out_exit) {
  if (common->threads > MAX_THREADS) {
    *out_exit = usage_error(cmd, "--threads is at most %d", MAX_THREADS);
    return false;
  }
  if (common->cpu_mask == NULL) return true;
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = 1;
  options.cpu_mask = common->cpu_mask;
  milo_ctx *ctx;
  const milo_status status = milo_ctx_create(&options, &ctx);
  milo_ctx_destroy(ctx);
  if (status != MILO_ERR_INVALID) return true;
  *out_exit = usage_error(cmd, "--cpu-mask: '%s' names an instruction set that Milo does not know",
                          common->cpu_mask);
  return false;
}

bool options_parse(const command *cmd, const option *options, common_options *common, int argc,
                   char **argv, int *out_args, int *out_exit) {
  const option shared[] = {
      {"--json", NULL, OPTION_FLAG, &common->json, NULL, "machine-readable output"},
      {"--threads", NULL, OPTION_COUNT, &common->threads, "N", "threads to use (default: all)"},
      {"--cpu-mask", NULL, OPTION_STRING, &common->cpu_mask, "LIST",
       "instruction sets to allow, e.g. avx2,fma"},
      {"--quiet", "-q", OPTION_FLAG, &common->quiet, NULL, "no progress and no notes"},
      {"--help", "-h", OPTION_FLAG, &common->help, NULL, "this text"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  int args = 0;
  bool only_args = false;
  for (int i = 1; i < argc; i++) {
    char *text = argv[i];
    if (only_args || text[0] != '-' || text[1] == '\0') {
      argv[args++] = text;
      continue;
    }
    if (strcmp(text, "--") == 0) {
      only_args = true;
      continue;
    }
    const char *equals = text[1] == '-' ? strchr(text, '=') : NULL;
    const size_t length = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const option *o = find_option(options, text, length);
    if (o == NULL) o = find_option(shared, text, length);
    if (o == NULL) {
      *out_exit = usage_error(cmd, "there is no option '%.*s'", (int)length, text);
      return false;
    }
    if (o->kind == OPTION_FLAG && equals != NULL) {
      *out_exit = usage_error(cmd, "%s takes no value", o->name);
      return false;
    }
    const char *value = equals != NULL ? equals + 1 : NULL;
    if (o->kind != OPTION_FLAG && value == NULL) {
      if (i + 1 == argc) {
        *out_exit = usage_error(cmd, "%s needs a value", o->name);
        return false;
      }
      value = argv[++i];
    }
    if (!store(cmd, o, value, out_exit)) return false;
  }
  if (common->help) {
    print_help(cmd, options, shared);
    *out_exit = finish_stdout();
    return false;
  }
  if ((size_t)args < cmd->min_args || (size_t)args > cmd->max_args) {
    *out_exit = usage_error(
        cmd, "%s: milo %s",
        (size_t)args < cmd->min_args ? "an argument is missing" : "there are too many arguments",
        cmd->usage);
    return false;
  }
  for (int i = 0; i < args; i++) {
    const char *path = input_path(argv[i]);
    if (path == NULL) {
      *out_exit = EXIT_USAGE;
      return false;
    }
    if (path != argv[i]) argv[i] = standard_input;
  }
  for (const option *out = options; out->name != NULL; out++)
    for (const option *in = options; in->name != NULL; in++)
      if (out->kind == OPTION_OUTPUT && in->kind == OPTION_INPUT &&
          same_file(*(const char **)out->target, *(const char **)in->target)) {
        *out_exit = usage_error(cmd, "%s would replace what %s reads", out->name, in->name);
        return false;
      }
  if (common->quiet) be_quiet();
  *out_args = args;
  return common_are_usable(cmd, common, out_exit);
}

void options_deinit(const option *options) {
  for (const option *o = options; o->name != NULL; o++)
    if (o->kind == OPTION_LIST) free(((string_list *)o->target)->items);
}

bool add_names(char *list, const char ***names, size_t *count) {
  for (char *rest = list, *name; (name = strsep(&rest, ",")) != NULL;) {
    name += strspn(name, " ");
    name[strcspn(name, " ")] = '\0';
    if (*name == '\0') return false;
    const char **grown = realloc(*names, (*count + 1) * sizeof *grown);
    if (grown == NULL) return false;
    *names = grown;
    grown[(*count)++] = name;
  }
  return true;
}

milo_ctx *open_ctx(const common_options *common) {
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = (int)common->threads;
  options.cpu_mask = common->cpu_mask;
  milo_ctx *ctx;
  const milo_status status = milo_ctx_create(&options, &ctx);
  if (status != MILO_OK) fail_text("a context could not be made: %s", milo_status_name(status));
  return ctx;
}

// ---- JSON ----

static void print_and_free(void *file, char *text) {
  fputs(text, file);
  milo_free(text);
}

void json_string(void *file, const char *text) { print_and_free(file, milo_json_string(text)); }
void json_number(void *file, double number) { print_and_free(file, milo_json_number(number)); }
