// SPDX-License-Identifier: MIT
// ctest: LABELS threads
// What milo_fit reads, cut short and with bytes changed: the program, its blob file, an array, the
// checkpoint. Each is refused with one message, or trained on where the format cannot tell. And
// shapes that nobody meant.
#include <dirent.h>
#include <milo/milo.h>
#include <sys/stat.h>

#include "folder.h"
#include "tap.h"

enum { ROWS = 6, IN = 4, OUT = 80 };

static milo_ctx *ctx;
static milo_array x, t;

static milo_fit_options options_for(const char *out_dir) {
  milo_fit_options options = MILO_OPTIONS_INIT(milo_fit_options);
  options.loss = "mse:y=t";
  options.steps = 2;
  options.batch = 3;
  options.lr = 1e-3;
  options.out_dir = out_dir;
  return options;
}

static milo_status fit(const milo_program *program, const milo_array *inputs,
                       const milo_fit_options *options) {
  const milo_fit_data data[] = {{"x", inputs}, {"t", &t}};
  milo_program *trained = NULL;
  const milo_status status = milo_fit(ctx, program, data, 2, options, &trained, NULL);
  CHECK((trained != NULL) == (status == MILO_OK));
  milo_program_destroy(trained);
  return status;
}

static milo_status load_and_fit(const char *name, const milo_array *inputs,
                                const milo_fit_options *options) {
  milo_program *program = NULL;
  milo_status status = milo_program_load(ctx, in_folder(name), &program);
  if (status == MILO_OK) status = fit(program, inputs, options);
  milo_program_destroy(program);
  return status;
}

// ---- readers ----

static milo_status read_program(void) {
  const milo_fit_options options = options_for(NULL);
  return load_and_fit("given/program.mil", &x, &options);
}

static milo_status read_array(void) {
  const milo_fit_options options = options_for(NULL);
  milo_array inputs = {0};
  milo_status status = milo_npy_load(ctx, in_folder("x.npy"), &inputs);
  if (status == MILO_OK) status = load_and_fit("given/program.mil", &inputs, &options);
  milo_array_deinit(&inputs);
  return status;
}

// Nothing is left to train: it is read and checked.
static milo_status read_checkpoint(void) {
  milo_fit_options options = options_for(in_folder("run"));
  options.resume = true;
  return load_and_fit("given/program.mil", &x, &options);
}

// ---- damage ----

static bool put(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "wb");
  const bool written = file && fwrite(data, 1, bytes, file) == bytes;
  return file && fclose(file) == 0 && written;
}

typedef struct counts {
  size_t tried, read;
} counts;

static void try(const char *path, const void *data, size_t bytes, milo_status (*read)(void),
                size_t at, counts *c) {
  if (!CHECK(put(path, data, bytes))) return;
  const milo_status status = read();
  const char *first = strstr(milo_error(ctx), "error: ");
  c->tried++;
  c->read += status == MILO_OK;
  if (!CHECK(status == MILO_OK || first != NULL)) printf("# %s at %zu: no message\n", path, at);
}

// summed: every change is refused.
static void damage(const char *name, milo_status (*read)(void), bool summed, size_t stride) {
  char path[600], *data;
  size_t bytes;
  counts cut = {0}, flipped = {0};
  snprintf(path, sizeof path, "%s", in_folder(name));
  if (!CHECK(read() == MILO_OK)) printf("# %s: %s\n", name, milo_error(ctx));
  if (!CHECK(milo_file_load(ctx, path, &data, &bytes) == MILO_OK)) return;
  for (size_t n = 0; n < bytes; n += stride) try(path, data, n, read, n, &cut);
  CHECK(!summed || cut.read == 0);
  static const unsigned char masks[] = {0x01, 0x10, 0x80};
  for (size_t i = 0; i < bytes; i += stride) {
    data[i] = (char)(data[i] ^ masks[i % 3]);
    try(path, data, bytes, read, i, &flipped);
    data[i] = (char)(data[i] ^ masks[i % 3]);
  }
  CHECK(!summed || flipped.read == 0);
  printf("# %s: %zu bytes; cut %zu times, read %zu; changed %zu times, read %zu\n", name, bytes,
         cut.tried, cut.read, flipped.tried, flipped.read);
  CHECK(put(path, data, bytes));
  CHECK(read() == MILO_OK);
  milo_free(data);
}

static void test_program(void) { damage("given/program.mil", read_program, false, 7); }
static void test_array(void) { damage("x.npy", read_array, false, 5); }

static void test_blob(void) {
  char name[300] = "";
  DIR *dir = opendir(in_folder("given"));
  for (struct dirent *e; dir && (e = readdir(dir));)
    if (strncmp(e->d_name, "program.weights.", 16) == 0)
      snprintf(name, sizeof name, "given/%.255s", e->d_name);
  if (dir) closedir(dir);
  if (CHECK(*name != '\0')) damage(name, read_program, false, 11);
}

// The files of a run whose checkpoint is refused stay as they are.
static void test_checkpoint(void) {
  char *before, *after;
  size_t bytes, bytes_after;
  CHECK(milo_file_load(ctx, in_folder("run/program.mil"), &before, &bytes) == MILO_OK);
  damage("run/checkpoint.milo", read_checkpoint, true, 13);
  CHECK(milo_file_load(ctx, in_folder("run/program.mil"), &after, &bytes_after) == MILO_OK);
  CHECK(bytes == bytes_after && memcmp(before, after, bytes) == 0);
  milo_free(before);
  milo_free(after);
}

// ---- shapes ----

typedef struct shape_case {
  const char *input, *weight, *said;  // types of x and w; NULL: trained
  int64_t rows, columns;              // of the data
} shape_case;

static void test_shapes(void) {
  static const shape_case cases[] = {
      {"tensor<fp32, [?, 4]>", "[4, 80]", NULL, 6, 4},
      {"tensor<fp32, [3, 4]>", "[4, 80]", NULL, 6, 4},
      {"tensor<fp32, [?, ?]>", "[4, 80]", NULL, 6, 4},
      {"tensor<fp32, [7, 4]>", "[4, 80]", NULL, 6, 4},
      {"tensor<fp32, [0, 4]>", "[4, 80]", "", 6, 4},
      {"tensor<fp32, [?, 0]>", "[0, 80]", "", 6, 0},
      {"tensor<fp32, [?, 5]>", "[5, 80]", "", 6, 4},
      {"tensor<fp32, [?, 4]>", "[4, 80]", "", 0, 4},
      {"tensor<fp32, [?, 4]>", "[4, 80]", "", 2, 4},
      {"tensor<fp32, [?, ?]>", "[4, 80]", "", 6, 3},
      {"tensor<fp32, [9223372036854775807, 4]>", "[4, 80]", "", 6, 4},
      {"tensor<fp32, [4294967296, 4294967296]>", "[4, 80]", "", 6, 4},
      {"tensor<fp32, [?, 4, 1]>", "[4, 80]", "", 6, 4},
      {"tensor<fp32, []>", "[4, 80]", "", 6, 4},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const shape_case *c = &cases[i];
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    fprintf(file, "program(1.3) {\nfunc main<ios18>(%s x) {\n", c->input);
    const int rows = c->columns == 0 ? 0 : c->weight[1] - '0';
    fprintf(file, "tensor<fp32, %s> w = const()[name = string(\"w\"), val = tensor<fp32, %s>([",
            c->weight, c->weight);
    for (int r = 0; r < rows; r++) {
      fprintf(file, "%s[", r > 0 ? ", " : "");
      for (int k = 0; k < OUT; k++) fprintf(file, "%s%d", k > 0 ? ", " : "", (r + k) % 3);
      fputc(']', file);
    }
    fputs("])];\ntensor<fp32, [?, 80]> y = matmul(x = x, y = w);\n} -> (y);\n}\n", file);
    fclose(file);
    milo_program *program = NULL;
    milo_array inputs = {0};
    const int64_t shape[] = {c->rows, c->columns};
    milo_fit_options options = options_for(NULL);
    options.batch = 0;
    CHECK(milo_array_create(ctx, MILO_FP32, 2, shape, &inputs) == MILO_OK);
    milo_status status = milo_program_parse(ctx, text, bytes, "s.mil", NULL, &program);
    if (status == MILO_OK) status = milo_program_verify(ctx, program);
    if (status == MILO_OK) status = fit(program, &inputs, &options);
    if (!CHECK((status == MILO_OK) == (c->said == NULL)) ||
        !CHECK(status == MILO_OK || strstr(milo_error(ctx), "error: ") != NULL))
      printf("# %s, w %s, data %lld x %lld: %s %s\n", c->input, c->weight, (long long)c->rows,
             (long long)c->columns, milo_status_name(status), milo_error(ctx));
    milo_array_deinit(&inputs);
    milo_program_destroy(program);
    free(text);
  }
}

// ---- the files ----

static bool make_files(void) {
  static const char start[] =
      "program(1.3) {\nfunc main<ios18>(tensor<fp32, [?, 4]> x) {\n"
      "tensor<fp32, [4, 80]> w = const()[name = string(\"w\"), val = tensor<fp32, [4, 80]>([";
  char *text = NULL;
  size_t bytes;
  FILE *file = open_memstream(&text, &bytes);
  fputs(start, file);
  for (int r = 0; r < IN; r++) {
    fprintf(file, "%s[", r > 0 ? ", " : "");
    for (int k = 0; k < OUT; k++) fprintf(file, "%s%g", k > 0 ? ", " : "", 0.1 * ((r * k) % 7));
    fputc(']', file);
  }
  fputs("])];\ntensor<fp32, [?, 80]> y = matmul(x = x, y = w);\n} -> (y);\n}\n", file);
  fclose(file);
  const int64_t shapes[2][2] = {{ROWS, IN}, {ROWS, OUT}};
  bool made = milo_array_create(ctx, MILO_FP32, 2, shapes[0], &x) == MILO_OK &&
              milo_array_create(ctx, MILO_FP32, 2, shapes[1], &t) == MILO_OK;
  for (int i = 0; made && i < ROWS * IN; i++) ((float *)x.data)[i] = (float)(i % 5) - 2;
  for (int i = 0; made && i < ROWS * OUT; i++) ((float *)t.data)[i] = (float)(i % 3) - 1;
  milo_program *program = NULL;
  made = made && milo_program_parse(ctx, text, bytes, "p.mil", NULL, &program) == MILO_OK &&
         milo_npy_save(ctx, in_folder("x.npy"), &x) == MILO_OK;
  const milo_fit_options options = options_for(in_folder("run"));
  made = made && mkdir(in_folder("given"), 0777) == 0 &&
         milo_program_save(ctx, program, in_folder("given/program.mil")) == MILO_OK &&
         load_and_fit("given/program.mil", &x, &options) == MILO_OK;
  if (!made) printf("# %s\n", milo_error(ctx));
  milo_program_destroy(program);
  free(text);
  return made;
}

int main(void) {
  const milo_ctx_options options = {.struct_bytes = sizeof options, .threads = 2};
  if (!make_folder() || milo_ctx_create(&options, &ctx) != MILO_OK || !make_files()) return 1;
  RUN(test_program);
  RUN(test_blob);
  RUN(test_array);
  RUN(test_checkpoint);
  RUN(test_shapes);
  milo_array_deinit(&x);
  milo_array_deinit(&t);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
