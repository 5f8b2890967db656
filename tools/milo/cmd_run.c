// SPDX-License-Identifier: MIT
// milo run: a program on arrays.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cmd.h"

typedef struct runner {
  milo_ctx *ctx;
  const char *path, *function, *device, *output_dir, *seed_text;
  string_list inputs;
  bool json;
  uint64_t seed;

  milo_program *program;
  milo_kernel *kernel;
  milo_value_info *in, *out;  // the kernel's, after compiling; in: the program's before
  milo_array *arrays;         // one an input
  size_t in_count, out_count;
  double compile_s, run_s;
} runner;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// ---- numbers ----

// bf16 has no .npy type: such values are read and written as fp32.
static uint16_t bf16_from_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float float_from_bf16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Of values that fp16 holds exactly and whose exponent is within its normal range, and of 0.
static uint16_t fp16_from_exact(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value == 0) return 0;
  const uint32_t exponent = (bits >> 23 & 0xff) - 127 + 15;
  return (uint16_t)((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 0x3ff));
}

// splitmix64: value i of a stream.
static uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t i) {
  uint64_t z = seed + stream * UINT64_C(0xd1342543de82ef95) + i * UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

// Floats: multiples of 1/1024 in [-1, 1), which every float type from fp16 up holds; integers and
// bools: 0 or 1, good as indices into anything that is not empty.
static bool fill_random(milo_array *array, uint64_t seed, uint64_t stream) {
  const size_t element = milo_dtype_bits(array->dtype) / 8;
  if (element == 0) return false;
  for (size_t i = 0; i < array->bytes / element; i++) {
    unsigned char *at = (unsigned char *)array->data + i * element;
    const uint64_t bits = random_bits(seed, stream, i);
    const float value = (float)((int)(bits >> 53) - 1024) / 1024;
    const double wide = (double)value;
    uint16_t half;
    switch (array->dtype) {
      case MILO_FP16:
        half = fp16_from_exact(value);
        memcpy(at, &half, sizeof half);
        break;
      case MILO_BF16:
        half = bf16_from_float(value);
        memcpy(at, &half, sizeof half);
        break;
      case MILO_FP32:
        memcpy(at, &value, sizeof value);
        break;
      case MILO_FP64:
        memcpy(at, &wide, sizeof wide);
        break;
      case MILO_FP8E4M3FN:
      case MILO_FP8E5M2:
        return false;
      default:  // little-endian: the rest stays 0
        at[0] = (unsigned char)(bits >> 63);
        break;
    }
  }
  return true;
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
  milo_array *array = &r->arrays[i];
  const milo_status status = milo_npy_load(r->ctx, equals + 1, array);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  if (r->in[i].dtype == MILO_BF16 && array->dtype == MILO_FP32) {
    const float *from = array->data;
    uint16_t *to = array->data;  // each goes where none is read any more
    array->bytes /= 2;
    array->dtype = MILO_BF16;
    for (size_t k = 0; k < array->bytes / 2; k++) {
      const uint16_t half = bf16_from_float(from[k]);
      memcpy(&to[k], &half, sizeof half);
    }
  }
  if (array->dtype != r->in[i].dtype)
    return fail_text("input %s is %s, but %s holds %s", r->in[i].name, r->in[i].type, equals + 1,
                     milo_dtype_name(array->dtype));
  return EXIT_OK;
}

static int make_input(runner *r, size_t i) {
  const milo_value_info *info = &r->in[i];
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
  const milo_status status =
      milo_array_create(r->ctx, info->dtype, info->rank, info->shape, &r->arrays[i]);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  return fill_random(&r->arrays[i], r->seed, i)
             ? EXIT_OK
             : fail_text("input %s: random values of type %s are not offered", info->name,
                         info->type);
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

static int save_output(runner *r, size_t i, const char *path) {
  const milo_value_info *info = &r->out[i];
  milo_array array;
  const bool widen = info->dtype == MILO_BF16;
  milo_status status =
      milo_array_create(r->ctx, widen ? MILO_FP32 : info->dtype, info->rank, info->shape, &array);
  if (status != MILO_OK) return fail_with(r->ctx, status);
  const void *data = milo_buffer_data(milo_kernel_buffer(r->kernel, info->name));
  if (widen) {
    const uint16_t *halves = data;
    float *floats = array.data;
    for (size_t k = 0; k < array.bytes / 4; k++) floats[k] = float_from_bf16(halves[k]);
  } else if (array.bytes > 0) {
    memcpy(array.data, data, array.bytes);
  }
  status = milo_npy_save(r->ctx, path, &array);
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

static void print_values(const runner *r, const char *key, const milo_value_info *values,
                         size_t count) {
  if (r->json) printf("\"%s\": [", key);
  for (size_t i = 0; i < count; i++) {
    if (!r->json) {
      printf("%-7s %s: %s\n", key, values[i].name, values[i].type);
      continue;
    }
    printf("%s{\"name\": ", i > 0 ? ", " : "");
    json_string(stdout, values[i].name);
    printf(", \"type\": ");
    json_string(stdout, values[i].type);
    printf(", \"shape\": [");
    for (int d = 0; d < values[i].rank; d++)
      printf("%s%" PRId64, d > 0 ? ", " : "", values[i].shape[d]);
    printf("]}");
  }
  if (r->json) printf("], ");
}

static int report(const runner *r) {
  const char *device = r->device ? r->device : "cpu";
  if (r->json) {
    printf("{\"device\": ");
    json_string(stdout, device);
    printf(", ");
  }
  print_values(r, r->json ? "inputs" : "input", r->in, r->in_count);
  print_values(r, r->json ? "outputs" : "output", r->out, r->out_count);
  if (r->json) {
    printf("\"compile_s\": ");
    json_number(stdout, r->compile_s);
    printf(", \"run_s\": ");
    json_number(stdout, r->run_s);
    puts("}");
  } else {
    printf("%s: compiled in %.3f ms, ran in %.3f ms\n", device, 1e3 * r->compile_s, 1e3 * r->run_s);
  }
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
  const double start = now_s();
  const milo_status status = milo_compile(r->ctx, r->program, &options, &r->kernel);
  r->compile_s = now_s() - start;
  free(given);
  if (status != MILO_OK) return fail_with(r->ctx, status);
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
    if (r->arrays[i].bytes > 0)
      memcpy(milo_buffer_data(buffer), r->arrays[i].data, r->arrays[i].bytes);
    status = milo_kernel_bind(r->kernel, r->in[i].name, buffer);
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
  if (!r->in || !r->arrays) return fail_text("out of memory");
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
  const double start = now_s();
  if (status == MILO_OK) status = milo_kernel_run(r->kernel);
  r->run_s = now_s() - start;
  if (status != MILO_OK) return fail_with(r->ctx, status);
  code = save_outputs(r);
  return code == EXIT_OK ? report(r) : code;
}

int cmd_run(int argc, char **argv) {
  static const command cmd = {
      "run",
      "run FILE.mil [options]",
      "Run a program on arrays and write its outputs as .npy files. Inputs whose shape the text\n"
      "leaves open take that of their file.",
      "  milo run model.mil --input x=x.npy --output-dir out\n"
      "  milo run model.mil --random 1 --device ref\n",
      1,
      1};
  runner r = {0};
  const option options[] = {
      {"--input", "-i", OPTION_LIST, &r.inputs, "NAME=FILE", "an input's .npy file"},
      {"--random", NULL, OPTION_STRING, &r.seed_text, "SEED",
       "random values for inputs that are not given"},
      {"--output-dir", "-o", OPTION_STRING, &r.output_dir, "DIR",
       "where NAME.npy of each output goes"},
      {"--device", "-d", OPTION_STRING, &r.device, "NAME", "ref or cpu (default cpu)"},
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
  r.path = argv[0];
  r.json = common.json;
  r.ctx = open_ctx(&common);
  code = r.ctx ? run(&r) : EXIT_FAILED;
  for (size_t i = 0; r.arrays && i < r.in_count; i++) milo_array_deinit(&r.arrays[i]);
  free(r.arrays);
  free(r.in);
  free(r.out);
  milo_kernel_destroy(r.kernel);
  milo_program_destroy(r.program);
  milo_ctx_destroy(r.ctx);
  options_deinit(options);
  return code;
}
