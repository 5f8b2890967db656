// SPDX-License-Identifier: MIT
// What all devices have in common: lowering, what a device does not run, memory that lies
// elsewhere, donated buffers. A device that takes matrix products only is compared with cpu and
// ref, bit by bit: all numbers are small integers, and so every sum is exact.
#include <time.h>

#include "base/rng.h"
#include "matrix_device.h"
#include "mil_short.h"
#include "tap.h"
#include "text/text.h"

enum { MAX_VALUES = 8 };

static milo_diag diag;
static milo_device *matrix, *cpu, *ref;

static bool good(milo_status status) {
  if (!CHECK(status == MILO_OK)) printf("# %s\n", milo_diag_text(&diag));
  return status == MILO_OK;
}

static milo_program *parse(const char *text) {
  milo_program *program = NULL;
  milo_diag_clear(&diag);
  good(milo_text_parse(text, strlen(text), "case.mil", &diag, &program));
  return program;
}

static const milo_func *only(const milo_program *program) {
  return milo_program_find_func(program, NULL);
}

typedef struct values {
  size_t count;
  milo_buffer *buffers[MAX_VALUES];
} values;

static void release(values *v) {
  for (size_t i = 0; i < v->count; i++) milo_buffer_release(v->buffers[i]);
  v->count = 0;
}

// Whole numbers in [-3, 3]; integers in [0, 3].
static void fill(milo_buffer *buffer, const milo_type *type, uint64_t seed) {
  const size_t bytes = milo_type_bytes(type);
  void *data = calloc(1, bytes + 1);
  for (size_t k = 0; k < milo_type_elements(type); k++) {
    const int64_t below = milo_dtype_is_int(type->dtype) ? 4 : 7;
    const int64_t n = (int64_t)milo_rng_below(seed, 0, k, (uint64_t)below) - (below == 7 ? 3 : 0);
    milo_number_store(type->dtype, data, k, (double)n);
  }
  CHECK(milo_buffer_write(buffer, 0, data, bytes) == MILO_OK);
  free(data);
}

// far: which buffers lie in the matrix device's memory.
static void make_buffers(const milo_executable *e, unsigned far, values *in, values *out,
                         const milo_alias *alias) {
  in->count = milo_executable_input_count(e);
  out->count = milo_executable_output_count(e);
  for (size_t i = 0; i < in->count; i++) {
    const milo_type *type = &milo_executable_input(e, i)->type;
    const size_t bytes = milo_type_bytes(type);
    good((far >> (i % 3) & 1) != 0 ? milo_device_alloc(matrix, bytes, &diag, &in->buffers[i])
                                   : milo_buffer_alloc(bytes, &diag, &in->buffers[i]));
    fill(in->buffers[i], type, i + 1);
  }
  for (size_t i = 0; i < out->count; i++) {
    const size_t bytes = milo_type_bytes(&milo_executable_output(e, i)->type);
    if (alias != NULL && alias->output == i) {
      out->buffers[i] = in->buffers[alias->input];
      milo_buffer_retain(out->buffers[i]);
      continue;
    }
    good((far >> ((i + 1) % 3) & 1) != 0 ? milo_device_alloc(matrix, bytes, &diag, &out->buffers[i])
                                         : milo_buffer_alloc(bytes, &diag, &out->buffers[i]));
  }
}

// Compiles, runs twice (with an alias, the second run goes on from the first). Everything that was
// given to compile is gone before that.
static bool run_on(milo_device *device, const char *text, unsigned far, const milo_alias *alias,
                   values *out, char **out_fallbacks) {
  *out = (values){0};
  milo_program *program = parse(text);
  milo_executable *e = NULL;
  milo_run *run = NULL;
  milo_alias *given = malloc(sizeof *given);
  milo_executable_options *options = calloc(1, sizeof *options);
  if (alias != NULL) {
    *given = *alias;
    options->aliases = given;
    options->alias_count = 1;
  }
  milo_diag *own = calloc(1, sizeof *own);
  bool held =
      program != NULL && good(milo_device_compile(device, only(program), NULL, options, own, &e));
  if (!held) printf("# %s\n", milo_diag_text(own));
  milo_program_destroy(program);
  free(given);
  free(options);
  milo_diag_deinit(own);
  free(own);
  held = held && good(milo_run_create(e, device, &diag, &run));
  if (held && out_fallbacks != NULL) *out_fallbacks = strdup(milo_executable_fallbacks(e));
  milo_executable_release(e);  // the run keeps it
  if (!held) return false;
  values in = {0};
  make_buffers(e, far, &in, out, alias);
  for (int i = 0; i < 2; i++)
    held = held && good(milo_run_execute(run, in.buffers, out->buffers, &diag));
  milo_run_destroy(run);
  release(&in);
  return held;
}

static bool same(const values *a, const values *b) {
  if (!CHECK(a->count == b->count)) return false;
  bool equal = true;
  for (size_t i = 0; i < a->count; i++) {
    const size_t bytes = milo_buffer_bytes(b->buffers[i]);
    void *x = milo_buffer_map(a->buffers[i], MILO_READ),
         *y = milo_buffer_map(b->buffers[i], MILO_READ);
    const bool here = milo_buffer_bytes(a->buffers[i]) == bytes && memcmp(x, y, bytes) == 0;
    if (!here) printf("# output %zu differs\n", i);
    equal = equal && here;
    CHECK(milo_buffer_unmap(a->buffers[i], x, MILO_READ) == MILO_OK);
    CHECK(milo_buffer_unmap(b->buffers[i], y, MILO_READ) == MILO_OK);
  }
  return equal;
}

typedef struct story {
  const char *name, *inputs, *body, *outputs, *fallbacks;
  bool donated;  // the last input to the last output
} story;

#define ADDED(name) name ": add runs on cpu, not on matrix\n"
#define RELU(name) name ": relu runs on cpu, not on matrix\n"

static const story stories[] = {
    {"a product alone", "f[3,4] x, f[4,2] y", "f[3,2] p = matmul(x = x, y = y);\n", "p", "", false},
    {"linear is lowered", "f[3,4] x, f[2,4] w, f[2] b",
     "f[3,2] p = linear(x = x, weight = w, bias = b);\n", "p", ADDED("p"), false},
    {"product, sum, product, sum", "f[3,3] x, f[3,3] y",
     "f[3,3] p = matmul(x = x, y = y);\n"
     "f[3,3] q = add(x = p, y = x);\n"
     "f[3,3] r = matmul(x = q, y = y);\n"
     "f[3,3] s = relu(x = r);\n",
     "s", ADDED("q") RELU("s"), false},
    {"a diamond: one side changes places, the other does not", "f[3,3] x, f[3,3] y",
     "f[3,3] p = matmul(x = x, y = y);\n"
     "f[3,3] a = relu(x = p);\n"
     "f[3,3] b = matmul(x = p, y = y);\n"
     "f[3,3] c = matmul(x = a, y = b);\n"
     "f[3,3] d = add(x = c, y = a);\n",
     "d, b", RELU("a") ADDED("d"), false},
    {"products of products, each an output", "f[2,2] x, f[2,2] y",
     "f[2,2] p = matmul(x = x, y = y);\n"
     "f[2,2] q = matmul(x = p, y = p);\n"
     "f[2,2] r = matmul(x = q, y = p);\n",
     "p, q, r", "", false},
    {"outputs that are inputs, constants, each other", "f[2,2] x, f[2,2] y",
     "f[2] k = const()[name = string(\"k\"), val = f[2] ([1, 2])];\n"
     "f[2,2] p = matmul(x = x, y = y);\n"
     "f[2,2] q = relu(x = p);\n",
     "x, k, p, p, q, q, y, k", RELU("q"), false},
    {"the same without a step elsewhere", "f[2,2] x, f[2,2] y",
     "f[2] k = const()[name = string(\"k\"), val = f[2] ([1, 2])];\n"
     "f[2,2] p = matmul(x = x, y = y);\n",
     "x, k, p, p, y, k", "", false},
    {"no product at all", "f[2,2] x", "f[2,2] r = relu(x = x);\n", "r, x", RELU("r"), false},
    {"nothing at all", "f[2,2] x", "", "x", "", false},
    {"nothing in it: no rows, no depth, no columns", "f[0,3] x, f[3,2] y, f[2,0] z",
     "f[0,2] p = matmul(x = x, y = y);\n"
     "f[0,2] q = relu(x = p);\n"
     "f[0,0] r = matmul(x = q, y = z);\n"
     "f[3,0] s = matmul(x = y, y = z);\n"
     "bool f = const()[name = string(\"f\"), val = bool(true)];\n"
     "f[3,3] t = matmul(x = s, y = s, transpose_y = f);\n"
     "f[3,3] u = relu(x = t);\n",
     "q, r, s, u", RELU("q") RELU("u"), false},
    {"several results", "f[2,4] x, f[2,2] y",
     "f[2,2] a, f[2,2] b = split(x = x, num_splits = int32(2), axis = int32(1));\n"
     "f[2,2] p = matmul(x = a, y = y);\n"
     "f[2,2] q = add(x = p, y = b);\n",
     "q, b", "a: split runs on cpu, not on matrix\n" ADDED("q"), false},
    {"a donated input that a later segment still reads", "f[2,2] x, f[2,2] w",
     "f[2,2] v = relu(x = w);\n"
     "f[2,2] p = matmul(x = x, y = w);\n"
     "f[2,2] q = add(x = p, y = w);\n"
     "f[2,2] m = sub(x = q, y = w);\n"
     "f[2,2] s = matmul(x = m, y = w);\n",
     "q, s, v", RELU("v") ADDED("q") "m: sub runs on cpu, not on matrix\n", true},
    {"a donated input that comes back as it was", "f[2,2] x, f[2,2] w",
     "f[2,2] p = matmul(x = x, y = w);\n"
     "f[2,2] q = add(x = p, y = w);\n",
     "q, w", ADDED("q"), true},
    {"a donated input and products alone", "f[2,2] x, f[2,2] w",
     "f[2,2] p = matmul(x = x, y = w);\n"
     "f[2,2] q = matmul(x = p, y = w);\n",
     "p, q", "", true},
};

static void test_stories(void) {
  for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
    const story *s = &stories[i];
    milo_alias alias = {0};
    char *text = mil_short(s->inputs, s->body, s->outputs);
    milo_program *program = parse(text);
    if (program == NULL) continue;
    alias.input = only(program)->body->param_count - 1;
    alias.output = only(program)->body->output_count - 1;
    milo_program_destroy(program);
    const milo_alias *given = s->donated ? &alias : NULL;
    values wanted, got;
    char *none = NULL;
    bool held = run_on(ref, text, 0, given, &wanted, &none);
    CHECK_STR(none, "");
    free(none);
    none = NULL;
    held = run_on(cpu, text, 0, given, &got, &none) && same(&got, &wanted) && held;
    CHECK_STR(none, "");
    free(none);
    release(&got);
    // Buffers here, there, and mixed; also for devices that know host memory only.
    for (unsigned far = 0; far < 8; far++) {
      char *fallbacks = NULL;
      held = run_on(matrix, text, far, given, &got, &fallbacks) && same(&got, &wanted) && held;
      CHECK_STR(fallbacks, s->fallbacks);
      free(fallbacks);
      release(&got);
      held = run_on(far % 2 != 0 ? cpu : ref, text, far, given, &got, NULL) &&
             same(&got, &wanted) && held;
      release(&got);
    }
    release(&wanted);
    free(text);
    if (!CHECK(held)) printf("# in: %s\n", s->name);
  }
  CHECK(matrix_live == 0);
}

// ---- strict ----

static void test_strict(void) {
  char *text = mil_short("f[2,2] x, f[2,2] y",
                         "f[2,2] p = matmul(x = x, y = y);\n"
                         "f[2,2] a = relu(x = p);\n"
                         "f[2,2] b = matmul(x = a, y = y);\n"
                         "f[2,2] c = add(x = b, y = a);\n",
                         "c, x");
  milo_program *program = parse(text);
  free(text);
  if (program == NULL) return;
  const milo_executable_options options = {.strict = true};
  milo_executable *e = NULL;
  CHECK(milo_device_compile(matrix, only(program), NULL, &options, &diag, &e) ==
        MILO_ERR_UNSUPPORTED);
  CHECK(e == NULL);
  const char *said = milo_diag_text(&diag), *of = " giving tensor<fp32, [2, 2]>\n";
  CHECK(strstr(said, "case.mil:4:25: error: device matrix does not support relu") == said);
  CHECK(strstr(said, "\ncase.mil:6:25: error: device matrix does not support add") != NULL);
  CHECK(strstr(said, of) != NULL && strstr(strstr(said, of) + 1, of) != NULL);
  CHECK(strstr(said, "matmul giving") == NULL && strstr(said, "identity") == NULL);
  milo_diag_clear(&diag);
  good(milo_device_compile(cpu, only(program), NULL, &options, &diag, &e));
  milo_executable_release(e);
  good(milo_device_compile(ref, only(program), NULL, &options, &diag, &e));
  milo_executable_release(e);
  milo_program_destroy(program);
}

// ---- a thousand changes of place ----

static char *chain(size_t n) {
  milo_str body = {0};
  char last[32];
  for (size_t i = 1; i <= n; i++)
    milo_str_printf(&body,
                    "f[2,2] p%zu = matmul(x = c%zu, y = w);\n"
                    "f[2,2] c%zu = clip(x = p%zu, alpha = fp32(-4), beta = fp32(4));\n",
                    i, i - 1, i, i);
  snprintf(last, sizeof last, "c%zu", n);
  char *text = mil_short("f[2,2] c0, f[2,2] w", body.data, last);
  milo_str_deinit(&body);
  return text;
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Quadratic work would take 100 times as long. Seen: 10 times.
static void test_chain(void) {
  double seconds[2];
  for (int i = 0; i < 2; i++) {
    const size_t n = i == 0 ? 200 : 2000;
    char *text = chain(n), *fallbacks = NULL;
    values wanted, got;
    const double start = now_s();
    CHECK(run_on(matrix, text, 7, NULL, &got, &fallbacks));
    seconds[i] = now_s() - start;
    size_t lines = 0;
    for (const char *c = fallbacks; c != NULL && *c != '\0'; c++) lines += *c == '\n';
    CHECK(lines == n);
    CHECK(run_on(ref, text, 0, NULL, &wanted, NULL) && same(&got, &wanted));
    release(&wanted);
    release(&got);
    free(fallbacks);
    free(text);
  }
  printf("# 200 changes of place %.3f s, 2,000 %.3f s\n", seconds[0], seconds[1]);
  CHECK(seconds[1] < 40 * seconds[0]);
  CHECK(matrix_live == 0);
}

// ---- memory that overlaps ----

static void test_overlaps(void) {
  char *text = mil_short("f[4] x, f[4] y",
                         "f[4] a = add(x = x, y = y);\n"
                         "f[4] b = sub(x = x, y = y);\n",
                         "a, b");
  // Where the four buffers lie in one of 64 floats; donated: x to a.
  static const struct {
    size_t at[4];
    bool donated, fine;
  } cases[] = {
      {{0, 4, 8, 12}, false, true},   // side by side
      {{0, 0, 8, 12}, false, true},   // inputs may share
      {{0, 2, 8, 12}, false, true},   // a part, too
      {{0, 4, 8, 8}, false, false},   // outputs may not
      {{0, 4, 8, 11}, false, false},  // nor a part
      {{0, 4, 11, 8}, false, false},  // the other way round
      {{0, 4, 0, 12}, false, false},  // an input's
      {{0, 4, 8, 4}, false, false},   // another's
      {{0, 4, 1, 12}, false, false},  // a part of an input's
      {{3, 8, 0, 12}, false, false},  //
      {{0, 4, 0, 12}, true, true},    // donated
      {{0, 4, 8, 12}, true, true},    // and not made use of
      {{0, 4, 1, 12}, true, false},   // not quite the same
      {{0, 0, 0, 12}, true, false},   // another input has it too
      {{0, 3, 0, 12}, true, false},   //
      {{0, 4, 12, 0}, true, false},   // donated to the other output
  };
  milo_program *program = parse(text);
  free(text);
  if (program == NULL) return;
  milo_device *const devices[] = {ref, cpu, matrix};
  for (size_t d = 0; d < 3; d++)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      const milo_alias alias = {0, 0};
      const milo_executable_options options = {.aliases = &alias, .alias_count = cases[i].donated};
      milo_run *run = NULL;
      milo_buffer *whole = NULL, *parts[4] = {0};
      milo_diag_clear(&diag);
      good(milo_run_compile(devices[d], only(program), &options, &diag, &run));
      good(milo_device_alloc(devices[d], 256, &diag, &whole));
      float numbers[64];
      for (int k = 0; k < 64; k++) numbers[k] = (float)(k * k % 17);
      CHECK(milo_buffer_write(whole, 0, numbers, sizeof numbers) == MILO_OK);
      for (int k = 0; k < 4; k++)
        good(milo_buffer_slice(whole, 4 * cases[i].at[k], 16, &diag, &parts[k]));
      const milo_status status = milo_run_execute(run, parts, parts + 2, &diag);
      if (!CHECK(status == (cases[i].fine ? MILO_OK : MILO_ERR_INVALID)))
        printf("# case %zu on %s: %s\n", i, devices[d]->type->name, milo_diag_text(&diag));
      for (int k = 0; k < 4 && status == MILO_OK; k++) {
        const float x = numbers[cases[i].at[0] + (size_t)k],
                    y = numbers[cases[i].at[1] + (size_t)k];
        float a = 0, b = 0;
        CHECK(milo_buffer_read(parts[2], 4 * (size_t)k, &a, 4) == MILO_OK);
        CHECK(milo_buffer_read(parts[3], 4 * (size_t)k, &b, 4) == MILO_OK);
        CHECK(a == x + y && b == x - y);
      }
      for (int k = 0; k < 4; k++) milo_buffer_release(parts[k]);
      milo_buffer_release(whole);
      milo_run_destroy(run);
    }
  milo_diag_clear(&diag);
  milo_program_destroy(program);
  CHECK(matrix_live == 0);
}

// ---- what goes wrong during a run ----

static void test_failures(void) {
  char *text = mil_short("f[2,2] x, f[2,2] y",
                         "f[2,2] p = matmul(x = x, y = y);\n"
                         "f[2,2] q = relu(x = p);\n",
                         "q");
  milo_program *program = parse(text);
  free(text);
  if (program == NULL) return;
  milo_run *run = NULL;
  values in = {0}, out = {0};
  good(milo_run_compile(matrix, only(program), NULL, &diag, &run));
  make_buffers(milo_run_executable(run), 7, &in, &out, NULL);
  matrix_memory_fails = true;
  CHECK(milo_run_execute(run, in.buffers, out.buffers, &diag) != MILO_OK);
  matrix_memory_fails = false;
  milo_diag_clear(&diag);
  good(milo_run_execute(run, in.buffers, out.buffers, &diag));

  milo_buffer *small = NULL, *const none = NULL;
  good(milo_buffer_alloc(15, &diag, &small));
  CHECK(milo_run_execute(run, (milo_buffer *[]){in.buffers[0], small}, out.buffers, &diag) ==
        MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "input y has 15 bytes, 16 are needed") != NULL);
  milo_diag_clear(&diag);
  CHECK(milo_run_execute(run, in.buffers, &none, &diag) == MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "output q has no buffer") != NULL);
  milo_diag_clear(&diag);
  milo_buffer_release(small);
  milo_run_destroy(run);
  release(&in);
  release(&out);
  milo_program_destroy(program);
  CHECK(matrix_live == 0);
}

int main(void) {
  const milo_host host = {0};
  if (matrix_device_type.open(&host, &matrix, &diag) != MILO_OK ||
      milo_device_open("cpu", &host, &diag, &cpu) != MILO_OK ||
      milo_device_open("ref", &host, &diag, &ref) != MILO_OK)
    return 1;
  RUN(test_stories);
  RUN(test_strict);
  RUN(test_chain);
  RUN(test_overlaps);
  RUN(test_failures);
  milo_device_close(matrix);
  milo_device_close(cpu);
  milo_device_close(ref);
  milo_diag_deinit(&diag);
  return tap_done();
}
