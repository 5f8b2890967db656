#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo convert and train --resume-from on small models: what goes there and back is the same file.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

hf=${MILO_SOURCE:?}/tests/oracle/hf
echo '{"dim": 16, "hidden": 20, "layers": 2, "heads": 2, "seq": 32, "vocab": 320}' >tiny.json
"$milo" stories -n 40 -o stories.txt
"$milo" tokenize train stories.txt --vocab 320 -o tok.bin >/dev/null
"$milo" tokenize encode stories.txt -t tok.bin -o stories.u16 >/dev/null
train=("$milo" train --batch 2 --seq 16 --eval-batches 1 -q --data stories.u16)
check "a model" "${train[@]}" --model tiny.json --tokenizer tok.bin --steps 4 --out run

check "to a folder of Hugging Face's" "$milo" convert run hf
holds "says what it is" "hf: a folder of Hugging Face's" "$out"
check "and back" "$milo" convert hf back.bin --json
json "in JSON" 'j["from"] == "a folder of Hugging Face'"'"'s" and j["moments"] is False'
check "is the same file" cmp run/model.bin back.bin
check "the tokenizer went along" cmp run/tokenizer.bin hf/tokenizer.bin
check "it generates" "$milo" generate hf --steps 12 --prompt One
check "it is evaluated" "$milo" eval hf --data stories.u16 --seq 16
cp "$out" scored
check "so is what it came from" "$milo" eval run --data stories.u16 --seq 16
cp "$out" wanted
check "they say the same" cmp <(cut -c1-10 scored) <(cut -c1-10 wanted)
check "it begins a run" "${train[@]}" --init hf --steps 2 --out hf-run
check "its shape alone too" "${train[@]}" --model "$hf/llama_gqa_tied" --tokens --steps 1 --data \
  <(head -c 200 /dev/zero)

check "to a BLZT file" "$milo" convert run run.blzt
holds "with moments" "with the run's moments" "$out"
check "there and back through our own folder" "$milo" convert run.blzt own --to milo
check "to a file again" "$milo" convert own own.bin
check "is the same file, too" cmp run/model.bin own.bin
check "a whole run" "${train[@]}" --model tiny.json --steps 9 --out whole
check "its first part" "${train[@]}" --model tiny.json --steps 9 --stop-after 5 --out part
check "as a BLZT file" "$milo" convert part part.blzt
check "goes on from there" "${train[@]}" --resume-from part.blzt --steps 9 --out rest
check "to the same weights" cmp whole/model.bin rest/model.bin

refuse 1 "hf/config.json' is there and would be replaced: --force" convert run hf
refuse 1 "back.bin' is there and would be replaced: --force" convert run back.bin
refuse 1 "does not say what is to be written" convert run x.txt
refuse 1 "holds a model of another form: a folder of Milo's" convert run run --to hf
refuse 1 "holds a model of another form: a folder of Milo's" convert hf run --to hf --force
refuse 1 "holds a model of another form: a folder of Hugging Face's" convert run hf --to milo
"$milo" tokenize train stories.txt --vocab 340 -o large.tok >/dev/null
refuse 1 "it is of another model" generate run --tokenizer large.tok --steps 4
refuse 2 "there is no form 'gguf'" convert run x --to gguf
refuse 2 "an argument is missing" convert run
refuse 1 "No such file" convert missing x.bin
refuse 1 "qk_norm is set" convert "$hf/qwen3_tied" x.bin
refuse 1 "holds no model" eval . --data stories.u16
refuse 1 "holds a model and no run" train --data stories.u16 --resume --out own
refuse 2 "excludes --model, --init and --resume" train --data stories.u16 --resume-from a --init b
refuse 1 "No such file" train --data stories.u16 --resume-from none.blzt
refuse 1 "not a BLZT checkpoint" train --data stories.u16 --resume-from run/model.bin --out x
head -c 3000 run.blzt >cut.blzt
refuse 1 "truncated BLZT checkpoint" convert cut.blzt x.bin
[ -w /dev/full ] && refuse 1 "No space left on device" convert run /dev/full --to llama2c --force

"$milo" convert run kept.bin >/dev/null
cp kept.bin before.bin
check "what is replaced is replaced whole" "$milo" convert hf kept.bin --force
check "by the same here" cmp kept.bin before.bin

exit $failed
