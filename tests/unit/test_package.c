// SPDX-License-Identifier: MIT
// Weight blob files: written ones read back, wrong ones are refused with a message,
// programs load their weights and save new ones.
#include <unistd.h>

#include "base/file.h"
#include "base/number.h"
#include "failed_with.h"
#include "folder.h"
#include "package/blob.h"
#include "tap.h"
#include "text/text.h"

// ---- blobs ----

static void test_codes(void) {
  int count = 0;
  for (uint32_t code = 0; code < 100; code++) {
    const milo_dtype dtype = milo_blob_dtype(code);
    if (dtype != MILO_DTYPE_NONE) count++;
    if (dtype != MILO_DTYPE_NONE) CHECK(milo_blob_code(dtype) == code);
  }
  CHECK(count == 17);
  CHECK(milo_blob_code(MILO_FP16) == 1 && milo_blob_code(MILO_INT8) == 4);
  CHECK(milo_blob_code(MILO_STRING) == 0 && milo_blob_code(MILO_FP64) == 0);
}

// Every type, odd counts; then a program that names them all.
static void test_write_and_resolve(void) {
  unsigned char data[64];
  milo_blob blobs[17];
  milo_str text = {0};
  for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 37 + 1);
  for (uint32_t i = 0; i < 17; i++)
    blobs[i] = (milo_blob){milo_blob_dtype(i + 1), 5 + i % 3, data, 0};
  CHECK(milo_blob_write(in_folder("all.bin"), blobs, 17, &diag) == MILO_OK);

  void *file;
  size_t bytes;
  CHECK(milo_file_read(in_folder("all.bin"), 0, &diag, &file, &bytes) == MILO_OK);
  CHECK(*(uint32_t *)file == 17);
  milo_str_puts(&text, "program(1.3) { func f() {\n");
  for (int i = 0; i < 17; i++) {
    milo_blob_record record;
    CHECK(blobs[i].offset % 64 == 0);
    CHECK(milo_blob_read(file, bytes, blobs[i].offset, "all.bin", MILO_NO_LOC, &diag, &record) ==
          MILO_OK);
    CHECK(record.dtype == blobs[i].dtype && record.data_offset == blobs[i].offset + 64);
    const size_t bits = blobs[i].elements * milo_dtype_bits(blobs[i].dtype);
    CHECK(record.bytes == (bits + 7) / 8 && record.padding_bits == record.bytes * 8 - bits);
    milo_str_printf(&text,
                    "tensor<%s, [%zu]> v%d = const()[val = tensor<%s, [%zu]>(BLOBFILE(path = "
                    "string(\"@model_path/all.bin\"), offset = uint64(%llu)))];\n",
                    milo_dtype_name(blobs[i].dtype), blobs[i].elements, i,
                    milo_dtype_name(blobs[i].dtype), blobs[i].elements,
                    (unsigned long long)blobs[i].offset);
  }
  free(file);
  milo_str_puts(&text, "} -> (v0); }");
  milo_program *program = NULL;
  CHECK(milo_text_parse(text.data, text.bytes, "all.mil", &diag, &program) == MILO_OK);
  if (CHECK(milo_blob_resolve(program, folder, &diag) == MILO_OK)) {
    int i = 0;
    for (const milo_op *op = program->funcs[0]->body->first; op; op = op->next, i++) {
      const milo_literal *literal = milo_value_constant(op->results[0]);
      if (!CHECK(literal != NULL)) break;
      CHECK(literal->count == blobs[i].elements);
      for (size_t k = 0; k < literal->count; k++) {
        CHECK_NEAR(milo_literal_number(literal, k), milo_number_load(blobs[i].dtype, data, k), 0);
      }
    }
  }
  milo_program_destroy(program);
  milo_str_deinit(&text);
}

// A record as some writers make it: no alignment, any type code, count 1.
static size_t put_record(unsigned char *at, uint32_t code, uint64_t bytes, uint64_t offset) {
  const uint32_t sentinel = 0xDEADBEEF;
  memset(at, 0, 64);
  memcpy(at, &sentinel, 4);
  memcpy(at + 4, &code, 4);
  memcpy(at + 8, &bytes, 8);
  memcpy(at + 16, &offset, 8);
  return 64;
}

static milo_status resolve(const char *type, const char *path, unsigned long long offset,
                           int64_t *out_first) {
  char text[512];
  milo_program *program;
  snprintf(text, sizeof text,
           "program(1.3) { func f() { %s v = const()[val = %s(BLOBFILE(path = string(\"%s\"), "
           "offset = uint64(%llu)))]; } -> (v); }",
           type, type, path, offset);
  if (milo_text_parse(text, strlen(text), "t.mil", &diag, &program) != MILO_OK) return -1;
  const milo_status status = milo_blob_resolve(program, folder, &diag);
  if (status == MILO_OK)
    *out_first = milo_literal_int(program->funcs[0]->body->first->results[0]->literal, 0);
  milo_program_destroy(program);
  return status;
}

static void test_odd_writers(void) {
  unsigned char file[512] = {1, 0, 0, 0, 2};
  int64_t first = 0;
  // [64] five fp16 that begin with 1.0; [138] three int8 under the code of fp16.
  put_record(file + 64, 1, 10, 128);
  file[129] = 0x3c;
  put_record(file + 138, 1, 3, 202);
  file[202] = 0xfe;
  put_record(file + 256, 99, 4, 321);
  file[321] = 7;
  put_record(file + 384, 14, 8, 449);
  file[449] = 9;
  CHECK(milo_file_write(in_folder("odd.bin"), file, sizeof file, &diag) == MILO_OK);
  CHECK(resolve("tensor<fp16, [5]>", "@model_path/odd.bin", 64, &first) == MILO_OK && first == 1);
  CHECK(resolve("tensor<int8, [3]>", "@model_path/odd.bin", 138, &first) == MILO_OK && first == -2);
  CHECK(resolve("tensor<bool, [4]>", "@model_path/odd.bin", 256, &first) == MILO_OK && first == 1);
  CHECK(resolve("tensor<int32, [2]>", "@model_path/odd.bin", 384, &first) == MILO_OK && first == 9);

  CHECK(failed_with(resolve("tensor<fp32, [5]>", "@model_path/odd.bin", 64, &first),
                    MILO_ERR_INVALID, "holds fp16, not fp32"));
  CHECK(failed_with(resolve("tensor<fp16, [4]>", "@model_path/odd.bin", 64, &first),
                    MILO_ERR_INVALID, "has 10 bytes"));
  CHECK(failed_with(resolve("tensor<fp16, [5]>", "@model_path/odd.bin", 65, &first),
                    MILO_ERR_INVALID, "no record at offset 65"));
  CHECK(failed_with(resolve("tensor<fp16, [5]>", "@model_path/odd.bin", 9999, &first),
                    MILO_ERR_INVALID, "outside"));
  CHECK(failed_with(resolve("tensor<fp16, [5]>", "@model_path/none.bin", 64, &first),
                    MILO_ERR_NOT_FOUND, "is not there"));
  static const char *const outside[] = {
      "@model_path/../odd.bin",  "/etc/passwd",   "odd.bin", "@model_path/a/../../odd.bin",
      "@model_path//etc/passwd", "@model_path/.."};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
    CHECK(failed_with(resolve("tensor<fp16, [5]>", outside[i], 64, &first), MILO_ERR_INVALID,
                      "is not allowed"));
}

// Every prefix of a blob file: read or refused.
static void test_cut_blob(void) {
  unsigned char file[138] = {1, 0, 0, 0, 2};
  milo_blob_record record;
  put_record(file + 64, 1, 10, 128);
  for (size_t bytes = 0; bytes <= sizeof file; bytes++) {
    unsigned char *cut = malloc(bytes ? bytes : 1);
    memcpy(cut, file, bytes);
    const milo_status status = milo_blob_read(cut, bytes, 64, "cut", MILO_NO_LOC, &diag, &record);
    CHECK((status == MILO_OK) == (bytes == sizeof file));
    milo_diag_clear(&diag);
    free(cut);
  }
}

// ---- programs ----

// Saves and loads through the public interface: large constants move to a blob file, and a program
// saved elsewhere takes its weights along.
static void test_save(void) {
  milo_str text = {0};
  milo_str_puts(&text,
                "program(1.3) { func f(tensor<fp32, [600]> x) { tensor<fp32, [600]> w = "
                "const()[val = tensor<fp32, [600]>([");
  for (int i = 0; i < 600; i++) milo_str_printf(&text, "%s%d", i ? ", " : "", i * i);
  milo_str_puts(&text,
                "])]; tensor<fp32, [600]> y = mul(x = x, y = w);"
                " tensor<fp32, [600]> z = add(x = y, y = fp32(2)); } -> (z); }");
  milo_ctx *ctx = NULL;
  milo_program *program = NULL, *saved = NULL, *moved = NULL;
  char *original = NULL, *again = NULL;
  size_t bytes;
  milo_weight_info weight;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  CHECK(milo_program_parse(ctx, text.data, text.bytes, "big", NULL, &program) == MILO_OK);
  CHECK(milo_program_save(ctx, program, in_folder("big.mil")) == MILO_OK);
  CHECK(milo_file_exists(in_folder("big.weights.bin")));
  CHECK(milo_program_weights(program, NULL, &weight, 1) == 1 && weight.file == NULL);

  if (CHECK(milo_program_load(ctx, in_folder("big.mil"), &saved) == MILO_OK)) {
    CHECK(milo_program_weights(saved, NULL, &weight, 1) == 1 && weight.bytes == 2400);
    CHECK_STR(weight.file, "@model_path/big.weights.bin");
    CHECK_STR(weight.name, "w");
    // In the same folder the weights stay where they are.
    CHECK(milo_program_save(ctx, saved, in_folder("copy.mil")) == MILO_OK);
    CHECK(!milo_file_exists(in_folder("copy.weights.bin")));
    CHECK(milo_file_make_dir(in_folder("else"), &diag) == MILO_OK);
    CHECK(milo_program_save(ctx, saved, in_folder("else/m.mil")) == MILO_OK);
    CHECK(milo_file_exists(in_folder("else/m.weights.bin")));
    // Over its own file: what was loaded is still good.
    CHECK(milo_program_save(ctx, saved, in_folder("big.mil")) == MILO_OK);
  }
  if (CHECK(milo_program_load(ctx, in_folder("else/m.mil"), &moved) == MILO_OK)) {
    const milo_literal *w = moved->funcs[0]->body->first->results[0]->literal;
    for (size_t i = 0; i < 600; i++) CHECK_NEAR(milo_literal_number(w, i), (double)(i * i), 0);
  }
  CHECK(milo_program_print(ctx, program, &original, &bytes) == MILO_OK &&
        bytes == strlen(original));
  CHECK(strstr(original, "BLOBFILE") == NULL);
  CHECK(milo_program_print(ctx, saved, &again, &bytes) == MILO_OK);
  CHECK(strstr(again, "BLOBFILE") != NULL);
  CHECK(milo_program_save(ctx, program, in_folder("no/such/folder.mil")) != MILO_OK);
  CHECK(strlen(milo_error(ctx)) > 0);
  milo_free(original);
  milo_free(again);
  milo_program_destroy(program);
  milo_program_destroy(saved);
  milo_program_destroy(moved);
  milo_ctx_destroy(ctx);
  milo_str_deinit(&text);
}

// A program whose blob files were not looked for can be inspected, but does not compile.
static void test_without_weights(void) {
  static const char text[] =
      "program(1.3) { func f(tensor<fp32, [2]> x) {"
      " tensor<fp32, [2]> w = const()[val = tensor<fp32, [2]>(BLOBFILE(path = "
      "string(\"@model_path/w.bin\"), offset = uint64(64)))];"
      " tensor<fp32, [2]> y = mul(x = x, y = w); } -> (y); }";
  milo_ctx *ctx = NULL;
  milo_program *program = NULL;
  CHECK(milo_ctx_create(NULL, &ctx) == MILO_OK);
  if (CHECK(milo_program_parse(ctx, text, sizeof text - 1, "t", NULL, &program) == MILO_OK)) {
    CHECK(milo_program_verify(ctx, program) == MILO_OK);
    for (size_t i = 0; milo_device_name(i) != NULL; i++) {
      milo_kernel *kernel = NULL;
      milo_compile_options options = MILO_OPTIONS_INIT(milo_compile_options);
      options.device = milo_device_name(i);
      CHECK(milo_compile(ctx, program, &options, &kernel) != MILO_OK);
      if (!CHECK(strstr(milo_error(ctx), "w.bin") != NULL)) printf("# %s\n", milo_error(ctx));
      milo_kernel_destroy(kernel);
    }
  }
  milo_program_destroy(program);
  milo_ctx_destroy(ctx);
}

int main(void) {
  if (!make_folder()) return 1;
  RUN(test_codes);
  RUN(test_write_and_resolve);
  RUN(test_odd_writers);
  RUN(test_cut_blob);
  RUN(test_save);
  RUN(test_without_weights);
  if (!remove_folder()) return 1;
  milo_diag_deinit(&diag);
  return tap_done();
}
