#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every command of `milo help`, and every option of each, stands in the manual page.
set -u
milo=${MILO_TOOL:?}
page=${MILO_SOURCE:?}/docs/milo.1
count=0
missing=0
for command in $("$milo" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -v '^help$'); do
  count=$((count + 1))
  grep -q "Cm $command\b" "$page" || { echo "not ok: $command is not in the page"; missing=1; }
  for flag in $("$milo" help "$command" | grep -o '^  -[^ ]*\(, --[a-z0-9-]*\)\?' | grep -o -- '--[a-z0-9-]*' | sed 's/^-//'); do
    grep -q -- "Fl $flag\b" "$page" || { echo "not ok: $command -$flag is not in the page"; missing=1; }
  done
done
[ "$count" -gt 10 ] || { echo "not ok: only $count commands were found"; missing=1; }
[ $missing = 0 ] && echo "ok: $count commands"
exit $missing
