#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS install TIMEOUT 300
# Installs into a folder of its own and builds a program against it from outside, three ways:
# pkg-config with the shared and the static library, and CMake's find_package.
set -eu
grep -qE '^MILO_SANITIZE:[A-Z]+=.+|^MILO_COVERAGE:BOOL=ON' "$MILO_BUILD/CMakeCache.txt" &&
  { echo "skipped: an instrumented library needs its user instrumented too"; exit 77; }

work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cmake --install "$MILO_BUILD" --prefix "$work/first" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for line in "installed under $work/first:" "  command      bin/milo" "  pkg-config   " \
  "PKG_CONFIG_PATH="; do
  grep -qF "$line" "$work/log" || { cat "$work/log"; echo "not ok - it does not say: $line"; exit 1; }
done
echo "ok - says what it did"
DESTDIR=$work/stage cmake --install "$MILO_BUILD" --prefix /usr >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
if [ ! -x "$work/stage/usr/bin/milo" ] || ! grep -qF "installed under $work/stage/usr:" "$work/log"; then
  cat "$work/log"; echo "not ok - DESTDIR"; exit 1
fi
mv "$work/first" "$work/prefix" # an installed tree may be moved
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name milo.pc)")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
library_dir=$(dirname "$(find "$work/prefix" -name libmilo.a)")
# As a user's shell has it: nothing but the recipe tells the loader where the library is.
unset LD_LIBRARY_PATH DYLD_LIBRARY_PATH

version=$(sed -n 's/^#define MILO_VERSION "\(.*\)"/\1/p' include/milo/milo.h)
[ "$(pkg-config --modversion milo)" = "$version" ] || { echo "milo.pc: wrong version"; exit 1; }

program=tests/install/outside.c
# shellcheck disable=SC2046
cc -o "$work/shared" $program $(pkg-config --cflags --libs milo)
"$work/shared" "$version"
# cJSON is the static library's matter: a machine that lacks its .pc file can use the shared one.
only_ours=$(dirname "$(find "$work/prefix" -name milo.pc)")
PKG_CONFIG_LIBDIR=$only_ours PKG_CONFIG_PATH='' pkg-config --cflags --libs milo >"$work/flags" ||
  { echo "not ok - the shared library's flags need libcjson.pc"; exit 1; }
grep -q cjson "$work/flags" && { cat "$work/flags"; echo "not ok - cJSON is not private"; exit 1; }
PKG_CONFIG_LIBDIR=$only_ours PKG_CONFIG_PATH='' pkg-config --static --libs milo | grep -q -- -lcjson ||
  { echo "not ok - static linking does not name cJSON"; exit 1; }
# shellcheck disable=SC2046
cc -o "$work/static" $program $(pkg-config --cflags milo) "$library_dir/libmilo.a" \
  $(pkg-config --libs --static milo | sed 's/-lmilo//')
"$work/static" "$version"
echo "ok - pkg-config, shared and static"

mkdir "$work/outside"
cp $program "$work/outside/"
cat >"$work/outside/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(outside C)
find_package(milo 0.1 REQUIRED)
add_executable(shared outside.c)
target_link_libraries(shared PRIVATE milo::milo)
add_executable(static outside.c)
target_link_libraries(static PRIVATE milo::milo_static)
CMAKE
cmake -S "$work/outside" -B "$work/outside/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" &&
  cmake --build "$work/outside/build" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/outside/build/shared" "$version"
"$work/outside/build/static" "$version"
echo "ok - find_package, shared and static"
for page in $(find docs -name '*.1'); do
  [ -n "$(find "$work/prefix" -name "$(basename "$page")")" ] || { echo "$page not installed"; exit 1; }
done
