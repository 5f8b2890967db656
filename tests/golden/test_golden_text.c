// SPDX-License-Identifier: MIT
// MIL texts and what becomes of them: each tests/golden/text/*.mil holds "//! fmt" or "//! check",
// a text, "//! gives", and its canonical form or the errors reported (fmt: by the parser; check: by
// parser and verifier). MILO_UPDATE=1 rewrites the second half.
#include <dirent.h>

#include "base/file.h"
#include "ir/op.h"
#include "tap.h"
#include "text/text.h"

static void run_case(bool verify, const char *text, size_t bytes, milo_text *out) {
  milo_diag diag = {0};
  milo_program *program;
  milo_status status = milo_text_parse(text, bytes, "in.mil", &diag, &program);
  if (status == MILO_OK && verify) status = milo_ir_verify(program, &diag);
  if (status != MILO_OK) {
    milo_text_printf(out, "%s\n", milo_diag_text(&diag));
  } else {
    CHECK(milo_text_print(program, out) == MILO_OK);
    // The canonical form is its own.
    milo_program *again = NULL;
    milo_text twice = {0};
    if (CHECK(milo_text_parse(out->data, out->bytes, "again.mil", &diag, &again) == MILO_OK) &&
        CHECK(milo_text_print(again, &twice) == MILO_OK))
      CHECK_STR(twice.data, out->data);
    milo_text_deinit(&twice);
    milo_program_destroy(again);
  }
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static void check_file(const char *path) {
  static const char gives[] = "//! gives\n";
  milo_diag diag = {0};
  milo_text got = {0};
  void *data = NULL;
  size_t bytes;
  if (!CHECK(milo_file_read(path, 0, &diag, &data, &bytes) == MILO_OK)) return;
  char *text = data, *line = strchr(text, '\n'), *second = strstr(text, gives);
  const bool verify = strncmp(text, "//! check", 9) == 0;
  if (CHECK((verify || strncmp(text, "//! fmt", 7) == 0) && line && second)) {
    run_case(verify, line + 1, (size_t)(second - line - 1), &got);
    const char *wanted = second + strlen(gives);
    if (getenv("MILO_UPDATE") != NULL && strcmp(got.data, wanted) != 0) {
      milo_text whole = {0};
      milo_text_add(&whole, text, (size_t)(wanted - text));
      milo_text_puts(&whole, got.data);
      CHECK(milo_file_write(path, whole.data, whole.bytes, &diag) == MILO_OK);
      milo_text_deinit(&whole);
    } else if (!CHECK_STR(got.data, wanted)) {
      printf("# in %s\n", path);
    }
  }
  free(data);
  milo_text_deinit(&got);
  milo_diag_deinit(&diag);
}

static void test_files(void) {
  DIR *folder = opendir("tests/golden/text");
  if (!CHECK(folder != NULL)) return;
  int count = 0;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char path[320];
    const size_t length = strlen(entry->d_name);
    if (length < 5 || strcmp(entry->d_name + length - 4, ".mil") != 0) continue;
    snprintf(path, sizeof path, "tests/golden/text/%s", entry->d_name);
    check_file(path);
    count++;
  }
  closedir(folder);
  CHECK(count >= 8);
}

int main(void) {
  RUN(test_files);
  return tap_done();
}
