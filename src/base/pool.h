// SPDX-License-Identifier: MIT
// A pool of worker threads that yield, then sleep when idle. Work is a number of independent tasks;
// which thread runs which task is not determined, so a task must write outputs of its own only and
// a result never depends on the number of threads.
#ifndef MILO_BASE_POOL_H
#define MILO_BASE_POOL_H

#include "base/status.h"

typedef struct milo_pool milo_pool;

// threads >= 1 in all, the caller's included.
MILO_MUST_USE milo_status milo_pool_create(int threads, milo_diag *diag, milo_pool **out_pool);
void milo_pool_destroy(milo_pool *pool);
int milo_pool_threads(const milo_pool *pool);

// Runs task(user, i, worker) for i in [0, count) and returns when all are done. worker is in
// [0, threads): at any moment no two tasks share one, so it may index scratch memory.
// Not to be called from within a task. pool may be NULL: all in the caller's thread, worker 0.
typedef void milo_pool_task(void *user, size_t i, int worker);
void milo_pool_run(milo_pool *pool, size_t count, milo_pool_task *task, void *user);

#endif
