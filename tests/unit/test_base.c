// SPDX-License-Identifier: MIT
// arena, text, rng, cpu, clock.
#include <stdalign.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/str.h"
#include "tap.h"

static void test_arena(void) {
  milo_arena arena = {0};
  unsigned char *all[2000];
  size_t sizes[2000], asked = 0, wrong = 0;
  for (size_t i = 0; i < 2000; i++) {
    sizes[i] = (size_t)milo_rng_below(1, 2, i, i % 100 == 99 ? 100000 : 300);
    all[i] = milo_arena_alloc(&arena, sizes[i]);
    // As any type of that size may need: the largest power of two in it.
    for (size_t a = 1; a <= alignof(max_align_t) && sizes[i] > 0 && sizes[i] % a == 0; a *= 2)
      wrong += (uintptr_t)all[i] % a != 0;
    for (size_t j = 0; j < sizes[i]; j++) wrong += all[i][j] != 0;
    if (sizes[i]) memset(all[i], (int)(i & 0xFF), sizes[i]);
    asked += sizes[i];
  }
  for (size_t i = 0; i < 2000; i++)
    for (size_t j = 0; j < sizes[i]; j++) wrong += all[i][j] != (i & 0xFF);
  CHECK(wrong == 0);
  CHECK(arena.total_bytes >= asked && arena.total_bytes < asked + 2000 * 16);
  CHECK(milo_arena_alloc(&arena, 0) != milo_arena_alloc(&arena, 0));
  milo_arena_deinit(&arena);
  CHECK(!arena.head && arena.total_bytes == 0);
}

static void test_arena_text_and_arrays(void) {
  milo_arena arena = {0};
  CHECK_STR(milo_arena_strdup(&arena, "abc"), "abc");
  CHECK_STR(milo_arena_strndup(&arena, "abcdef", 3), "abc");
  CHECK_STR(milo_arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
  CHECK_STR(milo_arena_printf(&arena, "%s", ""), "");
  const size_t before = arena.total_bytes;
  for (int i = 0; i < 100; i++) CHECK_STR(milo_arena_strndup(&arena, "abcdef", 2), "ab");
  CHECK(arena.total_bytes == before + 300);  // texts stand wall to wall
  CHECK(memcmp(milo_arena_copy(&arena, "\0\1\2", 3), "\0\1\2", 3) == 0);
  int *items = NULL;
  size_t count = 0, capacity = 0;
  for (int i = 0; i < 1000; i++) MILO_PUSH(&arena, items, count, capacity, i * i);
  size_t wrong = 0;
  for (int i = 0; i < 1000; i++) wrong += items[i] != i * i;
  CHECK(wrong == 0 && count == 1000 && capacity >= 1000);
  const double *numbers = MILO_NEW_ARRAY(&arena, double, 10);
  CHECK(numbers[9] == 0);
  milo_arena_deinit(&arena);
}

static void test_text(void) {
  milo_str text = {0};
  size_t bytes;
  char *taken = milo_str_take(&text, &bytes);
  CHECK_STR(taken, "");
  free(taken);
  for (int i = 0; i < 300; i++) milo_str_printf(&text, "%d,", i);
  milo_str_putc(&text, '!');
  milo_str_puts(&text, "end");
  CHECK(text.bytes == 10 * 2 + 90 * 3 + 200 * 4 + 4);
  CHECK(strncmp(text.data, "0,1,2,", 6) == 0);
  CHECK_STR(text.data + text.bytes - 8, "299,!end");
  milo_str_clear(&text);
  CHECK_STR(text.data, "");
  char wide[500];
  memset(wide, 'w', sizeof wide - 1);
  wide[sizeof wide - 1] = '\0';
  milo_str_printf(&text, "<%s>", wide);
  CHECK(text.bytes == 501 && text.data[500] == '>' && text.data[501] == '\0');
  taken = milo_str_take(&text, &bytes);
  CHECK(bytes == 501 && !text.data);
  free(taken);
  milo_str_deinit(&text);
}

static void test_json(void) {
  milo_str text = {0};
  milo_str_json_string(&text, "a\"\\\n\t\x01\x7F \xC3\xA9 \xF0\x9F\x98\x80 \xFF \xED\xA0\x80 \xC3");
  CHECK_STR(text.data,
            "\"a\\\"\\\\\\n\\t\\u0001\x7F \xC3\xA9 \xF0\x9F\x98\x80 \xEF\xBF\xBD "
            "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\"");
  const struct {
    double value;
    const char *written;
  } cases[] = {{0, "0"},
               {1, "1"},
               {-2.5, "-2.5"},
               {0.1, "0.1"},
               {1.0 / 3, "0.3333333333333333"},
               {123456789012, "123456789012"},
               {5e-324, "4.94065645841247e-324"},
               {(double)INFINITY, "null"},
               {(double)NAN, "null"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    milo_str_clear(&text);
    milo_str_json_number(&text, cases[i].value);
    CHECK_STR(text.data, cases[i].written);
  }
  milo_str_deinit(&text);
}

static void test_rng(void) {
  // Known answers: they must never change, runs depend on them.
  CHECK(milo_rng_u64(0, 0, 0) == UINT64_C(0x238275bc38fcbe91));
  CHECK(milo_rng_u64(1, 2, 3) == UINT64_C(0x8568f7c4e53b5a35));
  enum { COUNT = 100000 };
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0, product = 0;
  size_t below[7] = {0}, outside = 0;
  for (uint64_t i = 0; i < COUNT; i++) {
    const double u = milo_rng_uniform(42, 0, i), n = milo_rng_normal(42, 1, i);
    outside += u < 0 || u >= 1 || !isfinite(n);
    sum += u;
    squares += u * u;
    normal_sum += n;
    normal_squares += n * n;
    product += (u - 0.5) * (milo_rng_uniform(42, 2, i) - 0.5);
    below[milo_rng_below(42, 3, i, 7)]++;
  }
  CHECK(outside == 0);
  CHECK_NEAR(sum / COUNT, 0.5, 0.004);
  CHECK_NEAR(squares / COUNT, 1.0 / 3, 0.004);
  CHECK_NEAR(normal_sum / COUNT, 0, 0.013);
  CHECK_NEAR(normal_squares / COUNT, 1, 0.02);
  CHECK_NEAR(product / COUNT, 0, 0.0015);
  for (int i = 0; i < 7; i++) CHECK_NEAR((double)below[i], COUNT / 7.0, 500);
}

static void test_cpu_masks(void) {
  unsigned caps = 99;
  char text[200];
  milo_diag diag = {0};
  CHECK(milo_cpu_parse_mask("avx2,fma", &diag, &caps) == MILO_OK);
  CHECK(caps == (MILO_CPU_AVX2 | MILO_CPU_FMA));
  milo_cpu_format(caps, text, sizeof text);
  CHECK_STR(text, "avx2,fma");
  CHECK(milo_cpu_parse_mask("", &diag, &caps) == MILO_OK && caps == 0);
  CHECK(milo_cpu_parse_mask("none", &diag, &caps) == MILO_OK && caps == 0);
  milo_cpu_format(0, text, sizeof text);
  CHECK_STR(text, "");
  CHECK(milo_cpu_parse_mask("avx2,avx", &diag, &caps) == MILO_ERR_INVALID && caps == 0);
  CHECK(strncmp(milo_diag_text(&diag),
                "error: unknown instruction set 'avx'\nhint: known are: none,avx2", 62) == 0);
  milo_cpu_format(~0u, text, sizeof text);
  CHECK(milo_cpu_parse_mask(text, NULL, &caps) == MILO_OK);
  milo_cpu_format(~0u, text, 5);
  CHECK_STR(text, "avx2");
  CHECK(caps == (1u << 10) - 1);
  milo_diag_deinit(&diag);
}

static void test_cpu_detects_as_the_compiler_does(void) {
  const unsigned caps = milo_cpu_detect();
  char text[200];
  milo_cpu_format(caps, text, sizeof text);
  printf("# %s; %d processors\n", text, milo_cpu_count());
  CHECK(milo_cpu_count() >= 1);
#if defined(__x86_64__)
  __builtin_cpu_init();
  CHECK(!!(caps & MILO_CPU_AVX2) == !!__builtin_cpu_supports("avx2"));
  CHECK(!!(caps & MILO_CPU_FMA) == !!__builtin_cpu_supports("fma"));
  CHECK(!!(caps & MILO_CPU_AVX512) ==
        (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")));
  CHECK(!!(caps & MILO_CPU_AVX512_VNNI) == !!__builtin_cpu_supports("avx512vnni"));
  CHECK(!(caps & MILO_CPU_NEON));
#elif defined(__aarch64__)
  CHECK(caps == MILO_CPU_NEON);
#endif
}

static void test_clock(void) {
  const double before = milo_clock_s();
  usleep(2000);
  const double after = milo_clock_s();
  CHECK(after - before >= 0.002 && after - before < 5);
  CHECK(milo_peak_memory_bytes() > 500000 && milo_peak_memory_bytes() < UINT64_C(1) << 44);
}

int main(void) {
  RUN(test_arena);
  RUN(test_arena_text_and_arrays);
  RUN(test_text);
  RUN(test_json);
  RUN(test_rng);
  RUN(test_cpu_masks);
  RUN(test_cpu_detects_as_the_compiler_does);
  RUN(test_clock);
  return tap_done();
}
