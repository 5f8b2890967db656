// SPDX-License-Identifier: MIT
#include "model/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define FAIL(...) milo_fail(diag, loc, MILO_ERR_INVALID, __VA_ARGS__)

milo_status milo_json_read(const char *path, size_t max_bytes, milo_diag *diag,
                           cJSON **out_object) {
  void *data = NULL;
  size_t bytes = 0;
  *out_object = NULL;
  MILO_TRY(milo_file_read(path, max_bytes, diag, &data, &bytes));
  const char *end = data;
  cJSON *root = memchr(data, 0, bytes) == NULL ? cJSON_ParseWithOpts(data, &end, true) : NULL;
  const milo_source source = {.name = path, .text = data, .bytes = bytes};
  const milo_loc loc = {&source, (size_t)(end - (const char *)data)};
  milo_status status = MILO_OK;
  if (root == NULL)
    status = FAIL("not JSON");
  else if (!cJSON_IsObject(root))
    status = FAIL("not a JSON object");
  free(data);
  if (status == MILO_OK)
    *out_object = root;
  else
    cJSON_Delete(root);
  return status;
}

milo_status milo_json_member(const cJSON *object, const char *name, milo_loc loc, milo_diag *diag,
                             const cJSON **out) {
  const cJSON *found = NULL;
  for (const cJSON *item = object->child; item; item = item->next) {
    if (strcmp(item->string, name) != 0) continue;
    if (found) return FAIL("\"%s\" is given twice", name);
    found = item;
  }
  if (found && !cJSON_IsNull(found)) *out = found;
  return MILO_OK;
}

milo_status milo_json_count(const cJSON *object, const char *name, int64_t most, milo_loc loc,
                            milo_diag *diag, int64_t *out) {
  const cJSON *item = NULL;
  MILO_TRY(milo_json_member(object, name, loc, diag, &item));
  if (!item) return MILO_OK;
  const double value = item->valuedouble;
  if (!cJSON_IsNumber(item) || !(value >= 1) || !(value <= (double)most) || value != floor(value))
    return FAIL("\"%s\" is not a whole number from 1 to %lld", name, (long long)most);
  *out = (int64_t)value;
  return MILO_OK;
}

milo_status milo_json_real(const cJSON *object, const char *name, milo_loc loc, milo_diag *diag,
                           double *out) {
  const cJSON *item = NULL;
  MILO_TRY(milo_json_member(object, name, loc, diag, &item));
  if (item && !cJSON_IsNumber(item)) return FAIL("\"%s\" is not a number", name);
  if (item) *out = item->valuedouble;
  return MILO_OK;
}

milo_status milo_json_flag(const cJSON *object, const char *name, milo_loc loc, milo_diag *diag,
                           bool *out) {
  const cJSON *item = NULL;
  MILO_TRY(milo_json_member(object, name, loc, diag, &item));
  if (item && !cJSON_IsBool(item)) return FAIL("\"%s\" is not true or false", name);
  if (item) *out = cJSON_IsTrue(item);
  return MILO_OK;
}

milo_status milo_json_text(const cJSON *object, const char *name, milo_loc loc, milo_diag *diag,
                           const char **out) {
  const cJSON *item = NULL;
  MILO_TRY(milo_json_member(object, name, loc, diag, &item));
  if (item && !cJSON_IsString(item)) return FAIL("\"%s\" is not a text", name);
  if (item) *out = item->valuestring;
  return MILO_OK;
}
