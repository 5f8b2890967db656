// SPDX-License-Identifier: MIT
// How progress is written: what fits a width, when a line is due, how times look.
#include "../../tools/milo/progress.c"

#include "tap.h"

static void test_times(void) {
  static const struct {
    double seconds;
    const char *text;
  } cases[] = {{0, "0:00:00"},       {0.4, "0:00:00"},   {59.6, "0:01:00"},
               {3599.6, "1:00:00"},  {3723, "1:02:03"},  {360000, "100:00:00"},
               {-1, "-:--:--"},      {1e300, "-:--:--"}, {(double)NAN, "-:--:--"},
               {1e9, "277777:46:40"}};
  char text[32];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    format_time(cases[i].seconds, text, sizeof text);
    CHECK_STR(text, cases[i].text);
  }
}

static void test_fields_that_do_not_fit_are_left_out(void) {
  const char *line = "step 1/2  loss 3.1  ETA 0:00:01";
  for (size_t columns = 1; columns < 40; columns++) {
    const size_t bytes = fit(line, columns);
    CHECK(bytes <= columns);
    const size_t wanted = columns >= strlen(line) ? strlen(line)
                          : columns >= 18         ? 18
                          : columns >= 8          ? 8
                                                  : columns;
    if (!CHECK(bytes == wanted)) printf("# %zu columns: %zu bytes\n", columns, bytes);
  }
}

// In a file the lines of a day are few, and the first ones come soon.
static void test_intervals_widen(void) {
  progress p = {.gap = 0};
  double times[200], now = 0;
  size_t lines = 0;
  for (; now < 24 * 3600; now += 0.5) {
    if (!is_due(&p, now)) continue;
    times[lines++] = now;
    p.gap = next_gap(p.gap, false);
    p.shown = now;
    if (lines == 200) break;
  }
  CHECK(lines > 24 * 6 && lines < 24 * 6 + 10);
  static const double first[] = {0, 5, 15, 35, 75, 155, 315, 635, 1235, 1835};
  for (size_t i = 0; i < sizeof first / sizeof *first; i++) CHECK_NEAR(times[i], first[i], 0.5);
  CHECK(next_gap(77, true) == TERMINAL_GAP);
}

int main(void) {
  RUN(test_times);
  RUN(test_fields_that_do_not_fit_are_left_out);
  RUN(test_intervals_widen);
  return tap_done();
}
