// SPDX-License-Identifier: MIT
// Every kind of file that Milo reads, cut at every length and with every byte changed, through the
// public interface: read or refused with a message, and always refused where the format can tell.
#include <milo/milo.h>

#include "folder.h"
#include "tap.h"

static milo_ctx *ctx;

// ---- readers: a file to nothing, or a failure that leaves nothing ----

static milo_status read_model(const char *path) {
  milo_model *model = NULL;
  const milo_status status = milo_model_load(ctx, path, &model);
  CHECK((model != NULL) == (status == MILO_OK));
  milo_model_destroy(model);
  return status;
}

// The folder that the damaged checkpoint lies in.
static milo_status read_run(const char *path) {
  (void)path;
  return read_model(in_folder("run"));
}

static milo_status read_description(const char *path) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  return milo_model_config_load(ctx, path, &config);
}

static milo_status read_tokenizer(const char *path) {
  milo_tokenizer *tokenizer = NULL;
  const milo_status status = milo_tokenizer_load(ctx, path, 0, &tokenizer);
  CHECK((tokenizer != NULL) == (status == MILO_OK));
  milo_tokenizer_destroy(tokenizer);
  return status;
}

static milo_status read_tokens(const char *path) {
  uint32_t *ids = NULL;
  size_t count = 0;
  const milo_status status = milo_tokens_load(ctx, path, 300, &ids, &count);
  CHECK((ids != NULL) == (status == MILO_OK));
  milo_free(ids);
  return status;
}

static milo_status read_array(const char *path) {
  milo_array array;
  const milo_status status = milo_npy_load(ctx, path, &array);
  milo_array_deinit(&array);
  return status;
}

// The program whose weights lie in the damaged file.
static milo_status read_program(const char *path) {
  (void)path;
  milo_program *program = NULL;
  milo_status status = milo_program_load(ctx, in_folder("weights.mil"), &program);
  CHECK((program != NULL) == (status == MILO_OK));
  if (status == MILO_OK) status = milo_program_verify(ctx, program);
  milo_program_destroy(program);
  return status;
}

// ---- damage ----

typedef struct counts {
  size_t tried, read;
} counts;

// In place: replacing a file, as milo_file_save does, waits for the disk each time.
static bool put(const char *path, const void *data, size_t bytes) {
  FILE *file = fopen(path, "r+b");
  const bool written = file && fwrite(data, 1, bytes, file) == bytes && fflush(file) == 0 &&
                       ftruncate(fileno(file), (off_t)bytes) == 0;
  return file && fclose(file) == 0 && written;
}

static void try(const char *path, const void *data, size_t bytes, milo_status (*read)(const char *),
                const char *what, size_t at, counts *c) {
  if (!CHECK(put(path, data, bytes))) return;
  const milo_status status = read(path);
  const char *error = milo_error(ctx);
  const char *first = strstr(error, "error: ");
  c->tried++;
  c->read += status == MILO_OK;
  // One message, which names a reason.
  if (!CHECK(status == MILO_OK || (first && !strstr(first + 1, "error: "))))
    printf("# %s, %s %zu: %s\n", path, what, at, error);
}

// whole: every shorter file is refused. summed: every change of a byte is refused.
static void damage(const char *name, milo_status (*read)(const char *), bool whole, bool summed,
                   size_t stride) {
  char path[300];
  snprintf(path, sizeof path, "%s", in_folder(name));
  char *data;
  size_t bytes;
  if (!CHECK(read(path) == MILO_OK)) printf("# %s: %s\n", name, milo_error(ctx));
  if (!CHECK(milo_file_load(ctx, path, &data, &bytes) == MILO_OK)) return;
  counts cut = {0}, flipped = {0};
  for (size_t n = 0; n < bytes; n += n < 600 || n + 70 > bytes ? 1 : stride)
    try(path, data, n, read, "cut at", n, &cut);
  CHECK(!whole || cut.read == 0);
  static const unsigned char masks[] = {0x01, 0x80, 0xff};
  for (size_t i = 0; i < bytes; i += i < 600 ? 1 : stride)
    for (size_t k = 0; k < sizeof masks; k++) {
      data[i] = (char)(data[i] ^ masks[k]);
      try(path, data, bytes, read, "changed byte", i, &flipped);
      data[i] = (char)(data[i] ^ masks[k]);
    }
  CHECK(!summed || flipped.read == 0);
  printf("# %s: %zu bytes; cut %zu times, read %zu; changed %zu times, read %zu\n", name, bytes,
         cut.tried, cut.read, flipped.tried, flipped.read);
  CHECK(put(path, data, bytes));
  CHECK(read(path) == MILO_OK);
  milo_free(data);
}

// ---- the files ----

static milo_model_config tiny(void) {
  milo_model_config config = MILO_OPTIONS_INIT(milo_model_config);
  config.dim = 4;
  config.hidden = 6;
  config.layers = 1;
  config.heads = 1;
  config.seq = 8;
  config.vocab = 10;
  return config;
}

static void test_models(void) {
  const milo_model_config config = tiny();
  milo_model *model = NULL;
  if (!CHECK(milo_model_create(ctx, &config, 1, &model) == MILO_OK)) return;
  CHECK(milo_model_save(ctx, model, in_folder("v0.bin"), false) == MILO_OK);
  CHECK(milo_model_save(ctx, model, in_folder("v1.bin"), true) == MILO_OK);
  milo_model_destroy(model);
  damage("v0.bin", read_model, true, false, 1);
  damage("v1.bin", read_model, true, false, 1);
}

static void test_checkpoint(void) {
  const milo_model_config config = tiny();
  milo_model *model = NULL;
  uint32_t ids[200];
  for (size_t i = 0; i < 200; i++) ids[i] = (uint32_t)(i * i % 10);
  if (!CHECK(milo_model_create(ctx, &config, 1, &model) == MILO_OK)) return;
  milo_train_options options = MILO_OPTIONS_INIT(milo_train_options);
  char run[300];
  snprintf(run, sizeof run, "%s", in_folder("run"));
  options.out_dir = run;
  options.device = "ref";
  options.steps = options.batch = 1;
  if (!CHECK(milo_train(ctx, model, ids, 200, &options, NULL) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  milo_model_destroy(model);
  damage("run/checkpoint.milo", read_run, true, true, 3);
}

static void test_description(void) {
  static const char text[] =
      "{\"dim\": 4, \"hidden\": 6, \"layers\": 1, \"heads\": 1,\n \"seq\": 8, \"vocab\": 10}";
  CHECK(milo_file_save(ctx, in_folder("model.json"), text, sizeof text - 1) == MILO_OK);
  damage("model.json", read_description, true, false, 1);
}

static void test_tokenizer_and_tokens(void) {
  static char text[4000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = "the cat and the dog "[i * i / 7 % 20];
  milo_tokenizer *tokenizer = NULL;
  if (!CHECK(milo_tokenizer_train(ctx, text, sizeof text, 300, NULL, &tokenizer) == MILO_OK))
    return;
  CHECK(milo_tokenizer_save(ctx, tokenizer, in_folder("tok.bin")) == MILO_OK);
  milo_tokenizer_destroy(tokenizer);
  damage("tok.bin", read_tokenizer, false, false, 3);
  const uint32_t ids[] = {1, 299, 256, 0, 17};
  CHECK(milo_tokens_save(ctx, in_folder("ids.u16"), 300, ids, 5) == MILO_OK);
  damage("ids.u16", read_tokens, false, false, 1);
}

static void test_array(void) {
  milo_array array;
  const int64_t shape[] = {3, 5};
  if (!CHECK(milo_array_create(ctx, MILO_FP32, 2, shape, &array) == MILO_OK)) return;
  CHECK(milo_npy_save(ctx, in_folder("x.npy"), &array) == MILO_OK);
  milo_array_deinit(&array);
  damage("x.npy", read_array, true, false, 1);
}

// A constant large enough to go to a blob file beside the text. The file's end is padding, which
// may be cut off.
static void test_blob(void) {
  static char text[20000];
  size_t at = (size_t)snprintf(text, sizeof text,
                               "program(1.3) {\n func main<ios18>(tensor<fp32, [300]> x) {\n"
                               "  tensor<fp32, [300]> w = const()[name = string(\"w\"), "
                               "val = tensor<fp32, [300]>([");
  for (int i = 0; i < 300; i++)
    at += (size_t)snprintf(text + at, sizeof text - at, "%s%d", i ? ", " : "", i);
  at += (size_t)snprintf(text + at, sizeof text - at,
                         "])];\n  tensor<fp32, [300]> y = add(x = x, y = w)[name = "
                         "string(\"y\")];\n } -> (y);\n}\n");
  milo_program *program = NULL;
  if (!CHECK(milo_program_parse(ctx, text, at, "w", NULL, &program) == MILO_OK))
    printf("# %s\n", milo_error(ctx));
  CHECK(milo_program_save(ctx, program, in_folder("weights.mil")) == MILO_OK);
  milo_program_destroy(program);
  damage("weights.weights.bin", read_program, false, false, 5);
}

int main(void) {
  milo_ctx_options options = MILO_OPTIONS_INIT(milo_ctx_options);
  options.threads = 1;
  if (!make_folder() || milo_ctx_create(&options, &ctx) != MILO_OK) return 1;
  RUN(test_models);
  RUN(test_checkpoint);
  RUN(test_description);
  RUN(test_tokenizer_and_tokens);
  RUN(test_array);
  RUN(test_blob);
  milo_ctx_destroy(ctx);
  return remove_folder() ? tap_done() : 1;
}
