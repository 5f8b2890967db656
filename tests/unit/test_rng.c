// SPDX-License-Identifier: MIT
// Random numbers have the bits that are promised, on every processor and C library. The expected
// ones were computed by another program, in another language, from the formulas in rng.c.
#include "base/rng.h"

#include "tap.h"

static uint64_t bits_of(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static void test_normal_numbers_bit_for_bit(void) {
  static const struct {
    uint64_t seed, stream, i, bits;
  } cases[] = {{0, 0, 0, UINT64_C(0x3fe13337c5b1f268)},
               {0, 0, 1, UINT64_C(0x3fe5221bc7d13f48)},
               {1, 0, 0, UINT64_C(0x3ff8386833a2e17e)},
               {42, 0x1000, 7, UINT64_C(0xbfe4c588a8668099)},
               {UINT64_MAX, 5, 123456789, UINT64_C(0xbff4642ca955ebde)},
               {7, 0x1007, UINT64_C(1) << 40, UINT64_C(0xbfd9c46b16e8509d)}};
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    const double value = milo_rng_normal(cases[k].seed, cases[k].stream, cases[k].i);
    if (!CHECK(bits_of(value) == cases[k].bits)) printf("# case %zu: %a\n", k, value);
  }
  uint64_t hash = UINT64_C(0xcbf29ce484222325);
  for (uint64_t i = 0; i < 20000; i++)
    hash = (hash ^ bits_of(milo_rng_normal(3, 9, i))) * UINT64_C(0x100000001b3);
  CHECK(hash == UINT64_C(0x110a1f1084b54508));
}

// The formula, with the C library's functions: 2e-15 is what is seen.
static void test_normal_numbers_are_box_mullers(void) {
  double worst = 0;
  for (uint64_t i = 0; i < 20000; i++) {
    const double u = 1.0 - milo_rng_uniform(3, 9, 2 * i), v = milo_rng_uniform(3, 9, 2 * i + 1);
    const double wanted = sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
    worst = fmax(worst, fabs(milo_rng_normal(3, 9, i) - wanted));
  }
  CHECK_NEAR(worst, 0, 5e-15);
}

int main(void) {
  RUN(test_normal_numbers_bit_for_bit);
  RUN(test_normal_numbers_are_box_mullers);
  return tap_done();
}
