#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# milo fmt, check, info and run: what they print and write, what they refuse and with which code.
. "${MILO_SOURCE:?}/tests/tool/checks.sh"
prints() { # WORDS: what the last command printed holds them
  if grep -qF -- "$1" "$out"; then echo "ok - prints: $1"; else bad "prints: $1"; fi
}

cat >twice.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [?, 3]> x, tensor<bf16, [2]> h) {
    fp32 two = const()[val = fp32(2)];
    tensor<fp32, [?, 3]> y = mul(x = x, y = two);
    tensor<bf16, [2]> g = add(x = h, y = h);
    tensor<int32, [?, 3]> n = cast(x = y, dtype = string("int32"));
  } -> (y, g, n);
  func other<ios18>(tensor<fp16, [4]> a, tensor<int32, [2]> i, tensor<bool, [2]> b) {
    tensor<fp16, [4]> c = relu(x = a);
    tensor<int32, [2]> j = select(a = i, b = i, cond = b);
  } -> (c, j);
}
MIL
cat >wrong.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [2]> x) {
    tensor<fp32, [2]> y = relu(x = z);
    tensor<fp32, [2] w = relu(x = x);
  } -> (y);
}
MIL
# [2, 3] fp32, by hand: 0.5 1 1.5 2 2.5 3
{ printf '\x93NUMPY\x01\x00\x46\x00'
  printf '%-69s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
  printf '\x00\x00\x00\x3f\x00\x00\x80\x3f\x00\x00\xc0\x3f\x00\x00\x00\x40\x00\x00\x20\x40\x00\x00\x40\x40'
} >x.npy

check "fmt" "$milo" fmt twice.mil -o canonical.mil
check "fmt of its own output changes nothing" bash -c "'$milo' fmt canonical.mil | cmp - canonical.mil"
check "fmt in place" "$milo" fmt canonical.mil -o canonical.mil
MOST=2 refuse 1 "wrong.mil:3:36: error: 'z' is not defined" fmt wrong.mil
MOST=2 refuse 1 "wrong.mil:4:22: error: expected '>', found 'w'" fmt wrong.mil
refuse 1 "cannot" fmt twice.mil -o no/such/out.mil
refuse 1 "cannot" fmt none.mil
refuse 2 "missing" fmt

check "check" "$milo" check twice.mil canonical.mil "$MILO_SOURCE/tests/data/block.mil"
prints "twice.mil: ok"
prints "its weight files are not there"
MOST=2 refuse 1 "wrong.mil:3:36: error:" check twice.mil wrong.mil
refuse 1 "expected program, found the end" check /dev/null
refuse 1 "it is a folder" check .
check "check --json fails" bash -c "'$milo' check --json twice.mil wrong.mil; [ \$? = 1 ]"
json "check --json" "[x['ok'] for x in j] == [True, False]"
# A weight file that is there is checked.
mkdir weights && printf 'not a blob file' >weights/block.bin && cp "$MILO_SOURCE/tests/data/block.mil" .
refuse 1 "is too short" check block.mil
# Allowed, and most likely wrong.
cat >odd.mil <<'MIL'
program(1.3) {
  func main<ios99>(tensor<fp32, [2]> x) {
    fp32 big = const()[val = fp32(1e400)];
    tensor<fp16, [3]> h = const()[val = tensor<fp16, [3]>([65519, 65520, -inf])];
    tensor<fp32, [2]> y = sofmax(x = x);
    tensor<fp32, [2]> z = sofmax(x = y);
    tensor<fp32, [2]> w = zzzzzzzzzz<IOS18>(x = y);
  } -> (z, w, big, h);
}
MIL
check "check warns" bash -c "'$milo' check odd.mil >odd.out 2>odd.err && grep -q 'odd.mil: ok' odd.out"
for words in "odd.mil:2:3: warning: Milo knows no opset ios99" "odd.mil:5:27: warning: sofmax is not" \
  "did you mean softmax?" "odd.mil:7:27: warning: zzzzzzzzzz is not" \
  "odd.mil:3:35: warning: this number is beyond the range of fp32" \
  "odd.mil:4:67: warning: this number is beyond the range of fp16"; do
  check "warns: $words" grep -qF "$words" odd.err
done
check "each once" [ "$(grep -c ': warning: ' odd.err)" = 5 ]
check "quietly they are left out" bash -c "'$milo' check -q odd.mil >odd.out 2>odd.err && [ ! -s odd.err ]"
check "but not where they are errors" bash -c "'$milo' check -q --strict odd.mil 2>odd.err; grep -q sofmax odd.err"
check "strictly they are errors" bash -c "'$milo' check --strict odd.mil >odd.out 2>odd.err; [ \$? = 1 ]"
check "which say so" bash -c "grep -q 'warning: sofmax' odd.err && ! grep -q ok odd.out"
check "what has no warnings is right strictly too" "$milo" check --strict twice.mil
check "check --json holds them" bash -c "'$milo' check --json odd.mil"
json "check --json warnings" "j[0]['ok'] and 'sofmax' in j[0]['warnings']"

# Weights do not move with a text; who formats it into another folder is told.
mkdir moved && cp block.mil stays.mil
check "fmt into another folder names the weights left behind" bash -c \
  "'$milo' fmt block.mil -o moved/block.mil 2>&1 | grep -q 'note: moved/block.mil .*weights/block.bin'"
check "fmt --quiet does not" bash -c \
  "'$milo' fmt -q block.mil -o moved/block.mil >quiet.out 2>&1 && [ ! -s quiet.out ]"
check "fmt beside its weights has nothing to say" bash -c \
  "[ -z \"\$('$milo' fmt block.mil -o stays.mil 2>&1)\" ]"

check "info" "$milo" info twice.mil
prints "function other"
prints "x: tensor<fp32, [?, 3]>"
check "info --json" "$milo" info --json block.mil
json "info --json lists the weights" "len(j['functions'][0]['weights']) == 7"
json "info --json has shapes" "j['functions'][0]['inputs'][0]['shape'] == [1, 16, 1, 8]"

check "info --cpu" "$milo" info --cpu
prints "matrix products"
check "info --cpu --json" "$milo" info --cpu --json
json "one exact row is chosen" "sum(p['chosen'] and p['mode'] == 'exact' for p in j['products']) == 1"
json "at most one row a mode is chosen, an available one" \
  "all(p['gops'] > 0 and [q['chosen'] and q['mode'] == p['mode'] for q in j['products']].count(True) == 1 for p in j['products'] if p['chosen'])"
check "info --cpu masked" "$milo" info --cpu --json --cpu-mask none
json "a mask leaves what every processor has" "[p['row'] for p in j['products'] if p['available']] == ['generic']"
check "info of nothing is refused" bash -c "'$milo' info >/dev/null 2>&1; [ \$? = 2 ]"
check "info of a file and the processor is refused" bash -c "'$milo' info --cpu twice.mil >/dev/null 2>&1; [ \$? = 2 ]"

for device in ref cpu; do
  check "run on $device" "$milo" run twice.mil --input x=x.npy --random 1 --device $device -o out_$device/deep
  prints "y: tensor<fp32, [2, 3]>"
done
check "the devices agree" bash -c \
  'for f in y g n; do cmp out_ref/deep/$f.npy out_cpu/deep/$f.npy || exit 1; done'
check "y is 2 x" bash -c \
  "tail -c 24 out_ref/deep/y.npy | od -An -f -w24 | grep -qE '^ +1 +2 +3 +4 +5 +6\$'"
check "a result is an input again" "$milo" run twice.mil --input x=out_ref/deep/y.npy --input h=out_ref/deep/g.npy
check "run --function --json" "$milo" run twice.mil --function other --random 7 --json
json "run --json" "[o['shape'] for o in j['outputs']] == [[4], [2]]"
refuse 1 "has no fixed shape" run twice.mil --random 1
refuse 1 "input h" run twice.mil --input x=x.npy
refuse 1 "has no input 'z'" run twice.mil --input z=x.npy
refuse 1 "takes NAME=FILE.npy" run twice.mil --input x.npy
refuse 1 "is given twice" run twice.mil --input x=x.npy --input x=x.npy
refuse 1 "but x.npy holds fp32" run twice.mil --function other --input a=x.npy

# Outputs that go to no folder are summed up; those that go to one are not.
check "run prints a summary" "$milo" run twice.mil --input x=x.npy --random 1
prints "output  y: tensor<fp32, [2, 3]>  min 1  mean 3.5  max 6  NaN 0"
prints "output  n: tensor<int32, [2, 3]>  min 1  mean 3.5  max 6  NaN 0"
check "run --json has it too" "$milo" run twice.mil --input x=x.npy --random 1 --json
json "run --json has it too" "[j['outputs'][0][k] for k in ('min', 'mean', 'max', 'nan')] == [1, 3.5, 6, 0]"
check "run -o prints none" "$milo" run twice.mil --input x=x.npy --random 1 -o there
holds "run -o prints none" '^output  y: tensor<fp32, \[2, 3\]>$' "$out"
cat >odd.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [2]> x, tensor<fp32, [0]> none) {
    tensor<fp32, [2]> l = log(x = x, epsilon = fp32(0));
    tensor<fp32, [0]> e = relu(x = none);
    tensor<bool, [2]> b = greater(x = x, y = fp32(2));
    fp32 s = reduce_max(x = x, axes = tensor<int32, [1]>([0]), keep_dims = bool(false));
  } -> (l, e, b, s);
}
MIL
npy() { # FILE DESCR SHAPE BYTES
  { printf '\x93NUMPY\x01\x00\x76\x00'
    printf '%-117s\n' "{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
    printf "$4"; } >"$1"
}
npy odd.npy '<f4' '(2,)' '\x00\x00\x80\xbf\x00\x00\x80\x40' # -1 4
npy none.npy '<f4' '(0,)' ''
check "run sums up NaN, nothing, bools, scalars" "$milo" run odd.mil --input x=odd.npy --input none=none.npy
prints "l: tensor<fp32, [2]>  min 1.38629  mean 1.38629  max 1.38629  NaN 1"
prints "e: tensor<fp32, [0]>  min -  mean -  max -  NaN 0"
prints "b: tensor<bool, [2]>  min 0  mean 0.5  max 1  NaN 0"
prints "s: fp32  min 4  mean 4  max 4  NaN 0"

# Shapes that only a run knows.
cat >open.mil <<'MIL'
program(1.3) {
  func main<ios18>(tensor<fp32, [2]> x) {
    tensor<int32, [?, 1]> n = non_zero(x = x);
  } -> (n);
}
MIL
npy zero.npy '<f4' '(2,)' '\x00\x00\x00\x00\x00\x00\x00\x00'
for device in ref cpu; do
  check "run on $device says the shape" "$milo" run open.mil --input x=odd.npy --device $device
  prints "n: tensor<int32, [2, 1]>  min 0  mean 0.5  max 1  NaN 0"
  check "run on $device says that nothing is there" "$milo" run open.mil --input x=zero.npy --device $device
  prints "n: tensor<int32, [0, 1]>  min -  mean -  max -  NaN 0"
done
check "run writes the shape" "$milo" run open.mil --input x=odd.npy -o there
holds "run writes the shape" "'shape': \(2, 1\)" there/n.npy
rm -r there
refuse 1 "device cpu does not support non_zero" run open.mil --input x=odd.npy --strict

# NumPy's own types, fp64 and int64, are not what programs take: refused with a hint, or converted.
npy x64.npy '<f8' '(2, 3)' "$(printf '\\x00\\x00\\x00\\x00\\x00\\x00\\x%s' 'e0\x3f' 'f0\x3f' 'f8\x3f' '00\x40' '04\x40' '08\x40')"
npy i64.npy '<i8' '(2,)' '\x07\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff' # 7 -1
npy big.npy '<i8' '(2,)' '\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00' # 2^31 0
npy four.npy '<f4' '(4,)' '\x00\x00\x80\x3f\x00\x00\x80\x3f\x00\x00\x80\xbf\x00\x00\x00\x40'
npy huge.npy '<f4' '(4,)' '\x00\x00\x80\x3f\x00\x00\x80\x3f\x00\x00\x80\x7f\x00\x00\x80\x47' # 1 1 inf 65536
refuse 1 "input x is tensor<fp32, [?, 3]>, but x64.npy holds fp64" run twice.mil --random 1 --input x=x64.npy
holds "a hint names --cast" '^hint: --cast converts it$' "$err"
refuse 1 "but i64.npy holds int64" run twice.mil -f other --random 1 --input i=i64.npy
check "fp64 with --cast" "$milo" run twice.mil --random 1 --cast --input x=x64.npy
prints "y: tensor<fp32, [2, 3]>  min 1  mean 3.5  max 6  NaN 0"
check "int64 and fp32 for fp16 with --cast" "$milo" run twice.mil -f other --random 1 --cast --input i=i64.npy --input a=four.npy
prints "c: tensor<fp16, [4]>  min 0  mean 1  max 2  NaN 0"
prints "j: tensor<int32, [2]>  min -1  mean 3  max 7  NaN 0"
refuse 1 "element [0] is 2147483648, which int32 cannot hold" run twice.mil -f other --random 1 --cast --input i=big.npy
refuse 1 "element [3] is 65536, which fp16 cannot hold" run twice.mil -f other --random 1 --cast --input a=huge.npy
refuse 1 "is declared" run twice.mil -f other --random 1 --cast --input a=i64.npy

check "run --repeat" "$milo" run twice.mil --input x=x.npy --random 1 --repeat 5
holds "run --repeat" '^cpu: compiled in [0-9.]+ ms, ran 5 times: median [0-9.e-]+ ms \([0-9.e-]+ to [0-9.e-]+\)$' "$out"
check "run --repeat --json" "$milo" run twice.mil --input x=x.npy --random 1 --repeat 4 --json
json "run --repeat --json" "j['runs'] == 4 and 0 < j['run_s_min'] <= j['run_s'] <= j['run_s_max']"
refuse 2 "--repeat is a number from 1" run twice.mil --input x=x.npy --random 1 --repeat 0
rm -r there
MOST=1 refuse 1 "input x has unknown dimensions" grad twice.mil
holds "grad on open shapes names --shape" '^hint: .*--shape NAME=4,3' "$err"
refuse 1 "is declared" run twice.mil --random 1 --input x=out_ref/deep/g.npy
refuse 1 "not a .npy file" run twice.mil --input x=twice.mil
refuse 1 "has no function none" run twice.mil --function none
refuse 1 "no device \"gpu\"" run twice.mil --input x=x.npy --random 1 --device gpu
refuse 1 "cannot be made" run twice.mil --input x=x.npy --random 1 -o x.npy/out
refuse 1 "blob file" run block.mil --random 1
refuse 2 "--random takes a whole number" run twice.mil --random often
head -c 100 x.npy >cut.npy
refuse 1 "truncated" run twice.mil --input x=cut.npy --random 1
exit $failed
