// SPDX-License-Identifier: MIT
// --precision and --loss-scale, of every command that trains.
#ifndef MILO_TOOL_PRECISION_H
#define MILO_TOOL_PRECISION_H

#include "cmd.h"

#define PRECISION_HELP "fp32, bf16 or fp16: what is stored between products (default fp32)"
#define LOSS_SCALE_HELP "N, dynamic or dynamic:N (default 1; with fp16 dynamic:65536)"

// NULL: not given. EXIT_OK, or the usage error that was printed.
int read_precision(const command *cmd, const char *text, milo_precision *out);
int read_loss_scale(const command *cmd, const char *text, double *out);
const char *precision_name(milo_precision precision);

#endif
