#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The public header compiles alone, as C99 and as C++17, without a warning.
set -u
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
out=$(mktemp) && trap 'rm -f "$out"' EXIT
printf '#include <milo/milo.h>\n#include <milo/milo.h>\nint main(void) { return MILO_OK; }\n' >"$out"
# shellcheck disable=SC2086
cc -std=c99 $warnings -Iinclude -x c -fsyntax-only "$out" || exit 1
echo "ok - C99"
if ! echo | c++ -x c++ -fsyntax-only - 2>/dev/null; then
  echo "ok - C++17 # SKIP no C++ compiler here"
  exit 0
fi
# shellcheck disable=SC2086
c++ -std=c++17 $warnings -Iinclude -x c++ -fsyntax-only "$out" || exit 1
echo "ok - C++17"
