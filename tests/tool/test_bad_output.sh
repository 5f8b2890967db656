#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ctest: LABELS native
# Output that cannot be written: missing and read-only folders, folders in a file's place, full
# disks, a closed or full standard output. What was there stays, nothing half-written is left.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
make_inputs
"$milo" train --data data.u16 --model tiny.json --steps 2 --batch 1 --out run 2>/dev/null || exit 1
cp tok.bin run/tokenizer.bin
# A constant of more than 1,024 bytes, which grad writes to a blob file of its own.
{
  printf 'program(1.3)\n{\n  func main<ios18>(tensor<fp32, [300]> x) {\n'
  printf '    tensor<fp32, [300]> w = const()[name = string("w"), val = tensor<fp32, [300]>(['
  seq -s ', ' 300 | tr -d '\n'
  printf '])];\n    tensor<fp32, [300]> y = mul(x = x, y = w)[name = string("y")];\n  } -> (y);\n}\n'
} >big.mil
check "a text to differentiate" "$milo" grad big.mil -o grad.mil
[ -s grad.weights.bin ] || { echo "not ok - no blob file"; failed=1; }
mkdir folder outputs
for file in old.bin old.u16 old.txt old.mil; do echo "the old file" >$file; done

# NAME ARGUMENTS...: writers, with @ for the output.
writers=(
  "stories -n 20 -o @"
  "tokenize train text.txt --vocab 300 -o @"
  "tokenize encode text.txt -t tok.bin -o @"
  "tokenize decode data.u16 -t tok.bin -o @"
  "fmt big.mil -o @"
  "grad big.mil -o @"
  "run big.mil --random 1 -o @/x"
  "train --data data.u16 --model tiny.json --steps 1 --batch 1 -o @/x"
  "demo --steps 1 --stories 100 --out @"
)
for writer in "${writers[@]}"; do
  args=($writer)
  case ${args[0]} in
    run | train) targets="old.txt /proc/1" ;;          # folders: below a file, where none can be made
    demo) targets="old.txt /proc/1/demo" ;;
    *) targets="folder missing/file /dev/full /proc/1/none" ;;
  esac
  for target in $targets; do
    refuse 1 "$target" "${args[@]//@/$target}"
  done
done
[ ! -e /dev/full.weights.bin ] || { echo "not ok - a file beside a device"; failed=1; }
# A folder where a file of the run must go.
mkdir -p taken/checkpoint.milo taken/y.npy
refuse 1 "taken/checkpoint.milo" train --data data.u16 --model tiny.json --steps 1 --out taken
refuse 1 "taken/y.npy" run big.mil --random 1 -o taken
mkdir metrics metrics/metrics.jsonl
refused 1 "metrics.jsonl" '^milo: ' bash -c \
  "'$milo' train --data data.u16 --model tiny.json --steps 1 --out metrics; code=\$?
   rm -f metrics/checkpoint.milo metrics/model.*; exit \$code"

# A file system that ends: nothing longer than the limit can be written (blocks of 1,024 bytes).
limited() { # BLOCKS WORDS ARGUMENTS...
  refused 1 "$2" '^milo: ' bash -c 'ulimit -f "$1" || exit 99; shift; exec "$@"' bash "$1" "$milo" \
    "${@:3}"
}
limited 4 "old.txt" stories -n 20 -o old.txt
limited 2 "old.bin" tokenize train text.txt --vocab 300 -o old.bin
limited 2 "old.u16" tokenize encode text.txt -t tok.bin -o old.u16
limited 2 "old.txt" tokenize decode data.u16 -t tok.bin -o old.txt
limited 1 "old.mil" fmt big.mil -o old.mil
limited 1 "grad" grad big.mil -o grad.mil
rm grad.mil && mkdir grad.mil
refuse 1 "grad.mil" grad big.mil -o grad.mil
# A name that is taken, by whatever it is, stays as it is: the weights get another.
rmdir grad.mil && rm grad.weights.bin && mkdir grad.weights.bin
"$milo" grad big.mil -o grad.mil && [ -s grad.weights.1.bin ] && rmdir grad.weights.bin ||
  { echo "not ok - a name that is taken"; failed=1; }
rm grad.mil grad.weights.1.bin
limited 1 "outputs/y.npy" run big.mil --random 1 -o outputs
limited 8 "run/checkpoint.milo" train --data data.u16 --model tiny.json --steps 3 --force --out run
check "the run is as it was" "$milo" generate run --steps 3

# Read-only files and folders (root may write them, unless the file system says no).
chmod a-w old.txt folder
if ! : 2>/dev/null >folder/probe; then
  refuse 1 "folder/x" stories -n 1 -o folder/x
  refuse 1 "old.txt" stories -n 1 -o old.txt
  refuse 1 "folder" train --data data.u16 --model tiny.json --steps 1 --out folder/x
  refuse 1 "Permission denied" train --data text.txt --model tiny.json --steps 1 --out folder/x
else
  rm -f folder/probe
  echo "ok - read-only folders # SKIP this user may write everything"
fi
chmod u+w old.txt folder

# Standard output full or closed.
printers=(
  help "help train" "train --help" --version ops "ops --json" "check big.mil" "check --json big.mil"
  "fmt big.mil" "info big.mil" "info --json big.mil" "grad big.mil" "run big.mil --random 1"
  "run big.mil --random 1 --json" "stories -n 5" "stories -n 5000" "tokenize encode text.txt -t tok.bin"
  "tokenize decode data.u16 -t tok.bin" "generate run --steps 5" "generate run --ids"
  "generate run --json" "eval run --data data.u16 --max-tokens 40"
  "eval run --data data.u16 --max-tokens 40 --json" "bench train tiny.json --steps 1 --batch 1"
  "train --data data.u16 --model tiny.json --steps 1 --batch 1 --json"
)
for printer in "${printers[@]}"; do
  if [ -e /dev/full ]; then
    refused 1 "standard output could not be written: No space left" '^milo: ' \
      bash -c "exec '$milo' $printer >/dev/full"
  fi
  refused 1 "standard output could not be written: Bad file descriptor" '^milo: ' \
    bash -c "exec '$milo' $printer >&-"
done
# A reader that leaves early ends the command quietly.
"$milo" stories -n 5000 2>"$err" | head -1 >/dev/null
if [ -s "$err" ]; then bad "a pipe that closes"; else echo "ok - a pipe that closes"; fi
exit $failed
