#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo grad: what it writes, and what it refuses.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
cp "$MILO_SOURCE/tests/oracle/grad/mlp.mil" . || exit 1
outputs() { # FILE FUNCTION: the names in its last line
  awk -v f="func $2<" 'index($0, f) {on=1} on && /-> \(/ {sub(/.*-> \(/, ""); sub(/\);.*/, "");
                       print; exit}' "$1"
}

check "joint" "$milo" grad mlp.mil --wrt x1,x0 -o joint.mil
check "its outputs, in the order asked for" [ "$(outputs joint.mil main)" = "v6, grad_x1, grad_x0" ]
check "it is a program" "$milo" check joint.mil
check "it runs" "$milo" run joint.mil --random 1 --output-dir out_joint
check "names one by one" "$milo" grad mlp.mil --wrt x1 --wrt x0 -o again.mil
check "the same" cmp joint.mil again.mil
check "printed" bash -c "'$milo' grad mlp.mil --wrt x1,x0 | cmp - joint.mil"
check "spaces in the list" bash -c "'$milo' grad mlp.mil --wrt 'x1, x0 ' | cmp - joint.mil"
check "split" "$milo" grad mlp.mil --split -o split.mil
check "it is a program too" "$milo" check split.mil
check "backward's outputs" \
  [ "$(outputs split.mil main_backward)" = "grad_x0, grad_x1, grad_x2, grad_x3, grad_x4" ]
check "forward's first output" grep -qE '^v6(,|$)' <(outputs split.mil main_forward)
check "both of its functions run" bash -c \
  "'$milo' run split.mil --function main_forward --random 1 --output-dir out_f &&
   '$milo' run split.mil --function main_backward --random 1 --output-dir out_b"

# What is stored in 16 bits says so in its type; inputs, outputs and gradients stay as they were.
check "narrow" "$milo" grad mlp.mil --split --precision bf16 -o narrow.mil
check "it is a program as well" "$milo" check narrow.mil
check "taps are bf16" grep -q 'func main_backward.*tensor<bf16' narrow.mil
check "but no seed" bash -c "! grep -q 'tensor<bf16[^>]*> grad_' narrow.mil"
check "the same outputs" [ "$(outputs narrow.mil main_backward)" = "$(outputs split.mil main_backward)" ]
check "fp32 is what it was" bash -c "'$milo' grad mlp.mil --split --precision fp32 | cmp - split.mil"
refuse 2 "--precision is fp32, bf16 or fp16, not 'fp8'" grad mlp.mil --precision fp8

# Gradients of a gradient: its seed grad_v6 is an input now.
refuse 1 "seed of v6 would be called grad_v6, as an input" grad joint.mil --wrt x0 -o twice.mil
check "another prefix" "$milo" grad joint.mil --wrt x0 --prefix grad2_ -o twice.mil
check "its outputs" [ "$(outputs twice.mil main)" = "v6, grad_x1, grad_x0, grad2_x0" ]
refuse 1 "cannot stand before a name" grad mlp.mil --prefix 2_
refuse 1 "cannot stand before a name" grad mlp.mil --prefix 'a b'
refuse 2 "--wrt expects input names" grad mlp.mil --wrt x0,
refuse 1 "has no input nobody" grad mlp.mil --wrt nobody
refuse 1 "it has: x0, x1, x2, x3, x4" grad mlp.mil --wrt nobody
refuse 1 "named twice" grad mlp.mil --wrt x0,x0
refuse 1 "no function other" grad mlp.mil --function other
refuse 1 "missing.mil" grad missing.mil
refuse 1 "missing/x.mil" grad mlp.mil -o missing/x.mil
sed 's/ relu(/ strange(/' mlp.mil >strange.mil
refuse 1 "strange.mil:7:" grad strange.mil -o x.mil
refuse 1 "strange is not an operation Milo knows" grad strange.mil -o x.mil
sed 's/ relu(/ rellu(/' mlp.mil >rellu.mil
refuse 1 "hint: did you mean relu" run rellu.mil --random 1
sed 's/\[5, 7\]/[?, 7]/; s/fp32, \[5, 6\]/fp32, [?, 6]/' mlp.mil >open.mil
refuse 1 "unknown dimensions" grad open.mil -o x.mil
check "shapes given" "$milo" grad open.mil --shape x0=5,7 --wrt x1,x0 -o shaped.mil
check "the same as of the program with these shapes" cmp shaped.mil joint.mil
refuse 1 "has no input nobody" grad open.mil --shape nobody=1 -o x.mil
refuse 1 "was given" grad open.mil --shape x0=5,8 -o x.mil
refuse 1 "shape of input x0 is given twice" grad open.mil --shape x0=9,7 --shape x0=5,7 -o x.mil
for bad in x0 =1 x0=a x0=1, x0=,1 x0=-1 x0=99999999999999999999; do
  refuse 2 "--shape expects" grad open.mil --shape "$bad" -o x.mil
done
printf 'program(1.3)\n{\nfunc main<ios18>(int32 x) {\nint32 y = add(x = x, y = x);\n} -> (y);\n}\n' \
  >ints.mil
refuse 1 "no floating-point input" grad ints.mil
exit $failed
