// SPDX-License-Identifier: MIT
// milo run: a program on arrays.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd.h"
#include "progress.h"

typedef struct runner {
  milo_ctx *ctx;
  const char *path, *function, *device, *output_dir, *seed_text;
  string_list inputs;
  bool cast, json, strict, profile;
  uint64_t seed, repeat;

  milo_program *program;
  milo_kernel *kernel;
  milo_value_info *in, *out;  // the kernel's, after compiling; in: the program's before
  milo_array *arrays;         // one an input
  size_t in_count, out_count;
  double compile_s, *run_s;  // run_s: one a counted run
} runner;

// splitmix64: value i of a stream.
static uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t i) {
  uint64_t z = seed + stream * UINT64_C(0xd1342543de82ef95) + i * UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

static bool is_float(milo_dtype dtype) {
  return (dtype >= MILO_FP16 && dtype <= MILO_BF16) || dtype >= MILO_FP8E4M3FN;
}

// Floats: multiples of 1/1024 in [-1, 1), which fp16 and wider hold exactly; integers and bools: 0
// or 1, good as indices into anything that is not empty.
static milo_status make_random(milo_ctx *ctx, const milo_value_info *info, uint64_t seed,
                               uint64_t stream, milo_array *out) {
  milo_array wide;
  milo_status status = milo_array_create(ctx, MILO_FP64, info->rank, info->shape, &wide);
  if (status != MILO_OK) return status;
  double *values = wide.data;
  for (size_t i = 0; i < wide.bytes / sizeof *values; i++) {
    const uint64_t bits = random_bits(seed, stream, i);
    values[i] = is_float(info->dtype) ? ((double)(bits >> 53) - 1024) / 1024 : (double)(bits >> 63);
  }
  status = milo_array_cast(ctx, &wide, info->dtype, out);
  milo_array_deinit(&wide);
  return status;
}

// ---- inputs ----

static size_t find_input(const runner *r, const char *name, size_t bytes) {
  size_t i = 0;
  while (i < r->in_count &&
         !(strlen(r->in[i].name) == bytes && memcmp(r->in[i].name, name, bytes) == 0))
    i++;
  return i;
}

static int load_input(runner *r, const char *given) {
  const char *equals = strchr(given, '=');
  if (!equals || equals == given || equals[1] == '\0')
    return fail_text("--input takes NAME=FILE.npy, not '%s'", given);
  const size_t i = find_input(r, given, (size_t)(equals - given));
  if (i == r->in_count)
    return fail_text("%s has no input '%.*s'\nhint: milo info %s lists them", r->path,
                     (int)(equals - given), given, r->path);
  if (r->arrays[i].data) return fail_text("input %s is given twice", r->in[i].name);
  const char *path = input_path(equals + 1);
  if (path == NULL) return EXIT_USAGE;
  milo_array *array = &r->arrays[i];
  milo_status status = milo_npy_load(r->ctx, path, array);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  const milo_dtype wanted = r->in[i].dtype;
  if (array->dtype == wanted) return EXIT_OK;
  // No .npy type is bf16: its values come as fp32.
  if (!r->cast && !(wanted == MILO_BF16 && array->dtype == MILO_FP32))
    return fail_text("input %s is %s, but %s holds %s\nhint: --cast converts it", r->in[i].name,
                     r->in[i].type, path, milo_dtype_name(array->dtype));
  milo_array cast;
  status = milo_array_cast(r->ctx, array, wanted, &cast);
  if (status != MILO_OK)
    return fail_text("input %s is %s; %s: %s", r->in[i].name, r->in[i].type, path,
                     milo_error(r->ctx));
  milo_array_deinit(array);
  *array = cast;
  return EXIT_OK;
}

static int make_input(runner *r, size_t i) {
  const milo_value_info *info = &r->in[i];
  if (strncmp(info->type, "state<", 6) == 0) {  // begins as zeros
    const milo_status status =
        milo_array_create(r->ctx, info->dtype, info->rank, info->shape, &r->arrays[i]);
    return status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
  }
  if (!r->seed_text)
    return fail_text("input %s (%s) is missing\nhint: --input %s=FILE.npy, or --random SEED",
                     info->name, info->type, info->name);
  bool known = info->rank >= 0;
  for (int d = 0; d < info->rank; d++) known = known && info->shape[d] >= 0;
  if (!known)
    return fail_text(
        "input %s (%s) has no fixed shape, so it cannot be random\n"
        "hint: --input %s=FILE.npy",
        info->name, info->type, info->name);
  const milo_status status = make_random(r->ctx, info, r->seed, i, &r->arrays[i]);
  return status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
}

// ---- outputs ----

static int make_folder(const char *path) {
  char *part = strdup(path);
  if (!part) return fail_text("out of memory");
  int code = EXIT_OK;
  for (char *slash = part; slash && code == EXIT_OK;) {
    slash = strchr(slash + 1, '/');
    if (slash) *slash = '\0';
    if (mkdir(part, 0777) != 0 && errno != EEXIST)
      code = fail_text("folder %s cannot be made: %s", part, strerror(errno));
    if (slash) *slash = '/';
  }
  free(part);
  return code;
}

// The values of an output, as the type given (MILO_DTYPE_NONE: as they are).
static milo_status output_array(const runner *r, size_t i, milo_dtype dtype, milo_array *out) {
  const milo_value_info *info = &r->out[i];
  milo_array array;
  milo_status status = milo_array_create(r->ctx, info->dtype, info->rank, info->shape, &array);
  if (status == MILO_OK)
    status =
        milo_buffer_read(milo_kernel_buffer(r->kernel, info->name), 0, array.data, array.bytes);
  if (status == MILO_OK && dtype != MILO_DTYPE_NONE && dtype != info->dtype) {
    status = milo_array_cast(r->ctx, &array, dtype, out);
    milo_array_deinit(&array);
    return status;
  }
  *out = array;
  return status;
}

static int save_output(runner *r, size_t i, const char *path) {
  milo_array array = {0};  // NumPy has no bf16
  milo_status status =
      output_array(r, i, r->out[i].dtype == MILO_BF16 ? MILO_FP32 : MILO_DTYPE_NONE, &array);
  if (status == MILO_OK) status = milo_npy_save(r->ctx, path, &array);
  milo_array_deinit(&array);
  return status == MILO_OK ? EXIT_OK : fail_with(r->ctx, status);
}

static char *output_path(const runner *r, size_t i) {
  const size_t bytes = strlen(r->output_dir) + strlen(r->out[i].name) + sizeof "/.npy";
  char *path = malloc(bytes);
  if (path) snprintf(path, bytes, "%s/%s.npy", r->output_dir, r->out[i].name);
  return path;
}

static int save_outputs(runner *r) {
  if (!r->output_dir) return EXIT_OK;
  int code = make_folder(r->output_dir);
  for (size_t i = 0; i < r->out_count && code == EXIT_OK; i++) {
    char *path = output_path(r, i);
    code = path ? save_output(r, i, path) : fail_text("out of memory");
    free(path);
  }
  return code;
}

// ---- report ----

// Of an output's numbers; NaN count for none.
typedef struct summary {
  double min, mean, max;
  size_t nans, numbers;  // those that are not NaN
} summary;

static milo_status summarize(const runner *r, size_t i, summary *out) {
  *out = (summary){.min = (double)NAN, .mean = (double)NAN, .max = (double)NAN};
  milo_array wide = {0};
  const milo_status status = output_array(r, i, MILO_FP64, &wide);
  if (status != MILO_OK) {
    milo_array_deinit(&wide);
    return status;
  }
  const double *values = wide.data;
  double sum = 0;
  for (size_t k = 0; k < wide.bytes / sizeof *values; k++) {
    if (isnan(values[k])) {
      out->nans++;
      continue;
    }
    if (out->numbers == 0 || values[k] < out->min) out->min = values[k];
    if (out->numbers == 0 || values[k] > out->max) out->max = values[k];
    sum += values[k];
    out->numbers++;
  }
  if (out->numbers > 0) out->mean = sum / (double)out->numbers;
  milo_array_deinit(&wide);
  return MILO_OK;
}

static void print_summary(const runner *r, const summary *s) {
  const struct {
    const char *name;
    double value;
  } numbers[] = {{"min", s->min}, {"mean", s->mean}, {"max", s->max}};
  for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
    printf(r->json ? ", \"%s\": " : "  %s ", numbers[k].name);
    if (r->json)
      json_number(stdout, numbers[k].value);
    else if (s->numbers == 0)
      putchar('-');
    else
      printf("%.6g", numbers[k].value);
  }
  printf(r->json ? ", \"nan\": %zu" : "  NaN %zu", s->nans);
}

static void print_value(const runner *r, const char *key, const milo_value_info *value) {
  if (!r->json) {
    printf("%-7s %s: %s", key, value->name, value->type);
    return;
  }
  printf("{\"name\": ");
  json_string(stdout, value->name);
  printf(", \"type\": ");
  json_string(stdout, value->type);
  printf(", \"shape\": [");
  for (int d = 0; d < value->rank; d++) printf("%s%" PRId64, d > 0 ? ", " : "", value->shape[d]);
  putchar(']');
}

static void print_inputs(const runner *r) {
  if (r->json) printf("\"inputs\": [");
  for (size_t i = 0; i < r->in_count; i++) {
    if (r->json && i > 0) printf(", ");
    print_value(r, "input", &r->in[i]);
    putchar(r->json ? '}' : '\n');
  }
  if (r->json) printf("], ");
}

// With a summary of each if they went to no folder.
static milo_status print_outputs(const runner *r) {
  if (r->json) printf("\"outputs\": [");
  for (size_t i = 0; i < r->out_count; i++) {
    if (r->json && i > 0) printf(", ");
    print_value(r, "output", &r->out[i]);
    if (!r->output_dir) {
      summary s;
      const milo_status status = summarize(r, i, &s);
      if (status != MILO_OK) return status;
      print_summary(r, &s);
    }
    putchar(r->json ? '}' : '\n');
  }
  if (r->json) printf("], ");
  return MILO_OK;
}

typedef struct profile_row {
  const milo_profile *p;
  size_t index;
} profile_row;

static int compare_profiles(const void *a, const void *b) {
  const profile_row *x = a, *y = b;
  if (x->p->seconds != y->p->seconds) return x->p->seconds > y->p->seconds ? -1 : 1;
  return x->index < y->index ? -1 : 1;
}

// Of all runs together, the longest first.
static int print_profile(const runner *r) {
  const size_t count = r->profile ? milo_kernel_profile(r->kernel, NULL, 0) : 0;
  milo_profile *rows = calloc(count + 1, sizeof *rows);
  profile_row *sorted = calloc(count + 1, sizeof *sorted);
  double total = 0;
  if (rows && sorted) milo_kernel_profile(r->kernel, rows, count);
  for (size_t i = 0; rows && sorted && i < count; i++) {
    sorted[i] = (profile_row){&rows[i], i};
    total += rows[i].seconds;
  }
  if (rows && sorted) qsort(sorted, count, sizeof *sorted, compare_profiles);
  if (r->json && r->profile) printf("\"profile\": [");
  for (size_t i = 0; rows && sorted && i < count; i++) {
    const milo_profile *p = sorted[i].p;
    const double ms = p->count > 0 ? 1e3 * p->seconds / (double)p->count : 0;
    if (r->json) {
      printf("%s{\"op\": ", i > 0 ? ", " : "");
      json_string(stdout, p->op);
      printf(", \"result\": ");
      json_string(stdout, p->result);
      printf(", \"device\": ");
      json_string(stdout, p->device);
      printf(", \"ms\": %.6g, \"runs\": %" PRIu64 "}", ms, p->count);
    } else {
      printf("%9.4f ms %5.1f %%  %s %s\n", ms, total > 0 ? 100 * p->seconds / total : 0, p->op,
             p->result);
    }
  }
  if (r->json && r->profile) printf("], ");
  const int code = rows && sorted ? EXIT_OK : fail_text("out of memory");
  free(rows);
  free(sorted);
  return code;
}

static int compare_times(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int report(const runner *r) {
  const char *device = r->device ? r->device : "cpu";
  const size_t n = (size_t)r->repeat;
  qsort(r->run_s, n, sizeof *r->run_s, compare_times);
  const double median = (r->run_s[(n - 1) / 2] + r->run_s[n / 2]) / 2;
  const double least = r->run_s[0], most = r->run_s[n - 1];
  if (r->json) {
    printf("{\"device\": ");
    json_string(stdout, device);
    printf(", ");
  }
  print_inputs(r);
  const milo_status status = print_outputs(r);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  const int code = print_profile(r);
  if (code != EXIT_OK) return code;
  if (r->json)
    printf(
        "\"compile_s\": %.6g, \"runs\": %zu, \"run_s\": %.6g, \"run_s_min\": %.6g, "
        "\"run_s_max\": %.6g}\n",
        r->compile_s, n, median, least, most);
  else if (n == 1)
    printf("%s: compiled in %.3f ms, ran in %.3f ms\n", device, 1e3 * r->compile_s, 1e3 * median);
  else
    printf("%s: compiled in %.3f ms, ran %zu times: median %.4g ms (%.4g to %.4g)\n", device,
           1e3 * r->compile_s, n, 1e3 * median, 1e3 * least, 1e3 * most);
  return finish_stdout();
}

// ---- run ----

static int compile(runner *r) {
  milo_value_info *given = calloc(r->in_count + 1, sizeof *given);
  if (!given) return fail_text("out of memory");
  for (size_t i = 0; i < r->in_count; i++) {
    given[i] = (milo_value_info){
        .name = r->in[i].name, .dtype = r->arrays[i].dtype, .rank = r->arrays[i].rank};
    memcpy(given[i].shape, r->arrays[i].shape, sizeof given[i].shape);
  }
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.function = r->function;
  options.device = r->device;
  options.inputs = given;
  options.input_count = r->in_count;
  options.strict = r->strict;
  options.profile = r->profile;
  const double start = now_s();
  const milo_status status = milo_compile(r->ctx, r->program, &options, &r->kernel);
  r->compile_s = now_s() - start;
  free(given);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  fputs(milo_kernel_fallbacks(r->kernel), stderr);
  r->out_count = milo_kernel_outputs(r->kernel, NULL, 0);
  r->out = calloc(r->out_count + 1, sizeof *r->out);
  if (!r->out) return fail_text("out of memory");
  milo_kernel_outputs(r->kernel, r->out, r->out_count);
  milo_kernel_inputs(r->kernel, r->in, r->in_count);
  return EXIT_OK;
}

static milo_status bind_inputs(runner *r) {
  for (size_t i = 0; i < r->in_count; i++) {
    milo_buffer *buffer;
    milo_status status = milo_buffer_create(r->ctx, r->arrays[i].bytes, &buffer);
    if (status != MILO_OK) return status;
    status = milo_buffer_write(buffer, 0, r->arrays[i].data, r->arrays[i].bytes);
    if (status == MILO_OK) status = milo_kernel_bind(r->kernel, r->in[i].name, buffer);
    milo_buffer_release(buffer);
    if (status != MILO_OK) return status;
  }
  return MILO_OK;
}

static bool has_function(const milo_program *program, const char *name) {
  const char *found;
  for (size_t i = 0; (found = milo_program_function_name(program, i)) != NULL; i++)
    if (name == NULL || strcmp(found, name) == 0) return true;
  return false;
}

static int run(runner *r) {
  milo_status status = milo_program_load(r->ctx, r->path, &r->program);
  if (status == MILO_OK) status = milo_program_verify(r->ctx, r->program);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  if (!has_function(r->program, r->function))
    return fail_text("%s has no function%s%s", r->path, r->function ? " " : "",
                     r->function ? r->function : "");
  r->in_count = milo_program_inputs(r->program, r->function, NULL, 0);
  r->in = calloc(r->in_count + 1, sizeof *r->in);
  r->arrays = calloc(r->in_count + 1, sizeof *r->arrays);
  r->run_s = calloc((size_t)r->repeat, sizeof *r->run_s);
  if (!r->in || !r->arrays || !r->run_s) return fail_text("out of memory");
  milo_program_inputs(r->program, r->function, r->in, r->in_count);
  for (size_t i = 0; i < r->inputs.count; i++) {
    const int code = load_input(r, r->inputs.items[i]);
    if (code != EXIT_OK) return code;
  }
  for (size_t i = 0; i < r->in_count; i++) {
    const int code = r->arrays[i].data ? EXIT_OK : make_input(r, i);
    if (code != EXIT_OK) return code;
  }
  int code = compile(r);
  if (code != EXIT_OK) return code;
  status = bind_inputs(r);
  // Of several, one before the first fills caches and is not counted.
  if (status == MILO_OK && r->repeat > 1) status = milo_kernel_run(r->kernel);
  for (size_t i = 0; i < r->repeat && status == MILO_OK; i++) {
    const double start = now_s();
    status = milo_kernel_run(r->kernel);
    r->run_s[i] = now_s() - start;
  }
  if (status != MILO_OK) return fail_with(r->ctx, status);
  milo_kernel_outputs(r->kernel, r->out, r->out_count);  // dimensions that only a run knows
  code = save_outputs(r);
  return code == EXIT_OK ? report(r) : code;
}

int cmd_run(int argc, char **argv) {
  static const command cmd = {
      "run",
      "run FILE.mil [options]",
      "Run a program on arrays and write its outputs as .npy files, or, without a folder for "
      "them,\n"
      "print type, least, mean and greatest value and the number of NaNs of each. Inputs whose\n"
      "shape the text leaves open take that of their file.",
      "  milo run model.mil --input x=x.npy --output-dir out\n"
      "  milo run model.mil --random 1 --device ref\n"
      "  milo run model.mil --input x=doubles.npy --cast --repeat 20\n",
      1,
      1};
  runner r = {.repeat = 1};
  const option options[] = {
      {"--input", "-i", OPTION_LIST, &r.inputs, "NAME=FILE", "an input's .npy file"},
      {"--random", NULL, OPTION_STRING, &r.seed_text, "SEED",
       "random values for inputs that are not given"},
      {"--cast", NULL, OPTION_FLAG, &r.cast, NULL,
       "convert arrays of another element type; values that do not fit are refused"},
      {"--output-dir", "-o", OPTION_STRING, &r.output_dir, "DIR",
       "where NAME.npy of each output goes (default: print a summary)"},
      {"--repeat", "-n", OPTION_COUNT, &r.repeat, "N",
       "run N times, after one that is not counted, and print the median time"},
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "ref or cpu (default cpu)"},
      {"--strict", NULL, OPTION_FLAG, &r.strict, NULL,
       "refuse a program of which the device does not run every operation itself"},
      {"--profile", NULL, OPTION_FLAG, &r.profile, NULL, "print the time of each operation"},
      {"--function", "-f", OPTION_STRING, &r.function, "NAME", "default: the first"},
      {NULL, NULL, OPTION_FLAG, NULL, NULL, NULL}};
  common_options common = {0};
  int args, code;
  if (!options_parse(&cmd, options, &common, argc, argv, &args, &code)) {
    options_deinit(options);
    return code;
  }
  char *end = NULL;
  errno = 0;
  if (r.seed_text) r.seed = strtoull(r.seed_text, &end, 10);
  if (r.seed_text && (r.seed_text[0] < '0' || r.seed_text[0] > '9' || *end || errno)) {
    options_deinit(options);
    return usage_error(&cmd, "--random takes a whole number, not '%s'", r.seed_text);
  }
  if (r.repeat == 0 || r.repeat > 1000000) {
    options_deinit(options);
    return usage_error(&cmd, "--repeat is a number from 1 to 1000000");
  }
  if (r.output_dir && *r.output_dir == '\0') {
    options_deinit(options);
    return usage_error(&cmd, "--output-dir is empty: a folder's name is expected");
  }
  r.path = argv[0];
  r.json = common.json;
  r.ctx = open_ctx(&common);
  code = r.ctx ? run(&r) : EXIT_FAILED;
  for (size_t i = 0; r.arrays && i < r.in_count; i++) milo_array_deinit(&r.arrays[i]);
  free(r.arrays);
  free(r.run_s);
  free(r.in);
  free(r.out);
  milo_kernel_destroy(r.kernel);
  milo_program_destroy(r.program);
  milo_ctx_destroy(r.ctx);
  options_deinit(options);
  return code;
}
