// SPDX-License-Identifier: MIT
// A test program is cases and a main:
//
//   static void test_sum(void) { CHECK(1 + 1 == 2); }
//   int main(void) { RUN(test_sum); return tap_done(); }
//
// Prints TAP. Exit status: 0 all passed, 1 some failed, 77 every case was skipped. A case that dies
// of a signal is named first. MILO_TEST_REQUIRE="amx,shared" fails a skip whose reason holds one of
// those words; MILO_TEST_SKIP=test_sum leaves out the case of that name.
#ifndef MILO_TESTS_TAP_H
#define MILO_TESTS_TAP_H

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"

// All give whether the check held, so that a case can stop: if (!CHECK(p)) return;
#define CHECK(condition) tap_check((condition), __FILE__, __LINE__, #condition)
#define CHECK_STR(got, wanted) tap_check_str((got), (wanted), __FILE__, __LINE__, #got)
// |got - wanted| <= tolerance; NaN and infinities must be wanted, see compare.h.
#define CHECK_NEAR(got, wanted, tolerance) \
  tap_check_near((got), (wanted), (tolerance), __FILE__, __LINE__, #got)
#define RUN(function) tap_run(#function, function)
// Ends the case: for what this machine lacks. reason is printed.
#define SKIP(reason)    \
  do {                  \
    tap_skip_ = reason; \
    return;             \
  } while (0)

static int tap_cases_, tap_failed_, tap_skipped_;
static bool tap_case_failed_;
static const char *tap_case_ = "before the first case", *tap_skip_;
static const int tap_signals_[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
static struct sigaction tap_before_[sizeof tap_signals_ / sizeof tap_signals_[0]];

static inline bool tap_check(bool held, const char *file, int line, const char *what) {
  if (!held) printf("# %s:%d: failed: %s\n", file, line, what);
  if (!held) tap_case_failed_ = true;
  return held;
}

static inline bool tap_check_str(const char *got, const char *wanted, const char *file, int line,
                                 const char *what) {
  const bool held = got && wanted ? strcmp(got, wanted) == 0 : got == wanted;
  if (!tap_check(held, file, line, what))
    printf("#   got    <%s>\n#   wanted <%s>\n", got ? got : "NULL", wanted ? wanted : "NULL");
  return held;
}

static inline bool tap_check_near(double got, double wanted, double tolerance, const char *file,
                                  int line, const char *what) {
  const bool held = compare_near(got, wanted, tolerance);
  if (!tap_check(held, file, line, what))
    printf("#   got %.9g, wanted %.9g within %.3g\n", got, wanted, tolerance);
  return held;
}

// Names the case, then lets what was in charge before (a sanitizer, the system) have the signal.
static inline void tap_on_signal(int signal_number) {
  const char *const parts[] = {"Bail out! a signal ended ", tap_case_, "\n"};
  for (int i = 0; i < 3; i++)
    if (write(STDOUT_FILENO, parts[i], strlen(parts[i])) < 0) break;
  for (size_t i = 0; i < sizeof tap_signals_ / sizeof tap_signals_[0]; i++)
    if (tap_signals_[i] == signal_number) sigaction(signal_number, &tap_before_[i], NULL);
}

static inline void tap_run(const char *name, void (*function)(void)) {
  if (tap_cases_++ == 0) {
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    struct sigaction action = {.sa_handler = tap_on_signal, .sa_flags = SA_ONSTACK};
    for (size_t i = 0; i < sizeof tap_signals_ / sizeof tap_signals_[0]; i++)
      sigaction(tap_signals_[i], &action, &tap_before_[i]);
  }
  tap_case_ = name;
  tap_case_failed_ = false;
  const char *left_out = getenv("MILO_TEST_SKIP");
  tap_skip_ = left_out != NULL && strcmp(left_out, name) == 0 ? "by MILO_TEST_SKIP" : NULL;
  if (tap_skip_ == NULL) function();
  char required[256];
  snprintf(required, sizeof required, "%s",
           getenv("MILO_TEST_REQUIRE") ? getenv("MILO_TEST_REQUIRE") : "");
  for (char *rest = required, *word; tap_skip_ && (word = strsep(&rest, ","));)
    if (*word && strstr(tap_skip_, word)) tap_case_failed_ = true;
  if (tap_case_failed_) tap_failed_++;
  if (tap_skip_ && !tap_case_failed_) tap_skipped_++;
  printf("%s %d - %s%s%s\n", tap_case_failed_ ? "not ok" : "ok", tap_cases_, name,
         tap_skip_ ? " # SKIP " : "", tap_skip_ ? tap_skip_ : "");
}

static inline int tap_done(void) {
  printf("1..%d\n", tap_cases_);
  if (tap_failed_) return 1;
  return tap_cases_ && tap_skipped_ == tap_cases_ ? 77 : 0;
}

#endif
