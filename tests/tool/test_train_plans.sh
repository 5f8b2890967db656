#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# milo train --plan: the three plans from the command line; a compile budget that ends processes,
# with the files of a run that needed one.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

cat >tiny.json <<'J'
{"dim": 16, "hidden": 24, "layers": 2, "heads": 4, "kv_heads": 2, "seq": 16, "vocab": 300}
J
"$milo" stories --count 40 --seed 5 -o stories.txt >/dev/null || exit 1
run=(train --data stories.txt --model tiny.json --batch 2 --eval-every 3 --eval-batches 2
  --save-every 2 --lr 1e-2 --seed 3 --steps 7)

loss=() again=()
for plan in fused dynamic static; do
  check "plan $plan" "$milo" "${run[@]}" --plan $plan --out $plan --json
  loss[${#loss[@]}]=$(sed 's/.*"loss": \([0-9.]*\).*/\1/' "$out")
done
check "the same losses" awk -v a="${loss[0]}" -v b="${loss[1]}" -v c="${loss[2]}" \
  'BEGIN { exit !((a-b)^2 < 1e-9 && (a-c)^2 < 1e-9 && a > 1) }'

# Two layers: 15 programs for a step and what saving it needs. Each process takes one step, or two.
for budget in 15 32; do
  check "budget of $budget" "$milo" "${run[@]}" --plan static --compile-budget $budget --out b$budget
  again[$budget]=$(grep -c "going on in a new process" "$err")
  check "the files of one process ($budget)" diff -r static b$budget
done
check "every step but the last ended a process" test "${again[15]}" = 6
check "some steps did" test "${again[32]}" -ge 1 -a "${again[32]}" -le 4
check "begun anew with --force" "$milo" "${run[@]}" --plan static --compile-budget 15 --out b15 --force
check "the same files" diff -r static b15
cp -r b15 more
check "a resumed run goes on so too" "$milo" "${run[@]}" --plan static --compile-budget 15 --out more \
  --resume --steps 9
check "to its end" test "$(wc -l <more/metrics.jsonl)" = 9
check "fp16 with a budget" "$milo" "${run[@]}" --plan static --precision fp16 --compile-budget 20 \
  --out half
check "fp16 in one process" "$milo" "${run[@]}" --plan static --precision fp16 --out half1
check "the same files in fp16" diff -r half half1

check "a regression" "$milo" train --task regression --model tiny.json --json
json "loss falls" 'j["steps"] == 100 and j["loss"] < 0.5 * j["first_loss"] and j["compiles"] == 501'
check "with the plan dynamic" "$milo" train --task regression --model tiny.json --plan dynamic --steps 20
holds "a line every ten steps" '^step 10 +loss 0\.[0-9]+ ' "$out"
holds "and a summary" '^loss 0\.[0-9]+ to 0\.[0-9]+ in 20 steps, .* 10 programs compiled' "$out"
refuse 2 "--task is regression, not 'chess'" train --task chess
refuse 2 "takes no --data" train --task regression --data stories.txt
refuse 1 "the kernels of the plans static and dynamic" train --task regression --plan fused
refuse 2 "--plan is fused, dynamic or static, not 'stat'" "${run[@]}" --plan stat --out none
# A signal at any place, also where one process takes the other's, ends the run, not one of its processes.
for wait in 0.3 0.37 0.44; do
  "$milo" "${run[@]}" --steps 100000 --plan static --compile-budget 15 --out ended --force >"$out" 2>"$err" &
  pid=$!
  sleep $wait
  kill -INT $pid
  (sleep 20; kill -KILL $pid) 2>/dev/null &
  killer=$!
  wait $pid
  code=$?
  kill $killer 2>/dev/null
  check "Ctrl-C after $wait s ends it with 130, not $code" test $code = 130
done

refuse 2 "--compile-budget needs --out" "${run[@]}" --plan static --compile-budget 40
refuse 2 "--compile-budget is at least 1" "${run[@]}" --plan static --compile-budget 0 --out none
refuse 2 "--compile-budget needs files" train --data - --plan static --compile-budget 40 --out none
refuse 1 "14 is less than one step needs: 15 programs" \
  "${run[@]}" --plan static --compile-budget 14 --out static --force
refuse 1 "plan was static in that run and is fused now" "${run[@]}" --plan fused --out static --resume
refuse 1 "fp32 or fp16, not in bf16" "${run[@]}" --plan dynamic --precision bf16 --out static --force
check "nothing was made" test ! -e none
exit $failed
