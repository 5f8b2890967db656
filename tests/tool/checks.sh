# SPDX-License-Identifier: MIT
# What the scripts of this folder share: a folder to work in, and checks of what a command does.
#
# Sourced. The working folder is $work/here; what a command prints goes beside it, so that "nothing
# half-written" can be checked by comparing the folder before and after.
set -u
milo=${MILO_TOOL:?}
"$milo" --version || { echo "not ok - the command does not run"; exit 1; }
work=$(mktemp -d) || exit 1
tidy() { # not in the subshell of a command that is killed while it starts
  if [ "$BASHPID" = $$ ]; then chmod -R u+w "$work"; rm -rf "$work"; fi
}
trap tidy EXIT
mkdir "$work/here" && cd "$work/here" || exit 1
out=$work/out err=$work/err
failed=0
sanitizers='Sanitizer|runtime error:|Assertion|core dumped|Segmentation|Aborted'

# A check that does not exist must not pass as one that printed nothing.
command_not_found_handle() {
  echo "not ok - no command $1"
  kill $$
}

bad() { # DESCRIPTION: the check that just ran failed
  echo "not ok - $1"
  head -c 1000 "$out" | head -5
  head -c 3000 "$err"
  failed=1
}

check() { # DESCRIPTION COMMAND...: the command succeeds
  if "${@:2}" >"$out" 2>"$err"; then echo "ok - $1"; else bad "$1"; fi
}

holds() { # DESCRIPTION PATTERN FILE: what the last command wrote has such a line
  if grep -qE -- "$2" "$3"; then echo "ok - $1"; else bad "$1"; fi
}

json() { # DESCRIPTION PYTHON: what the last command printed, as value j, passes
  command -v python3 >/dev/null || { echo "ok - $1 # SKIP no python3"; return; }
  if python3 -c "import json, sys; j = json.load(open(sys.argv[1])); assert $2, j" "$out"; then
    echo "ok - $1"
  else
    bad "$1"
  fi
}

# Names and contents of all files here.
state() { find . -type f -exec cksum {} + 2>/dev/null; }

# CODE WORDS MESSAGE-PATTERN COMMAND...: ends with CODE; standard error has one line that matches
# MESSAGE-PATTERN, no sanitizer report, and holds WORDS; no file here changed. (QUIET=1: files are
# not compared and success is not printed, for long series. MOST=N: up to N messages. Few processes
# are started, for there are hundreds of these.)
refused() {
  local code before="" after="" title text line messages=0
  [ -n "${QUIET:-}" ] || before=$(state)
  timeout 60 "${@:4}" >"$out" 2>"$err" </dev/null
  code=$?
  title="${4##*/} ${*:5}"
  title="${title:0:100}: $2"
  text=$(tr '\0\r' '  ' <"$err")
  while IFS= read -r line; do
    if [[ $line =~ $3 ]]; then messages=$((messages + 1)); fi
  done <<<"$text"
  [ -n "${QUIET:-}" ] || after=$(state)
  if [ "$code" != "$1" ]; then
    bad "$title (exit code $code, expected $1)"
  elif [[ $text =~ $sanitizers ]]; then
    bad "$title (crash)"
  elif [ "$messages" -lt 1 ] || [ "$messages" -gt "${MOST:-1}" ]; then
    bad "$title ($messages messages)"
  elif [[ $text != *"$2"* ]]; then
    bad "$title (other words)"
  elif [ "$after" != "$before" ]; then
    bad "$title (files changed)"
    diff <(echo "$before") <(echo "$after")
  else
    [ -n "${QUIET:-}" ] || echo "ok - $title"
  fi
}

# CODE WORDS ARGUMENTS...: milo ARGUMENTS is refused with one message.
refuse() { refused "$1" "$2" '^milo( [a-z]+)?: |(^|: )error: ' "$milo" "${@:3}"; }

# The first N bytes of a file.
cut_at() { head -c "$2" "$1"; } # FILE N

# A file with one byte changed: FILE OFFSET XOR >RESULT
flip() {
  local byte
  byte=$(od -An -tu1 -j "$2" -N 1 "$1")
  head -c "$2" "$1"
  printf "\\x$(printf %02x $((byte ^ $3)))"
  tail -c +$(($2 + 2)) "$1"
}

# Models that train in no time, and something to train them on.
make_inputs() {
  printf '{"dim": 8, "hidden": 12, "layers": 1, "heads": 2, "seq": 16, "vocab": 300}\n' >tiny.json
  "$milo" stories -n 20 --seed 3 -o text.txt >/dev/null &&
    "$milo" tokenize train text.txt --vocab 300 -o tok.bin >/dev/null &&
    "$milo" tokenize encode text.txt -t tok.bin -o data.u16 >/dev/null || exit 1
}
