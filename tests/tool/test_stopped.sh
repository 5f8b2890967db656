#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# Training, generation and evaluation that are stopped, killed or run into numbers that are not
# finite: what is on disk is always a whole, resumable run.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
train=("$milo" train --data data.u16 --model tiny.json --batch 2 --seed 4 --eval-every 1000)

# COMMAND...: starts it, waits until $ready holds, sends the signal $1, sets code.
signalled() { # SIGNAL CONDITION COMMAND...
  local i pid
  rm -f "$out" "$err"
  "${@:3}" >"$out" 2>"$err" </dev/null &
  pid=$!
  for ((i = 0; i < 600; i++)); do
    eval "$2" && break
    if ! kill -0 $pid 2>/dev/null; then bad "ended too early: ${*:3}"; break; fi
    sleep 0.05
  done
  [ $i -lt 600 ] || bad "not ready after half a minute: ${*:3}"
  kill -"$1" $pid 2>/dev/null
  wait $pid 2>/dev/null
  code=$?
}
clean() { # DESCRIPTION EXIT-CODE WORDS: what signalled left on standard error
  if [ "$code" != "$2" ]; then bad "$1 (exit code $code)"
  elif grep -qE "$sanitizers" "$err"; then bad "$1 (crash)"
  elif [ "$(grep -ac '^milo: ' "$err")" != 1 ]; then bad "$1 (not one message)"
  elif ! grep -qF "$3" "$err"; then bad "$1 (other words)"
  else echo "ok - $1"; fi
}
whole() { # DESCRIPTION FOLDER: a run that can be used and holds nothing else
  check "$1: the model loads" "$milo" eval "$2" --data data.u16 --max-tokens 40
  local others
  others=$(ls "$2" | grep -vxE 'checkpoint.milo|model.bin|model.json|metrics.jsonl' | tr '\n' ' ')
  if [ -n "$others" ]; then echo "not ok - $1: $2 also holds $others"; failed=1; fi
}

# ---- Ctrl-C in training: saved, resumed to the same files as a run that was not stopped ----
signalled INT '[ "$(wc -l <stopped/metrics.jsonl 2>/dev/null || echo 0)" -ge 5 ]' \
  "${train[@]}" --steps 1000000 --out stopped
clean "Ctrl-C while training" 130 "the state is saved"
whole "Ctrl-C while training" stopped
step=$(sed -n 's/.*training was stopped after step \([0-9]*\) of .*/\1/p' "$err")
"$milo" eval stopped --data data.u16 --max-tokens 40 >/dev/null || failed=1
step=${step:-$(wc -l <stopped/metrics.jsonl)}
check "resumed" "$milo" train --data data.u16 --batch 2 --out stopped --resume \
  --stop-after $((step + 3))
check "not stopped" "${train[@]}" --steps 1000000 --out straight --stop-after $((step + 3))
for file in checkpoint.milo model.bin model.json metrics.jsonl; do
  check "$file is the same, stopped or not" cmp stopped/$file straight/$file
done
for signal in TERM HUP; do
signalled $signal '[ "$(wc -l <$signal/metrics.jsonl 2>/dev/null || echo 0)" -ge 2 ]' \
  "${train[@]}" --steps 1000000 --out $signal
clean "SIG$signal while training" 130 "the state is saved"
holds "SIG$signal is answered" "^stopping after this step; again to quit now$" "$err"
done
# nohup has SIGHUP ignored: the run goes on, and is stopped by the second signal.
signalled INT '[ "$(wc -l <nohup/metrics.jsonl 2>/dev/null || echo 0)" -ge 2 ] && kill -HUP $pid &&
  sleep 0.5' \
  bash -c 'trap "" HUP; exec "$@"' bash "${train[@]}" --steps 1000000 --out nohup
clean "SIGHUP under nohup" 130 "the state is saved"
signalled INT '[ -s "$err" ]' "${train[@]}" --steps 1000000
clean "Ctrl-C without a folder" 130 "training was stopped after step"

# ---- killed at once, at many moments ----
for delay in 0.0 0.02 0.05 0.1 0.15 0.2; do
  signalled KILL '[ -e killed/model.json ]' "${train[@]}" --steps 1000000 --save-every 1 --out killed
  [ "$code" = 137 ] || bad "killed (exit code $code)"
  sleep "$delay"
  check "killed: the model loads" "$milo" eval killed --data data.u16 --max-tokens 40
  signalled KILL '[ "$(wc -l <killed/metrics.jsonl 2>/dev/null || echo 0)" -ge 3 ] && sleep '$delay \
    "$milo" train --data data.u16 --batch 2 --save-every 1 --out killed --resume
  check "killed again: goes on" "$milo" train --data data.u16 --out killed --resume \
    --stop-after $(($(wc -l <killed/metrics.jsonl) + 2))
done
check "the lines of a killed run follow each other" \
  awk -F'[:,]' '$2 != NR { exit 1 }' killed/metrics.jsonl

# A folder that holds another model when the first checkpoint is there and the rest is not.
sed 's/"dim": 8/"dim": 16/' tiny.json >other.json
"$milo" train --data data.u16 --model other.json --steps 1 --batch 1 --out other 2>/dev/null
cp stopped/checkpoint.milo other/
check "between two files of a checkpoint" "$milo" eval other --data data.u16 --max-tokens 40
check "resumed from there" "$milo" train --data data.u16 --out other --resume \
  --stop-after $((step + 4))

# ---- numbers that are not finite ----
explode=(--lr 1000 --warmup 1 --epsilon 1e-30 --weight-decay 1000 --clip 0 --steps 40)
"${train[@]}" "${explode[@]}" --save-every 1 --out nan >"$out" 2>"$err"
code=$?
clean "a loss that is not finite" 1 "is not finite at step"
if ! grep -qE 'is not finite at step [0-9]+: training stops, the checkpoint of step [0-9]+ is kept' \
  "$err"; then bad "which step, which checkpoint"; fi
whole "a loss that is not finite" nan
check "the checkpoint that is kept is good" bash -c \
  "'$milo' eval nan --data data.u16 --max-tokens 40 | grep -qE 'loss [0-9]+\.'"
# The last step's own weights are looked at before they are kept, with and without validation.
cp -r nan before
for option in "--val-fraction 0" "--val-fraction 0.1"; do
  for steps in 1 2 3; do
    "${train[@]}" "${explode[@]}" $option --steps $steps --force --out last$steps >"$out" 2>"$err"
    code=$?
    [ $code = 0 ] || clean "not finite at the end of $steps steps" 1 "is not finite at step"
    check "what is kept after $steps steps is good" "$milo" eval last$steps --data data.u16 \
      --max-tokens 40
  done
done
# A model that is not finite from the start: refused, or stopped at step 1, and nothing is touched.
floats=$(($(wc -c <stopped/model.bin) / 4))
for at in 7 100 $((floats / 2)); do
  for value in '\0\0\300\177' '\0\0\200\177'; do
    { head -c $((4 * at)) stopped/model.bin; printf "$value"; tail -c +$((4 * at + 5)) \
      stopped/model.bin; } >bad.bin
    refuse 1 "bad.bin" generate bad.bin --ids
    refuse 1 "bad.bin" eval bad.bin --data data.u16
    refuse 1 "bad.bin" train --init bad.bin --data data.u16 --steps 2 --force --out nan
  done
done
# Finite, but so large that the gradient is not. The earlier run in the folder stays.
{ head -c 28 stopped/model.bin
  for ((i = 7; i < floats; i++)); do printf '\0\0\177\177'; done; } >large.bin
large=(train --init large.bin --data data.u16 --steps 2)
refuse 1 "the gradient is not finite at step 1: training stops" "${large[@]}"
refuse 1 "the gradient is not finite at step 1: training stops" "${large[@]}" --force --out nan
check "the earlier run is there" "$milo" eval nan --data data.u16 --max-tokens 40

# ---- a step of minutes: Ctrl-C is answered at once and ends it between two layers ----
printf '{"dim": 64, "hidden": 128, "layers": 4, "heads": 2, "seq": 64, "vocab": 300}\n' >long.json
long=("$milo" train --data data.u16 --model long.json --device ref --batch 1 --val-fraction 0)
"${long[@]}" --steps 1 --out long 2>/dev/null || bad "a step on ref"
SECONDS=0
signalled INT '[ -s "$err" ] && sleep 2' "${long[@]}" --accumulate 5000 --steps 3 --out minutes
clean "Ctrl-C in a long step" 130 "training was stopped after step 0 of 3"
holds "Ctrl-C in a long step is answered" "again to quit now" "$err"
signalled INT '[ -s "$err" ] && sleep 2' "$milo" train --data data.u16 --model long.json \
  --device ref --batch 1 --val-fraction 0.5 --steps 3 --eval-every 1 --eval-batches 5000 --out long2
clean "Ctrl-C in a long evaluation" 130 "training was stopped after step 1 of 3, the state is saved"
[ $SECONDS -lt 40 ] || bad "stopping took $SECONDS seconds"
# A second signal ends it whatever it does.
signalled INT '[ -s "$err" ] && sleep 1 && { kill -INT $pid; kill -INT $pid; true; }' \
  "${long[@]}" --accumulate 5000 --steps 3
[ $code = 130 ] || bad "a second Ctrl-C (exit code $code)"

# ---- Ctrl-C elsewhere ----
for ((i = 0; i < 40; i++)); do cat text.txt; done >more.txt
for ((i = 0; i < 120; i++)); do cat more.txt; done >most.txt
signalled INT 'sleep 0.2' "$milo" tokenize train most.txt --vocab 300 -o stopped.bin
clean "Ctrl-C while learning a tokenizer" 130 "learning the tokenizer was stopped"
signalled INT 'sleep 0.3' "$milo" tokenize encode most.txt -t tok.bin -o stopped.u16
clean "Ctrl-C while encoding" 130 "encoding was stopped"
[ ! -e stopped.bin ] && [ ! -e stopped.u16 ] || bad "files of what was stopped"
printf '{"dim": 64, "hidden": 128, "layers": 4, "heads": 2, "seq": 4096, "vocab": 300}\n' >slow.json
"$milo" train --data data.u16 --model slow.json --steps 1 --batch 1 --seq 8 --eval-batches 1 \
  --out slow 2>/dev/null || bad "a slow model"
for ((i = 0; i < 40; i++)); do cat data.u16; done >more.u16
signalled INT '[ -s "$out" ]' "$milo" generate slow --ids --temperature 1.5 --device ref
clean "Ctrl-C while generating" 130 "generation was stopped after"
signalled INT 'sleep 0.5' "$milo" eval slow --data more.u16 --seq 64 --device ref
clean "Ctrl-C while evaluating" 130 "evaluation was stopped"
signalled INT 'sleep 0.5' "$milo" bench train tiny.json --steps 100000 --batch 1
clean "Ctrl-C while timing" 130 "training was stopped after step"
signalled INT '[ -e demo/model.json ]' "$milo" demo --stories 100 --steps 100000
clean "Ctrl-C in the demo" 130 "the state is saved"
exit $failed
