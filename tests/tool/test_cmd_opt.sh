#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo opt and MILO_DUMP: what each pass left, in order, and nothing but that.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

cat >p.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [2]> x) {
    fp32 one = const()[val = fp32(1)];
    fp32 two = const()[val = fp32(2)];
    fp32 three = add(x = one, y = two);
    tensor<fp32, [2]> a = mul(x = x, y = three);
    tensor<fp32, [2]> b = mul(x = x, y = three);
    tensor<fp32, [2]> unused = exp(x = x);
    tensor<fp32, [2]> c = mul(x = b, y = one);
    tensor<fp32, [2]> y = add(x = a, y = c);
  } -> (y);
  func other<ios18>(tensor<fp32, [2]> x) {
    tensor<fp32, [2]> unused = exp(x = x);
    tensor<fp32, [2]> y = sin(x = x);
  } -> (y);
}
MIL
count() { # DESCRIPTION N WORD FILE
  if [ "$(grep -c -- "$3" "$4")" = "$2" ]; then echo "ok - $1"; else bad "$1"; fi
}

check "all passes" "$milo" opt p.mil -o all.mil
count "folded" 0 'two = const' all.mil
count "one of two products is left" 1 'mul(' all.mil
count "in both functions what is unused is gone" 0 'exp(' all.mil
check "the result is a program" "$milo" check all.mil
check "one pass" "$milo" opt p.mil --passes dce
count "dce alone" 3 'mul(' "$out"
check "one function" "$milo" opt p.mil --passes dce --function other
count "the other one stays" 1 'exp(' "$out"
check "passes in the order given" "$milo" opt p.mil --passes cse,dce,cse --print-after all \
  --function main -o o.mil
count "three texts on standard output" 3 '^// main after' "$out"
[ "$(grep '^//' "$out" | tr '\n' ' ')" = "// main after cse // main after dce // main after cse " ] ||
  bad "their order"
check "after one pass" "$milo" opt p.mil --print-after fold
count "what it left is on standard error" 2 '^// .* after fold$' "$err"
count "and other passes' is not" 2 '^//' "$err"
count "the result alone is on standard output" 0 '//' "$out"
"$milo" opt p.mil --print-after fold 2>/dev/null | "$milo" check - >/dev/null ||
  bad "standard output is a program"
check "the list" "$milo" opt --list
holds "names and summaries" "^cse +compute equal things once$" "$out"
check "the list as JSON" "$milo" opt --list --json
json "the list as JSON" "[p['name'] for p in j][-1] == 'dce'"
check "narrow alone" bash -c "'$milo' opt p.mil --passes narrow --precision fp16 >narrow.out"
check "narrow does nothing unasked" bash -c \
  "'$milo' opt p.mil --passes narrow >a.out && '$milo' fmt p.mil -o b.out && cmp a.out b.out"
refuse 2 "--precision is fp32, bf16 or fp16" opt p.mil --precision half
refuse 2 "there is no pass 'unfold'" opt p.mil --passes fold,unfold
refuse 2 "there is no pass 'none'" opt p.mil --print-after none
refuse 2 "--passes expects names" opt p.mil --passes ,
refuse 2 "an argument is missing" opt
refuse 1 "no function" opt p.mil --function none

# MILO_DUMP: compiling, differentiating, milo opt.
texts() { (cd "$1" && ls | tr '\n' ' '); }
check "run with MILO_DUMP" env MILO_DUMP=a/b "$milo" run p.mil --random 1
[ "$(texts a/b)" = "0001-main-specialize.mil 0002-main-fold.mil 0003-main-expand.mil \
0004-main-fold.mil 0005-main-canonicalize.mil 0006-main-cse.mil 0007-main-dce.mil " ] ||
  bad "the texts of a compile: $(texts a/b)"
count "before folding" 1 'two = const' a/b/0001-main-specialize.mil
check "the texts are programs" "$milo" check a/b/*.mil
check "without MILO_DUMP" "$milo" run p.mil --random 1 -o without
check "with MILO_DUMP" env MILO_DUMP=again "$milo" run p.mil --random 1 -o with
check "the same numbers" cmp without/y.npy with/y.npy
check "grad with MILO_DUMP" env MILO_DUMP=g "$milo" grad p.mil -o g.mil
ls g | grep -q -- "-main-autodiff.mil$" || bad "the text of autodiff: $(texts g)"
check "what is differentiated is a program" "$milo" check g/*.mil
check "opt with MILO_DUMP" env MILO_DUMP=o "$milo" opt p.mil --passes dce -o o.mil
[ "$(texts o)" = "0001-main-dce.mil 0002-other-dce.mil " ] || bad "the texts of opt: $(texts o)"
printf '{"dim": 8, "hidden": 16, "layers": 1, "heads": 2, "seq": 8, "vocab": 300}\n' >tiny.json
head -c 4000 /dev/zero >data.u16
check "train with MILO_DUMP" env MILO_DUMP=t "$milo" train --data data.u16 --model tiny.json \
  --steps 1 --batch 1 --quiet
check "all of a training step" "$milo" check t/*.mil
[ "$(ls t | wc -l)" -gt 20 ] || bad "all of a training step: $(texts t)"
# A folder that cannot be written says so.
printf 'a file\n' >file
for command in "run p.mil --random 1" "grad p.mil" "opt p.mil"; do
  export MILO_DUMP=file
  refuse 1 "cannot create the folder 'file': a file has that name" $command
  export MILO_DUMP=
  check "an empty MILO_DUMP: $command" "$milo" $command
  unset MILO_DUMP
done
exit $failed
