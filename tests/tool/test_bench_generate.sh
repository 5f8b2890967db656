#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo bench generate: its numbers, and that fewer bits are fewer bytes; options that make no sense.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

bytes() { # OPTIONS: bytes a token reads
  "$milo" bench generate stories260K --prompt 9 --steps 3 --json "$@" |
    grep -o '"bytes_per_token": [0-9]*' | grep -o '[0-9]*$'
}
same() { # DESCRIPTION GOT WANTED
  if [ "$2" = "$3" ]; then echo "ok - $1"; else bad "$1: $2, wanted $3"; fi
}

# 259,328 weights of matrices, 704 of norms in fp32; 5 layers of keys and values of 4 heads of 8 for
# 10.5 tokens.
same "fp32" "$(bytes)" $((260032 * 4 + 3360 * 4))
same "bf16" "$(bytes --weights bf16)" $((259328 * 2 + 704 * 4 + 3360 * 4))
same "cache in fp16" "$(bytes --weights bf16 --cache fp16)" $((259328 * 2 + 704 * 4 + 3360 * 2))
# A scale for each row: vocabulary, and of each layer 64 + 32 + 32 + 64 + 172 + 64 + 172.
same "int8" "$(bytes --weights int8)" $((259328 + (512 + 5 * 600) * 4 + 704 * 4 + 3360 * 4))

for wrong in "--weights int4" "--weights bf16 --group 8" "--group 8" "--cache int8" "--prompt 0"; do
  # shellcheck disable=SC2086
  "$milo" bench generate stories260K $wrong >out 2>err
  same "$wrong is refused" $? 2
done
for wrong in "--plan static" "--batch 4" "--seq 8" "--accumulate 2" "--precision fp16"; do
  # shellcheck disable=SC2086
  "$milo" bench generate stories260K --steps 1 $wrong >out 2>err
  same "$wrong of generate is refused" $? 2
done
"$milo" bench train stories260K --prompt 4 --steps 1 >out 2>err
same "--prompt of training is refused" $? 2
"$milo" bench train stories260K --weights bf16 >out 2>err
same "--weights of training is refused" $? 2
"$milo" bench generate stories260K --weights int8 --group 7 >out 2>err
same "a group that does not divide fails" $? 1
exit $failed
