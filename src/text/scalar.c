// SPDX-License-Identifier: MIT
#include "text/scalar.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

// ---- text to number ----

enum { DOUBLE_DIGITS = 780 };  // more than any double's exact decimal expansion has

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool equals_fold(const char *text, size_t bytes, const char *word) {
  if (strlen(word) != bytes) return false;
  for (size_t i = 0; i < bytes; i++)
    if ((text[i] | 0x20) != word[i]) return false;
  return true;
}

// The parts of an unsigned decimal or hexadecimal number.
typedef struct number_form {
  const char *digits;  // with the point among them
  size_t digit_bytes;
  int64_t exponent;
  bool is_hex, is_whole;  // whole: neither point nor exponent
} number_form;

static bool split_number(const char *text, size_t bytes, number_form *out) {
  *out = (number_form){.is_whole = true};
  size_t at = 0;
  if (bytes > 2 && text[0] == '0' && (text[1] | 0x20) == 'x') {
    out->is_hex = true;
    at = 2;
  }
  out->digits = text + at;
  size_t digits = 0, points = 0;
  for (; at < bytes; at++) {
    if (text[at] == '.')
      points++;
    else if (out->is_hex ? hex_digit(text[at]) >= 0 : is_digit(text[at]))
      digits++;
    else
      break;
  }
  out->digit_bytes = (size_t)(text + at - out->digits);
  if (digits == 0 || points > 1) return false;
  out->is_whole = points == 0 && at == bytes;
  if (at == bytes) return true;
  if ((text[at] | 0x20) != (out->is_hex ? 'p' : 'e')) return false;
  at++;
  bool negative = false;
  if (at < bytes && (text[at] == '+' || text[at] == '-')) negative = text[at++] == '-';
  if (at == bytes) return false;
  for (; at < bytes; at++) {
    if (!is_digit(text[at])) return false;
    // Clamped far beyond what any count of digits in memory could bring back into range.
    if (out->exponent < INT64_C(1) << 50) out->exponent = out->exponent * 10 + (text[at] - '0');
  }
  if (negative) out->exponent = -out->exponent;
  return true;
}

// libc's strtod wants a NUL and the locale's decimal point.
static double decimal_to_double(const char *text, size_t bytes) {
  char small[64];
  char *copy = bytes < sizeof small ? small : malloc(bytes + 1);
  if (!copy) abort();
  memcpy(copy, text, bytes);
  copy[bytes] = '\0';
  char *point = strchr(copy, '.');
  if (point) {
    char sample[16];
    snprintf(sample, sizeof sample, "%.1f", 0.5);
    *point = sample[1];
  }
  const double value = strtod(copy, NULL);
  if (copy != small) free(copy);
  return value;
}

// Significant decimal digits one after the other: the first one is not 0, its weight is
// 10^exponent.
typedef struct digit_cursor {
  const char *at, *end;
} digit_cursor;

static int next_digit(digit_cursor *cursor) {
  while (cursor->at < cursor->end && !is_digit(*cursor->at)) cursor->at++;
  return cursor->at < cursor->end ? *cursor->at++ - '0' : 0;
}

// Skips zeros in front; returns the weight of the first digit that is not 0.
static int64_t first_weight(digit_cursor *cursor) {
  const char *point = memchr(cursor->at, '.', (size_t)(cursor->end - cursor->at));
  while (cursor->at < cursor->end && (*cursor->at == '0' || *cursor->at == '.')) cursor->at++;
  if (!point) return cursor->end - cursor->at - 1;
  return cursor->at < point ? point - cursor->at - 1 : -(cursor->at - point);
}

// Sign of (the decimal number form) - value, for value > 0 and a number that is not 0.
static int compare_decimal(const number_form *form, double value) {
  char exact[DOUBLE_DIGITS + 32];
  const int length = snprintf(exact, sizeof exact, "%.*e", DOUBLE_DIGITS, value);
  char *e = memchr(exact, 'e', (size_t)length);
  digit_cursor b = {exact, e};
  const int64_t b_weight = strtol(e + 1, NULL, 10);
  digit_cursor a = {form->digits, form->digits + form->digit_bytes};
  const int64_t a_weight = first_weight(&a) + form->exponent;
  if (a_weight != b_weight) return a_weight < b_weight ? -1 : 1;
  while (a.at < a.end || b.at < b.end) {
    const int difference = next_digit(&a) - next_digit(&b);
    if (difference) return difference;
  }
  return 0;
}

static uint64_t stored_bits(milo_dtype dtype, double value) {
  uint64_t bits = 0;
  milo_number_store(dtype, &bits, 0, value);
  return bits;
}

// A double that dtype rounds as it would the exact decimal number. Rounding the nearest double
// again goes wrong only where that double lies between two values of dtype, exactly halfway; there,
// the side on which the decimal number lies decides.
static double decimal_for_dtype(const char *text, size_t bytes, const number_form *form,
                                milo_dtype dtype) {
  const double value = decimal_to_double(text, bytes);
  if (dtype == MILO_FP64) return value;
  const double above = nextafter(value, HUGE_VAL), below = nextafter(value, -HUGE_VAL);
  const uint64_t bits = stored_bits(dtype, value);
  if (value == 0 || (stored_bits(dtype, above) == bits && stored_bits(dtype, below) == bits) ||
      isinf(value))
    return value;
  const int side = compare_decimal(form, value);
  return side == 0 ? value : side > 0 ? above : below;
}

// Rounded to odd where it has more than 53 bits: dtype (narrower than 51 bits) then rounds as if
// from the exact number.
static double hex_for_dtype(const char *text, size_t bytes, const number_form *form,
                            milo_dtype dtype) {
  if (dtype == MILO_FP64) return decimal_to_double(text, bytes);
  uint64_t mantissa = 0;
  int64_t exponent = form->exponent;
  bool sticky = false, after_point = false;
  for (size_t i = 0; i < form->digit_bytes; i++) {
    if (form->digits[i] == '.') {
      after_point = true;
      continue;
    }
    const int digit = hex_digit(form->digits[i]);
    if (mantissa >> 56 == 0) {
      mantissa = mantissa << 4 | (uint64_t)digit;
      if (after_point) exponent -= 4;
    } else {
      sticky |= digit != 0;
      if (!after_point) exponent += 4;
    }
  }
  if (mantissa == 0) return 0;
  for (; mantissa >> 53 != 0; mantissa >>= 1, exponent++) sticky |= mantissa & 1;
  mantissa |= sticky;
  if (exponent > 10000) return HUGE_VAL;
  if (exponent < -10000) return 0;
  return ldexp((double)mantissa, (int)exponent);
}

static bool parse_float(const char *text, size_t bytes, bool negative, milo_dtype dtype, void *data,
                        size_t i, const char **out_why) {
  double value;
  bool is_word = true;
  number_form form;
  if (equals_fold(text, bytes, "inf") || equals_fold(text, bytes, "infinity"))
    value = HUGE_VAL;
  else if (equals_fold(text, bytes, "nan"))
    value = (double)NAN;
  else if (is_word = false, !split_number(text, bytes, &form))
    return false;
  else if (form.is_hex)
    value = hex_for_dtype(text, bytes, &form, dtype);
  else
    value = decimal_for_dtype(text, bytes, &form, dtype);
  milo_number_store(dtype, data, i, negative ? -value : value);
  if (!is_word && isinf(milo_number_load(dtype, data, i))) *out_why = "becomes an infinity";
  return true;
}

bool milo_scalar_parse(const char *text, size_t bytes, milo_dtype dtype, void *data, size_t i,
                       const char **out_why) {
  *out_why = NULL;
  bool negative = false;
  if (bytes > 0 && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text++;
    bytes--;
  }
  if (milo_dtype_is_float(dtype))
    return parse_float(text, bytes, negative, dtype, data, i, out_why);

  number_form form;
  if (!split_number(text, bytes, &form)) {
    if (equals_fold(text, bytes, "inf") || equals_fold(text, bytes, "nan"))
      *out_why = "is not an integer";
    return false;
  }
  if (!form.is_whole || form.is_hex) {
    *out_why = form.is_hex ? "is not a decimal integer" : "is not an integer";
    return false;
  }
  uint64_t magnitude = 0;
  bool fits = true;
  for (size_t k = 0; k < bytes && fits; k++) {
    const uint64_t digit = (uint64_t)(text[k] - '0');
    fits = magnitude <= (UINT64_MAX - digit) / 10;
    magnitude = magnitude * 10 + digit;
  }
  const uint64_t limit =
      negative ? UINT64_C(0) - (uint64_t)milo_dtype_min(dtype) : milo_dtype_max(dtype);
  if (!fits || magnitude > limit) {
    *out_why = "does not fit";
    return false;
  }
  if (dtype == MILO_UINT64)
    memcpy((char *)data + i * sizeof magnitude, &magnitude, sizeof magnitude);
  else
    milo_number_store_int(dtype, data, i,
                          (int64_t)(negative ? UINT64_C(0) - magnitude : magnitude));
  return true;
}

// ---- number to text ----

static void print_float(milo_str *out, double value) {
  if (signbit(value)) milo_str_putc(out, '-');
  value = fabs(value);
  if (isnan(value)) {
    milo_str_puts(out, "nan");
  } else if (isinf(value)) {
    milo_str_puts(out, "inf");
  } else if (value == 0) {
    milo_str_puts(out, "0x0p+0");
  } else {
    int exponent;
    // In [1, 2): 53 bits, the upper one before the point.
    const double mantissa = 2 * frexp(value, &exponent);
    uint64_t fraction = (uint64_t)ldexp(mantissa - 1, 52);
    int digits = 13;
    while (digits > 0 && (fraction & 15) == 0) {
      fraction >>= 4;
      digits--;
    }
    char text[40];
    int length = snprintf(text, sizeof text, "0x1");
    if (digits > 0)
      length += snprintf(text + length, sizeof text - (size_t)length, ".%0*llx", digits,
                         (unsigned long long)fraction);
    length += snprintf(text + length, sizeof text - (size_t)length, "p%+d", exponent - 1);
    milo_str_add(out, text, (size_t)length);
  }
}

void milo_scalar_print(milo_str *out, milo_dtype dtype, const void *data, size_t i) {
  if (milo_dtype_is_float(dtype)) {
    print_float(out, milo_number_load(dtype, data, i));
    return;
  }
  const int64_t value = milo_number_load_int(dtype, data, i);
  if (dtype == MILO_BOOL) {
    milo_str_puts(out, value ? "true" : "false");
    return;
  }
  char text[32];
  int length;
  if (dtype == MILO_UINT64) {
    uint64_t wide;
    memcpy(&wide, (const char *)data + i * sizeof wide, sizeof wide);
    length = snprintf(text, sizeof text, "%llu", (unsigned long long)wide);
  } else {
    length = snprintf(text, sizeof text, "%lld", (long long)value);
  }
  milo_str_add(out, text, (size_t)length);
}

void milo_scalar_print_decimal(milo_str *out, double value) {
  if (!isfinite(value)) {
    print_float(out, value);
    return;
  }
  char text[40];
  const int length = snprintf(text, sizeof text, "%.17g", value);
  for (int i = 0; i < length; i++)  // the locale's decimal point, whatever it is
    if (!is_digit(text[i]) && !strchr("+-e", text[i])) text[i] = '.';
  milo_str_add(out, text, (size_t)length);
}
