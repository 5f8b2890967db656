// SPDX-License-Identifier: MIT
// Diagnostics: what went wrong and where. The function that notices a fault reports it once with
// milo_fail; everyone above only passes the status on with MILO_TRY.
#ifndef MILO_BASE_STATUS_H
#define MILO_BASE_STATUS_H

#include <milo/milo.h>
#include <stdarg.h>

// A text that places refer to. The text (NUL-terminated at bytes) outlives every place in it.
typedef struct milo_source {
  const char *name;  // as shown in messages
  const char *text;  // may be NULL: only the name is shown
  size_t bytes;
} milo_source;

// A place: byte offset into a source; source NULL means "no place".
typedef struct milo_loc {
  const milo_source *source;
  size_t offset;
} milo_loc;

#define MILO_NO_LOC ((milo_loc){NULL, 0})

// Collects messages. Zero-initialised is ready for use; at most MILO_DIAG_MAX_ERRORS are kept,
// the rest are counted.
enum { MILO_DIAG_MAX_ERRORS = 20 };

typedef struct milo_diag {
  char *text;  // all messages, newline separated; NULL if none
  size_t bytes, capacity;
  size_t errors;  // reported in all
  bool warnings;  // what is reported is called a warning
} milo_diag;

void milo_diag_deinit(milo_diag *diag);
void milo_diag_clear(milo_diag *diag);
// The text collected, "" if there is none.
const char *milo_diag_text(const milo_diag *diag);

// Reports an error: `name:line:col: error: message`, the source line and a caret; diag may be NULL.
// A long line is clipped around the place.
// Returns status. A message may hold a hint after a newline: it is printed as "hint: ...".
milo_status milo_fail(milo_diag *diag, milo_loc loc, milo_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
milo_status milo_vfail(milo_diag *diag, milo_loc loc, milo_status status, const char *format,
                       va_list args) __attribute__((format(printf, 4, 0)));

// 1-based line and column (in bytes) of a place.
void milo_loc_resolve(milo_loc loc, size_t *out_line, size_t *out_column);

// For allocations too small to have an error path: the host's hook (milo_set_out_of_memory), else a
// message on standard error, then abort.
_Noreturn void milo_out_of_memory(size_t bytes);

#define MILO_TRY(expression)               \
  do {                                     \
    const milo_status try_ = (expression); \
    if (try_ != MILO_OK) return try_;      \
  } while (0)

#endif
