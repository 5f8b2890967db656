#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Standard input and output as files: "-", /dev/stdin, /dev/stdout, process substitution and FIFOs,
# wherever a command reads or writes a file once.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
M=$MILO_SOURCE/tests/data

same() { # DESCRIPTION FILE FILE
  if cmp "$2" "$3" >"$out" 2>"$err"; then echo "ok - $1"; else bad "$1"; fi
}
sh_check() { check "$1" bash -o pipefail -c "$2"; }
export milo

cat >p.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [2, 3]> x) {
    fp32 two = const()[val = fp32(2)];
    tensor<fp32, [2, 3]> y = mul(x = x, y = two);
  } -> (y);
}
MIL
echo 'program(1.3) {' >wrong.mil
"$milo" fmt p.mil -o want.mil
"$milo" grad p.mil -o want_grad.mil

sh_check "check -" '"$milo" check - <p.mil | grep ": ok$"'
sh_check "check - beside a file" '"$milo" check want.mil - <p.mil'
sh_check "check <(...)" '"$milo" check <(cat p.mil)'
sh_check "check - fails with a place" '! "$milo" check - <wrong.mil 2>err && grep -q "^/dev/stdin:2:1: error:" err'
rm -f err
refuse 2 "standard input (-) can be read only once" check - -
refuse 2 "standard input (-) can be read only once" eval - --data -
sh_check "fmt - from a pipe" 'cat p.mil | "$milo" fmt - >got.mil'
same "fmt - prints the same" got.mil want.mil
sh_check "fmt -o -" '"$milo" fmt p.mil -o - | cmp - want.mil'
sh_check "fmt -o /dev/stdout" '"$milo" fmt p.mil -o /dev/stdout | cmp - want.mil'
sh_check "fmt -o >(...)" '"$milo" fmt p.mil -o >(cat >got2.mil); for i in 1 2 3 4 5 6 7 8 9; do cmp -s got2.mil want.mil && exit; sleep 0.2; done; exit 1'
# What a shell appends to keeps what it holds, and stays the same file.
echo before >log && { "$milo" fmt p.mil -o /dev/stdout; "$milo" fmt p.mil -o -; echo after; } >>log
sh_check "-o /dev/stdout appends where the shell does" '{ echo before; cat want.mil want.mil; echo after; } | cmp - log'
# Reading goes on where the shell stopped.
{ echo "a line"; cat p.mil; } >lined
sh_check "- goes on behind what was read" '{ read -r line; "$milo" fmt -; } <lined | cmp - want.mil'
sh_check "info -" '"$milo" info --json - <p.mil'
json "info - --json" "j['functions'][0]['name'] == 'main'"
sh_check "grad - -o -" 'cat p.mil | "$milo" grad - -o - | cmp - want_grad.mil'
sh_check "a closed standard input is an error" '! "$milo" check - <&- 2>err && grep -q "cannot open .*/dev/stdin" err'
rm -f err

# Weights that a text from a pipe names are looked for in the current folder.
mkdir sub && cp "$M/block.mil" sub/ && (cd sub && "$milo" grad block.mil -o grad.mil >"$out" 2>"$err")
sh_check "check - finds that weights are not there" '"$milo" check - <sub/block.mil | grep -q "weight files are not there"'
mkdir weights && printf 'not a blob file' >weights/block.bin
refuse_pipe() { ! "$milo" check - <sub/block.mil 2>"$err" && grep -q "is too short" "$err"; }
check "check - reads weights of the current folder" refuse_pipe
rm -r weights

# Arrays.
"$milo" run p.mil --random 3 -o direct >"$out"
{ printf '\x93NUMPY\x01\x00\x46\x00'
  printf '%-69s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
  printf '\x00\x00\x00\x3f\x00\x00\x80\x3f\x00\x00\xc0\x3f\x00\x00\x00\x40\x00\x00\x20\x40\x00\x00\x40\x40'
} >x.npy
sh_check "run - --input x=<(...)" '"$milo" run - --input x=<(cat x.npy) -o a <p.mil'
sh_check "run --input x=-" '"$milo" run p.mil --input x=- -o b <x.npy'
same "the same values" a/y.npy b/y.npy
sh_check "run - --input x=- asks for standard input twice" \
  '"$milo" run - --input x=- <p.mil 2>err; [ $? = 2 ] && grep -q "can be read only once" err'
rm -f err

# Text, tokenizers, tokens.
sh_check "stories -o -" '"$milo" stories --count 200 -o - >stories.txt 2>err && grep -q "200 stories" err'
rm -f err
"$milo" stories --count 200 -o want.txt >"$out"
same "stories -o - writes the stories alone" stories.txt want.txt
"$milo" tokenize train want.txt --vocab 400 -o tok.bin >"$out"
"$milo" tokenize encode want.txt --tokenizer tok.bin -o want.tokens >"$out"
sh_check "tokenize train - -o -" '"$milo" tokenize train - --vocab 400 -o - <want.txt | cmp - tok.bin'
sh_check "tokenize encode - | decode -" \
  '"$milo" tokenize encode - -t tok.bin -o - <want.txt | "$milo" tokenize decode - -t tok.bin -o - >got.txt'
"$milo" tokenize decode want.tokens -t tok.bin -o want2.txt >"$out"
same "tokens through a pipe" got.txt want2.txt
sh_check "tokenize encode --json -o - reports on standard error" \
  '"$milo" tokenize encode want.txt --json -t tok.bin -o - 2>err | cmp - want.tokens && grep -q "\"tokens\"" err'
rm -f err

# Training and evaluation: a text is read once, though tokenizer and tokens are made from it.
cat >m.json <<'JSON'
{"dim": 16, "hidden": 32, "layers": 1, "heads": 2, "seq": 32, "vocab": 400}
JSON
train='"$milo" train --steps 2 --batch 2 --val-fraction 0'
sh_check "train --data file" "$train --model m.json --data want.txt --out t1"
sh_check "train --data -" "$train --model m.json --data - --out t2 <want.txt"
same "the same model" t1/model.bin t2/model.bin
same "the same tokenizer" t1/tokenizer.bin t2/tokenizer.bin
sh_check "train --data <(...)" "$train --model <(cat m.json) --data <(cat want.txt) --out t3"
same "the same model" t1/model.bin t3/model.bin
sh_check "train --data - --tokens" "$train --model m.json --tokenizer tok.bin --data - --tokens --out t4 <want.tokens"
sh_check "train --data tokens" "$train --model m.json --tokenizer tok.bin --data want.tokens --out t5"
same "the same model" t4/model.bin t5/model.bin
sh_check "train --init -" "$train --init - --tokenizer tok.bin --data want.tokens --out t6 <t5/model.bin"
loss() { "$milo" eval "$@" --json --max-tokens 320 | grep -o '"loss": [0-9.]*'; }
losses="$(loss t5 --data want.txt) $(loss t5 --data - <want.txt) $(loss - --tokenizer tok.bin --data want.txt <t5/model.bin) \
$(loss t5 --data - --tokens <want.tokens) $(loss t5 --tokenizer - --data want.txt <tok.bin)"
check "eval reads pipes" test "$(tr ' ' '\n' <<<"$losses" | grep -c '^[0-9]')" = 5
check "eval gives the same" test "$(tr ' ' '\n' <<<"$losses" | grep '^[0-9]' | sort -u | wc -l)" = 1
sh_check "generate -" '"$milo" generate - --tokenizer tok.bin --temperature 0 --steps 8 <t5/model.bin >g1'
sh_check "generate" '"$milo" generate t5 --temperature 0 --steps 8 >g2'
same "the same text" g1 g2
exit $failed
