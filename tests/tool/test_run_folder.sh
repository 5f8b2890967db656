#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
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
exit $failed
