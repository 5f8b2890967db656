// SPDX-License-Identifier: MIT
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LINE = 512 };

// In place: ten times a second. In a file: after 5 s, 10 s, 20 s, ... and every ten minutes.
#define TERMINAL_GAP 0.1
#define FIRST_GAP 5.0
#define LAST_GAP 600.0

static bool quiet;
static volatile sig_atomic_t open_columns;  // of the line that stands on the terminal, unfinished

void be_quiet(void) { quiet = true; }

double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool on_terminal(void) { return isatty(STDERR_FILENO) == 1; }

static size_t terminal_columns(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void progress_end_line(void) {
  if (open_columns) fputc('\n', stderr);
  open_columns = 0;
}

void note(const char *format, ...) {
  if (quiet) return;
  progress_end_line();
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}

void format_time(double seconds, char *text, size_t bytes) {
  if (!(seconds >= 0 && seconds < 1e12)) {
    snprintf(text, bytes, "-:--:--");
    return;
  }
  const long long s = llround(seconds);
  snprintf(text, bytes, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

// ---- lines ----

void progress_begin(progress *p, double quiet_s) {
  const double now = now_s();
  *p = (progress){.started = now, .shown = now, .gap = quiet_s, .val_loss = (double)NAN};
}

static bool is_due(const progress *p, double now) { return now - p->shown >= p->gap; }

// The gap after a line that was due.
static double next_gap(double gap, bool terminal) {
  if (terminal) return TERMINAL_GAP;
  if (gap < FIRST_GAP) return FIRST_GAP;
  return gap * 2 < LAST_GAP ? gap * 2 : LAST_GAP;
}

bool progress_due(const progress *p) { return !quiet && is_due(p, now_s()); }

// Bytes of line that fit into columns: whole fields if there are some.
static size_t fit(const char *line, size_t columns) {
  const size_t length = strlen(line);
  if (length <= columns) return length;
  for (size_t at = columns; at > 0; at--)
    if (line[at] == ' ' && line[at + 1] == ' ') return at;
  return columns;
}

static void write_in_place(const char *line, bool keep) {
  char text[2 * MAX_LINE + 4];
  // The last column stays free: some terminals go on to the next line when it is written.
  size_t columns = terminal_columns() - 1;
  if (columns > MAX_LINE) columns = MAX_LINE;
  const size_t bytes = fit(line, columns);
  size_t before = (size_t)open_columns;  // to be covered with spaces
  if (before > columns) before = columns;
  size_t at = 0;
  text[at++] = '\r';
  memcpy(text + at, line, bytes);
  at += bytes;
  for (size_t i = bytes; i < before; i++) text[at++] = ' ';
  if (keep) text[at++] = '\n';
  open_columns = keep ? 0 : (sig_atomic_t)bytes;
  fwrite(text, 1, at, stderr);
}

void progress_show(progress *p, bool keep, const char *format, ...) {
  if (quiet) return;
  char line[MAX_LINE];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  const bool terminal = on_terminal();
  const double now = now_s();
  if (is_due(p, now)) p->gap = next_gap(p->gap, terminal);
  p->shown = now;
  if (terminal)
    write_in_place(line, keep);
  else
    fprintf(stderr, "%s\n", line);
}

void progress_step(progress *p, const milo_train_report *r) {
  const bool evaluated = !isnan(r->val_loss);
  if (evaluated) p->val_loss = r->val_loss;
  const bool keep = evaluated || r->step == r->steps;
  if (quiet || (!keep && !progress_due(p))) return;
  char eta[32], elapsed[32], val[32] = "", scale[64] = "";
  format_time(r->eta_s, eta, sizeof eta);
  format_time(now_s() - p->started, elapsed, sizeof elapsed);
  if (!isnan(p->val_loss)) snprintf(val, sizeof val, "  val %.4f", p->val_loss);
  if (r->loss_scale != 1 || r->skipped > 0)
    snprintf(scale, sizeof scale, "  scale %g  %" PRIu64 " skipped", r->loss_scale, r->skipped);
  progress_show(p, keep,
                "step %" PRIu64 "/%" PRIu64
                "  loss %.4f%s  ETA %s  %s elapsed  %.0f %s/s  %.3f s/step  |g| %.3f  lr %.2e%s",
                r->step, r->steps, r->loss, val, eta, elapsed, r->tokens_per_second,
                p->unit ? p->unit : "tokens", r->step_s, r->grad_norm, r->learning_rate, scale);
}

void progress_work(progress *p, const char *doing, const milo_progress *work) {
  const double now = now_s();
  if (p->what == NULL || strcmp(p->what, work->what) != 0) {
    p->what = work->what;
    p->what_started = now;
  }
  if (!progress_due(p)) return;
  char eta[32], elapsed[32];
  const double spent = now - p->what_started, done = (double)work->done;
  format_time(done > 0 ? spent * ((double)work->total - done) / done : (double)NAN, eta,
              sizeof eta);
  format_time(now - p->started, elapsed, sizeof elapsed);
  progress_show(p, false, "%s: %" PRIu64 " of %" PRIu64 " %s  ETA %s  %s elapsed", doing,
                work->done, work->total, work->what, eta, elapsed);
}

// ---- signals ----

static volatile sig_atomic_t stopping;
static const char *volatile stop_answer;

static void answer(const char *text) {
  // A terminal that is gone cannot be answered, and there is nobody to tell.
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void on_signal(int signal_number) {
  if (stopping) _exit(128 + signal_number);
  stopping = 1;
  if (open_columns) answer("\n");
  open_columns = 0;
  answer(stop_answer);
  answer("\n");
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

static void mask_signals(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&set, signals[i]);
  sigprocmask(how, &set, NULL);
}

void hold_signals(void) { mask_signals(SIG_BLOCK); }

void stop_on_signal(const char *text) {
  stop_answer = text;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    // nohup has it ignored; a shell's background job, whose SIGINT is, can still be sent one.
    if (signals[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
        before.sa_handler == SIG_IGN)
      continue;
    sigaction(signals[i], &action, NULL);
  }
  mask_signals(SIG_UNBLOCK);
}

bool stop_requested(void) { return stopping != 0; }

bool stop_asked(void *user) {
  (void)user;
  return stop_requested();
}
