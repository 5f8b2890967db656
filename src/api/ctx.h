// SPDX-License-Identifier: MIT
// What stands behind a milo_ctx, for the files of this folder. Each public function clears the
// diagnostics, calls the layers below and returns their status.
#ifndef MILO_API_CTX_H
#define MILO_API_CTX_H

#include "api/dump.h"
#include "base/status.h"
#include "device/device.h"

enum { MILO_CTX_MAX_DEVICES = 8 };

struct milo_ctx {
  milo_diag diag;
  milo_host host;
  milo_dump dump;
  int refs;  // the client's and one of each kernel and session
  char cpu[160];
  milo_device *devices[MILO_CTX_MAX_DEVICES];  // opened on first use, by row of milo_device_types
};

// The context's diagnostics, emptied: the first thing a public function does.
milo_diag *milo_ctx_begin(milo_ctx *ctx);
// The device of that name (NULL: "cpu"), opened on first use and owned by the context.
MILO_MUST_USE milo_status milo_ctx_device(milo_ctx *ctx, const char *name,
                                          milo_device **out_device);
// One more reference, given back with milo_ctx_destroy.
void milo_ctx_retain(milo_ctx *ctx);

#endif
