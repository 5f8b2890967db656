#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo stories and milo tokenize: a round trip, and what they refuse.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

check "stories" "$milo" stories --count 300 --seed 5 -o stories.txt
check "the same stories again" bash -c "'$milo' stories -n 300 --seed 5 | cmp - stories.txt"
check "train" "$milo" tokenize train stories.txt --vocab 600 -o tok.bin
check "train again" "$milo" tokenize train stories.txt --vocab 600 -o again.bin
check "the same tokenizer" cmp tok.bin again.bin
check "encode" "$milo" tokenize encode stories.txt --tokenizer tok.bin -o stories.tokens --json
holds "counts in JSON" '^\{"tokens": [0-9]+, "text_bytes": [0-9]+\}$' "$out"
check "decode gives the text" bash -c \
  "'$milo' tokenize decode stories.tokens --tokenizer tok.bin | cmp - stories.txt"
printf 'One text.\n\nNo separator.\n' >plain.txt
"$milo" tokenize encode plain.txt -t tok.bin -o plain.tokens >/dev/null
check "decode to a file" "$milo" tokenize decode plain.tokens -t tok.bin -o back.txt
check "a text without separators comes back whole" cmp plain.txt back.txt
check "ids, one a line, begin with 1" bash -c \
  "[ \"\$('$milo' tokenize encode plain.txt -t tok.bin | head -1)\" = 1 ]"

check "a file's bytes to standard output" bash -c \
  "'$milo' tokenize encode plain.txt -t tok.bin -o - 2>/dev/null | cmp - plain.tokens"
check "help says which" bash -c \
  "'$milo' help tokenize | tr '\n' ' ' | grep -q 'encode prints the tokens as numbers'"

refuse 2 "is not train, encode or decode" tokenize frobnicate x
refuse 2 "an argument is missing" tokenize train
refuse 2 "needs --tokenizer" tokenize encode plain.txt
refuse 2 "needs -o" tokenize train plain.txt
refuse 1 "missing.txt" tokenize train missing.txt -o x.bin
refuse 1 "100 tokens cannot be trained" tokenize train stories.txt --vocab 100 -o x.bin
refuse 1 "too small for a vocabulary of 512" tokenize train plain.txt -o x.bin
refuse 1 "not a tokenizer.bin" tokenize encode plain.txt -t stories.txt
printf '\1\0\130\002' >beyond.tokens
refuse 1 "token 600 at byte 2 is outside the vocabulary of 600" \
  tokenize decode beyond.tokens -t tok.bin -o x.txt
printf 'abc' >odd.tokens
refuse 1 "no whole number of 2-byte tokens" tokenize decode odd.tokens -t tok.bin
refuse 1 "cannot write" tokenize train stories.txt -o missing/x.bin
refuse 1 "cannot write" stories -o missing/x.txt
exit $failed
