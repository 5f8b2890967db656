// SPDX-License-Identifier: MIT
// JSON files that others wrote, member by member.
#ifndef MILO_MODEL_JSON_H
#define MILO_MODEL_JSON_H

#include <cjson/cJSON.h>

#include "base/status.h"

// An object in a file of at most max_bytes; path is shown in messages. Freed with cJSON_Delete.
// MILO_ERR_INVALID: not JSON, not an object.
MILO_MUST_USE milo_status milo_json_read(const char *path, size_t max_bytes, milo_diag *diag,
                                         cJSON **out_object);

// Members of an object: *out stays as it is (the default) if the member is not there or null.
// MILO_ERR_INVALID: of another kind, or there twice. loc: the file.
MILO_MUST_USE milo_status milo_json_member(const cJSON *object, const char *name, milo_loc loc,
                                           milo_diag *diag, const cJSON **out);
MILO_MUST_USE milo_status milo_json_count(const cJSON *object, const char *name, int64_t most,
                                          milo_loc loc, milo_diag *diag, int64_t *out);
MILO_MUST_USE milo_status milo_json_real(const cJSON *object, const char *name, milo_loc loc,
                                         milo_diag *diag, double *out);
MILO_MUST_USE milo_status milo_json_flag(const cJSON *object, const char *name, milo_loc loc,
                                         milo_diag *diag, bool *out);
// Borrowed from the object.
MILO_MUST_USE milo_status milo_json_text(const cJSON *object, const char *name, milo_loc loc,
                                         milo_diag *diag, const char **out);

#endif
