// SPDX-License-Identifier: MIT
// What a long command says on standard error while it works: progress, notes, the answer to Ctrl-C.
// On a terminal progress is one line, updated in place and cut to the width; in a file or a pipe it
// is whole lines at intervals that widen. Times are h:mm:ss. --quiet leaves out all but answers.
#ifndef MILO_TOOL_PROGRESS_H
#define MILO_TOOL_PROGRESS_H

#include <milo/milo.h>

double now_s(void);  // monotonic seconds

void be_quiet(void);
// A line about what is done or chosen; not for errors.
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
// "1:02:03"; "-:--:--" if it is not known (NaN).
void format_time(double seconds, char *text, size_t bytes);

typedef struct progress {
  double started, shown;  // seconds; shown: when the last line was
  double gap;             // until the next one
  const char *what;       // kind of work under way, of those who have several
  double what_started;
  double val_loss;   // the last one known
  const char *unit;  // what steps take, "tokens" unless set
} progress;

// quiet_s: nothing is shown so long, for what is often over by then.
void progress_begin(progress *p, double quiet_s);
// Whether it is time for a line.
bool progress_due(const progress *p);
// Shows fields that two spaces separate, the most important first: on a terminal those that do not
// fit are left out. keep: the line stays, and is written whether it is time or not.
void progress_show(progress *p, bool keep, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Whatever is written next begins a line of its own.
void progress_end_line(void);

// A training step, shown if it is time or worth keeping.
void progress_step(progress *p, const milo_train_report *report);
// Work that says how far it is; `doing` begins the line: "learning a tokenizer".
void progress_work(progress *p, const char *doing, const milo_progress *work);

// SIGINT, SIGTERM and SIGHUP (unless ignored, as under nohup) ask for a clean stop and are answered
// at once; a second one ends the process. May be called again for another answer.
void stop_on_signal(const char *answer);
#define STOPPING "stopping; again to quit now"
#define STOPPING_AFTER_STEP "stopping after this step; again to quit now"
bool stop_requested(void);
// Signals wait until stop_on_signal, in a process that takes this one's place too.
void hold_signals(void);
bool stop_asked(void *user);  // the same, as the library asks

#endif
