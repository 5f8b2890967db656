#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo kernels: the table, JSON, files that other commands read, what it refuses.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"

cat >tiny.json <<'J'
{"dim": 16, "hidden": 24, "layers": 3, "heads": 4, "kv_heads": 2, "seq": 32, "vocab": 300}
J
cat >wide.json <<'J'
{"dim": 8, "hidden": 8, "layers": 1, "heads": 2, "seq": 16, "vocab": 70000, "qk_norm": true}
J

check "the static plan" "$milo" kernels tiny.json --plan static
holds "a kernel a layer" '^fwd_attn +3 +\[1,16,1,32\] +\[1,80,1,32\] +1024 +5120 ' "$out"
holds "one for all layers" '^sdpa_bwd2 +1 +\[1,280,1,32\] +\[1,24,1,32\] ' "$out"
check "the dynamic plan in fp32" "$milo" kernels tiny.json --plan dynamic --precision fp32 --seq 16 --json
json "ten kernels" 'len(j["kernels"]) == 10 and j["plan"] == "dynamic"'
json "bytes of its surfaces" 'all(k["input_bytes"] % 64 == 0 for k in j["kernels"])'
json "parts lie side by side" '[p["column"] for p in j["kernels"][0]["packed"] if p["in"] == "input"] \
  == [0, 16, 32, 40]'
json "weights are told from activations" '[p["weight"] for p in j["kernels"][0]["packed"]][:4] == \
  [False, True, True, True]'
json "products are counted" 'j["kernels"][1]["flops"] == 2 * 16 * 16 * 16'
check "the fused plan" "$milo" kernels tiny.json --plan fused --batch 2 --json
json "five programs" '[k["name"] for k in j["kernels"]] == \
  ["embed", "layer_forward", "layer_backward", "head", "embed_backward"]'
check "blocks" "$milo" kernels tiny.json --blocks
holds "three outputs" '^fused_qkv +0 +\[1,16,1,32\] +3 tensors' "$out"

check "a classifier in parts" "$milo" kernels wide.json --plan static -o wide
holds "of that many" '^classifier_fwd .* x 5$' "$out"
check "a file each" test "$(echo wide/classifier_fwd_*.mil | wc -w)" = 5
for plan in static dynamic fused; do
  check "files of $plan" "$milo" kernels tiny.json --plan $plan -o $plan
  check "they are programs" "$milo" check $plan/*.mil
  for file in $plan/*.mil; do
    if ! "$milo" fmt "$file" | diff - "$file" >"$out" 2>"$err"; then bad "$file is canonical"; fi
  done
done
check "weights beside" test -s static/fwd_attn.weights.bin
check "none where there are none" test ! -e dynamic/wo_fwd.weights.bin

# The weights of the layer that was asked for.
"$milo" stories --count 40 --seed 5 -o stories.txt >/dev/null
sed 's/"dim": 16/"dim": 32/' tiny.json >mid.json
check "a run" "$milo" train --data stories.txt --model mid.json --steps 2 --batch 1 --out run
check "its first layer" "$milo" kernels run --plan static --layer 0 -o l0
check "its last layer" "$milo" kernels run/model.bin --plan static --layer 2 -o l2
check "the same text" cmp l0/ffn_bwd.mil l2/ffn_bwd.mil
check "other weights" bash -c "! cmp -s l0/ffn_bwd.weights.bin l2/ffn_bwd.weights.bin"

refuse 2 "--plan is fused, dynamic or static, not 'stat'" kernels tiny.json --plan stat
refuse 2 "--seq and --batch are at least 1" kernels tiny.json --seq 0
refuse 1 "no model or description file named 'none'" kernels none --plan static
refuse 1 "layer 3 is not there: layers are numbered from 0 to 2" kernels tiny.json --layer 3
refuse 1 "seq is 33, expected 1 to 32" kernels tiny.json --plan static --seq 33
refuse 1 "fp32 or fp16, not in bf16" kernels tiny.json --plan dynamic --precision bf16
refuse 1 "'l0' holds files already" kernels run --plan static --layer 1 -o l0
check "with --force" "$milo" kernels run --plan static --layer 1 -o l0 --force
refuse 1 "cannot make 'tiny.json/x'" kernels tiny.json --plan dynamic -o tiny.json/x
exit $failed
