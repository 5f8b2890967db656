// SPDX-License-Identifier: MIT
// The table of devices.
#include "device/device.h"

#include <string.h>

#include "base/str.h"

const milo_device_type *const milo_device_types[] = {
    &milo_device_type_ref,
    &milo_device_type_cpu,
    NULL,
};

milo_status milo_device_open(const char *name, const milo_host *host, milo_diag *diag,
                             milo_device **out_device) {
  *out_device = NULL;
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; ++type)
    if (strcmp((*type)->name, name) == 0) return (*type)->open(host, out_device, diag);
  milo_str names = {0};
  for (const milo_device_type *const *type = milo_device_types; *type != NULL; ++type)
    milo_str_printf(&names, "%s%s", type == milo_device_types ? "" : ", ", (*type)->name);
  const milo_status status =
      milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "there is no device \"%s\"\nthere are: %s",
                name, names.data);
  milo_str_deinit(&names);
  return status;
}

void milo_device_close(milo_device *device) {
  if (device == NULL) return;
  milo_device_close(device->fallback);
  device->type->close(device);
}
