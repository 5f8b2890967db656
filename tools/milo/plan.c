// SPDX-License-Identifier: MIT
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"

#define AGAIN "MILO_STARTED_AGAIN"

int read_plan(const command *cmd, const char *text, milo_train_plan *out) {
  if (text == NULL) return EXIT_OK;
  for (size_t i = MILO_PLAN_FUSED; milo_plan_name(i) != NULL; i++)
    if (strcmp(milo_plan_name(i), text) == 0) {
      *out = (milo_train_plan)i;
      return EXIT_OK;
    }
  return usage_error(cmd, "--plan is fused, dynamic or static, not '%s'", text);
}

static char **command_line;

void keep_command_line(char **argv) {
  size_t count = 0;
  while (argv[count] != NULL) count++;
  command_line = calloc(count + 1, sizeof *command_line);
  for (size_t i = 0; command_line != NULL && i < count; i++) command_line[i] = strdup(argv[i]);
}

bool was_started_again(void) {
  const bool again = getenv(AGAIN) != NULL;
  unsetenv(AGAIN);
  return again;
}

int start_again(void) {
  fflush(NULL);
  // A signal from here on waits for the new process, which hears it in stop_on_signal.
  hold_signals();
  if (stop_requested()) {
    note("stopped; --resume goes on");
    return EXIT_STOPPED;
  }
  if (command_line == NULL || setenv(AGAIN, "1", 1) != 0) return fail_text("out of memory");
  execv("/proc/self/exe", command_line);
  execvp(command_line[0], command_line);  // systems without /proc
  return fail_text("cannot go on in a new process: %s\n--resume goes on", strerror(errno));
}
