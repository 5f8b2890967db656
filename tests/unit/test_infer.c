// SPDX-License-Identifier: MIT
// Result types of every operation. Every row of the operation table must have cases that pass and
// cases that fail; those of operations that only move elements are in infer_moves.h.
#include "infer_case.h"
#include "infer_moves.h"

static void test_elementwise(void) {
  // Two arguments.
  run_like("add", "x=fp32[2,3] y=fp32[2,3]", "fp32[2,3]");
  run_like("add", "x=fp16[2,1,3] y=fp16[4,1]", "fp16[2,4,3]");
  run_like("add", "x=int32 y=int32[5]", "int32[5]");
  run_like("add", "x=bf16[?,3] y=bf16[4,1]", "bf16[4,3]");
  run_like("add", "x=fp64[?] y=fp64[1]", "fp64[?]");
  run_like("add", "x=fp32[*] y=fp32[1]", "fp32[*]");
  run_like("add", "x=fp32[0,3] y=fp32[1,3]", "fp32[0,3]");
  run_like("add", "x=fp32[2,3] y=fp32[2,4]", "!do not broadcast: axis -1 has 3 and 4");
  run_like("add", "x=fp32[3] y=fp16[3]", "!element type fp16, but its other arguments have fp32");
  run_like("add", "x=fp32[3]", "!lacks its argument y");
  run_like("add", "x=fp32[3] y=fp32[3] z=fp32[3]", "!has no parameter z");
  run_like("add", "x=string y=fp32", "!x has element type string, expected one of fp16");
  run_like("less", "x=fp32[2,3] y=fp32[3]", "bool[2,3]");
  run_like("less", "x=int32[?] y=int32", "bool[?]");
  run_like("less", "x=fp32[2] y=fp32[3]", "!do not broadcast");
  run_like("logical_and", "x=bool[2,1] y=bool[3]", "bool[2,3]");
  run_like("logical_and", "x=bool[2] y=bool[3]", "!do not broadcast");
  // One argument.
  run_like("exp", "x=fp32[2,3]", "fp32[2,3]");
  run_like("exp", "x=fp16[?]", "fp16[?]");
  run_like("exp", "x=fp32[*]", "fp32[*]");
  run_like("exp", "x=bool[2]", "!x has element type bool");
  run_like("exp", "", "!lacks its argument x");
  run_like("rsqrt", "x=fp32[2,3]", "fp32[2,3]");
  run_like("rsqrt", "x=fp16[2,3] epsilon=fp32{1e-5}", "fp16[2,3]");
  run_like("rsqrt", "x=fp16[2,3] epsilon=fp32[1]{1e-5}", "!epsilon is tensor<fp32, [1]> of rank 1");
  run_like("rsqrt", "x=fp16[2,3] epsilon=fp32", "!epsilon must be a constant");
  static const infer_case cases[] = {
      {"identity", "x=int8[2,?]", "int8[2,?]"},
      {"identity", "", "!lacks its argument x"},
      {"logical_not", "x=bool[4]", "bool[4]"},
      {"logical_not", "x=fp32[4]", "!expected bool"},
      {"gelu", "x=fp32[4]", "fp32[4]"},
      {"gelu", "x=fp32[4] mode='TANH_APPROXIMATION'", "fp32[4]"},
      {"gelu", "x=fp32[4] mode='tanh'", "!mode is \"tanh\", expected one of \"EXACT\""},
      {"leaky_relu", "x=fp16[4] alpha=fp32{0.1}", "fp16[4]"},
      {"leaky_relu", "x=fp16[4]", "!lacks its argument alpha"},
      {"elu", "x=fp32[4] alpha=fp32{1}", "fp32[4]"},
      {"elu", "x=fp32[4] alpha=fp32[4]{1,1,1,1}", "!alpha is"},
      {"clip", "x=fp32[2,2] alpha=fp32{0} beta=fp32{6}", "fp32[2,2]"},
      {"clip", "x=fp32[2,2] alpha=fp32{0} beta=fp16{6}", "!beta has element type fp16"},
      {"clip", "x=fp16[2,2] alpha=fp16{0} beta=fp32{6}", "!beta has element type fp32"},
      {"select", "cond=bool[2,1] a=fp32[3] b=fp32", "fp32[2,3]"},
      {"select", "cond=bool[?] a=int32[4] b=int32[4]", "int32[4]"},
      {"select", "cond=bool[*] a=int32[4] b=int32[4]", "int32[*]"},
      {"select", "cond=bool[2] a=fp32[3] b=fp32", "!do not broadcast"},
      {"select", "cond=bool[2] a=fp32[3] b=fp32[4]", "!do not broadcast"},
      {"select", "cond=fp32[2] a=fp32[2] b=fp32[2]", "!cond has element type fp32, expected bool"},
      {"cast", "x=fp32[2,?] dtype='fp16'", "fp16[2,?]"},
      {"cast", "x=bool dtype='int32'", "int32"},
      {"cast", "x=fp32[2] dtype='float'", "!dtype is \"float\", expected one of bool, fp16"},
      {"cast", "x='word' dtype='fp32'", "!x is string, expected numbers or bools"},
      {"cast", "x=fp32[2] dtype=string", "!dtype must be a constant"},
  };
  RUN_ALL(cases);
}

static void test_matrix(void) {
  static const infer_case cases[] = {
      {"matmul", "x=fp32[2,3] y=fp32[3,4]", "fp32[2,4]"},
      {"matmul", "x=fp32[5,1,2,3] y=fp32[7,3,4]", "fp32[5,7,2,4]"},
      {"matmul", "x=fp32[3,2] y=fp32[4,3] transpose_x=bool{1} transpose_y=bool{1}", "fp32[2,4]"},
      {"matmul", "x=fp16[3] y=fp32[3]", "fp16"},
      {"matmul", "x=fp32[3] y=fp32[5,3,4]", "fp32[5,4]"},
      // A constant of another type takes the other's.
      {"matmul", "x=int32[1,2] y=fp16[2,1]{1,2}", "int32[1,1]"},
      {"matmul", "x=fp16[1,2] y=fp32[2,1]{1,2}", "fp16[1,1]"},
      {"matmul", "x=fp32[1,2]{1,2} y=fp16[2,1]", "fp16[1,1]"},
      {"matmul", "x=fp16[1,2]{1,2} y=int32[2,1]", "int32[1,1]"},
      {"matmul", "x=fp16[1,2]{1,2} y=fp32[2,1]{1,2}", "fp16[1,1]"},
      {"matmul", "x=fp32[5,2,3] y=fp32[3]", "fp32[5,2]"},
      {"matmul", "x=fp32[?,3] y=fp32[3,?]", "fp32[?,?]"},
      {"matmul", "x=fp32[*] y=fp32[3,4]", "fp32[*]"},
      {"matmul", "x=fp32[2,3] y=fp32[4,5]", "!do not multiply: 3 columns against 4 rows"},
      {"matmul", "x=fp32[2,2,3] y=fp32[3,3,4]", "!the batch of x"},
      {"matmul", "x=fp32 y=fp32[3,4]", "!expected rank 1 or more"},
      {"matmul", "x=fp32[2,3] y=fp32[3,4] tranpose_y=bool{1}", "!did you mean transpose_y?"},
      {"linear", "x=fp32[7,2,3] weight=fp32[4,3] bias=fp32[4]", "fp32[7,2,4]"},
      {"linear", "x=fp32[3] weight=fp32[4,3]", "fp32[4]"},
      {"linear", "x=fp32[?,?] weight=fp32[4,3]", "fp32[?,4]"},
      {"linear", "x=fp32[2,3] weight=fp32[3,4]", "!has 3 columns"},
      {"linear", "x=fp32[2,3] weight=fp32[4,3] bias=fp32[3]", "!bias is tensor<fp32, [3]>"},
      {"linear", "x=fp32[2,3] weight=fp32[3]", "!expected rank 2"},
      {"linear", "x=fp32 weight=fp32[4,3]", "!x is fp32"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,3,3,3]", "fp32[1,5,6,6]"},
      {"conv", "x=fp16[1,3,8] weight=fp16[5,3,1] bias=fp16[5]", "fp16[1,5,8]"},
      {"conv", "x=fp32[2,4,5,6,7] weight=fp32[8,4,2,2,2]", "fp32[2,8,4,5,6]"},
      {"conv", "x=fp32[1,4,9] weight=fp32[6,2,3] groups=int32{2} strides=int32[1]{2}",
       "fp32[1,6,4]"},
      {"conv", "x=fp32[1,1,9] weight=fp32[1,1,3] dilations=int32[1]{3}", "fp32[1,1,3]"},
      {"conv", "x=fp32[1,1,8,9] weight=fp32[1,1,3,3] pad_type='custom' pad=int32[4]{1,2,0,0}",
       "fp32[1,1,9,7]"},
      {"conv", "x=fp32[1,1,8,9] weight=fp32[1,1,3,3] pad=int32[4]{1,2,0,0}", "fp32[1,1,6,7]"},
      {"conv", "x=fp32[1,1,7] weight=fp32[1,1,3] pad_type='same' strides=int32[1]{2}",
       "fp32[1,1,4]"},
      {"conv", "x=fp32[1,1,8] weight=fp32[1,1,4] pad_type='same_lower' strides=int32[1]{3}",
       "fp32[1,1,3]"},
      {"conv", "x=fp32[1,1,5] weight=fp32[1,1,1] pad_type='same' strides=int32[1]{3}",
       "fp32[1,1,2]"},
      {"conv", "x=fp32[?,3,?,8] weight=fp32[5,3,3,3]", "fp32[?,5,?,6]"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[*]", "fp32[1,?,?,?]"},
      {"conv", "x=fp32[3,8] weight=fp32[5,3]", "!expected rank 3 to 5"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,3,3]", "!expected rank 4"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,4,3,3]", "!expected 3 input channels"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,1,3,3] groups=int32{2}", "!does not divide x's 3"},
      {"conv", "x=fp32[1,4,8,8] weight=fp32[5,2,3,3] groups=int32{2}", "!does not divide weight's"},
      {"conv", "x=fp32[1,4,8,8] weight=fp32[5,2,3,3] groups=int32{0}", "!groups is 0"},
      {"conv", "x=fp32[1,3,2,8] weight=fp32[5,3,3,3]", "!axis 2: the kernel spans 3 elements"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,3,3,3] bias=fp32[4]", "!bias is"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,3,3,3] strides=int32[1]{1}", "!expected 2"},
      {"conv", "x=fp32[1,3,8,8] weight=fp32[5,3,3,3] strides=int32[2]{1,0}", "!strides holds 0"},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,3] dilations=int32[1]{-1}", "!dilations holds -1"},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,3] pad_type='full'", "!pad_type is \"full\""},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,3] pad_type='custom' pad=int32[2]{0,-1}",
       "!pad holds -1"},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,3] pad_type='custom' pad=int32[1]{0}",
       "!pad has 1 elements, expected 2"},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,0]", "!empty kernel"},
      {"conv", "x=fp32[1,3,8] weight=fp32[5,3,3] dilations=int64[1]{9e18}", "!too large"},
      {"conv_transpose", "x=fp32[2,4,5] weight=fp32[4,3,2] groups=int32{2} strides=int32[1]{3}",
       "fp32[2,6,14]"},
      {"conv_transpose",
       "x=fp16[1,2,4,5] weight=fp16[2,3,3,3] bias=fp16[3] pad_type='same' "
       "strides=int32[2]{2,1}",
       "fp16[1,3,8,5]"},
      {"conv_transpose",
       "x=fp32[1,2,4] weight=fp32[2,3,3] pad_type='custom' pad=int32[2]{1,2} "
       "dilations=int32[1]{2}",
       "fp32[1,3,5]"},
      {"conv_transpose", "x=fp32[?,2,4] weight=fp32[2,3,3] output_shape=int32[3]{7,3,9}",
       "fp32[7,3,9]"},
      {"conv_transpose", "x=fp32[?,2,?] weight=fp32[2,3,3]", "fp32[?,3,?]"},
      {"conv_transpose", "x=fp32[1,2,4] weight=fp32[*]", "fp32[1,?,?]"},
      {"conv_transpose", "x=fp32[1,2,0] weight=fp32[2,3,3]", "fp32[1,3,0]"},
      {"conv_transpose", "x=fp32[1,2,4] weight=fp32[3,2,3]", "!expected 2 input channels"},
      {"conv_transpose", "x=fp32[1,3,4] weight=fp32[3,2,3] groups=int32{2}",
       "!does not divide x's"},
      {"conv_transpose", "x=fp32[1,2,4] weight=fp32[2,3,3] output_shape=int32[3]{1,2,9}",
       "!expected the batch of x and 3"},
      {"conv_transpose", "x=fp32[1,2,4] weight=fp32[2,3,3] output_shape=int32[2]{1,3}",
       "!expected 3"},
      {"conv_transpose", "x=fp32[1,2,4] weight=fp32[2,3,3] pad_type='same_lower'", "!pad_type is"},
      {"conv_transpose", "x=fp32[1,2,1] weight=fp32[2,3,3] pad_type='custom' pad=int32[2]{2,2}",
       "!takes 4 elements off axis 2, which has 3"},
      {"conv_transpose", "x=fp32[1,2,3] weight=fp32[2,3,3] strides=int64[1]{9e18}", "!too large"},
  };
  RUN_ALL(cases);
}

static void test_pool(void) {
  static const infer_case cases[] = {
      {"max_pool", "x=fp32[2,3,8,9] kernel_sizes=int32[2]{3,2} pad_type='valid'", "fp32[2,3,6,8]"},
      {"max_pool", "x=fp16[2,3,8] kernel_sizes=int32[1]{3} strides=int32[1]{2} pad_type='same'",
       "fp16[2,3,4]"},
      {"max_pool", "x=fp32[?,3,?,9] kernel_sizes=int32[2]{3,2} pad_type='valid'", "fp32[?,3,?,8]"},
      {"max_pool", "x=fp32[*] kernel_sizes=int32[2]{3,2} pad_type='valid'", "fp32[*]"},
      {"max_pool",
       "x=fp32[1,1,6,7,8] kernel_sizes=int32[3]{1,2,3} pad_type='custom' "
       "pad=int32[6]{0,1,0,0,2,0}",
       "fp32[1,1,7,6,8]"},
      // 6 = 3 + 2 + 1 left over; with padding the window must begin before x's end
      {"avg_pool",
       "x=fp32[1,1,6] kernel_sizes=int32[1]{3} strides=int32[1]{2} pad_type='valid' "
       "ceil_mode=bool{1}",
       "fp32[1,1,3]"},
      {"avg_pool",
       "x=fp32[1,1,4] kernel_sizes=int32[1]{2} strides=int32[1]{5} pad_type='custom' "
       "pad=int32[2]{1,1} ceil_mode=bool{1}",
       "fp32[1,1,1]"},
      {"avg_pool",
       "x=fp32[1,1,5] kernel_sizes=int32[1]{2} strides=int32[1]{5} pad_type='custom' "
       "pad=int32[2]{1,1} ceil_mode=bool{1}",
       "fp32[1,1,2]"},
      {"avg_pool",
       "x=fp32[1,1,2] kernel_sizes=int32[1]{3} strides=int32[1]{2} pad_type='valid' "
       "ceil_mode=bool{1}",
       "fp32[1,1,1]"},
      {"l2_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{3} pad_type='same_lower'", "fp32[1,1,6]"},
      {"l2_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{3} pad_type='full'",
       "!pad_type is \"full\""},
      {"max_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{3} pad_type='valid' exclude=bool{1}",
       "!no parameter exclude"},
      {"avg_pool", "x=fp32[1,1,2] kernel_sizes=int32[1]{3} pad_type='valid'",
       "!axis 2: the kernel spans 3 elements"},
      {"avg_pool", "x=fp32[1,6] kernel_sizes=int32[1]{3} pad_type='valid'",
       "!expected rank 3 to 5"},
      {"avg_pool", "x=int32[1,1,6] kernel_sizes=int32[1]{3} pad_type='valid'",
       "!element type int32"},
      {"avg_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{3}", "!lacks its argument pad_type"},
      {"avg_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{0} pad_type='valid'",
       "!kernel_sizes holds 0"},
      {"avg_pool", "x=fp32[1,1,6] kernel_sizes=int32[2]{1,1} pad_type='valid'", "!expected 1"},
      {"avg_pool", "x=fp32[1,1,6] kernel_sizes=int32[1]{3} pad_type='same' ceil_mode=bool{1}",
       "!ceil_mode is true"},
      {"avg_pool",
       "x=fp32[1,1,6] kernel_sizes=int32[1]{3} pad_type='custom' pad=int32[2]{0,1} "
       "ceil_mode=bool{1}",
       "!must be equal"},
      {"avg_pool",
       "x=fp32[1,1,6,6,6] kernel_sizes=int32[3]{3,3,3} pad_type='valid' "
       "ceil_mode=bool{1}",
       "!only one or two axes"},
      {"avg_pool",
       "x=fp32[1,1,6] kernel_sizes=int64[1]{9e18} pad_type='custom' "
       "pad=int64[2]{9e18,9e18}",
       "!too large"},
      {"avg_pool",
       "x=fp32[1,1,6] kernel_sizes=int32[1]{5} strides=int64[1]{9.2e18} "
       "pad_type='custom' pad=int64[2]{9e17,9e17} ceil_mode=bool{1}",
       "!too large"},
      {"max_pool_grad", "grad=fp32[1,1,3] x=fp32[1,1,5] kernel_sizes=int32[1]{3} pad_type='valid'",
       "fp32[1,1,5]"},
      {"max_pool_grad", "grad=fp32[1,1,5] x=fp32[1,1,5] kernel_sizes=int32[1]{3} pad_type='valid'",
       "!grad is"},
      {"avg_pool_grad",
       "grad=fp32[1,1,3] shape=int32[3]{1,1,5} kernel_sizes=int32[1]{3} "
       "pad_type='valid'",
       "fp32[1,1,5]"},
      {"avg_pool_grad",
       "grad=fp32[1,1,3] shape=int32[3]{1,1,6} kernel_sizes=int32[1]{3} "
       "pad_type='valid'",
       "!grad is"},
      {"avg_pool_grad",
       "grad=fp32[1,1,3] shape=int32[2]{1,5} kernel_sizes=int32[1]{3} "
       "pad_type='valid'",
       "!expected 3 to 5"},
      {"avg_pool_grad",
       "grad=fp32[1,1,3] shape=int32[3]{-1,1,5} kernel_sizes=int32[1]{3} "
       "pad_type='valid'",
       "!shape holds -1"},
  };
  RUN_ALL(cases);
}

static void test_reduce(void) {
  run_like("reduce_sum", "x=fp32[2,3,4] axes=int32[2]{0,-1}", "fp32[3]");
  run_like("reduce_sum", "x=fp32[2,3,4] axes=int32[1]{1} keep_dims=bool{1}", "fp32[2,1,4]");
  run_like("reduce_sum", "x=int32[2,?]", "int32");
  run_like("reduce_sum", "x=fp32[2,3] keep_dims=bool{1}", "fp32[1,1]");
  run_like("reduce_sum", "x=fp32[?,3] axes=int32[1]{1}", "fp32[?]");
  run_like("reduce_sum", "x=fp32[*] axes=int32[1]{1}", "fp32[*]");
  run_like("reduce_sum", "x=fp32[*]", "fp32");
  run_like("reduce_sum", "x=fp32[2,3] axes=int32[1]{2}", "!axes holds 2, expected axes in [-2, 2)");
  run_like("reduce_sum", "x=fp32[2,3] axes=int32[2]{1,-1}", "!names axis 1 twice");
  run_like("reduce_sum", "x=fp32[2,3] axes=int32[0]{}", "!axes is empty");
  run_like("reduce_sum", "x=fp32[2,3] axes=int32{0}", "!axes is int32 of rank 0, expected rank 1");
  run_like("reduce_sum", "x=fp32[2,3] axes=int32[1]", "!must be a constant");
  run_like("reduce_sum", "x=fp32[2,3] axes=fp32[1]{0}", "!axes has element type fp32");
  run_like("reduce_argmax", "x=fp32[2,3]", "int32[2]");
  run_like("reduce_argmax", "x=fp32[2,?] axis=int32{0} keep_dims=bool{1}", "int32[1,?]");
  run_like("reduce_argmax", "x=fp32[4] output_dtype='uint16'", "uint16");
  run_like("reduce_argmax", "x=fp32[4] output_dtype='fp32'", "!output_dtype is \"fp32\"");
  run_like("reduce_argmax", "x=fp32[4] axis=int32{1}", "!axis is 1, expected an axis in [-1, 1)");
  run_like("reduce_argmax", "x=fp32[4,0] axis=int32{1}", "!is empty");
  run_like("reduce_argmax", "x=fp32", "!axis is -1");
  static const infer_case cases[] = {
      {"cumsum", "x=fp32[2,3] axis=int32{-1} reverse=bool{1}", "fp32[2,3]"},
      {"cumsum", "x=fp32[*]", "fp32[*]"},
      {"cumsum", "x=fp32[2,3] axis=int32{2}", "!axis is 2"},
      {"cumsum", "x=fp32", "!axis is 0"},
      {"softmax", "x=fp16[2,?]", "fp16[2,?]"},
      {"softmax", "x=fp16[2,3] axis=int32{-3}", "!axis is -3"},
      {"softmax", "x=int32[2,3]", "!x has element type int32"},
      {"layer_norm", "x=fp32[2,3,4] axes=int32[1]{-1} gamma=fp32[4] beta=fp32[4]", "fp32[2,3,4]"},
      {"layer_norm", "x=fp32[2,3,4] axes=int32[2]{2,1} gamma=fp32[3,4]", "fp32[2,3,4]"},
      {"layer_norm", "x=fp32[2,3] gamma=fp32[2,3] epsilon=fp32{1e-6}", "fp32[2,3]"},
      {"layer_norm", "x=fp32[2,?] axes=int32[1]{1} gamma=fp32[4]", "fp32[2,?]"},
      {"layer_norm", "x=fp32[2,3] axes=int32[1]{1} gamma=fp32[2]", "!gamma is tensor<fp32, [2]>"},
      {"layer_norm", "x=fp32[2,3] axes=int32[1]{1} beta=fp32[1]", "!beta is"},
      {"layer_norm", "x=fp32[2,3] axes=int32[1]{2}", "!axes holds 2"},
      {"layer_norm", "x=fp32[2,3] epsilon=fp32[1]{0}", "!epsilon is"},
      {"instance_norm", "x=fp32[2,3,4] gamma=fp32[3] beta=fp32[3]", "fp32[2,3,4]"},
      {"instance_norm", "x=fp16[?,?,4,5] gamma=fp32[3] epsilon=fp32{0.1}", "fp16[?,?,4,5]"},
      {"instance_norm", "x=fp32[*]", "fp32[*]"},
      {"instance_norm", "x=fp32[2,3]", "!expected rank 3 to 5"},
      {"instance_norm", "x=fp32[2,3,4] gamma=fp32[4]", "!gamma is"},
      {"instance_norm", "x=fp32[2,3,4] epsilon=fp32[1]{0}", "!epsilon is"},
      {"batch_norm", "x=fp32[2,3,4] mean=fp32[3] variance=fp32[3]", "fp32[2,3,4]"},
      {"batch_norm",
       "x=fp16[2,3,4,5,6] mean=fp16[3] variance=fp16[3] gamma=fp16[3] beta=fp16[3] epsilon=fp32{0}",
       "fp16[2,3,4,5,6]"},
      {"batch_norm", "x=fp32[2,3,4] mean=fp32[4] variance=fp32[3]", "!mean is"},
      {"batch_norm", "x=fp32[2,3,4] mean=fp32[3] variance=fp32[1]", "!variance is"},
      {"batch_norm", "x=fp32[2,3,4] mean=fp32[3]", "!lacks its argument variance"},
      {"batch_norm", "x=fp32[2,3,4] mean=fp32[3] variance=fp16[3]", "!variance has element type"},
  };
  RUN_ALL(cases);
}

static void test_quant(void) {
  static const infer_case cases[] = {
      {"quantize", "input=fp16[2,3] scale=fp16{0.5} output_dtype='int8'", "int8[2,3]"},
      {"quantize",
       "input=fp32[2,3] scale=fp32[3]{1,1,1} zero_point=uint8[3]{0,1,2} axis=int32{-1} "
       "output_dtype='uint8'",
       "uint8[2,3]"},
      {"quantize", "input=fp32[2] scale=fp32{0} output_dtype='int8'", "!scale is 0"},
      {"quantize", "input=fp32[2] scale=fp32{1} output_dtype='int16'",
       "!output_dtype is \"int16\""},
      {"quantize", "input=fp32[2] scale=fp32{1} zero_point=uint8{1} output_dtype='int8'",
       "!zero_point has element type uint8"},
      {"quantize", "input=fp32[2] scale=fp32[2]{1,1} output_dtype='int8'", "!there is no axis"},
      {"dequantize", "input=int8[2,?] scale=fp16{0.5}", "fp16[2,?]"},
      {"dequantize", "input=uint8[2,3] scale=fp32[2]{1,2} axis=int32{0}", "fp32[2,3]"},
      {"dequantize", "input=uint8[2,3] scale=fp32[2]{1,2} axis=int32{1}", "!scale is"},
      {"dequantize", "input=uint8[2,3] scale=fp32[2]{1,2} axis=int32{2}", "!axis is 2"},
      {"dequantize", "input=uint8[2,3] scale=fp32{1} zero_point=int8{0}",
       "!zero_point has element"},
      {"constexpr_affine_dequantize",
       "quantized_data=int8[2,2]{1,2,3,4} zero_point=int8{0} "
       "scale=fp16[2]{1,2} axis=int32{0}",
       "fp16[2,2]"},
      {"constexpr_affine_dequantize",
       "quantized_data=int8[2,2]{1,2,3,4} zero_point=int8[1]{0} "
       "scale=fp16[2]{1,2} axis=int32{0}",
       "!zero_point is"},
      {"constexpr_affine_dequantize",
       "quantized_data=int8[2,2] zero_point=int8{0} "
       "scale=fp16{1} axis=int32{0}",
       "!must be a constant"},
      {"constexpr_affine_dequantize",
       "quantized_data=int8[2,2]{1,2,3,4} zero_point=int8{0} "
       "scale=fp16[1,2]{1,2} axis=int32{0}",
       "!a scalar or a vector"},
      {"constexpr_affine_dequantize",
       "quantized_data=int8{1} zero_point=int8{0} "
       "scale=fp16{1} axis=int32{0}",
       "!rank 1 or more"},
  };
  RUN_ALL(cases);
}

#define QKV "query=fp32[2,4,3,8] key=fp32[2,2,5,8] value=fp32[2,2,5,8] scale=fp32{1} "
#define MOMENTS "param=fp32[2,3] grad=fp32[2,3] m=fp32[2,3] v=fp32[2,3] "
#define RATES                                                                               \
  "lr=fp32 grad_scale=fp32 bias1=fp32 beta1=fp32{0.9} beta2=fp32{0.99} epsilon=fp32{1e-8} " \
  "weight_decay=fp32{0} "

static void test_composites(void) {
  static const infer_case cases[] = {
      {"rms_norm", "x=fp32[2,3] weight=fp32[3] epsilon=fp32{1e-6}", "fp32[2,3]"},
      {"rms_norm", "x=fp32[?,3] weight=fp32[3]", "fp32[?,3]"},
      {"rms_norm", "x=fp32[2,3] weight=fp32[2]", "!weight is"},
      {"rms_norm", "x=fp32 weight=fp32[2]", "!x is fp32, expected rank 1 or more"},
      {"rms_norm_grad", "grad=fp32[2,3] x=fp32[2,3] weight=fp32[3]", "fp32[2,3] fp32[3]"},
      {"rms_norm_grad", "grad=fp32[2,4] x=fp32[2,3] weight=fp32[3]", "!grad is"},
      {"rope", "x=fp32[2,4,3,8] cos=fp32[3,4] sin=fp32[3,4] pairing='half'", "fp32[2,4,3,8]"},
      {"rope", "x=fp32[2,4,?,8] cos=fp32[3,4] sin=fp32[3,4]", "fp32[2,4,?,8]"},
      {"rope", "x=fp32[2,4,3,7] cos=fp32[3,4] sin=fp32[3,4]", "!an even last axis"},
      {"rope", "x=fp32[3,8] cos=fp32[3,8] sin=fp32[3,4]", "!cos is"},
      {"rope", "x=fp32[3,8] cos=fp32[3,4] sin=fp32[4,4]", "!sin is"},
      {"rope", "x=fp32[3,8] cos=fp32[3,4] sin=fp32[3,4] pairing='odd'", "!pairing is"},
      {"attention", QKV "position=int32", "fp32[2,4,3,8] fp32[2,4,3]"},
      {"attention", "query=fp32[2,4,3,8] key=fp32[2,3,5,8] value=fp32[2,3,5,8] scale=fp32{1}",
       "!4 heads, expected a multiple of key's 3"},
      {"attention", "query=fp32[2,4,3,8] key=fp32[2,2,5,7] value=fp32[2,2,5,7] scale=fp32{1}",
       "!key is"},
      {"attention", "query=fp32[2,4,3,8] key=fp32[2,2,5,8] value=fp32[2,2,4,8] scale=fp32{1}",
       "!value is"},
      {"attention", QKV "position=int32{-1}", "!position is -1"},
      {"attention", "query=fp32[2,4,3,8] key=fp32[2,2,5,8] value=fp32[2,2,5,8] scale=fp32{1e39}",
       "!scale is inf"},
      {"attention_grad", QKV "grad=fp32[2,4,3,8] out=fp32[2,4,3,8] lse=fp32[2,4,3]",
       "fp32[2,4,3,8] fp32[2,2,5,8] fp32[2,2,5,8]"},
      {"attention_grad", QKV "grad=fp32[2,4,3,8] out=fp32[2,4,3,8] lse=fp32[2,4]", "!lse is"},
      {"scale_blocks", "data=int8[3,8] scale=fp32[3,2]", "fp32[3,8]"},
      {"scale_blocks", "data=uint8[2,3,8] scale=fp16[2,3,1]", "fp16[2,3,8]"},
      {"scale_blocks", "data=int8[3,8] scale=fp32[3,3]", "!scale has 3 blocks"},
      {"scale_blocks", "data=int8[3,8] scale=fp32[2,2]", "!scale is"},
      {"scale_blocks", "data=int8[3,8] scale=fp32[3]", "!scale is"},
      {"silu_gate", "x=fp32[2,3] y=fp32[2,3]", "fp32[2,3]"},
      {"silu_gate", "x=fp32[2,3] y=fp32[3]", "!y is"},
      {"silu_gate_grad", "grad=fp32[2,3] x=fp32[2,3] y=fp32[2,3]", "fp32[2,3] fp32[2,3]"},
      {"silu_gate_grad", "grad=fp32[1,3] x=fp32[2,3] y=fp32[2,3]", "!grad is"},
      {"cross_entropy", "logits=fp32[2,5] target=int32[2]", "fp32[2] fp32[2]"},
      {"cross_entropy", "logits=fp32[2,5] target=int32[3]", "!target is"},
      {"cross_entropy", "logits=fp32[2,5] target=int32[2]{1,5}", "!target holds 5"},
      {"cross_entropy_grad", "grad=fp32[2] logits=fp32[2,5] target=int32[2] lse=fp32[2]",
       "fp32[2,5]"},
      {"cross_entropy_grad", "grad=fp32[2] logits=fp32[2,5] target=int32[2] lse=fp32[2,1]",
       "!lse is"},
      {"adamw", MOMENTS RATES "bias2=fp32", "fp32[2,3] fp32[2,3] fp32[2,3]"},
      {"adamw", MOMENTS RATES "bias2=fp32[1]", "!bias2 is"},
      {"adamw", "param=fp32[2,3] grad=fp32[2,3] m=fp32[3] v=fp32[2,3] bias2=fp32 " RATES, "!m is"},
  };
  RUN_ALL(cases);
}

static void test_const(void) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios18");
  milo_op *op = milo_op_create(func->body, NULL, "const", MILO_NO_LOC);
  milo_arena scratch = {0};
  milo_types types = {.arena = &scratch};
  milo_diag diag = {0};
  CHECK(milo_op_infer(op, &types, &diag) == MILO_ERR_INVALID);
  CHECK(strstr(milo_diag_text(&diag), "val is missing") != NULL);
  const float data[2] = {1, 2};
  milo_attrs_add(&program->arena, &op->attrs, "val",
                 (milo_literal){.kind = MILO_LITERAL_DATA,
                                .type = milo_type_tensor(MILO_FP32, 1, (int64_t[]){2}),
                                .data = data,
                                .bytes = sizeof data,
                                .count = 2});
  CHECK(milo_op_infer(op, &types, &diag) == MILO_OK && same_types(&types, "fp32[2]"));
  has_good[MILO_OP_const] = has_bad[MILO_OP_const] = true;
  milo_diag_deinit(&diag);
  milo_arena_deinit(&scratch);
  milo_program_destroy(program);
}

static void test_unknown_operations_have_no_types(void) {
  milo_program *program = milo_program_create();
  milo_func *func = milo_program_add_func(program, "main", "ios18");
  milo_op *op = milo_op_create(func->body, NULL, "from_the_future", MILO_NO_LOC);
  milo_arena scratch = {0};
  milo_types types = {.arena = &scratch};
  milo_diag diag = {0};
  CHECK(milo_op_infer(op, &types, &diag) == MILO_ERR_UNSUPPORTED && diag.errors == 0);
  milo_arena_deinit(&scratch);
  milo_program_destroy(program);
}

static void test_every_operation_was_tried(void) {
  for (int code = MILO_OP_unknown + 1; code < MILO_OP_COUNT; code++) {
    const milo_op_info *info = milo_op_info_get((milo_opcode)code);
    // What holds blocks, takes lists or states: see test_control.c.
    if (info->blocks > 0 || strstr(info->name, "list") != NULL ||
        strstr(info->name, "_state") != NULL)
      continue;
    if (!CHECK(has_good[code]) || !CHECK(has_bad[code])) printf("#   %s\n", info->name);
  }
}

int main(void) {
  RUN(test_elementwise);
  RUN(test_matrix);
  RUN(test_pool);
  RUN(test_reduce);
  RUN(test_shape);
  RUN(test_make);
  RUN(test_slice);
  RUN(test_join);
  RUN(test_gather);
  RUN(test_quant);
  RUN(test_composites);
  RUN(test_const);
  RUN(test_unknown_operations_have_no_types);
  RUN(test_every_operation_was_tried);
  return tap_done();
}
