// SPDX-License-Identifier: MIT
// Gradients of whole programs against PyTorch's (make_grad.py), on every device, joint and split,
// through the public interface. An argument names another folder of such cases.
#include <dirent.h>
#include <milo/milo.h>

#include "tap.h"

enum { MAX_LINES = 64, MAX_PATH = 512, MAX_LINE = 1 << 16 };

// One line of NAME.txt: a value and its numbers.
typedef struct known {
  char name[64];
  double *numbers;
  size_t count;
} known;

typedef struct known_set {
  known items[MAX_LINES];
  size_t count;
} known_set;

static const char *folder = "tests/oracle/grad";

static void free_known(known_set *set) {
  for (size_t i = 0; i < set->count; i++) free(set->items[i].numbers);
  set->count = 0;
}

// "name dtype [dims] = numbers"
static bool read_line(const char *text, known *out) {
  const char *at = strchr(text, '=');
  if (at == NULL || sscanf(text, "%63s", out->name) != 1) return false;
  out->numbers = malloc(strlen(text) * sizeof *out->numbers);
  out->count = 0;
  if (out->numbers == NULL) return false;
  at++;
  for (char *end;; at = end) {
    const double number = strtod(at, &end);
    if (end == at) return true;
    out->numbers[out->count++] = number;
  }
}

static bool read_known(const char *path, known_set *out) {
  FILE *file = fopen(path, "r");
  if (!CHECK(file != NULL)) return false;
  static char text[MAX_LINE];
  bool ok = true;
  while (ok && fgets(text, sizeof text, file) != NULL) {
    ok = out->count < MAX_LINES && strchr(text, '\n') != NULL &&
         read_line(text, &out->items[out->count]);
    out->count += ok;
  }
  fclose(file);
  return CHECK(ok);
}

static const known *find_known(const known_set *set, const char *name) {
  for (size_t i = 0; i < set->count; i++)
    if (strcmp(set->items[i].name, name) == 0) return &set->items[i];
  return NULL;
}

static void store(const known *from, milo_dtype dtype, void *data) {
  for (size_t i = 0; i < from->count; i++) {
    if (dtype == MILO_FP32)
      ((float *)data)[i] = (float)from->numbers[i];
    else
      ((int32_t *)data)[i] = (int32_t)from->numbers[i];
  }
}

// The largest gap seen is 4e-5 of the scale.
static bool is_near(const known *wanted, const float *got) {
  double scale = 1e-3;  // a sum that cancels leaves the roundings of its terms
  for (size_t i = 0; i < wanted->count; i++) scale = compare_scale(scale, wanted->numbers[i]);
  for (size_t i = 0; i < wanted->count; i++)
    if (!compare_near((double)got[i], wanted->numbers[i], 1e-4 * scale)) {
      printf("#   %s[%zu]: got %.9g, wanted %.9g\n", wanted->name, i, (double)got[i],
             wanted->numbers[i]);
      return false;
    }
  return true;
}

static bool succeeded(milo_ctx *ctx, milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_error(ctx));
  return status == MILO_OK;
}

// Runs a function. Inputs come from set, or from the kernel that ran before it; outputs that set
// knows are compared. Returns how many were.
static size_t run(milo_ctx *ctx, const milo_program *program, const char *function,
                  const char *device, const known_set *set, milo_kernel *before,
                  milo_kernel **out_kernel) {
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.function = function;
  options.device = device;
  if (!succeeded(ctx, milo_compile(ctx, program, &options, out_kernel))) return 0;
  milo_value_info info[MAX_LINES];
  const size_t inputs = milo_kernel_inputs(*out_kernel, info, MAX_LINES);
  for (size_t i = 0; i < inputs; i++) {
    const known *given = find_known(set, info[i].name);
    milo_buffer *buffer = before != NULL ? milo_kernel_buffer(before, info[i].name) : NULL;
    if (buffer != NULL) milo_buffer_retain(buffer);
    if (buffer == NULL && CHECK(given != NULL)) {
      if (!succeeded(ctx, milo_buffer_create(ctx, given->count * 4 + 4, &buffer))) return 0;
      void *data = milo_buffer_map(buffer, MILO_WRITE);
      store(given, info[i].dtype, data);
      if (!succeeded(ctx, milo_buffer_unmap(buffer, data, MILO_WRITE))) return 0;
    }
    const bool bound = succeeded(ctx, milo_kernel_bind(*out_kernel, info[i].name, buffer));
    milo_buffer_release(buffer);
    if (!bound) return 0;
  }
  if (!succeeded(ctx, milo_kernel_run(*out_kernel))) return 0;
  const size_t outputs = milo_kernel_outputs(*out_kernel, info, MAX_LINES);
  size_t compared = 0;
  for (size_t i = 0; i < outputs; i++) {
    const known *wanted = find_known(set, info[i].name);
    if (wanted == NULL || info[i].dtype != MILO_FP32) continue;
    compared++;
    // Host memory: mapping it for reading holds nothing.
    CHECK(
        is_near(wanted, milo_buffer_map(milo_kernel_buffer(*out_kernel, info[i].name), MILO_READ)));
  }
  return compared;
}

static size_t count_grads(const milo_program *program, const char *function) {
  milo_value_info info[MAX_LINES];
  const size_t outputs = milo_program_outputs(program, function, info, MAX_LINES);
  size_t count = 0;
  for (size_t i = 0; i < outputs; i++) count += strncmp(info[i].name, "grad_", 5) == 0;
  return count;
}

static void check_device(milo_ctx *ctx, const milo_program *joint, const milo_program *split,
                         const char *device, const known_set *set) {
  milo_kernel *whole = NULL, *forward = NULL, *backward = NULL;
  const size_t grads = count_grads(joint, NULL);
  CHECK(grads > 0 && run(ctx, joint, NULL, device, set, NULL, &whole) >= grads);
  run(ctx, split, "main_forward", device, set, NULL, &forward);
  if (forward != NULL)
    CHECK(run(ctx, split, "main_backward", device, set, forward, &backward) == grads);
  milo_kernel_destroy(backward);
  milo_kernel_destroy(forward);
  milo_kernel_destroy(whole);
}

static void check_program(milo_ctx *ctx, const char *name) {
  char path[MAX_PATH];
  known_set set = {.count = 0};
  milo_program *program = NULL, *joint = NULL, *split = NULL;
  milo_grad_options options = MILO_OPTIONS_INIT(milo_grad_options);
  options.seed_prefix = "seed_";
  snprintf(path, sizeof path, "%s/%s.mil", folder, name);
  bool ok = succeeded(ctx, milo_program_load(ctx, path, &program)) &&
            succeeded(ctx, milo_program_verify(ctx, program)) &&
            succeeded(ctx, milo_program_grad(ctx, program, &options, &joint));
  options.split = true;
  ok = ok && succeeded(ctx, milo_program_grad(ctx, program, &options, &split));
  snprintf(path, sizeof path, "%s/%s.txt", folder, name);
  ok = ok && succeeded(ctx, milo_program_verify(ctx, split)) && read_known(path, &set);
  const char *device;
  for (size_t i = 0; ok && (device = milo_device_name(i)) != NULL; i++)
    check_device(ctx, joint, split, device, &set);
  free_known(&set);
  milo_program_destroy(split);
  milo_program_destroy(joint);
  milo_program_destroy(program);
}

static int is_program(const struct dirent *entry) {
  const size_t length = strlen(entry->d_name);
  return length > 4 && strcmp(entry->d_name + length - 4, ".mil") == 0;
}

static void test_programs(void) {
  milo_ctx *ctx = NULL;
  struct dirent **entries = NULL;
  if (!CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  const int count = scandir(folder, &entries, is_program, alphasort);
  CHECK(count >= 11);
  for (int i = 0; i < count; i++) {
    char name[MAX_PATH];
    snprintf(name, sizeof name, "%.*s", (int)strlen(entries[i]->d_name) - 4, entries[i]->d_name);
    const bool failed_before = tap_case_failed_;
    tap_case_failed_ = false;
    check_program(ctx, name);
    if (tap_case_failed_) printf("#   program %s\n", name);
    tap_case_failed_ = tap_case_failed_ || failed_before;
    free(entries[i]);
  }
  free(entries);
  milo_ctx_destroy(ctx);
}

int main(int argc, char **argv) {
  if (argc > 1) folder = argv[1];
  RUN(test_programs);
  return tap_done();
}
