// SPDX-License-Identifier: MIT
// Arrays and .npy files: written ones read back, wrong ones are refused with a message; numbers of
// one type as another.
#include "base/array.h"

#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/npy.h"
#include "base/number.h"
#include "failed_with.h"
#include "folder.h"
#include "tap.h"

// ---- .npy ----

static const milo_dtype npy_types[] = {MILO_BOOL,  MILO_FP16,   MILO_FP32,   MILO_FP64,
                                       MILO_INT8,  MILO_INT16,  MILO_INT32,  MILO_INT64,
                                       MILO_UINT8, MILO_UINT16, MILO_UINT32, MILO_UINT64};

static void test_npy_round_trip(void) {
  const int64_t shapes[][MILO_MAX_RANK] = {{0}, {7}, {2, 3}, {0, 4}, {1, 1, 1, 1, 1, 1, 1, 3}};
  const int ranks[] = {0, 1, 2, 2, 8};
  for (size_t t = 0; t < sizeof npy_types / sizeof *npy_types; t++)
    for (int s = 0; s < 5; s++) {
      milo_array out, in;
      CHECK(milo_array_alloc(npy_types[t], ranks[s], shapes[s], &diag, &out) == MILO_OK);
      for (size_t i = 0; i < out.bytes / (milo_dtype_bits(npy_types[t]) / 8); i++)
        milo_number_store_int(npy_types[t], out.data, i, (int64_t)i - 1);
      CHECK(milo_npy_write(in_folder("a.npy"), &out, &diag) == MILO_OK);
      CHECK(milo_npy_read(in_folder("a.npy"), &diag, &in) == MILO_OK);
      CHECK(in.dtype == out.dtype && in.rank == out.rank && in.bytes == out.bytes);
      CHECK(memcmp(in.shape, out.shape, sizeof in.shape) == 0);
      CHECK(in.bytes == 0 || memcmp(in.data, out.data, in.bytes) == 0);
      milo_array_deinit(&in);
      milo_array_deinit(&out);
    }
}

// A version 1 file of a header and count bytes 0, 1, 2, ...
static milo_status decode(const char *header, size_t count, milo_array *out) {
  unsigned char file[512] = "\x93NUMPY\x01";
  const size_t bytes = strlen(header);
  file[8] = (unsigned char)bytes;
  memcpy(file + 10, header, bytes);
  for (size_t i = 0; i < count; i++) file[10 + bytes + i] = (unsigned char)i;
  return milo_npy_decode(file, 10 + bytes + count, "t.npy", &diag, out);
}

static void test_npy_forms(void) {
  milo_array array;
  CHECK(decode("{'descr': '|i1', 'fortran_order': True, 'shape': (2, 3)}", 6, &array) == MILO_OK);
  CHECK(memcmp(array.data, "\0\2\4\1\3\5", 6) == 0);
  milo_array_deinit(&array);
  CHECK(decode("{\"shape\":(2L,),\"descr\":\"|b1\",\"fortran_order\":False,}\n", 2, &array) ==
        MILO_OK);
  CHECK(memcmp(array.data, "\0\1", 2) == 0);
  milo_array_deinit(&array);
  CHECK(failed_with(decode("{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", 4, &array),
                    MILO_ERR_UNSUPPORTED, "big-endian"));
  CHECK(failed_with(decode("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8, &array),
                    MILO_ERR_UNSUPPORTED, "'<c8'"));
  CHECK(failed_with(decode("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, &array),
                    MILO_ERR_UNSUPPORTED, "'|O'"));
  CHECK(failed_with(decode("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 4, &array),
                    MILO_ERR_INVALID, "truncated"));
  CHECK(failed_with(decode("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 8, &array),
                    MILO_ERR_INVALID, "4 bytes stand behind"));
  CHECK(failed_with(decode("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,"
                           " 4611686018427387904)}",
                           8, &array),
                    MILO_ERR_INVALID, "truncated"));
  CHECK(failed_with(decode("{'descr': '<f4', 'fortran_order': False, "
                           "'shape': (1,1,1,1,1,1,1,1,1)}",
                           4, &array),
                    MILO_ERR_UNSUPPORTED, "8 dimensions"));
  static const char *const malformed[] = {
      "",
      "{",
      "{}",
      "{'descr': '<f4'}",
      "{'descr' '<f4', 'fortran_order': False, 'shape': ()}",
      "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f4', 'descr': '<f4', 'shape': ()}",
      "{'descr': '<f4",
      "{'colour': 'red'}"};
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
    CHECK(failed_with(decode(malformed[i], 4, &array), MILO_ERR_INVALID, "malformed"));
  CHECK(failed_with(milo_npy_decode("PK\3\4 something else", 18, "t.npz", &diag, &array),
                    MILO_ERR_INVALID, "not a .npy file"));
  const milo_array half = {.dtype = MILO_BF16, .data = folder, .bytes = 2};
  CHECK(failed_with(milo_npy_write(in_folder("b.npy"), &half, &diag), MILO_ERR_UNSUPPORTED,
                    "cannot hold bf16"));
  CHECK(!milo_file_exists(in_folder("b.npy")));
}

// ---- conversion ----

// The one element that a number of dtype `from` becomes, read back as a double; NaN and *out_status
// if it is refused.
static double converted(milo_dtype from, double value, milo_dtype to, milo_status *out_status) {
  unsigned char data[8] = {0};
  milo_array array = {.dtype = from, .rank = 0, .data = data, .bytes = sizeof data}, out;
  milo_number_store(from, data, 0, value);
  *out_status = milo_array_convert(&array, to, &diag, &out);
  const double result = *out_status == MILO_OK ? milo_number_load(to, out.data, 0) : (double)NAN;
  if (*out_status != MILO_OK) CHECK(out.data == NULL);
  milo_array_deinit(&out);
  milo_diag_clear(&diag);
  return result;
}

static void test_convert_keeps_numbers(void) {
  static const struct {
    milo_dtype from;
    double value;
    milo_dtype to;
    double wanted;
  } cases[] = {
      {MILO_FP64, 0.1, MILO_FP32, (double)0.1f},
      {MILO_FP64, 1 + 0x1p-11 + 0x1p-40, MILO_FP16, 1 + 0x1p-10},  // one rounding, not two
      {MILO_FP64, 1e-300, MILO_FP32, 0},
      {MILO_FP64, (double)INFINITY, MILO_FP16, (double)INFINITY},
      {MILO_FP64, -(double)INFINITY, MILO_FP32, -(double)INFINITY},
      {MILO_FP32, 65504, MILO_FP16, 65504},
      {MILO_FP32, 3.140625, MILO_BF16, 3.140625},
      {MILO_FP16, 2, MILO_FP64, 2},
      {MILO_INT64, -7, MILO_INT32, -7},
      {MILO_INT64, 2147483647, MILO_INT32, 2147483647},
      {MILO_INT64, -2147483648.0, MILO_INT32, -2147483648.0},
      {MILO_INT64, 255, MILO_UINT8, 255},
      {MILO_INT64, 1, MILO_BOOL, 1},
      {MILO_INT64, 3, MILO_FP16, 3},
      {MILO_BOOL, 1, MILO_INT32, 1},
      {MILO_FP64, -128, MILO_INT8, -128},
      {MILO_FP64, 0, MILO_BOOL, 0},
      {MILO_FP32, 7, MILO_UINT3, 7},
      {MILO_FP64, -8, MILO_INT4, -8},
      {MILO_FP64, -0x1p63, MILO_INT64, -0x1p63},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_status status;
    const double got = converted(cases[i].from, cases[i].value, cases[i].to, &status);
    if (!CHECK(status == MILO_OK) || !CHECK(got == cases[i].wanted))
      printf("# case %zu: got %.17g\n", i, got);
  }
  milo_status status;
  CHECK(isnan(converted(MILO_FP64, (double)NAN, MILO_FP16, &status)) && status == MILO_OK);
  CHECK(signbit(converted(MILO_FP64, -0.0, MILO_FP16, &status)) && status == MILO_OK);
}

static void test_convert_refuses_what_does_not_fit(void) {
  static const struct {
    milo_dtype from;
    double value;
    milo_dtype to;
  } cases[] = {
      {MILO_FP64, 1e39, MILO_FP32},
      {MILO_FP64, -1e39, MILO_FP32},
      {MILO_FP32, 65520, MILO_FP16},
      {MILO_FP64, 0.5, MILO_INT32},
      {MILO_FP64, (double)NAN, MILO_INT32},
      {MILO_FP64, (double)INFINITY, MILO_INT64},
      {MILO_FP64, 0x1p63, MILO_INT64},
      {MILO_FP64, 0x1p64, MILO_UINT64},
      {MILO_FP64, -1, MILO_UINT64},
      {MILO_INT64, 2147483648.0, MILO_INT32},
      {MILO_INT64, -2147483649.0, MILO_INT32},
      {MILO_INT64, -1, MILO_UINT8},
      {MILO_INT64, 256, MILO_UINT8},
      {MILO_INT64, 2, MILO_BOOL},
      {MILO_INT64, 8, MILO_INT4},
      {MILO_INT64, 65520, MILO_FP16},
      {MILO_FP64, (double)INFINITY, MILO_FP8E4M3FN},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    milo_status status;
    (void)converted(cases[i].from, cases[i].value, cases[i].to, &status);
    if (!CHECK(status == MILO_ERR_INVALID)) printf("# case %zu\n", i);
  }
}

// The largest numbers of 64 bits, which no double holds, and the place in the message.
static void test_convert_wide_integers(void) {
  uint64_t big[] = {UINT64_MAX, 1, 0, 0, INT64_MAX, 0};
  milo_array array = {
      .dtype = MILO_UINT64, .rank = 2, .shape = {2, 3}, .data = big, .bytes = sizeof big};
  milo_array out;
  CHECK(failed_with(milo_array_convert(&array, MILO_INT64, &diag, &out), MILO_ERR_INVALID,
                    "element [0, 0] is 18446744073709551615, which int64 cannot hold"));
  big[0] = (uint64_t)INT64_MAX - 1;
  CHECK(milo_array_convert(&array, MILO_INT64, &diag, &out) == MILO_OK);
  CHECK(((int64_t *)out.data)[0] == INT64_MAX - 1 && ((int64_t *)out.data)[4] == INT64_MAX);
  milo_array back;
  CHECK(milo_array_convert(&out, MILO_UINT64, &diag, &back) == MILO_OK);
  CHECK(memcmp(back.data, big, sizeof big) == 0 && back.rank == 2 && back.shape[1] == 3);
  milo_array_deinit(&back);
  CHECK(failed_with(milo_array_convert(&out, MILO_INT32, &diag, &back), MILO_ERR_INVALID,
                    "element [0, 0] is 9223372036854775806"));
  milo_array_deinit(&out);
  array.bytes = 47;
  CHECK(failed_with(milo_array_convert(&array, MILO_INT64, &diag, &out), MILO_ERR_INVALID,
                    "disagree"));
  array = (milo_array){.dtype = MILO_FP64, .rank = 2, .shape = {0, 5}};
  CHECK(milo_array_convert(&array, MILO_FP16, &diag, &out) == MILO_OK && out.bytes == 0);
  milo_array_deinit(&out);
  CHECK(failed_with(milo_array_convert(&array, MILO_STRING, &diag, &out), MILO_ERR_INVALID,
                    "arrays hold numbers"));
}

int main(void) {
  if (!make_folder()) return 1;
  RUN(test_npy_round_trip);
  RUN(test_npy_forms);
  RUN(test_convert_keeps_numbers);
  RUN(test_convert_refuses_what_does_not_fit);
  RUN(test_convert_wide_integers);
  if (!remove_folder()) return 1;
  milo_diag_deinit(&diag);
  return tap_done();
}
