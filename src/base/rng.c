// SPDX-License-Identifier: MIT
#include "base/rng.h"

#include <math.h>

__extension__ typedef unsigned __int128 uint128;

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)  // 2^64 / golden ratio: splitmix64's step

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

// For a fixed seed and stream this is the sequence that splitmix64 gives from the mixed key.
uint64_t milo_rng_u64(uint64_t seed, uint64_t stream, uint64_t i) {
  const uint64_t key = mix(mix(seed + GOLDEN) + (stream + 1) * GOLDEN);
  return mix(key + (i + 1) * GOLDEN);
}

uint64_t milo_rng_below(uint64_t seed, uint64_t stream, uint64_t i, uint64_t n) {
  return (uint64_t)(((uint128)milo_rng_u64(seed, stream, i) * n) >> 64);
}

double milo_rng_uniform(uint64_t seed, uint64_t stream, uint64_t i) {
  return (double)(milo_rng_u64(seed, stream, i) >> 11) * 0x1p-53;
}

// ---- functions that have the same bits everywhere ----
//
// A C library's log and cos differ in the last bits from one system to the next. These use
// additions, multiplications and divisions alone, which IEEE 754 fixes, in an order that the
// compiler may not change (-ffp-contract=off); their errors are below 3 units in the last place.

// Coefficients c[0] + c[1] x + ..., summed from the last.
static double polynomial(double x, const double *c, int count) {
  double sum = c[count - 1];
  for (int i = count - 2; i >= 0; i--) sum = sum * x + c[i];
  return sum;
}

// Natural logarithm of a positive normal number: u = 2^e m with m in [sqrt(1/2), sqrt(2)], and
// log m = 2 artanh s with s = (m - 1) / (m + 1), |s| < 0.1716: s^22 / 23 is below 2^-58.
static double fixed_log(double u) {
  static const double odd[] = {1.0,        1.0 / 3.0,  1.0 / 5.0,  1.0 / 7.0,
                               1.0 / 9.0,  1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0,
                               1.0 / 17.0, 1.0 / 19.0, 1.0 / 21.0};
  const double ln2_high = 0x1.62e42fefa38p-1, ln2_low = 0x1.ef35793c7673p-45;
  int e;
  double m = frexp(u, &e);  // exact
  if (m < 0.70710678118654752440) {
    m *= 2;
    e--;
  }
  const double s = (m - 1.0) / (m + 1.0);
  const double log_m = 2.0 * s * polynomial(s * s, odd, sizeof odd / sizeof *odd);
  return (double)e * ln2_high + ((double)e * ln2_low + log_m);
}

// cos(2 pi v), 0 <= v < 1 a multiple of 2^-53: to the nearest quarter turn the rest is exact, and
// no more than an eighth.
static double fixed_cos_turns(double v) {
  static const double cosine[] = {1.0,
                                  -1.0 / 2.0,
                                  1.0 / 24.0,
                                  -1.0 / 720.0,
                                  1.0 / 40320.0,
                                  -1.0 / 3628800.0,
                                  1.0 / 479001600.0,
                                  -1.0 / 87178291200.0,
                                  1.0 / 20922789888000.0};
  static const double sine[] = {1.0,
                                -1.0 / 6.0,
                                1.0 / 120.0,
                                -1.0 / 5040.0,
                                1.0 / 362880.0,
                                -1.0 / 39916800.0,
                                1.0 / 6227020800.0,
                                -1.0 / 1307674368000.0,
                                1.0 / 355687428096000.0};
  const double tau = 6.283185307179586476925;
  const int quarter = (int)(4.0 * v + 0.5);
  const double x = tau * (v - 0.25 * quarter);
  const double c = polynomial(x * x, cosine, sizeof cosine / sizeof *cosine);
  const double s = x * polynomial(x * x, sine, sizeof sine / sizeof *sine);
  switch (quarter & 3) {
    case 0:
      return c;
    case 1:
      return -s;
    case 2:
      return -c;
    default:
      return s;
  }
}

double milo_rng_normal(uint64_t seed, uint64_t stream, uint64_t i) {
  const double u = 1.0 - milo_rng_uniform(seed, stream, 2 * i);  // in (0, 1]: log is finite
  const double v = milo_rng_uniform(seed, stream, 2 * i + 1);
  return sqrt(-2.0 * fixed_log(u)) * fixed_cos_turns(v);
}
