#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS install TIMEOUT 300
# Installs into a folder of its own and builds a program against it from outside, three ways:
# pkg-config with the shared and the static library, and CMake's find_package.
set -eu
grep -qE '^MILO_SANITIZE:[A-Z]+=.+|^MILO_COVERAGE:BOOL=ON' "$MILO_BUILD/CMakeCache.txt" &&
  { echo "skipped: an instrumented library needs its user instrumented too"; exit 77; }

work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cmake --install "$MILO_BUILD" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/prefix" # an installed tree may be moved
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name milo.pc)")${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
library_dir=$(dirname "$(find "$work/prefix" -name libmilo.a)")
export LD_LIBRARY_PATH=$library_dir DYLD_LIBRARY_PATH=$library_dir

version=$(sed -n 's/^#define MILO_VERSION "\(.*\)"/\1/p' include/milo/milo.h)
[ "$(pkg-config --modversion milo)" = "$version" ] || { echo "milo.pc: wrong version"; exit 1; }

program=tests/install/outside.c
# shellcheck disable=SC2046
cc -o "$work/shared" $program $(pkg-config --cflags --libs milo)
"$work/shared" "$version"
# shellcheck disable=SC2046
cc -o "$work/static" $program $(pkg-config --cflags milo) "$library_dir/libmilo.a" \
  $(pkg-config --libs --static milo | sed 's/-lmilo//')
LD_LIBRARY_PATH='' DYLD_LIBRARY_PATH='' "$work/static" "$version"
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
LD_LIBRARY_PATH='' "$work/outside/build/static" "$version"
echo "ok - find_package, shared and static"
for page in $(find docs -name '*.1'); do
  [ -n "$(find "$work/prefix" -name "$(basename "$page")")" ] || { echo "$page not installed"; exit 1; }
done
