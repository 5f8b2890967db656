// SPDX-License-Identifier: MIT
// What a call said that had to fail.
#ifndef MILO_TESTS_FAILED_WITH_H
#define MILO_TESTS_FAILED_WITH_H

#include "base/status.h"
#include "tap.h"

static milo_diag diag;

// The status is the one wanted and diag's message holds the words; forgets the message.
static inline bool failed_with(milo_status status, milo_status wanted, const char *words) {
  const bool ok = status == wanted && strstr(milo_diag_text(&diag), words) != NULL;
  if (!ok) printf("# got %d: %s\n", (int)status, milo_diag_text(&diag));
  milo_diag_clear(&diag);
  return ok;
}

#endif
