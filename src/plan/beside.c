// SPDX-License-Identifier: MIT
#include "plan/beside.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 64 };

typedef struct entry {
  milo_run *run;
  milo_buffer *inputs[MILO_BESIDE_MAX_ARGS], *output;
} entry;

struct milo_beside_queue {
  milo_device *device;
  bool has_thread, ends;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  entry entries[ROOM];  // of number n at n % ROOM
  uint64_t given, done;
  milo_status status;  // of the first that failed
  milo_diag diag;      // its message
};

// After a failure nothing runs any more.
static void execute(milo_beside_queue *q, const entry *e) {
  if (q->status == MILO_OK) q->status = milo_run_execute(e->run, e->inputs, &e->output, &q->diag);
}

static void *work(void *user) {
  milo_beside_queue *q = user;
  pthread_mutex_lock(&q->lock);
  while (true) {
    while (q->done == q->given && !q->ends) pthread_cond_wait(&q->changed, &q->lock);
    if (q->done == q->given) break;
    const entry e = q->entries[(q->done + 1) % ROOM];
    pthread_mutex_unlock(&q->lock);
    execute(q, &e);
    pthread_mutex_lock(&q->lock);
    q->done++;
    pthread_cond_broadcast(&q->changed);
  }
  pthread_mutex_unlock(&q->lock);
  return NULL;
}

milo_status milo_beside_queue_create(milo_device *device, bool inline_too, milo_diag *diag,
                                     milo_beside_queue **out) {
  *out = NULL;
  milo_beside_queue *q = calloc(1, sizeof *q);
  if (!q) return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "no memory for a queue");
  q->device = device;
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->changed, NULL);
  if (!inline_too) {
    q->has_thread = pthread_create(&q->thread, NULL, work, q) == 0;
    if (!q->has_thread) {
      milo_beside_queue_destroy(q);
      return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NO_MEMORY, "a thread cannot be started");
    }
  }
  *out = q;
  return MILO_OK;
}

void milo_beside_queue_destroy(milo_beside_queue *q) {
  if (!q) return;
  if (q->has_thread) {
    pthread_mutex_lock(&q->lock);
    q->ends = true;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
  }
  pthread_cond_destroy(&q->changed);
  pthread_mutex_destroy(&q->lock);
  milo_diag_deinit(&q->diag);
  free(q);
}

uint64_t milo_beside_queue_run(milo_beside_queue *q, milo_run *run, milo_buffer *const *inputs,
                               size_t count, milo_buffer *output) {
  entry e = {.run = run, .output = output};
  memcpy(e.inputs, inputs, count * sizeof *inputs);
  if (!q->has_thread) {
    execute(q, &e);
    return ++q->done;
  }
  pthread_mutex_lock(&q->lock);
  while (q->given - q->done == ROOM) pthread_cond_wait(&q->changed, &q->lock);
  const uint64_t number = ++q->given;
  q->entries[number % ROOM] = e;
  pthread_cond_broadcast(&q->changed);
  pthread_mutex_unlock(&q->lock);
  return number;
}

milo_status milo_beside_queue_wait(milo_beside_queue *q, uint64_t number, milo_diag *diag) {
  pthread_mutex_lock(&q->lock);
  while (q->done < number) pthread_cond_wait(&q->changed, &q->lock);
  // While others are under way only they may look at the status.
  const milo_status status = q->done == q->given || !q->has_thread ? q->status : MILO_OK;
  pthread_mutex_unlock(&q->lock);
  if (status == MILO_OK) return MILO_OK;
  const char *text = milo_diag_text(&q->diag);
  const char *mark = "error: ";
  if (strncmp(text, mark, strlen(mark)) == 0) text += strlen(mark);
  return milo_fail(diag, MILO_NO_LOC, status, "%s", text);
}

milo_status milo_beside_queue_join(milo_beside_queue *q, milo_diag *diag) {
  return milo_beside_queue_wait(q, q->has_thread ? q->given : q->done, diag);
}
