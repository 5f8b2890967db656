// SPDX-License-Identifier: MIT
#include "base/str.h"

char *milo_json_string(const char *text) {
  milo_str out = {0};
  size_t bytes;
  milo_str_json_string(&out, text);
  return milo_str_take(&out, &bytes);
}

char *milo_json_number(double value) {
  milo_str out = {0};
  size_t bytes;
  milo_str_json_number(&out, value);
  return milo_str_take(&out, &bytes);
}
