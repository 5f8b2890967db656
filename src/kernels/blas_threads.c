// SPDX-License-Identifier: MIT
#include "kernels/blas_threads.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

// Global, as what it stands for is.
static struct {
  pthread_mutex_t mutex;
  int (*get)(void);  // NULL: nothing to set (Accelerate, or a build without threads)
  void (*set)(int);
  int (*omp_get)(void);  // NULL: does not stand on OpenMP
  void (*omp_set)(int);
  size_t products;  // that run now
  int before;       // the number when the first of them began
} threads = {.mutex = PTHREAD_MUTEX_INITIALIZER};

// POSIX gives functions as object pointers; the copy is how both are of one size.
#define FIND(library, name, out_function) (*(void **)(void *)&(out_function) = dlsym(library, name))

void milo_blas_threads_find(void *library) {
  enum { OPENMP = 2 };
  int (*parallel)(void);
  pthread_mutex_lock(&threads.mutex);
  if (threads.get == NULL) {
    FIND(library, "openblas_get_parallel", parallel);
    FIND(library, "openblas_set_num_threads", threads.set);
    if (threads.set != NULL) FIND(library, "openblas_get_num_threads", threads.get);
    if (parallel != NULL && parallel() == OPENMP) {
      FIND(library, "omp_set_num_threads", threads.omp_set);
      if (threads.omp_set != NULL) FIND(library, "omp_get_max_threads", threads.omp_get);
    }
  }
  pthread_mutex_unlock(&threads.mutex);
}

// On OpenMP the setter writes the calling thread's number as well: that is put back.
static void set(int count) {
  const int own = threads.omp_get != NULL ? threads.omp_get() : 0;
  threads.set(count);
  if (threads.omp_get != NULL) threads.omp_set(own);
}

void milo_blas_threads_begin(void) {
  pthread_mutex_lock(&threads.mutex);
  if (threads.products++ == 0 && threads.get != NULL) {
    threads.before = threads.get();
    if (threads.before != 1) set(1);
  }
  pthread_mutex_unlock(&threads.mutex);
}

void milo_blas_threads_end(void) {
  pthread_mutex_lock(&threads.mutex);
  if (--threads.products == 0 && threads.get != NULL && threads.before > 1 && threads.get() == 1)
    set(threads.before);
  pthread_mutex_unlock(&threads.mutex);
}

int milo_blas_call_begin(void) {
  if (threads.omp_get == NULL) return 0;
  const int before = threads.omp_get();
  threads.omp_set(1);
  return before;
}

void milo_blas_call_end(int before) {
  if (threads.omp_get != NULL) threads.omp_set(before);
}
