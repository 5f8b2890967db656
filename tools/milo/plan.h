// SPDX-License-Identifier: MIT
// --plan, of every command that has step plans, and running the command again when a process may
// not compile more.
#ifndef MILO_TOOL_PLAN_H
#define MILO_TOOL_PLAN_H

#include "cmd.h"

#define PLAN_HELP "fused, dynamic or static: how a step is cut into programs (default fused)"

// NULL: not given. EXIT_OK, or the usage error that was printed.
int read_plan(const command *cmd, const char *text, milo_train_plan *out);

// Keeps the arguments of main, before options are parsed.
void keep_command_line(char **argv);
// This process replaces one that ended because of its compile budget. Asked once: programs that
// are started from here do not hear of it.
bool was_started_again(void);
// Replaces this process by one with the same arguments, for which was_started_again is true.
// Returns only if that fails: EXIT_FAILED, after a message.
int start_again(void);

#endif
