// SPDX-License-Identifier: MIT
// One case or more for every operation of the table, with values worked out by hand. Every device
// runs them all.
//
// In body, inputs are named by `inputs` ("fp32[2,3] x = 1 2 3 4 5 6"), separated by ";". results
// names the function's outputs with their values, in the same spelling.
#ifndef MILO_TESTS_OP_CASES_H
#define MILO_TESTS_OP_CASES_H

typedef struct op_case {
  const char *op;  // row of the table that it tests
  const char *inputs;
  const char *body;
  const char *results;
} op_case;

#define Y(type, expression) "tensor<" type "> y = " expression "[name = string(\"y\")];"

static const op_case op_cases[] = {
    {"identity", "fp32[2] x = 1 nan", Y("fp32, [2]", "identity(x = x)"), "fp32[2] y = 1 nan"},

    // control flow: blocks see what is around them, and may give it back as it is
    {"cond", "bool[] p = 1; fp32[2] x = 1 2",
     "tensor<fp32, [2]> y, tensor<fp32, [2]> z = cond(pred = p)[name = string(\"y\")] () {\n"
     "tensor<fp32, [2]> a = add(x = x, y = fp32(10));\n} -> (a, x) () {\n"
     "tensor<fp32, [2]> b = sub(x = x, y = fp32(10));\n} -> (b, b);",
     "fp32[2] y = 11 12; fp32[2] z = 1 2"},
    {"cond", "bool[1] p = 0; fp32[2] x = 1 2",
     "tensor<fp32, [2]> y, tensor<fp32, [2]> z = cond(pred = p)[name = string(\"y\")] () {\n"
     "tensor<fp32, [2]> a = add(x = x, y = fp32(10));\n} -> (a, x) () {\n"
     "tensor<fp32, [2]> b = sub(x = x, y = fp32(10));\n} -> (b, b);",
     "fp32[2] y = -9 -8; fp32[2] z = -9 -8"},
    // doubled until it is above a bound; how often; what does not change
    {"while_loop", "fp32[] x = 3; fp32[] most = 50; fp32[2] k = 7 8",
     "fp32 y, int32 n, tensor<fp32, [2]> z = while_loop(loop_vars = (x, int32(0), k))"
     "[name = string(\"y\")] (fp32 v, int32 i, tensor<fp32, [2]> c) {\n"
     "bool on = less(x = v, y = most);\n} -> (on) (fp32 v, int32 i, tensor<fp32, [2]> c) {\n"
     "fp32 w = mul(x = v, y = fp32(2));\nint32 j = add(x = i, y = int32(1));\n} -> (w, j, c);",
     "fp32[] y = 96; int32[] n = 5; fp32[2] z = 7 8"},
    {"while_loop", "fp32[] x = 3; fp32[] most = 1",
     "fp32 y = while_loop(loop_vars = x)[name = string(\"y\")] (fp32 v) {\n"
     "bool on = less(x = v, y = most);\n} -> (on) (fp32 v) {\n"
     "fp32 w = mul(x = v, y = fp32(2));\n} -> (w);",
     "fp32[] y = 3"},

    // lists: what was never written is zero; they grow
    {"make_list", "fp32[] x = 3",
     "list<fp32, 2> l = make_list(init_length = int32(2), dtype = string(\"fp32\"));\n"
     "int32 y = list_length(ls = l)[name = string(\"y\")];",
     "int32[] y = 2"},
    {"list_length", "fp32[2] x = 3 4",
     "list<tensor<fp32, [2]>, 1> l = make_list(elem_shape = int32(2));\n"
     "list<tensor<fp32, [2]>, 1> m = list_write(ls = l, index = int32(4), value = x);\n"
     "int32 y = list_length(ls = m)[name = string(\"y\")];\nint32 z = list_length(ls = l);",
     "int32[] y = 5; int32[] z = 1"},
    {"list_read", "fp32[2] x = 3 4; int32[] i = 1",
     "list<tensor<fp32, [2]>, 2> l = make_list(elem_shape = int32(2), init_length = int32(2));\n"
     "list<tensor<fp32, [2]>, 2> m = list_write(ls = l, index = i, value = x);\n"
     "tensor<fp32, [2]> y = list_read(ls = m, index = i)[name = string(\"y\")];\n"
     "tensor<fp32, [2]> z = list_read(ls = m, index = int32(0));",
     "fp32[2] y = 3 4; fp32[2] z = 0 0"},
    {"list_write", "int32[1] x = 7; int32[1] w = 8",
     "list<tensor<int32, [1]>, 1> l = make_list(elem_shape = int32(1), dtype = "
     "string(\"int32\"));\n"
     "list<tensor<int32, [1]>, 1> m = list_write(ls = l, index = int32(0), value = x);\n"
     "list<tensor<int32, [1]>, 1> n = list_write(ls = m, index = int32(0), value = w);\n"
     "tensor<int32, [1]> y = list_read(ls = m, index = int32(0))[name = string(\"y\")];\n"
     "tensor<int32, [1]> z = list_read(ls = n, index = int32(0));",
     "int32[1] y = 7; int32[1] z = 8"},
    {"list_gather", "fp16[2] x = 3 4; int32[3] i = 2 0 2",
     "list<tensor<fp16, [2]>, 1> l = make_list(elem_shape = int32(2), dtype = string(\"fp16\"));\n"
     "list<tensor<fp16, [2]>, 1> m = list_write(ls = l, index = int32(2), value = x);\n"
     "tensor<fp16, [3, 2]> y = list_gather(ls = m, indices = i)[name = string(\"y\")];",
     "fp16[3,2] y = 3 4 0 0 3 4"},
    {"list_scatter", "fp32[2,1] x = 3 4; int32[2] i = 3 1",
     "list<tensor<fp32, [1]>, 1> l = make_list(elem_shape = int32(1));\n"
     "list<tensor<fp32, [1]>, 1> m = list_scatter(ls = l, indices = i, value = x);\n"
     "tensor<fp32, [4, 1]> y = list_gather(ls = m, indices = tensor<int32, [4]>([0, 1, 2, 3]))"
     "[name = string(\"y\")];",
     "fp32[4,1] y = 0 4 0 3"},

    // two arguments
    {"add", "fp32[2,2] x = 1 2 3 4; fp32[2] y0 = 10 20", Y("fp32, [2,2]", "add(x = x, y = y0)"),
     "fp32[2,2] y = 11 22 13 24"},
    {"add", "int32[2] x = 2147483647 -5; int32[2] y0 = 1 2", Y("int32, [2]", "add(x = x, y = y0)"),
     "int32[2] y = -2147483648 -3"},
    // 2048 + 1 lies between two fp16 numbers: to the even one
    {"add", "fp16[3] x = 2048 2050 65504; fp16[3] y0 = 1 1 32",
     Y("fp16, [3]", "add(x = x, y = y0)"), "fp16[3] y = 2048 2052 inf"},
    {"sub", "fp32[3] x = 1 inf 5; fp32[3] y0 = 3 inf -1", Y("fp32, [3]", "sub(x = x, y = y0)"),
     "fp32[3] y = -2 nan 6"},
    {"mul", "fp32[2,1] x = 2 3; fp32[1,3] y0 = 1 -1 0.5", Y("fp32, [2,3]", "mul(x = x, y = y0)"),
     "fp32[2,3] y = 2 -2 1 3 -3 1.5"},
    {"mul", "int32[1] x = 65536; int32[1] y0 = 65536", Y("int32, [1]", "mul(x = x, y = y0)"),
     "int32[1] y = 0"},
    {"real_div", "fp32[4] x = 1 -1 0 7; fp32[4] y0 = 0 0 0 2",
     Y("fp32, [4]", "real_div(x = x, y = y0)"), "fp32[4] y = inf -inf nan 3.5"},
    {"real_div", "int32[5] x = 7 -7 7 -2147483648 5; int32[5] y0 = 2 2 -2 -1 0",
     Y("int32, [5]", "real_div(x = x, y = y0)"), "int32[5] y = 3 -3 -3 -2147483648 0"},
    {"floor_div", "fp32[4] x = 7 -7 7 6; fp32[4] y0 = 2 2 -2 -3",
     Y("fp32, [4]", "floor_div(x = x, y = y0)"), "fp32[4] y = 3 -4 -4 -2"},
    {"floor_div", "int32[4] x = 7 -7 7 6; int32[4] y0 = 2 2 -2 0",
     Y("int32, [4]", "floor_div(x = x, y = y0)"), "int32[4] y = 3 -4 -4 0"},
    {"mod", "fp32[4] x = 7 -7 7 -6; fp32[4] y0 = 3 3 -3 3", Y("fp32, [4]", "mod(x = x, y = y0)"),
     "fp32[4] y = 1 2 -2 0"},
    {"mod", "int32[4] x = 7 -7 7 -7; int32[4] y0 = 3 3 -3 0", Y("int32, [4]", "mod(x = x, y = y0)"),
     "int32[4] y = 1 2 -2 0"},
    {"pow", "fp32[5] x = 2 9 -8 nan 0; fp32[5] y0 = 10 0.5 3 0 -1",
     Y("fp32, [5]", "pow(x = x, y = y0)"), "fp32[5] y = 1024 3 -512 1 inf"},
    {"pow", "int32[5] x = 3 -1 2 1 0; int32[5] y0 = 4 -3 -1 -5 0",
     Y("int32, [5]", "pow(x = x, y = y0)"), "int32[5] y = 81 -1 0 1 1"},
    {"maximum", "fp32[4] x = 1 nan 3 -inf; fp32[4] y0 = 2 1 nan 0",
     Y("fp32, [4]", "maximum(x = x, y = y0)"), "fp32[4] y = 2 nan nan 0"},
    {"maximum", "int32[2] x = 1 -3; int32[] y0 = -1", Y("int32, [2]", "maximum(x = x, y = y0)"),
     "int32[2] y = 1 -1"},
    {"minimum", "fp32[4] x = 1 nan 3 -inf; fp32[4] y0 = 2 1 nan 0",
     Y("fp32, [4]", "minimum(x = x, y = y0)"), "fp32[4] y = 1 nan nan -inf"},
    {"equal", "fp32[3] x = 1 nan 3; fp32[3] y0 = 1 nan 4", Y("bool, [3]", "equal(x = x, y = y0)"),
     "bool[3] y = 1 0 0"},
    {"equal", "int32[2,1] x = 1 2; int32[2] y0 = 1 2", Y("bool, [2,2]", "equal(x = x, y = y0)"),
     "bool[2,2] y = 1 0 0 1"},
    {"not_equal", "fp32[3] x = 1 nan 3; fp32[3] y0 = 1 nan 4",
     Y("bool, [3]", "not_equal(x = x, y = y0)"), "bool[3] y = 0 1 1"},
    {"less", "fp32[4] x = 1 2 3 nan; fp32[4] y0 = 2 2 2 2", Y("bool, [4]", "less(x = x, y = y0)"),
     "bool[4] y = 1 0 0 0"},
    {"less_equal", "fp32[4] x = 1 2 3 nan; fp32[4] y0 = 2 2 2 2",
     Y("bool, [4]", "less_equal(x = x, y = y0)"), "bool[4] y = 1 1 0 0"},
    {"greater", "int32[3] x = 1 2 3; int32[3] y0 = 2 2 2", Y("bool, [3]", "greater(x = x, y = y0)"),
     "bool[3] y = 0 0 1"},
    {"greater_equal", "fp16[3] x = 1 2 3; fp16[3] y0 = 2 2 2",
     Y("bool, [3]", "greater_equal(x = x, y = y0)"), "bool[3] y = 0 1 1"},
    {"logical_and", "bool[4] x = 0 0 1 1; bool[4] y0 = 0 1 0 1",
     Y("bool, [4]", "logical_and(x = x, y = y0)"), "bool[4] y = 0 0 0 1"},
    {"logical_or", "bool[4] x = 0 0 1 1; bool[4] y0 = 0 1 0 1",
     Y("bool, [4]", "logical_or(x = x, y = y0)"), "bool[4] y = 0 1 1 1"},
    {"logical_xor", "bool[4] x = 0 0 1 1; bool[4] y0 = 0 1 0 1",
     Y("bool, [4]", "logical_xor(x = x, y = y0)"), "bool[4] y = 0 1 1 0"},
    {"logical_not", "bool[2] x = 0 1", Y("bool, [2]", "logical_not(x = x)"), "bool[2] y = 1 0"},

    // one argument
    {"abs", "fp32[4] x = -1 2 -inf nan", Y("fp32, [4]", "abs(x = x)"), "fp32[4] y = 1 2 inf nan"},
    {"abs", "int32[3] x = -1 2 -2147483648", Y("int32, [3]", "abs(x = x)"),
     "int32[3] y = 1 2 -2147483648"},
    {"sign", "fp32[4] x = -3 0 inf nan", Y("fp32, [4]", "sign(x = x)"), "fp32[4] y = -1 0 1 nan"},
    {"ceil", "fp32[3] x = 1.5 -1.5 2", Y("fp32, [3]", "ceil(x = x)"), "fp32[3] y = 2 -1 2"},
    {"floor", "fp32[3] x = 1.5 -1.5 2", Y("fp32, [3]", "floor(x = x)"), "fp32[3] y = 1 -2 2"},
    {"round", "fp32[5] x = 0.5 1.5 -2.5 2.6 inf", Y("fp32, [5]", "round(x = x)"),
     "fp32[5] y = 0 2 -2 3 inf"},
    {"square", "fp32[3] x = -3 0.5 inf", Y("fp32, [3]", "square(x = x)"), "fp32[3] y = 9 0.25 inf"},
    {"sqrt", "fp32[4] x = 9 2 -1 inf", Y("fp32, [4]", "sqrt(x = x)"),
     "fp32[4] y = 3 1.41421356237 nan inf"},
    {"rsqrt", "fp32[3] x = 4 0 0.21", Y("fp32, [3]", "rsqrt(x = x, epsilon = fp32(0.04))"),
     "fp32[3] y = 0.49751859510 5 2"},
    {"rsqrt", "fp32[2] x = 4 0", Y("fp32, [2]", "rsqrt(x = x)"), "fp32[2] y = 0.5 1e6"},
    {"inverse", "fp32[2] x = 1.9999 0", Y("fp32, [2]", "inverse(x = x)"), "fp32[2] y = 0.5 10000"},
    {"exp", "fp32[4] x = 0 1 -inf 1000", Y("fp32, [4]", "exp(x = x)"),
     "fp32[4] y = 1 2.71828182846 0 inf"},
    {"exp2", "fp32[3] x = 3 -1 0.5", Y("fp32, [3]", "exp2(x = x)"),
     "fp32[3] y = 8 0.5 1.41421356237"},
    {"exp2", "int32[3] x = 3 -1 0", Y("int32, [3]", "exp2(x = x)"), "int32[3] y = 8 0 1"},
    {"log", "fp32[3] x = 1 0 -1", Y("fp32, [3]", "log(x = x, epsilon = fp32(1))"),
     "fp32[3] y = 0.69314718056 0 -inf"},
    {"log", "fp16[2] x = 1 0", Y("fp16, [2]", "log(x = x)"), "fp16[2] y = 0 -inf"},
    {"sin", "fp32[2] x = 0 1", Y("fp32, [2]", "sin(x = x)"), "fp32[2] y = 0 0.84147098481"},
    {"cos", "fp32[2] x = 0 1", Y("fp32, [2]", "cos(x = x)"), "fp32[2] y = 1 0.54030230587"},
    {"tan", "fp32[2] x = 0 1", Y("fp32, [2]", "tan(x = x)"), "fp32[2] y = 0 1.55740772465"},
    {"asin", "fp32[3] x = 0 1 2", Y("fp32, [3]", "asin(x = x)"), "fp32[3] y = 0 1.57079632679 nan"},
    {"acos", "fp32[2] x = 1 0", Y("fp32, [2]", "acos(x = x)"), "fp32[2] y = 0 1.57079632679"},
    {"atan", "fp32[2] x = 1 inf", Y("fp32, [2]", "atan(x = x)"),
     "fp32[2] y = 0.78539816340 1.57079632679"},
    {"sinh", "fp32[2] x = 0 1", Y("fp32, [2]", "sinh(x = x)"), "fp32[2] y = 0 1.17520119364"},
    {"cosh", "fp32[2] x = 0 1", Y("fp32, [2]", "cosh(x = x)"), "fp32[2] y = 1 1.54308063482"},
    {"tanh", "fp32[3] x = 0 1 -inf", Y("fp32, [3]", "tanh(x = x)"),
     "fp32[3] y = 0 0.76159415596 -1"},
    {"atanh", "fp32[3] x = 0 0.5 1", Y("fp32, [3]", "atanh(x = x)"),
     "fp32[3] y = 0 0.54930614433 inf"},
    {"erf", "fp32[2] x = 0 1", Y("fp32, [2]", "erf(x = x)"), "fp32[2] y = 0 0.84270079295"},
    {"sigmoid", "fp32[4] x = 0 1 -inf 200", Y("fp32, [4]", "sigmoid(x = x)"),
     "fp32[4] y = 0.5 0.73105857863 0 1"},
    {"silu", "fp32[3] x = 0 1 -2", Y("fp32, [3]", "silu(x = x)"),
     "fp32[3] y = 0 0.73105857863 -0.23840584404"},
    {"relu", "fp32[4] x = -1 2 nan -inf", Y("fp32, [4]", "relu(x = x)"), "fp32[4] y = 0 2 nan 0"},
    {"relu6", "fp32[4] x = -1 2 7 nan", Y("fp32, [4]", "relu6(x = x)"), "fp32[4] y = 0 2 6 nan"},
    {"softplus", "fp32[3] x = 0 100 -100", Y("fp32, [3]", "softplus(x = x)"),
     "fp32[3] y = 0.69314718056 100 3.720076e-44"},
    {"softsign", "fp32[2] x = 3 -1", Y("fp32, [2]", "softsign(x = x)"), "fp32[2] y = 0.75 -0.5"},
    {"gelu", "fp32[2] x = 1 -1", Y("fp32, [2]", "gelu(x = x)"),
     "fp32[2] y = 0.84134474607 -0.15865525393"},
    {"gelu", "fp32[1] x = 1", Y("fp32, [1]", "gelu(x = x, mode = string(\"TANH_APPROXIMATION\"))"),
     "fp32[1] y = 0.84119199061"},
    {"gelu", "fp32[1] x = 1",
     Y("fp32, [1]", "gelu(x = x, mode = string(\"SIGMOID_APPROXIMATION\"))"),
     "fp32[1] y = 0.84579576"},
    {"leaky_relu", "fp32[3] x = -2 3 nan", Y("fp32, [3]", "leaky_relu(x = x, alpha = fp32(0.25))"),
     "fp32[3] y = -0.5 3 nan"},
    {"elu", "fp32[3] x = -1 3 -inf", Y("fp32, [3]", "elu(x = x, alpha = fp32(2))"),
     "fp32[3] y = -1.26424111766 3 -2"},
    {"clip", "fp32[4] x = -5 0.5 5 nan",
     Y("fp32, [4]", "clip(x = x, alpha = fp32(-1), beta = fp32(1))"), "fp32[4] y = -1 0.5 1 nan"},
    {"select", "bool[2] c = 1 0; fp32[2] a = 1 2; fp32[2] b = nan 4",
     Y("fp32, [2]", "select(cond = c, a = a, b = b)"), "fp32[2] y = 1 4"},
    {"cast", "fp32[6] x = 1.9 -1.9 300 nan inf -inf",
     Y("int32, [6]", "cast(x = x, dtype = string(\"int32\"))"),
     "int32[6] y = 1 -1 300 0 2147483647 -2147483648"},
    {"cast", "int32[3] x = 300 -1 5", Y("uint8, [3]", "cast(x = x, dtype = string(\"uint8\"))"),
     "uint8[3] y = 44 255 5"},
    {"cast", "fp32[4] x = 0 0.5 nan -2", Y("bool, [4]", "cast(x = x, dtype = string(\"bool\"))"),
     "bool[4] y = 0 1 1 1"},
    {"cast", "fp32[3] x = 1e9 0.1 -0.33333334",
     Y("fp16, [3]", "cast(x = x, dtype = string(\"fp16\"))"),
     "fp16[3] y = inf 0.0999755859375 -0.333251953125"},
    // rounded once: through fp32 this would become 1 + 2^-10
    {"cast", "fp64[1] x = 1.00048828125000001",
     Y("fp16, [1]", "cast(x = x, dtype = string(\"fp16\"))"), "fp16[1] y = 1"},

    // every float type; bf16 has 8 bits: 257 lies between 256 and 258
    {"add", "bf16[2] x = 256 1; bf16[2] y0 = 1 0.5", Y("bf16, [2]", "add(x = x, y = y0)"),
     "bf16[2] y = 256 1.5"},
    {"mul", "fp64[1] x = 1.0000000000000002; fp64[1] y0 = 3", Y("fp64, [1]", "mul(x = x, y = y0)"),
     "fp64[1] y = 3.0000000000000009"},

    // matrix products
    {"matmul", "fp32[2,3] x = 1 2 3 4 5 6; fp32[3,2] w = 1 0 0 1 1 1",
     Y("fp32, [2,2]", "matmul(x = x, y = w)"), "fp32[2,2] y = 4 5 10 11"},
    {"matmul", "fp32[3,2] x = 1 4 2 5 3 6; fp32[2,3] w = 1 0 1 0 1 1",
     Y("fp32, [2,2]", "matmul(x = x, y = w, transpose_x = bool(true), transpose_y = bool(true))"),
     "fp32[2,2] y = 4 5 10 11"},
    {"matmul", "fp32[2,1,1,2] x = 1 2 3 4; fp32[3,2,1] w = 1 1 0 1 1 0",
     Y("fp32, [2,3,1,1]", "matmul(x = x, y = w)"), "fp32[2,3,1,1] y = 3 2 1 7 4 3"},
    // Constants of another type: the result has the other operand's.
    {"matmul", "int32[1,2] x = 5 -3",
     Y("int32, [1,1]", "matmul(x = x, y = tensor<fp16, [2,1]>([[4], [7]]))"), "int32[1,1] y = -1"},
    {"matmul", "int32[2,1] w = 5 -3",
     Y("int32, [1,1]", "matmul(x = tensor<fp32, [1,2]>([[4, 7]]), y = w)"), "int32[1,1] y = -1"},
    {"matmul", "fp16[1,2] x = 1 2",
     Y("fp16, [1,1]", "matmul(x = x, y = tensor<fp32, [2,1]>([[0.5], [3]]))"), "fp16[1,1] y = 6.5"},
    {"matmul", "fp16[2,1] w = 1 2",
     Y("fp16, [1,1]", "matmul(x = tensor<int32, [1,2]>([[7, 3]]), y = w)"), "fp16[1,1] y = 13"},
    {"matmul", "int32[1,2] x = 65536 3; int32[2,1] w = 65536 5",
     Y("int32, [1,1]", "matmul(x = x, y = w)"), "int32[1,1] y = 15"},
    {"matmul", "fp16[1,3] x = 1 1 1; fp16[3,1] w = 2048 1 1",
     Y("fp16, [1,1]", "matmul(x = x, y = w)"), "fp16[1,1] y = 2050"},
    {"linear", "fp32[1,3] x = 1 2 3",
     Y("fp32, [1,2]",
       "linear(x = x, weight = tensor<fp32, [2,3]>([[1,0,1],[0,-1,0]]), "
       "bias = tensor<fp32, [2]>([0.5,10]))"),
     "fp32[1,2] y = 4.5 8"},
    {"conv", "fp32[1,1,5] x = 1 2 3 4 5; fp32[1,1,2] w = 1 10",
     Y("fp32, [1,1,3]",
       "conv(x = x, weight = w, strides = tensor<int32, [1]>([2]), "
       "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([1,0]))"),
     "fp32[1,1,3] y = 10 32 54"},
    {"conv", "fp32[1,1,3,3] x = 1 2 3 4 5 6 7 8 9; fp32[1,1,2,2] w = 1 0 0 1; fp32[1] b = 100",
     Y("fp32, [1,1,3,3]", "conv(x = x, weight = w, bias = b, pad_type = string(\"same\"))"),
     "fp32[1,1,3,3] y = 106 108 103 112 114 106 107 108 109"},
    {"conv", "fp32[1,4,1] x = 1 2 3 4; fp32[2,2,1] w = 1 1 1 -1",
     Y("fp32, [1,2,1]", "conv(x = x, weight = w, groups = int32(2))"), "fp32[1,2,1] y = 3 -1"},
    {"conv", "fp32[1,1,1,1,5] x = 1 2 3 4 5; fp32[1,1,1,1,2] w = 1 1",
     Y("fp32, [1,1,1,1,3]",
       "conv(x = x, weight = w, dilations = tensor<int32, [3]>([1,1,2]), "
       "pad_type = string(\"valid\"))"),
     "fp32[1,1,1,1,3] y = 4 6 8"},

    {"conv_transpose", "fp32[1,1,3] x = 1 2 3; fp32[1,1,2] w = 1 10",
     Y("fp32, [1,1,6]", "conv_transpose(x = x, weight = w, strides = tensor<int32, [1]>([2]))"),
     "fp32[1,1,6] y = 1 10 2 20 3 30"},
    // the second kernel element meets the first of the next position; 1 is cut off in front
    {"conv_transpose", "fp32[1,1,3] x = 1 2 3; fp32[1,1,2] w = 1 10; fp32[1] b = 100",
     Y("fp32, [1,1,3]",
       "conv_transpose(x = x, weight = w, bias = b, pad_type = string(\"custom\"), "
       "pad = tensor<int32, [2]>([1,0]))"),
     "fp32[1,1,3] y = 112 123 130"},
    {"conv_transpose", "fp32[1,1,2] x = 1 2; fp32[1,1,3] w = 1 10 100",
     Y("fp32, [1,1,4]",
       "conv_transpose(x = x, weight = w, strides = tensor<int32, [1]>([2]), "
       "pad_type = string(\"same\"))"),
     "fp32[1,1,4] y = 1 10 102 20"},
    // an output_shape beyond what x reaches has zeros there
    {"conv_transpose", "fp32[1,1,2] x = 1 2; fp32[1,1,2] w = 1 10",
     Y("fp32, [1,1,7]",
       "conv_transpose(x = x, weight = w, dilations = tensor<int32, [1]>([3]), output_shape = "
       "tensor<int32, [3]>([1,1,7]))"),
     "fp32[1,1,7] y = 1 2 0 10 20 0 0"},
    {"conv_transpose", "fp32[1,2,1] x = 1 2; fp32[2,2,1] w = 3 4 5 6",
     Y("fp32, [1,4,1]", "conv_transpose(x = x, weight = w, groups = int32(2))"),
     "fp32[1,4,1] y = 3 4 10 12"},

// pooling
#define POOL1(op, out, rest)                                                   \
  Y("fp32, [1,1," out "]", op                                                  \
    "(x = x, kernel_sizes = tensor<int32, [1]>([3]), strides = tensor<int32, " \
    "[1]>([2]), " rest ")")
    {"max_pool", "fp32[1,1,6] x = 1 5 2 4 4 3",
     POOL1("max_pool", "2", "pad_type = string(\"valid\")"), "fp32[1,1,2] y = 5 4"},
    {"max_pool", "fp32[1,1,6] x = -1 -5 -2 -4 nan -3",
     POOL1("max_pool", "3",
           "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([1,1]), "
           "ceil_mode = bool(false)"),
     "fp32[1,1,3] y = -1 -2 nan"},
    {"max_pool", "fp32[1,1,6] x = 1 5 2 4 4 3",
     POOL1("max_pool", "3", "pad_type = string(\"valid\"), ceil_mode = bool(true)"),
     "fp32[1,1,3] y = 5 4 4"},
    {"max_pool", "fp16[1,2,2,2] x = 1 2 3 4 8 7 6 5",
     Y("fp16, [1,2,1,2]",
       "max_pool(x = x, kernel_sizes = tensor<int32, [2]>([2,1]), pad_type = string(\"valid\"))"),
     "fp16[1,2,1,2] y = 3 4 8 7"},
    // a window of padding alone
    {"max_pool", "fp32[1,1,1] x = 7",
     Y("fp32, [1,1,3]",
       "max_pool(x = x, kernel_sizes = tensor<int32, [1]>([1]), pad_type = string(\"custom\"), "
       "pad = tensor<int32, [2]>([1,1]))"),
     "fp32[1,1,3] y = -inf 7 -inf"},
    {"avg_pool", "fp32[1,1,6] x = 1 5 3 4 4 4",
     POOL1("avg_pool", "2", "pad_type = string(\"valid\")"), "fp32[1,1,2] y = 3 3.66666666667"},
    {"avg_pool", "fp32[1,1,5] x = 1 5 3 4 8", POOL1("avg_pool", "3", "pad_type = string(\"same\")"),
     "fp32[1,1,3] y = 2 4 4"},
    {"avg_pool", "fp32[1,1,5] x = 1 5 3 4 8",
     POOL1("avg_pool", "3",
           "pad_type = string(\"same\"), exclude_padding_from_average = bool(true)"),
     "fp32[1,1,3] y = 3 4 6"},
    // what lies beyond the padding is not counted: the last window has two elements
    {"avg_pool", "fp32[1,1,6] x = 1 5 3 4 8 6",
     POOL1("avg_pool", "3", "pad_type = string(\"valid\"), ceil_mode = bool(true)"),
     "fp32[1,1,3] y = 3 5 7"},
    {"avg_pool", "fp32[1,1,6] x = 1 5 3 4 8 7",
     POOL1("avg_pool", "4",
           "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([1,1]), "
           "ceil_mode = bool(true)"),
     "fp32[1,1,4] y = 2 4 6.33333333333 3.5"},
    {"avg_pool", "fp32[1,1,2,2,2] x = 1 2 3 4 5 6 7 8",
     Y("fp32, [1,1,1,1,2]",
       "avg_pool(x = x, kernel_sizes = tensor<int32, [3]>([2,2,1]), "
       "pad_type = string(\"valid\"))"),
     "fp32[1,1,1,1,2] y = 4 5"},
    {"avg_pool", "fp32[1,1,2] x = 3 5",
     Y("fp32, [1,1,2]",
       "avg_pool(x = x, kernel_sizes = tensor<int32, [1]>([2]), pad_type = "
       "string(\"same_lower\"))"),
     "fp32[1,1,2] y = 1.5 4"},
    {"l2_pool", "fp32[1,1,6] x = 1 -2 2 4 4 7",
     POOL1("l2_pool", "2", "pad_type = string(\"valid\")"), "fp32[1,1,2] y = 3 6"},
    // of two equal elements the first has it all
    {"max_pool_grad", "fp32[1,1,3] g = 1 10 100; fp32[1,1,6] x = 1 5 5 4 4 3",
     Y("fp32, [1,1,6]",
       "max_pool_grad(grad = g, x = x, kernel_sizes = tensor<int32, [1]>([3]), strides = "
       "tensor<int32, [1]>([2]), pad_type = string(\"valid\"), ceil_mode = bool(true))"),
     "fp32[1,1,6] y = 0 1 10 0 100 0"},
    {"avg_pool_grad", "fp32[1,1,3] g = 2 6 12",
     Y("fp32, [1,1,5]",
       "avg_pool_grad(grad = g, shape = tensor<int32, [3]>([1,1,5]), kernel_sizes = tensor<int32, "
       "[1]>([3]), strides = tensor<int32, [1]>([2]), pad_type = string(\"same\"), "
       "exclude_padding_from_average = bool(true))"),
     "fp32[1,1,5] y = 1 3 2 8 6"},

    // normalisation
    {"softmax", "fp32[2,2] x = 0 0 1000 0", Y("fp32, [2,2]", "softmax(x = x, axis = int32(-1))"),
     "fp32[2,2] y = 0.5 0.5 1 0"},
    {"softmax", "fp32[2,1] x = 0 1.09861228867",
     Y("fp32, [2,1]", "softmax(x = x, axis = int32(0))"), "fp32[2,1] y = 0.25 0.75"},
    {"instance_norm", "fp32[1,2,2] x = 1 3 -2 2; fp32[2] g = 1 10; fp32[2] b = 0 100",
     Y("fp32, [1,2,2]", "instance_norm(x = x, gamma = g, beta = b, epsilon = fp32(0))"),
     "fp32[1,2,2] y = -1 1 90 110"},
    {"batch_norm", "fp32[1,2,2] x = 1 3 -2 2; fp32[2] m = 1 2; fp32[2] v = 3 15",
     Y("fp32, [1,2,2]", "batch_norm(x = x, mean = m, variance = v, epsilon = fp32(1))"),
     "fp32[1,2,2] y = 0 1 -1 0"},
    {"batch_norm",
     "fp16[1,1,2,2] x = 1 2 3 4; fp16[1] m = 2; fp16[1] v = 4; fp16[1] g = 4; fp16[1] b = -1",
     Y("fp16, [1,1,2,2]",
       "batch_norm(x = x, mean = m, variance = v, gamma = g, beta = b, epsilon = fp32(0))"),
     "fp16[1,1,2,2] y = -3 -1 1 3"},
    {"layer_norm", "fp32[2,2] x = 1 3 -2 2",
     Y("fp32, [2,2]",
       "layer_norm(x = x, axes = tensor<int32, [1]>([-1]), gamma = tensor<fp32, [2]>([1,2]), "
       "beta = tensor<fp32, [2]>([0,10]), epsilon = fp32(0))"),
     "fp32[2,2] y = -1 12 -1 12"},
    {"layer_norm", "fp32[2,2] x = 1 3 1 3",
     Y("fp32, [2,2]", "layer_norm(x = x, epsilon = fp32(3))"), "fp32[2,2] y = -0.5 0.5 -0.5 0.5"},

    // reductions
    {"reduce_sum", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [3]", "reduce_sum(x = x, axes = tensor<int32, [1]>([0]))"), "fp32[3] y = 5 7 9"},
    {"reduce_sum", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [2,1]", "reduce_sum(x = x, axes = tensor<int32, [1]>([-1]), keep_dims = bool(true))"),
     "fp32[2,1] y = 6 15"},
    {"reduce_sum", "int32[2] x = 2147483647 1", Y("int32, []", "reduce_sum(x = x)"),
     "int32[] y = -2147483648"},
    {"reduce_mean", "fp32[2,2] x = 1 2 3 4", Y("fp32, []", "reduce_mean(x = x)"), "fp32[] y = 2.5"},
    {"reduce_max", "fp32[2,2] x = 1 -2 nan 4",
     Y("fp32, [2]", "reduce_max(x = x, axes = tensor<int32, [1]>([1]))"), "fp32[2] y = 1 nan"},
    {"reduce_max", "fp32[0,2] x = ",
     Y("fp32, [2]", "reduce_max(x = x, axes = tensor<int32, [1]>([0]))"), "fp32[2] y = -inf -inf"},
    {"reduce_min", "int32[2,2] x = 1 -2 3 4",
     Y("int32, [2]", "reduce_min(x = x, axes = tensor<int32, [1]>([0]))"), "int32[2] y = 1 -2"},
    {"reduce_prod", "fp32[4] x = 1 2 3 4", Y("fp32, []", "reduce_prod(x = x)"), "fp32[] y = 24"},
    {"reduce_sum_square", "fp32[3] x = 1 -2 3", Y("fp32, []", "reduce_sum_square(x = x)"),
     "fp32[] y = 14"},
    {"reduce_l1_norm", "fp32[3] x = 1 -2 3", Y("fp32, []", "reduce_l1_norm(x = x)"),
     "fp32[] y = 6"},
    {"reduce_l2_norm", "fp32[2] x = 3 -4", Y("fp32, []", "reduce_l2_norm(x = x)"), "fp32[] y = 5"},
    {"reduce_log_sum", "fp32[2] x = 1 1", Y("fp32, []", "reduce_log_sum(x = x)"),
     "fp32[] y = 0.69314718056"},
    {"reduce_log_sum_exp", "fp32[2] x = 1000 1000", Y("fp32, []", "reduce_log_sum_exp(x = x)"),
     "fp32[] y = 1000.69314718056"},
    {"reduce_log_sum_exp", "fp32[2] x = -inf -inf", Y("fp32, []", "reduce_log_sum_exp(x = x)"),
     "fp32[] y = -inf"},
    {"reduce_argmax", "fp32[2,3] x = 1 5 5 7 nan 9",
     Y("int32, [2]", "reduce_argmax(x = x, axis = int32(1))"), "int32[2] y = 1 1"},
    {"reduce_argmin", "int32[2,2] x = 3 1 2 4",
     Y("int32, [1,2]", "reduce_argmin(x = x, axis = int32(0), keep_dims = bool(true))"),
     "int32[1,2] y = 1 0"},
    {"cumsum", "fp32[2,3] x = 1 2 3 4 5 6", Y("fp32, [2,3]", "cumsum(x = x, axis = int32(1))"),
     "fp32[2,3] y = 1 3 6 4 9 15"},
    {"cumsum", "fp32[3] x = 1 2 3",
     Y("fp32, [3]", "cumsum(x = x, axis = int32(0), exclusive = bool(true), reverse = bool(true))"),
     "fp32[3] y = 5 3 0"},

    // shapes
    {"reshape", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [3,2]", "reshape(x = x, shape = tensor<int32, [2]>([-1,2]))"),
     "fp32[3,2] y = 1 2 3 4 5 6"},
    {"transpose", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [3,2]", "transpose(x = x, perm = tensor<int32, [2]>([1,0]))"),
     "fp32[3,2] y = 1 4 2 5 3 6"},
    {"transpose", "int8[1,2,3] x = 1 2 3 4 5 6",
     Y("int8, [3,1,2]", "transpose(x = x, perm = tensor<int32, [3]>([-1,0,1]))"),
     "int8[3,1,2] y = 1 4 2 5 3 6"},
    {"expand_dims", "fp32[2] x = 1 2",
     Y("fp32, [1,2,1]", "expand_dims(x = x, axes = tensor<int32, [2]>([0,2]))"),
     "fp32[1,2,1] y = 1 2"},
    {"squeeze", "fp32[1,2,1] x = 1 2", Y("fp32, [2]", "squeeze(x = x)"), "fp32[2] y = 1 2"},
    {"slice_by_size", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [1,2]",
       "slice_by_size(x = x, begin = tensor<int32, [2]>([1,1]), size = tensor<int32, "
       "[2]>([1,-1]))"),
     "fp32[1,2] y = 5 6"},
    {"slice_by_index", "fp32[5] x = 1 2 3 4 5",
     Y("fp32, [3]",
       "slice_by_index(x = x, begin = tensor<int32, [1]>([-1]), end = tensor<int32, [1]>([0]), "
       "stride = tensor<int32, [1]>([-2]), end_mask = tensor<bool, [1]>([true]))"),
     "fp32[3] y = 5 3 1"},
    {"slice_by_index", "fp32[2,3] x = 1 2 3 4 5 6",
     Y("fp32, [2]",
       "slice_by_index(x = x, begin = tensor<int32, [2]>([1,0]), "
       "end = tensor<int32, [2]>([0,100]), stride = tensor<int32, [2]>([1,2]), "
       "squeeze_mask = tensor<bool, [2]>([true,false]))"),
     "fp32[2] y = 4 6"},
    {"slice_update", "fp32[4] x = 1 2 3 4; fp32[2] u = 10 20",
     Y("fp32, [4]",
       "slice_update(x = x, update = u, begin = tensor<int32, [1]>([0]), "
       "end = tensor<int32, [1]>([4]), stride = tensor<int32, [1]>([2]))"),
     "fp32[4] y = 10 2 20 4"},
    {"concat", "fp32[2,1] a = 1 2; fp32[2,2] b = 3 4 5 6",
     Y("fp32, [2,3]", "concat(values = (a, b), axis = int32(1), interleave = bool(false))"),
     "fp32[2,3] y = 1 3 4 2 5 6"},
    {"concat", "fp32[2] a = 1 2; fp32[2] b = 3 4",
     Y("fp32, [4]", "concat(values = (a, b), axis = int32(0), interleave = bool(true))"),
     "fp32[4] y = 1 3 2 4"},
    {"concat", "int32[] a = 1; int32[] b = 3; int32[] c = 5",
     Y("int32, [3]", "concat(values = (a, b, c), axis = int32(0), interleave = bool(false))"),
     "int32[3] y = 1 3 5"},
    {"stack", "fp32[2] a = 1 2; fp32[2] b = 3 4",
     Y("fp32, [2,2]", "stack(values = (a, b), axis = int32(-1))"), "fp32[2,2] y = 1 3 2 4"},
    {"split", "fp32[2,3] x = 1 2 3 4 5 6",
     "tensor<fp32, [2,1]> y, tensor<fp32, [2,2]> z = split(x = x, axis = int32(1), "
     "split_sizes = tensor<int32, [2]>([1,2]))[name = string(\"y\")];",
     "fp32[2,1] y = 1 4; fp32[2,2] z = 2 3 5 6"},
    {"tile", "fp32[1,2] x = 1 2", Y("fp32, [2,4]", "tile(x = x, reps = tensor<int32, [2]>([2,2]))"),
     "fp32[2,4] y = 1 2 1 2 1 2 1 2"},
    {"pad", "fp32[2] x = 1 2",
     Y("fp32, [5]",
       "pad(x = x, pad = tensor<int32, [2]>([1,2]), mode = string(\"constant\"), "
       "constant_val = fp32(9))"),
     "fp32[5] y = 9 1 2 9 9"},
    {"pad", "fp32[1,3] x = 1 2 3",
     Y("fp32, [1,6]", "pad(x = x, pad = tensor<int32, [2]>([2,1]), mode = string(\"reflect\"))"),
     "fp32[1,6] y = 3 2 1 2 3 2"},
    {"pad", "fp32[2] x = 1 2",
     Y("fp32, [5]", "pad(x = x, pad = tensor<int32, [2]>([2,1]), mode = string(\"replicate\"))"),
     "fp32[5] y = 1 1 1 2 2"},
    {"reverse", "fp32[2,2] x = 1 2 3 4",
     Y("fp32, [2,2]", "reverse(x = x, axes = tensor<int32, [1]>([1]))"), "fp32[2,2] y = 2 1 4 3"},
    {"fill", "fp32[1] x = 1",
     "tensor<fp32, [2]> f = fill(shape = tensor<int32, [1]>([2]), value = fp32(3))"
     "[name = string(\"f\")];" Y("fp32, [2]", "mul(x = f, y = x)"),
     "fp32[2] y = 3 3"},
    {"shape", "fp32[2,3] x = 1 2 3 4 5 6", Y("int32, [2]", "shape(x = x)"), "int32[2] y = 2 3"},
    {"range_1d", "fp32[1] x = 1",
     "tensor<fp32, [3]> f = range_1d(end = fp32(2), start = fp32(0.5), step = fp32(0.5))"
     "[name = string(\"f\")];" Y("fp32, [3]", "mul(x = f, y = x)"),
     "fp32[3] y = 0.5 1 1.5"},
    {"one_hot", "int32[3] x = 1 0 5",
     Y("fp32, [3,2]",
       "one_hot(indices = x, one_hot_vector_size = int32(2), axis = int32(-1), "
       "on_value = fp32(2), off_value = fp32(-1))"),
     "fp32[3,2] y = -1 2 2 -1 -1 -1"},

    // gather and scatter
    {"non_zero", "fp32[2,3] x = 0 nan -0 2 0 -1", Y("int32, [3,2]", "non_zero(x = x)"),
     "int32[3,2] y = 0 1 1 0 1 2"},
    {"gather", "fp32[3,2] x = 1 2 3 4 5 6; int32[2] i = 2 -3",
     Y("fp32, [2,2]", "gather(x = x, indices = i, axis = int32(0))"), "fp32[2,2] y = 5 6 1 2"},
    {"gather", "fp32[2,3] x = 1 2 3 4 5 6; int32[2,2] i = 0 2 1 1",
     Y("fp32, [2,2]",
       "gather(x = x, indices = i, axis = int32(1), batch_dims = int32(1), "
       "validate_indices = bool(false))"),
     "fp32[2,2] y = 1 3 5 5"},
    {"gather_along_axis", "fp32[2,3] x = 1 2 3 4 5 6; int32[2,1] i = 2 -2",
     Y("fp32, [2,1]", "gather_along_axis(x = x, indices = i, axis = int32(1))"),
     "fp32[2,1] y = 3 5"},
    {"scatter", "fp32[3] x = 1 2 3; int32[3] i = 0 0 -1; fp32[3] u = 10 20 30",
     Y("fp32, [3]",
       "scatter(data = x, indices = i, updates = u, axis = int32(0), "
       "mode = string(\"add\"))"),
     "fp32[3] y = 31 2 33"},
    {"scatter", "fp32[2,2] x = 8 8 8 8; int32[1] i = 1; fp32[2,1] u = 2 4",
     Y("fp32, [2,2]",
       "scatter(data = x, indices = i, updates = u, axis = int32(1), "
       "mode = string(\"div\"))"),
     "fp32[2,2] y = 8 4 8 2"},
    {"scatter", "fp32[3] x = 1 2 3; int32[2] i = 0 1; fp32[2] u = 5 -5",
     Y("fp32, [3]",
       "scatter(data = x, indices = i, updates = u, axis = int32(0), "
       "mode = string(\"max\"))"),
     "fp32[3] y = 5 2 3"},
    {"scatter_along_axis", "fp32[2,2] x = 1 2 3 4; int32[2,1] i = 1 0; fp32[2,1] u = 10 20",
     Y("fp32, [2,2]",
       "scatter_along_axis(data = x, indices = i, updates = u, axis = int32(1), "
       "mode = string(\"update\"))"),
     "fp32[2,2] y = 1 10 20 4"},
    {"scatter_along_axis", "fp32[2] x = 1 2; int32[2] i = 1 1; fp32[2] u = 10 20",
     Y("fp32, [2]",
       "scatter_along_axis(data = x, indices = i, updates = u, axis = int32(0), "
       "mode = string(\"sub\"))"),
     "fp32[2] y = 1 -28"},

    // quantisation
    {"quantize", "fp32[5] x = 0.25 0.75 -1 100 nan",
     Y("int8, [5]",
       "quantize(input = x, scale = fp32(0.5), zero_point = int8(1), "
       "output_dtype = string(\"int8\"))"),
     "int8[5] y = 1 3 -1 127 0"},
    {"dequantize", "uint8[2,2] x = 1 2 3 4",
     Y("fp32, [2,2]",
       "dequantize(input = x, scale = tensor<fp32, [2]>([0.5,2]), "
       "zero_point = tensor<uint8, [2]>([1,0]), axis = int32(1))"),
     "fp32[2,2] y = 0 4 1 8"},
    {"constexpr_affine_dequantize", "fp32[1] x = 1",
     "tensor<fp32, [2,2]> w = constexpr_affine_dequantize(axis = int32(0), "
     "quantized_data = tensor<int8, [2,2]>([[1,2],[3,4]]), scale = tensor<fp32, [2]>([1,2]), "
     "zero_point = int8(1))[name = string(\"w\")];" Y("fp32, [2,2]", "mul(x = w, y = x)"),
     "fp32[2,2] y = 0 1 4 6"},

    // composites
    {"scale_blocks", "int8[2,4] d = 1 2 3 -4 -128 127 0 1; fp32[2,2] s = 2 0.5 -1 4",
     Y("fp32, [2,4]", "scale_blocks(data = d, scale = s)"),
     "fp32[2,4] y = 2 4 1.5 -2 128 -127 0 4"},
    {"rms_norm", "fp32[2,2] x = 1 7 -3 3; fp32[2] w = 1 2",
     Y("fp32, [2,2]", "rms_norm(x = x, weight = w, epsilon = fp32(0))"),
     "fp32[2,2] y = 0.2 2.8 -1 2"},
    // r = 1/5, mean(g x) = (1 * 1 + 0) / 2
    {"rms_norm_grad", "fp32[1,2] g = 1 0; fp32[1,2] x = 1 7; fp32[2] w = 1 2",
     "tensor<fp32, [1,2]> y, tensor<fp32, [2]> z = rms_norm_grad(grad = g, x = x, weight = w, "
     "epsilon = fp32(0))[name = string(\"y\")];",
     "fp32[1,2] y = 0.196 -0.028; fp32[2] z = 0.2 0"},
    {"rope", "fp32[1,2,4] x = 1 2 3 4 1 2 3 4; fp32[2,2] c = 1 0 0 1; fp32[2,2] s = 0 1 1 0",
     Y("fp32, [1,2,4]", "rope(x = x, cos = c, sin = s)"), "fp32[1,2,4] y = 1 2 -4 3 -2 1 3 4"},
    {"rope", "fp32[1,1,4] x = 1 2 3 4; fp32[1,2] c = 0 1; fp32[1,2] s = 1 0",
     Y("fp32, [1,1,4]",
       "rope(x = x, cos = c, sin = s, pairing = string(\"half\"), inverse = bool(true))"),
     "fp32[1,1,4] y = 3 2 -1 4"},
    {"attention",
     "fp32[1,2,2,1] q = 1 1 1 0; fp32[1,1,2,1] k = 0 1.09861228867; fp32[1,1,2,1] v = 4 8",
     "tensor<fp32, [1,2,2,1]> y, tensor<fp32, [1,2,2]> z = attention(query = q, key = k, value = "
     "v, "
     "scale = fp32(1), causal = bool(true))[name = string(\"y\")];",
     "fp32[1,2,2,1] y = 4 7 4 6; fp32[1,2,2] z = 0 1.38629436112 0 0.69314718056"},
    {"attention",
     "fp32[1,1,1,1] q = 1; fp32[1,1,3,1] k = 0 1.09861228867 9; fp32[1,1,3,1] v = 4 8 1000; "
     "int32[] p = 1",
     "tensor<fp32, [1,1,1,1]> y, tensor<fp32, [1,1,1]> z = attention(query = q, key = k, "
     "value = v, scale = fp32(1), position = p)[name = string(\"y\")];",
     "fp32[1,1,1,1] y = 7; fp32[1,1,1] z = 1.38629436112"},
    // p = (1/4, 3/4), dp = (4, 8), delta = 7: ds = (-3/4, 3/4)
    {"attention_grad",
     "fp32[1,1,1,1] g = 1; fp32[1,1,1,1] q = 1; fp32[1,1,2,1] k = 0 1.09861228867; "
     "fp32[1,1,2,1] v = 4 8; fp32[1,1,1,1] o = 7; fp32[1,1,1] l = 1.38629436112",
     "tensor<fp32, [1,1,1,1]> y, tensor<fp32, [1,1,2,1]> z, tensor<fp32, [1,1,2,1]> w = "
     "attention_grad(grad = g, query = q, key = k, value = v, out = o, lse = l, scale = fp32(1), "
     "causal = bool(false))[name = string(\"y\")];",
     "fp32[1,1,1,1] y = 0.82395921650; fp32[1,1,2,1] z = -0.75 0.75; "
     "fp32[1,1,2,1] w = 0.25 0.75"},
    {"silu_gate", "fp32[2] x = 1 -2; fp32[2] g = 2 10", Y("fp32, [2]", "silu_gate(x = x, y = g)"),
     "fp32[2] y = 1.46211715726 -2.3840584404"},
    // s(0) = 1/2: silu'(0) = 1/2, silu(0) = 0
    {"silu_gate_grad", "fp32[1] d = 3; fp32[1] x = 0; fp32[1] g = 4",
     "tensor<fp32, [1]> y, tensor<fp32, [1]> z = silu_gate_grad(grad = d, x = x, y = g)"
     "[name = string(\"y\")];",
     "fp32[1] y = 6; fp32[1] z = 0"},
    {"cross_entropy", "fp32[2,2] x = 0 0 0 1.09861228867; int32[2] t = 1 0",
     "tensor<fp32, [2]> y, tensor<fp32, [2]> z = cross_entropy(logits = x, target = t)"
     "[name = string(\"y\")];",
     "fp32[2] y = 0.69314718056 1.38629436112; fp32[2] z = 0.69314718056 1.38629436112"},
    {"cross_entropy_grad",
     "fp32[1] g = 2; fp32[1,2] x = 0 1.09861228867; int32[1] t = 0; fp32[1] l = 1.38629436112",
     Y("fp32, [1,2]", "cross_entropy_grad(grad = g, logits = x, target = t, lse = l)"),
     "fp32[1,2] y = -1.5 1.5"},
    // g = 1, m' = 0.5, v' = 0.25; update = (0.5 / 0.5) / (sqrt(0.25 / 0.25) + 1) = 0.5
    {"adamw",
     "fp32[1] p = 2; fp32[1] g = 2; fp32[1] m = 0; fp32[1] v = 0; fp32[] lr = 0.1; "
     "fp32[] gs = 0.5; fp32[] b1 = 0.5; fp32[] b2 = 0.25",
     "tensor<fp32, [1]> y, tensor<fp32, [1]> z, tensor<fp32, [1]> w = adamw(param = p, grad = g, "
     "m = m, v = v, lr = lr, grad_scale = gs, bias1 = b1, bias2 = b2, beta1 = fp32(0.5), "
     "beta2 = fp32(0.75), epsilon = fp32(1), weight_decay = fp32(0.25))[name = string(\"y\")];",
     "fp32[1] y = 1.9; fp32[1] z = 0.5; fp32[1] w = 0.25"},
};

enum { OP_CASE_COUNT = sizeof op_cases / sizeof op_cases[0] };

#undef Y

#endif
