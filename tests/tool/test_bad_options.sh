#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# Options and arguments that make no sense, for every command: usage, exit code 2.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
cp "$MILO_SOURCE/tests/data/block.mil" block.mil
"$milo" train --data data.u16 --model tiny.json --steps 1 --batch 1 --out run 2>/dev/null || exit 1
cp tok.bin run/tokenizer.bin

refuse 2 "there is no command 'frobnicate'" frobnicate
refuse 2 "there is no command ''" ""
refuse 2 "there is no command 'frobnicate'" help frobnicate

# Every command that help lists.
commands=$("$milo" help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -v '^help$')
[ "$(echo "$commands" | wc -l)" -ge 12 ] || { echo "not ok - help lists too few commands"; failed=1; }
declare -A call=(
  [check]="block.mil" [fmt]="block.mil" [info]="block.mil" [run]="block.mil" [ops]=""
  [grad]="block.mil" [opt]="block.mil" [tokenize]="encode text.txt -t tok.bin" [stories]="-n 1"
  [train]="--data data.u16 --model tiny.json" [generate]="run" [eval]="run --data data.u16"
  [bench]="train tiny.json" [demo]="" [kernels]="tiny.json --plan dynamic" [fit]="net.mil --data x=x.npy --loss y"
  [convert]="run x.bin"
)
for command in $commands; do
  if [ -z "${call[$command]+set}" ]; then
    echo "not ok - $command has no line in this test"; failed=1; continue
  fi
  args=(${call[$command]})
  check "help on $command" "$milo" help "$command"
  refuse 2 "there is no option '--frobnicate'" "$command" "${args[@]}" --frobnicate
  refuse 2 "there is no option '-Z'" "$command" "${args[@]}" -Z
  refuse 2 "--threads needs a value" "$command" "${args[@]}" --threads
  refuse 2 "--threads takes a whole number, not '-1'" "$command" "${args[@]}" --threads -1
  refuse 2 "--threads takes a whole number, not 'many'" "$command" "${args[@]}" --threads many
  refuse 2 "--threads is at most" "$command" "${args[@]}" --threads 100000
  refuse 2 "--cpu-mask" "$command" "${args[@]}" --cpu-mask nonsense
  refuse 2 "--cpu-mask" "$command" "${args[@]}" --cpu-mask=avx2,,x
  refuse 2 "--json takes no value" "$command" "${args[@]}" --json=yes
done

for command in check fmt info run grad generate eval; do
  refuse 2 "an argument is missing" "$command"
done
refuse 2 "an argument is missing" bench train
refuse 2 "an argument is missing" tokenize encode
for command in fmt info run grad generate eval; do
  refuse 2 "too many arguments" "$command" a b
done
for command in ops stories train; do refuse 2 "too many arguments" "$command" a; done

number="takes a number, not"
whole="takes a whole number"
train=(train --data data.u16 --model tiny.json --batch 1 --steps 2)
refuse 2 "--data FILE is needed" train
refuse 2 "--data FILE is needed" eval run
refuse 2 "--max-tokens is at least 1" eval run --data data.u16 --max-tokens 0
refuse 2 "--seq is at least 1" eval run --data data.u16 --seq 0
refuse 2 "--output-dir is empty" run block.mil --random 1 -o ''
refuse 2 "--resume needs --out" "${train[@]}" --resume
refuse 2 "exclude each other" "${train[@]}" --init run
for option in steps stop-after batch seq accumulate warmup eval-every eval-batches save-every; do
  refuse 2 "--$option is at least 1" "${train[@]}" "--$option" 0
  refuse 2 "$whole" "${train[@]}" "--$option" -1
  refuse 2 "$whole" "${train[@]}" "--$option" 1.5
  refuse 2 "$whole" "${train[@]}" "--$option" 18446744073709551615
  refuse 2 "$whole" "${train[@]}" "--$option" 99999999999999999999999
done
for option in lr min-lr-ratio beta1 beta2 epsilon weight-decay clip val-fraction; do
  refuse 2 "--$option $number 'fast'" "${train[@]}" "--$option" fast
  refuse 2 "--$option $number 'nan'" "${train[@]}" "--$option" nan
  refuse 2 "--$option $number '1e999'" "${train[@]}" "--$option" 1e999
  refuse 2 "--$option takes a number" "${train[@]}" "--$option" -1
done
for bad in "--lr 1e30" "--beta1 1" "--beta2 2" "--epsilon 5" "--val-fraction 1" \
  "--min-lr-ratio 7" "--weight-decay 1e9" "--batch 100000000000" "--accumulate 100000000000" \
  "--eval-batches 100000000000" "--steps 18446744073709551614" "--seq 17"; do
  refuse 1 "training: " "${train[@]}" $bad
done
refuse 2 "--schedule is cosine, linear, constant or wsd" "${train[@]}" --schedule step
refuse 2 "--optimizer is adamw or adam" "${train[@]}" --optimizer sgd
refuse 2 "--random is normal or uniform" "${train[@]}" --random ones
refuse 2 "--random is of weights that nothing else gives" "${train[@]}" --random normal --resume --out x
refuse 2 "--decay-steps is at least 1" "${train[@]}" --decay-steps 0
refuse 1 "decay_steps is a part of the schedule wsd" "${train[@]}" --decay-steps 3
refuse 1 "a constant one has none" "${train[@]}" --schedule constant --min-lr-ratio 0.5
refuse 2 "--vocab" "${train[@]}" --vocab 0
refuse 2 "--vocab" "${train[@]}" --vocab 99999999999
refuse 1 'there is no device "gpu"' "${train[@]}" --device gpu

refuse 2 "$number 'hot'" generate run --temperature hot
refuse 2 "--temperature" generate run --temperature -1
refuse 2 "--top-p" generate run --top-p -0.1
refuse 2 "--top-p" generate run --top-p 1.5
refuse 2 "$whole" generate run --seed -3
refuse 1 "17 tokens wanted" generate run --steps 17
refuse 1 "tokens wanted" generate run --steps 18446744073709551614
refuse 1 'there is no device ""' generate run --device ""
refuse 1 "longer than the model's 16" eval run --data data.u16 --seq 17
refuse 1 "longer than the model's 16" eval run --data data.u16 --seq 18446744073709551614
refuse 1 'there is no device "REF"' eval run --data data.u16 --device REF
refuse 2 "--precision is fp32, bf16 or fp16" bench train tiny.json --precision int1
refuse 2 "cannot be timed" bench race tiny.json
refuse 2 "are small whole numbers" bench train tiny.json --steps 0
refuse 2 "are small whole numbers" bench train tiny.json --batch 0
refuse 2 "are small whole numbers" bench train tiny.json --seq 99999999
refuse 2 "--count is at most" stories --count 18446744073709551614
refuse 2 "$whole" stories --count -1
refuse 2 "is not train, encode or decode" tokenize frobnicate text.txt
refuse 2 "needs --tokenizer" tokenize decode data.u16
for vocab in 0 299 18446744073709551614; do
  refuse 1 "cannot be trained" tokenize train text.txt --vocab $vocab -o t.bin
done
refuse 2 "--random takes a whole number, not '-1'" run block.mil --random -1
refuse 2 "--random takes a whole number, not 'x'" run block.mil --random x
for command in "train --data data.u16 --model tiny.json" "fit net.mil --data x=x.npy --loss y"; do
  for bad in 0 -1 nan inf 1e-5 1e31 x dynamic: dynamic:0.5 dynamic:x dynamicly 256x; do
    refuse 2 "--loss-scale takes a number" $command --loss-scale $bad
  done
  for bad in fp64 FP16 bf "fp16,bf16"; do
    refuse 2 "--precision is fp32, bf16 or fp16, not" $command --precision $bad
  done
done
exit $failed
