#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The shared library exports what symbols.txt lists, the header declares the same, and nothing else
# gets out. UPDATE=1 rewrites the list from the header.
set -u
list=tests/abi/symbols.txt
case $(uname) in
  Darwin) library=$MILO_BUILD/libmilo.dylib && symbols() { nm -gU "$1" | sed 's/.* _//'; } ;;
  *) library=$MILO_BUILD/libmilo.so && symbols() { nm -D --defined-only "$1" | sed 's/.* //'; } ;;
esac
[ -e "$library" ] || { echo "no $library"; exit 1; }

exported=$(symbols "$library" | LC_ALL=C sort)
ours=$(echo "$exported" | grep '^milo_')
declared=$(cc -E -P -Iinclude include/milo/milo.h | tr '\n' ' ' | tr ';' '\n' |
  grep 'visibility("default")' | grep -o 'milo_[a-z0-9_]* *(' | tr -d ' (' | LC_ALL=C sort -u)
if [ "${UPDATE-}" = 1 ]; then
  echo "$declared" >$list
  echo "wrote $list"
fi

bad=0
diff <(echo "$ours") $list >/dev/null ||
  { echo "exported (<) differs from $list (>):"; diff <(echo "$ours") $list; bad=1; }
diff <(echo "$declared") $list >/dev/null ||
  { echo "declared in milo.h (<) differs from $list (>):"; diff <(echo "$declared") $list; bad=1; }
# Sanitizers and coverage add symbols of their own.
others=$(echo "$exported" | grep -vE '^(milo_|__|_init$|_fini$|_edata$|_end$|mangle_path$)')
[ -z "$others" ] || { printf 'not ours, but exported:\n%s\n' "$others"; bad=1; }
exit $bad
