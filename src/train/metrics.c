// SPDX-License-Identifier: MIT
#include "train/metrics.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

struct milo_metrics {
  FILE *file;
  char *path;
  const char *unit;
  milo_str line;
};

static milo_status fail_errno(const char *path, milo_diag *diag) {
  char reason[128];
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_IO, "cannot write '%s': %s", path,
                   strerror_r(errno, reason, sizeof reason));
}

static milo_status keep_lines(const char *path, uint64_t steps, milo_diag *diag) {
  void *data = NULL;
  size_t bytes = 0;
  if (steps > 0 && milo_file_exists(path)) MILO_TRY(milo_file_read(path, 0, diag, &data, &bytes));
  size_t kept = 0;
  for (const char *end; kept < bytes && steps > 0; steps--) {
    end = memchr((const char *)data + kept, '\n', bytes - kept);
    if (!end) break;
    kept = (size_t)(end - (const char *)data) + 1;
  }
  const milo_status status = milo_file_write(path, data, kept, diag);
  free(data);
  return status;
}

milo_status milo_metrics_open(const char *path, uint64_t steps, const char *unit, milo_diag *diag,
                              milo_metrics **out_metrics) {
  *out_metrics = NULL;
  MILO_TRY(keep_lines(path, steps, diag));
  milo_metrics *m = calloc(1, sizeof *m);
  if (m) m->path = strdup(path);
  if (!m || !m->path) {
    free(m);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory to write '%s'", path);
  }
  m->unit = unit;
  m->file = fopen(path, "ab");
  if (!m->file) {
    const milo_status status = fail_errno(path, diag);
    milo_metrics_close(m);
    return status;
  }
  *out_metrics = m;
  return MILO_OK;
}

milo_status milo_metrics_add(milo_metrics *m, const milo_train_report *r, milo_diag *diag) {
  milo_str *line = &m->line;
  milo_str_clear(line);
  milo_str_printf(line, "{\"step\":%llu,\"loss\":", (unsigned long long)r->step);
  milo_str_json_number(line, r->loss);
  milo_str_puts(line, ",\"grad_norm\":");
  milo_str_json_number(line, r->grad_norm);
  milo_str_puts(line, ",\"lr\":");
  milo_str_json_number(line, r->learning_rate);
  milo_str_printf(line, ",\"%s\":%llu", m->unit, (unsigned long long)r->tokens);
  if (!isnan(r->val_loss)) {
    milo_str_puts(line, ",\"val_loss\":");
    milo_str_json_number(line, r->val_loss);
  }
  milo_str_puts(line, "}\n");
  if (fwrite(line->data, 1, line->bytes, m->file) != line->bytes || fflush(m->file) != 0)
    return fail_errno(m->path, diag);
  return MILO_OK;
}

void milo_metrics_close(milo_metrics *m) {
  if (!m) return;
  if (m->file) fclose(m->file);  // every line was flushed and checked
  milo_str_deinit(&m->line);
  free(m->path);
  free(m);
}
