// SPDX-License-Identifier: MIT
// metrics.jsonl: one JSON line a step. No times in it, so that the files of a run that was resumed
// equal those of one that was not.
//
//   {"step":1,"loss":6.24,"grad_norm":0.91,"lr":3e-05,"tokens":4096}
//   {"step":250,...,"val_loss":2.81}          a step that was evaluated
#ifndef MILO_TRAIN_METRICS_H
#define MILO_TRAIN_METRICS_H

#include "base/status.h"

typedef struct milo_metrics milo_metrics;

// Keeps the lines of the first `steps` steps (0: starts the file anew) and drops what follows.
// unit: what the report's tokens are, "tokens" or "rows"; lives on. *out_lost: of those steps, how
// many have no line any more.
MILO_MUST_USE milo_status milo_metrics_open(const char *path, uint64_t steps, const char *unit,
                                            milo_diag *diag, milo_metrics **out_metrics,
                                            uint64_t *out_lost);
MILO_MUST_USE milo_status milo_metrics_add(milo_metrics *metrics, const milo_train_report *report,
                                           milo_diag *diag);
void milo_metrics_close(milo_metrics *metrics);  // NULL allowed

#endif
