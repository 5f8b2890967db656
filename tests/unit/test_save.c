// SPDX-License-Identifier: MIT
// Saving a program over another, stopped at every point: a text and its blob file are two files,
// and whoever reads them at any instant must get the old program or the new one, never a mix.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/str.h"
#include "milo/milo.h"
#include "tap.h"

// ---- the calls that change folders, which stop the process at the n-th ----

static int calls, stop_at;  // 0: never
static bool stop_after;     // the call is still made

static void count_call(bool made) {
  if (!made) calls++;
  if (calls == stop_at && made == stop_after) _exit(9);
}

int rename(const char *from, const char *to) {
  count_call(false);
  const int result = renameat(AT_FDCWD, from, AT_FDCWD, to);
  count_call(true);
  return result;
}

int unlink(const char *path) {
  count_call(false);
  const int result = unlinkat(AT_FDCWD, path, 0);
  count_call(true);
  return result;
}

// ---- programs: y is the sum of x times w, w is 600 times the same number ----

enum { COUNT = 600 };

static char folder[] = "/tmp/milo_save_XXXXXX";
static milo_ctx *ctx;

static const char *in_folder(const char *name) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static milo_program *make(int number) {
  milo_str text = {0};
  milo_str_puts(&text,
                "program(1.3) { func f(tensor<fp32, [600]> x) { tensor<fp32, [600]> w = "
                "const()[val = tensor<fp32, [600]>([");
  for (int i = 0; i < COUNT; i++) milo_str_printf(&text, "%s%d", i ? ", " : "", number);
  milo_str_puts(&text,
                "])]; tensor<fp32, [600]> p = mul(x = x, y = w); fp32 y = reduce_sum(x = p, axes = "
                "tensor<int32, [1]>([0]), keep_dims = bool(false)); } -> (y); }");
  milo_program *program = NULL;
  CHECK(milo_program_parse(ctx, text.data, text.bytes, "t", NULL, &program) == MILO_OK);
  milo_str_deinit(&text);
  return program;
}

// What the saved program gives for ones, in units of COUNT; -1 if it does not run.
static double run_saved(const char *name) {
  milo_program *program = NULL;
  milo_kernel *kernel = NULL;
  milo_buffer *x = NULL;
  double result = -1;
  if (milo_program_load(ctx, in_folder(name), &program) == MILO_OK &&
      milo_compile(ctx, program, NULL, &kernel) == MILO_OK &&
      milo_buffer_create(ctx, COUNT * sizeof(float), &x) == MILO_OK) {
    float y, ones[COUNT];
    for (int i = 0; i < COUNT; i++) ones[i] = 1;
    if (milo_buffer_write(x, 0, ones, sizeof ones) == MILO_OK &&
        milo_kernel_bind(kernel, "x", x) == MILO_OK && milo_kernel_run(kernel) == MILO_OK &&
        milo_buffer_read(milo_kernel_buffer(kernel, "y"), 0, &y, sizeof y) == MILO_OK)
      result = (double)y / COUNT;
  } else {
    printf("# %s\n", milo_error(ctx));
  }
  milo_buffer_release(x);
  milo_kernel_destroy(kernel);
  milo_program_destroy(program);
  return result;
}

static void save(int number, const char *name) {
  milo_program *program = make(number);
  if (!CHECK(milo_program_save(ctx, program, in_folder(name)) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  milo_program_destroy(program);
}

static int files_in_folder(void) {
  int count = 0;
  DIR *dir = opendir(folder);
  if (!CHECK(dir != NULL)) return 0;
  for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (e->d_name[0] == '.') continue;
    printf("# there: %s\n", e->d_name);
    count++;
  }
  closedir(dir);
  return count;
}

static void empty_folder(void) {
  DIR *dir = opendir(folder);
  for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;)
    if (e->d_name[0] != '.') (void)unlinkat(AT_FDCWD, in_folder(e->d_name), 0);
  closedir(dir);
}

static void write_file(const char *name, const char *text) {
  CHECK(milo_file_save(ctx, in_folder(name), text, strlen(text)) == MILO_OK);
}

static bool is_there(const char *name) { return access(in_folder(name), F_OK) == 0; }

// ---- cases ----

// A child saves number over what is there and dies at its n-th call. True if it came to its end.
static bool save_and_die(int number, int n, bool after) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    milo_program *program = make(number);
    calls = 0;
    stop_at = n;
    stop_after = after;
    _exit(milo_program_save(ctx, program, in_folder("p.mil")) == MILO_OK ? 0 : 1);
  }
  int status = 0;
  if (!CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status))) return true;
  CHECK(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9);
  return WEXITSTATUS(status) == 0;
}

static void test_stopped_anywhere(void) {
  empty_folder();
  save(1, "p.mil");
  int number = 1, stops = 0;
  bool ended = false;
  for (int n = 1; !ended && n < 100; n++)
    for (int after = 0; after < 2; after++) {
      const double before = run_saved("p.mil");
      ended = save_and_die(++number, n, after);
      const double got = run_saved("p.mil");
      CHECK(got == number || (got == before && !ended));
      stops += !ended;
    }
  printf("# stopped at %d points\n", stops);
  CHECK(stops >= 6);
  // Nothing that was left on the way stays, but for a file that could be anybody's: the first one,
  // by the stop between the text's rename and its end.
  save(77, "p.mil");
  CHECK(run_saved("p.mil") == 77 && files_in_folder() == 2 + is_there("p.weights.bin"));
}

static void test_saves_do_not_pile_up(void) {
  empty_folder();
  for (int i = 1; i <= 5; i++) {
    save(i, "p.mil");
    CHECK(files_in_folder() == 2 && run_saved("p.mil") == i);
    // Over its own file: its weights move along.
    milo_program *program = NULL;
    if (!CHECK(milo_program_load(ctx, in_folder("p.mil"), &program) == MILO_OK)) return;
    CHECK(milo_program_save(ctx, program, in_folder("p.mil")) == MILO_OK);
    milo_program_destroy(program);
    CHECK(files_in_folder() == 2 && run_saved("p.mil") == i);
  }
  milo_program *small = NULL;
  const char text[] = "program(1.3) { func f(fp32 x) { fp32 y = relu(x = x); } -> (y); }";
  CHECK(milo_program_parse(ctx, text, sizeof text - 1, "t", NULL, &small) == MILO_OK);
  CHECK(milo_program_save(ctx, small, in_folder("p.mil")) == MILO_OK && files_in_folder() == 1);
  milo_program_destroy(small);
}

// What others use, or nobody knows whose it is, stays.
static void test_files_of_others(void) {
  empty_folder();
  write_file("p.weights.bin", "not ours");
  save(1, "p.mil");
  CHECK(is_there("p.weights.bin") && is_there("p.weights.1.bin") && run_saved("p.mil") == 1);
  // Another text in the folder refers to the same weights.
  milo_program *program = NULL;
  CHECK(milo_program_load(ctx, in_folder("p.mil"), &program) == MILO_OK);
  CHECK(milo_program_save(ctx, program, in_folder("q.mil")) == MILO_OK);
  milo_program_destroy(program);
  save(2, "p.mil");
  CHECK(run_saved("p.mil") == 2 && run_saved("q.mil") == 1);
  CHECK(is_there("p.weights.1.bin") && is_there("p.weights.2.bin"));
  // Names that look alike are not ours; a number that nobody refers to is.
  write_file("p.weights.x.bin", "");
  write_file("p.weights.01.bin", "");
  write_file("pp.weights.1.bin", "");
  write_file("p.weights.9.bin", "");
  save(3, "q.mil");
  save(4, "p.mil");
  CHECK(run_saved("p.mil") == 4 && run_saved("q.mil") == 3);
  CHECK(is_there("p.weights.x.bin") && is_there("p.weights.01.bin"));
  CHECK(is_there("pp.weights.1.bin") && is_there("p.weights.bin"));
  CHECK(!is_there("p.weights.9.bin") && !is_there("p.weights.2.bin"));
}

// A text whose weights were not loaded keeps meaning the file that it names.
static void test_unread_weights(void) {
  empty_folder();
  const char text[] =
      "program(1.3) { func f() { tensor<fp32, [4]> a = const()[val = tensor<fp32, [4]>(BLOBFILE("
      "path = string(\"@model_path/p.weights.bin\"), offset = uint64(64)))]; tensor<fp32, [999]> b "
      "= const()[val = tensor<fp32, [999]>(1)]; } -> (a, b); }";
  milo_program *program = NULL;
  CHECK(milo_program_parse(ctx, text, sizeof text - 1, "t", NULL, &program) == MILO_OK);
  CHECK(milo_program_save(ctx, program, in_folder("p.mil")) == MILO_OK);
  CHECK(!is_there("p.weights.bin") && is_there("p.weights.1.bin"));
  milo_program_destroy(program);
}

int main(void) {
  CHECK(mkdtemp(folder) != NULL && milo_ctx_create(NULL, &ctx) == MILO_OK);
  RUN(test_stopped_anywhere);
  RUN(test_saves_do_not_pile_up);
  RUN(test_files_of_others);
  RUN(test_unread_weights);
  empty_folder();
  rmdir(folder);
  milo_ctx_destroy(ctx);
  return tap_done();
}
