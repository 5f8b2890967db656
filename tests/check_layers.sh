#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fails if a file of src/ includes a header that src/LAYERS does not allow it, if a client (tools,
# examples) includes anything of ours but <milo/milo.h>, if a file is longer than 1,000 lines, or if
# a source lacks its licence line.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2

mapfile -d '' -t sources < <(find src tools examples tests include -type f \
  \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -print0 2>/dev/null)
[ "${#sources[@]}" -gt 0 ] || { echo "no sources found in $PWD"; exit 2; }

awk '
  FILENAME == "src/LAYERS" {
    if ($0 ~ /^#/ || NF == 0) next
    for (at = 1; at <= NF && $at != "<-"; at++) {}
    for (i = 1; i < at; i++)
      for (j = at + 1; j <= NF; j++) allowed[$j, $i] = 1
    next
  }
  FNR == 1 {
    n = split(FILENAME, part, "/")
    top = part[1]
    own = part[2]
    if ($0 !~ /SPDX-License-Identifier: MIT/) complain("no SPDX line at the top")
  }
  FNR == 1001 { complain("longer than 1000 lines") }
  /^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    split(quoted[2], path, "/")
    used = path[1]
    if (top == "tests") next
    if (top == "src" && used == quoted[2]) complain("include \"" used "\" without its module")
    else if (top == "src" && used != own && !((own, used) in allowed))
      complain(own " may not include " quoted[2])
    else if (top == "examples" || (top == "tools" && used != quoted[2] && used != own))
      complain("clients include <milo/milo.h> only, not " quoted[2])
  }
  function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what; bad = 1 }
  END { exit bad }
' src/LAYERS "${sources[@]}"
