// SPDX-License-Identifier: MIT
// One job at a time. A worker that is awake joins the open job, takes tasks until none is left, and
// leaves; the caller takes tasks too, then closes the job and waits for those who joined. Workers
// that wake late find it closed: nobody waits for them.
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

// How long a thread without work yields before it sleeps: longer than the gap between two kernels
// of a program, too short to matter to others.
static const double yield_s = 20e-6;

typedef struct worker {
  milo_pool *pool;
  pthread_t thread;
  int index;
} worker;

struct milo_pool {
  int threads;
  worker *workers;  // threads - 1; the caller is worker 0

  // Written with the mutex held; the two counters are read without it while yielding.
  pthread_mutex_t mutex;
  pthread_cond_t work, done;
  atomic_uint jobs;   // opened so far
  atomic_int inside;  // workers in the current job
  int sleeping;       // workers in cond_wait(work)
  bool open, stopping;

  // The job: fixed while it is open or anybody is inside.
  milo_pool_task *task;
  void *user;
  size_t count;
  atomic_size_t next;
};

static void take_tasks(milo_pool *pool, int index) {
  for (;;) {
    const size_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (i >= pool->count) return;
    pool->task(pool->user, i, index);
  }
}

// Yields until *counter is no longer value, for a short time at most.
static void yield_while_int(const atomic_int *counter, int value) {
  const double end_s = milo_clock_s() + yield_s;
  while (atomic_load_explicit(counter, memory_order_relaxed) != value && milo_clock_s() < end_s)
    sched_yield();
}

static void yield_while_seen(const atomic_uint *jobs, unsigned seen) {
  const double end_s = milo_clock_s() + yield_s;
  while (atomic_load_explicit(jobs, memory_order_relaxed) == seen && milo_clock_s() < end_s)
    sched_yield();
}

static void *work(void *argument) {
  const worker *self = argument;
  milo_pool *pool = self->pool;
  unsigned seen = 0;
  pthread_mutex_lock(&pool->mutex);
  for (;;) {
    if (pool->jobs == seen && !pool->stopping) {
      pthread_mutex_unlock(&pool->mutex);
      yield_while_seen(&pool->jobs, seen);
      pthread_mutex_lock(&pool->mutex);
    }
    while (pool->jobs == seen && !pool->stopping) {
      pool->sleeping++;
      pthread_cond_wait(&pool->work, &pool->mutex);
      pool->sleeping--;
    }
    if (pool->stopping) break;
    seen = pool->jobs;
    if (!pool->open) continue;
    pool->inside++;
    pthread_mutex_unlock(&pool->mutex);
    take_tasks(pool, self->index);
    pthread_mutex_lock(&pool->mutex);
    if (--pool->inside == 0) pthread_cond_signal(&pool->done);
  }
  pthread_mutex_unlock(&pool->mutex);
  return NULL;
}

static void stop(milo_pool *pool, int started) {
  pthread_mutex_lock(&pool->mutex);
  pool->stopping = true;
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->mutex);
  for (int i = 0; i < started; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->work);
  pthread_mutex_destroy(&pool->mutex);
  free(pool->workers);
  free(pool);
}

milo_status milo_pool_create(int threads, milo_diag *diag, milo_pool **out_pool) {
  *out_pool = NULL;
  if (threads < 1)
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_INVALID, "%d threads asked for, need at least 1",
                     threads);
  milo_pool *pool = calloc(1, sizeof *pool);
  worker *workers = calloc((size_t)threads, sizeof *workers);
  if (!pool || !workers) {
    free(pool);
    free(workers);
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "out of memory for %d threads",
                     threads);
  }
  pool->threads = threads;
  pool->workers = workers;
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);

  // Signals belong to the host's threads: workers inherit a mask that blocks all.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int started = 0, error = 0;
  while (started < threads - 1 && error == 0) {
    worker *w = &workers[started];
    w->pool = pool;
    w->index = started + 1;
    error = pthread_create(&w->thread, NULL, work, w);
    if (error == 0) started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    stop(pool, started);
    const char *reason = strerror(error);  // NOLINT(concurrency-mt-unsafe): kept per thread
    return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "cannot start thread %d of %d: %s",
                     started + 2, threads, reason);
  }
  *out_pool = pool;
  return MILO_OK;
}

void milo_pool_destroy(milo_pool *pool) {
  if (pool) stop(pool, pool->threads - 1);
}

int milo_pool_threads(const milo_pool *pool) { return pool ? pool->threads : 1; }

void milo_pool_run(milo_pool *pool, size_t count, milo_pool_task *task, void *user) {
  if (!pool || pool->threads == 1 || count <= 1) {
    for (size_t i = 0; i < count; i++) task(user, i, 0);
    return;
  }
  pthread_mutex_lock(&pool->mutex);
  assert(!pool->open && pool->inside == 0);
  pool->task = task;
  pool->user = user;
  pool->count = count;
  atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
  pool->open = true;
  pool->jobs++;
  // One task is the caller's own: never wake more threads than there are others.
  if (pool->sleeping > 0) {
    if (count - 1 >= (size_t)pool->sleeping)
      pthread_cond_broadcast(&pool->work);
    else
      for (size_t i = 0; i < count - 1; i++) pthread_cond_signal(&pool->work);
  }
  pthread_mutex_unlock(&pool->mutex);

  take_tasks(pool, 0);

  pthread_mutex_lock(&pool->mutex);
  pool->open = false;
  if (pool->inside > 0) {
    pthread_mutex_unlock(&pool->mutex);
    yield_while_int(&pool->inside, 0);
    pthread_mutex_lock(&pool->mutex);
    while (pool->inside > 0) pthread_cond_wait(&pool->done, &pool->mutex);
  }
  pthread_mutex_unlock(&pool->mutex);
}
