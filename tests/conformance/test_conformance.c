// SPDX-License-Identifier: MIT
// ctest: LABELS shared TIMEOUT 900
// Conformance: programs with inputs and recorded outputs that others made (see package_to_mil.py),
// on every device. A case is "lacking" if its program has an operation that the table lacks or a
// shape that depends on values, and must agree otherwise; known_failures.tsv names those that need
// not, each with its reason.
//
// MILO_CONFORMANCE=<folder with cases> replaces the reference data; MILO_CONFORMANCE_VERBOSE=1
// prints every failure's message.
#include <limits.h>
#include <sys/stat.h>

#include "base/number.h"
#include "tap.h"

enum { MAX_NAMES = 32, MAX_LACKING = 256 };

static char cases_dir[512], mil_dir[512];

// ---- setting up ----

static bool run_command(const char *format, const char *a, const char *b)
    __attribute__((format(printf, 1, 0)));
static bool run_command(const char *format, const char *a, const char *b) {
  char command[3 * PATH_MAX];
  snprintf(command, sizeof command, format, a, b);
  return system(command) == 0;
}

static bool is_dir(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

// Names the folders and unpacks the cases in the build folder. NULL, or what is not here; that what
// is here does not unpack is a failure.
static const char *prepare(void) {
  const char *build = getenv("MILO_BUILD"), *shared = getenv("MILO_SHARED");
  const char *given = getenv("MILO_CONFORMANCE");
  char archive[512], work[512];
  snprintf(work, sizeof work, "%s/conformance", build ? build : "build");
  snprintf(archive, sizeof archive, "%s/conformance/cases.tar.xz", shared ? shared : "../shared");
  snprintf(cases_dir, sizeof cases_dir, "%.500s", given ? given : "");
  if (given == NULL) snprintf(cases_dir, sizeof cases_dir, "%.490s/cases", work);
  snprintf(mil_dir, sizeof mil_dir, "%.490s/mil", work);
  if (given == NULL && access(archive, R_OK) != 0) return "no shared conformance cases";
  if (!run_command("python3 --version >/dev/null 2>&1%s%s", "", "")) return "no python3";
  CHECK(run_command("mkdir -p '%s' && rm -rf '%s'", work, mil_dir));
  if (!is_dir(cases_dir)) {
    char absolute[PATH_MAX];
    CHECK(realpath(archive, absolute) &&
          run_command("cd '%s' && cmake -E tar xf '%s'", work, absolute));
  }
  return NULL;
}

// ---- one case ----

typedef struct tally {
  int passed, lacking, failed, known;
  const char *ops[MAX_LACKING];  // that are lacking, and in how many cases
  int counts[MAX_LACKING], op_count;
} tally;

typedef struct test_case {
  milo_ctx *ctx;
  const char *id;
  bool half;  // fp16 tolerances
  const char *device;
  milo_program *program;
  milo_kernel *kernel;
  milo_status status;  // of compiling
  char message[512];
} test_case;

static bool refuse(test_case *c, const char *what) {
  snprintf(c->message, sizeof c->message, "%s %s", what, milo_error(c->ctx));
  return false;
}

static milo_status load_npy(test_case *c, const char *folder, const char *name, milo_array *out) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s/%s/%s.npy", cases_dir, c->id, folder, name);
  return milo_npy_load(c->ctx, path, out);
}

static void note_lacking(tally *t, const char *what) {
  int at = 0;
  while (at < t->op_count && strcmp(t->ops[at], what) != 0) at++;
  if (at == t->op_count && at < MAX_LACKING) t->ops[t->op_count++] = strdup(what);
  if (at < MAX_LACKING) t->counts[at]++;
}

// Notes the operations that the program needs and the table lacks.
static bool is_lacking(const milo_program *program, tally *t) {
  milo_op_count ops[256];
  const size_t count = milo_program_op_counts(program, NULL, ops, 256);
  bool lacking = false;
  for (size_t i = 0; i < count && i < 256; i++) {
    if (ops[i].supported || strcmp(ops[i].name, "const") == 0) continue;
    note_lacking(t, ops[i].name);
    lacking = true;
  }
  return lacking;
}

static void convert(const milo_array *from, milo_dtype dtype, void *to) {
  size_t count = 1;
  for (int i = 0; i < from->rank; i++) count *= (size_t)from->shape[i];
  for (size_t i = 0; i < count; i++) {
    if (milo_dtype_is_float(dtype) || milo_dtype_is_float(from->dtype))
      milo_number_store(dtype, to, i, milo_number_load(from->dtype, from->data, i));
    else
      milo_number_store_int(dtype, to, i, milo_number_load_int(from->dtype, from->data, i));
  }
}

// States are not recorded: they begin as zeros.
static bool is_state(const milo_value_info *input) {
  return strncmp(input->type, "state<", 6) == 0;
}

// Compiles for the shapes of the recorded inputs and fills them in.
static bool compile(test_case *c) {
  milo_value_info inputs[MAX_NAMES];
  milo_array arrays[MAX_NAMES] = {0};
  const size_t count = milo_program_inputs(c->program, NULL, inputs, MAX_NAMES);
  bool good = count <= MAX_NAMES;
  for (size_t i = 0; i < count && good; i++) {
    if (is_state(&inputs[i])) continue;
    good = load_npy(c, "inputs", inputs[i].name, &arrays[i]) == MILO_OK;
    // A scalar may be recorded as a vector of one element, or the other way around.
    const bool one = arrays[i].bytes == milo_dtype_bits(arrays[i].dtype) / 8;
    const bool declared = inputs[i].rank == 0 || (inputs[i].rank == 1 && inputs[i].shape[0] == 1);
    if (one && declared) continue;
    inputs[i].rank = arrays[i].rank;
    memcpy(inputs[i].shape, arrays[i].shape, sizeof inputs[i].shape);
  }
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = c->device;
  options.inputs = inputs;
  options.input_count = count;
  c->status = good ? milo_compile(c->ctx, c->program, &options, &c->kernel) : MILO_ERR_NOT_FOUND;
  good = c->status == MILO_OK;
  for (size_t i = 0; i < count && good; i++) {
    milo_buffer *buffer;
    if (is_state(&inputs[i])) continue;
    const size_t bytes = arrays[i].bytes * 8 + 8;  // whatever the element type of the input is
    good = milo_buffer_create(c->ctx, bytes, &buffer) == MILO_OK;
    if (!good) break;
    void *data = milo_buffer_map(buffer, MILO_WRITE);
    convert(&arrays[i], inputs[i].dtype, data);
    if (milo_buffer_unmap(buffer, data, MILO_WRITE) != MILO_OK) abort();
    good = milo_kernel_bind(c->kernel, inputs[i].name, buffer) == MILO_OK;
    milo_buffer_release(buffer);
  }
  for (size_t i = 0; i < count && i < MAX_NAMES; i++) milo_array_deinit(&arrays[i]);
  return good;
}

static bool compare(test_case *c, const milo_value_info *output, const milo_array *wanted) {
  milo_buffer *buffer = milo_kernel_buffer(c->kernel, output->name);
  size_t count = 1, wanted_count = 1;
  for (int i = 0; i < output->rank; i++) count *= (size_t)output->shape[i];
  for (int i = 0; i < wanted->rank; i++) wanted_count *= (size_t)wanted->shape[i];
  const bool scalar = output->rank == 0 && wanted->rank == 1;  // recorded with one element
  bool same = scalar || output->rank == wanted->rank;
  for (int i = 0; i < output->rank && same; i++) same = output->shape[i] == wanted->shape[i];
  if (!same || count != wanted_count) {
    snprintf(c->message, sizeof c->message, "%s is %s, not of the recorded shape", output->name,
             output->type);
    return false;
  }
  double scale = 0;
  for (size_t i = 0; i < count; i++)
    scale = compare_scale(scale, milo_number_load(wanted->dtype, wanted->data, i));
  const double mix = c->half ? 2e-3 : 1e-5, relative = c->half ? 1e-2 : 1e-5;
  // Host memory: mapping it for reading holds nothing.
  const void *data = milo_buffer_map(buffer, MILO_READ);
  for (size_t i = 0; i < count; i++) {
    const double g = milo_number_load(output->dtype, data, i);
    const double w = milo_number_load(wanted->dtype, wanted->data, i);
    const double bound = mix * scale + (isfinite(w) ? relative * fabs(w) : 0);
    if (compare_near(g, w, bound)) continue;
    snprintf(c->message, sizeof c->message, "%s[%zu]: got %.9g, recorded %.9g within %.3g",
             output->name, i, g, w, bound);
    return false;
  }
  return true;
}

// names: the outputs in the order of the model's description.
static bool check_outputs(test_case *c, char *const *names, size_t name_count) {
  milo_value_info outputs[MAX_NAMES];
  const size_t count = milo_kernel_outputs(c->kernel, outputs, MAX_NAMES);
  for (size_t i = 0; i < count && i < MAX_NAMES; i++) {
    milo_array wanted = {0};
    if (load_npy(c, "expected", outputs[i].name, &wanted) != MILO_OK &&
        (i >= name_count || load_npy(c, "expected", names[i], &wanted) != MILO_OK))
      return refuse(c, "no recorded output:");
    const bool good = compare(c, &outputs[i], &wanted);
    milo_array_deinit(&wanted);
    if (!good) return false;
  }
  return true;
}

static void run_case(test_case *c, char *const *names, size_t name_count, const char *known,
                     tally *t) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s/model.mil", mil_dir, c->id);
  bool good = milo_program_load(c->ctx, path, &c->program) == MILO_OK;
  if (good && is_lacking(c->program, t)) {
    t->lacking++;
    milo_program_destroy(c->program);
    return;
  }
  if (!good)
    refuse(c, "not loaded:");
  else if (!(good = compile(c)))
    refuse(c, "not compiled:");
  else if (!(good = milo_kernel_run(c->kernel) == MILO_OK))
    refuse(c, "not run:");
  else
    good = check_outputs(c, names, name_count);
  milo_kernel_destroy(c->kernel);
  milo_program_destroy(c->program);
  if (c->status == MILO_ERR_UNSUPPORTED && strstr(c->message, "depends on values") != NULL) {
    note_lacking(t, "(shapes that depend on values)");
    t->lacking++;
    return;
  }
  if (good) t->passed++;
  if (good && known != NULL) {
    printf("# %s passes on %s, but is listed as a known failure\n", c->id, c->device);
    t->failed++;
  } else if (!good && known != NULL) {
    t->known++;
  } else if (!good) {
    t->failed++;
    if (t->failed <= 20 || getenv("MILO_CONFORMANCE_VERBOSE") != NULL)
      printf("# case %s on %s: %s\n", c->id, c->device, c->message);
  }
}

// ---- all cases ----

// The reason that known_failures.tsv gives for a case, into reason; NULL if it is not listed.
static const char *find_known(const char *id, char *reason, size_t bytes) {
  FILE *file = fopen("tests/conformance/known_failures.tsv", "r");
  const size_t length = strlen(id);
  const char *found = NULL;
  while (file != NULL && found == NULL && fgets(reason, (int)bytes, file) != NULL)
    if (strncmp(reason, id, length) == 0 && reason[length] == '\t') found = reason + length + 1;
  if (file != NULL) fclose(file);
  return found;
}

static void run_device(const char *device) {
  char path[600], line[2048], reason[512];
  tally t = {0};
  milo_ctx *ctx;
  snprintf(path, sizeof path, "%s/manifest.tsv", mil_dir);
  FILE *manifest = fopen(path, "r");
  if (!CHECK(manifest != NULL) || !CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK)) return;
  const bool reference = getenv("MILO_CONFORMANCE") == NULL;
  while (fgets(line, sizeof line, manifest) != NULL) {
    char *rest = line, *names[MAX_NAMES];
    size_t count = 0;
    line[strcspn(line, "\n")] = '\0';
    test_case c = {.ctx = ctx, .device = device, .id = strsep(&rest, "\t")};
    const char *dtype = strsep(&rest, "\t");
    c.half = dtype != NULL && strcmp(dtype, "fp16") == 0;
    while (rest != NULL && count < MAX_NAMES) names[count++] = strsep(&rest, "\t");
    run_case(&c, names, count, reference ? find_known(c.id, reason, sizeof reason) : NULL, &t);
  }
  fclose(manifest);
  milo_ctx_destroy(ctx);
  printf("# %s: %d passed, %d lack something, %d known failures, %d failed\n", device, t.passed,
         t.lacking, t.known, t.failed);
  for (int i = 0; i < t.op_count; i++) {
    if (strcmp(device, "ref") == 0) printf("#   lacking %s: %d cases\n", t.ops[i], t.counts[i]);
    free((void *)(uintptr_t)t.ops[i]);
  }
  CHECK(t.failed == 0);
  // An operation that gets lost makes its cases lack something; raise this with each new one.
  CHECK(t.passed >= (reference ? 1196 : 1));
}

static void test_cases(void) {
  const char *reason = prepare();
  if (reason != NULL) SKIP(reason);
  if (!CHECK(run_command("python3 tests/conformance/package_to_mil.py --cases '%s' '%s' >/dev/null",
                         cases_dir, mil_dir)))
    return;
  for (size_t i = 0; milo_device_name(i) != NULL; i++) run_device(milo_device_name(i));
}

int main(void) {
  RUN(test_cases);
  return tap_done();
}
