#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# libane_bridge from Python, and that it exports nothing but its own names.
set -u
case $(uname) in
  Darwin) library=$MILO_BUILD/libane_bridge.dylib && symbols() { nm -gU "$1" | sed 's/.* _//'; } ;;
  *) library=$MILO_BUILD/libane_bridge.so && symbols() { nm -D --defined-only "$1" | sed 's/.* //'; } ;;
esac
[ -e "$library" ] || { echo "not ok - no $library"; exit 1; }
# Sanitizers add symbols of their own, and must be loaded before Python.
if symbols "$library" | grep -qE '^(__asan|__tsan|__ubsan)' || nm -D "$library" | grep -qE ' U __(a|t)san'; then
  echo "1..0 # SKIP built with a sanitizer"
  exit 77
fi
failed=0
others=$(symbols "$library" | grep -vE '^(ane_bridge_|__|_init$|_fini$|_edata$|_end$)')
[ -z "$others" ] || { printf 'not ok - exported too:\n%s\n' "$others"; failed=1; }
declared=$(cc -E -P -Iinclude include/milo/ane_bridge.h | grep -o 'ane_bridge_[a-z0-9_]* *(' | tr -d ' (' | sort -u)
[ "$declared" = "$(symbols "$library" | grep '^ane_bridge_' | sort -u)" ] ||
  { echo "not ok - the header declares others than are exported"; failed=1; }
command -v python3 >/dev/null || { echo "1..0 # SKIP no python3"; exit $((failed ? 1 : 77)); }
python3 tests/tool/bridge_client.py "$library" || failed=1
exit $failed
