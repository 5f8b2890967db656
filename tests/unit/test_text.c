// SPDX-License-Identifier: MIT
// MIL text: exact conversion of numbers, hostile input, and a real-size text mutated at every
// token. Whole texts and messages: tests/golden.
#include <float.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "mutate_mil.h"
#include "tap.h"
#include "text/scalar.h"
#include "text/text.h"

static milo_status parse(const char *text, size_t bytes, milo_diag *diag, milo_program **out) {
  return milo_text_parse(text, bytes, "test", diag, out);
}

static bool parses(const char *text) {
  milo_program *program;
  const bool ok = parse(text, strlen(text), NULL, &program) == MILO_OK;
  milo_program_destroy(program);
  return ok;
}

// ---- numbers ----

static uint16_t read_fp16(const char *text) {
  uint16_t bits = 0;
  const char *why;
  if (!milo_scalar_parse(text, strlen(text), MILO_FP16, &bits, 0, &why)) return 0xffff;
  return bits;
}

// Every midpoint between two fp16 values, exactly, a hair above and a hair below: a decimal number
// that was rounded to double first would be off by one here.
static void test_fp16_midpoints(void) {
  char text[128];
  int wrong = 0;
  for (unsigned h = 0; h < 0x7bff; h++) {
    const double low = (double)milo_fp16_to_f32((uint16_t)h);
    const double high = (double)milo_fp16_to_f32((uint16_t)(h + 1));
    const double middle = (low + high) / 2;  // exact in double
    snprintf(text, sizeof text, "%.40f", middle);
    wrong += read_fp16(text) != (h & 1 ? h + 1 : h);
    // 25 to 40 digits: above, but the nearest double is the midpoint.
    strcat(text, "0000001");
    wrong += read_fp16(text) != h + 1;
    // Below: the last digit that is not 0 lowered by one, nines after it.
    snprintf(text, sizeof text, "%.40f", middle);
    char *last = text + strlen(text) - 1;
    while (*last == '0' || *last == '.') {
      if (*last == '0') *last = '9';
      last--;
    }
    *last = (char)(*last - 1);
    strcat(text, "999999999");
    wrong += read_fp16(text) != h;
  }
  CHECK(wrong == 0);
}

static void test_fp32_midpoints(void) {
  char text[200];
  int wrong = 0;
  for (uint32_t bits = 0x00000001; bits < 0x7f7fffff; bits += 0x000fedcb) {
    float low, high, got = 0;
    const uint32_t next = bits + 1;
    const char *why;
    memcpy(&low, &bits, 4);
    memcpy(&high, &next, 4);
    const double middle = ((double)low + (double)high) / 2;
    snprintf(text, sizeof text, "-%a", middle);
    milo_scalar_parse(text, strlen(text), MILO_FP32, &got, 0, &why);
    wrong += got != -(bits & 1 ? high : low);
    snprintf(text, sizeof text, "%.150e", middle);
    milo_scalar_parse(text, strlen(text), MILO_FP32, &got, 0, &why);
    wrong += got != (bits & 1 ? high : low);
    char *e = strchr(text, 'e');
    memmove(e + 1, e, strlen(e) + 1);
    *e = '1';
    milo_scalar_parse(text, strlen(text), MILO_FP32, &got, 0, &why);
    wrong += got != high;
  }
  CHECK(wrong == 0);
}

// What is printed reads back as the same bits, for every value of the small types.
static void test_print_reads_back(void) {
  static const milo_dtype dtypes[] = {MILO_FP16, MILO_BF16, MILO_FP8E4M3FN, MILO_FP8E5M2};
  for (int d = 0; d < 4; d++) {
    int wrong = 0;
    for (unsigned v = 0; v < 1U << milo_dtype_bits(dtypes[d]); v++) {
      uint16_t in = (uint16_t)v, out = 0;
      milo_str text = {0};
      const char *why;
      milo_scalar_print(&text, dtypes[d], &in, 0);
      if (!isnan(milo_number_load(dtypes[d], &in, 0)))
        wrong += !milo_scalar_parse(text.data, text.bytes, dtypes[d], &out, 0, &why) || out != in;
      else
        wrong += strcmp(text.data + (text.data[0] == '-'), "nan") != 0;
      milo_str_deinit(&text);
    }
    CHECK(wrong == 0);
  }
}

static void test_number_forms(void) {
  static const char *const bad[] = {"",    "-",    ".",  "1e",    "0x",  "0xp1", "1.2.3",  "--1",
                                    "1e+", "0x1p", "1f", "infin", "0x.", "1_0",  "nan(1)", "+-1"};
  static const char *const good[] = {"0",
                                     "-0",
                                     ".5",
                                     "5.",
                                     "1e3",
                                     "1E-3",
                                     "inf",
                                     "-INF",
                                     "NaN",
                                     "-nan",
                                     "infinity",
                                     "0X1P3",
                                     "0x8",
                                     "0x.8p1",
                                     "+0x1.p0",
                                     "007",
                                     "1e99999999999999999999"};
  float value;
  const char *why;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (!CHECK(!milo_scalar_parse(bad[i], strlen(bad[i]), MILO_FP32, &value, 0, &why)))
      printf("# %s\n", bad[i]);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (!CHECK(milo_scalar_parse(good[i], strlen(good[i]), MILO_FP32, &value, 0, &why)))
      printf("# %s\n", good[i]);
}

// ---- hostile input ----

static char *repeat(const char *head, const char *part, size_t count, const char *tail) {
  milo_str text = {0};
  milo_str_puts(&text, head);
  for (size_t i = 0; i < count; i++) milo_str_puts(&text, part);
  milo_str_puts(&text, tail);
  size_t bytes;
  return milo_str_take(&text, &bytes);
}

static void test_depth(void) {
  static const char *const parts[] = {
      "list<", "tensor<", "tuple<", "((((", "[[[[", "{{{{", "a(x = int32(BLOBFILE(offset = "};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    char *text = repeat("program(1.3) {\nfunc f() {\n x()[a = ", parts[i], 100000, "");
    CHECK(!parses(text));
    free(text);
  }
  char *text = repeat("program(1.3) {\nfunc f() {\n ", "x() { ", 100000, "");
  CHECK(!parses(text));
  free(text);
}

static void test_odd_bytes(void) {
  static const char nul[] = "program(1.3) {\0 func f() { } -> (); }";
  milo_program *program;
  CHECK(parse(nul, sizeof nul - 1, NULL, &program) == MILO_ERR_INVALID);
  static const char in_string[] = "program(1.3)[a = string(\"x\0y\")] { func f() { } -> (); }";
  CHECK(parse(in_string, sizeof in_string - 1, NULL, &program) == MILO_ERR_INVALID);
  CHECK(parse("", 0, NULL, &program) == MILO_ERR_INVALID);
  CHECK(parses("\xef\xbb\xbfprogram(1.3) { func f() { } -> (); } // a byte-order mark"));
  CHECK(!parses("program(1.3) { func f() { } -> (); } \xc3\xa9"));
  CHECK(parses("program(1.3)[s = string(\"\xc3\xa9\")] { func f() { } -> (); }"));
}

// Twice the text, about twice the time: far more would mean a square somewhere.
static double time_of(const char *head, const char *part, size_t count, const char *tail) {
  char *text = repeat(head, part, count, tail);
  const double start = milo_clock_s();
  milo_diag diag = {0};
  milo_program *program;
  const milo_status status = parse(text, strlen(text), &diag, &program);
  CHECK(status == MILO_OK || diag.errors > 0);
  milo_program_destroy(program);
  milo_diag_deinit(&diag);
  free(text);
  return milo_clock_s() - start;
}

static void test_linear_time(void) {
  static const struct {
    const char *head, *part, *tail;
  } cases[] = {
      {"program(1.3) { func f(fp32 x) {", " fp32 x = relu(x = x);", "} -> (x); }"},
      {"program(1.3) { func f(fp32 x) { op(a = (x", ", x", ")); } -> (x); }"},
      {"program(1.3)[a = tensor<fp32, [?]>([0.3", ", 0.3", "])] { func f() { } -> (); }"},
      {"program(1.3)[a = list<string, ?>([\"\"", ", \"\\\"\"", "])] { func f() { } -> (); }"},
      {"program(1.3) { func f() { ", "a b c d; ", "} -> (); }"},
      {"program(1.3) { func f() { a(x = ", "\"\n", "} -> (); }"},
      {"program(1.3) { func f() { a(x = fp16(", "1", ")); } -> (); }"},
      {"program(1.3) { func f() { a(x = fp16(0x", "1", ")); } -> (); }"},
      {"program(1.3) { func f() { ", "fp32 a", "} -> (); }"},
      {"program(1.3) { ", "func f() { } -> ();", "}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const double once = time_of(cases[i].head, cases[i].part, 20000, cases[i].tail);
    const double more = time_of(cases[i].head, cases[i].part, 160000, cases[i].tail);
    if (!CHECK(more < 8 * 6 * once + 0.2)) printf("# case %zu: %.3f s, %.3f s\n", i, once, more);
  }
}

static void test_splat_limit(void) {
  milo_diag diag = {0};
  milo_program *program;
  char *text =
      repeat("program(1.3) { func f() {", " x(a = tensor<fp32, [33554432]>(1));", 3, "} -> (); }");
  CHECK(parse(text, strlen(text), &diag, &program) == MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "256 MiB") != NULL);
  milo_diag_deinit(&diag);
  free(text);
}

// Far more errors than are kept: the parser ends, the count says so.
static void test_many_errors(void) {
  milo_diag diag = {0};
  milo_program *program;
  char *text =
      repeat("program(1.3) { func f() {", " fp32 x = relu(x = nothing[);\n", 1000, "} -> (); }");
  CHECK(parse(text, strlen(text), &diag, &program) == MILO_ERR_INVALID);
  CHECK(diag.errors == MILO_DIAG_MAX_ERRORS);
  milo_diag_deinit(&diag);
  free(text);
}

// ---- mutation ----

static void test_mutated_block(void) { mutate_file("tests/data/block.mil", 1); }

int main(void) {
  RUN(test_fp16_midpoints);
  RUN(test_fp32_midpoints);
  RUN(test_print_reads_back);
  RUN(test_number_forms);
  RUN(test_depth);
  RUN(test_odd_bytes);
  RUN(test_linear_time);
  RUN(test_splat_limit);
  RUN(test_many_errors);
  RUN(test_mutated_block);
  return tap_done();
}
