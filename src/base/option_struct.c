// SPDX-License-Identifier: MIT
#include "base/option_struct.h"

#include <string.h>

// No version of a struct will be as large: a number above was never set.
enum { LARGEST = 4096 };

milo_status milo_take_options_bytes(const char *type, const void *given, size_t bytes,
                                    milo_diag *diag, void *out) {
  const unsigned char *from = given;
  size_t have = bytes;
  memset(out, 0, bytes);
  memcpy(out, &bytes, sizeof bytes);
  if (given == NULL) return MILO_OK;
  memcpy(&have, given, sizeof have);
  if (have < sizeof have || have > LARGEST)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID,
                     "%s: struct_bytes is %zu, which is no size of this struct\n"
                     "begin with %s options = MILO_OPTIONS_INIT(%s);",
                     type, have, type, type);
  for (size_t i = bytes; i < have; i++)
    if (from[i] != 0)
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_UNSUPPORTED,
                       "%s: byte %zu is set, of an option that version " MILO_VERSION
                       " of the library does not have",
                       type, i);
  if (have > bytes) have = bytes;
  memcpy((unsigned char *)out + sizeof have, from + sizeof have, have - sizeof have);
  return MILO_OK;
}
