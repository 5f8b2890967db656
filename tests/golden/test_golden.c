// SPDX-License-Identifier: MIT
// Passes on small programs: each tests/golden/*.mil holds "//! passes: a b c", a program,
// "//! gives", and what the passes make of it. MILO_UPDATE=1 rewrites the second half.
#include <dirent.h>

#include "base/file.h"
#include "base/text.h"
#include "device/ref/ref.h"
#include "ir/op.h"
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
  const milo_pass_options options = {.eval = milo_ref_fold};
  for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++)
    if (strcmp(passes[i].name, name) == 0) {
      const milo_status status = passes[i].pass(func, &options, diag);
      return status != MILO_OK ? status : milo_ir_verify_func(func, diag);
    }
  return milo_fail(diag, MILO_NO_LOC, MILO_ERR_NOT_FOUND, "there is no pass %s", name);
}

// What the passes make of a text.
static milo_status transform(const char *list, const char *text, size_t bytes, milo_text *out,
                             milo_diag *diag) {
  milo_program *program;
  milo_status status = milo_text_parse(text, bytes, "golden.mil", diag, &program);
  if (status != MILO_OK) return status;
  status = milo_ir_verify(program, diag);
  char names[256], *rest = names, *name;
  snprintf(names, sizeof names, "%s", list);
  while (status == MILO_OK && (name = strsep(&rest, " ")) != NULL)
    if (*name != '\0') status = run_pass(name, milo_program_find_func(program, NULL), diag);
  if (status == MILO_OK) status = milo_text_print(program, out);
  milo_program_destroy(program);
  return status;
}

static void check_file(const char *path) {
  static const char head[] = "//! passes: ", gives[] = "//! gives\n";
  milo_diag diag = {0};
  milo_text got = {0};
  void *data = NULL;
  size_t bytes;
  if (!CHECK(milo_file_read(path, 0, &diag, &data, &bytes) == MILO_OK)) return;
  char *text = data, *line = strchr(text, '\n'), *second = strstr(text, gives);
  if (CHECK(strncmp(text, head, strlen(head)) == 0 && line != NULL && second != NULL)) {
    char list[256];
    snprintf(list, sizeof list, "%.*s", (int)(line - text - (long)strlen(head)),
             text + strlen(head));
    CHECK(transform(list, line + 1, (size_t)(second - line - 1), &got, &diag) == MILO_OK);
    const char *wanted = second + strlen(gives);
    if (got.data != NULL && strcmp(got.data, wanted) != 0 && getenv("MILO_UPDATE") != NULL) {
      milo_text whole = {0};
      milo_text_add(&whole, text, (size_t)(wanted - text));
      milo_text_puts(&whole, got.data);
      CHECK(milo_file_write(path, whole.data, whole.bytes, &diag) == MILO_OK);
      milo_text_deinit(&whole);
    } else {
      CHECK_STR(got.data, wanted);
    }
  }
  if (diag.errors > 0) printf("# %s: %s\n", path, milo_diag_text(&diag));
  free(data);
  milo_text_deinit(&got);
  milo_diag_deinit(&diag);
}

static void test_files(void) {
  DIR *folder = opendir("tests/golden");
  if (!CHECK(folder != NULL)) return;
  int count = 0;
  for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char path[300];
    const size_t length = strlen(entry->d_name);
    if (length < 5 || strcmp(entry->d_name + length - 4, ".mil") != 0) continue;
    snprintf(path, sizeof path, "tests/golden/%s", entry->d_name);
    check_file(path);
    count++;
  }
  closedir(folder);
  CHECK(count >= 5);
}

int main(void) {
  RUN(test_files);
  return tap_done();
}
