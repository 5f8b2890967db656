// SPDX-License-Identifier: MIT
#include "base/status.h"
#include "tap.h"

static const char text[] = "first line\n  x = add(y);\n\xC3\xA4\tz\nlast";
static const milo_source source = {"a.mil", text, sizeof text - 1};

static void test_place_line_and_caret(void) {
  milo_diag diag = {0};
  const milo_loc loc = {&source, (size_t)(strstr(text, "add") - text)};
  CHECK(milo_fail(&diag, loc, MILO_ERR_INVALID, "no '%s'\ntry %d", "add", 2) == MILO_ERR_INVALID);
  CHECK_STR(milo_diag_text(&diag),
            "a.mil:2:7: error: no 'add'\n"
            "    x = add(y);\n"
            "        ^\n"
            "hint: try 2");
  CHECK(diag.errors == 1);
  milo_diag_clear(&diag);
  CHECK_STR(milo_diag_text(&diag), "");
  CHECK(diag.errors == 0);
  milo_diag_deinit(&diag);
  CHECK_STR(milo_diag_text(&diag), "");
}

static void test_caret_counts_characters_and_keeps_tabs(void) {
  milo_diag diag = {0};
  const milo_loc loc = {&source, (size_t)(strchr(text, 'z') - text)};
  CHECK(milo_fail(&diag, loc, MILO_ERR_IO, "z") == MILO_ERR_IO);
  CHECK_STR(milo_diag_text(&diag),
            "a.mil:3:4: error: z\n"
            "  \xC3\xA4\tz\n"
            "   \t^");
  milo_diag_deinit(&diag);
}

static void test_ends_of_text(void) {
  milo_diag diag = {0};
  size_t line, column;
  milo_loc_resolve((milo_loc){&source, source.bytes}, &line, &column);
  CHECK(line == 4 && column == 5);
  milo_loc_resolve((milo_loc){&source, 10}, &line, &column);  // the first newline itself
  CHECK(line == 1 && column == 11);
  CHECK(milo_fail(&diag, (milo_loc){&source, 1000}, MILO_ERR_INVALID, "end") == MILO_ERR_INVALID);
  CHECK_STR(milo_diag_text(&diag), "a.mil:4:5: error: end\n  last\n      ^");
  milo_diag_clear(&diag);
  const milo_source empty = {"e", "", 0};
  CHECK(milo_fail(&diag, (milo_loc){&empty, 0}, MILO_ERR_INVALID, "empty") == MILO_ERR_INVALID);
  CHECK_STR(milo_diag_text(&diag), "e:1:1: error: empty\n  \n  ^");
  milo_diag_deinit(&diag);
}

static void test_without_text_or_place(void) {
  milo_diag diag = {0};
  const milo_source file = {"w.bin", NULL, 0};
  CHECK(milo_fail(&diag, (milo_loc){&file, 3}, MILO_ERR_IO, "short") == MILO_ERR_IO);
  CHECK(milo_fail(&diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "gone") == MILO_ERR_NOT_FOUND);
  CHECK_STR(milo_diag_text(&diag), "w.bin: error: short\nerror: gone");
  CHECK(diag.errors == 2);
  milo_diag_deinit(&diag);
  CHECK(milo_fail(NULL, MILO_NO_LOC, MILO_ERR_IO, "unheard") == MILO_ERR_IO);
}

static void test_long_lines_are_clipped(void) {
  char line[5001];
  memset(line, 'a', sizeof line - 1);
  line[sizeof line - 1] = '\0';
  line[2500] = '\x01';
  line[2501] = 'B';
  const milo_source wide = {"w", line, sizeof line - 1};
  milo_diag diag = {0};
  CHECK(milo_fail(&diag, (milo_loc){&wide, 2501}, MILO_ERR_INVALID, "m") == MILO_ERR_INVALID);
  const char *shown = strchr(milo_diag_text(&diag), '\n') + 1;
  const char *caret = strchr(milo_diag_text(&diag), '^');
  const char *at = strchr(shown, 'B');
  CHECK(strncmp(milo_diag_text(&diag), "w:1:2502: error: m\n  ...aaa", 27) == 0);
  CHECK(at && at[-1] == '?');
  const char *last = strchr(shown, '\n');
  CHECK(caret && last && at && caret - last - 1 == at - shown);
  CHECK(diag.bytes < 300);
  milo_diag_deinit(&diag);
}

static void test_long_messages_and_many(void) {
  char message[2000];
  memset(message, 'm', sizeof message - 1);
  message[sizeof message - 1] = '\0';
  milo_diag diag = {0};
  CHECK(milo_fail(&diag, MILO_NO_LOC, MILO_ERR_INVALID, "%s", message) == MILO_ERR_INVALID);
  CHECK(diag.bytes == strlen("error: ") + sizeof message - 1);
  milo_diag_clear(&diag);
  for (int i = 0; i < 50; i++)
    CHECK(milo_fail(&diag, MILO_NO_LOC, MILO_ERR_INVALID, "%d", i) == MILO_ERR_INVALID);
  CHECK(diag.errors == 50);
  const char *end = strstr(milo_diag_text(&diag), "error: 19\n");
  CHECK(end != NULL);
  if (end) CHECK_STR(end, "error: 19\nerror: too many errors, the rest are not shown");
  milo_diag_deinit(&diag);
}

static void test_status_names(void) {
  CHECK_STR(milo_status_name(MILO_OK), "ok");
  CHECK_STR(milo_status_name(MILO_ERR_NUMERIC), "not a finite number");
  CHECK_STR(milo_status_name((milo_status)99), "unknown status");
}

int main(void) {
  RUN(test_place_line_and_caret);
  RUN(test_caret_counts_characters_and_keeps_tabs);
  RUN(test_ends_of_text);
  RUN(test_without_text_or_place);
  RUN(test_long_lines_are_clipped);
  RUN(test_long_messages_and_many);
  RUN(test_status_names);
  return tap_done();
}
