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

double milo_rng_normal(uint64_t seed, uint64_t stream, uint64_t i) {
  const double pi = 3.14159265358979323846;
  const double u = 1.0 - milo_rng_uniform(seed, stream, 2 * i);  // in (0, 1]: log is finite
  const double v = milo_rng_uniform(seed, stream, 2 * i + 1);
  return sqrt(-2.0 * log(u)) * cos(2.0 * pi * v);
}
