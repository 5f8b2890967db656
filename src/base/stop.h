// SPDX-License-Identifier: MIT
// How long work is asked to end early: a question put between its parts, often and cheaply.
#ifndef MILO_BASE_STOP_H
#define MILO_BASE_STOP_H

#include <stdbool.h>
#include <stddef.h>

typedef struct milo_stop {
  bool (*asked)(void *user);  // true: end; NULL: never
  void *user;
} milo_stop;

static inline bool milo_stop_asked(milo_stop stop) {
  return stop.asked != NULL && stop.asked(stop.user);
}

#endif
