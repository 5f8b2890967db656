// SPDX-License-Identifier: MIT
// ctest: LABELS threads
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/pool.h"
#include "tap.h"

enum { MAX_THREADS = 9, MAX_COUNT = 4096 };

typedef struct job {
  unsigned char runs[MAX_COUNT];  // plain bytes: a task run twice, or still running, is a race
  atomic_int owner[MAX_THREADS];  // tasks in flight on a worker
  atomic_int overlaps, bad_workers;
  int threads;
} job;

static void count_run(void *user, size_t i, int worker) {
  job *j = user;
  if (worker < 0 || worker >= j->threads) {
    atomic_fetch_add(&j->bad_workers, 1);
    return;
  }
  if (atomic_fetch_add(&j->owner[worker], 1) != 0) atomic_fetch_add(&j->overlaps, 1);
  j->runs[i]++;
  atomic_fetch_sub(&j->owner[worker], 1);
}

static bool run_job(milo_pool *pool, job *j, size_t count) {
  milo_pool_run(pool, count, count_run, j);
  size_t wrong = 0;
  for (size_t i = 0; i < MAX_COUNT; i++) {
    wrong += j->runs[i] != (i < count);
    j->runs[i] = 0;
  }
  return wrong == 0 && j->overlaps == 0 && j->bad_workers == 0;
}

static void test_counts(void) {
  static const size_t counts[] = {0, 1, 2, 3, 7, 8, 9, 10, 64, 1000, MAX_COUNT};
  for (int threads = 1; threads <= MAX_THREADS; threads++) {
    milo_pool *pool;
    if (!CHECK(milo_pool_create(threads, NULL, &pool) == MILO_OK)) return;
    CHECK(milo_pool_threads(pool) == threads);
    job j = {.threads = threads};
    bool right = true;
    for (int round = 0; round < 30; round++)
      for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        right = right && run_job(pool, &j, counts[c]);
    CHECK(right);
    milo_pool_destroy(pool);
  }
}

static void test_after_sleep(void) {
  milo_pool *pool;
  if (!CHECK(milo_pool_create(4, NULL, &pool) == MILO_OK)) return;
  job j = {.threads = 4};
  for (int round = 0; round < 20; round++) {
    const struct timespec gap = {0, round % 2 ? 2000000 : 15000};  // asleep; on the edge
    nanosleep(&gap, NULL);
    CHECK(run_job(pool, &j, 100));
  }
  milo_pool_destroy(pool);
}

static void test_idle_takes_no_time(void) {
  milo_pool *pool;
  if (!CHECK(milo_pool_create(8, NULL, &pool) == MILO_OK)) return;
  job j = {.threads = 8};
  CHECK(run_job(pool, &j, 100));
  struct timespec before, after;
  const struct timespec nap = {0, 200000000};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  nanosleep(&nap, NULL);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  const double used =
      (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
  CHECK_NEAR(used, 0, 0.05);
  milo_pool_destroy(pool);
}

// Two tasks that wait for each other: passes only if two threads run.
typedef struct meeting {
  atomic_int arrived;
  int workers[2];
  bool met[2];
} meeting;

static void meet(void *user, size_t i, int worker) {
  meeting *m = user;
  m->workers[i] = worker;
  atomic_fetch_add(&m->arrived, 1);
  const double end_s = milo_clock_s() + 20;
  while (atomic_load(&m->arrived) < 2 && milo_clock_s() < end_s) sched_yield();
  m->met[i] = atomic_load(&m->arrived) == 2;
}

static void test_runs_at_the_same_time(void) {
  milo_pool *pool;
  if (!CHECK(milo_pool_create(2, NULL, &pool) == MILO_OK)) return;
  meeting m = {.workers = {-1, -1}};
  milo_pool_run(pool, 2, meet, &m);
  CHECK(m.met[0] && m.met[1]);
  CHECK(m.workers[0] + m.workers[1] == 1);
  milo_pool_destroy(pool);
}

static void test_without_pool(void) {
  job j = {.threads = 1};
  CHECK(run_job(NULL, &j, 33));
  CHECK(milo_pool_threads(NULL) == 1);
  milo_pool *pool;
  milo_diag diag = {0};
  CHECK(milo_pool_create(0, &diag, &pool) == MILO_ERR_INVALID && !pool);
  CHECK_STR(milo_diag_text(&diag), "error: 0 threads asked for, need at least 1");
  milo_diag_deinit(&diag);
  milo_pool_destroy(NULL);
}

int main(void) {
  RUN(test_counts);
  RUN(test_after_sleep);
  RUN(test_idle_takes_no_time);
  RUN(test_runs_at_the_same_time);
  RUN(test_without_pool);
  return tap_done();
}
