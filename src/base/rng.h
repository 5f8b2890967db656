// SPDX-License-Identifier: MIT
// Random numbers without state: value i of stream (seed, stream) is a pure function of the three,
// so any part of a run can be made again from its position alone.
//
// All of them give the same bits on every processor, with every compiler and C library: they use
// integers, and operations that IEEE 754 fixes to the last bit.
//
// The function is splitmix64's finaliser (Steele, Lea, Flood 2014) over a mixed key.
#ifndef MILO_BASE_RNG_H
#define MILO_BASE_RNG_H

#include <stdint.h>

uint64_t milo_rng_u64(uint64_t seed, uint64_t stream, uint64_t i);
// Uniform integer in [0, n), n > 0; without bias (multiply-shift on 64 bits, bias < 2^-32 for
// n < 2^32).
uint64_t milo_rng_below(uint64_t seed, uint64_t stream, uint64_t i, uint64_t n);
// Uniform in [0, 1), 53 bits.
double milo_rng_uniform(uint64_t seed, uint64_t stream, uint64_t i);
// Standard normal (Box-Muller over values 2i and 2i + 1).
double milo_rng_normal(uint64_t seed, uint64_t stream, uint64_t i);

#endif
