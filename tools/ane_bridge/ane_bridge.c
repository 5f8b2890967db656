// SPDX-License-Identifier: MIT
// libane_bridge: a client of milo.h, like the command.
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <milo/ane_bridge.h>
#include <milo/milo.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "@model_path/"

enum { MAX_PORTS = 4096, MAX_FILES = 4096 };

typedef struct surface {
  milo_buffer *buffer;
  size_t bytes;
} surface;

struct ANEKernelHandle {
  milo_ctx *ctx;
  milo_kernel *kernel;
  surface *inputs, *outputs;
  size_t input_count, output_count;
};

static atomic_int compiles;

static void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void complain(const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "ane_bridge: %s\n", text);
}

static const char *device_name(void) {
  const char *name = getenv("MILO_DEVICE");
  return name && *name ? name : "cpu";
}

static milo_ctx *open_ctx(void) {
  milo_ctx *ctx = NULL;
  if (milo_ctx_create(NULL, &ctx) != MILO_OK) complain("%s", milo_error(NULL));
  return ctx;
}

// A program of nothing, compiled: the only way to see that a device opens.
int ane_bridge_init(void) {
  static const char text[] =
      "program(1.3) {\nfunc main<ios18>(tensor<fp16, [1]> x) {\n"
      "tensor<fp16, [1]> y = identity(x = x);\n} -> (y);\n}\n";
  const size_t bytes[1] = {2};
  ANEKernelHandle *kernel = ane_bridge_compile(text, sizeof text - 1, NULL, 0, 1, bytes, 1, bytes);
  if (kernel == NULL) return -1;
  ane_bridge_free(kernel);
  atomic_fetch_sub(&compiles, 1);  // it was none of the client's
  return 0;
}

// ---- weight files ----

typedef struct files {
  char folder[512];
  char **paths;  // of what was made there, folders before what is in them
  size_t count;
} files;

static bool note_path(files *f, const char *path) {
  char **grown = realloc(f->paths, (f->count + 1) * sizeof *grown);
  if (grown == NULL) return false;
  f->paths = grown;
  f->paths[f->count] = strdup(path);
  return f->paths[f->count++] != NULL;
}

static void remove_files(files *f) {
  for (size_t i = f->count; i-- > 0;) {
    if (f->paths[i] != NULL) remove(f->paths[i]);
    free(f->paths[i]);
  }
  free(f->paths);
  *f = (files){0};
}

// Below the folder, and no way out of it.
static bool is_good_name(const char *name) {
  if (*name == '\0' || *name == '/' || strlen(name) > 256) return false;
  for (const char *part = name; part != NULL;) {
    const size_t bytes = strcspn(part, "/");
    if (bytes == 0 || (bytes == 1 && part[0] == '.') || (bytes == 2 && !strncmp(part, "..", 2)))
      return false;
    part = part[bytes] == '/' ? part + bytes + 1 : NULL;
  }
  return true;
}

static bool make_folders(files *f, char *path) {
  for (char *slash = path + strlen(f->folder) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    const int made = mkdir(path, 0700);
    const bool good = made == 0 ? note_path(f, path) : errno == EEXIST;
    *slash = '/';
    if (!good) return false;
  }
  return true;
}

static bool write_file(files *f, const char *name, const uint8_t *data, size_t bytes) {
  char path[1024];
  if (strncmp(name, PREFIX, sizeof PREFIX - 1) == 0) name += sizeof PREFIX - 1;
  if (!is_good_name(name)) {
    complain("'%s' is no name of a weight file", name);
    return false;
  }
  snprintf(path, sizeof path, "%s/%s", f->folder, name);
  FILE *file = make_folders(f, path) ? fopen(path, "wbx") : NULL;
  const bool written = file && note_path(f, path) && fwrite(data, 1, bytes, file) == bytes;
  const int reason = errno;
  if (file && fclose(file) == 0 && written) return true;
  complain("weight file '%s' cannot be written: %s", name, strerror(reason));
  return false;
}

static bool write_files(files *f, const char **names, const uint8_t **datas, const size_t *lens,
                        int count) {
  const char *parent = getenv("TMPDIR");
  snprintf(f->folder, sizeof f->folder, "%.400s/ane-bridge-XXXXXX", parent ? parent : "/tmp");
  if (mkdtemp(f->folder) == NULL || !note_path(f, f->folder)) {
    complain("no folder for weights, '%s': %s", f->folder, strerror(errno));
    return false;
  }
  for (int i = 0; i < count; i++) {
    if (names[i] == NULL || (datas[i] == NULL && lens[i] > 0)) {
      complain("weight file %d has no %s", i, names[i] == NULL ? "name" : "data");
      return false;
    }
    if (!write_file(f, names[i], datas[i], lens[i])) return false;
  }
  return true;
}

// ---- kernels ----

static int by_name(const void *a, const void *b) {
  const milo_value_info *x = a, *y = b;
  return strcmp(x->name, y->name);
}

typedef size_t list_fn(const milo_kernel *kernel, milo_value_info *out, size_t max);

// Makes and binds the surfaces of the inputs or outputs.
static bool bind_surfaces(ANEKernelHandle *k, list_fn *list, const char *what, int given,
                          const size_t *sizes, surface **out, size_t *out_count) {
  const size_t count = list(k->kernel, NULL, 0);
  if (given < 0 || (size_t)given != count || (count > 0 && sizes == NULL)) {
    complain("the program has %zu %ss, not %d", count, what, given);
    return false;
  }
  milo_value_info *info = calloc(count + 1, sizeof *info);
  *out = calloc(count + 1, sizeof **out);
  bool good = info && *out;
  if (!good) complain("no memory for a kernel");
  if (good) {
    list(k->kernel, info, count);
    qsort(info, count, sizeof *info, by_name);
    *out_count = count;
  }
  for (size_t i = 0; good && i < count; i++) {
    surface *s = &(*out)[i];
    s->bytes = sizes[i];
    good = milo_buffer_create(k->ctx, sizes[i], &s->buffer) == MILO_OK &&
           milo_kernel_bind(k->kernel, info[i].name, s->buffer) == MILO_OK;
    if (!good) complain("%s %zu: %s", what, i, milo_error(k->ctx));
  }
  free(info);
  return good;
}

static milo_status compile(ANEKernelHandle *k, const char *text, size_t bytes,
                           const char *model_path) {
  milo_program *program = NULL;
  milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
  options.device = device_name();
  milo_status status = milo_program_parse(k->ctx, text, bytes, "model.mil", model_path, &program);
  if (status == MILO_OK) status = milo_program_verify(k->ctx, program);
  if (status == MILO_OK) status = milo_compile(k->ctx, program, &options, &k->kernel);
  if (status != MILO_OK) complain("%s", milo_error(k->ctx));
  milo_program_destroy(program);
  return status;
}

ANEKernelHandle *ane_bridge_compile_multi_weights(const char *mil_text, size_t mil_len,
                                                  const char **weight_names,
                                                  const uint8_t **weight_datas,
                                                  const size_t *weight_lens, int n_weights,
                                                  int n_inputs, const size_t *input_sizes,
                                                  int n_outputs, const size_t *output_sizes) {
  files f = {{0}, NULL, 0};
  if (mil_text == NULL || n_weights < 0 || n_weights > MAX_FILES || n_inputs > MAX_PORTS ||
      n_outputs > MAX_PORTS ||
      (n_weights > 0 && (weight_names == NULL || weight_datas == NULL || weight_lens == NULL))) {
    complain("compile: %s", mil_text == NULL ? "no text" : "a count or list makes no sense");
    return NULL;
  }
  ANEKernelHandle *k = calloc(1, sizeof *k);
  if (k == NULL) {
    complain("no memory for a kernel");
    return NULL;
  }
  k->ctx = open_ctx();
  const bool good =
      k->ctx != NULL &&
      (n_weights == 0 || write_files(&f, weight_names, weight_datas, weight_lens, n_weights)) &&
      compile(k, mil_text, mil_len, n_weights > 0 ? f.folder : NULL) == MILO_OK &&
      bind_surfaces(k, milo_kernel_inputs, "input", n_inputs, input_sizes, &k->inputs,
                    &k->input_count) &&
      bind_surfaces(k, milo_kernel_outputs, "output", n_outputs, output_sizes, &k->outputs,
                    &k->output_count);
  remove_files(&f);  // what the program needs of them is in memory
  if (good) {
    atomic_fetch_add(&compiles, 1);
    return k;
  }
  ane_bridge_free(k);
  return NULL;
}

ANEKernelHandle *ane_bridge_compile(const char *mil_text, size_t mil_len,
                                    const uint8_t *weight_data, size_t weight_len, int n_inputs,
                                    const size_t *input_sizes, int n_outputs,
                                    const size_t *output_sizes) {
  const char *name = PREFIX "weights/weight.bin";
  return ane_bridge_compile_multi_weights(mil_text, mil_len, &name, &weight_data, &weight_len,
                                          weight_data != NULL && weight_len > 0, n_inputs,
                                          input_sizes, n_outputs, output_sizes);
}

bool ane_bridge_eval(ANEKernelHandle *k) {
  if (k == NULL) {
    complain("eval: no kernel");
    return false;
  }
  const milo_status status = milo_kernel_run(k->kernel);
  if (status != MILO_OK) complain("%s", milo_error(k->ctx));
  return status == MILO_OK;
}

bool ane_bridge_run(ANEKernelHandle *kernel) { return ane_bridge_eval(kernel); }

// The surface, if bytes of it may be copied from or to data.
static const surface *find_surface(const ANEKernelHandle *k, bool input, int idx, const void *data,
                                   size_t bytes) {
  const char *what = input ? "write_input" : "read_output";
  const size_t count = k == NULL ? 0 : input ? k->input_count : k->output_count;
  if (k == NULL || (data == NULL && bytes > 0)) {
    complain("%s: no %s", what, k == NULL ? "kernel" : "data");
    return NULL;
  }
  if (idx < 0 || (size_t)idx >= count) {
    complain("%s: surface %d of %zu", what, idx, count);
    return NULL;
  }
  const surface *s = input ? &k->inputs[idx] : &k->outputs[idx];
  if (bytes <= s->bytes) return s;
  complain("%s: %zu bytes, surface %d has %zu", what, bytes, idx, s->bytes);
  return NULL;
}

void ane_bridge_write_input(ANEKernelHandle *k, int idx, const void *data, size_t bytes) {
  const surface *s = find_surface(k, true, idx, data, bytes);
  if (s != NULL && bytes > 0 && milo_buffer_write(s->buffer, 0, data, bytes) != MILO_OK)
    complain("write_input: surface %d cannot be written", idx);
}

void ane_bridge_read_output(ANEKernelHandle *k, int idx, void *data, size_t bytes) {
  const surface *s = find_surface(k, false, idx, data, bytes);
  if (s != NULL && bytes > 0 && milo_buffer_read(s->buffer, 0, data, bytes) != MILO_OK)
    complain("read_output: surface %d cannot be read", idx);
}

void ane_bridge_free(ANEKernelHandle *k) {
  if (k == NULL) return;
  for (size_t i = 0; i < k->input_count; i++) milo_buffer_release(k->inputs[i].buffer);
  for (size_t i = 0; i < k->output_count; i++) milo_buffer_release(k->outputs[i].buffer);
  free(k->inputs);
  free(k->outputs);
  milo_kernel_destroy(k->kernel);
  milo_ctx_destroy(k->ctx);
  free(k);
}

int ane_bridge_get_compile_count(void) { return atomic_load(&compiles); }
void ane_bridge_reset_compile_count(void) { atomic_store(&compiles, 0); }

// ---- blobs ----

enum { CODE_FP16 = 1, CODE_INT8 = 4, RECORD_AT = 64, DATA_AT = 128 };

static void put32(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static void put64(uint8_t *at, uint64_t value) {
  put32(at, (uint32_t)value);
  put32(at + 4, (uint32_t)(value >> 32));
}

// A blob file without its data; *out_count: elements.
static uint8_t *new_blob(const void *src, int rows, int cols, uint32_t code, size_t element_bytes,
                         size_t *out_len, size_t *out_count) {
  if (out_len != NULL) *out_len = 0;
  if (src == NULL || out_len == NULL || rows <= 0 || cols <= 0 ||
      (size_t)rows > (SIZE_MAX / 8 - DATA_AT) / (size_t)cols) {
    complain("a weight blob of %d x %d%s", rows, cols,
             src == NULL || out_len == NULL ? ", but no source or length" : "");
    return NULL;
  }
  *out_count = (size_t)rows * (size_t)cols;
  const size_t bytes = *out_count * element_bytes;
  uint8_t *blob = calloc(1, DATA_AT + bytes);
  if (blob == NULL) {
    complain("no memory for a weight blob of %zu bytes", bytes);
    return NULL;
  }
  put32(blob, 1);      // blobs
  put32(blob + 4, 2);  // version
  put32(blob + RECORD_AT, 0xDEADBEEFu);
  put32(blob + RECORD_AT + 4, code);
  put64(blob + RECORD_AT + 8, bytes);
  put64(blob + RECORD_AT + 16, DATA_AT);
  *out_len = DATA_AT + bytes;
  return blob;
}

// To the nearest, ties to even; too large ones become infinities.
static uint16_t to_fp16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);   // NaN
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);  // 65520 and above
  if (magnitude < 0x38800000) {  // below 2^-14: a whole number of 2^-24
    float positive;
    memcpy(&positive, &magnitude, sizeof positive);
    return (uint16_t)(sign | (uint16_t)rintf(ldexpf(positive, 24)));
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | (uint16_t)((rounded - 0x38000000) >> 13));
}

static void put_fp16(uint8_t *at, float value) {
  const uint16_t half = to_fp16(value);
  at[0] = (uint8_t)half;
  at[1] = (uint8_t)(half >> 8);
}

uint8_t *ane_bridge_build_weight_blob(const float *src, int rows, int cols, size_t *out_len) {
  size_t count;
  uint8_t *blob = new_blob(src, rows, cols, CODE_FP16, 2, out_len, &count);
  for (size_t i = 0; blob != NULL && i < count; i++) put_fp16(blob + DATA_AT + 2 * i, src[i]);
  return blob;
}

uint8_t *ane_bridge_build_weight_blob_transposed(const float *src, int rows, int cols,
                                                 size_t *out_len) {
  size_t count;
  uint8_t *blob = new_blob(src, rows, cols, CODE_FP16, 2, out_len, &count);
  const size_t m = (size_t)rows, n = (size_t)cols;
  for (size_t i = 0; blob != NULL && i < m; i++)
    for (size_t j = 0; j < n; j++) put_fp16(blob + DATA_AT + 2 * (j * m + i), src[i * n + j]);
  return blob;
}

uint8_t *ane_bridge_build_weight_blob_int8(const int8_t *src, int rows, int cols, size_t *out_len) {
  size_t count;
  uint8_t *blob = new_blob(src, rows, cols, CODE_INT8, 1, out_len, &count);
  if (blob != NULL) memcpy(blob + DATA_AT, src, count);
  return blob;
}

uint8_t *ane_bridge_build_weight_blob_quantized(const float *src, int rows, int cols,
                                                float *out_scale, size_t *out_len) {
  size_t count;
  uint8_t *blob = new_blob(src, rows, cols, CODE_INT8, 1, out_len, &count);
  float most = 0;
  for (size_t i = 0; blob != NULL && i < count; i++) {
    if (isfinite(src[i])) {
      most = fabsf(src[i]) > most ? fabsf(src[i]) : most;
      continue;
    }
    complain("element %zu is not finite: it cannot be quantised", i);
    free(blob);
    *out_len = 0;
    blob = NULL;
  }
  // The least numbers have no 127th part.
  const float scale = most / 127 > 0 ? most / 127 : most > 0 ? most : 1;
  if (out_scale != NULL) *out_scale = blob != NULL ? scale : 0;
  for (size_t i = 0; blob != NULL && i < count; i++)
    blob[DATA_AT + i] = (uint8_t)(int8_t)rintf(fminf(fmaxf(src[i] / scale, -127), 127));
  return blob;
}

void ane_bridge_free_blob(void *blob) { free(blob); }
