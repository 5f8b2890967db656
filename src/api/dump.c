// SPDX-License-Identifier: MIT
// Texts after each pass.
#include "api/dump.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "text/text.h"

enum { MAX_NAME = 100 };  // of a function, in the name of a file

milo_status milo_dump_init(milo_dump *dump, milo_diag *diag) {
  *dump = (milo_dump){0};
  const char *folder = getenv("MILO_DUMP");  // NOLINT(concurrency-mt-unsafe): read only
  if (folder == NULL || *folder == '\0') return MILO_OK;
  dump->folder = strdup(folder);
  if (dump->folder != NULL) return MILO_OK;
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for MILO_DUMP");
}

void milo_dump_deinit(milo_dump *dump) {
  free(dump->folder);
  *dump = (milo_dump){0};
}

static void add_path(milo_str *path, const milo_dump *dump, const char *func, const char *pass) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
  milo_str_printf(path, "%s/%04zu-", dump->folder, dump->count);
  for (size_t i = 0; func[i] != '\0' && i < MAX_NAME; i++)
    milo_str_putc(path, strchr(plain, func[i]) != NULL ? func[i] : '_');
  milo_str_printf(path, "-%s.mil", pass);
}

milo_status milo_dump_after(void *user, const char *pass, const milo_func *func, milo_diag *diag) {
  milo_dump *dump = user;
  if (dump->folder == NULL) return MILO_OK;
  dump->count++;
  milo_str path = {0}, text = {0};
  add_path(&path, dump, func->name, pass);
  milo_status status = milo_text_print(func->program, &text);
  if (status != MILO_OK)
    status = milo_fail(diag, func->loc, status, "MILO_DUMP: what %s left cannot be printed", pass);
  else
    status = milo_file_make_dir(dump->folder, diag);
  if (status == MILO_OK) status = milo_file_write(path.data, text.data, text.bytes, diag);
  milo_str_deinit(&path);
  milo_str_deinit(&text);
  return status;
}
