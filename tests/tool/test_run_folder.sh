#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# What a training run begins with and the folder it is kept in: nothing is replaced, left out or
# made up without a word.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
train=(train --data data.u16 --model tiny.json --batch 1)

# ---- weights that are there already need the tokenizer they were trained with ----
"$milo" "${train[@]}" --steps 1 --out run 2>/dev/null || exit 1
words="of 300 tokens that its weights were trained with: --tokenizer FILE"
refuse 2 "run/model.bin needs the tokenizer $words" train --init run/model.bin --data text.txt
refuse 2 "run needs the tokenizer $words" train --init run --data text.txt
refuse 2 "run needs the tokenizer $words" train --out run --data text.txt --resume
check "weights and their tokenizer" "$milo" train --init run/model.bin -t tok.bin --data text.txt \
  --steps 1 --batch 1
"$milo" stories -n 300 -o more.txt >/dev/null &&
  "$milo" tokenize train more.txt --vocab 400 -o large.bin >/dev/null || exit 1
refuse 1 "large.bin has 400 tokens, the model's vocabulary 300" train --init run/model.bin -t large.bin \
  --data text.txt
refuse 1 "large.bin has 400 tokens, the model's vocabulary 300" "${train[@]/data.u16/text.txt}" -t large.bin

# ---- shapes ----
sed 's/"dim": 8/"dim": 30/; s/"heads": 2/"heads": 7/' tiny.json >thirty.json
refuse 1 "dim (30) is not a multiple of heads (7)" train --data data.u16 --model thirty.json
sed 's/}/, "qk_norm": true}/' tiny.json >norm.json
check "a model that no .bin file can hold" "$milo" train --data data.u16 --model norm.json \
  --steps 1 --batch 1 --out norm
holds "that model.bin is not written, and why" \
  "model.bin is not written: .* cannot hold this model \(qk_norm is set\)" "$err"
check "no model.bin" test ! -e norm/model.bin

# ---- a folder that holds a run ----
: >run/checkpoint.milo.milo-0.tmp # as a process that was killed leaves it
: >run/model.bin.milo-3.tmp
cp run/checkpoint.milo first.milo
refuse 1 "'run' holds a training run (run/checkpoint.milo)" "${train[@]}" --steps 1 --out run
holds "what to do" "hint: --resume goes on with it, --force replaces it" "$err"
refuse 1 "'run' holds a training run" demo --steps 1 --out run
refuse 2 "--resume and --force exclude each other" "${train[@]}" --out run --resume --force
refuse 2 "--resume and --force exclude each other" demo --resume --force
refuse 2 "--force needs --out" "${train[@]}" --force
refuse 1 "there is nothing to resume: no 'norun/checkpoint.milo'" demo --out norun --resume
cp tok.bin run/tokenizer.bin
check "a run goes on" "$milo" train --data data.u16 --out run --resume --steps 3
check "what killed processes left is gone" test "$(ls run | tr '\n' ' ')" = \
  "checkpoint.milo metrics.jsonl model.bin model.json tokenizer.bin "
check "nothing is left to do" "$milo" train --data data.u16 --out run --resume
holds "how it would go on" "the run is finished, at step 3; --steps N makes it longer" "$err"
refuse 1 "steps was 3 in that run and is 2 now" train --data data.u16 --out run --resume --steps 2
check "a run is replaced" "$milo" "${train[@]}" --steps 1 --out run --force
check "by the same as in a new folder" cmp run/checkpoint.milo first.milo
check "its tokenizer goes with it" test ! -e run/tokenizer.bin
check "no folder" "$milo" "${train[@]}" --steps 1
holds "that nothing is kept" "^nothing is kept: no folder was given with --out DIR" "$err"

# ---- other people's files ----
refuse 1 "the name of the folder is empty" "${train[@]}" --steps 1 --out ''
for name in tokenizer.bin model.json; do
  mkdir "theirs-$name" && cp text.txt "theirs-$name/$name"
  refuse 1 "'theirs-$name/$name' is there and would be replaced" "${train[@]}" --steps 1 --out "theirs-$name"
  check "$name is kept" cmp text.txt "theirs-$name/$name"
  check "or replaced if that is wanted" "$milo" "${train[@]}" --steps 1 --out "theirs-$name" --force
done
mkdir own && cp tok.bin own/tokenizer.bin && cp tiny.json own/model.json
check "what is read from there may stand there" "$milo" train --data text.txt -t own/tokenizer.bin \
  --model own/model.json --batch 1 --steps 1 --out own
refuse 1 "" train --data text.txt --steps 1 --out /dev/null/x
if grep -q "learnt" "$err"; then bad "a tokenizer was learnt for a folder that cannot be"; fi

# ---- two processes ----
"$milo" "${train[@]}" --steps 100000000 --save-every 100000 --eval-every 100000 --out both \
  2>/dev/null >"$work/first" &
pid=$!
for _ in $(seq 200); do [ -s both/metrics.jsonl ] && break; sleep 0.05; done
for also in --force --resume; do
  if timeout 60 "$milo" "${train[@]}" --out both $also >"$out" 2>"$err"; then
    bad "two processes in one folder ($also)"
  fi
  holds "who is there ($also)" "^milo: error: process $pid is training into 'both' already" "$err"
done
kill -9 $pid
wait $pid 2>/dev/null
check "killed, the folder is free" "$milo" "${train[@]}" --steps 1 --out both --force
check "no lock is left" test ! -e both/run.lock

# ---- the demo ----
check "a demo" "$milo" demo --stories 100 --steps 2 --out tale
cp tale/stories.txt stories.txt

check "it goes on" "$milo" demo --stories 100 --steps 4 --out tale --resume
check "for four steps" test "$(wc -l <tale/metrics.jsonl)" = 4
check "with the same stories" cmp tale/stories.txt stories.txt
refuse 1 "other training data" demo --stories 120 --steps 5 --out tale --resume
mkdir taken && cp text.txt taken/stories.txt
refuse 1 "'taken/stories.txt' is there and would be replaced" demo --stories 100 --steps 1 --out taken
check "stories are kept" cmp text.txt taken/stories.txt
exit $failed
