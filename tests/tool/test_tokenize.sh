#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo stories and milo tokenize: a round trip, and what they refuse.
set -u
milo=${MILO_TOOL:?}
"$milo" --version >/dev/null 2>&1 || { echo "skipped: the command does not run yet"; exit 77; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
check() { # DESCRIPTION COMMAND...: the command succeeds
  if "${@:2}" >out 2>err; then echo "ok - $1"; else echo "not ok - $1"; cat out err; failed=1; fi
}
refuse() { # EXIT-CODE WORDS COMMAND...: fails with that code and one line that holds the words
  local code
  "${@:3}" >out 2>err
  code=$?
  if [ "$code" = "$1" ] && grep -qF -- "$2" err && [ "$(grep -vc '^hint: ' err)" = 1 ]; then
    echo "ok - refuses: $2"
  else
    echo "not ok - refuses: $2 (exit code $code)"; cat err; failed=1
  fi
}

check "stories" "$milo" stories --count 300 --seed 5 -o stories.txt
check "the same stories again" bash -c "'$milo' stories -n 300 --seed 5 | cmp - stories.txt"
check "train" "$milo" tokenize train stories.txt --vocab 600 -o tok.bin
check "train again" "$milo" tokenize train stories.txt --vocab 600 -o again.bin
check "the same tokenizer" cmp tok.bin again.bin
check "encode" "$milo" tokenize encode stories.txt --tokenizer tok.bin -o stories.tokens --json
cp out counts.json
check "counts in JSON" grep -qE '^\{"tokens": [0-9]+, "text_bytes": [0-9]+\}$' counts.json
check "decode gives the text" bash -c \
  "'$milo' tokenize decode stories.tokens --tokenizer tok.bin | cmp - stories.txt"
printf 'One text.\n\nNo separator.\n' >plain.txt
"$milo" tokenize encode plain.txt -t tok.bin -o plain.tokens >/dev/null
check "decode to a file" "$milo" tokenize decode plain.tokens -t tok.bin -o back.txt
check "a text without separators comes back whole" cmp plain.txt back.txt
check "ids, one a line, begin with 1" bash -c \
  "[ \"\$('$milo' tokenize encode plain.txt -t tok.bin | head -1)\" = 1 ]"

refuse 2 "is not train, encode or decode" "$milo" tokenize frobnicate x
refuse 2 "an argument is missing" "$milo" tokenize train
refuse 2 "needs --tokenizer" "$milo" tokenize encode plain.txt
refuse 2 "needs -o" "$milo" tokenize train plain.txt
refuse 1 "missing.txt" "$milo" tokenize train missing.txt -o x.bin
refuse 1 "100 tokens cannot be trained" "$milo" tokenize train stories.txt --vocab 100 -o x.bin
refuse 1 "too small for a vocabulary of 512" "$milo" tokenize train plain.txt -o x.bin
refuse 1 "not a tokenizer.bin" "$milo" tokenize encode plain.txt -t stories.txt
printf '\1\0\130\002' >beyond.tokens
refuse 1 "token 600 at byte 2 is outside the vocabulary of 600" \
  "$milo" tokenize decode beyond.tokens -t tok.bin -o x.txt
printf 'abc' >odd.tokens
refuse 1 "no whole number of 2-byte tokens" "$milo" tokenize decode odd.tokens -t tok.bin
refuse 1 "cannot write" "$milo" tokenize train stories.txt -o missing/x.bin
refuse 1 "cannot write" "$milo" stories -o missing/x.txt
if ls x.* >/dev/null 2>&1; then echo "not ok - something half-written is left"; failed=1; fi
exit $failed
