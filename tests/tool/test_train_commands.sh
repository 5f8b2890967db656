#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo train, generate, eval and bench: from text to text, resuming, stopping, what they refuse.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

cat >tiny.json <<'J'
{"dim": 16, "hidden": 24, "layers": 2, "heads": 4, "kv_heads": 2, "seq": 24, "vocab": 320}
J
"$milo" stories --count 60 --seed 5 -o stories.txt >/dev/null || exit 1
run=(train --data stories.txt --model tiny.json --batch 2 --eval-every 10 --eval-batches 2
  --save-every 5 --lr 1e-2 --seed 3)

# The gate of resuming: all files are byte for byte those of a run that never stopped.
check "20 steps" "$milo" "${run[@]}" --out whole --steps 20
check "10 of 20 steps" "$milo" "${run[@]}" --out parts --steps 20 --stop-after 10 --threads 1
check "the other 10" "$milo" "${run[@]}" --out parts --steps 20 --resume --threads 3
check "the same files" diff -r whole parts
check "five files" test "$(ls whole | tr '\n' ' ')" = \
  "checkpoint.milo metrics.jsonl model.bin model.json tokenizer.bin "
check "a line a step" test "$(wc -l <whole/metrics.jsonl)" = 20
check "validation in the metrics" test "$(grep -c '"val_loss":' whole/metrics.jsonl)" = 2

# Another schedule and optimizer belong to the run, too: resumed without being named again.
other=("${run[@]}" --schedule wsd --decay-steps 4 --optimizer adam --random uniform --steps 8)
check "other rules" "$milo" "${other[@]}" --out other
check "their first part" "$milo" "${other[@]}" --out others --stop-after 3
check "goes on with them" "$milo" "${run[@]}" --out others --resume
check "to the same files" diff -r other others
check "the rate stands, then falls" test "$(grep -c '"lr":0.01,' other/metrics.jsonl)" = 5
refuse 1 "schedule was wsd in that run and is linear now" \
  "${run[@]}" --out others --resume --schedule linear
check "other weights than normal ones" "$milo" "${run[@]}" --steps 1 --random normal --out normal
check "begin elsewhere" bash -c "! cmp -s normal/model.bin other/model.bin"

check "JSON result" "$milo" "${run[@]}" --out json --steps 2 --json
holds "one line of JSON" '^\{"step": 2, "steps": 2, "stopped": false.*"loss": [0-9.]+.*\}$' "$out"
json "its times add up" 'abs(j["wall_seconds"] - sum(j[k + "_seconds"] for k in
  ("compile", "device", "host", "io"))) < 1e-6 and min(j[k + "_seconds"] for k in
  ("compile", "device", "host", "io")) >= 0 and j["device_seconds"] > 0'
json "flops by the formula" 'j["flops_per_token"] == 6 * (320 * 16 + 2 * (16 * 16 * 2 + 8 * 16 * 2
  + 3 * 16 * 24)) + 12 * 2 * 16 * 24 and j["kernels_compiled"] >= 6'
json "and what comes of them" 'abs(j["tflops_per_second"] * 1e12
  / (j["flops_per_token"] * j["tokens_per_second"]) - 1) < 1e-9'
holds "told to people too" '^[0-9.]+ s: [0-9.]+ compiling [0-9]+ programs, .* TFLOP/s' "$err"
holds "progress with ETA" '^step 2/2  loss [0-9.]+ .*ETA 0:00:00  ' "$err"

# Ctrl-C: saves, says so, and can go on.
"$milo" "${run[@]}" --out stopped --steps 100000 >"$out" 2>"$err" &
pid=$!
for _ in $(seq 200); do [ -s stopped/metrics.jsonl ] && break; sleep 0.05; done
kill -INT $pid
wait $pid
code=$?
cp "$err" stop.err
check "Ctrl-C exits with 130" test $code = 130
holds "Ctrl-C says what was saved" "the state is saved" stop.err
step=$(wc -l <stopped/metrics.jsonl)
check "metrics end with the checkpoint" bash -c \
  "'$milo' train --data stories.txt --out stopped --resume --stop-after $((step + 1)) --json |
   grep -q '\"step\": $((step + 1)),'"

check "generate from the folder" "$milo" generate whole --prompt "Once upon" --steps 20
holds "the prompt stands there" "^Once upon" "$out"
holds "speed on standard error" "tokens/s" "$err"
cp "$out" story.txt
check "the same again" bash -c "'$milo' generate whole -p 'Once upon' --steps 20 | cmp - story.txt"
check "another seed" bash -c "! '$milo' generate whole -p 'Once upon' -n 20 --seed 1 | cmp -s - story.txt"
check "ids" bash -c "[ \"\$('$milo' generate whole/model.bin --ids --steps 12 --temperature 0 |
  grep -cE '^[0-9]+$')\" -le 12 ]"
check "ids on ref" bash -c "diff <('$milo' generate whole --ids -n 12 --temperature 0 --device ref) \
  <('$milo' generate whole --ids -n 12 --temperature 0)"
check "JSON of generate" "$milo" generate whole --prompt Once --steps 8 --json
holds "ids and text in it" '^\{"ids": \[1, .*"text": "Once.*"tokens_per_second": ' "$out"

"$milo" tokenize encode stories.txt -t whole/tokenizer.bin -o stories.tokens >/dev/null
check "eval of text" "$milo" eval whole --data stories.txt --max-tokens 500 --json
sed 's/, "seconds.*//' "$out" >text.json
check "losses of every token" "$milo" eval whole --data stories.txt --max-tokens 500 --seq 24 \
  --losses losses.npy --json
json "their mean is the loss" \
  "(lambda v: len(v) == j['tokens'] == 480 and abs(sum(v) / 480 - j['loss']) < 1e-6)(\
  __import__('array').array('f', open('losses.npy', 'rb').read()[-480 * 4:]))"
check "losses on standard output" sh -c '"$1" eval whole --data stories.txt --max-tokens 500 \
  --losses - >out.npy 2>said && cmp out.npy losses.npy && grep -q "^loss " said' - "$milo"
refuse 2 "--losses would replace what --data reads" eval whole --data stories.txt --losses stories.txt
refuse 2 "--losses would replace the model" eval whole/model.bin --tokenizer whole/tokenizer.bin \
  --data stories.txt --losses whole/model.bin
refuse 1 "no/losses.npy" eval whole --data stories.txt --max-tokens 50 --losses no/losses.npy
check "eval of tokens" "$milo" eval whole/model.bin --data stories.tokens --max-tokens 500 --json
sed 's/, "seconds.*//' "$out" >tokens.json
check "they agree" diff text.json tokens.json
check "train on tokens, from weights" "$milo" train --data stories.tokens --init whole --out more \
  --steps 2 --batch 2
check "the default model fits a tokenizer" "$milo" train --data stories.txt -t whole/tokenizer.bin \
  --steps 1 --batch 1 --seq 8
check "bench" "$milo" bench train tiny.json --batch 2 --steps 2 --precision fp32 --json
json "the share of the peak" 'j["share_of_peak"] > 0 and j["peak_tflops_per_second"] > 0'
holds "bench's figures" '"tokens_per_second": [0-9.e+]+, "peak_memory_bytes": [0-9]+' "$out"

head -c 20000 stories.tokens >less.tokens
refuse 2 "--data FILE is needed" train
refuse 2 "--resume needs --out" train --data stories.txt --resume
refuse 2 "--vocab is part of what --init reads" train --data stories.txt --init whole --vocab 9
refuse 2 "--steps is at least 1" "${run[@]}" --steps 0
refuse 2 "--lr takes a number above 0" "${run[@]}" --lr 0
refuse 1 "missing.txt" train --data missing.txt
refuse 1 "no model or description file named 'nope'" train --data stories.txt --model nope
refuse 1 "longer than the model's 24" "${run[@]}" --seq 25
refuse 1 "lr was 0.01 in that run and is 0.02 now" "${run[@]}" --out whole --steps 20 --resume --lr 2e-2
refuse 1 "other training data" train --data less.tokens --out more --resume
refuse 1 "outside the vocabulary of 320" train --data whole/model.bin --model tiny.json
refuse 1 "no device" "${run[@]}" --device nope
: >file
refuse 1 "file" "${run[@]}" --out file/below --steps 1
head -c 3000 whole/model.bin >cut.bin
refuse 1 "truncated llama2.c model" eval cut.bin --data stories.tokens
refuse 1 "not a llama2.c model" eval file --data stories.tokens
head -c 3000 whole/checkpoint.milo >parts/checkpoint.milo
refuse 1 "truncated" "${run[@]}" --out parts --steps 20 --resume
refuse 1 "missing.bin" generate missing.bin --ids
refuse 1 "30 tokens wanted, the model's sequences have at most 24" generate whole --steps 30
refuse 2 "--tokenizer FILE is needed" generate whole/model.bin
refuse 2 "--precision is fp32, bf16 or fp16" bench train tiny.json --precision fp64
refuse 2 "--temperature is a number from 0" generate whole --temperature -1
exit $failed
