#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# Models, tokenizers, tokens, texts, arrays and descriptions that are missing, empty, cut, too long,
# of another kind or folders, for every command that reads them.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
"$milo" train --data data.u16 --model tiny.json --steps 1 --batch 1 --out run 2>/dev/null || exit 1
cp tok.bin run/tokenizer.bin
cp run/model.bin model.bin
mkdir folder
: >empty
: >empty.u16
head -c 64 /dev/zero >zeros
cp zeros zeros.u16
cat >add.mil <<'MIL'
program(1.3)
{
  func main<ios18>(tensor<fp32, [2, 3]> a, tensor<fp32, [3]> b) {
    tensor<fp32, [2, 3]> c = add(x = a, y = b)[name = string("c")];
  } -> (c);
}
MIL
printf '\223NUMPY\1\0v\0%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" >a.npy
head -c 24 /dev/zero >>a.npy
check "an array that is right" "$milo" run add.mil --input a=a.npy --random 1

# Arguments that any reader of a kind refuses alike: KIND missing/empty/folder/zeros, ARGUMENTS with
# @ for the file.
each() {
  local words=$1 file
  shift
  for file in "missing" "empty" "folder" "zeros"; do
    case $file in
      missing) refuse 1 "${missing:-cannot open 'missing'}" "${@//@/missing}" ;;
      folder) refuse 1 "folder" "${@//@/folder}" ;;
      *) refuse 1 "$words" "${@//@/$file}" ;;
    esac
  done
  refuse 1 "$words" "${@//@//dev/null}"
}
missing="cannot" each "" generate @ --ids
missing="cannot" each "" eval @ --data data.u16
missing="cannot" each "" train --init @ --data data.u16
each "not a tokenizer.bin" generate run -t @
each "not a tokenizer.bin" eval run --data text.txt -t @
each "not a tokenizer.bin" train --data text.txt --model tiny.json -t @
each "not a tokenizer.bin" tokenize encode text.txt -t @
each "not a tokenizer.bin" tokenize decode data.u16 -t @
missing="no model or description" each "not a JSON model description" train --data data.u16 --model @
missing="no model or description" each "not a JSON model description" bench train @
each ".npy" run add.mil --input a=@ --random 1
for command in fmt info run grad; do each "expected" $command @; done

# Text and tokens to work on.
each_text() { # as above, for what any content is right for, if there is any
  refuse 1 "cannot open 'missing'" "${@//@/missing}"
  refuse 1 "folder" "${@//@/folder}"
  refuse 1 "text is " "${@//@/empty}"
}
each_text tokenize encode @ -t tok.bin
each_text tokenize train @ -o t.bin
each_text eval run --data @
each_text train --data @ --model tiny.json
for data in missing.u16 empty.u16; do
  refuse 1 "$data" eval run --data $data
  refuse 1 "$data" train --data $data --model tiny.json
done
mkdir folder.u16
refuse 1 "it is a folder" eval run --data folder.u16
refuse 1 "it is a folder" train --data folder.u16 --model tiny.json

# check says what is wrong in its own form: FILE:LINE:COLUMN: error.
for file in missing empty folder zeros; do
  refused 1 "$file" 'error: ' "$milo" check $file
done

# A real text cut at many places: the place stands in the message, whoever reads it. (Every token is
# done in tests/unit/test_text.c and test_mutants.c.)
cp "$MILO_SOURCE/tests/data/block.mil" block.mil
bytes=$(wc -c <block.mil)
commands=("check" "fmt" "info" "run --random 1" "grad")
for ((i = 0; i < 60; i++)); do
  head -c $((bytes * i / 60)) block.mil >cut.mil
  command=(${commands[$((i % 5))]})
  QUIET=1 MOST=20 refused 1 "cut.mil:" 'cut\.mil:[0-9]+:[0-9]+: error: ' "$milo" "${command[0]}" cut.mil \
    "${command[@]:1}"
done
echo "ok - a real text cut at many places"

# Tokens: odd bytes, ids outside the vocabulary, too few.
head -c 101 data.u16 >odd.u16
printf '\1\0\54\1' >beyond.u16
head -c 2 data.u16 >one.u16
head -c 20 data.u16 >few.u16
for command in "eval run --data" "train --model tiny.json --data"; do
  refuse 1 "no whole number of 2-byte tokens" $command odd.u16
  refuse 1 "token 300 at byte 2 is outside the vocabulary of 300" $command beyond.u16
done
refuse 1 "at least 2 are needed" eval run --data one.u16
refuse 1 "a window needs 17" train --model tiny.json --data few.u16
refuse 1 "outside the vocabulary of 299" train --model tiny.json --vocab 299 --data data.u16
refuse 1 "outside the vocabulary" tokenize decode beyond.u16 -t tok.bin

# A tokenizer that does not fit the model, both ways.
"$milo" tokenize train text.txt --vocab 320 -o large.bin >/dev/null
sed 's/"vocab": 300/"vocab": 310/' tiny.json >wide.json
"$milo" train --data data.u16 --model wide.json --steps 1 --batch 1 --out wide 2>/dev/null
refuse 1 "vocabulary" eval run --data text.txt -t large.bin
refuse 1 "vocabulary" train --data text.txt --model tiny.json -t large.bin
refuse 1 "the prompt has" generate run --prompt "$(head -c 400 text.txt)"

# Files cut at many places, and made longer.
sweep() { # FILE COPY WORDS ARGUMENTS...: the copy is cut in turn
  local bytes n
  bytes=$(wc -c <"$1")
  for n in 1 2 3 4 5 7 8 11 12 16 20 24 27 28 29 32 60 63 64 65 $((bytes / 3)) $((bytes / 2)) \
    $((bytes - 9)) $((bytes - 4)) $((bytes - 1)); do
    [ "$n" -lt "$bytes" ] || continue
    head -c "$n" "$1" >"$2"
    QUIET=1 refuse 1 "$3" "${@:4}"
  done
  { cat "$1"; printf x; } >"$2"
  refuse 1 "$3" "${@:4}"
  cp "$1" "$2"
  echo "ok - $1 cut at many places"
}
sweep model.bin cut "cut: error: " generate cut --ids
sweep run/model.bin model.bin "model.bin: error: " train --init model.bin --data data.u16
cp a.npy whole.npy
sweep whole.npy a.npy "a.npy" run add.mil --input a=a.npy --random 1
mkdir broken
cp run/* broken
sweep run/checkpoint.milo broken/checkpoint.milo "broken/checkpoint.milo" generate broken --ids
sweep run/checkpoint.milo broken/checkpoint.milo "broken/checkpoint.milo" \
  train --data data.u16 --out broken --resume
for at in 0 9 17 25 100 1000 5000 $(($(wc -c <run/checkpoint.milo) - 1)); do
  flip run/checkpoint.milo "$at" 16 >broken/checkpoint.milo
  refuse 1 "broken/checkpoint.milo" eval broken --data data.u16
done
rm broken/checkpoint.milo
refuse 1 "broken/checkpoint.milo" generate broken --ids
refuse 1 "folder/checkpoint.milo" train --data data.u16 --out folder --resume
for n in 0 1 3 4 7 8 12 15 16; do
  head -c $n tok.bin >cut
  refuse 1 "cut" tokenize encode text.txt -t cut
done

# Descriptions.
describe() { # WORDS JSON
  printf '%s\n' "$2" >d.json
  refuse 1 "$1" bench train d.json --steps 1
}
describe '"dim" is missing' '{}'
describe 'a JSON object' '[1]'
describe 'unknown field "dims"' "$(sed 's/dim/dims/' tiny.json)"
describe '"dim" is given twice' "$(sed 's/{/{"dim": 8, /' tiny.json)"
describe 'not a whole number' "$(sed 's/8/8.5/' tiny.json)"
describe 'not a whole number' "$(sed 's/8/"8"/' tiny.json)"
describe 'dim is -8' "$(sed 's/8/-8/' tiny.json)"
describe 'dim is 0' "$(sed 's/8/0/' tiny.json)"
describe 'not a whole number' "$(sed 's/8/1e400/' tiny.json)"
describe 'even number' "$(sed 's/"heads": 2/"heads": 8/' tiny.json)"
describe 'not a JSON model description' "$(head -c 30 tiny.json)"
describe 'not a JSON model description' "$(cat tiny.json tiny.json)"
describe 'not a multiple of kv_heads' "$(sed 's/{/{"kv_heads": 3, /' tiny.json)"
describe 'rope_theta' "$(sed 's/{/{"rope_theta": -1, /' tiny.json)"
describe 'do not fit in the address space' \
  '{"dim":67108864,"hidden":67108864,"layers":4096,"heads":2,"seq":16,"vocab":67108864}'
if [ -z "${ASAN_OPTIONS:-}" ]; then  # there such a request ends in the sanitizer's own words
  describe 'no memory' \
    '{"dim":67108864,"hidden":8,"layers":1,"heads":2,"seq":16,"vocab":67108864}'
fi
sed 's/"dim": 8/"dim": 4096/' tiny.json >d.json
refuse 1 "no memory for" bench train d.json --steps 1 --batch 1000000
sed 's/"seq": 16/"seq": 67108864/' tiny.json >d.json
refuse 1 "a window needs 67108865" train --data data.u16 --model d.json --steps 1

# Inputs of a program.
npy() { # FILE TYPE SHAPE BYTES
  printf '\223NUMPY\1\0v\0%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }" >"$1"
  head -c "$4" /dev/zero >>"$1"
}
npy b.npy '<f4' '(3,)' 12
check "both inputs" "$milo" run add.mil --input a=a.npy --input b=b.npy
refuse 1 "has no input 'z'" run add.mil --input z=a.npy --random 1
refuse 1 "takes NAME=FILE.npy" run add.mil --input a.npy --random 1
refuse 1 "takes NAME=FILE.npy" run add.mil --input =a.npy --random 1
refuse 1 "takes NAME=FILE.npy" run add.mil --input a= --random 1
refuse 1 "given twice" run add.mil --input a=a.npy --input a=a.npy --random 1
refuse 1 "input b (tensor<fp32, [3]>) is missing" run add.mil --input a=a.npy
refuse 1 "has no function nope" run add.mil --random 1 --function nope
refuse 1 'there is no device "none"' run add.mil --random 1 --device none
npy w.npy '<i4' '(2, 3)' 24
refuse 1 "input a is tensor<fp32, [2, 3]>, but w.npy holds int32" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '>f4' '(2, 3)' 24
refuse 1 "w.npy" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(3, 2)' 24
refuse 1 "a" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(6,)' 24
refuse 1 "a" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(0,)' 0
refuse 1 "a" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(-2, 3)' 24
refuse 1 "w.npy" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(9223372036854775807, 9223372036854775807)' 24
refuse 1 "w.npy" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '<f4' '(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6)' 24
refuse 1 "w.npy" run add.mil -i a=w.npy -i b=b.npy
npy w.npy '|O' '(2, 3)' 24
refuse 1 "w.npy" run add.mil -i a=w.npy -i b=b.npy

refuse 1 "no input" grad add.mil --wrt z
refuse 2 "--wrt" grad add.mil --wrt ,
refuse 1 "nope" grad add.mil --function nope
exit $failed
