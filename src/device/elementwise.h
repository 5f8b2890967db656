// SPDX-License-Identifier: MIT
// Which row of kernels/elementwise.def an operation is, where its name alone does not say so.
#ifndef MILO_DEVICE_ELEMENTWISE_H
#define MILO_DEVICE_ELEMENTWISE_H

#include <string.h>

#include "ir/op.h"
#include "kernels/rows.h"

static inline milo_unary milo_gelu_form(const milo_op *op) {
  const char *mode = milo_op_string(op, "mode");
  if (strcmp(mode, "TANH_APPROXIMATION") == 0) return MILO_UNARY_gelu_tanh;
  if (strcmp(mode, "SIGMOID_APPROXIMATION") == 0) return MILO_UNARY_gelu_sigmoid;
  return MILO_UNARY_gelu_exact;
}

#endif
