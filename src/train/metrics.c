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

// The step that a whole line is of; 0: it is none of ours.
static uint64_t step_of(const char *line, size_t bytes) {
  static const char start[] = "{\"step\":";
  const size_t skip = sizeof start - 1;
  if (bytes < skip || memcmp(line, start, skip) != 0) return 0;
  uint64_t step = 0;
  for (size_t i = skip; i < bytes && i < skip + 19 && line[i] >= '0' && line[i] <= '9'; i++)
    step = step * 10 + (uint64_t)(line[i] - '0');
  return step;
}

// Lines are told by their steps, not counted: some may be gone.
static milo_status keep_lines(const char *path, uint64_t steps, milo_diag *diag,
                              uint64_t *out_lost) {
  void *data = NULL;
  size_t bytes = 0, kept = 0;
  uint64_t lines = 0;
  if (steps > 0 && milo_file_exists(path)) MILO_TRY(milo_file_read(path, 0, diag, &data, &bytes));
  for (uint64_t last = 0; kept < bytes; lines++) {
    const char *line = (const char *)data + kept, *end = memchr(line, '\n', bytes - kept);
    const uint64_t step = end ? step_of(line, (size_t)(end - line)) : 0;
    if (step <= last || step > steps) break;
    last = step;
    kept += (size_t)(end - line) + 1;
  }
  *out_lost = steps - lines;
  const milo_status status = milo_file_write(path, data, kept, diag);
  free(data);
  return status;
}

milo_status milo_metrics_open(const char *path, uint64_t steps, const char *unit, milo_diag *diag,
                              milo_metrics **out_metrics, uint64_t *out_lost) {
  *out_metrics = NULL;
  MILO_TRY(keep_lines(path, steps, diag, out_lost));
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
  if (r->loss_scale != 1 || r->skipped > 0) {
    milo_str_puts(line, ",\"loss_scale\":");
    milo_str_json_number(line, r->loss_scale);
    milo_str_printf(line, ",\"skipped\":%llu", (unsigned long long)r->skipped);
  }
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
