#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The public header compiles alone, as C99 and as C++, without a warning, with every compiler here;
# MILO_OPTIONS_INIT works in C++.
set -u
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-field-initializers -Werror"
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
printf '#include <milo/milo.h>\n#include <milo/milo.h>\nint main(void) {
  milo_train_options o = MILO_OPTIONS_INIT(milo_train_options);
  return o.struct_bytes == sizeof o ? MILO_OK : 1;
}\n' >"$work/header.c"
for compiler in cc gcc clang; do
  command -v $compiler >/dev/null || continue
  # shellcheck disable=SC2086
  $compiler -std=c99 $warnings -Iinclude -o "$work/c" "$work/header.c" && "$work/c" || exit 1
  echo "ok - C99, $compiler"
done
for compiler in c++ g++ clang++; do
  if ! echo 'int main() {}' | $compiler -x c++ -o "$work/empty" - 2>/dev/null; then
    echo "ok - C++, $compiler # SKIP it is not here"
    continue
  fi
  for standard in c++11 c++17; do
    # shellcheck disable=SC2086
    $compiler -std=$standard $warnings -Iinclude -o "$work/cpp" tests/abi/options.cpp &&
      "$work/cpp" || exit 1
    echo "ok - $standard, $compiler"
  done
done
