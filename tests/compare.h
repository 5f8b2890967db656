// SPDX-License-Identifier: MIT
// When two numbers agree: the one definition that all tests share.
#ifndef MILO_TESTS_COMPARE_H
#define MILO_TESTS_COMPARE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

// NaN agrees with NaN only and an infinity with itself only, whatever the bound; numbers if
// |got - wanted| <= bound. A bound that is not finite would let everything pass: nothing does.
static inline bool compare_near(double got, double wanted, double bound) {
  if (isnan(got) || isnan(wanted)) return isnan(got) && isnan(wanted);
  if (isinf(got) || isinf(wanted)) return got == wanted;
  return got == wanted || (isfinite(bound) && fabs(got - wanted) <= bound);
}

// The same value, signs of zeros too; any NaN is the same as any other.
static inline bool compare_same(double got, double wanted) {
  if (isnan(got) || isnan(wanted)) return isnan(got) && isnan(wanted);
  return got == wanted && signbit(got) == signbit(wanted);
}

// |x| if x is finite and greater than scale, else scale: folded over a tensor it gives what a
// tolerance is relative to. Small tensors (gradients) are then not compared with 1.
static inline double compare_scale(double scale, double x) {
  return isfinite(x) && fabs(x) > scale ? fabs(x) : scale;
}

#endif
