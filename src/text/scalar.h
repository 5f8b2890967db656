// SPDX-License-Identifier: MIT
// Numbers between text and any element type, exactly.
#ifndef MILO_TEXT_SCALAR_H
#define MILO_TEXT_SCALAR_H

#include "base/str.h"

// Converts a number as MIL writes it (decimal, hexadecimal float, inf, nan; signed) and stores it
// as element i of data (see milo_number_store). Floats: any form, rounded once to nearest even.
// Integers: decimal digits within range. False: not such a number; *out_why, if set, is a phrase
// that says why ("does not fit"), else it is malformed. True with *out_why set: a finite number
// became an infinity.
bool milo_scalar_parse(const char *text, size_t bytes, milo_dtype dtype, void *data, size_t i,
                       const char **out_why);

// Appends element i of data: integers in decimal, bools as true and false, floats as the shortest
// hexadecimal of their value (0x1.8p+1, 0x0p+0, -inf, nan).
void milo_scalar_print(milo_str *out, milo_dtype dtype, const void *data, size_t i);
// Appends as C's "%.17g" does in the C locale; integral values below 2^53 without point or
// exponent.
void milo_scalar_print_decimal(milo_str *out, double value);

#endif
