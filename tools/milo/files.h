// SPDX-License-Identifier: MIT
// Whole files for commands.
#ifndef MILO_TOOL_FILES_H
#define MILO_TOOL_FILES_H

#include <stdbool.h>
#include <stddef.h>

// Reads a file ("-": standard input) into malloc'ed memory with a NUL after the end. NULL after
// printing why not.
char *read_file(const char *path, size_t *out_bytes);

// Writes a file by way of a temporary one beside it, so that a failure leaves the old file. False
// after printing why not.
bool write_file(const char *path, const char *data, size_t bytes);

#endif
