// SPDX-License-Identifier: MIT
// MIL texts and what becomes of them. Each .mil file here holds what to do, a text, "//! gives" and
// the result; MILO_UPDATE=1 rewrites the result. What to do:
//   //! passes: a b c   what these passes make of the program
//   //! lift: a,b      what becomes of it when constants are lifted by these patterns
//   //! fmt             its canonical form, or the parser's errors
//   //! check           the same with the verifier's errors
#include <dirent.h>

#include "base/file.h"
#include "base/str.h"
#include "device/ref/ref.h"
#include "ir/op.h"
#include "pass/lift.h"
#include "pass/pass.h"
#include "tap.h"
#include "text/text.h"

static const struct {
  const char *name;
  milo_pass_fn *pass;
} passes[] = {
#define PASS(id, what) {#id, milo_pass_##id},
#include "pass/passes.def"
#undef PASS
};

static milo_status run_pass(const char *name, milo_func *func, milo_diag *diag) {
  // Only narrow asks what is to be stored.
  const milo_pass_options options = {.eval = milo_ref_fold, .store = MILO_BF16};
  for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++)
    if (strcmp(passes[i].name, name) == 0) {
      const milo_status status = passes[i].pass(func, &options, diag);
      return status != MILO_OK ? status : milo_ir_verify_func(func, diag);
    }
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "there is no pass %s", name);
}

static milo_status run_lift(const char *patterns, milo_program *program, milo_diag *diag) {
  milo_arena arena = {0};
  milo_lifting lifted;
  milo_status status =
      milo_lift(milo_program_find_func(program, NULL), patterns, &arena, diag, &lifted);
  if (status == MILO_OK) status = milo_ir_verify(program, diag);
  milo_arena_deinit(&arena);
  return status;
}

// Does the line "//! ..." to a program.
static milo_status transform(const char *what, milo_program *program, milo_diag *diag) {
  if (strncmp(what, "fmt", 3) == 0) return MILO_OK;
  milo_status status = milo_ir_verify(program, diag);
  const bool lift = strncmp(what, "lift: ", 6) == 0;
  if (!lift && strncmp(what, "passes: ", 8) != 0) return status;
  what += lift ? 6 : 8;
  char names[256], *rest = names, *name;
  snprintf(names, sizeof names, "%.*s", (int)strcspn(what, "\n"), what);
  if (lift) return status == MILO_OK ? run_lift(names, program, diag) : status;
  while (status == MILO_OK && (name = strsep(&rest, " ")) != NULL)
    if (*name != '\0') status = run_pass(name, milo_program_find_func(program, NULL), diag);
  return status;
}

// Prints a program, or the errors; what is printed is its own canonical form.
static void run_case(const char *what, const char *text, size_t bytes, milo_str *out) {
  milo_diag diag = {0};
  milo_program *program, *again = NULL;
  milo_status status = milo_text_parse(text, bytes, "in.mil", &diag, &program);
  if (status == MILO_OK) status = transform(what, program, &diag);
  if (status != MILO_OK) {
    milo_str_printf(out, "%s\n", milo_diag_text(&diag));
  } else {
    milo_str twice = {0};
    CHECK(milo_text_print(program, out) == MILO_OK);
    if (CHECK(milo_text_parse(out->data, out->bytes, "again.mil", &diag, &again) == MILO_OK) &&
        CHECK(milo_text_print(again, &twice) == MILO_OK))
      CHECK_STR(twice.data, out->data);
    milo_str_deinit(&twice);
    milo_program_destroy(again);
  }
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
}

static bool is_kind(const char *what) {
  return strncmp(what, "passes: ", 8) == 0 || strncmp(what, "lift: ", 6) == 0 ||
         strncmp(what, "fmt\n", 4) == 0 || strncmp(what, "check\n", 6) == 0;
}

static void check_file(const char *path) {
  static const char gives[] = "//! gives\n";
  milo_diag diag = {0};
  milo_str got = {0};
  void *data = NULL;
  size_t bytes;
  if (!CHECK(milo_file_read(path, 0, &diag, &data, &bytes) == MILO_OK)) return;
  char *text = data, *line = strchr(text, '\n'), *second = strstr(text, gives);
  if (CHECK(strncmp(text, "//! ", 4) == 0 && is_kind(text + 4) && line && second)) {
    run_case(text + 4, line + 1, (size_t)(second - line - 1), &got);
    const char *wanted = second + strlen(gives);
    if (getenv("MILO_UPDATE") != NULL && strcmp(got.data, wanted) != 0) {
      milo_str whole = {0};
      milo_str_add(&whole, text, (size_t)(wanted - text));
      milo_str_puts(&whole, got.data);
      CHECK(milo_file_write(path, whole.data, whole.bytes, &diag) == MILO_OK);
      milo_str_deinit(&whole);
    } else if (!CHECK_STR(got.data, wanted)) {
      printf("# in %s\n", path);
    }
  }
  free(data);
  milo_str_deinit(&got);
  milo_diag_deinit(&diag);
}

static void check_folder(const char *path, int least) {
  DIR *folder = opendir(path);
  if (!CHECK(folder != NULL)) return;
  int count = 0;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char file[320];
    const size_t length = strlen(entry->d_name);
    if (length < 5 || strcmp(entry->d_name + length - 4, ".mil") != 0) continue;
    snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
    check_file(file);
    count++;
  }
  closedir(folder);
  CHECK(count >= least);
}

static void test_passes(void) { check_folder("tests/golden/passes", 10); }
static void test_texts(void) { check_folder("tests/golden/text", 8); }

int main(void) {
  RUN(test_passes);
  RUN(test_texts);
  return tap_done();
}
