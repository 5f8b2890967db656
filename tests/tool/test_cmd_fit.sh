#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo fit: the example trains, its result runs and is the same text, a run is resumed, and what is
# wrong is said.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
cp "$MILO_SOURCE"/examples/fit/* .
data=(--data x=x.npy,t=t.npy --loss mse:y=t --trainable '*')
more=(--batch 32 --lr 0.02 --schedule cosine --val-fraction 0.34 --eval-every 100)

check "the example trains" "$milo" fit sine.mil "${data[@]}" "${more[@]}" --steps 600 --out run --json
grep -q '"step": 600, "steps": 600, "stopped": false, "rows": 19200' "$out" || bad "json"
best=$(sed 's/.*"best_val_loss": \([^,]*\),.*/\1/' "$out")
awk "BEGIN { exit !($best < 0.002) }" || bad "held-back loss $best"
grep -q '"rows":' run/metrics.jsonl || bad "no rows in metrics.jsonl"
check "its result runs" "$milo" run run/program.mil --input x=x.npy --output-dir .
[ -s y.npy ] || bad "no y.npy"
"$milo" fmt sine.mil >before.mil && "$milo" fmt run/program.mil >after.mil
[ "$(diff before.mil after.mil | grep -c '^<')" = 4 ] || bad "more than four constants differ"
[ "$(diff <(sed 's/0x[^],]*//g; s/-//g' before.mil) <(sed 's/0x[^],]*//g; s/-//g' after.mil))" = "" ] ||
  bad "more than numbers differ"

check "a part" "$milo" fit sine.mil "${data[@]}" "${more[@]}" --steps 600 --stop-after 140 --out stopped --quiet
check "the rest" "$milo" fit sine.mil "${data[@]}" "${more[@]}" --out stopped --resume --threads 1
cmp run/program.mil stopped/program.mil || bad "resumed: another program"
cmp run/checkpoint.milo stopped/checkpoint.milo || bad "resumed: another checkpoint"
cmp run/metrics.jsonl stopped/metrics.jsonl || bad "resumed: other metrics"

refuse 1 "holds a training run" fit sine.mil "${data[@]}" --out run
refuse 1 "that run had another optimizer" fit sine.mil "${data[@]}" --out run --resume --optimizer sgd
refuse 1 "nothing to train" fit sine.mil --data x=x.npy,t=t.npy --loss mse:y=t
refuse 1 "has no output q" fit sine.mil --data x=x.npy,t=t.npy --loss mse:q=t --trainable '*'
refuse 1 "input x has no data" fit sine.mil --data t=t.npy --loss mse:y=t
refuse 2 "NAME=FILE" fit sine.mil --data x.npy --loss mse:y=t
refuse 2 "--loss is needed" fit sine.mil --data x=x.npy
refuse 2 "--data NAME=FILE is needed" fit sine.mil --loss y
refuse 2 "adamw or sgd" fit sine.mil "${data[@]}" --optimizer adam
refuse 2 "constant or cosine" fit sine.mil "${data[@]}" --schedule linear
refuse 2 "--resume needs --out" fit sine.mil "${data[@]}" --resume
exit $failed
