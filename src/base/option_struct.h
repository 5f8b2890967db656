// SPDX-License-Identifier: MIT
// Option structs of the public header. A client may have been compiled with an older or a newer
// header than the library: struct_bytes, the first field, says how much its struct holds.
#ifndef MILO_BASE_OPTION_STRUCT_H
#define MILO_BASE_OPTION_STRUCT_H

#include "base/status.h"

// Copies given, a `type`, to *out: what the client's version does not have is 0, struct_bytes is
// this version's. given may be NULL: all 0.
//
// MILO_ERR_INVALID: struct_bytes was not set; the message names MILO_OPTIONS_INIT.
// MILO_ERR_UNSUPPORTED: a field is set that this version does not have.
#define milo_take_options(type, given, diag, out) \
  milo_take_options_bytes(#type, (given), sizeof(type), (diag), (type *){out})
MILO_MUST_USE milo_status milo_take_options_bytes(const char *type, const void *given, size_t bytes,
                                                  milo_diag *diag, void *out);

#endif
