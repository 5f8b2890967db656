#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# Progress: one line in place on a terminal, whole lines in a file, nothing with --quiet; Ctrl-C is
# answered at once.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
train=("$milo" train --data data.u16 --model tiny.json --batch 1 --val-fraction 0)

# ---- in a file ----
"${train[@]}" --steps 3000 >"$out" 2>"$work/file"
check "no carriage return in a file" bash -c "! grep -q \$'\\r' '$work/file'"
check "few lines in a file" test "$(grep -c '^step ' "$work/file")" -le 6
holds "elapsed and ETA" \
  '^step 3000/3000  loss [0-9.]+  ETA 0:00:00  0:00:[0-9]{2} elapsed  [0-9]+ tokens/s' "$work/file"
check "a demo" "$milo" demo --stories 100 --steps 3
cp "$err" "$work/file"
check "no carriage return of a demo's in a file" bash -c "! grep -q \$'\\r' '$work/file'"
holds "a demo's steps" '^step 3/3  loss .*ETA 0:00:00' "$work/file"

# ---- --quiet ----
quiet() { # DESCRIPTION COMMAND...
  if "${@:2}" --quiet >"$out" 2>"$work/quiet" && [ ! -s "$work/quiet" ]; then
    echo "ok - quiet: $1"
  else
    cp "$work/quiet" "$err"
    bad "quiet: $1"
  fi
}
quiet "train" "${train[@]}" --steps 3 --out run
cp tok.bin run/tokenizer.bin
quiet "train a text" "$milo" train --data text.txt --model tiny.json --steps 2 --batch 1
quiet "generate" "$milo" generate run --steps 5
if [ -s "$out" ]; then echo "ok - but for the result"; else bad "but for the result"; fi
quiet "eval" "$milo" eval run --data data.u16 --max-tokens 40
quiet "tokenize" "$milo" tokenize train text.txt --vocab 300 -o t.bin
quiet "bench" "$milo" bench train tiny.json --steps 1 --batch 1
quiet "demo" "$milo" demo --stories 100 --steps 2 --out quiet-demo
"$milo" train --data missing --quiet 2>"$err"
if grep -q missing "$err"; then echo "ok - but for errors"; else bad "but for errors"; fi

# ---- on a terminal ----
command -v python3 >/dev/null || { echo "ok - terminals # SKIP no python3"; exit $failed; }
terminal() { # COLUMNS ARGUMENTS...: what stands on a terminal in the end is in $work/screen
  timeout 120 python3 "$MILO_SOURCE/tests/tool/terminal.py" "$@" >"$work/screen" 2>"$err"
  tail -1 "$work/screen" >"$work/end"
}
long=("${train[@]}" --steps 2000 --batch 8)
for columns in 20 39 80 200; do
  terminal $columns "${long[@]}"
  read -r _ code widest _ updates _ < <(tr -d ';' <"$work/end")
  check "$columns columns: fits" test "${code}" = 0 -a "${widest}" -lt "$columns"
  check "$columns columns: in place" test "${updates}" -ge 2
  check "$columns columns: one line is left" test "$(grep -c '^step ' "$work/screen")" = 1
  holds "$columns columns: the last step" '^step 2000/2000' "$work/screen"
done
holds "all fields on a wide one" 'elapsed .*\|g\| .* lr ' "$work/screen"
terminal 60 --interrupt "step " "${train[@]}" --steps 100000000 --out stopped
holds "Ctrl-C is answered" '^stopping after this step; again to quit now$' "$work/screen"
holds "on a line of its own, below the progress" '^step [0-9]+/100000000' "$work/screen"
holds "and stops" '^milo: error: training was stopped after step .*, the state is saved' \
  "$work/screen"
holds "with exit code 130" '^exit 130;' "$work/end"
exit $failed
