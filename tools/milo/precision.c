// SPDX-License-Identifier: MIT
#include "precision.h"

#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"default", "fp32", "bf16", "fp16"};

const char *precision_name(milo_precision precision) { return names[precision]; }

int read_precision(const command *cmd, const char *text, milo_precision *out) {
  *out = MILO_PRECISION_DEFAULT;
  if (!text) return EXIT_OK;
  for (int i = MILO_PRECISION_FP32; i <= MILO_PRECISION_FP16; i++)
    if (strcmp(text, names[i]) == 0) {
      *out = (milo_precision)i;
      return EXIT_OK;
    }
  return usage_error(cmd, "--precision is fp32, bf16 or fp16, not '%s'", text);
}

int read_loss_scale(const command *cmd, const char *text, double *out) {
  *out = 0;
  if (!text) return EXIT_OK;
  const size_t word = strlen("dynamic");
  const bool dynamic = strncmp(text, "dynamic", word) == 0;
  if (dynamic && text[word] == '\0') {
    *out = -65536;
    return EXIT_OK;
  }
  const char *number = dynamic ? text + word + 1 : text;
  char *end = NULL;
  const double value = strtod(number, &end);
  if ((dynamic && text[word] != ':') || end == number || *end != '\0' ||
      !(value >= (dynamic ? 1 : 0x1p-14) && value <= 0x1p100))
    return usage_error(cmd,
                       "--loss-scale takes a number from 2^-14 to 2^100, dynamic or dynamic:N "
                       "(N from 1), not '%s'",
                       text);
  *out = dynamic ? -value : value;
  return EXIT_OK;
}
